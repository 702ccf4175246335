//! Taking up the audit log after a restart. What the log says was decided is never decided again;
//! what it says was begun is finished or handed to a person; what it only announced is begun now,
//! if it is not too late. Because no call is made before its intent is durable, a log without an
//! intent proves that there was no call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::domain::Decision;
use crate::safety::{Action, Event, Idempotency, Ledger, PolicyMode, State, Terms};

use super::entry::{Body, Entry, Error, Planned};
use super::{Actor, Config, Effect, Incidents, Task};

/// The decisions in the log, oldest first, without their evidence. An evaluator that starts again
/// continues from these.
pub fn past_decisions<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<Decision> {
    let decision = |entry: &Entry| match &entry.body {
        Body::Decision { decision, .. } => Some(Decision { evidence: Vec::new(), ..decision.clone() }),
        Body::Started { .. } | Body::Intent { .. } | Body::Outcome { .. } => None,
    };
    entries.into_iter().filter_map(decision).collect()
}

impl Actor {
    /// An actor that knows what `entries` (the whole log, in order) say, at wall time `now`; and
    /// what it does first.
    pub fn restore(config: Config, entries: Vec<Entry>, now: i64) -> Result<(Self, Vec<Effect>), Error> {
        let mut actor = Self {
            config,
            next_seq: 0,
            seen: BTreeSet::new(),
            incidents: Incidents::default(),
            ledger: Ledger::default(),
            tasks: BTreeMap::new(),
            next_order: 0,
        };
        for entry in entries {
            entry.follows(actor.next_seq)?;
            actor.next_seq += 1;
            actor.recall(entry)?;
        }
        let mut effects = Vec::new();
        let about = actor.config.started.clone();
        actor.audit(Body::Started { about }, now, &mut effects);
        for id in actor.in_order(|_| true) {
            let task = &actor.tasks[&id];
            match task.machine.state {
                State::Proposed => {}
                State::Submitting { .. } => {
                    let allowed = actor.still_allowed(task);
                    actor.apply(&id, Event::Resume { allowed }, now, &mut effects);
                }
                State::Suppressed { .. }
                | State::Applied { .. }
                | State::Failed { .. }
                | State::Unknown { .. } => effects.push(Effect::Changed(task.view())),
            }
        }
        actor.advance(now, &mut effects);
        let waiting = actor.tasks.values().filter(|task| task.machine.state == State::Proposed);
        effects.extend(waiting.map(|task| Effect::Changed(task.view())));
        Ok((actor, effects))
    }

    fn recall(&mut self, entry: Entry) -> Result<(), Error> {
        let Entry { seq, time, body, .. } = entry;
        match body {
            Body::Started { .. } => {}
            Body::Decision { decision, omitted, actions } => {
                self.learn(&decision, &actions);
                self.plan(&decision.into(), omitted, actions, time);
            }
            Body::Intent { action_id, target, idempotency, to_version, payload } => {
                let task = self.known(seq, action_id)?;
                task.machine.terms.idempotency = idempotency;
                task.machine.state = State::interrupted();
                task.target = Some(target);
                task.to_version = to_version;
                task.payload = payload;
                task.changed_at = time;
            }
            Body::Outcome { action_id, outcome } => {
                let task = self.known(seq, action_id)?;
                task.machine.state = outcome.into_state();
                task.changed_at = time;
            }
        }
        Ok(())
    }

    fn known(&mut self, seq: u64, action_id: String) -> Result<&mut Task, Error> {
        match self.tasks.get_mut(&action_id) {
            Some(task) => Ok(task),
            None => Err(Error::UnknownAction { seq, action_id }),
        }
    }

    /// Puts the actions that follow from a decision on the list, in the order given.
    pub(super) fn plan(&mut self, decision: &Arc<Decision>, omitted: u64, actions: Vec<Planned>, now: i64) {
        for planned in actions {
            let terms = Terms {
                id: planned.action_id.clone(),
                // Nothing is known of the target yet; the call that is begun sets it.
                idempotency: Idempotency::Unkeyed,
                deadline: planned.deadline,
            };
            let task = Task {
                order: self.next_order,
                planned,
                decision: Arc::clone(decision),
                omitted,
                target: None,
                to_version: None,
                payload: Value::Null,
                machine: Action::proposed(terms),
                changed_at: now,
            };
            self.next_order += 1;
            self.tasks.insert(task.planned.action_id.clone(), task);
        }
    }

    /// Whether the same call to the same target would be made today.
    fn still_allowed(&self, task: &Task) -> bool {
        let spec = self.config.action(&task.planned.action);
        self.config.mode(&task.decision.policy) == PolicyMode::Auto
            && spec.is_some_and(|spec| {
                spec.kind == task.planned.kind && Some(&spec.target) == task.target.as_ref()
            })
            && (!task.planned.kind.changes_model() || self.incidents.is_open(&task.decision))
    }
}
