//! How much of the evidence fits into requests and entries.

use super::*;
use crate::domain::sequential::{ComponentEvidence, Rule};
use crate::domain::{Bound, Decide, Evidence, Finding, Metric, Scope, Sequential, Verdict, Window};

fn finding(i: usize, verdict: Verdict) -> Finding {
    Finding {
        tenant: None,
        model: "credit".into(),
        version: "v2".into(),
        window: Window { start: EventTime::from_millis(0), end: EventTime::from_millis(60_000) },
        check: format!("check-{i}"),
        metric: Metric::Psi,
        segment: Segment::All,
        scope: Scope::Feature { feature: format!("feature-{i}") },
        reference: Some("sha256:0".into()),
        revision: 0,
        value: Some(0.5),
        interval: Some([0.4, 0.6]),
        p_value: None,
        expected: None,
        n: 500,
        n_reference: None,
        bound: Some(Bound::AtMost(0.2)),
        verdict: Some(verdict),
        reason: None,
        standing_out: Vec::new(),
        sequential: None,
    }
}

#[test]
fn bodies_and_entries_stay_within_their_limits_and_keep_the_breaches() {
    let mut evidence: Vec<Finding> = (0..500).map(|i| finding(i, Verdict::Pass)).collect();
    evidence.push(finding(500, Verdict::Breach));
    let mut run = Run::new().with_good_version();
    let wanted = Decision { evidence, ..decision(DecisionKind::Violated, "fair", "v2", &["back"]) };
    let effects = run.at(0, Input::Decision(wanted));
    let payload = &calls(&effects)[0].payload;
    let body = entry::canonical(payload);
    assert!((10_000..BODY_BYTES).contains(&body.len()), "{} bytes", body.len());
    let sent = payload["data"]["evidence"].as_array().unwrap();
    assert_eq!(sent[0]["check"], "check-500");
    assert_eq!(sent[0]["bound"], "<= 0.2");
    assert_eq!(sent.len() as u64 + payload["data"]["evidence_omitted"].as_u64().unwrap(), 501);
    for entry in &run.log {
        assert!(entry.to_json().len() < 65_536);
    }
    let kept = run.log.iter().find_map(|entry| match &entry.body {
        Body::Decision { decision, omitted, .. } if *omitted > 0 => {
            Some((decision.evidence.len() as u64, *omitted))
        }
        _ => None,
    });
    assert_eq!(kept.map(|(kept, omitted)| kept + omitted), Some(501));
}

#[test]
fn an_alarm_with_more_components_than_an_entry_holds_keeps_those_that_carry_it() {
    let component = |i: usize| ComponentEvidence {
        name: format!("category-{i} above"),
        n: vec![500.0],
        sum: vec![i as f64],
        null: vec![0.012_345_678_901_234_5],
        reference: Some(0.012_345_678_901_234_5),
        tolerance: Some(0.001),
        lambda: vec![0.123_456_789_012_345; 6],
        before: vec![Some(-1.234_567_890_123_45); 6],
        after: vec![Some(1.234_567_890_123_45); 6],
        share: i as f64,
    };
    let mut alarmed = finding(500, Verdict::Insufficient);
    alarmed.sequential = Some(Sequential {
        verdict: Verdict::Breach,
        shadow: None,
        reason: None,
        log_e: None,
        log_threshold: 14.0,
        share: 0.005,
        per_seconds: 2_419_200,
        panes: 0,
        null: None,
        tolerance: Some(0.001),
        groups: Vec::new(),
        evidence: Some(Box::new(Evidence {
            rule: Rule::EDetector,
            pane: Window { start: EventTime::from_millis(0), end: EventTime::from_millis(60_000) },
            panes: 9,
            log_e_before: Some(12.0),
            log_e_after: Some(15.0),
            log_threshold: Some(14.0),
            alpha: None,
            limit: None,
            components: (0..200).map(component).collect(),
            omitted: 0,
            groups: Vec::new(),
            moved: Vec::new(),
        })),
    });
    let mut evidence: Vec<Finding> = (0..500).map(|i| finding(i, Verdict::Breach)).collect();
    evidence.push(alarmed);
    let mut run = Run::new().with_good_version();
    let mut wanted = decision(DecisionKind::Violated, "fair", "v2", &["back"]);
    (wanted.evidence, wanted.decide) = (evidence, Decide::Sequential);
    let effects = run.at(0, Input::Decision(wanted));
    let sent = &calls(&effects)[0].payload["data"]["evidence"][0];
    assert_eq!(sent["check"], "check-500", "what led to it comes first");
    assert_eq!(sent["alarm"]["part"], "category-199 above");
    let logged = run.log.iter().find_map(|entry| match &entry.body {
        Body::Decision { decision, .. } if !decision.evidence.is_empty() => {
            assert!(entry.to_json().len() < 65_536);
            Some(decision.evidence[0].clone())
        }
        _ => None,
    });
    let kept = logged.unwrap().sequential.unwrap().evidence.unwrap();
    assert_eq!(kept.components[0].name, "category-199 above");
    assert!(kept.components.len() >= 10 && kept.omitted > 0, "{}", kept.components.len());
    assert_eq!(kept.components.len() as u64 + kept.omitted, 200);
}

#[test]
fn a_request_that_cannot_be_made_small_enough_fails_before_any_call() {
    let mut run = Run::new().with_good_version();
    let effects = run.at(0, violated("fair", &"v".repeat(30_000), &["back"]));
    assert!(shown(&effects)[0].starts_with("back failed the request would have"));
    assert_eq!(called(&effects), [""; 0]);
}
