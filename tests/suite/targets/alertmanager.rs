//! Alerts: the same labels from the beginning of an incident to its end, and values beside them.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll::action::alertmanager::{self, Alertmanager, Config};
use plimsoll::action::http::{Auth, Token};
use plimsoll::safety::{ActionKind, Reply, Step};
use serde_json::{Value, json};

use super::stub::{self, Stub};
use super::{ID, ask, call, call_with, clock, place};

/// An Alertmanager at `url`.
pub(crate) fn config(url: &str) -> Config {
    Config {
        place: place(url),
        auth: Auth::Bearer(Token::new("hunter2!")),
        alertname: "PlimsollIncident".into(),
        severity: "critical".into(),
        labels: BTreeMap::from([("team".to_owned(), "risk".to_owned())]),
        resolve_after: Duration::from_secs(3600),
        generator_url: Some("https://plimsoll.example/".into()),
    }
}

/// The one alert that is posted for a notification with `change` in its data.
fn alert(change: Value) -> Value {
    let stub = Stub::script(vec![stub::Reply::status(200)]);
    let target = Alertmanager::new(&config(&stub.url()), clock()).unwrap();
    let reply = ask(&target, &Step::Submit, &call_with(ActionKind::Notify, change));
    assert!(matches!(reply, Reply::Accepted { done: true, .. }), "{reply:?}");
    let seen = &stub.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/api/v2/alerts"));
    assert_eq!(seen.headers["content-type"], "application/json");
    assert_eq!(seen.headers["authorization"], "Bearer hunter2!");
    let mut alerts = seen.json();
    assert_eq!(alerts.as_array().unwrap().len(), 1);
    alerts[0].take()
}

#[test]
fn an_incident_fires_and_its_end_resolves_the_same_alert() {
    let fired = alert(json!({}));
    let labels = json!({
        "alertname": "PlimsollIncident", "severity": "critical", "team": "risk",
        "model": "credit", "version": "v2", "policy": "fair",
    });
    assert_eq!(fired["labels"], labels);
    assert_eq!(fired["startsAt"], "2026-11-22T09:50:00Z");
    assert_eq!(fired["endsAt"], "2026-11-22T11:00:00Z", "an hour after it was told");
    assert_eq!(fired["generatorURL"], "https://plimsoll.example/");
    assert_eq!(fired["annotations"]["summary"], "credit v2: policy fair is violated");
    assert_eq!(fired["annotations"]["evidence"], "fair ratio 0.5: breach (n = 1200)");
    for kind in ["cleared", "withdrawn"] {
        let ended = alert(json!({"decision": {"id": "d2", "kind": kind}, "evidence": []}));
        assert_eq!(ended["labels"], labels);
        assert_eq!(
            (&ended["startsAt"], &ended["endsAt"]),
            (&fired["startsAt"], &json!("2026-11-22T10:00:00Z"))
        );
        assert_eq!(ended["annotations"]["incident"], fired["annotations"]["incident"]);
    }
}

#[test]
fn tenants_segments_and_escalations_are_alerts_of_their_own() {
    let plain = alert(json!({}));
    let of = alert(json!({"tenant": "north", "segment": "channel=web"}));
    assert_eq!((&of["labels"]["tenant"], &of["labels"]["segment"]), (&json!("north"), &json!("channel=web")));
    let escalation = json!({"action_id": ID, "action": "back", "reason": "failed", "detail": "HTTP 403"});
    // That the incident is over does not make somebody unneeded.
    let needed = alert(json!({"escalation": escalation, "decision": {"id": "d2", "kind": "cleared"}}));
    assert_eq!(
        (&needed["labels"]["escalation"], &needed["labels"]["action"]),
        (&json!("failed"), &json!("back"))
    );
    assert_eq!(needed["endsAt"], "2026-11-22T11:00:00Z");
    assert_eq!(needed["annotations"]["description"], "failed: HTTP 403");
    for other in [of, needed] {
        assert_ne!(other["labels"], plain["labels"]);
    }
}

#[test]
fn an_alert_never_begins_after_its_end_and_has_no_empty_label() {
    let ahead = alert(
        json!({"since": "2026-11-22T10:30:00Z", "version": "", "decision": {"id": "d", "kind": "cleared"}}),
    );
    assert_eq!(
        (&ahead["startsAt"], &ahead["endsAt"]),
        (&json!("2026-11-22T10:00:00Z"), &json!("2026-11-22T10:00:00Z"))
    );
    assert!(ahead["labels"].get("version").is_none());
}

#[test]
fn nothing_but_telling_can_be_asked_of_it() {
    let stub = Stub::script(vec![]);
    let target = Alertmanager::new(&config(&stub.url()), clock()).unwrap();
    for kind in [ActionKind::Rollback, ActionKind::Retrain] {
        assert!(matches!(ask(&target, &Step::Submit, &call(kind)), Reply::Rejected { .. }));
    }
    assert_eq!(stub.seen().len(), 0);
}

#[test]
fn what_can_never_work_is_refused_when_the_target_is_made() {
    let bad = |change: fn(&mut Config)| {
        let mut config = config("http://127.0.0.1:9");
        change(&mut config);
        Alertmanager::new(&config, clock()).unwrap_err()
    };
    for name in ["1a", "a-b", "", "model", "é"] {
        let mut config = config("http://127.0.0.1:9");
        config.labels = BTreeMap::from([(name.to_owned(), "x".to_owned())]);
        let refused = Alertmanager::new(&config, clock()).unwrap_err();
        assert!(matches!(refused, alertmanager::Error::Label { .. }), "{name}");
    }
    assert!(matches!(bad(|it| it.severity.clear()), alertmanager::Error::Label { .. }));
    assert!(matches!(
        bad(|it| it.resolve_after = Duration::from_secs(59)),
        alertmanager::Error::ResolveAfter
    ));
    assert!(matches!(bad(|it| it.generator_url = Some("x".into())), alertmanager::Error::GeneratorUrl));
}
