//! Decisions by e-detectors and confidence sequences, told through the pipeline of `run` and
//! `replay`: what alarms, what only shows, what an alarm carries, and what closes an incident.

#![expect(clippy::unwrap_used, reason = "a test may stop at a surprise, also in its helpers")]

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll::app::compile::{limits, topics};
use plimsoll::app::pipeline::Pipeline;
use plimsoll::check::sequential::{Detectors, PaneOf, Slot, Starts};
use plimsoll::domain::sequential::{ComponentEvidence, Rule};
use plimsoll::domain::{Decision, DecisionKind, EventTime, Evidence, Finding, SourcePartition, Verdict};
use plimsoll::ingest::source::{Assigned, RawRecord, SourceEvent};
use plimsoll::sketch::Summary;
use serde_json::{Value, json};

use crate::checks::world::{configured, frozen};
use crate::support::Stream;

/// Wall time of the tests, near their event times.
const NOW: i64 = 1_800_000_000_000;
/// First event time, a multiple of every window's slide.
const START: i64 = 1_799_999_400_000;
/// Rows of a pane of one second.
const ROWS: i64 = 200;

pub(crate) const CONFIG: &str = r#"
false_alarm_budget: {count: 1, per: 1d}
topics:
  - {name: t, model: /m, allowed_lateness: 0s, idle_after: 30s}
models:
  - name: credit
    topics: [t]
    task: binary
    version: /v
    time: {from: /ts, unit: ms}
    prediction: {from: /p, positive: "yes"}
    features:
      - {name: x, from: /x, type: numeric}
      - {name: y, from: /y, type: numeric}
    groups:
      - {name: sex, from: /sex, values: [F, M]}
    profile: given
    pane: 1s
    checks:
      - {name: nulls, metric: null_rate, of: [x], window: 10s, slide: 1s, tolerance: 0.02, direction: above}
      - {name: drift, metric: psi, of: features, window: 5s, slide: 1s, tolerance: {x: 0.01}}
      - {name: ratio, metric: selection_rate_ratio, window: 5s, slide: 1s, bound: ">= 0.8"}
      - {name: rate, metric: selection_rate, window: 5s, slide: 1s, tolerance: 0.02}
policies:
  - {name: complete, model: credit, checks: [nulls], decide: sequential, clear: {windows: 2}}
  - {name: steady, model: credit, checks: [drift], decide: sequential}
  - {name: fair, model: credit, checks: [ratio], decide: sequential, clear: {windows: 2}}
  - {name: level, model: credit, checks: [rate], decide: sequential}
"#;

/// How the rows of a pane are drawn.
#[derive(Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) nulls: f64,
    pub(crate) shift: f64,
    pub(crate) women: f64,
    pub(crate) men: f64,
}

pub(crate) const HEALTHY: Traffic = Traffic { nulls: 0.02, shift: 0.0, women: 0.5, men: 0.5 };

fn row(stream: &mut Stream, traffic: Traffic, time: i64, version: &str) -> Value {
    let female = stream.uniform() < 0.5;
    let rate = if female { traffic.women } else { traffic.men };
    let x = (stream.uniform() >= traffic.nulls).then(|| stream.uniform() + traffic.shift);
    json!({
        "m": "credit", "v": version, "ts": time, "x": x, "y": stream.uniform(),
        "p": if stream.uniform() < rate { "yes" } else { "no" },
        "sex": if female { "F" } else { "M" },
    })
}

pub(crate) struct Run {
    pipeline: Pipeline,
    stream: Stream,
    pane: i64,
    offset: i64,
    pub(crate) findings: Vec<Finding>,
    pub(crate) decisions: Vec<Decision>,
}

impl Run {
    pub(crate) fn new(config: &str) -> Self {
        let config = configured(config);
        let mut stream = Stream(7);
        let reference: Vec<Value> = (0..10_000).map(|_| row(&mut stream, HEALTHY, START, "v1")).collect();
        let profiles = BTreeMap::from([("credit".to_owned(), frozen(&config, &reference))]);
        let pipeline = Pipeline::new(topics(&config, &profiles).unwrap(), limits(&config));
        let (findings, decisions) = (Vec::new(), Vec::new());
        let mut run = Self { pipeline, stream, pane: 0, offset: 0, findings, decisions };
        let partition = SourcePartition::new("t", 0);
        run.event(SourceEvent::Assigned(vec![Assigned { partition, offset: None, metadata: None }]));
        run
    }

    fn event(&mut self, event: SourceEvent<'_>) {
        self.pipeline.handle(event, NOW, &mut |_, rejected| panic!("{rejected:?}"));
    }

    /// So many panes of `traffic` for each of `versions`.
    pub(crate) fn panes(&mut self, count: i64, traffic: Traffic, versions: &[&str]) {
        let partition = SourcePartition::new("t", 0);
        for _ in 0..count {
            for index in 0..ROWS {
                let time = START + self.pane * 1000 + index * 1000 / ROWS;
                for version in versions {
                    let text = row(&mut self.stream, traffic, time, version).to_string();
                    let (offset, value) = (self.offset, Some(text.as_bytes()));
                    self.offset += 1;
                    self.event(SourceEvent::Record(RawRecord {
                        partition: &partition,
                        offset,
                        key: None,
                        value,
                        headers: &[],
                    }));
                }
            }
            self.pane += 1;
            let evaluated = self.pipeline.evaluate(NOW);
            self.findings.extend(evaluated.findings.iter().map(|finding| (**finding).clone()));
            self.decisions.extend(evaluated.decisions);
        }
    }

    fn decided(&self, policy: &str) -> Vec<&str> {
        self.decisions.iter().filter(|it| it.policy == policy).map(|it| it.kind.name()).collect()
    }

    pub(crate) fn of<'a>(
        &'a self,
        check: &'a str,
        scope: &'a str,
    ) -> impl DoubleEndedIterator<Item = &'a Finding> {
        self.findings.iter().filter(move |it| it.check == check && it.scope.to_string().starts_with(scope))
    }
}

fn evidence(finding: &Finding) -> Option<&Evidence> {
    finding.sequential.as_ref()?.evidence.as_deref()
}

/// `ln e` after the pane, from what the evidence itself says.
fn recomputed(evidence: &Evidence) -> f64 {
    let mut total = 0.0;
    let mut bets = 0.0;
    for ComponentEvidence { n, sum, null, lambda, before, after, .. } in &evidence.components {
        for ((lambda, before), after) in lambda.iter().zip(before).zip(after) {
            let carried = before.map_or(0.0, f64::exp);
            let log = (1.0 + carried).ln() + lambda * sum[0] - n[0] * (null[0] * lambda.exp_m1()).ln_1p();
            assert!((log - after.unwrap()).abs() < 1e-9, "{log} {after:?}");
            total += log.exp();
            bets += 1.0;
        }
    }
    (total / bets).ln()
}

#[test]
fn traffic_like_the_reference_alarms_nobody_and_passes_where_an_interval_is_inside() {
    let mut run = Run::new(CONFIG);
    run.panes(120, HEALTHY, &["v1"]);
    let kinds: Vec<&str> = run.decisions.iter().map(|decision| decision.kind.name()).collect();
    assert!(kinds.iter().all(|kind| *kind == "qualified"), "{kinds:?}");
    assert!(run.findings.iter().all(|finding| evidence(finding).is_none()));
    let last = run.of("nulls", "x").next_back().unwrap();
    let sequential = last.sequential.as_ref().unwrap();
    assert_eq!(sequential.verdict, Verdict::Pass, "{sequential:?}");
    let [_, high] = sequential.null.unwrap();
    assert!((0.04..0.06).contains(&high), "reference .02, its error and a tolerance of .02: {high}");
    assert!(sequential.panes > 100);
    // The four-fifths rule on such windows breaks now and then; nobody acts on it.
    let ratio = run.of("ratio", "sex").next_back().unwrap().sequential.as_ref().unwrap();
    assert_eq!(ratio.verdict, Verdict::Pass, "12,000 rows a group: {ratio:?}");
    assert_eq!(ratio.groups.len(), 2);
}

#[test]
fn a_rate_beyond_its_null_alarms_once_with_everything_to_compute_it_again_and_clears_when_it_is_back() {
    let mut run = Run::new(CONFIG);
    run.panes(30, HEALTHY, &["v1"]);
    run.panes(20, Traffic { nulls: 0.12, ..HEALTHY }, &["v1"]);
    assert_eq!(run.decided("complete"), ["qualified", "violated"]);
    let violated = run.decisions.iter().find(|it| it.kind == DecisionKind::Violated).unwrap();
    let finding = violated.evidence[0].clone();
    let evidence = evidence(&finding).unwrap();
    assert_eq!((evidence.rule, evidence.components.len()), (Rule::EDetector, 1));
    let component = &evidence.components[0];
    assert_eq!(component.name, "rate above");
    assert_eq!(component.n, [ROWS as f64]);
    assert_eq!(component.tolerance, Some(0.02));
    let log_e = evidence.log_e_after.unwrap();
    assert!((recomputed(evidence) - log_e).abs() < 1e-9);
    assert!(log_e >= evidence.log_threshold.unwrap() && evidence.log_e_before.unwrap() < log_e);
    // One alarm is said once, and the detector begins again.
    let after = run.of("nulls", "x").find(|it| it.window.end == finding.window.end).unwrap();
    assert_eq!(after.sequential.as_ref().unwrap().log_e, None);
    run.panes(20, HEALTHY, &["v1"]);
    assert_eq!(run.decided("complete"), ["qualified", "violated", "cleared", "qualified"]);
    // A finding in JSON is what it was.
    let text = serde_json::to_string(&finding).unwrap();
    assert_eq!(serde_json::from_str::<Finding>(&text).unwrap(), finding);
}

#[test]
fn a_shifted_feature_alarms_and_one_that_was_never_calibrated_is_only_shown() {
    let mut run = Run::new(CONFIG);
    run.panes(20, HEALTHY, &["v1"]);
    run.panes(15, Traffic { shift: 0.3, ..HEALTHY }, &["v1"]);
    assert_eq!(run.decided("steady"), ["violated"], "without a bound, nothing of a histogram passed before");
    let alarm = run.of("drift", "x").find_map(evidence).unwrap();
    assert_eq!(alarm.components.len(), 38);
    assert!((recomputed(alarm) - alarm.log_e_after.unwrap()).abs() < 1e-9);
    let shares: f64 = alarm.components.iter().map(|component| component.share).sum();
    assert!((shares - 1.0).abs() < 1e-9);
    let most = alarm.components.iter().max_by(|a, b| a.share.total_cmp(&b.share)).unwrap();
    assert!(most.name.starts_with("from 0.9") || most.name.starts_with("from 0.89"), "{}", most.name);
    assert!(most.name.ends_with("above"), "{}", most.name);
    assert_eq!(alarm.moved[0].scope, "x", "x moved and y did not: {:?}", alarm.moved);
    for finding in run.of("drift", "y") {
        let sequential = finding.sequential.as_ref().unwrap();
        assert_eq!(sequential.verdict, Verdict::Insufficient);
        assert!(sequential.shadow.as_ref().unwrap().contains("never calibrated"));
    }
}

#[test]
fn a_shadow_that_alarms_opens_no_incident() {
    let config = CONFIG.replace("tolerance: {x: 0.01}", "tolerance: {y: 0.01}");
    let mut run = Run::new(&config);
    run.panes(5, HEALTHY, &["v1"]);
    run.panes(15, Traffic { shift: 0.3, ..HEALTHY }, &["v1"]);
    assert!(run.of("drift", "x").any(|finding| evidence(finding).is_some()), "it would have");
    assert_eq!(run.decided("steady"), Vec::<&str>::new());
}

#[test]
fn a_group_treated_worse_is_found_after_a_long_fair_past_and_cleared_by_what_follows() {
    let mut run = Run::new(CONFIG);
    run.panes(100, HEALTHY, &["v1"]);
    assert_eq!(run.decided("fair"), ["qualified"]);
    run.panes(15, Traffic { women: 0.25, ..HEALTHY }, &["v1"]);
    assert_eq!(run.decided("fair"), ["qualified", "violated"]);
    let violated = run.of("ratio", "sex").find_map(evidence).unwrap();
    assert_eq!(violated.rule, Rule::EDetector, "the sequence still remembers the fair past");
    assert_eq!(violated.limit.as_deref(), Some(">= 0.8"));
    let most = violated.components.iter().max_by(|a, b| a.share.total_cmp(&b.share)).unwrap();
    assert_eq!(most.name, "selection_rate of F under M");
    run.panes(80, HEALTHY, &["v1"]);
    let last = run.of("ratio", "sex").next_back().unwrap().sequential.clone();
    assert_eq!(run.decided("fair"), ["qualified", "violated", "cleared", "qualified"], "{last:?}");
    // The rates of both groups moved from their own reference as well.
    assert_eq!(run.decided("level").first(), Some(&"violated"));
    assert!(run.of("rate", "sex:F").any(|finding| evidence(finding).is_some()));
    assert!(run.of("rate", "sex:M").all(|finding| evidence(finding).is_none()));
}

#[test]
fn a_version_beyond_those_the_budget_pays_for_runs_in_shadow_until_one_leaves() {
    let config = CONFIG.replace("    pane: 1s", "    live: {versions: 1}\n    pane: 1s");
    let mut run = Run::new(&config);
    run.panes(5, HEALTHY, &["v1", "v2"]);
    let shadow = |run: &Run, version: &str| {
        let last = run.of("nulls", "x").rfind(|finding| finding.version.as_str() == version).unwrap();
        last.sequential.as_ref().unwrap().shadow.clone()
    };
    assert_eq!(shadow(&run, "v1"), None);
    assert!(shadow(&run, "v2").unwrap().contains("pays for 1 live version"));
    run.panes(5, Traffic { nulls: 0.5, ..HEALTHY }, &["v1", "v2"]);
    let violated: Vec<&str> = run
        .decisions
        .iter()
        .filter(|it| it.policy == "complete" && it.kind == DecisionKind::Violated)
        .map(|it| it.key.version.as_str())
        .collect();
    assert_eq!(violated, ["v1"]);
    // v1 goes; once nobody asks about it any more, its place is free.
    run.panes(30, HEALTHY, &["v2"]);
    assert_eq!(shadow(&run, "v2"), None);
}

#[test]
fn adding_a_check_moves_thresholds_and_leaves_detectors_alone() {
    let more = CONFIG.replace(
        "      - {name: drift,",
        "      - {name: more, metric: null_rate, of: [y], window: 5s, slide: 1s, tolerance: 0.01}\n      - {name: drift,",
    );
    let more = more.replace("checks: [nulls]", "checks: [nulls, more]");
    let (mut few, mut many) = (Run::new(CONFIG), Run::new(&more));
    for run in [&mut few, &mut many] {
        run.panes(10, HEALTHY, &["v1"]);
    }
    let last = |run: &Run| run.of("nulls", "x").next_back().unwrap().sequential.clone().unwrap();
    let (few, many) = (last(&few), last(&many));
    assert_eq!(few.log_e.unwrap().to_bits(), many.log_e.unwrap().to_bits());
    assert!(many.log_threshold > few.log_threshold && many.share < few.share);
}

#[test]
fn an_alarm_acts_at_once_where_another_check_of_its_policy_slides_rarely() {
    let config = CONFIG.replace(
        "metric: psi, of: features, window: 5s, slide: 1s",
        "metric: psi, of: features, window: 5s, slide: 5s",
    );
    let config = config.replace("checks: [nulls], ", "checks: [nulls, drift], ");
    let mut run = Run::new(&config);
    run.panes(31, HEALTHY, &["v1"]);
    run.panes(1, Traffic { nulls: 0.9, ..HEALTHY }, &["v1"]);
    run.panes(8, HEALTHY, &["v1"]);
    let alarms: Vec<i64> = run
        .of("nulls", "x")
        .filter(|finding| evidence(finding).is_some())
        .map(|finding| (finding.window.end.as_millis() - START) / 1000)
        .collect();
    assert_eq!(alarms, [32], "between two windows of the other check, and said once");
    let violated = |it: &&Decision| it.policy == "complete" && it.kind == DecisionKind::Violated;
    let at: Vec<i64> = run.decisions.iter().filter(violated).map(|it| it.at.as_millis() - START).collect();
    assert_eq!(at, [32_000]);
}

#[test]
fn a_check_in_shadow_keeps_no_incident_open_and_a_version_from_qualifying() {
    let config = CONFIG.replace(
        "      - {name: drift,",
        "      - {name: more, metric: null_rate, of: [y], window: 5s, slide: 1s}\n      - {name: drift,",
    );
    let mut run = Run::new(&config.replace("checks: [nulls]", "checks: [nulls, more]"));
    run.panes(30, HEALTHY, &["v1"]);
    run.panes(5, Traffic { nulls: 0.5, ..HEALTHY }, &["v1"]);
    run.panes(20, HEALTHY, &["v1"]);
    assert!(run.of("more", "y").all(|finding| finding.sequential.as_ref().unwrap().shadow.is_some()));
    assert_eq!(run.decided("complete"), ["violated", "cleared"]);
    // Where all is in shadow, nothing is known, and that is no pass.
    let mut run = Run::new(&config.replace("checks: [nulls]", "checks: [more]"));
    run.panes(30, HEALTHY, &["v1"]);
    assert_eq!(run.decided("complete"), Vec::<&str>::new());
}

#[test]
fn a_version_whose_traffic_pauses_keeps_its_evidence_until_another_needs_its_place() {
    let config = CONFIG.replace("    pane: 1s", "    live: {versions: 1}\n    pane: 1s");
    let last = |run: &Run, check: &str, version: &str| {
        let mut found = run.findings.iter().filter(|it| it.check == check && it.version.as_str() == version);
        found.next_back().unwrap().sequential.clone().unwrap()
    };
    let mut run = Run::new(&config);
    run.panes(40, HEALTHY, &["v1"]);
    let before = last(&run, "nulls", "v1");
    run.pane += 500;
    run.panes(3, HEALTHY, &["v1"]);
    let after = last(&run, "nulls", "v1");
    assert!(run.findings.len() < 60 * 6, "the gap is not walked through: {}", run.findings.len());
    assert!(after.panes > before.panes && after.panes < 100, "{} then {}", before.panes, after.panes);
    let rows: u64 = last(&run, "ratio", "v1").groups.iter().map(|group| group.n).sum();
    assert!(rows > 40 * ROWS as u64, "the sequence since the version was first seen: {rows}");

    run.pane += 500;
    run.panes(3, HEALTHY, &["v2"]);
    assert_eq!(last(&run, "nulls", "v2").shadow, None, "a silent version gives way");
    run.panes(3, HEALTHY, &["v1", "v2"]);
    assert!(last(&run, "nulls", "v1").shadow.is_some(), "and waits when it is back");
    run.panes(40, HEALTHY, &["v1"]);
    let back = last(&run, "nulls", "v1");
    assert_eq!(back.shadow, None);
    assert!(back.panes < 46, "what it saw before it gave way is gone: {}", back.panes);
}

#[test]
fn a_segment_value_steps_only_the_slots_that_are_asked_of_segments() {
    let config = CONFIG.replace(
        "    profile: given",
        "    segments:\n      - {name: region, from: /region, values: [north, south]}\n    profile: given",
    );
    let config =
        configured(&config.replace("tolerance: 0.02, direction: above", "tolerance: 0.02, segments: true"));
    let mut stream = Stream(7);
    let reference: Vec<Value> = (0..1_000).map(|_| row(&mut stream, HEALTHY, START, "v1")).collect();
    let profiles = BTreeMap::from([("credit".to_owned(), frozen(&config, &reference))]);
    let topics = topics(&config, &profiles).unwrap();
    let spec = &topics[0].models[0];
    let asked: Vec<&str> =
        spec.slots.iter().filter(|slot| slot.segments).map(|slot| slot.name.as_str()).collect();
    assert_eq!(asked, ["nulls"]);
    let others: usize = spec.slots.iter().filter(|slot| !slot.segments).map(Slot::bets).sum();
    let (mut whole, mut part) = (Detectors::new(&spec.slots), Detectors::of_segment(&spec.slots));
    assert_eq!(whole.size() - part.size(), others * size_of::<f64>());

    let slots: Vec<Slot> = spec.slots.iter().filter(|slot| !slot.segments).cloned().collect();
    (whole, part) = (Detectors::new(&slots), Detectors::of_segment(&slots));
    let (untouched, nothing) = (part.clone(), Summary::new(&spec.layout));
    let pane = PaneOf::new(EventTime::from_millis(START), Duration::from_secs(1));
    for detectors in [&mut whole, &mut part] {
        detectors.step(&slots, pane, &nothing, &mut vec![Starts::default(); slots.len()], true);
    }
    assert_eq!(part, untouched);
    assert_ne!(whole, Detectors::new(&slots));
}

#[test]
fn the_division_of_the_budget_is_printed_slot_by_slot_and_adds_up() {
    let config = configured(CONFIG);
    let reference: Vec<Value> = {
        let mut stream = Stream(7);
        (0..1_000).map(|_| row(&mut stream, HEALTHY, START, "v1")).collect()
    };
    let profiles = BTreeMap::from([("credit".to_owned(), frozen(&config, &reference))]);
    let models: Vec<_> = topics(&config, &profiles).unwrap().remove(0).models;
    let slots = &models[0].slots;
    let spent: f64 = slots.iter().map(|slot| slot.budget.share * f64::from(slot.copies)).sum();
    assert!((spent - 1.0).abs() < 1e-12, "{spent}");
    let text = plimsoll::app::budget::division(&config, &models);
    for slot in slots {
        let name = format!("credit/{} {}", slot.name, slot.key);
        let line =
            text.lines().find(|line| line.starts_with(&name)).unwrap_or_else(|| panic!("{name}: {text}"));
        assert!(line.contains(&format!("{:.6}", slot.budget.share)), "{line}");
        assert_eq!(
            line.contains("no, in shadow: it was never calibrated"),
            name.ends_with("drift y"),
            "{line}"
        );
    }
    assert!(text.starts_with("false-alarm budget: on average at most 1 in 1day"), "{text}");
}
