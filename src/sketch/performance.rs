//! Predictions against labels, as counts and fixed-point sums. A sum of f64 would depend on the
//! order of addition; units of 2^-40 do not, and lose less than 1e-12 a row.

use serde::{Deserialize, Serialize};

use super::cells::leb128;
use crate::stats::performance::{CalibrationBin, Confusion};

/// Fixed-point units in 1.
const UNIT: f64 = (1_u64 << 40) as f64;
/// Bins of the calibration table: ten, equally wide.
pub const CALIBRATION_BINS: usize = 10;
/// Scores are kept this far from 0 and 1 in the log loss.
const CLIP: f64 = 1e-15;

/// The value of a non-negative number in fixed point.
fn fixed(value: f64) -> u128 {
    (value * UNIT).round() as u128
}

/// A number's value from fixed point.
fn float(units: u128) -> f64 {
    units as f64 / UNIT
}

/// A mean's ingredients: how many, their sum and the sum of their squares, in fixed point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedSum {
    sum: u128,
    squares: u128,
}

impl FixedSum {
    fn add(&mut self, value: f64) {
        self.sum += fixed(value);
        self.squares += fixed(value * value);
    }

    /// The sum.
    pub fn sum(&self) -> f64 {
        float(self.sum)
    }

    /// The sum of squares.
    pub fn squares(&self) -> f64 {
        float(self.squares)
    }
}

/// One bin of the calibration table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Bin {
    n: u64,
    positives: u64,
    scores: u128,
}

/// What is known about predictions and labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerformanceCounts {
    /// Rows with a prediction and a label.
    pub labelled: u64,
    /// Of those, prediction equal to label.
    pub correct: u64,
    /// Outcomes of the positive class: tp, fp, tn, fn.
    outcomes: [u64; 4],
    /// Rows with a label and a score within 0 and 1.
    pub scored: u64,
    brier: FixedSum,
    log_loss: FixedSum,
    bins: [Bin; CALIBRATION_BINS],
    /// Label by prediction, classes and `other`, row by row; empty unless multiclass.
    classes: Vec<u64>,
}

impl PerformanceCounts {
    /// Empty counts; `classes` is the number of declared classes of a multiclass model, else 0.
    pub fn new(classes: usize) -> Self {
        let cells = if classes == 0 { 0 } else { (classes + 1) * (classes + 1) };
        Self { classes: vec![0; cells], ..Self::default() }
    }

    /// Counts a prediction with its label: whether they are equal, and whether each is positive.
    pub fn add(&mut self, correct: bool, predicted_positive: bool, positive: bool) {
        self.labelled += 1;
        self.correct += u64::from(correct);
        let cell = match (predicted_positive, positive) {
            (true, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (false, true) => 3,
        };
        self.outcomes[cell] += 1;
    }

    /// Counts a class pair of a multiclass model; the last class index stands for `other`.
    pub fn add_classes(&mut self, label: usize, prediction: usize) {
        let k = self.class_count();
        if label < k && prediction < k {
            self.classes[label * k + prediction] += 1;
        }
    }

    /// Counts a score against a binary label. Scores outside 0 and 1 are no probabilities and are
    /// left out.
    pub fn add_score(&mut self, score: f64, positive: bool) {
        if !(0.0..=1.0).contains(&score) {
            return;
        }
        self.scored += 1;
        let label = f64::from(u8::from(positive));
        self.brier.add((score - label) * (score - label));
        let likelihood = if positive { score } else { 1.0 - score };
        self.log_loss.add(-likelihood.clamp(CLIP, 1.0 - CLIP).ln());
        let bin = ((score * CALIBRATION_BINS as f64) as usize).min(CALIBRATION_BINS - 1);
        let bin = &mut self.bins[bin];
        bin.n += 1;
        bin.positives += u64::from(positive);
        bin.scores += fixed(score);
    }

    /// Outcomes of the positive class.
    pub fn confusion(&self) -> Confusion {
        let [tp, fp, tn, fn_] = self.outcomes;
        Confusion { tp, fp, tn, fn_ }
    }

    /// Squared distances of scores from labels.
    pub fn brier(&self) -> &FixedSum {
        &self.brier
    }

    /// Negative log likelihoods of labels, nats.
    pub fn log_loss(&self) -> &FixedSum {
        &self.log_loss
    }

    /// The calibration table.
    pub fn calibration(&self) -> Vec<CalibrationBin> {
        self.bins
            .iter()
            .map(|bin| CalibrationBin { n: bin.n, positives: bin.positives, score_sum: float(bin.scores) })
            .collect()
    }

    /// The confusion matrix of a multiclass model, label by prediction, `other` last, row by row,
    /// and its number of classes; empty for other tasks.
    pub fn class_matrix(&self) -> (&[u64], usize) {
        (&self.classes, self.class_count())
    }

    fn class_count(&self) -> usize {
        self.classes.len().isqrt()
    }

    /// Adds `other`.
    pub fn merge(&mut self, other: &Self) {
        self.zip(other, |a, b| a + b);
    }

    /// Takes away `other`, which was merged before.
    pub fn subtract(&mut self, other: &Self) {
        self.zip(other, |a, b| a - b);
    }

    fn zip(&mut self, other: &Self, op: impl Fn(u128, u128) -> u128) {
        let small = |a: &mut u64, b: u64| *a = op(u128::from(*a), u128::from(b)) as u64;
        small(&mut self.labelled, other.labelled);
        small(&mut self.correct, other.correct);
        small(&mut self.scored, other.scored);
        for (mine, theirs) in self.outcomes.iter_mut().zip(other.outcomes) {
            small(mine, theirs);
        }
        for (mine, theirs) in self.classes.iter_mut().zip(&other.classes) {
            small(mine, *theirs);
        }
        for (mine, theirs) in self.bins.iter_mut().zip(&other.bins) {
            small(&mut mine.n, theirs.n);
            small(&mut mine.positives, theirs.positives);
            mine.scores = op(mine.scores, theirs.scores);
        }
        for (mine, theirs) in [(&mut self.brier, &other.brier), (&mut self.log_loss, &other.log_loss)] {
            mine.sum = op(mine.sum, theirs.sum);
            mine.squares = op(mine.squares, theirs.squares);
        }
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.classes.len() * size_of::<u64>()
    }

    /// Appends the counts as LEB128 integers.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let counts = [self.labelled, self.correct, self.scored];
        for count in counts.iter().chain(&self.outcomes).chain(&self.classes) {
            leb128(u128::from(*count), out);
        }
        for bin in &self.bins {
            leb128(u128::from(bin.n), out);
            leb128(u128::from(bin.positives), out);
            leb128(bin.scores, out);
        }
        for sum in [&self.brier, &self.log_loss] {
            leb128(sum.sum, out);
            leb128(sum.squares, out);
        }
    }
}
