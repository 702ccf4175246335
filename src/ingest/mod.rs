//! Records in: Kafka and files, JSON decoding, mapping by pointers.

pub mod source;
