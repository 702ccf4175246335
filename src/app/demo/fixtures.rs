//! A picture of the demo in the middle of the rollout, for the tests of what is shown.

use std::sync::Arc;
use std::time::Duration;

use super::scenario::Phase;
use super::status::DemoStatus;
use crate::domain::{
    Accounting, Bound, Decision, DecisionKind, EventTime, Finding, Metric, ModelKey, RejectReason, Scope,
    Segment, SourcePartition, Task, Verdict, Window,
};
use crate::engine::view::{ActionView, ModelView, PolicyState, PolicyView, SourceView, View};

/// 2026-11-22T10:00:00Z.
pub(super) const START: EventTime = EventTime::from_millis(1_795_341_600_000);

pub(super) fn minute(minute: u64) -> EventTime {
    START + Duration::from_secs(60 * minute)
}

pub(super) fn key(version: &str) -> ModelKey {
    ModelKey {
        tenant: None,
        model: "credit".into(),
        version: version.into(),
        segment: Segment::All,
        profile: None,
    }
}

/// A finding of minutes 16 to 18 with an interval of one hundredth on each side.
pub(super) fn finding(check: &str, version: &str, value: f64, bound: &str) -> Finding {
    let bound: Bound = bound.parse().unwrap();
    Finding {
        tenant: None,
        model: "credit".into(),
        version: version.into(),
        window: Window { start: minute(16), end: minute(18) },
        check: check.into(),
        metric: Metric::Psi,
        segment: Segment::All,
        scope: Scope::Model {},
        reference: None,
        revision: 0,
        value: Some(value),
        interval: Some([value - 0.01, value + 0.01]),
        p_value: None,
        expected: None,
        n: 119_880,
        n_reference: Some(20_000),
        bound: Some(bound),
        verdict: Some(bound.judge(value - 0.01, value + 0.01)),
        reason: None,
        standing_out: Vec::new(),
        sequential: None,
    }
}

pub(super) fn decision(kind: DecisionKind, policy: &str, version: &str, at: u64) -> Decision {
    Decision {
        id: format!("{kind:?}-{policy}-{version}-{at}"),
        kind,
        policy: policy.into(),
        decide: Default::default(),
        key: key(version),
        since: minute(at - 1),
        at: minute(at),
        actions: match kind {
            DecisionKind::Violated => vec!["roll-back".into()],
            _ => vec![],
        },
        evidence: vec![finding("approval-ratio", version, 0.602, ">= 0.8")],
    }
}

pub(super) fn action(state: &str) -> ActionView {
    ActionView {
        id: "a1".into(),
        action: "roll-back".into(),
        kind: "rollback".into(),
        decision: "d1".into(),
        policy: "fair-lending".into(),
        key: key("v2"),
        to_version: Some("v1".into()),
        state: state.into(),
        detail: Some("dry run".into()),
        changed_at: 0,
        evidence: None,
        expires_at: None,
    }
}

fn model(version: &str, rows: u64, fair: PolicyState) -> ModelView {
    let policy = |policy: &str, state| PolicyView {
        policy: policy.into(),
        state,
        since: (state == PolicyState::Violated).then(|| minute(17)),
        decide: Default::default(),
        checks: Vec::new(),
    };
    ModelView {
        key: key(version),
        task: Task::Binary,
        rows,
        newest: minute(18),
        evaluated_until: Some(minute(18)),
        policies: vec![policy("fair-lending", fair), policy("upstream-drift", PolicyState::Ok)],
    }
}

/// Version 2 is being rolled out, has been found unfair, and a rollback was decided.
pub(super) fn view() -> View {
    let group = |finding: Finding, group: &str, values: [&str; 2]| Finding {
        scope: Scope::Group { group: group.into(), values: values.map(str::to_owned).to_vec() },
        metric: Metric::SelectionRateRatio,
        ..finding
    };
    let feature = |finding: Finding, feature: &str| Finding {
        scope: Scope::Feature { feature: feature.into() },
        ..finding
    };
    let mut thin = group(finding("approval-ratio", "v2", 0.81, ">= 0.8"), "race", ["asian", "black"]);
    thin.verdict = Some(Verdict::Insufficient);
    let latest = [
        group(finding("approval-ratio", "v1", 0.968, ">= 0.8"), "sex", ["M", "F"]),
        group(finding("approval-ratio", "v2", 0.602, ">= 0.8"), "sex", ["M", "F"]),
        thin,
        feature(finding("feature-psi", "v1", 0.004, "<= 0.1"), "income"),
        feature(finding("feature-psi", "v1", 0.003, "<= 0.1"), "debt_ratio"),
    ];
    let mut view = View {
        watermark: Some(minute(18)),
        sources: (0..4)
            .map(|partition| SourceView {
                partition: SourcePartition::new("inference", partition),
                position: 270_000,
                lag: Some(i64::from(partition) * 10),
                newest: Some(minute(18)),
                watermark: Some(minute(18)),
                idle: false,
            })
            .collect(),
        models: vec![model("v1", 1_050_000, PolicyState::Ok), model("v2", 29_000, PolicyState::Violated)],
        latest: latest.map(Arc::new).to_vec(),
        decisions: vec![
            Arc::new(decision(DecisionKind::Qualified, "fair-lending", "v1", 3)),
            Arc::new(decision(DecisionKind::Violated, "upstream-drift", "v1", 8)),
            Arc::new(decision(DecisionKind::Cleared, "upstream-drift", "v1", 14)),
            Arc::new(decision(DecisionKind::Violated, "fair-lending", "v2", 18)),
        ],
        actions: vec![action("applied")],
        panes: 48,
        pane_bytes: 96_000,
        ..View::default()
    };
    view.accounting.insert(
        "inference".into(),
        Accounting {
            records: 1_080_000,
            used: 1_079_000,
            late: 460,
            rejected: 540,
            rows: 1_079_460,
            late_rows: 460,
            lost: 0,
        },
    );
    view.rejected.insert(("inference".into(), RejectReason::InvalidJson), 300);
    view.rejected.insert(("inference".into(), RejectReason::MissingTime), 240);
    view.evaluations.insert((key("v1"), "approval-ratio".into(), Some(Verdict::Pass)), 70);
    view.evaluations.insert((key("v2"), "approval-ratio".into(), Some(Verdict::Breach)), 4);
    view.evaluations.insert((key("v1"), "traffic".into(), None), 35);
    view
}

pub(super) fn status() -> DemoStatus {
    DemoStatus {
        phase: Phase::Rollout(0.5),
        start: START,
        event_time: minute(18) + Duration::from_secs(12),
        speed: 30.0,
        records_per_second: 29_980.4,
        metrics_url: "http://127.0.0.1:39464/metrics".into(),
        api_url: "http://127.0.0.1:39464/api/v1".into(),
        elapsed: Duration::from_secs(36),
        ends_in: Some(Duration::from_secs(24)),
        colour: true,
    }
}
