//! What each entry must be, and in which order entries about one action stand: it is announced, its evidence
//! is sealed, its one intent follows and then its one outcome. Numbers of entries are positions in the
//! signed tree, so the order is proven with them. `deploy/audit/verify.py` asks for the same in the same words.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::audit::tlog::ENTRY_BYTES;
use crate::engine::actor::entry::canonical;

/// Outcomes that a call must have come before, and so an intent.
const CALLED: [&str; 2] = ["applied", "needs_human"];
/// Outcomes of what was never begun.
const UNBEGUN: [&str; 2] = ["denied", "expired"];

/// An entry as far as the rules look at it.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) value: Value,
}

impl Read {
    /// The kind, such as `intent`.
    pub(super) fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    /// The actions that the entry is about or announces. Entries of kind `evidence` may name several; a
    /// command, the one that a person approves or denies.
    pub(super) fn actions(&self) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        found.extend(self.value["action_id"].as_str());
        found.extend(self.value["command"]["order"]["action_id"].as_str());
        found.extend(self.value["action_ids"].as_array().into_iter().flatten().filter_map(Value::as_str));
        found.extend(self.planned());
        found
    }

    /// The actions that the entry announces.
    fn planned(&self) -> impl Iterator<Item = &str> {
        let planned = self.value["actions"].as_array().into_iter().flatten();
        planned.filter_map(|planned| planned["action_id"].as_str())
    }

    /// The decision that the entry is about.
    pub(super) fn decision(&self) -> Option<&str> {
        let decision = &self.value["decision"];
        self.value["decision_id"].as_str().or(decision.as_str()).or(decision["id"].as_str())
    }
}

/// Reads entry number `index` strictly.
///
/// # Errors
/// In words, why it is none.
pub(super) fn read(index: u64, bytes: &[u8]) -> Result<Read, String> {
    if bytes.len() > ENTRY_BYTES {
        return Err(format!("has {} bytes, and {ENTRY_BYTES} are allowed", bytes.len()));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|wrong| format!("is not JSON: {wrong}"))?;
    if canonical(&value).as_bytes() != bytes {
        return Err("is not canonical JSON (RFC 8785)".to_owned());
    }
    let text = |key: &str| value[key].as_str().is_some_and(|text| !text.is_empty());
    if !text("kind") || !text("time") || value["format"].as_u64().is_none() {
        return Err("has no format, kind or time".to_owned());
    }
    match value["seq"].as_u64() {
        Some(seq) if seq == index => Ok(Read { value }),
        Some(seq) => {
            Err(format!("says that it is number {seq}: entries are missing, repeated or out of order"))
        }
        None => Err("has no number".to_owned()),
    }
}

/// How far an action has come.
#[derive(Debug, Default)]
struct Action {
    sealed: bool,
    intent: bool,
    outcome: bool,
    verified: bool,
}

/// The rule of order, followed from entry to entry.
#[derive(Debug, Default)]
pub(super) struct Order {
    actions: BTreeMap<String, Action>,
}

impl Order {
    /// What is wrong with the entry after those before it.
    pub(super) fn take(&mut self, read: &Read) -> Vec<String> {
        let mut wrong = Vec::new();
        match read.kind() {
            "decision" => {
                for id in read.planned() {
                    if self.actions.insert(id.to_owned(), Action::default()).is_some() {
                        wrong.push(format!("announces action {id} a second time"));
                    }
                }
            }
            "evidence" => {
                for id in read.actions() {
                    let Some(action) = self.actions.get_mut(id) else {
                        wrong.push(format!(
                            "seals evidence for action {id}, which no entry before it announced"
                        ));
                        continue;
                    };
                    match action {
                        Action { intent: true, .. } | Action { outcome: true, .. } => {
                            wrong.push(format!("seals evidence for action {id} after its intent or outcome"));
                        }
                        Action { sealed: true, .. } => {
                            wrong.push(format!("seals evidence for action {id} a second time"));
                        }
                        Action { .. } => action.sealed = true,
                    }
                }
            }
            // Notifications stand on the evidence of the action that they are about.
            "escalated" => {
                let about = read.value["action_id"].as_str().and_then(|id| self.actions.get(id));
                let Some(sealed) = about.map(|action| action.sealed) else {
                    wrong.push("is about an action that no entry before it announced".to_owned());
                    return wrong;
                };
                for id in read.planned() {
                    self.actions.entry(id.to_owned()).or_default().sealed |= sealed;
                }
            }
            kind @ ("intent" | "accepted" | "outcome" | "verified") => {
                let state = read.value["outcome"]["state"].as_str().unwrap_or_default();
                for id in read.actions() {
                    match self.actions.get_mut(id) {
                        Some(action) => wrong.extend(action.take(kind, id, state)),
                        None => {
                            wrong.push(format!(
                                "is the {kind} of action {id}, which no entry before it announced"
                            ));
                        }
                    }
                }
            }
            _ => {}
        }
        wrong
    }
}

impl Action {
    /// What is wrong with the entry of `kind` about the action `id`, an outcome with its `state`.
    fn take(&mut self, kind: &str, id: &str, state: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut rule = |broken: bool, says: fn(&str, &str) -> String| {
            if broken {
                wrong.push(says(id, state));
            }
        };
        match kind {
            "intent" => {
                rule(!self.sealed, |id, _| {
                    format!("is the intent of action {id}, whose evidence was not sealed before")
                });
                rule(self.intent, |id, _| format!("is a second intent of action {id}"));
                rule(self.outcome, |id, _| format!("is the intent of action {id} after its outcome"));
                self.intent = true;
            }
            "accepted" => {
                rule(!self.intent, |id, _| {
                    format!("says that action {id} was taken, without an intent before it")
                });
                rule(self.outcome, |id, _| format!("says that action {id} was taken, after its outcome"));
            }
            "outcome" => {
                rule(!self.sealed, |id, _| {
                    format!("is the outcome of action {id}, whose evidence was not sealed before")
                });
                rule(self.outcome, |id, _| format!("is a second outcome of action {id}"));
                rule(CALLED.contains(&state) && !self.intent, |id, state| {
                    format!("says that action {id} ended as {state}, without an intent before it")
                });
                rule(UNBEGUN.contains(&state) && self.intent, |id, state| {
                    format!("says that action {id} ended as {state}, after its intent")
                });
                self.outcome = true;
            }
            _ => {
                rule(!self.outcome, |id, _| {
                    format!("says what action {id} led to, without an outcome before it")
                });
                rule(self.verified, |id, _| format!("says a second time what action {id} led to"));
                self.verified = true;
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wrong(entries: &[Value]) -> Vec<String> {
        let mut order = Order::default();
        entries.iter().flat_map(|value| order.take(&Read { value: value.clone() })).collect()
    }

    fn decision() -> Value {
        json!({"kind": "decision", "decision": {"id": "d"}, "actions": [{"action_id": "a"}]})
    }

    fn intent() -> Value {
        json!({"kind": "intent", "action_id": "a"})
    }

    fn outcome(state: &str) -> Value {
        json!({"kind": "outcome", "action_id": "a", "outcome": {"state": state}})
    }

    fn evidence() -> Value {
        json!({"kind": "evidence", "decision": "d", "action_ids": ["a"]})
    }

    /// How often each of these orders is wrong.
    #[test]
    fn evidence_comes_before_the_one_intent_and_the_intent_before_the_one_outcome() {
        let accepted = || json!({"kind": "accepted", "action_id": "a"});
        let verified = || json!({"kind": "verified", "action_id": "a"});
        for (entries, expected) in [
            (vec![decision(), evidence(), intent(), accepted(), outcome("applied"), verified()], 0),
            (vec![decision(), evidence(), outcome("suppressed")], 0),
            (vec![decision(), evidence(), outcome("failed")], 0),
            (vec![decision(), evidence(), intent(), outcome("suppressed")], 0),
            (vec![decision(), evidence(), intent()], 0),
            (vec![decision()], 0),
            // From the first action on, also where no evidence was ever sealed.
            (vec![decision(), intent()], 1),
            (vec![decision(), outcome("suppressed")], 1),
            (vec![decision(), json!({"kind": "evidence", "decision": "d"}), intent()], 1),
            (vec![decision(), json!({"kind": "evidence", "action_ids": ["b"]}), intent()], 2),
            (vec![decision(), intent(), evidence()], 2),
            (vec![evidence(), decision(), intent()], 2),
            (vec![decision(), evidence(), outcome("failed"), evidence()], 1),
            (vec![decision(), evidence(), evidence(), intent()], 1),
            (vec![decision(), decision(), evidence()], 1),
            (vec![decision(), evidence(), intent(), decision()], 1),
            (vec![decision(), evidence(), intent(), intent()], 1),
            (vec![decision(), evidence(), outcome("failed"), intent()], 1),
            (vec![decision(), evidence(), intent(), outcome("failed"), intent()], 2),
            (vec![decision(), evidence(), intent(), outcome("failed"), outcome("applied")], 1),
            (vec![decision(), evidence(), intent(), outcome("applied"), outcome("applied")], 1),
            (vec![decision(), evidence(), outcome("applied")], 1),
            (vec![decision(), evidence(), outcome("needs_human")], 1),
            (vec![decision(), evidence(), intent(), outcome("expired")], 1),
            (vec![decision(), evidence(), accepted(), intent()], 1),
            (vec![decision(), evidence(), intent(), outcome("applied"), accepted()], 1),
            (vec![decision(), evidence(), intent(), verified()], 1),
            (vec![decision(), evidence(), intent(), outcome("applied"), verified(), verified()], 1),
            (vec![intent()], 1),
            (vec![outcome("failed")], 1),
            (vec![evidence()], 1),
        ] {
            assert_eq!(wrong(&entries).len(), expected, "{entries:?}: {:?}", wrong(&entries));
        }
    }

    #[test]
    fn a_notification_stands_on_the_evidence_of_what_it_is_about() {
        let none: Vec<String> = Vec::new();
        let told = |about: &str| json!({"kind": "escalated", "action_id": about, "actions": [{"action_id": "tell"}]});
        let tells = json!({"kind": "intent", "action_id": "tell"});
        assert_eq!(wrong(&[decision(), evidence(), told("a"), tells.clone()]), none);
        assert_eq!(wrong(&[decision(), evidence(), tells.clone()]).len(), 1);
        assert_eq!(wrong(&[decision(), evidence(), told("b"), tells.clone()]).len(), 2);
        assert_eq!(wrong(&[decision(), told("a"), tells]).len(), 1);
    }

    #[test]
    fn an_entry_is_read_in_one_spelling_only() {
        let good = r#"{"format":1,"kind":"started","seq":3,"time":"2026-11-22T10:00:00Z"}"#;
        assert!(read(3, good.as_bytes()).is_ok());
        assert!(read(4, good.as_bytes()).unwrap_err().contains("number 3"));
        for (from, to) in [
            (r#""seq":3"#, r#""seq": 3"#),
            (r#""seq":3"#, r#""seq":3.0"#),
            (r#""format":1,"#, r#""format":1,"format":1,"#),
            (r#""kind":"started","#, ""),
            ("started", r"\u0073tarted"),
            ("{", " {"),
        ] {
            assert!(read(3, good.replacen(from, to, 1).as_bytes()).is_err(), "{to}");
        }
        let long =
            format!(r#"{{"a":"{}","format":1,"kind":"k","seq":3,"time":"t"}}"#, "x".repeat(ENTRY_BYTES));
        assert!(read(3, long.as_bytes()).unwrap_err().contains("bytes"));
    }
}
