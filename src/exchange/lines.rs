//! The sink as lines of JSON, for `replay`: findings into one writer, dead letters into another.
//! A dead letter is one object with its headers as fields; bytes that are not UTF-8 are replaced.

use std::io::Write;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Error, Keep, RejectedRecord, Sink};

/// Writes each finding and each dead letter as one line. The writers are best buffered.
#[derive(Debug)]
pub struct Lines<F, D> {
    findings: F,
    dead_letters: D,
    keep: Keep,
}

impl<F: Write, D: Write> Lines<F, D> {
    /// Writes to these two.
    pub fn new(findings: F, dead_letters: D, keep: Keep) -> Self {
        Self { findings, dead_letters, keep }
    }

    /// The writers.
    pub fn into_inner(self) -> (F, D) {
        (self.findings, self.dead_letters)
    }
}

fn line(writer: &mut impl Write, text: &str, what: &'static str) -> Result<(), Error> {
    writeln!(writer, "{text}").map_err(|source| Error::Write { what, source })
}

impl<F: Write, D: Write> Sink for Lines<F, D> {
    type Error = Error;

    fn dead_letter(&mut self, record: &RejectedRecord<'_>) -> Result<(), Error> {
        let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes));
        let mut object: Map<String, Value> = record
            .headers()
            .into_iter()
            .map(|(name, value)| (name.trim_start_matches("plimsoll-").to_owned(), Value::from(value)))
            .collect();
        object.insert("partition".to_owned(), record.partition.partition.into());
        object.insert("offset".to_owned(), record.offset.into());
        object.extend(self.keep.key_of(record).map(|key| ("key".to_owned(), text(key))));
        object.extend(self.keep.value_of(record).map(|value| ("value".to_owned(), text(value))));
        line(&mut self.dead_letters, &Value::Object(object).to_string(), "a dead letter")
    }

    fn finding(&mut self, _: &str, json: &str) -> Result<(), Error> {
        line(&mut self.findings, json, "a finding")
    }

    fn is_passing(_: &Error) -> bool {
        false
    }

    fn flush(&mut self, _: Duration) -> Result<(), Error> {
        self.findings.flush().map_err(|source| Error::Write { what: "findings", source })?;
        self.dead_letters.flush().map_err(|source| Error::Write { what: "dead letters", source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{RejectReason, SourcePartition};

    #[test]
    fn dead_letters_and_findings_become_one_line_each() {
        let mut lines = Lines::new(Vec::new(), Vec::new(), Keep { key: false, value_bytes: 4 });
        let record = RejectedRecord {
            partition: &SourcePartition::new("log.ndjson", 0),
            offset: 12,
            reason: RejectReason::InvalidUtf8,
            detail: Some("at byte 2"),
            key: Some(b"jane"),
            value: Some(b"{\"\xff\n and more"),
        };
        lines.finding("k", r#"{"check":"drift"}"#).unwrap();
        lines.dead_letter(&record).unwrap();
        lines.flush(Duration::ZERO).unwrap();
        let (findings, letters) = lines.into_inner();
        assert_eq!(findings, b"{\"check\":\"drift\"}\n");
        let letters = String::from_utf8(letters).unwrap();
        assert_eq!(letters.lines().count(), 1);
        let letter: Value = serde_json::from_str(&letters).unwrap();
        let expected = serde_json::json!({
            "reason": "invalid_utf8", "topic": "log.ndjson", "partition": 0, "offset": 12,
            "detail": "at byte 2", "value": "{\"\u{fffd}\n",
        });
        assert_eq!(letter, expected);
    }
}
