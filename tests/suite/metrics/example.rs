//! An example to show: a view with a breach of fairness in a model's second version, and the telemetry of a
//! daemon to which a little of everything has happened.

use std::sync::Arc;
use std::time::Duration;

use plimsoll::domain::{
    Accounting, Decision, DecisionKind, EventTime, Finding, Metric, ModelKey, RejectReason, Scope, Segment,
    Sequential, SourcePartition, Task, Verdict, Window,
};
use plimsoll::engine::actor::Entry;
use plimsoll::engine::actor::entry::{Body, FORMAT, Planned};
use plimsoll::engine::view::{ActionView, ModelView, PolicyState, PolicyView, SourceView, View};
use plimsoll::policy::Decide;
use plimsoll::safety::{ActionKind, Idempotency};
use plimsoll::telemetry::{Rebalance, Sink, SinkError, Stage, Telemetry};

/// Event time of the synthetic view's newest window end: 2026-11-22T10:00:00Z.
pub(super) const END: i64 = 1_795_341_600_000;

pub(in super::super) fn key(version: &str, segment: Segment) -> ModelKey {
    ModelKey { tenant: None, model: "credit".into(), version: version.into(), segment, profile: None }
}

pub(in super::super) fn finding(metric: Metric, scope: Scope, value: Option<f64>, n: u64) -> Finding {
    Finding {
        tenant: None,
        model: "credit".into(),
        version: "2".into(),
        window: Window { start: EventTime::from_millis(END - 3_600_000), end: EventTime::from_millis(END) },
        check: metric.name().to_owned(),
        metric,
        segment: Segment::All,
        scope,
        reference: None,
        revision: 0,
        value,
        interval: value.map(|value| [value - 0.05, value + 0.05]),
        p_value: None,
        expected: Some(0.01),
        n,
        n_reference: Some(50_000),
        bound: None,
        verdict: None,
        reason: None,
        standing_out: Vec::new(),
        sequential: None,
    }
}

pub(in super::super) fn feature(name: &str) -> Scope {
    Scope::Feature { feature: name.to_owned() }
}

pub(in super::super) fn group(values: &[&str]) -> Scope {
    Scope::Group { group: "sex".to_owned(), values: values.iter().map(|&value| value.to_owned()).collect() }
}

/// An alarm in shadow.
fn alarm() -> Finding {
    let mut alarm = finding(Metric::Psi, feature("age"), Some(0.3), 100);
    let evidence = serde_json::json!({
        "rule": "e_detector", "pane": alarm.window, "panes": 3, "log_e_before": 9.0, "log_e_after": 15.0,
        "log_threshold": 14.0,
    });
    let evidence = Some(serde_json::from_value(evidence).unwrap());
    alarm.sequential = Some(Sequential { evidence, ..half_way(Some("never calibrated")) });
    alarm
}

/// What a slot says that has come half of the way to its alarm.
fn half_way(shadow: Option<&str>) -> Sequential {
    Sequential {
        verdict: Verdict::Insufficient,
        shadow: shadow.map(str::to_owned),
        reason: None,
        log_e: Some(7.0),
        log_threshold: 14.0,
        share: 0.25,
        per_seconds: 2_419_200,
        panes: 40,
        null: None,
        tolerance: Some(0.01),
        groups: Vec::new(),
        evidence: None,
    }
}

/// A model with a breach of fairness in its second version, as the engine would publish it.
pub(in super::super) fn view() -> View {
    let end = EventTime::from_millis(END);
    let mut psi = finding(Metric::Psi, feature("income"), Some(0.31), 9_000);
    psi.bound = Some("<= 0.2".parse().unwrap());
    psi.verdict = Some(Verdict::Breach);
    psi.sequential = Some(half_way(None));
    let mut calm = finding(Metric::Psi, feature("age"), Some(0.01), 9_100);
    calm.bound = psi.bound;
    calm.verdict = Some(Verdict::Pass);
    calm.sequential = Some(half_way(Some("it was <i>never</i> calibrated")));
    let mut thin = finding(Metric::SelectionRateRatio, group(&["F", "M"]), Some(0.6), 40);
    thin.bound = Some(">= 0.8".parse().unwrap());
    thin.verdict = Some(Verdict::Insufficient);
    thin.sequential = Some(Sequential { log_e: None, verdict: Verdict::Pass, ..half_way(None) });
    thin.reason = Some("<b>12 rows</b> of 500".to_owned());
    let mut segment = finding(Metric::Psi, feature("income"), Some(0.99), 800);
    segment.segment = Segment::Of { name: "channel".into(), value: "web".into() };
    let rate = finding(Metric::SelectionRate, group(&["F"]), Some(0.42), 4_000);
    let latest = vec![psi, calm, thin, segment, rate];
    let latest: Vec<Arc<Finding>> = latest.into_iter().map(Arc::new).collect();
    let partition = SourcePartition::new("inference", 3);
    let decision = Decision {
        id: "0123456789abcdef0123456789abcdef".to_owned(),
        kind: DecisionKind::Violated,
        policy: "fair-lending".to_owned(),
        decide: Default::default(),
        key: key("2", Segment::All),
        since: end,
        at: end,
        actions: vec!["roll-back".to_owned()],
        evidence: Vec::new(),
    };
    View {
        taken_at: END + 1_500,
        watermark: Some(end),
        sources: vec![SourceView {
            partition,
            position: 10_000,
            lag: Some(17),
            newest: Some(end),
            watermark: Some(EventTime::from_millis(END - 30_000)),
            idle: false,
        }],
        exchange: Vec::new(),
        model_bytes: Default::default(),
        configuration: Default::default(),
        accounting: [(
            Arc::from("inference"),
            Accounting {
                records: 10_000,
                used: 9_980,
                late: 8,
                rejected: 12,
                rows: 9_988,
                late_rows: 8,
                lost: 0,
            },
        )]
        .into(),
        rejected: [((Arc::from("inference"), RejectReason::InvalidJson), 12)].into(),
        models: vec![ModelView {
            key: key("2", Segment::All),
            task: Task::Binary,
            rows: 9_980,
            newest: end,
            evaluated_until: Some(end),
            policies: vec![PolicyView {
                policy: "fair-lending".to_owned(),
                state: PolicyState::Violated,
                since: Some(end),
                decide: Decide::Sequential,
                checks: vec!["psi".to_owned(), "selection_rate_ratio".to_owned()],
            }],
        }],
        recent: latest.clone(),
        latest,
        decisions: vec![Arc::new(decision)],
        commands: Vec::new(),
        safety: Default::default(),
        actions: vec![ActionView {
            id: "a1".to_owned(),
            action: "roll-back".to_owned(),
            kind: "rollback".to_owned(),
            decision: "0123456789abcdef0123456789abcdef".to_owned(),
            policy: "fair-lending".to_owned(),
            key: key("2", Segment::All),
            to_version: Some("1".to_owned()),
            state: "applied".to_owned(),
            detail: Some("dry run".to_owned()),
            changed_at: END + 1_000,
            evidence: None,
            expires_at: None,
        }],
        evaluations: [((key("2", Segment::All), "psi".to_owned(), Some(Verdict::Breach)), 3)].into(),
        panes: 70,
        pane_bytes: 120_000,
    }
}

/// What the audit log says of a rollback that is under way.
fn submitted() -> [Entry; 2] {
    let decision = Decision::clone(&view().decisions[0]);
    let planned = Planned {
        action_id: "a1".to_owned(),
        action: "roll-back".to_owned(),
        kind: ActionKind::Rollback,
        deadline: END + 300_000,
    };
    let decided = Body::Decision { decision, omitted: 0, actions: vec![planned] };
    let intent = Body::Intent {
        action_id: "a1".to_owned(),
        target: "webhook".to_owned(),
        idempotency: Idempotency::Keyed,
        to_version: Some("1".into()),
        payload: serde_json::Value::Null,
    };
    [(0, decided), (1, intent)].map(|(seq, body)| Entry { format: FORMAT, seq, time: END, body })
}

/// A daemon's telemetry after a little of everything has happened.
pub(in super::super) fn telemetry() -> Telemetry {
    let telemetry = Telemetry::new("0.1.0", "abc1234");
    telemetry.declare_topics(["inference"]);
    telemetry.declare_action("credit", "roll-back", ActionKind::Rollback);
    telemetry.declare_policy("credit", "fair-lending", Decide::Sequential);
    telemetry.declare_detectors("credit", "psi");
    telemetry.records_consumed(&SourcePartition::new("inference", 3), 10_000, 4_000_000);
    telemetry.rebalance(Rebalance::Assign);
    telemetry.dead_letters("inference", 12);
    telemetry.commit(true, 1_795_341_600.0);
    telemetry.commit(false, 1_795_341_601.0);
    telemetry.stage_busy(Stage::Decode, Duration::from_millis(1_250));
    telemetry.evaluation(Duration::from_millis(3));
    telemetry.finding_given_out(5);
    telemetry.decision("credit", "fair-lending", DecisionKind::Violated);
    telemetry.alarm(&alarm());
    telemetry.alarm(&finding(Metric::Psi, feature("income"), Some(0.3), 100));
    telemetry.sink_error(Sink::Findings, SinkError::Timeout);
    telemetry.actions_taken_up(&[]);
    telemetry.recorded(&submitted());
    telemetry.publish(Arc::new(view()));
    telemetry
}
