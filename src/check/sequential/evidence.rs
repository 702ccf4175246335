//! What an alarm carries: every number that it follows from, so that an auditor can compute it again
//! and a reader sees which part of the data it came from.

use super::limit::Limit;
use super::slot::{Slot, Watch};
use super::state::{PaneOf, Sequence};
use crate::domain::Evidence;
use crate::domain::sequential::{ComponentEvidence, Rule};
use crate::stats::edetector::{Detector, Reading, log_sum_exp};
use crate::stats::fairness::Rate;

fn finite(log: f64) -> Option<f64> {
    log.is_finite().then_some(log)
}

fn detected(slot: &Slot, before: &Detector, after: &Detector, pane: PaneOf) -> Evidence {
    Evidence {
        rule: Rule::EDetector,
        pane: pane.window,
        panes: after.panes(),
        log_e_before: finite(before.log_e()),
        log_e_after: finite(after.log_e()),
        log_threshold: Some(slot.budget.log_threshold),
        alpha: None,
        limit: None,
        components: Vec::new(),
        omitted: 0,
        groups: Vec::new(),
        moved: Vec::new(),
    }
}

/// Cuts the logarithms of one component out of those of all.
struct Cut<'a> {
    before: &'a [f64],
    after: &'a [f64],
    whole: f64,
    at: usize,
}

impl<'a> Cut<'a> {
    fn new(before: &'a Detector, after: &'a Detector) -> Self {
        Self { before: before.logs(), after: after.logs(), whole: log_sum_exp(after.logs()), at: 0 }
    }

    fn next(&mut self, bets: usize) -> (Vec<Option<f64>>, Vec<Option<f64>>, f64) {
        let range = self.at..self.at + bets;
        self.at += bets;
        let (before, after) = (&self.before[range.clone()], &self.after[range]);
        let share = (log_sum_exp(after) - self.whole).exp();
        let all = |logs: &[f64]| logs.iter().map(|log| finite(*log)).collect();
        (all(before), all(after), share)
    }
}

/// An alarm of a rate, a mean or a histogram.
pub(super) fn of_components(
    slot: &Slot,
    before: &Detector,
    after: &Detector,
    readings: &[Reading],
    pane: PaneOf,
) -> Evidence {
    let mut evidence = detected(slot, before, after, pane);
    let Watch::Components { components, names, .. } = &slot.watch else {
        return evidence;
    };
    let mut cut = Cut::new(before, after);
    for ((component, name), reading) in components.iter().zip(names).zip(readings) {
        let (before, after, share) = cut.next(component.bets.len());
        let hourly = component.hourly.as_ref().and_then(|hourly| hourly.get(pane.hour));
        evidence.components.push(ComponentEvidence {
            name: name.clone(),
            n: vec![reading.n],
            sum: vec![reading.sum],
            null: vec![component.null_at(pane.hour)],
            reference: component.reference,
            // By hour the null itself says it; the tolerance is what it adds to the reference.
            tolerance: component.reference.and(hourly.is_none().then_some(component.tolerance)),
            lambda: component.bets.iter().map(|bet| bet.lambda).collect(),
            before,
            after,
            share,
        });
    }
    evidence
}

/// An alarm of the detector on a limit between groups.
pub(super) fn of_pairs(
    slot: &Slot,
    limit: &Limit,
    before: &Detector,
    after: &Detector,
    rates: &[Rate],
    pane: PaneOf,
) -> Evidence {
    let mut evidence = detected(slot, before, after, pane);
    evidence.limit = Some(limit.bound.to_string());
    let mut cut = Cut::new(before, after);
    for (name, low, high, bets) in limit.pairs(rates) {
        let (before, after, share) = cut.next(bets.len());
        evidence.components.push(ComponentEvidence {
            name,
            n: vec![low.n as f64, high.n as f64],
            sum: vec![low.k as f64, high.k as f64],
            null: limit.line(),
            reference: None,
            tolerance: None,
            lambda: bets.iter().flat_map(|bet| [bet.scale, bet.centre]).collect(),
            before,
            after,
            share,
        });
    }
    evidence
}

/// An alarm of the confidence sequences.
pub(super) fn of_sequence(slot: &Slot, limit: &Limit, sequence: &Sequence, pane: PaneOf) -> Evidence {
    Evidence {
        rule: Rule::ConfidenceSequence,
        pane: pane.window,
        panes: sequence.panes,
        log_e_before: None,
        log_e_after: None,
        log_threshold: None,
        alpha: Some(slot.budget.alpha),
        limit: Some(limit.bound.to_string()),
        components: Vec::new(),
        omitted: 0,
        groups: limit.groups(&sequence.rates, slot.budget.alpha),
        moved: Vec::new(),
    }
}
