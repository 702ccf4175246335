//! Taking a decision: it is written down with the actions that follow from it, the evidence is sealed,
//! and only then is anything asked of the rules.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::entry::{Body, Entry, Planned, canonical, to_value};
use super::task::{Task, millis};
use super::{Actor, Effect, payload};
use crate::domain::{Decision, DecisionKind, ModelKey, SourcePartition};
use crate::engine::view::Stop;
use crate::safety::ledger::model_of;
use crate::safety::{self, ActionKind, Event, Halt, PolicyMode, Suppression};

/// Most bytes of the positions in sealed evidence.
const POSITIONS_BYTES: usize = 32_768;

/// Why people are told where everything was frozen by itself.
pub(super) const FROZEN: &str = "frozen";

/// Who freezes where no person does.
pub(super) const PLIMSOLL: &str = "plimsoll";

impl Actor {
    pub(super) fn decided(
        &mut self,
        decision: Decision,
        at: i64,
        positions: &[(SourcePartition, i64)],
        now: i64,
        effects: &mut Vec<Effect>,
    ) {
        if self.seen.contains(&decision.id) {
            return;
        }
        let (decision, omitted) = payload::bounded(decision, super::EVIDENCE_BYTES);
        let actions = self.actions_of(&decision, at);
        let body = Body::Decision { decision: decision.clone(), omitted, actions: actions.clone() };
        let entry = self.entry(body, now);
        let sealed =
            (!actions.is_empty()).then(|| self.seal(&decision, &entry, omitted, positions, &actions));
        effects.push(Effect::Audit(entry));
        let evidence = sealed.map(|body| {
            let hash = if let Body::Evidence { sha256, .. } = &body { sha256.clone() } else { String::new() };
            self.audit(body, now, effects);
            hash
        });
        self.learn(&decision, &actions);
        self.leave_condemned(&decision.key, now, effects);
        if matches!(decision.kind, DecisionKind::Cleared | DecisionKind::Withdrawn) {
            // That a person is needed stays true; all else that was not said yet is not so any more.
            let ends = |task: &Task| task.escalation.is_none() && task.is_of(&decision);
            for id in self.in_order(ends) {
                self.apply(&id, Event::Halt(Halt::Withdrawn), now, effects);
            }
        }
        let wants = self.wants_change(&decision, &actions);
        self.plan_decision(&decision.clone().into(), omitted, actions, evidence.as_deref(), now);
        if wants {
            self.look_at_fleet(&decision, now, effects);
        }
    }

    /// The actions that follow from `decision`. Only a violation asks for a change; that an
    /// incident is over is still worth a notification.
    fn actions_of(&self, decision: &Decision, at: i64) -> Vec<Planned> {
        let asks = |kind: ActionKind| match decision.kind {
            DecisionKind::Violated => true,
            DecisionKind::Cleared | DecisionKind::Withdrawn => !kind.changes_model(),
            DecisionKind::Qualified => false,
        };
        let mut planned: Vec<Planned> = Vec::new();
        for name in &decision.actions {
            let Some(spec) = self.config.action(name).filter(|spec| asks(spec.kind)) else { continue };
            if planned.iter().any(|other| other.action == *name) {
                continue;
            }
            let (policy, key) = (&decision.policy, &decision.key);
            planned.push(Planned {
                action_id: safety::id::action_id(policy, name, key, &decision.id, spec.kind),
                action: name.clone(),
                kind: spec.kind,
                deadline: at.saturating_add(millis(spec.deadline)),
            });
        }
        planned
    }

    /// What was known when `decision` was written as `entry`: enough to find every number again.
    pub(super) fn seal(
        &self,
        decision: &Decision,
        entry: &Entry,
        omitted: u64,
        positions: &[(SourcePartition, i64)],
        actions: &[Planned],
    ) -> Body {
        let read: Vec<Value> = positions
            .iter()
            .map(|(source, to)| json!({"topic": source.topic, "partition": source.partition, "to": to}))
            .collect();
        // Of very many partitions an entry holds the hash only.
        let text = canonical(&Value::Array(read.clone()));
        let read = match text.len() {
            0..=POSITIONS_BYTES => Value::Array(read),
            _ => json!({"partitions": read.len(), "sha256": sha256(text.as_bytes())}),
        };
        let about = |name: &str| self.config.started.get(name).cloned();
        let snapshot = json!({
            "decision": decision.id,
            "entry": {"seq": entry.seq, "sha256": sha256(entry.to_json().as_bytes())},
            "findings": decision.evidence.len(),
            "findings_omitted": omitted,
            "key": to_value(&decision.key),
            "policy": {"name": decision.policy, "sha256": self.config.terms(&decision.policy).hash},
            "profile": to_value(&decision.key.profile),
            "configuration": about("configuration"),
            "software": about("version"),
            "positions": read,
            // Records do not state it, so nobody has seen it.
            "model_digest": Value::Null,
        });
        Body::Evidence {
            decision: decision.id.clone(),
            action_ids: actions.iter().map(|planned| planned.action_id.clone()).collect(),
            sha256: sha256(canonical(&snapshot).as_bytes()),
            snapshot,
        }
    }

    /// What a decision says about incidents and good versions. A violation condemns the version
    /// where its policy would go back from it: a policy on the inputs alone, which asks for a
    /// notification or a retraining, blames the data and not the version.
    pub(super) fn learn(&mut self, decision: &Decision, actions: &[Planned]) {
        self.seen.insert(decision.id.clone());
        let reached = self.reached.entry(model_of(&decision.key)).or_insert(decision.at);
        *reached = decision.at.max(*reached);
        match decision.kind {
            DecisionKind::Qualified => self.ledger.qualify(&decision.key, &decision.policy, decision.at),
            DecisionKind::Violated => {
                self.incidents.open(decision);
                if actions.iter().any(|planned| planned.kind == ActionKind::Rollback) {
                    let why = format!("policy {} at {}", decision.policy, decision.at);
                    self.ledger.condemn(&decision.key, &decision.policy, &why);
                }
            }
            DecisionKind::Cleared | DecisionKind::Withdrawn => self.incidents.close(decision),
        }
    }

    /// Sends nothing more that goes back to the version of `key` where that is known to be bad.
    fn leave_condemned(&mut self, key: &ModelKey, now: i64, effects: &mut Vec<Effect>) {
        let (model, version) = (model_of(key), &key.version);
        if !self.ledger.is_condemned(&model, version) {
            return;
        }
        let goes_there = |task: &Task| task.sent_to() == Some(version) && task.model() == model;
        for id in self.in_order(goes_there) {
            self.apply(&id, Event::Halt(Halt::Condemned), now, effects);
        }
    }

    /// Puts the actions that follow from a decision on the list, in the order given.
    pub(super) fn plan_decision(
        &mut self,
        decision: &Arc<Decision>,
        omitted: u64,
        actions: Vec<Planned>,
        evidence: Option<&str>,
        now: i64,
    ) {
        for planned in actions {
            let mut task =
                Task::new(self.next_order, planned, Arc::clone(decision), omitted, &self.config, now);
            task.evidence = evidence.map(str::to_owned);
            self.plan([task]);
        }
    }

    /// Whether a violation asks for a change that its policy could have made.
    pub(super) fn wants_change(&self, decision: &Decision, actions: &[Planned]) -> bool {
        decision.kind == DecisionKind::Violated
            && self.config.mode(&decision.policy) >= PolicyMode::Approve
            && actions.iter().any(|planned| planned.kind.changes_model())
    }

    /// Many models that want a change at once are one sick feed: nothing is changed until a person has
    /// looked.
    pub(super) fn look_at_fleet(&mut self, decision: &Decision, now: i64, effects: &mut Vec<Effect>) {
        let (model, watched) = (model_of(&decision.key), self.config.watched);
        let Some(models) = self.spent.want(&self.config.limits, &model, now, watched) else { return };
        if self.frozen.is_some() {
            return;
        }
        let reason = format!(
            "{models} of {watched} models wanted a change at once, so the data they share is suspect"
        );
        self.audit(Body::Frozen { models: models as u64, reason: reason.clone() }, now, effects);
        self.frozen = Some(Stop { who: PLIMSOLL.to_owned(), reason: reason.clone(), at: now });
        self.stop_where(|_| true, Suppression::Frozen, now, effects);
        self.tell_of_freeze(&decision.id, &reason, now, effects);
    }

    /// Tells people that everything was frozen at the decision of this id.
    pub(super) fn tell_of_freeze(
        &mut self,
        decision: &str,
        reason: &str,
        now: i64,
        effects: &mut Vec<Effect>,
    ) {
        let about = |task: &Task| task.changes_model() && task.decision.id == decision;
        if let Some(id) = self.in_order(about).first().cloned() {
            self.escalate(&id, FROZEN, reason, now, effects);
        }
    }

    /// Begins nothing more of what changes a model that `which` picks.
    pub(super) fn stop_where(
        &mut self,
        which: impl Fn(&Task) -> bool,
        reason: Suppression,
        now: i64,
        effects: &mut Vec<Effect>,
    ) {
        for id in self.in_order(|task| task.changes_model() && which(task)) {
            let unsent = |task: &Task| {
                task.machine.state.is_waiting()
                    || matches!(task.machine.state, safety::State::Preflight { .. })
            };
            let event = match self.tasks.get(&id).is_some_and(unsent) {
                true => Event::Suppress(reason),
                false => Event::Halt(Halt::Stopped),
            };
            self.apply(&id, event, now, effects);
        }
    }
}

/// `sha256:` and the hash of `bytes`.
pub(super) fn sha256(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}
