//! False alarms over seeds: their mean and how well it is known.

use super::report::Cell;
use crate::stats::interval;

/// False alarms, one number per seed.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    per_seed: Vec<u64>,
}

/// Heads of the columns that [`Tally::cells`] fills.
pub(super) const COLUMNS: [&str; 4] = ["mean", "standard error", "95 % upper limit", "most in one seed"];

impl Tally {
    pub(super) fn new(per_seed: Vec<u64>) -> Self {
        Self { per_seed }
    }

    pub(super) fn mean(&self) -> f64 {
        self.per_seed.iter().sum::<u64>() as f64 / self.per_seed.len() as f64
    }

    /// Standard error of the mean; none for one seed.
    fn standard_error(&self) -> Option<f64> {
        let n = self.per_seed.len() as f64;
        let mean = self.mean();
        let squares: f64 = self.per_seed.iter().map(|alarms| (*alarms as f64 - mean).powi(2)).sum();
        (n > 1.0).then(|| (squares / (n - 1.0) / n).sqrt())
    }

    /// Upper end of the mean at 95 %, as if alarms were independent and rare (Poisson): what no
    /// alarm at all in so many seeds still allows.
    fn upper_limit(&self) -> Option<f64> {
        let total = self.per_seed.iter().sum();
        Some(interval::poisson_exact(total, 0.9)?.high / self.per_seed.len() as f64)
    }

    pub(super) fn cells(&self) -> Vec<Cell> {
        let number = |value: Option<f64>| value.map_or(Cell::Blank, |value| Cell::Number(value, 3));
        let most = self.per_seed.iter().copied().max().unwrap_or(0);
        vec![
            number(Some(self.mean())),
            number(self.standard_error()),
            number(self.upper_limit()),
            Cell::Count(most),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_alarm_in_ten_seeds_leaves_a_mean_of_up_to_three_tenths() {
        let tally = Tally::new(vec![0; 10]);
        assert_eq!(tally.mean(), 0.0);
        // The rule of three: ln 20 = 2.996.
        assert!((tally.upper_limit().unwrap() - 0.299_573).abs() < 1e-6);
        assert_eq!(tally.cells()[3], Cell::Count(0));
    }

    #[test]
    fn the_standard_error_is_that_of_the_mean() {
        let tally = Tally::new(vec![1, 3]);
        assert_eq!((tally.mean(), tally.standard_error()), (2.0, Some(1.0)));
        assert_eq!(Tally::new(vec![4]).cells()[1], Cell::Blank);
    }
}
