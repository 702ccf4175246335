//! The demo without a terminal: a line when something changes, a line of progress every few seconds,
//! and a summary at the end. Formatting only; whoever runs the demo prints what this returns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::scenario::{Outcome, Phase};
use super::status::DemoStatus;
use super::text;
use super::worst::worst;
use crate::domain::{Accounting, Decision, DecisionKind, Verdict};
use crate::engine::view::View;

/// Wall time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// Remembers what was said, so that nothing is said twice.
#[derive(Debug, Default)]
pub struct Plain {
    phase: Option<Phase>,
    decisions: BTreeSet<String>,
    actions: BTreeMap<String, String>,
    next_progress: Duration,
}

impl Plain {
    /// The lines to print now: what has changed since the last call, in the order in which it came
    /// about, and the progress where it is due.
    pub fn lines(&mut self, view: &View, status: &DemoStatus) -> Vec<String> {
        let mut lines = Vec::new();
        let head = format!("[{:>4} {}]", text::span(status.elapsed), text::clock(status.event_time));
        if self.phase.is_none() {
            self.next_progress = PROGRESS;
            lines.push(format!("{head} metrics {}  API {}", status.metrics_url, status.api_url));
        }
        if self.phase != Some(status.phase) {
            self.phase = Some(status.phase);
            lines.push(format!("{head} phase: {}", status.phase));
        }
        for decision in &view.decisions {
            if self.decisions.insert(decision.id.clone()) {
                lines.push(format!("{head} {}", decided(decision)));
            }
        }
        for action in &view.actions {
            if self.actions.get(&action.id) != Some(&action.state) {
                self.actions.insert(action.id.clone(), action.state.clone());
                lines.push(format!("{head} action: {}", text::action(action)));
            }
        }
        if status.elapsed >= self.next_progress {
            while self.next_progress <= status.elapsed {
                self.next_progress += PROGRESS;
            }
            lines.push(format!("{head} {}", progress(view, status)));
        }
        lines
    }
}

fn decided(decision: &Decision) -> String {
    let mut line = format!("{} at {}", text::decision(decision), text::clock(decision.at));
    if decision.kind == DecisionKind::Violated {
        line += &format!(", since {}", text::clock(decision.since));
    }
    if let (DecisionKind::Violated | DecisionKind::Cleared, Some(finding)) =
        (decision.kind, text::telling(decision))
    {
        line += &format!(" ({})", text::finding(finding));
    }
    if decision.kind == DecisionKind::Violated && !decision.actions.is_empty() {
        line += &format!("; asks for {}", decision.actions.join(", "));
    }
    line
}

fn accounting(view: &View) -> Accounting {
    view.accounting.values().fold(Accounting::default(), |mut sum, topic| {
        sum += *topic;
        sum
    })
}

fn records(view: &View) -> String {
    let all = accounting(view);
    format!(
        "{} records = used {} + late {} + rejected {}",
        text::thousands(all.records),
        text::thousands(all.used),
        text::thousands(all.late),
        text::thousands(all.rejected)
    )
}

fn progress(view: &View, status: &DemoStatus) -> String {
    let lag: i64 = view.sources.iter().filter_map(|source| source.lag).sum();
    let rate = text::thousands(status.records_per_second.round().max(0.0) as u64);
    let mut line = format!("{}; {rate}/s, lag {}", records(view), text::thousands(lag.max(0) as u64));
    match text::open_incidents(view).as_slice() {
        [] => line.push_str("; no open incident"),
        open => {
            let names: Vec<String> =
                open.iter().map(|(key, policy, _)| format!("{policy} on {key}")).collect();
            line += &format!("; open: {}", names.join(", "));
        }
    }
    if let Some(finding) = worst(&view.latest).first() {
        line += &format!("; nearest its bound: {} {}", finding.version, text::finding(finding));
    }
    line
}

/// The last words: what was read, what was found, decided and done, what became of the planted
/// incidents, and where it could be looked up. `outcome` comes from
/// [`Scenario::outcome`](super::scenario::Scenario::outcome).
pub fn summary(view: &View, status: &DemoStatus, outcome: &Outcome) -> String {
    let mut lines = vec![
        format!(
            "plimsoll demo: {} of event time in {}",
            text::span(Duration::from_millis(
                (status.event_time.as_millis() - status.start.as_millis()).max(0) as u64
            )),
            text::span(status.elapsed)
        ),
        format!("  {}", records(view)),
    ];
    for ((topic, reason), count) in &view.rejected {
        lines.push(format!("    rejected from {topic}: {} {reason}", text::thousands(*count)));
    }
    lines.push(format!("  {}", findings(view)));
    lines.push("  planted incidents".to_owned());
    for found in &outcome.found {
        let began = text::clock(status.start + found.planted.begins);
        let when = |what: &str, decision: &Option<Arc<Decision>>| match decision {
            Some(decision) => format!("{what} {}", text::clock(decision.at)),
            None => format!("not {what}"),
        };
        lines.push(format!(
            "    {}: began {began}, {}, {}",
            found.planted.name,
            when("violated", &found.violated),
            when(found.cleared.as_ref().map_or("cleared", |end| end.kind.name()), &found.cleared)
        ));
    }
    for decision in &outcome.unexpected {
        lines.push(format!("    nothing planted explains {}", decided(decision)));
    }
    lines.push("  decisions".to_owned());
    lines.extend(view.decisions.iter().map(|decision| format!("    {}", decided(decision))));
    lines.push("  actions".to_owned());
    lines.extend(view.actions.iter().map(|action| format!("    {}", text::action(action))));
    lines.push(format!("  metrics were at {}, the API at {}", status.metrics_url, status.api_url));
    lines.join("\n")
}

fn findings(view: &View) -> String {
    let count = |wanted: Option<Verdict>| -> u64 {
        view.evaluations
            .iter()
            .filter(|((_, _, verdict), _)| *verdict == wanted)
            .map(|(_, count)| count)
            .sum()
    };
    let mut parts: Vec<String> = Verdict::ALL
        .into_iter()
        .map(|verdict| format!("{} {}", text::thousands(count(Some(verdict))), verdict.name()))
        .collect();
    parts.push(format!("{} without a bound", text::thousands(count(None))));
    let all: u64 = view.evaluations.values().sum();
    format!("{} findings: {}", text::thousands(all), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{START, action, decision, minute, status, view};
    use super::super::scenario::Scenario;
    use super::*;

    fn at(secs: u64, phase: Phase) -> DemoStatus {
        DemoStatus { elapsed: Duration::from_secs(secs), phase, ..status() }
    }

    #[test]
    fn a_line_comes_when_something_changes_and_once() {
        let (mut plain, mut view) = (Plain::default(), View::default());
        let first = plain.lines(&view, &at(0, Phase::Healthy));
        assert_eq!(
            first,
            [
                "[  0s 10:18:12] metrics http://127.0.0.1:39464/metrics  API http://127.0.0.1:39464/api/v1",
                "[  0s 10:18:12] phase: healthy: v1 serves everybody",
            ]
        );
        assert!(plain.lines(&view, &at(1, Phase::Healthy)).is_empty());

        view.decisions.push(Arc::new(decision(DecisionKind::Violated, "fair-lending", "v2", 18)));
        view.actions.push(action("submitting"));
        let both = plain.lines(&view, &at(2, Phase::Healthy));
        assert_eq!(
            both,
            [
                "[  2s 10:18:12] violated: fair-lending on credit@v2 at 10:18:00, since 10:17:00 \
                 (approval-ratio 0.602 [0.592 0.612], bound >= 0.8, n 119,880); asks for roll-back",
                "[  2s 10:18:12] action: roll-back of credit@v2 to v1: submitting (dry run)",
            ]
        );
        assert!(plain.lines(&view, &at(3, Phase::Healthy)).is_empty());

        view.actions[0].state = "applied".into();
        let last = plain.lines(&view, &at(4, Phase::RolledBack));
        assert_eq!(
            last,
            [
                "[  4s 10:18:12] phase: rolled back: v1 serves everybody",
                "[  4s 10:18:12] action: roll-back of credit@v2 to v1: applied (dry run)",
            ]
        );
    }

    #[test]
    fn a_decision_that_left_the_bounded_list_is_not_told_again() {
        let (mut plain, mut view) = (Plain::default(), view());
        let told = plain.lines(&view, &at(1, Phase::Healthy)).len();
        view.decisions.remove(0);
        assert!(told > 4 && plain.lines(&view, &at(2, Phase::Healthy)).is_empty());
    }

    #[test]
    fn progress_comes_every_five_seconds_however_late_it_is_asked_for() {
        let (mut plain, view) = (Plain::default(), view());
        plain.lines(&view, &at(0, Phase::Healthy));
        let told: Vec<usize> =
            [4, 5, 6, 17, 18, 20].map(|secs| plain.lines(&view, &at(secs, Phase::Healthy)).len()).to_vec();
        assert_eq!(told, [0, 1, 0, 1, 0, 1]);
        let line = plain.lines(&view, &at(25, Phase::Healthy)).remove(0);
        for expected in [
            "1,080,000 records = used 1,079,000 + late 460 + rejected 540",
            "29,980/s, lag 60",
            "open: fair-lending on credit@v2",
            "nearest its bound: v2 approval-ratio sex:M/F 0.602",
        ] {
            assert!(line.contains(expected), "`{expected}` is missing in {line}");
        }
    }

    #[test]
    fn the_summary_says_what_was_planted_found_decided_and_done() {
        let (view, status) = (view(), status());
        let outcome = Scenario::default().outcome(START, &view.decisions);
        let text = summary(&view, &status, &outcome);
        for expected in [
            "plimsoll demo: 18m12s of event time in 36s",
            "rejected from inference: 300 invalid_json",
            "109 findings: 70 pass, 4 breach, 0 insufficient, 35 without a bound",
            "upstream change of two features: began 10:06:00, violated 10:08:00, cleared 10:14:00",
            "unfair new version: began 10:16:00, violated 10:18:00, not cleared",
            "qualified: fair-lending on credit@v1 at 10:03:00\n",
            "roll-back of credit@v2 to v1: applied (dry run)",
            "metrics were at http://127.0.0.1:39464/metrics, the API at http://127.0.0.1:39464/api/v1",
        ] {
            assert!(text.contains(expected), "`{expected}` is missing in\n{text}");
        }
        assert!(!text.contains("nothing planted explains"), "{text}");

        let early = vec![Arc::new(decision(DecisionKind::Violated, "fair-lending", "v1", 3))];
        let outcome = Scenario::default().outcome(START, &early);
        assert_eq!(outcome.unexpected[0].at, minute(3));
        assert!(
            summary(&view, &status, &outcome).contains("nothing planted explains violated: fair-lending")
        );
    }
}
