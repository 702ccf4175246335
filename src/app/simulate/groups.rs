//! Two groups of a model and the four-fifths limit between their selection rates, watched as the
//! daemon does it: by confidence sequences since the start and by a detector on the limit, half of
//! the slot's share each.

use super::random::{Random, binomial};
use super::streams::PERIOD;
use super::watch::{BUDGET, CHECKS};
use crate::stats::edetector::{Detector, threshold};
use crate::stats::fairness::Rate;
use crate::stats::limit::Limit;
use crate::stats::pair;
use crate::stats::sequence::{Tuning, Verdict, judge};

/// Rows of a group in a pane.
pub(super) const GROUP_ROWS: u64 = 100;
/// Selection rate of the favoured group.
pub(super) const SELECTED: f64 = 0.3;
/// The smaller rate over the larger one is at least this.
pub(super) const FOUR_FIFTHS: f64 = 0.8;
/// Starts of a sequence that a slot pays for in a period.
const STARTS: f64 = 4.0;

/// Selections in a pane whose second group is selected at `ratio` of the first one's rate.
pub(super) fn pane(ratio: f64, random: &mut Random) -> [Rate; 2] {
    [SELECTED, SELECTED * ratio].map(|rate| Rate { k: binomial(random, GROUP_ROWS, rate), n: GROUP_ROWS })
}

/// One slot.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    detector: Detector,
    log_threshold: f64,
    alpha: f64,
    since_start: [Rate; 2],
    violated: bool,
}

impl Groups {
    /// One of [`CHECKS`] slots of equal share.
    pub(super) fn new() -> Self {
        let half = 0.5 * BUDGET / CHECKS as f64;
        Self {
            detector: Detector::new(pair::components(2).count()),
            log_threshold: threshold(PERIOD as f64, half).ln(),
            alpha: half / STARTS,
            since_start: [Rate { k: 0, n: 0 }; 2],
            violated: false,
        }
    }

    /// One pane: whether either rule alarms. A sequence that has found a violation has said
    /// everything it can: it alarms once.
    pub(super) fn step(&mut self, rates: [Rate; 2]) -> bool {
        for (total, rate) in self.since_start.iter_mut().zip(rates) {
            total.k += rate.k;
            total.n += rate.n;
        }
        let limit = Limit::Ratio(FOUR_FIFTHS);
        self.detector.advance(pair::increments(&rates, limit).into_iter().flatten());
        let detected = self.detector.log_e() >= self.log_threshold;
        if detected {
            self.detector.reset();
        }
        let certain = !self.violated && self.certain(limit);
        self.violated |= certain;
        detected || certain
    }

    fn certain(&self, limit: Limit) -> bool {
        // Intervals hold the rates that were seen, so where those keep the limit no interval breaks
        // it, and none has to be computed.
        let share = self.since_start.map(|rate| rate.k as f64 / rate.n.max(1) as f64);
        let (low, high) = (share[0].min(share[1]), share[0].max(share[1]));
        low < FOUR_FIFTHS * high
            && judge(&self.since_start, limit, self.alpha, Tuning::default())
                .is_some_and(|judged| judged.verdict == Verdict::Violation)
    }
}
