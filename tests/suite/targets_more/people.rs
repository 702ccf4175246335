//! Services that tell people.

use plimsoll::safety::{ActionKind, Idempotency, Reply, Step};
use serde_json::json;

use super::super::targets::{ID, ask, call, call_with};
use super::worlds::{Sink, run};
use super::{Setting, submit, target};

const KIND: ActionKind = ActionKind::Notify;

#[test]
fn an_alert_of_pagerduty_is_one_from_the_beginning_of_an_incident_to_its_end() {
    let (stub, world) = run(Sink::default());
    let pagerduty = target("pagerduty", &Setting::at(&stub.url()));
    assert_eq!(pagerduty.idempotency(), Idempotency::Keyed);
    assert!(matches!(submit(&*pagerduty, KIND), Reply::Accepted { done: true, .. }));
    let over = call_with(KIND, json!({"decision": {"id": "d2", "kind": "cleared"}}));
    assert!(matches!(ask(&*pagerduty, &Step::Submit, &over), Reply::Accepted { done: true, .. }));
    let about =
        json!({"action_id": "rollback-1", "action": "back", "reason": "not_recovered", "detail": "no"});
    let escalation = call_with(KIND, json!({"escalation": about}));
    ask(&*pagerduty, &Step::Submit, &escalation);

    let events = world.lock().unwrap().taken.clone();
    assert_eq!(events[0]["event_action"], "trigger");
    assert_eq!(events[0]["routing_key"], "hunter2-0123456789abcdef01234567");
    let payload = &events[0]["payload"];
    assert_eq!((&payload["severity"], &payload["source"]), (&json!("error"), &json!("plimsoll")));
    assert_eq!(payload["summary"], "tell that policy fair is violated for credit v2");
    assert_eq!(payload["custom_details"]["action_id"], ID);
    assert_eq!(events[1]["event_action"], "resolve");
    assert_eq!(events[0]["dedup_key"], events[1]["dedup_key"]);
    // What needs a person does not go away by itself.
    assert_eq!(events[2]["event_action"], "trigger");
    assert_ne!(events[0]["dedup_key"], events[2]["dedup_key"]);
    for event in &events {
        let key = event["dedup_key"].as_str().unwrap();
        assert!(!key.is_empty() && key.len() <= 255, "{key}");
    }
}

#[test]
fn a_message_to_slack_says_what_happened_and_calls_nobody_by_markup() {
    let (stub, world) = run(Sink::default());
    let slack = target("slack", &Setting::at(&stub.url()));
    assert_eq!(slack.idempotency(), Idempotency::Unkeyed);
    let model = call_with(KIND, json!({"model": "<!channel>"}));
    assert!(matches!(ask(&*slack, &Step::Submit, &model), Reply::Accepted { done: true, .. }));
    let sent = world.lock().unwrap().taken.remove(0);
    assert_eq!(sent.as_object().unwrap().len(), 1);
    let text = sent["text"].as_str().unwrap();
    assert!(
        text.starts_with("An incident of policy fair has begun: &lt;!channel&gt; v2 (violated)\n"),
        "{text}"
    );
    assert!(text.contains("• fair: 0.5 (bound ?), breach") && text.ends_with(ID), "{text}");
    assert_eq!(stub.seen()[0].path, "/services/T0/B0/hunter2-slack");

    let about = json!({"action_id": "rollback-1", "action": "back", "reason": "expired", "detail": "nobody approved"});
    ask(&*slack, &Step::Submit, &call_with(KIND, json!({"escalation": about})));
    let sent = world.lock().unwrap().taken.remove(0);
    let text = sent["text"].as_str().unwrap();
    assert!(
        text.starts_with("credit v2 needs a person: back expired: nobody approved (policy fair)\n"),
        "{text}"
    );
}

#[test]
fn a_message_of_which_it_is_not_known_whether_it_came_is_in_doubt_and_cannot_be_looked_up() {
    let slack = target("slack", &Setting::at("http://127.0.0.1:9"));
    assert!(!slack.abilities().find);
    assert!(matches!(ask(&*slack, &Step::Find, &call(KIND)), Reply::Rejected { .. }));
}
