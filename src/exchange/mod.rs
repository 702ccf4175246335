//! What leaves for Kafka beside actions: dead letters and findings, and the connection that
//! everything speaking to Kafka shares.
//!
//! A sink never drops in silence: what it cannot deliver it counts and reports, and `flush` says
//! whether everything given to it before has arrived. Offsets of the input are committed after it.

pub mod connection;
mod error;
pub mod kafka;
pub mod lines;
pub mod memory;
pub mod reader;
pub mod state;
pub mod topics;
pub mod transaction;

use std::time::Duration;

use crate::domain::{RejectReason, SourcePartition};

pub use connection::{Connection, Protocol, Security};
pub use error::Error;

/// A record that could not be used, lent from the source.
#[derive(Clone, Copy, Debug)]
pub struct RejectedRecord<'a> {
    /// Where it was read.
    pub partition: &'a SourcePartition,
    /// Its offset there.
    pub offset: i64,
    /// Why it could not be used.
    pub reason: RejectReason,
    /// The reason in words, such as the field that was missing. It holds no value of the record.
    pub detail: Option<&'a str>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

/// How much of a rejected record may be kept. Records are about people, so the default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Whether the key goes along.
    pub key: bool,
    /// How many of the value's first bytes go along.
    pub value_bytes: usize,
}

impl Keep {
    /// The part of the key that may be kept.
    pub fn key_of<'a>(&self, record: &RejectedRecord<'a>) -> Option<&'a [u8]> {
        record.key.filter(|_| self.key)
    }

    /// The part of the value that may be kept; none where that is nothing.
    pub fn value_of<'a>(&self, record: &RejectedRecord<'a>) -> Option<&'a [u8]> {
        let value = record.value?;
        let kept = &value[..value.len().min(self.value_bytes)];
        (!kept.is_empty()).then_some(kept)
    }
}

impl RejectedRecord<'_> {
    /// What a dead letter says about the record, by the names of its Kafka headers.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("plimsoll-reason", self.reason.name().to_owned()),
            ("plimsoll-topic", self.partition.topic.to_string()),
            ("plimsoll-partition", self.partition.partition.to_string()),
            ("plimsoll-offset", self.offset.to_string()),
        ];
        headers.extend(self.detail.map(|detail| ("plimsoll-detail", detail.to_owned())));
        headers
    }
}

/// Where dead letters and findings go.
pub trait Sink {
    /// Why the sink could not take or deliver something.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Takes a record that could not be used.
    fn dead_letter(&mut self, record: &RejectedRecord<'_>) -> Result<(), Self::Error>;

    /// Takes a finding as JSON; findings with one `key` keep their order.
    fn finding(&mut self, key: &str, json: &str) -> Result<(), Self::Error>;

    /// Returns when everything taken so far has been delivered, or says what was not.
    fn flush(&mut self, timeout: Duration) -> Result<(), Self::Error>;

    /// Whether waiting may cure the error: what was sent is still on its way.
    fn is_passing(error: &Self::Error) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_record_is_kept_unless_allowed() {
        let partition = SourcePartition::new("t", 0);
        let record = RejectedRecord {
            partition: &partition,
            offset: 7,
            reason: RejectReason::InvalidJson,
            detail: None,
            key: Some(b"jane"),
            value: Some(b"{\"name\":"),
        };
        let nothing = Keep::default();
        assert_eq!((nothing.key_of(&record), nothing.value_of(&record)), (None, None));
        let some = Keep { key: true, value_bytes: 3 };
        assert_eq!((some.key_of(&record), some.value_of(&record)), (Some(&b"jane"[..]), Some(&b"{\"n"[..])));
        let all = Keep { key: false, value_bytes: 1000 };
        assert_eq!(all.value_of(&record), record.value);
    }
}
