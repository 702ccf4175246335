//! An alarm in one line: what an engineer reads at three in the morning, and the headline of the
//! explanation.

use crate::check::sequential::recompute::{looks_below, widest_breach};
use crate::domain::sequential::{ComponentEvidence, Rule};
use crate::domain::{Bound, Evidence, Finding, Metric, ModelKey};
use crate::stats::Interval;
use crate::stats::limit::Limit;

/// `value` with four significant digits; small and large ones with an exponent.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    if !(1e-4..1e7).contains(&size) {
        return format!("{value:.3e}");
    }
    let decimals = (3 - size.log10().floor() as i32).clamp(0, 8) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Text from findings without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// Which model version, as decisions write it.
pub(super) fn whose(finding: &Finding) -> String {
    let key = ModelKey {
        tenant: finding.tenant.clone(),
        model: finding.model.clone(),
        version: finding.version.clone(),
        segment: finding.segment.clone(),
        profile: None,
    };
    plain(&key.to_string())
}

/// A component as its rate reads: what it looks at, seen, allowed, and what the reference allows.
pub(super) struct Reading {
    pub(super) of: String,
    pub(super) seen: f64,
    pub(super) count: f64,
    pub(super) rows: f64,
    pub(super) allowed: f64,
    pub(super) reference: Option<f64>,
    pub(super) below: bool,
}

impl Reading {
    /// None for a pair of groups.
    pub(super) fn of(component: &ComponentEvidence) -> Option<Self> {
        let (&[n], &[sum], &[null]) =
            (component.n.as_slice(), component.sum.as_slice(), component.null.as_slice())
        else {
            return None;
        };
        let below = looks_below(component);
        let turn = |value: f64, whole: f64| if below { whole - value } else { value };
        let name = component.name.trim_end_matches(" below").trim_end_matches(" above");
        Some(Self {
            of: plain(name),
            seen: turn(sum, n) / n.max(1.0),
            count: turn(sum, n),
            rows: n,
            allowed: turn(null, 1.0),
            reference: component.reference,
            below,
        })
    }

    /// `at most 0.0475`.
    pub(super) fn limit(&self) -> String {
        format!("at {} {}", if self.below { "least" } else { "most" }, number(self.allowed))
    }
}

/// The component that carries most.
pub(super) fn top(evidence: &Evidence) -> Option<&ComponentEvidence> {
    evidence.components.iter().max_by(|a, b| a.share.total_cmp(&b.share))
}

/// What of the model a finding is about, in words.
pub(super) fn subject(finding: &Finding) -> String {
    let metric = finding.metric.name().replace('_', " ");
    match &finding.scope {
        crate::domain::Scope::Model {} => metric,
        crate::domain::Scope::Group { group, .. } if finding.metric != Metric::SelectionRate => {
            format!("{metric} between groups of {}", plain(group))
        }
        scope => format!("{metric} of {}", plain(&scope.to_string())),
    }
}

/// The pair of groups of a confidence sequence that breaks the limit by most: lower and higher group
/// as indexes into the evidence's groups.
pub(super) fn certain_pair(evidence: &Evidence) -> Option<(usize, usize)> {
    let limit = match evidence.limit.as_deref()?.parse().ok()? {
        Bound::AtLeast(ratio) => Limit::Ratio(ratio),
        Bound::AtMost(difference) => Limit::Difference(difference),
        Bound::Between(..) => return None,
    };
    let mut worst: Option<(usize, usize, f64)> = None;
    let mut begin = 0;
    for kind in evidence.groups.chunk_by(|a, b| a.rate == b.rate) {
        let interval = |[low, high]: [f64; 2]| Interval { low, high };
        let intervals: Vec<Interval> =
            kind.iter().map(|group| interval(group.interval.unwrap_or([0.0, 1.0]))).collect();
        let found = widest_breach(&intervals, limit).map(|(a, b, by)| (begin + a, begin + b, by));
        worst = match (worst, found) {
            (Some(old), Some(new)) => Some(if new.2 < old.2 { new } else { old }),
            (old, new) => old.or(new),
        };
        begin += kind.len();
    }
    worst.map(|(low, high, _)| (low, high))
}

/// From what to what, in words.
pub(super) fn moved(evidence: &Evidence) -> Option<String> {
    if evidence.rule == Rule::ConfidenceSequence {
        let (low, high) = certain_pair(evidence)?;
        let group = |index: usize| {
            let group = &evidence.groups[index];
            let interval = group.interval.map_or_else(
                || "no rows".to_owned(),
                |[low, high]| format!("{} to {}", number(low), number(high)),
            );
            format!("{} of {} is {interval}", plain(&group.rate.replace('_', " ")), plain(&group.group))
        };
        let limit = evidence.limit.as_deref().unwrap_or("");
        return Some(format!("{}, {}, limit {}", group(low), group(high), plain(limit)));
    }
    let top = top(evidence)?;
    if let Some(reading) = Reading::of(top) {
        let from = reading
            .reference
            .map(|end| format!(" from {} {} in the reference", side(reading.below), number(end)))
            .unwrap_or_default();
        return Some(format!(
            "{}{from} to {} ({} of {} rows), {} is no fault",
            reading.of,
            number(reading.seen),
            number(reading.count),
            number(reading.rows),
            reading.limit(),
        ));
    }
    let (&[low_n, high_n], &[low_k, high_k]) = (top.n.as_slice(), top.sum.as_slice()) else { return None };
    let rate = |k: f64, n: f64| format!("{} ({k} of {n} rows)", number(k / f64::max(n, 1.0)));
    Some(format!(
        "{}: {} against {}, limit {}",
        plain(&top.name.replace('_', " ")),
        rate(low_k, low_n),
        rate(high_k, high_n),
        plain(evidence.limit.as_deref().unwrap_or(""))
    ))
}

fn side(below: bool) -> &'static str {
    if below { "at least" } else { "at most" }
}

/// An alarm in one line; none for a finding without one.
pub fn alarm_line(finding: &Finding) -> Option<String> {
    let sequential = finding.sequential.as_ref()?;
    let evidence = sequential.evidence.as_deref()?;
    let strength = match (evidence.log_e_after, evidence.log_threshold, evidence.alpha) {
        (Some(log_e), Some(least), _) => format!("ln e {log_e:.2}, alarm from {least:.2}"),
        (.., Some(alpha)) => format!("certain at level {}", number(alpha)),
        _ => "of unknown strength".to_owned(),
    };
    let shadow = if sequential.shadow.is_some() { " in shadow, so nothing acts" } else { "" };
    let moved = moved(evidence).unwrap_or_else(|| "without numbers".to_owned());
    Some(format!(
        "alarm{shadow}: {} {}, {}: {moved}; {strength}",
        whose(finding),
        plain(&finding.check),
        subject(finding)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits_and_no_idle_zeros() {
        for (value, text) in [
            (0.0, "0"),
            (0.1, "0.1"),
            (0.047_51, "0.04751"),
            (200.0, "200"),
            (14.934_8, "14.93"),
            (1e-9, "1.000e-9"),
            (12_345.0, "12345"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
