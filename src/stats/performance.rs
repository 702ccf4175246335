//! Predictions against labels, from counts: the confusion matrix and what follows from it, macro
//! averages over classes, calibration error. Each value is `None` where its denominator is 0.

use std::f64::consts::FRAC_2_PI;

use super::interval::clopper_pearson;
use super::{Interval, error_rate};

/// Counts of a binary model's labelled rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Predicted positive, is positive.
    pub tp: u64,
    /// Predicted positive, is negative.
    pub fp: u64,
    /// Predicted negative, is negative.
    pub tn: u64,
    /// Predicted negative, is positive.
    pub fn_: u64,
}

impl Confusion {
    /// All labelled rows.
    pub fn n(self) -> u64 {
        self.tp.saturating_add(self.fp).saturating_add(self.tn).saturating_add(self.fn_)
    }

    /// Share of rows predicted right: `(tp + tn) / n`, 0 to 1.
    pub fn accuracy(self) -> Option<f64> {
        share(self.tp.saturating_add(self.tn), self.n())
    }

    /// Share of positive predictions that are positive: `tp / (tp + fp)`, 0 to 1.
    pub fn precision(self) -> Option<f64> {
        share(self.tp, self.tp.saturating_add(self.fp))
    }

    /// Share of positives predicted so, the true positive rate: `tp / (tp + fn)`, 0 to 1.
    pub fn recall(self) -> Option<f64> {
        share(self.tp, self.tp.saturating_add(self.fn_))
    }

    /// Share of negatives predicted so, the true negative rate: `tn / (tn + fp)`, 0 to 1.
    pub fn specificity(self) -> Option<f64> {
        share(self.tn, self.tn.saturating_add(self.fp))
    }

    /// Harmonic mean of precision and recall: `2 tp / (2 tp + fp + fn)`, 0 to 1; `None` where no
    /// row is positive or predicted so.
    pub fn f1(self) -> Option<f64> {
        share(self.tp, self.relevant()).map(f1_of_jaccard)
    }

    /// Interval for the population F1, within 0 to 1; `None` where [`f1`](Self::f1) is, or for a
    /// confidence outside (0, 1).
    ///
    /// Of independent rows, `tp` is binomial given `tp + fp + fn`, and F1 is the increasing function
    /// `2j / (1 + j)` of its rate `j` (the Jaccard index); so the ends are those of an exact
    /// Clopper-Pearson interval for `j`. It needs no delta method and holds for small counts.
    pub fn f1_interval(self, confidence: f64) -> Option<Interval> {
        let jaccard = clopper_pearson(self.tp, self.relevant(), confidence)?;
        let interval = Interval { low: f1_of_jaccard(jaccard.low), high: f1_of_jaccard(jaccard.high) };
        Some(interval.clamp(0.0, 1.0).including(self.f1()?))
    }

    /// Rows that are positive or predicted so.
    fn relevant(self) -> u64 {
        self.tp.saturating_add(self.fp).saturating_add(self.fn_)
    }
}

fn share(k: u64, n: u64) -> Option<f64> {
    (n > 0).then(|| k as f64 / n as f64)
}

fn f1_of_jaccard(jaccard: f64) -> f64 {
    2.0 * jaccard / (1.0 + jaccard)
}

/// Averages over classes with equal weight, each 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MacroAverage<T> {
    /// Mean precision of the classes.
    pub precision: T,
    /// Mean recall of the classes.
    pub recall: T,
    /// Mean F1 of the classes (not the F1 of the means).
    pub f1: T,
}

/// Macro-averaged precision, recall and F1 from a `classes` x `classes` matrix of counts, row by
/// row: row = label, column = prediction.
///
/// As scikit-learn's `average="macro"` does, classes that are neither a label nor a prediction of
/// any row are left out, and a class that is never predicted (or never a label) counts with
/// precision (recall) 0. `None` without rows, or where the slice is not `classes` squared.
pub fn macro_average(counts: &[u64], classes: usize) -> Option<MacroAverage<f64>> {
    let each = one_against_rest(counts, classes)?;
    let mean = |of: fn(Confusion) -> Option<f64>| {
        each.iter().map(|class| of(*class).unwrap_or(0.0)).sum::<f64>() / each.len() as f64
    };
    Some(MacroAverage {
        precision: mean(Confusion::precision),
        recall: mean(Confusion::recall),
        f1: mean(Confusion::f1),
    })
}

/// Intervals for the population values of [`macro_average`]: the mean of exact intervals per class
/// at the error divided by the number of classes, all of which hold at once (union bound).
///
/// A class without a denominator contributes 0 to 1, since its value is not known. `None` where the
/// averages are, or for a confidence outside (0, 1).
pub fn macro_intervals(counts: &[u64], classes: usize, confidence: f64) -> Option<MacroAverage<Interval>> {
    let each = one_against_rest(counts, classes)?;
    let weight = 1.0 / each.len() as f64;
    let confidence = 1.0 - error_rate(confidence)? * weight;
    let mean = |of: fn(Confusion, f64) -> Option<Interval>| {
        let (mut low, mut high) = (0.0, 0.0);
        for class in &each {
            let interval = of(*class, confidence).unwrap_or(Interval { low: 0.0, high: 1.0 });
            low += interval.low * weight;
            high += interval.high * weight;
        }
        Interval { low, high }.clamp(0.0, 1.0)
    };
    let value = macro_average(counts, classes)?;
    let precision = |c: Confusion, confidence| clopper_pearson(c.tp, c.tp.saturating_add(c.fp), confidence);
    let recall = |c: Confusion, confidence| clopper_pearson(c.tp, c.tp.saturating_add(c.fn_), confidence);
    Some(MacroAverage {
        precision: mean(precision).including(value.precision),
        recall: mean(recall).including(value.recall),
        f1: mean(Confusion::f1_interval).including(value.f1),
    })
}

/// Each class that occurs, against all others. `tn` stays 0: nothing here reads it.
fn one_against_rest(counts: &[u64], classes: usize) -> Option<Vec<Confusion>> {
    if classes == 0 || Some(counts.len()) != classes.checked_mul(classes) {
        return None;
    }
    let sum = |cells: &mut dyn Iterator<Item = &u64>| cells.fold(0_u64, |sum, &n| sum.saturating_add(n));
    let each = (0..classes).filter_map(|class| {
        let tp = counts[class * classes + class];
        let labelled = sum(&mut counts[class * classes..][..classes].iter());
        let predicted = sum(&mut counts.iter().skip(class).step_by(classes));
        let occurs = labelled > 0 || predicted > 0;
        occurs.then(|| Confusion { tp, fp: predicted - tp, tn: 0, fn_: labelled - tp })
    });
    Some(each.collect::<Vec<_>>()).filter(|each| !each.is_empty())
}

/// Labelled rows whose score fell into one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CalibrationBin {
    /// Rows.
    pub n: u64,
    /// Rows whose label is positive; at most `n`.
    pub positives: u64,
    /// Sum of the scores, each 0 to 1.
    pub score_sum: f64,
}

impl CalibrationBin {
    /// Mean score; `None` without rows or where the sum is not finite.
    fn mean_score(self) -> Option<f64> {
        (self.n > 0 && self.score_sum.is_finite()).then(|| (self.score_sum / self.n as f64).clamp(0.0, 1.0))
    }
}

/// Expected calibration error: `sum n_b/n |positives_b/n_b - score_sum_b/n_b|`, 0 to 1 (Naeini,
/// Cooper, Hauskrecht, AAAI 2015). `None` without rows, or where a sum is not finite.
pub fn calibration_error(bins: &[CalibrationBin]) -> Option<f64> {
    weighted(bins, |bin, score| Some((share(bin.positives, bin.n)? - score).abs()))
}

/// Interval for the error that the population shows on the same bins, given the scores; 0 to 1.
///
/// Each bin's rate of positives gets a Clopper-Pearson interval at the error divided by the number
/// of bins with rows, so that all hold at once; the ends add up the smallest and the largest
/// distances that these leave. Wide: the errors of the bins do not all go one way. `None` where
/// [`calibration_error`] is, where `positives > n`, or for a confidence outside (0, 1).
pub fn calibration_error_interval(bins: &[CalibrationBin], confidence: f64) -> Option<Interval> {
    let occupied = bins.iter().filter(|bin| bin.n > 0).count().max(1);
    let each = 1.0 - error_rate(confidence)? / occupied as f64;
    let low = weighted(bins, |bin, score| {
        let rate = clopper_pearson(bin.positives, bin.n, each)?;
        Some((rate.low - score).max(score - rate.high).max(0.0))
    })?;
    let high = weighted(bins, |bin, score| {
        let rate = clopper_pearson(bin.positives, bin.n, each)?;
        Some((rate.high - score).max(score - rate.low))
    })?;
    Some(Interval { low, high }.including(calibration_error(bins)?).clamp(0.0, 1.0))
}

/// Mean of [`calibration_error`] for perfectly calibrated scores:
/// `sum n_b/n sqrt(2/pi * s(1-s)/n_b)`, `s` the bin's mean score (each rate is about normal around
/// it). `None` where the error is.
pub fn calibration_error_expected(bins: &[CalibrationBin]) -> Option<f64> {
    weighted(bins, |bin, score| Some((FRAC_2_PI * score * (1.0 - score) / bin.n as f64).sqrt()))
}

/// Mean of `of(bin, its mean score)` over the rows.
fn weighted(bins: &[CalibrationBin], of: impl Fn(CalibrationBin, f64) -> Option<f64>) -> Option<f64> {
    let n: f64 = bins.iter().map(|bin| u128::from(bin.n)).sum::<u128>() as f64;
    let mut sum = 0.0;
    for &bin in bins.iter().filter(|bin| bin.n > 0) {
        sum += bin.n as f64 / n * of(bin, bin.mean_score()?)?;
    }
    (n > 0.0).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_rows_nothing_is_defined() {
        let empty = Confusion::default();
        assert_eq!((empty.accuracy(), empty.precision(), empty.recall()), (None, None, None));
        assert_eq!((empty.specificity(), empty.f1(), empty.f1_interval(0.95)), (None, None, None));
        assert_eq!(calibration_error(&[]), None);
        assert_eq!(calibration_error(&[CalibrationBin::default()]), None);
        assert_eq!(calibration_error_interval(&[CalibrationBin::default()], 0.95), None);
        let nan = CalibrationBin { n: 1, positives: 1, score_sum: f64::NAN };
        assert_eq!(calibration_error(&[nan]), None);
        assert_eq!(macro_average(&[0; 4], 2), None);
        assert_eq!(macro_average(&[1; 5], 2), None);
        assert_eq!(macro_average(&[], 0), None);
    }

    #[test]
    fn macro_averages_are_those_of_scikit_learn() {
        // y_true = 0 1 2 0 1 2, y_pred = 0 2 1 0 0 1: the example in scikit-learn's documentation
        // of precision_score, recall_score and f1_score: 0.22, 0.33, 0.26.
        let found = macro_average(&[2, 0, 0, 1, 0, 1, 0, 2, 0], 3).unwrap();
        assert!((found.precision - 2.0 / 9.0).abs() < 1e-15);
        assert!((found.recall - 1.0 / 3.0).abs() < 1e-15);
        assert!((found.f1 - 0.8 / 3.0).abs() < 1e-15);
        // A class that never occurs changes nothing.
        let padded = [2, 0, 0, 0, 1, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0];
        assert_eq!(macro_average(&padded, 4), Some(found));
        let intervals = macro_intervals(&padded, 4, 0.95).unwrap();
        assert!(intervals.f1.contains(found.f1) && intervals.recall.contains(found.recall));
    }

    #[test]
    fn a_calibrated_score_has_an_interval_from_zero() {
        let bins = [CalibrationBin { n: 1000, positives: 100, score_sum: 100.0 }; 3];
        let interval = calibration_error_interval(&bins, 0.95).unwrap();
        assert_eq!((calibration_error(&bins), interval.low), (Some(0.0), 0.0));
        // Each rate within about 2.4 standard errors of 0.0095.
        assert!((0.02..0.03).contains(&interval.high), "{interval:?}");
        let off = [CalibrationBin { n: 1000, positives: 300, score_sum: 100.0 }];
        assert!(calibration_error_interval(&off, 0.95).unwrap().low > 0.15);
    }
}
