//! From a slot's state and a window's finding to the sequential answer. An alarm is a breach; a pass
//! needs an interval inside the null; silence is neither.

use super::slot::{Slot, Watch};
use super::source::Source;
use super::state::Detectors;
use crate::check::spec::CheckSpec;
use crate::domain::{Finding, Metric, Scope, Sequential, Verdict};
use crate::sketch::Summary;
use crate::stats::edetector::{Reading, Side};
use crate::stats::{interval, sequence};

impl Slot {
    /// The `key` of the slot that a finding of `metric` about `scope` belongs to.
    pub fn key_of(metric: Metric, scope: &Scope) -> String {
        match scope {
            Scope::Group { group, .. } if metric != Metric::SelectionRate => group.clone(),
            scope => scope.to_string(),
        }
    }

    /// Sequences of one model and segment that the budget pays for in a period.
    pub(super) fn paid_starts(&self) -> usize {
        self.starts as usize * self.live as usize
    }

    /// The least and largest rate or mean that is no fault.
    fn null_range(&self) -> Option<[f64; 2]> {
        let Watch::Components { source, components, .. } = &self.watch else {
            return None;
        };
        if matches!(source, Source::Cells { .. }) || components.is_empty() {
            return None;
        }
        let mut range = [0.0, 1.0];
        for component in components {
            let widest = component.hourly.iter().flatten().copied().fold(component.null, f64::max);
            match component.side {
                Side::Above => range[1] = widest,
                Side::Below => range[0] = 1.0 - widest,
            }
        }
        Some(range)
    }
}

impl Detectors {
    /// The sequential answer beside a window's `finding`, and the alarm since the last one, which is
    /// said once. `summary` is the window's; `unpaid` says why the budget does not pay for this
    /// version.
    pub fn answer(
        &mut self,
        slot: (usize, &Slot),
        check: &CheckSpec,
        finding: &Finding,
        summary: &Summary,
        unpaid: Option<&str>,
    ) -> Option<Sequential> {
        let (index, slot) = slot;
        let state = self.state(index)?;
        let log_e = state.detector.log_e();
        let shadow = slot.shadow.as_deref().or(unpaid).map(str::to_owned);
        let alarm = state.alarm.take().map(Box::new);
        let mut answer = Sequential {
            verdict: Verdict::Insufficient,
            shadow,
            reason: None,
            log_e: log_e.is_finite().then_some(log_e),
            log_threshold: slot.budget.log_threshold,
            share: slot.budget.share,
            per_seconds: slot.budget.per.as_secs(),
            panes: state.detector.panes(),
            null: slot.null_range(),
            tolerance: slot.tolerance(),
            groups: Vec::new(),
            evidence: None,
        };
        let mut certain = None;
        if let Watch::Limit(limit) = &slot.watch {
            let none = Vec::new();
            let rates = state.sequence.as_ref().map_or(&none, |sequence| &sequence.rates);
            answer.groups = limit.groups(rates, slot.budget.alpha);
            certain = (!rates.is_empty()).then(|| limit.certain(rates, slot.budget.alpha, check.min_group));
            if state.sequence.as_ref().is_some_and(|sequence| !sequence.paid) {
                answer.reason = Some(format!(
                    "more than {} confidence sequences began in the period, so only the detector acts",
                    slot.paid_starts()
                ));
            }
        }
        if let Some(misfit) = slot.expected.and_then(|expected| state.fit.misfit(expected)) {
            answer.reason = Some(misfit);
        }
        answer.evidence = alarm;
        if answer.shadow.is_some() {
            return Some(answer);
        }
        if answer.evidence.is_some() {
            answer.verdict = Verdict::Breach;
            return Some(answer);
        }
        let (verdict, reason) = match (&slot.watch, certain) {
            (Watch::Limit(_), Some(certain)) => kept(&certain, finding),
            (Watch::Limit(_), None) => (Verdict::Insufficient, Some("no rows since it began".to_owned())),
            (Watch::Components { source, .. }, _) => inside(slot, source, check, finding, summary),
        };
        answer.verdict = verdict;
        answer.reason = match (answer.reason, reason) {
            (Some(first), Some(second)) => Some(format!("{first}; {second}")),
            (first, second) => first.or(second),
        };
        Some(answer)
    }
}

/// A limit is kept when the sequences are certain of it and the last window does not contradict.
fn kept(certain: &super::limit::Certain, finding: &Finding) -> (Verdict, Option<String>) {
    let small =
        (!certain.small.is_empty()).then(|| format!("too few rows to include: {}", certain.small.join(", ")));
    match certain.verdict {
        sequence::Verdict::Compliant if finding.verdict != Some(Verdict::Breach) => (Verdict::Pass, small),
        sequence::Verdict::Compliant => {
            (Verdict::Insufficient, Some("kept since it began, but not in this window".to_owned()))
        }
        _ => (Verdict::Insufficient, Some("neither kept nor violated for certain yet".to_owned())),
    }
}

/// A rate, mean or distribution passes when its interval in the window lies inside the null.
fn inside(
    slot: &Slot,
    source: &Source,
    check: &CheckSpec,
    finding: &Finding,
    summary: &Summary,
) -> (Verdict, Option<String>) {
    let insufficient = |reason: String| (Verdict::Insufficient, Some(reason));
    if finding.value.is_none() {
        return insufficient(finding.reason.clone().unwrap_or_else(|| "no value in this window".to_owned()));
    }
    if finding.n < check.min_samples {
        return insufficient(format!("{} rows, and the check asks for {}", finding.n, check.min_samples));
    }
    let within = match (source, slot.null_range(), finding.interval) {
        (Source::Slower { .. }, ..) => finding.verdict == Some(Verdict::Pass),
        // A bound on PSI may be far wider than the null. Were it enough, a small shift that lasts would
        // clear and alarm by turns; were every cell's interval needed as well, few windows would have
        // the rows for it.
        (Source::Cells { .. }, ..) if check.bound.is_some() => {
            finding.verdict == Some(Verdict::Pass) && every_cell_inside(slot, summary, None)
        }
        (Source::Cells { .. }, ..) => every_cell_inside(slot, summary, Some(check.confidence)),
        (_, Some([low, high]), Some(interval)) => low <= interval[0] && interval[1] <= high,
        _ => false,
    };
    if within {
        (Verdict::Pass, None)
    } else {
        insufficient("no alarm, but the interval is not inside the null either".to_owned())
    }
}

/// Every component against its null: its share in the window or, at a `confidence` over all of them,
/// Wilson's upper end of it.
fn every_cell_inside(slot: &Slot, summary: &Summary, confidence: Option<f64>) -> bool {
    let mut readings = Vec::new();
    slot.read(summary, &mut readings);
    let each = confidence.map(|confidence| 1.0 - (1.0 - confidence) / readings.len().max(1) as f64);
    let inside = |(component, reading): (&crate::stats::edetector::Component, &Reading)| {
        let widest = component.hourly.iter().flatten().copied().fold(component.null, f64::max);
        let end = match each {
            Some(each) => interval::wilson(reading.sum as u64, reading.n as u64, each).map(|it| it.high),
            None => (reading.n > 0.0).then(|| reading.sum / reading.n),
        };
        end.is_some_and(|end| end <= widest)
    };
    slot.components().iter().zip(&readings).all(inside)
}
