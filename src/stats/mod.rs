//! Pure numbers in, numbers out: divergences, ECDF distances, intervals, confidence sequences,
//! e-values between groups, fairness and performance from counts. No Arrow, no clock, no randomness;
//! every formula names its source.
//!
//! One rule holds everywhere: a number that is not defined is `None`, never NaN, an infinity or a
//! zero. Counts may be any `u64` up to 2^53, the largest up to which `f64` holds every integer.
//! Every interval contains the value that it belongs to, and `confidence` is a probability strictly
//! between 0 and 1 (anything else gives `None`).

pub mod compat;
pub mod dispersion;
pub mod divergence;
pub mod ecdf;
pub mod edetector;
pub mod fairness;
pub mod forest;
pub mod interval;
pub mod limit;
pub mod noncentral;
pub mod pair;
pub mod performance;
pub mod quantile;
pub mod sequence;
pub mod special;
pub mod stable_hash;

mod beta;
mod gamma;
mod root;

/// A closed interval, `low <= high`, both finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// The interval with both ends brought into `lo..=hi`, for values that cannot lie outside.
    #[must_use]
    pub fn clamp(self, lo: f64, hi: f64) -> Self {
        Self { low: self.low.clamp(lo, hi), high: self.high.clamp(lo, hi) }
    }

    /// Whether `value` lies in the interval, ends included.
    pub fn contains(self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// The smallest interval around this one and `value`.
    #[must_use]
    pub(crate) fn including(self, value: f64) -> Self {
        Self { low: self.low.min(value), high: self.high.max(value) }
    }

    /// The interval, if both ends are finite and in order.
    pub(crate) fn checked(low: f64, high: f64) -> Option<Self> {
        (low.is_finite() && high.is_finite() && low <= high).then_some(Self { low, high })
    }
}

/// `1 - confidence`, or `None` where `confidence` is not strictly between 0 and 1.
pub(crate) fn error_rate(confidence: f64) -> Option<f64> {
    let alpha = 1.0 - confidence;
    (confidence > 0.0 && alpha > 0.0).then_some(alpha)
}

/// Sum of counts. The sum is taken in 128 bits, where it cannot overflow, and rounded once.
pub(crate) fn total(counts: &[u64]) -> f64 {
    counts.iter().map(|&count| u128::from(count)).sum::<u128>() as f64
}

/// Both totals, where the slices have the same length and neither side is empty.
pub(crate) fn totals(reference: &[u64], current: &[u64]) -> Option<(f64, f64)> {
    debug_assert_eq!(reference.len(), current.len(), "both sides are counted on the same cells");
    let (n, m) = (total(current), total(reference));
    (reference.len() == current.len() && n > 0.0 && m > 0.0).then_some((n, m))
}

/// `1/n + 1/m`: the variance factor of a difference of two independent shares.
pub(crate) fn inverse_sizes(n: f64, m: f64) -> Option<f64> {
    (n > 0.0 && m > 0.0).then(|| 1.0 / n + 1.0 / m)
}
