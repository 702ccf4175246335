//! Records in: sources (Kafka, files), JSON decoding, mapping by pointers. A bad record is rejected
//! with a named reason and never takes its neighbours with it.

pub mod decoder;
pub mod json;
pub mod kafka;
pub mod mapping;
pub mod place;
pub mod source;
pub mod time;

pub use decoder::{Decoded, Decoder, Limits, Rejected};
pub use mapping::{FieldSource, ModelMapping, Pointer, TopicMapping};
