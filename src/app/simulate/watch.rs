//! A slot of the budget: the detector of one check as the daemon runs it, with its threshold.

use super::streams::PERIOD;
use crate::stats::edetector::histogram::{self, Extra};
use crate::stats::edetector::null::{Ends, rate_ends};
use crate::stats::edetector::rate::{self, Allowed};
use crate::stats::edetector::{Component, Detector, Part, Reading, Side, threshold};

/// Checks that share the budget.
pub(super) const CHECKS: usize = 200;
/// False alarms that the budget allows in its period over all checks, on average.
pub(super) const BUDGET: f64 = 1.0;
/// Chance that any bound of a check's reference is wrong, as the daemon has it: .01 over 200 checks.
pub(super) const REFERENCE_ERROR: f64 = 0.01 / CHECKS as f64;

/// Where the null of a rate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Null {
    /// The reference with its own sampling error, as the daemon has it.
    Reference,
    /// The reference's estimate as if it were the truth. It raises alarms all the time: the
    /// reference is itself a sample.
    PlugIn,
}

/// One slot.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    components: Vec<Component>,
    detector: Detector,
    readings: Vec<Reading>,
    log_threshold: f64,
}

impl Watch {
    /// A slot that `components` watch, with this share of the budget and so many panes a period.
    pub(super) fn new(components: Vec<Component>, share: f64, panes_in_period: f64) -> Self {
        let detector = Detector::of(&components);
        let log_threshold = threshold(panes_in_period, share).ln();
        Self { components, detector, readings: Vec::new(), log_threshold }
    }

    /// One of [`CHECKS`] slots of equal share.
    pub(super) fn of_fleet(components: Vec<Component>) -> Self {
        Self::new(components, BUDGET / CHECKS as f64, PERIOD as f64)
    }

    /// One pane of a rate: whether it alarms, after which the detector starts again.
    pub(super) fn rate(&mut self, k: u64, n: u64, hour: usize) -> bool {
        rate_readings(&self.components, k, n, &mut self.readings);
        self.step(hour)
    }

    /// One pane of a histogram.
    pub(super) fn cells(&mut self, counts: &[u64], hour: usize) -> bool {
        histogram::readings(&self.components, counts, &mut self.readings);
        self.step(hour)
    }

    fn step(&mut self, hour: usize) -> bool {
        self.detector.step(&self.components, &self.readings, hour);
        // A mean is at most the largest, so most panes need no sum over the bets to be below the
        // threshold. The margin is far above the rounding of that sum.
        let largest = self.detector.logs().iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let alarm = largest > self.log_threshold - 1e-6 && self.detector.log_e() >= self.log_threshold;
        if alarm {
            self.detector.reset();
        }
        alarm
    }
}

/// What `k` of `n` say to each component of a rate.
pub(super) fn rate_readings(components: &[Component], k: u64, n: u64, out: &mut Vec<Reading>) {
    out.clear();
    let reading = Reading::counts(k, n);
    out.extend(components.iter().map(|component| match component.side {
        Side::Above => reading,
        Side::Below => reading.turned(),
    }));
}

/// Both sides.
pub(super) const BOTH: &[Side] = &[Side::Above, Side::Below];

/// `sides` of a rate of which the reference showed `k` of `m`; the reference error is shared by their
/// bounds.
pub(super) fn rate_components(
    (k, m): (u64, u64),
    null: Null,
    sides: &[Side],
    extra: impl Fn(Part, Side) -> Extra,
) -> Vec<Component> {
    let ends = match null {
        Null::Reference => rate_ends(k, m, REFERENCE_ERROR / sides.len() as f64),
        Null::PlugIn => Some(k as f64 / m as f64).map(|rate| Ends { low: rate, high: rate }),
    };
    let Some(ends) = ends else { return Vec::new() };
    let component = |side: &Side| {
        let end = if *side == Side::Above { ends.high } else { ends.low };
        let Extra { tolerance, hourly } = extra(Part::Whole, *side);
        rate::component(*side, &Allowed { reference: Some(end), tolerance, hourly, limit: None })
    };
    sides.iter().filter_map(component).collect()
}

/// Every part of a histogram; the reference error is shared by its bounds.
pub(super) fn cell_components(
    reference: &[u64],
    ordered: bool,
    extra: impl Fn(Part, Side) -> Extra,
) -> Vec<Component> {
    let bounds = histogram::parts(reference.len(), ordered).len();
    histogram::components(reference, ordered, REFERENCE_ERROR / bounds as f64, extra)
}

/// No tolerance.
pub(super) fn none(_: Part, _: Side) -> Extra {
    Extra::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_alarms_where_the_detector_reaches_its_threshold_and_starts_again() {
        let components = cell_components(&[1_000; 10], true, none);
        assert_eq!(components.len(), 38);
        let mut watch = Watch::of_fleet(components.clone());
        let mut detector = Detector::of(&components);
        let counts = [30, 40, 40, 50, 50, 50, 50, 60, 60, 70];
        let mut readings = Vec::new();
        let mut alarms = Vec::new();
        for pane in 0..60 {
            histogram::readings(&components, &counts, &mut readings);
            detector.step(&components, &readings, 0);
            let expected = detector.log_e() >= (8_064.0_f64 * 200.0).ln();
            assert_eq!(watch.cells(&counts, 0), expected, "pane {pane}");
            if expected {
                alarms.push(pane);
                detector.reset();
            }
        }
        assert!(alarms.len() > 1, "{alarms:?}");
    }
}
