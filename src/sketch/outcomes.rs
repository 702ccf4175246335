//! Outcomes of one group: how many rows, how many were selected, and against labels. Every
//! fairness metric of the catalogue is a function of these six integers per group.

use serde::{Deserialize, Serialize};

use super::cells::leb128;
use crate::stats::fairness::Rate;

/// Counts of one group. The four label cells cover only rows that carry a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupOutcomes {
    /// Rows with a prediction.
    pub n: u64,
    /// Of those, predicted positive.
    pub selected: u64,
    /// Predicted positive, label positive.
    pub true_positive: u64,
    /// Predicted positive, label negative.
    pub false_positive: u64,
    /// Predicted negative, label negative.
    pub true_negative: u64,
    /// Predicted negative, label positive.
    pub false_negative: u64,
}

impl GroupOutcomes {
    /// Counts one row with a prediction, and its label where there is one.
    pub fn add(&mut self, selected: bool, label: Option<bool>) {
        self.n += 1;
        self.selected += u64::from(selected);
        match (selected, label) {
            (true, Some(true)) => self.true_positive += 1,
            (true, Some(false)) => self.false_positive += 1,
            (false, Some(false)) => self.true_negative += 1,
            (false, Some(true)) => self.false_negative += 1,
            (_, None) => {}
        }
    }

    /// Adds `other`.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.fields_mut().into_iter().zip(other.fields()) {
            *mine += theirs;
        }
    }

    /// Takes away `other`, which was merged before.
    pub fn subtract(&mut self, other: &Self) {
        for (mine, theirs) in self.fields_mut().into_iter().zip(other.fields()) {
            *mine -= theirs;
        }
    }

    /// Selected of all.
    pub fn selection(&self) -> Rate {
        Rate { k: self.selected, n: self.n }
    }

    /// True positives of all positive labels.
    pub fn true_positive_rate(&self) -> Rate {
        Rate { k: self.true_positive, n: self.true_positive + self.false_negative }
    }

    /// False positives of all negative labels.
    pub fn false_positive_rate(&self) -> Rate {
        Rate { k: self.false_positive, n: self.false_positive + self.true_negative }
    }

    /// Appends the counts as LEB128 integers.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for field in self.fields() {
            leb128(u128::from(field), out);
        }
    }

    fn fields(&self) -> [u64; 6] {
        [
            self.n,
            self.selected,
            self.true_positive,
            self.false_positive,
            self.true_negative,
            self.false_negative,
        ]
    }

    fn fields_mut(&mut self) -> [&mut u64; 6] {
        [
            &mut self.n,
            &mut self.selected,
            &mut self.true_positive,
            &mut self.false_positive,
            &mut self.true_negative,
            &mut self.false_negative,
        ]
    }
}
