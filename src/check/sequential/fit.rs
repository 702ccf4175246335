//! Whether a calibration still describes the traffic: panes that vary much more than they did when
//! it was made. It only says so. A detector that alarms because its tolerance is too small should be
//! read with that in mind, and one that is silent may be so by luck.

use serde::{Deserialize, Serialize};

use crate::stats::edetector::Reading;

/// Weight of a new pane: about the last 300 panes count, a day of five-minute panes.
const WEIGHT: f64 = 1.0 / 300.0;
/// Panes without which nothing is said.
const FEWEST: u64 = 200;
/// How many times the calibrated spread is too much. Panes that wander together make an estimate
/// from a few hundred of them uncertain by tens of per cent.
const TOO_MUCH: f64 = 1.5;

/// What a calibration saw of one component of a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Expected {
    /// Index of the component.
    pub(super) component: usize,
    /// Standard deviation between panes, beyond sampling, cycle included; a share.
    pub(super) spread: f64,
}

/// Exponentially weighted mean and variance of a share between panes, and the variance that
/// sampling explains of it. Panes without rows are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Fit {
    panes: u64,
    mean: f64,
    variance: f64,
    sampling: f64,
}

impl Fit {
    /// Takes in one pane.
    pub(super) fn step(&mut self, reading: Reading) {
        if reading.n <= 0.0 {
            return;
        }
        self.panes += 1;
        let share = reading.sum / reading.n;
        // A plain mean until there are enough panes for the weights to matter.
        let weight = WEIGHT.max(1.0 / self.panes as f64);
        let distance = share - self.mean;
        self.mean += weight * distance;
        self.variance = (1.0 - weight) * (self.variance + weight * distance * distance);
        let sampling = self.mean * (1.0 - self.mean) / reading.n;
        self.sampling += weight * (sampling - self.sampling);
    }

    /// Standard deviation between panes beyond sampling; none from too few panes.
    fn spread(&self) -> Option<f64> {
        (self.panes >= FEWEST).then(|| (self.variance - self.sampling).max(0.0).sqrt())
    }

    /// Why the calibration does not describe the traffic any more, if it does not.
    pub(super) fn misfit(&self, expected: Expected) -> Option<String> {
        let spread = self.spread()?;
        // What chance alone shows of a spread that is not there: the error of a variance from few panes.
        let noise = self.sampling * (2.0 * WEIGHT.max(1.0 / self.panes as f64)).sqrt() * 3.0;
        let most = (TOO_MUCH * expected.spread).powi(2) + noise;
        (spread * spread > most).then(|| {
            format!(
                "its calibration no longer fits: panes vary by {spread:.4} beyond sampling, and varied by at \
                 most {:.4} when it was made",
                expected.spread
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Binomial, Distribution, Normal};

    use super::*;

    /// The misfits of a rate of .1 that wanders by `sd`, 500 rows a pane, calibrated for .01.
    fn misfits(sd: f64, seeds: u64) -> usize {
        let expected = Expected { component: 0, spread: 0.01 };
        let misfit = |seed: &u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(*seed);
            let (mut fit, mut level) = (Fit::default(), 0.0_f64);
            for _ in 0..1_000 {
                let shock = Normal::new(0.0, sd * (1.0_f64 - 0.81).sqrt()).expect("a standard deviation");
                level = 0.9 * level + shock.sample(&mut rng);
                let rate = (0.1 + level).clamp(0.0, 1.0);
                let k = Binomial::new(500, rate).expect("a rate").sample(&mut rng);
                fit.step(Reading::counts(k, 500));
            }
            fit.misfit(expected).is_some()
        };
        (0..seeds).filter(misfit).count()
    }

    #[test]
    fn panes_that_vary_as_they_did_fit_and_panes_that_vary_three_times_as_much_do_not() {
        assert_eq!(misfits(0.0, 20), 0, "seeds 0 to 19");
        assert!(misfits(0.01, 20) <= 1, "seeds 0 to 19");
        assert_eq!(misfits(0.03, 20), 20, "seeds 0 to 19");
    }

    #[test]
    fn few_panes_and_panes_without_rows_say_nothing() {
        let mut fit = Fit::default();
        for k in 0..199 {
            fit.step(Reading::counts(if k % 2 == 0 { 0 } else { 100 }, 100));
            fit.step(Reading::counts(0, 0));
        }
        assert_eq!(fit.misfit(Expected { component: 0, spread: 0.0 }), None);
        fit.step(Reading::counts(50, 100));
        assert!(fit.misfit(Expected { component: 0, spread: 0.0 }).is_some());
    }
}
