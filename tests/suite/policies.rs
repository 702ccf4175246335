//! When a policy opens and closes an incident: windows counted once, clear bounds apart from the
//! check's own, and no way around insufficient data.

#![expect(clippy::unwrap_used, reason = "a test may stop at a surprise, also in its helpers")]

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll::domain::{
    Bound, DecisionKind, EventTime, Finding, Metric, ModelKey, Scope, Segment, Verdict, Window,
};
use plimsoll::policy::{Decide, KOfN, PolicyMachine, PolicySpec, Step};

fn key() -> ModelKey {
    ModelKey {
        tenant: None,
        model: "credit".into(),
        version: "v2".into(),
        segment: Segment::All,
        profile: None,
    }
}

fn spec(checks: &[&str], clear: &[(&str, &str)]) -> PolicySpec {
    PolicySpec {
        name: "fair".to_owned(),
        checks: checks.iter().map(|check| (*check).to_owned()).collect(),
        decide: Decide::Window,
        violate: KOfN { k: 2, n: 3 },
        clear_windows: 2,
        clear_bounds: clear
            .iter()
            .map(|(check, bound)| ((*check).to_owned(), bound.parse::<Bound>().unwrap()))
            .collect::<BTreeMap<_, _>>(),
        qualify_windows: 2,
        qualify_for: std::time::Duration::ZERO,
        qualify_samples: 0,
        actions: vec!["back".to_owned()],
    }
}

fn at(second: i64) -> EventTime {
    EventTime::from_millis(second * 1000)
}

/// A finding of `check` with this interval under `>= 0.8`; none where there was too little data.
fn ratio(check: &str, interval: Option<[f64; 2]>) -> Arc<Finding> {
    let bound = Bound::AtLeast(0.8);
    let key = key();
    Arc::new(Finding {
        tenant: None,
        model: key.model,
        version: key.version,
        window: Window { start: at(0), end: at(60) },
        check: check.to_owned(),
        metric: Metric::SelectionRateRatio,
        segment: Segment::All,
        scope: Scope::Group { group: "sex".to_owned(), values: Vec::new() },
        reference: None,
        revision: 0,
        value: interval.map(|[low, high]| (low + high) / 2.0),
        interval,
        p_value: None,
        expected: None,
        n: 1000,
        n_reference: None,
        bound: Some(bound),
        verdict: Some(interval.map_or(Verdict::Insufficient, |[low, high]| bound.judge(low, high))),
        reason: interval.is_none().then(|| "too few rows".to_owned()),
        standing_out: Vec::new(),
        sequential: None,
    })
}

/// A count, which has no interval, under `>= 100`.
fn volume(rows: f64) -> Arc<Finding> {
    let bound = Bound::AtLeast(100.0);
    let verdict = Some(bound.judge(rows, rows));
    let finding = (*ratio("volume", Some([0.0, 0.0]))).clone();
    Arc::new(Finding {
        metric: Metric::TrafficVolume,
        scope: Scope::Model {},
        value: Some(rows),
        interval: None,
        bound: Some(bound),
        verdict,
        ..finding
    })
}

const BAD: Option<[f64; 2]> = Some([0.5, 0.6]);
const GOOD: Option<[f64; 2]> = Some([0.9, 0.95]);
const BARELY: Option<[f64; 2]> = Some([0.81, 0.84]);

/// Steps through windows; what was decided, and at which of them.
fn decided(spec: &PolicySpec, windows: &[Vec<Arc<Finding>>]) -> Vec<(DecisionKind, usize)> {
    let (mut machine, mut decided) = (PolicyMachine::default(), Vec::new());
    for (index, findings) in windows.iter().enumerate() {
        let traffic = findings.iter().any(|finding| finding.value != Some(0.0));
        let step = Step { at: at(index as i64), findings, traffic, checks: 1, rows: 100 };
        let (next, decisions) = machine.step(spec, &key(), step);
        machine = next;
        decided.extend(decisions.into_iter().map(|decision| (decision.kind, index)));
    }
    decided
}

#[test]
fn k_of_n_windows_open_an_incident_and_as_many_clear_ones_in_a_row_close_it() {
    let spec = spec(&["ratio"], &[]);
    let windows = [BAD, GOOD, BAD, GOOD, BAD, GOOD, GOOD].map(|interval| vec![ratio("ratio", interval)]);
    assert_eq!(decided(&spec, &windows), [(DecisionKind::Violated, 2), (DecisionKind::Cleared, 6)]);
}

#[test]
fn insufficient_data_neither_opens_nor_closes() {
    let spec = spec(&["ratio"], &[]);
    let windows =
        [BAD, None, None, BAD, BAD, GOOD, None, GOOD, GOOD].map(|interval| vec![ratio("ratio", interval)]);
    assert_eq!(decided(&spec, &windows), [(DecisionKind::Violated, 4), (DecisionKind::Cleared, 8)]);
}

#[test]
fn an_incident_closes_only_inside_the_clear_bound() {
    let spec = spec(&["ratio"], &[("ratio", ">= 0.85")]);
    let windows =
        [BAD, BAD, BARELY, BARELY, BARELY, GOOD, GOOD].map(|interval| vec![ratio("ratio", interval)]);
    assert_eq!(decided(&spec, &windows), [(DecisionKind::Violated, 1), (DecisionKind::Cleared, 6)]);
}

#[test]
fn a_window_counts_once_where_checks_slide_differently() {
    let spec = spec(&["slow", "fast"], &[]);
    let fast = || vec![ratio("fast", GOOD)];
    let both = |slow| vec![ratio("slow", slow), ratio("fast", GOOD)];
    let windows = [both(BAD), fast(), fast(), fast(), both(GOOD), fast(), both(BAD)];
    // One breach, a pass, one breach: two of three windows of the slow check, at the last of them.
    assert_eq!(decided(&spec, &windows), [(DecisionKind::Violated, 6)]);
}

#[test]
fn an_outage_is_found_by_its_volume_stays_open_while_it_lasts_and_clears_when_rows_come_back() {
    let spec = spec(&["volume"], &[("volume", ">= 150")]);
    let windows = [500.0, 500.0, 0.0, 0.0, 0.0, 0.0, 0.0, 120.0, 400.0, 400.0].map(|rows| vec![volume(rows)]);
    assert_eq!(
        decided(&spec, &windows),
        [(DecisionKind::Qualified, 1), (DecisionKind::Violated, 3), (DecisionKind::Cleared, 9)]
    );
}

#[test]
fn a_version_that_takes_no_rows_any_more_is_withdrawn_and_not_cleared() {
    let spec = spec(&["ratio"], &[]);
    let (mut machine, mut kinds) = (PolicyMachine::default(), Vec::new());
    for (index, interval) in [BAD, BAD, None, None].into_iter().enumerate() {
        let findings = [ratio("ratio", interval)];
        let step = Step {
            at: at(index as i64),
            findings: &findings,
            traffic: interval.is_some(),
            checks: 1,
            rows: 100,
        };
        let (next, decisions) = machine.step(&spec, &key(), step);
        machine = next;
        kinds.extend(decisions.into_iter().map(|decision| decision.kind));
    }
    assert_eq!(kinds, [DecisionKind::Violated, DecisionKind::Withdrawn]);
    assert!(machine.incident().is_none());
}
