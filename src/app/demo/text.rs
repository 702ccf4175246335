//! How numbers, times and findings are written on the screen and in plain lines: short, of steady
//! width, the same in both.

use std::fmt::Write as _;
use std::time::Duration;

use crate::domain::{Decision, EventTime, Evidence, Finding, ModelKey, Verdict};
use crate::engine::view::{ActionView, View};

use super::worst::nearness;

/// A count with its thousands apart: `1,234,567`.
pub(super) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count in at most five characters: `847`, `12.3k`, `119k`, `1.8M`.
pub(super) fn compact(count: u64) -> String {
    let value = count as f64;
    // Each limit is where the next form would round to one digit more.
    match count {
        0..1_000 => count.to_string(),
        1_000..99_950 => format!("{:.1}k", value / 1e3),
        99_950..999_500 => format!("{:.0}k", value / 1e3),
        999_500..99_950_000 => format!("{:.1}M", value / 1e6),
        _ => format!("{:.0}M", value / 1e6),
    }
}

/// A metric's value in about six characters.
pub(super) fn value(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => compact(size as u64),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.001 || size == 0.0 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

/// The interval of a value; empty where there is none.
pub(super) fn interval(interval: Option<[f64; 2]>) -> String {
    interval.map(|[low, high]| format!("[{} {}]", value(low), value(high))).unwrap_or_default()
}

/// The time of day of an event time, `10:17:30`.
pub(super) fn clock(at: EventTime) -> String {
    let text = at.to_string();
    match text.split_once('T') {
        Some((_, time)) => time.trim_end_matches('Z').split('.').next().unwrap_or_default().to_owned(),
        None => text,
    }
}

/// A span in minutes and seconds: `17m30s`, `42s`.
pub(super) fn span(span: Duration) -> String {
    match span.as_secs() {
        secs @ 0..60 => format!("{secs}s"),
        secs => format!("{}m{:02}s", secs / 60, secs % 60),
    }
}

/// What the finding is about: check, and feature or groups where it has any.
pub(super) fn subject(finding: &Finding) -> String {
    match finding.scope.to_string().as_str() {
        "model" => finding.check.clone(),
        scope => format!("{} {scope}", finding.check),
    }
}

/// A verdict as a word that is seen without colour.
pub(super) const fn verdict(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Breach) => "BREACH",
        Some(verdict) => verdict.name(),
        None => "shown",
    }
}

/// The alarm of a finding, if it is one that acts.
fn alarm(finding: &Finding) -> Option<&Evidence> {
    let sequential = finding.sequential.as_ref()?;
    sequential.evidence.as_deref().filter(|_| sequential.verdict == Verdict::Breach)
}

/// An alarm in one line: `all under 10.2 below: ln e 21.4, alarm at 17.9`.
fn alarmed(evidence: &Evidence) -> String {
    let most = evidence.components.iter().max_by(|a, b| a.share.total_cmp(&b.share));
    match (most, evidence.log_e_after, evidence.log_threshold) {
        (Some(most), Some(log_e), Some(threshold)) => {
            format!("{}: ln e {log_e:.1}, alarm at {threshold:.1}", short_numbers(&most.name))
        }
        _ => format!("violates {} for certain", evidence.limit.as_deref().unwrap_or("its limit")),
    }
}

/// Edges of cells have as many digits as they need; a line has room for four.
fn short_numbers(text: &str) -> String {
    let short = |word: &str| match word.parse::<f64>() {
        Ok(number) if word.len() > 6 => value(number),
        _ => word.to_owned(),
    };
    text.split(' ').map(short).collect::<Vec<_>>().join(" ")
}

/// The finding of a decision that says most: an alarm before all others, the strongest first; else
/// the breach furthest beyond its bound, else the one nearest to it.
pub(super) fn telling(decision: &Decision) -> Option<&Finding> {
    let strength =
        |finding: &&Finding| alarm(finding).and_then(|evidence| evidence.log_e_after).unwrap_or(0.0);
    let alarms = decision.evidence.iter().filter(|finding| alarm(finding).is_some());
    if let Some(strongest) = alarms.max_by(|a, b| strength(a).total_cmp(&strength(b))) {
        return Some(strongest);
    }
    decision.evidence.iter().filter(|finding| finding.value.is_some() && finding.bound.is_some()).max_by(
        |a, b| {
            let rank = |finding: &Finding| (finding.verdict == Some(Verdict::Breach), nearness(finding));
            let ((a_breach, a_near), (b_breach, b_near)) = (rank(a), rank(b));
            a_breach.cmp(&b_breach).then(a_near.total_cmp(&b_near))
        },
    )
}

/// A finding in one line: `feature-psi income 0.243 [0.238 0.249], bound <= 0.1, n 119,880`.
pub(super) fn finding(finding: &Finding) -> String {
    let mut text = subject(finding);
    if let Some(evidence) = alarm(finding) {
        let _ = write!(text, ", {}", alarmed(evidence));
        return text;
    }
    match finding.value {
        Some(number) => {
            let _ = write!(text, " {}", value(number));
        }
        None => text.push_str(" undefined"),
    }
    if finding.interval.is_some() {
        let _ = write!(text, " {}", interval(finding.interval));
    }
    if let Some(bound) = finding.bound {
        let _ = write!(text, ", bound {bound}");
    }
    let _ = write!(text, ", n {}", thousands(finding.n));
    text
}

/// What a decision says, without its evidence: `violated: fair-lending on credit@v2`.
pub(super) fn decision(decision: &Decision) -> String {
    format!("{}: {} on {}", decision.kind.name(), decision.policy, decision.key)
}

/// What became of an action: `roll-back of credit@v2 to v1: applied (dry run)`.
pub(super) fn action(action: &ActionView) -> String {
    let mut text = format!("{} of {}", action.action, action.key);
    if let Some(version) = &action.to_version {
        let _ = write!(text, " to {version}");
    }
    let _ = write!(text, ": {}", action.state);
    if let Some(detail) = &action.detail {
        let _ = write!(text, " ({detail})");
    }
    text
}

/// `text` in at most `width` characters, with an ellipsis where it was cut.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        short.push('…');
    }
    short
}

/// The model versions and policies with an open incident.
pub(super) fn open_incidents(view: &View) -> Vec<(&ModelKey, &str, Option<EventTime>)> {
    let mut open = Vec::new();
    for model in &view.models {
        for policy in &model.policies {
            if policy.state == crate::engine::view::PolicyState::Violated {
                open.push((&model.key, policy.policy.as_str(), policy.since));
            }
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stay_short() {
        let all = [0, 999, 1_000, 12_345, 99_949, 99_950, 999_499, 999_500, 1_800_000, 99_950_000];
        let texts: Vec<String> = all.into_iter().map(compact).collect();
        assert_eq!(texts, ["0", "999", "1.0k", "12.3k", "99.9k", "100k", "999k", "1.0M", "1.8M", "100M"]);
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(999), "999");
    }

    #[test]
    fn values_keep_the_digits_that_matter() {
        let all = [0.0, 0.00012, 0.0581, 0.6, 1.5, 58.02, 119_880.0, -0.25];
        let texts: Vec<String> = all.into_iter().map(value).collect();
        assert_eq!(texts, ["0.000", "0.0001", "0.058", "0.600", "1.500", "58.0", "120k", "-0.250"]);
    }

    #[test]
    fn times_and_spans_read_as_on_a_clock() {
        assert_eq!(clock(EventTime::from_millis(1_795_341_600_123)), "10:00:00");
        assert_eq!(clock(EventTime::MIN), "none");
        assert_eq!(span(Duration::from_millis(42_900)), "42s");
        assert_eq!(span(Duration::from_secs(1050)), "17m30s");
    }

    #[test]
    fn what_does_not_fit_is_cut_with_a_sign() {
        assert_eq!(cut("race*sex:white", 14), "race*sex:white");
        assert_eq!(cut("race*sex:white", 9), "race*sex…");
        assert_eq!(cut("x", 0), "");
    }
}
