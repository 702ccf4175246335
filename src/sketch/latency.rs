//! Latencies in an HDR histogram: two significant digits from one microsecond to one hour, so that
//! a p99 is within one percent and a pane costs kilobytes. Slower calls count as one hour.

use hdrhistogram::Histogram;

use super::cells::leb128;

/// Longest latency that is told apart, in microseconds: one hour.
const LONGEST: u64 = 3_600_000_000;

/// A mergeable histogram of latencies.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency(Histogram<u32>);

impl Default for Latency {
    fn default() -> Self {
        let mut histogram = Histogram::new_with_bounds(1, LONGEST, 2)
            .expect("1 < 3.6e9 and two digits are within the histogram's limits");
        histogram.auto(false);
        Self(histogram)
    }
}

impl Latency {
    /// Counts one latency of `seconds`; negative and non-finite values are not latencies and are
    /// left out.
    pub fn add(&mut self, seconds: f64) {
        if seconds.is_finite() && seconds >= 0.0 {
            self.0.saturating_record(((seconds * 1e6).round() as u64).max(1));
        }
    }

    /// Latencies counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency, in seconds, of the `rank`-th fastest call (1-based); none if there are fewer.
    pub fn at_rank(&self, rank: u64) -> Option<f64> {
        if rank == 0 || rank > self.count() {
            return None;
        }
        let mut seen = 0;
        self.0.iter_recorded().find_map(|step| {
            seen += step.count_since_last_iteration();
            (seen >= rank).then(|| step.value_iterated_to() as f64 / 1e6)
        })
    }

    /// Calls that took longer than `seconds` for certain: a cell that reaches down to it is left out.
    pub fn slower_than(&self, seconds: f64) -> u64 {
        let limit = (seconds * 1e6).max(0.0) as u64;
        let steps = self.0.iter_recorded();
        let slower = steps.filter(|step| self.0.lowest_equivalent(step.value_iterated_to()) > limit);
        slower.map(|step| u64::from(step.count_at_value())).sum()
    }

    /// Adds `other`.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both histograms have the same bounds");
    }

    /// Takes away `other`, which was merged before.
    pub fn subtract(&mut self, other: &Self) {
        self.0.subtract(&other.0).expect("what is taken away was merged before");
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.0.distinct_values() * size_of::<u32>()
    }

    /// The occupied cells, ascending: value in microseconds, and how often.
    pub fn counts(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value()))
    }

    /// Latencies of occupied cells, as `counts` gives them.
    pub fn of_counts(counts: impl IntoIterator<Item = (u64, u32)>) -> Self {
        let mut latency = Self::default();
        for (value, count) in counts {
            latency.0.saturating_record_n(value, count);
        }
        latency
    }

    /// Appends the occupied cells as pairs of LEB128 integers: value in microseconds, count.
    pub fn encode(&self, out: &mut Vec<u8>) {
        leb128(self.0.iter_recorded().count() as u128, out);
        for step in self.0.iter_recorded() {
            leb128(u128::from(step.value_iterated_to()), out);
            leb128(u128::from(step.count_at_value()), out);
        }
    }
}
