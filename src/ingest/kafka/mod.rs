//! The Kafka source: one consumer of a group, with commits that carry metadata.
//!
//! Offsets are committed only when the engine says so, because what it counted from a record must
//! be durable, or be read again, before the record is let go. So nothing is committed or stored by
//! librdkafka itself. Settings that this depends on are set last and cannot be overridden.
//!
//! A partition is read from its committed offset, else from where the configuration says; it is
//! never read from the end in silence.

mod config;
mod context;
mod error;
mod faults;
mod range;
mod source;
mod statistics;

pub use config::{Config, OffsetReset, RESERVED};
pub use error::Error;
pub use faults::Faults;
pub use range::{Range, RangeSource};
pub use source::KafkaSource;
