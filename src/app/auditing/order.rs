//! What each entry must be, and in which order entries about one action stand: its evidence is sealed
//! before its intent, and its intent before its outcome. Numbers of entries are positions in the signed
//! tree, so the order is proven with them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::audit::tlog::ENTRY_BYTES;
use crate::engine::actor::entry::canonical;

/// Outcomes that a call must have come before, and so an intent.
const CALLED: [&str; 2] = ["applied", "unknown"];

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

    /// The actions that the entry is about or announces. Entries of kind `evidence` may name several, or
    /// the decision whose actions they are for; a command, the one that a person approves or denies.
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
}

/// The rule of order, followed from entry to entry.
#[derive(Debug, Default)]
pub(super) struct Order {
    actions: BTreeMap<String, Action>,
    /// Actions of each decision.
    decided: BTreeMap<String, BTreeSet<String>>,
    /// Whether the writer seals evidence in entries of its own. Those before it did that carry the findings
    /// in the decision, which is the seal then.
    seals: bool,
}

impl Order {
    /// What is wrong with the entry after those before it.
    pub(super) fn take(&mut self, read: &Read) -> Vec<String> {
        let mut wrong = Vec::new();
        let actions: Vec<String> = read.actions().into_iter().map(str::to_owned).collect();
        match read.kind() {
            "decision" => {
                for id in &actions {
                    let sealed = !self.seals;
                    self.actions.entry(id.clone()).or_default().sealed |= sealed;
                }
                if let Some(decision) = read.decision() {
                    self.decided.entry(decision.to_owned()).or_default().extend(actions);
                }
            }
            "evidence" => {
                self.seals = true;
                let of_decision = read.decision().and_then(|decision| self.decided.get(decision)).cloned();
                for id in actions.into_iter().chain(of_decision.into_iter().flatten()) {
                    let action = self.actions.entry(id.clone()).or_default();
                    if action.intent {
                        wrong.push(format!("seals evidence for action {id} after its intent"));
                    }
                    action.sealed = true;
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
            "accepted" => {
                for id in actions {
                    if !self.actions.get(&id).is_some_and(|action| action.intent) {
                        wrong.push(format!("says that action {id} was taken, without an intent before it"));
                    }
                }
            }
            "verified" => {
                for id in actions {
                    if !self.actions.get(&id).is_some_and(|action| action.outcome) {
                        wrong.push(format!("says what action {id} led to, without an outcome before it"));
                    }
                }
            }
            "intent" => {
                for id in actions {
                    let action = self.actions.entry(id.clone()).or_default();
                    if !action.sealed {
                        wrong.push(format!(
                            "is the intent of action {id}, whose evidence was not sealed before"
                        ));
                    }
                    if action.outcome {
                        wrong.push(format!("is the intent of action {id} after its outcome"));
                    }
                    action.intent = true;
                }
            }
            "outcome" => {
                let state = read.value["outcome"]["state"].as_str().unwrap_or_default();
                for id in actions {
                    let Some(action) = self.actions.get_mut(&id) else {
                        wrong.push(format!(
                            "is the outcome of action {id}, which no entry before it announced"
                        ));
                        continue;
                    };
                    if CALLED.contains(&state) && !action.intent {
                        wrong.push(format!(
                            "says that action {id} ended as {state}, without an intent before it"
                        ));
                    }
                    action.outcome = true;
                }
            }
            _ => {}
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

    #[test]
    fn evidence_comes_before_the_intent_and_the_intent_before_the_outcome() {
        let none: Vec<String> = Vec::new();
        let evidence = json!({"kind": "evidence", "decision_id": "d"});
        let by_action = json!({"kind": "evidence", "action_ids": ["a"]});
        let other = json!({"kind": "evidence", "action_ids": ["b"]});
        assert_eq!(wrong(&[decision(), intent(), outcome("applied")]), none);
        assert_eq!(wrong(&[decision(), outcome("suppressed")]), none);
        for seal in [&evidence, &by_action] {
            assert_eq!(wrong(&[other.clone(), decision(), seal.clone(), intent(), outcome("applied")]), none);
            assert_eq!(wrong(&[other.clone(), decision(), intent(), seal.clone()]).len(), 2);
        }
        assert_eq!(wrong(&[other, decision(), intent()]).len(), 1);
        assert_eq!(wrong(&[decision(), outcome("applied")]).len(), 1);
        assert_eq!(wrong(&[decision(), intent(), outcome("failed"), intent()]).len(), 1);
        assert_eq!(wrong(&[outcome("failed")]).len(), 1);
        let accepted = json!({"kind": "accepted", "action_id": "a"});
        let verified = json!({"kind": "verified", "action_id": "a"});
        let whole = [decision(), intent(), accepted.clone(), outcome("applied"), verified.clone()];
        assert_eq!(wrong(&whole), none);
        assert_eq!(wrong(&[decision(), accepted, intent()]).len(), 1);
        assert_eq!(wrong(&[decision(), intent(), verified]).len(), 1);
        assert_eq!(wrong(&[intent()]).len(), 1);
    }

    #[test]
    fn a_notification_stands_on_the_evidence_of_what_it_is_about() {
        let none: Vec<String> = Vec::new();
        let told = |about: &str| json!({"kind": "escalated", "action_id": about, "actions": [{"action_id": "tell"}]});
        let tells = json!({"kind": "intent", "action_id": "tell"});
        let evidence = json!({"kind": "evidence", "decision": "d", "action_ids": ["a"]});
        assert_eq!(wrong(&[decision(), evidence.clone(), told("a"), tells.clone()]), none);
        assert_eq!(wrong(&[decision(), evidence.clone(), tells.clone()]).len(), 1);
        assert_eq!(wrong(&[decision(), evidence, told("b"), tells.clone()]).len(), 2);
        let late = json!({"kind": "evidence", "decision": "other"});
        assert_eq!(wrong(&[late, decision(), told("a"), tells]).len(), 1);
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
