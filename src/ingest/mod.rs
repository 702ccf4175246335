//! Records in: Kafka and files, JSON decoding, mapping by pointers.

pub mod kafka;
pub mod source;
