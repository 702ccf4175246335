//! The sink in memory: for tests and for the demo, where nobody reads the topics.

use std::convert::Infallible;
use std::time::Duration;

use super::{Keep, RejectedRecord, Sink};

/// A dead letter as it would lie in the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// The key, where it may be kept.
    pub key: Option<Vec<u8>>,
    /// The part of the value that may be kept.
    pub value: Option<Vec<u8>>,
}

/// Keeps everything, in order.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// How much of a rejected record is kept.
    pub keep: Keep,
    /// Dead letters so far.
    pub dead_letters: Vec<DeadLetter>,
    /// Keys and JSON of the findings so far.
    pub findings: Vec<(String, String)>,
}

impl Sink for Memory {
    type Error = Infallible;

    fn dead_letter(&mut self, record: &RejectedRecord<'_>) -> Result<(), Infallible> {
        self.dead_letters.push(DeadLetter {
            headers: record.headers(),
            key: self.keep.key_of(record).map(<[u8]>::to_vec),
            value: self.keep.value_of(record).map(<[u8]>::to_vec),
        });
        Ok(())
    }

    fn finding(&mut self, key: &str, json: &str) -> Result<(), Infallible> {
        self.findings.push((key.to_owned(), json.to_owned()));
        Ok(())
    }

    fn flush(&mut self, _: Duration) -> Result<(), Infallible> {
        Ok(())
    }

    fn is_passing(error: &Infallible) -> bool {
        match *error {}
    }
}
