//! An explanation as a person reads it.

use std::fmt::{self, Display, Formatter};

use super::line::{Reading, alarm_line, certain_pair, number, plain, subject, whose};
use super::{Explained, Explanations};
use crate::domain::metric::Family;
use crate::domain::sequential::{ComponentEvidence, GroupSequence, Rule};
use crate::domain::{Evidence, Finding, Metric, Sequential, Verdict};

/// Components shown.
const COMPONENTS: usize = 8;
/// Other slots shown.
const MOVED: usize = 5;
/// Width of a bar of 100 %.
const BAR: f64 = 20.0;

impl Display for Explanations {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.explained.is_empty() {
            return write!(
                f,
                "no alarm to explain among {} findings; --all explains those without one",
                self.findings
            );
        }
        for (index, explained) in self.explained.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{explained}")?;
        }
        let wrong = self.explained.iter().filter_map(|it| it.recomputed.as_ref()).filter(|it| !it.agrees);
        match wrong.count() {
            0 => Ok(()),
            wrong => write!(f, "\n{wrong} of {} do not follow from their own numbers", self.explained.len()),
        }
    }
}

/// One line under its heading.
fn put(f: &mut Formatter<'_>, head: &str, text: impl Display) -> fmt::Result {
    writeln!(f, "  {head:<11} {text}")
}

impl Display for Explained {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let finding = &self.finding;
        let Some(sequential) = &finding.sequential else {
            writeln!(f, "{} {}, {}", whose(finding), plain(&finding.check), subject(finding))?;
            seen_in_window(f, finding)?;
            let why = "no policy that decides sequentially follows this check, so it has no e-value";
            return put(f, "evidence", format_args!("{why}; what its window says has no stated error rate"));
        };
        let evidence = sequential.evidence.as_deref();
        match alarm_line(finding) {
            Some(line) => writeln!(f, "{line}")?,
            None => writeln!(
                f,
                "{}: {} {}, {}",
                if sequential.shadow.is_some() { "shadow" } else { sequential.verdict.name() },
                whose(finding),
                plain(&finding.check),
                subject(finding)
            )?,
        }
        if let Some(evidence) = evidence {
            put(f, "when", format_args!("pane {} to {}", evidence.pane.start, evidence.pane.end))?;
        }
        if let Some(decision) = &self.decision {
            let (policy, kind, id) = (plain(&decision.policy), plain(&decision.kind), plain(&decision.id));
            put(f, "decided", format_args!("{kind} by policy {policy}, decision {id}"))?;
        }
        if let Some(shadow) = &sequential.shadow {
            put(f, "shadow", format_args!("it is shown and never acts: {}", plain(shadow)))?;
        }
        put(f, "asked", question(finding))?;
        seen_in_window(f, finding)?;
        no_fault(f, finding, sequential)?;
        match evidence {
            Some(evidence) => alarm(f, self, sequential, evidence),
            None => silence(f, sequential),
        }
    }
}

fn question(finding: &Finding) -> String {
    let what = subject(finding);
    match (finding.metric.family(), finding.bound) {
        (Family::Drift, _) => format!(
            "has the distribution behind {what} left the reference by more than its tolerance, in any cell or \
             cumulative share?"
        ),
        (Family::Fairness, Some(bound)) if finding.metric != Metric::SelectionRate => {
            format!("is {what} {bound}, for every pair of groups?")
        }
        (Family::Latency, Some(bound)) => {
            format!(
                "does a larger share of calls than the quantile allows take longer than the bound ({bound} s)?"
            )
        }
        (_, Some(bound)) => format!("is {what} {bound}, or as the reference was?"),
        (_, None) => format!("is {what} as the reference was, up to its tolerance?"),
    }
}

fn seen_in_window(f: &mut Formatter<'_>, finding: &Finding) -> fmt::Result {
    let value = finding.value.map_or_else(|| "undefined".to_owned(), number);
    let interval = finding
        .interval
        .map_or_else(String::new, |[low, high]| format!(" [{}, {}]", number(low), number(high)));
    let expected =
        finding.expected.map_or_else(String::new, |it| format!(", {} without any change", number(it)));
    let reference = finding.n_reference.map_or_else(String::new, |n| format!(", {n} of the reference"));
    put(
        f,
        "window",
        format_args!(
            "{value}{interval}{expected}; {} rows{reference}; {} to {}",
            finding.n, finding.window.start, finding.window.end
        ),
    )?;
    if !finding.standing_out.is_empty() {
        let features = finding.standing_out.iter().take(MOVED);
        let features: Vec<String> =
            features.map(|it| format!("{} ({} records)", plain(&it.feature), it.count)).collect();
        put(f, "", format_args!("anomalous most by {}", features.join(", ")))?;
    }
    let says = match (finding.bound, finding.verdict) {
        (Some(bound), Some(verdict)) => format!("{} against its bound {bound}", verdict.name()),
        _ => return Ok(()),
    };
    put(f, "", format_args!("the window by itself: {says}, outside the false-alarm budget"))
}

fn no_fault(f: &mut Formatter<'_>, finding: &Finding, sequential: &Sequential) -> fmt::Result {
    let limit = sequential.evidence.as_deref().and_then(|evidence| evidence.limit.as_deref());
    if let (Some(limit), _) | (None, Some(limit)) = (
        limit.map(str::to_owned),
        finding.bound.filter(|_| !sequential.groups.is_empty()).map(|it| it.to_string()),
    ) {
        return put(
            f,
            "no fault",
            format_args!("what keeps the limit {}; it needs no reference", plain(&limit)),
        );
    }
    let tolerance = sequential.tolerance.map_or_else(
        || "no tolerance".to_owned(),
        |tolerance| format!("a tolerance of up to {}", number(tolerance)),
    );
    let components = sequential.evidence.as_deref().map_or(&[][..], |evidence| &evidence.components);
    match sequential.null {
        Some([low, high]) => {
            let range = match (low > 0.0, high < 1.0) {
                (true, true) => format!("{} to {}", number(low), number(high)),
                (true, false) => format!("at least {}", number(low)),
                _ => format!("at most {}", number(high)),
            };
            let reference = match components {
                [] => "the reference, its sampling error, bound and tolerance are in it".to_owned(),
                components => components.iter().map(made_of).collect::<Vec<_>>().join("; "),
            };
            put(f, "no fault", format_args!("{range}: {reference}"))
        }
        None => put(
            f,
            "no fault",
            format_args!("every cell as in the reference, with its sampling error and {tolerance}"),
        ),
    }?;
    if sequential.evidence.is_none() && sequential.tolerance.is_some_and(|tolerance| tolerance > 0.0) {
        let unseen = "what moves by less than the tolerance cannot be seen, however long it lasts";
        put(f, "", unseen)?;
    }
    Ok(())
}

/// What a null of one rate is made of.
fn made_of(component: &ComponentEvidence) -> String {
    let Some(reading) = Reading::of(component) else { return String::new() };
    let side = if reading.below { "at least" } else { "at most" };
    match (component.reference, component.tolerance) {
        (Some(reference), Some(tolerance)) => format!(
            "the reference is {side} {} for certain, and {} is tolerated",
            number(reference),
            number(tolerance)
        ),
        (Some(reference), None) => {
            format!(
                "the reference is {side} {} for certain, with the tolerance of that hour",
                number(reference)
            )
        }
        (None, _) => format!("{} by the stated bound", reading.limit()),
    }
}

/// A span of event time in the unit that people count it in.
fn span(seconds: f64) -> String {
    const UNITS: [(f64, &str); 5] = [
        (365.25 * 86_400.0, "years"),
        (7.0 * 86_400.0, "weeks"),
        (86_400.0, "days"),
        (3_600.0, "hours"),
        (60.0, "minutes"),
    ];
    let unit = UNITS.into_iter().find(|(unit, _)| seconds >= 2.0 * unit);
    let (unit, name) = unit.unwrap_or((1.0, "seconds"));
    format!("{} {name}", number(seconds / unit))
}

fn times(log: f64) -> String {
    if log < 14.0 { number(log.exp()) } else { format!("10^{:.1}", log / std::f64::consts::LN_10) }
}

fn budget(f: &mut Formatter<'_>, sequential: &Sequential) -> fmt::Result {
    if sequential.share <= 0.0 {
        return put(f, "promise", "it has no share of the false-alarm budget");
    }
    let every = sequential.per_seconds as f64 / sequential.share;
    put(
        f,
        "promise",
        format_args!(
            "on average at most one false alarm of this slot in {} of event time, however often it is looked at",
            span(every)
        ),
    )?;
    let share = format!("{} in {}", number(sequential.share), span(sequential.per_seconds as f64));
    put(f, "", format_args!("({share}: its share of the false-alarm budget)"))
}

fn alarm(f: &mut Formatter<'_>, it: &Explained, sequential: &Sequential, evidence: &Evidence) -> fmt::Result {
    match evidence.rule {
        Rule::EDetector => {
            let (log_e, least) = (evidence.log_e_after.unwrap_or(f64::NAN), evidence.log_threshold);
            let before = evidence
                .log_e_before
                .map_or_else(|| "nothing before it".to_owned(), |before| format!("{before:.2} before it"));
            let least = least.unwrap_or(f64::NAN);
            put(
                f,
                "evidence",
                format_args!("e-value {} (ln e {log_e:.2}) after this pane, {before}", times(log_e)),
            )?;
            let panes = evidence.panes;
            put(
                f,
                "",
                format_args!("it alarms from {} (ln e {least:.2}) on; panes so far: {panes}", times(least)),
            )?;
        }
        Rule::ConfidenceSequence => {
            let alpha = evidence.alpha.map_or_else(|| "unknown".to_owned(), number);
            let panes = evidence.panes;
            put(
                f,
                "evidence",
                format_args!(
                    "intervals that hold at any time, level {alpha}; panes since they began: {panes}"
                ),
            )?;
        }
    }
    budget(f, sequential)?;
    carried_by(f, evidence)?;
    moved(f, sequential, evidence)?;
    silent_if(f, it, evidence)?;
    match &it.recomputed {
        Some(outcome) if outcome.agrees => {
            let log_e = match (outcome.log_e, outcome.omitted) {
                (Some(log_e), _) => format!("ln e = {log_e}"),
                (None, 0) => "the intervals break the limit".to_owned(),
                (None, omitted) => format!(
                    "in part, because this record leaves out {omitted} components; the published finding has \
                     them all"
                ),
            };
            let (numbers, difference) = (outcome.numbers, outcome.largest_difference);
            put(
                f,
                "recomputed",
                format_args!("{log_e}, agrees ({numbers} numbers, largest difference {difference:e})"),
            )
        }
        Some(outcome) => {
            let why = plain(outcome.discrepancy.as_deref().unwrap_or(""));
            put(f, "recomputed", format_args!("DOES NOT AGREE: {why}"))
        }
        None => Ok(()),
    }
}

fn bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * BAR).round() as usize;
    format!("{:<width$} {:>5.1} %", "#".repeat(full), 100.0 * share, width = BAR as usize)
}

fn carried_by(f: &mut Formatter<'_>, evidence: &Evidence) -> fmt::Result {
    if evidence.rule == Rule::ConfidenceSequence {
        return groups(f, "groups", &evidence.groups);
    }
    let mut components: Vec<&ComponentEvidence> = evidence.components.iter().collect();
    components.sort_by(|a, b| b.share.total_cmp(&a.share));
    let shown = &components[..components.len().min(COMPONENTS)];
    let name = |component: &ComponentEvidence| plain(&component.name);
    let width = shown.iter().map(|component| name(component).chars().count()).max().unwrap_or(0);
    for (index, component) in shown.iter().enumerate() {
        let head = if index == 0 { "carried by" } else { "" };
        let numbers = match Reading::of(component) {
            Some(reading) => format!(
                "{} seen in {} rows, {} allowed",
                number(reading.seen),
                number(reading.rows),
                reading.limit()
            ),
            None => {
                let rate = |side: usize| {
                    let (k, n) = (component.sum.get(side), component.n.get(side));
                    let (k, n) = (k.copied().unwrap_or(0.0), n.copied().unwrap_or(0.0));
                    format!("{} ({k} of {n})", number(k / n.max(1.0)))
                };
                format!("{} against {}", rate(0), rate(1))
            }
        };
        put(f, head, format_args!("{:<width$}  {}  {numbers}", name(component), bar(component.share)))?;
    }
    let rest: f64 = components[shown.len()..].iter().map(|component| component.share).sum();
    if components.len() > shown.len() {
        let others = format!("{} others", components.len() - shown.len());
        put(f, "", format_args!("{others:<width$}  {}", bar(rest)))?;
    }
    Ok(())
}

fn groups(f: &mut Formatter<'_>, head: &str, groups: &[GroupSequence]) -> fmt::Result {
    for (index, group) in groups.iter().enumerate() {
        let interval = group.interval.map_or_else(
            || "no rows yet".to_owned(),
            |[low, high]| format!("{} to {} for certain", number(low), number(high)),
        );
        let head = if index == 0 { head } else { "" };
        let (rate, name) = (plain(&group.rate.replace('_', " ")), plain(&group.group));
        put(f, head, format_args!("{rate} of {name}: {interval} ({} of {} rows)", group.sum, group.n))?;
    }
    Ok(())
}

fn moved(f: &mut Formatter<'_>, sequential: &Sequential, evidence: &Evidence) -> fmt::Result {
    // The slot itself leads the list, unless the other rule of a limit alarmed.
    let own = evidence.log_e_after;
    let others: Vec<_> = evidence.moved.iter().filter(|it| Some(it.log_e) != own).take(MOVED).collect();
    for (index, other) in others.iter().enumerate() {
        let part = other.log_e / sequential.log_threshold;
        let head = if index == 0 { "elsewhere" } else { "" };
        let scope = plain(&other.scope);
        let part = match part {
            part if part >= 1.0 => ", an alarm too".to_owned(),
            part if part > 0.0 => format!(", {:.0} % of the way", 100.0 * part),
            _ => String::new(),
        };
        put(f, head, format_args!("{scope}: ln e {:.2}{part}", other.log_e))?;
    }
    Ok(())
}

fn silent_if(f: &mut Formatter<'_>, it: &Explained, evidence: &Evidence) -> fmt::Result {
    if let Some((low, high)) = certain_pair(evidence).filter(|_| evidence.rule == Rule::ConfidenceSequence) {
        let (low, high) = (&evidence.groups[low], &evidence.groups[high]);
        let (Some([_, most]), Some([least, _])) = (low.interval, high.interval) else { return Ok(()) };
        let (limit, low, high) =
            (plain(evidence.limit.as_deref().unwrap_or("")), plain(&low.group), plain(&high.group));
        return put(
            f,
            "silent if",
            format_args!(
                "{low} at its highest ({}) and {high} at its lowest ({}) still kept {limit}",
                number(most),
                number(least)
            ),
        );
    }
    let Some(silent) = &it.silent_if else { return Ok(()) };
    let mut head = "silent if";
    if let Some(count) = &silent.count {
        let least = if count.at_least { "at least" } else { "at most" };
        let of = plain(&count.of.replace('_', " "));
        put(f, head, format_args!("{of} had been {least} {} of {} rows in this pane", count.sum, count.n))?;
        head = "";
    }
    if let Some(tolerance) = silent.tolerance {
        let or = if head.is_empty() { "or the" } else { "the" };
        put(f, head, format_args!("{or} tolerance had been larger by {} in this pane", number(tolerance)))?;
    }
    Ok(())
}

/// How far a slot without an alarm is from one.
fn silence(f: &mut Formatter<'_>, sequential: &Sequential) -> fmt::Result {
    let least = sequential.log_threshold;
    match sequential.log_e {
        Some(log_e) => {
            let panes = sequential.panes;
            put(
                f,
                "evidence",
                format_args!(
                    "ln e {log_e:.2} of {least:.2}: the e-value would have to grow {} times; panes so far: {panes}",
                    times(least - log_e)
                ),
            )?;
        }
        None => put(
            f,
            "evidence",
            format_args!(
                "none yet: no pane since it began or last alarmed; it alarms from ln e {least:.2} on"
            ),
        )?,
    }
    budget(f, sequential)?;
    groups(f, "groups", &sequential.groups)?;
    match (sequential.verdict, &sequential.reason) {
        (Verdict::Pass, None) => put(f, "verdict", "pass: an interval lies inside what is no fault"),
        (verdict, reason) => {
            let why = reason.as_deref().map_or_else(String::new, |reason| format!(": {}", plain(reason)));
            put(f, "verdict", format_args!("{}{why}", verdict.name()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_in_the_unit_that_people_count_them_in() {
        for (seconds, text) in [
            (90.0, "90 seconds"),
            (3.0 * 86_400.0, "3 days"),
            (28.0 * 86_400.0, "4 weeks"),
            (200.0 * 28.0 * 86_400.0, "15.33 years"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn a_bar_of_all_is_full() {
        assert!(bar(1.0).starts_with(&"#".repeat(20)) && bar(1.0).ends_with("100.0 %"));
        assert!(bar(0.0).starts_with(' '));
    }
}
