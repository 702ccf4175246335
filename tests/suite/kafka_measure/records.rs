//! The records: JSON with so many numeric features, a prediction and a score, that follow from a number.

use std::fmt::Write;

use crate::support::Stream;

/// One record.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) partition: i32,
    pub(super) value: String,
}

/// Generates records.
pub(super) struct Records {
    random: Stream,
    features: usize,
    /// Whether features are told from their usual range.
    pub(super) shifted: bool,
}

impl Records {
    pub(super) fn new(seed: u64, features: usize) -> Self {
        Self { random: Stream(seed), features, shifted: false }
    }

    /// A number from 0 to `below`.
    pub(super) fn below(&mut self, below: usize) -> usize {
        (self.random.uniform() * below as f64) as usize
    }

    /// A record of `model` at `time`, milliseconds since the epoch.
    pub(super) fn value(&mut self, model: &str, time: i64) -> String {
        let mut text = format!(r#"{{"model":"{model}","version":"v1","ts":{time},"features":{{"#);
        for feature in 0..self.features {
            let comma = if feature == 0 { "" } else { "," };
            let shift = if self.shifted { 30.0 } else { 0.0 };
            let value = 100.0 * self.random.uniform() * self.random.uniform() + shift;
            write!(text, r#"{comma}"f{feature:02}":{value:.3}"#).unwrap();
        }
        let score = self.random.uniform();
        write!(text, r#"}},"prediction":{},"score":{score:.4}}}"#, u8::from(score > 0.5)).unwrap();
        text
    }
}

/// Names of `models` models.
pub(super) fn names(models: usize) -> Vec<String> {
    (0..models).map(|number| format!("m{number:04}")).collect()
}
