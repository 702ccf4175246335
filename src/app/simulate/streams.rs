//! The streams that are watched: a rate, and a feature of ten cells that a normal variable fills
//! alike. Their truth stands still, wanders, follows the day, or changes.

use std::f64::consts::TAU;

use statrs::function::erf::erfc;

use super::random::{Random, binomial, multinomial, normal, uniform};
use crate::stats::special::{normal_pdf, normal_quantile_upper};

/// Rows of a pane.
pub(super) const ROWS: u64 = 500;
/// Rows of a reference.
pub(super) const REFERENCE_ROWS: u64 = 10_000;
/// Panes of five minutes in a day, a week, and the four weeks of the budget.
pub(super) const DAY: u64 = 288;
pub(super) const WEEK: u64 = 7 * DAY;
pub(super) const PERIOD: u64 = 4 * WEEK;
/// The true rate.
pub(super) const RATE: f64 = 0.10;
/// Cells of a feature.
pub(super) const CELLS: usize = 10;

/// Hour of the week of a pane.
pub(super) fn hour(pane: u64) -> usize {
    (pane / 12 % 168) as usize
}

/// How the truth moves without any fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wander {
    /// Not at all.
    Still,
    /// An autoregression of order 1, from pane to pane.
    Ar1 {
        /// What remains of a deviation in the next pane.
        phi: f64,
        /// Standard deviation in the long run, a share.
        sd: f64,
    },
    /// A sine over the day, each stream with a phase of its own.
    Day {
        /// Amplitude, a share.
        amplitude: f64,
    },
}

/// One stream's wandering: the deviation of its true share, pane by pane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    wander: Wander,
    value: f64,
    phase: f64,
}

impl Path {
    pub(super) fn new(wander: Wander, random: &mut Random) -> Self {
        let (value, phase) = match wander {
            Wander::Still => (0.0, 0.0),
            Wander::Ar1 { sd, .. } => (sd * normal(random), 0.0),
            Wander::Day { .. } => (0.0, uniform(random)),
        };
        Self { wander, value, phase }
    }

    /// The deviation at `pane`; panes come in order.
    pub(super) fn at(&mut self, pane: u64, random: &mut Random) -> f64 {
        match self.wander {
            Wander::Still => {}
            Wander::Ar1 { phi, sd } => {
                self.value = phi * self.value + sd * (1.0 - phi * phi).sqrt() * normal(random);
            }
            Wander::Day { amplitude } => {
                let day = (pane % DAY) as f64 / DAY as f64;
                self.value = amplitude * (TAU * (day + self.phase)).sin();
            }
        }
        self.value
    }

    /// The deviation at any time, independently of the path.
    fn any(&self, random: &mut Random) -> f64 {
        match self.wander {
            Wander::Still => 0.0,
            Wander::Ar1 { sd, .. } => sd * normal(random),
            Wander::Day { amplitude } => amplitude * (TAU * uniform(random)).sin(),
        }
    }
}

/// The part of a standard normal variable below `z`.
pub(super) fn below(z: f64) -> f64 {
    0.5 * erfc(-z / std::f64::consts::SQRT_2)
}

/// The nine edges between cells that a standard normal variable fills alike.
pub(super) fn edges() -> [f64; CELLS - 1] {
    std::array::from_fn(|i| {
        let above = 1.0 - (i + 1) as f64 / CELLS as f64;
        normal_quantile_upper(above).expect("a decile lies strictly between 0 and 1")
    })
}

/// Shares of the cells when the variable has this mean and standard deviation.
pub(super) fn cell_shares(edges: &[f64; CELLS - 1], mean: f64, sd: f64) -> [f64; CELLS] {
    let mut shares = [0.0; CELLS];
    let mut before = 0.0;
    for (share, edge) in shares.iter_mut().zip(edges) {
        let upto = below((edge - mean) / sd);
        *share = upto - before;
        before = upto;
    }
    shares[CELLS - 1] = 1.0 - before;
    shares
}

/// The mean at which the share below the median has moved down by `deviation`, to first order.
fn mean_of(deviation: f64) -> f64 {
    deviation / normal_pdf(0.0)
}

/// A rate of which each pane shows a count.
#[derive(Debug)]
pub(super) struct Rate {
    path: Path,
}

impl Rate {
    pub(super) fn new(wander: Wander, random: &mut Random) -> Self {
        Self { path: Path::new(wander, random) }
    }

    /// Count of a reference whose rows come from all times.
    pub(super) fn reference(&self, random: &mut Random) -> u64 {
        // The deviation has mean 0, so that rows of independent times are coins of the mean rate.
        binomial(random, REFERENCE_ROWS, RATE)
    }

    /// Count of the pane.
    pub(super) fn pane(&mut self, pane: u64, random: &mut Random) -> u64 {
        let rate = RATE + self.path.at(pane, random);
        binomial(random, ROWS, rate)
    }
}

/// A feature of which each pane shows counts per cell.
#[derive(Debug)]
pub(super) struct Feature {
    path: Path,
    edges: [f64; CELLS - 1],
    shares: [f64; CELLS],
}

impl Feature {
    pub(super) fn new(wander: Wander, random: &mut Random) -> Self {
        let edges = edges();
        Self { path: Path::new(wander, random), edges, shares: cell_shares(&edges, 0.0, 1.0) }
    }

    /// Counts of a reference whose rows come from all times.
    pub(super) fn reference(&self, random: &mut Random) -> [u64; CELLS] {
        let mut counts = [0; CELLS];
        if self.path.wander == Wander::Still {
            multinomial(random, REFERENCE_ROWS, &self.shares, &mut counts);
        } else {
            for _ in 0..REFERENCE_ROWS {
                let value = normal(random) + mean_of(self.path.any(random));
                counts[self.edges.partition_point(|edge| *edge <= value)] += 1;
            }
        }
        counts
    }

    /// Counts of the pane.
    pub(super) fn pane(&mut self, pane: u64, random: &mut Random) -> [u64; CELLS] {
        if self.path.wander != Wander::Still {
            let deviation = self.path.at(pane, random);
            self.shares = cell_shares(&self.edges, mean_of(deviation), 1.0);
        }
        let mut counts = [0; CELLS];
        multinomial(random, ROWS, &self.shares, &mut counts);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::{Purpose, stream};
    use super::*;

    fn spread(wander: Wander, panes: u64) -> (f64, f64) {
        let mut random = stream(3, Purpose::Budget, 7);
        let mut path = Path::new(wander, &mut random);
        let values: Vec<f64> = (0..panes).map(|pane| path.at(pane, &mut random)).collect();
        let mean = values.iter().sum::<f64>() / panes as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / panes as f64;
        (mean, variance.sqrt())
    }

    #[test]
    fn paths_have_the_standard_deviation_they_state() {
        let (mean, sd) = spread(Wander::Ar1 { phi: 0.9, sd: 0.01 }, 50 * WEEK);
        assert!(mean.abs() < 0.0005 && (sd / 0.01 - 1.0).abs() < 0.05, "{mean} {sd}");
        let (mean, sd) = spread(Wander::Day { amplitude: 0.02 }, WEEK);
        assert!(mean.abs() < 1e-9 && (sd / (0.02 / 2.0_f64.sqrt()) - 1.0).abs() < 1e-9, "{mean} {sd}");
        assert_eq!(spread(Wander::Still, 10), (0.0, 0.0));
    }

    #[test]
    fn cells_are_filled_alike_until_the_mean_moves() {
        let edges = edges();
        assert!(cell_shares(&edges, 0.0, 1.0).iter().all(|share| (share - 0.1).abs() < 1e-9));
        let moved = cell_shares(&edges, mean_of(0.01), 1.0);
        let median: f64 = moved[..5].iter().sum();
        assert!((median - 0.49).abs() < 1e-5, "the share below the median is {median}");
        assert!((moved.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_pane_is_at_its_hour_of_the_week() {
        assert_eq!([hour(0), hour(11), hour(12), hour(WEEK - 1), hour(WEEK)], [0, 0, 1, 167, 0]);
    }
}
