//! What a call asks for, as adapters read it, and the templates in which a configuration says how a
//! target wants to hear it.
//!
//! The payload is the one that webhooks are sent (`engine::actor`). It was made by this program, but
//! maybe by an earlier version of it, so what it lacks is an answer and not a panic.

mod template;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::engine::actor::Call;
use crate::safety::{ActionKind, Reply};

pub use template::{Conf, Template, TemplateError};

/// What needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escalation<'a> {
    /// Id of the action that it is about.
    pub action_id: &'a str,
    /// Its configured name.
    pub action: &'a str,
    /// A word: `failed`, `not_recovered` ...
    pub reason: &'a str,
    /// In words.
    pub detail: &'a str,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Id of the action, `[a-z0-9-]` and fewer than 64 characters.
    pub action_id: &'a str,
    /// What it is for.
    pub kind: ActionKind,
    /// Owner of the model, where the log states one.
    pub tenant: Option<&'a str>,
    /// The model.
    pub model: &'a str,
    /// The version that the decision is about: the bad one, where it is a violation.
    pub version: &'a str,
    /// The version to go back to; rollbacks have one.
    pub to_version: Option<&'a str>,
    /// `all`, or `name=value`.
    pub segment: &'a str,
    /// The policy that decided.
    pub policy: &'a str,
    /// Id of the decision.
    pub decision: &'a str,
    /// What it says: `violated`, `cleared`, `withdrawn`.
    pub decision_kind: &'a str,
    /// When the incident began, RFC 3339.
    pub since: &'a str,
    /// When the request was made, RFC 3339.
    pub time: &'a str,
    /// Of an escalation: what needs a person, and why.
    pub escalation: Option<Escalation<'a>>,
    /// The whole payload.
    pub payload: &'a Value,
}

impl<'a> Request<'a> {
    /// What `call` asks for; refused where its payload does not say.
    pub fn of(call: &'a Call) -> Result<Self, Reply> {
        let payload = &call.payload;
        let data = &payload["data"];
        let lacking = |what: &str| Reply::Rejected { why: format!("the request does not say its {what}") };
        let kind = match payload["type"].as_str() {
            Some("plimsoll.rollback.requested") => ActionKind::Rollback,
            Some("plimsoll.retrain.requested") => ActionKind::Retrain,
            Some("plimsoll.notification" | "plimsoll.escalation") => ActionKind::Notify,
            _ => return Err(lacking("type")),
        };
        let text = |place: &'a Value, name: &str| place[name].as_str().ok_or_else(|| lacking(name));
        let escalation = match &data["escalation"] {
            Value::Null => None,
            about => Some(Escalation {
                action_id: about["action_id"].as_str().unwrap_or_default(),
                action: about["action"].as_str().unwrap_or_default(),
                reason: text(about, "reason")?,
                detail: about["detail"].as_str().unwrap_or_default(),
            }),
        };
        let to_version = data["to_version"].as_str();
        if kind == ActionKind::Rollback && to_version.is_none() {
            return Err(lacking("to_version"));
        }
        Ok(Self {
            action_id: &call.action_id,
            kind,
            tenant: data["tenant"].as_str(),
            model: text(data, "model")?,
            version: text(data, "version")?,
            to_version,
            segment: data["segment"].as_str().unwrap_or("all"),
            policy: text(data, "policy")?,
            decision: text(&data["decision"], "id")?,
            decision_kind: text(&data["decision"], "kind")?,
            since: data["since"].as_str().unwrap_or_default(),
            time: text(payload, "time")?,
            escalation,
            payload,
        })
    }

    /// Whether it says that the incident is over.
    pub fn is_over(&self) -> bool {
        self.escalation.is_none() && matches!(self.decision_kind, "cleared" | "withdrawn")
    }

    /// Id of the incident: 32 hexadecimal digits, the same for everything that is said about it from its
    /// beginning to its end, and another for the next one of the same model version.
    pub fn incident(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(b"plimsoll incident 1");
        let tenant = self.tenant.unwrap_or_default();
        for part in [self.policy, tenant, self.model, self.version, self.segment, self.since] {
            // The length goes first, so that no two lists of names read the same.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        digest.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The request in one line.
    pub fn summary(&self) -> String {
        summary(self.payload)
    }
}

/// What `payload` asks for, in one line; what it does not say is a question mark.
pub fn summary(payload: &Value) -> String {
    let data = &payload["data"];
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut model = text(&data["model"]);
    if let Some(tenant) = data["tenant"].as_str() {
        model = format!("{model} of {tenant}");
    }
    let version = text(&data["version"]);
    match payload["type"].as_str().unwrap_or_default() {
        "plimsoll.rollback.requested" => {
            format!("roll {model} back from {version} to {}", text(&data["to_version"]))
        }
        "plimsoll.retrain.requested" => format!("retrain {model} because of {version}"),
        "plimsoll.escalation" => {
            let about = &data["escalation"];
            let (action, reason, detail) =
                (text(&about["action"]), text(&about["reason"]), text(&about["detail"]));
            format!("tell that action {action} for {model} {version} needs a person: {reason}: {detail}")
        }
        _ => {
            let (policy, said) = (text(&data["policy"]), text(&data["decision"]["kind"]));
            let place = match data["segment"].as_str() {
                None | Some("all") => String::new(),
                Some(segment) => format!(" in {segment}"),
            };
            format!("tell that policy {policy} is {said} for {model} {version}{place}")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    pub(super) fn call(kind: ActionKind, change: Value) -> Call {
        let event = match kind {
            ActionKind::Rollback => "plimsoll.rollback.requested",
            ActionKind::Retrain => "plimsoll.retrain.requested",
            ActionKind::Notify => "plimsoll.notification",
        };
        let mut data = json!({
            "model": "credit", "version": "v2", "segment": "all", "policy": "fair",
            "decision": {"id": "d1", "kind": "violated"}, "since": "2026-11-22T10:00:00Z",
        });
        if kind == ActionKind::Rollback {
            data["to_version"] = "v1".into();
        }
        if let Value::Object(change) = change {
            data.as_object_mut().unwrap().extend(change);
        }
        let payload = json!({"id": "a-1", "type": event, "time": "2026-11-22T10:05:00Z", "data": data});
        let step = crate::safety::Step::Submit;
        Call { action_id: "a-1".into(), attempt: 1, action: "back".into(), step, payload, deadline: i64::MAX }
    }

    #[test]
    fn a_request_says_in_one_line_what_it_asks_for() {
        let of = |kind, change| Request::of(&call(kind, change)).unwrap().summary();
        assert_eq!(of(ActionKind::Rollback, json!({})), "roll credit back from v2 to v1");
        assert_eq!(
            of(ActionKind::Retrain, json!({"tenant": "north"})),
            "retrain credit of north because of v2"
        );
        assert_eq!(
            of(ActionKind::Notify, json!({"segment": "channel=web"})),
            "tell that policy fair is violated for credit v2 in channel=web"
        );
    }

    #[test]
    fn an_incident_keeps_its_id_until_it_is_over() {
        let id = |change| Request::of(&call(ActionKind::Notify, change)).unwrap().incident();
        let opened = id(json!({}));
        assert_eq!(opened, id(json!({"decision": {"id": "d2", "kind": "cleared"}})));
        assert_eq!(opened.len(), 32);
        for other in
            [json!({"since": "2026-11-22T11:00:00Z"}), json!({"version": "v3"}), json!({"segment": "a=b"})]
        {
            assert_ne!(opened, id(other));
        }
    }

    #[test]
    fn a_rollback_without_a_version_to_go_back_to_is_refused() {
        let call = call(ActionKind::Rollback, json!({"to_version": null}));
        let refused = Request::of(&call).unwrap_err();
        assert_eq!(refused, Reply::Rejected { why: "the request does not say its to_version".into() });
    }

    proptest! {
        #[test]
        fn a_payload_that_lacks_anything_is_refused_and_nothing_panics(
            members in prop::collection::vec(prop::sample::select(vec![
                "id", "type", "time", "data", "model", "version", "policy", "decision", "kind",
            ]), 0..8),
        ) {
            let mut call = call(ActionKind::Rollback, json!({}));
            for member in &members {
                for place in ["", "/data", "/data/decision"] {
                    if let Some(object) = call.payload.pointer_mut(place).and_then(Value::as_object_mut)
                        && !(place == "/data/decision" && *member == "version")
                    {
                        object.remove(*member);
                    }
                }
            }
            let needed = members.iter().any(|member| *member != "id")
                || members.contains(&"id"); // the id of the decision
            prop_assert_eq!(Request::of(&call).is_err(), needed);
            call.payload = Value::Null;
            prop_assert!(Request::of(&call).is_err());
        }
    }
}
