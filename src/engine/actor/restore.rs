//! Taking up the audit log after a restart. What the log says was decided is never decided again;
//! what it says was begun is looked up, finished or handed to a person; what it only announced is begun
//! then, if it is not too late. Because no call is made before its intent is durable, a log without an
//! intent proves that there was no call. Holds, freezes, budgets, breakers and the standing of versions
//! follow from the same entries, so that a restart makes nothing possible that was not.
//!
//! Knowing comes before acting: what was ordered meanwhile is taken in between.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::entry::{Body, Entry, Error};
use super::task::Task;
use super::{Actor, Config, Effect, Incidents};
use crate::domain::{Decision, DecisionKind};
use crate::engine::view::{CommandView, Stop};
use crate::safety::{Event, Halt, Ledger, Order, Phase, PolicyMode, Spent, State};

use super::decide::{FROZEN, PLIMSOLL};

/// Most of the actions that ended long ago that are shown after a restart.
const RECALLED: usize = 500;
/// Most of the commands that are shown after a restart.
const RECALLED_COMMANDS: usize = 200;

/// What follows from the last entries and may not have reached the log with them. A log in a file can be
/// cut between any two lines.
#[derive(Default)]
struct Torn {
    /// The decision whose evidence was not sealed.
    unsealed: Option<Entry>,
    /// The decision at which everything is to be frozen.
    alarming: Option<Decision>,
    /// The last decision.
    decided: String,
    /// The decision at which everything was frozen, and why, where people were not told.
    untold: Option<(String, String)>,
    /// The action that ended last, of which people may have to be told.
    ended: Option<String>,
}

impl Torn {
    /// What is missing after `entry`. A start in between says nothing of it: what it was to write may have
    /// been cut off too.
    fn take(&mut self, entry: &Entry) {
        match &entry.body {
            Body::Started { .. } => return,
            Body::Decision { decision, actions, .. } => {
                self.decided.clone_from(&decision.id);
                if !actions.is_empty() {
                    self.unsealed = Some(entry.clone());
                }
            }
            Body::Evidence { .. } => {
                self.unsealed = None;
                return;
            }
            _ => {}
        }
        // A version that was condemned ends what goes there, ahead of the freeze.
        let ends = matches!(entry.body, Body::Outcome { .. } | Body::Escalated { .. });
        self.alarming = self.alarming.take().filter(|_| ends);
        // What was stopped by the freeze may have ended with it.
        let stopped = match &entry.body {
            Body::Outcome { .. } => true,
            Body::Escalated { reason, .. } => reason != FROZEN,
            _ => false,
        };
        self.untold = self.untold.take().filter(|_| stopped);
        self.ended = None;
        match &entry.body {
            Body::Frozen { reason, .. } => {
                self.untold = Some((self.decided.clone(), reason.clone()));
            }
            Body::Outcome { action_id, .. } | Body::Verified { action_id, .. } => {
                self.ended = Some(action_id.clone());
            }
            _ => {}
        }
    }
}

/// The decisions in the log, oldest first, without their evidence. An evaluator that starts again
/// continues from these.
pub fn past_decisions<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<Decision> {
    let decision = |entry: &Entry| match &entry.body {
        Body::Decision { decision, .. } => Some(Decision { evidence: Vec::new(), ..decision.clone() }),
        _ => None,
    };
    entries.into_iter().filter_map(decision).collect()
}

impl Actor {
    /// An actor that knows what `entries` (the whole log, in order) say, at wall time `now`; and
    /// what is to be written and shown of that. It takes decisions, reports and commands from then on, and
    /// asks nothing of any target before [`Actor::begin`].
    pub fn restore(config: Config, entries: Vec<Entry>, now: i64) -> Result<(Self, Vec<Effect>), Error> {
        let mut actor = Self {
            config,
            begun: false,
            next_seq: 0,
            seen: BTreeSet::new(),
            incidents: Incidents::default(),
            ledger: Ledger::default(),
            spent: Spent::default(),
            breakers: BTreeMap::new(),
            frozen: None,
            held: BTreeMap::new(),
            reached: BTreeMap::new(),
            serving: BTreeSet::new(),
            tasks: BTreeMap::new(),
            next_order: 0,
        };
        let mut torn = Torn::default();
        let (mut ended, mut ordered) = (VecDeque::new(), VecDeque::new());
        for entry in entries {
            entry.follows(actor.next_seq)?;
            actor.next_seq += 1;
            // What no longer mattered when the next input came was off the list by then. A start is none:
            // what it has to make up for is of actions that had ended.
            if matches!(entry.body, Body::Decision { .. } | Body::Command { .. }) {
                ended.extend(actor.forget().iter().map(Task::view));
                ended.drain(..ended.len().saturating_sub(RECALLED));
            }
            if let Body::Command { command, why, .. } = &entry.body {
                ordered.push_back(CommandView::taken(command, why.clone()));
                ordered.drain(..ordered.len().saturating_sub(RECALLED_COMMANDS));
            }
            torn.take(&entry);
            actor.recall(entry, &mut torn)?;
        }
        let mut effects: Vec<Effect> = ended.into_iter().map(Effect::Recalled).collect();
        effects.extend(ordered.into_iter().map(Effect::RecalledOrder));
        let about = actor.config.started.clone();
        actor.audit(Body::Started { about }, now, &mut effects);
        actor.mend(torn, now, &mut effects);
        for id in actor.in_order(|_| true) {
            effects.push(Effect::Recalled(actor.tasks[&id].view()));
            let task = &actor.tasks[&id];
            if let Some(detail) = task.machine.cancelled.clone().filter(|_| !task.is_active()) {
                actor.apply(&id, Event::Deny { detail }, now, &mut effects);
            }
        }
        actor.advance(now, &mut effects);
        Ok((actor, effects))
    }

    /// Whether targets may be asked.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Goes on at wall time `now` with what was begun, and begins what was put off. Once is enough.
    pub fn begin(&mut self, now: i64) -> Vec<Effect> {
        let mut effects = Vec::new();
        if std::mem::replace(&mut self.begun, true) {
            return effects;
        }
        for id in self.in_order(Task::is_active) {
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            let logged = task.machine.terms.idempotency;
            let same_target = task.configure(&self.config);
            // A repetition is only as harmless as it was thought to be when it was begun.
            task.machine.terms.idempotency = logged.max(task.machine.terms.idempotency);
            let allowed = same_target && self.still_allowed(&self.tasks[&id]);
            self.apply(&id, Event::Resume { allowed, same_target }, now, &mut effects);
        }
        self.advance(now, &mut effects);
        effects
    }

    /// Writes what belongs to the last entries and did not reach the log with them.
    fn mend(&mut self, torn: Torn, now: i64, effects: &mut Vec<Effect>) {
        if let Some(entry) = torn.unsealed
            && let Body::Decision { decision, omitted, actions } = &entry.body
        {
            // How far the logs had been read then is not known any more.
            let body = self.seal(decision, &entry, *omitted, &[], actions);
            if let Body::Evidence { sha256, .. } = &body {
                for planned in actions {
                    if let Some(task) = self.tasks.get_mut(&planned.action_id) {
                        task.evidence = Some(sha256.clone());
                    }
                }
            }
            self.audit(body, now, effects);
        }
        if let Some(decision) = torn.alarming {
            self.look_at_fleet(&decision, now, effects);
        }
        // In the order in which they would have been written.
        if let Some(id) = torn.ended {
            self.escalate_end(&id, now, effects);
        }
        if let Some((decision, reason)) = torn.untold {
            self.tell_of_freeze(&decision, &reason, now, effects);
        }
    }

    fn recall(&mut self, entry: Entry, torn: &mut Torn) -> Result<(), Error> {
        let Entry { seq, time, body, .. } = entry;
        match body {
            Body::Started { .. } => {}
            Body::Decision { decision, omitted, actions } => {
                if matches!(decision.kind, DecisionKind::Cleared | DecisionKind::Withdrawn) {
                    self.recall_halt(|task| task.escalation.is_none() && task.is_of(&decision));
                }
                self.learn(&decision, &actions);
                let model = crate::safety::ledger::model_of(&decision.key);
                if self.ledger.is_condemned(&model, &decision.key.version) {
                    self.recall_halt(|task| {
                        task.model() == model && task.sent_to() == Some(&decision.key.version)
                    });
                }
                if self.wants_change(&decision, &actions) {
                    // Whether that froze everything is said by the next entries.
                    let alarm = self.spent.want(&self.config.limits, &model, time, self.config.watched);
                    torn.alarming = alarm.map(|_| decision.clone());
                }
                self.plan_decision(&decision.into(), omitted, actions, None, time);
            }
            Body::Evidence { action_ids, sha256, .. } => {
                for action_id in action_ids {
                    self.known(seq, action_id)?.evidence = Some(sha256.clone());
                }
            }
            Body::Command { command, accepted, deadline, .. } => {
                self.note(&command, accepted, deadline, time);
                match &command.order {
                    Order::Freeze if accepted => self.recall_halt(Task::changes_model),
                    Order::Hold(model) if accepted => {
                        self.recall_halt(|task| task.changes_model() && model.covers(&task.model()));
                    }
                    _ => {}
                }
                if let (true, Order::Approve { action_id, .. }) = (accepted, &command.order) {
                    self.known(seq, action_id.clone())?.machine.state = State::Proposed;
                }
            }
            Body::Frozen { reason, .. } => {
                self.recall_halt(Task::changes_model);
                self.frozen = Some(Stop { who: PLIMSOLL.to_owned(), reason, at: time });
            }
            Body::Intent { action_id, target, idempotency, to_version, payload } => {
                let task = self.known(seq, action_id)?;
                task.machine.terms.idempotency = idempotency;
                task.machine.state = State::interrupted();
                task.target = Some(target);
                task.to_version = to_version;
                task.payload = payload;
                task.changed_at = time;
                let (model, kind) = (task.model(), task.planned.kind);
                self.spent.spend(&self.config.limits, &model, kind, time);
            }
            Body::Accepted { action_id, reference, detail, until } => {
                let task = self.known(seq, action_id)?;
                let phase = Phase::Until(time);
                task.machine.state = State::Following { reference, phase, until, detail, stopping: None };
                task.changed_at = time;
            }
            Body::Outcome { action_id, outcome } => {
                let since = match &outcome {
                    super::entry::Ended::Applied { since, .. } => *since,
                    _ => None,
                };
                let task = self.known(seq, action_id.clone())?;
                // Of a question before the intent the log says only how many there were.
                let was_active = task.is_active() || outcome.attempts() > 0;
                task.machine.state = outcome.into_state();
                task.changed_at = time;
                if let Some(since) = since {
                    self.watch_since(&action_id, since, time);
                }
                self.judge_target(&action_id, was_active, time);
            }
            Body::Verified { action_id, result, detail } => {
                let task = self.known(seq, action_id.clone())?;
                task.machine.state = State::Verified { result, detail };
                task.changed_at = time;
                self.judge_target(&action_id, false, time);
            }
            Body::Escalated { action_id, reason, detail, actions } => {
                self.known(seq, action_id.clone())?;
                self.plan_escalation(&action_id, &reason, &detail, actions, time);
            }
            Body::Served { model, version, from, until } => {
                self.ledger.note(&model, &version, from, until);
            }
        }
        Ok(())
    }

    /// No further request of the begun actions that `which` picks was to be made from here on, whatever
    /// is allowed again by now.
    fn recall_halt(&mut self, which: impl Fn(&Task) -> bool) {
        for task in self.tasks.values_mut().filter(|task| task.is_active() && which(task)) {
            // To one whose reply is waited for this does no more than that, and needs no clock.
            task.machine = task.machine.clone().step(Event::Halt(Halt::Stopped), 0).0;
        }
    }

    fn known(&mut self, seq: u64, action_id: String) -> Result<&mut Task, Error> {
        match self.tasks.get_mut(&action_id) {
            Some(task) => Ok(task),
            None => Err(Error::UnknownAction { seq, action_id }),
        }
    }

    /// Whether the same call would be made today.
    fn still_allowed(&self, task: &Task) -> bool {
        let kind = task.planned.kind;
        let mode = self.config.mode(&task.decision.policy);
        mode.permits(kind)
            && self.config.action(&task.planned.action).is_some_and(|spec| spec.kind == kind)
            && (!kind.changes_model()
                || self.incidents.is_open(&task.decision)
                    && self.frozen.is_none()
                    && !self.is_held(&task.model())
                    && (mode != PolicyMode::Approve || self.is_approved(task)))
    }
}
