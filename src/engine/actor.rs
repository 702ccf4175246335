//! The actor: it owns what is done. Decisions, people's commands, what the inference log shows and the
//! ends of calls come in, in one order, and what goes out is entries for the audit log, calls, and
//! changes to show.
//!
//! It is a pure machine. Whoever runs it carries out its effects in the order in which they come,
//! and begins none before the audit entries ahead of it are durable. That order is what makes it
//! safe to stop at any point: after a restart the log says what may already have happened, and the
//! same decision asks under the same id.
//!
//! Between [`Actor::restore`] and [`Actor::begin`] it takes what was decided and ordered while nobody was
//! there, and asks nothing of any target: an order to stop that waited is older than all that is done next.
//!
//! Of the actions that change a model one at a time is under way for a model, a rollback before a
//! retraining; others wait until it has ended or their own deadline has passed. All else that stands
//! against an action is in `actor/rules.rs`.

mod config;
mod decide;
pub mod entry;
mod escalate;
mod orders;
pub(super) mod payload;
mod restore;
mod rules;
mod task;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::view::{ActionView, CommandView, Stop};
use crate::domain::{Decision, EventTime, ModelKey, Report, SourcePartition, Version};
use crate::safety::ledger::model_of;
use crate::safety::{
    self, ActionKind, Breaker, Command, Event, Ledger, ModelName, Reply, Spent, State, Step, Suppression,
};

pub use config::{ActionSpec, Config, PolicyTerms};
pub use entry::Entry;
use entry::{Body, Ended, FORMAT};
pub use payload::{BODY_BYTES, EVIDENCE_BYTES};
pub use restore::past_decisions;
use rules::Rule;
use task::Task;

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFinished {
    /// Id of the action.
    pub action_id: String,
    /// Number of the question.
    pub attempt: u32,
    /// What the target said.
    pub result: Reply,
}

/// One question to be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Id of the action; the idempotency key, the same in every request.
    pub action_id: String,
    /// Number of the question, 1 for the first since the process started.
    pub attempt: u32,
    /// What is asked.
    pub step: Step,
    /// Configured name of the action.
    pub action: String,
    /// What is sent, the same in every attempt.
    pub payload: Value,
    /// The question is neither asked nor waited for at or after this wall time, milliseconds since the
    /// epoch.
    pub deadline: i64,
}

/// What comes in.
#[derive(Clone, Debug)]
pub enum Input {
    /// A policy decided. The same decision may come again; it counts once.
    Decision(Decision),
    /// The same, taken at wall time `at` (milliseconds since the epoch) and only read now: the deadlines of
    /// its actions count from then on.
    Decided {
        /// What was decided.
        decision: Decision,
        /// When.
        at: i64,
        /// How far the source partitions had been read: the offset after the last record.
        positions: Vec<(SourcePartition, i64)>,
    },
    /// What the inference log shows.
    Report(Report),
    /// A person orders something. The same command may come again; it counts once.
    Command(Command),
    /// A question was answered.
    CallFinished(CallFinished),
    /// Time has passed.
    Tick,
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Add this entry to the log; no later effect is begun before it is durable.
    Audit(Entry),
    /// Ask this, and report the answer.
    Call(Call),
    /// Show this.
    Changed(ActionView),
    /// Show this; it was so before the process started, and is no news.
    Recalled(ActionView),
    /// Show what became of a command.
    Ordered(CommandView),
    /// Show what became of a command before the process started.
    RecalledOrder(CommandView),
}

/// The open incidents: by policy and key.
#[derive(Debug, Default)]
struct Incidents(BTreeSet<(String, ModelKey)>);

impl Incidents {
    fn open(&mut self, decision: &Decision) {
        self.0.insert((decision.policy.clone(), decision.key.clone()));
    }

    fn close(&mut self, decision: &Decision) {
        self.0.remove(&(decision.policy.clone(), decision.key.clone()));
    }

    /// A policy with an open incident of the version or of a segment of it.
    fn of_version(&self, model: &ModelName, version: &Version) -> Option<&String> {
        let of = |key: &ModelKey| model.covers(&model_of(key)) && key.version == *version;
        self.0.iter().find(|(_, key)| of(key)).map(|(policy, _)| policy)
    }

    fn is_open(&self, decision: &Decision) -> bool {
        self.0.contains(&(decision.policy.clone(), decision.key.clone()))
    }
}

/// The actor. [`Actor::restore`] makes one, from an empty log or a full one; it asks nothing of any target
/// before [`Actor::begin`].
#[derive(Debug)]
pub struct Actor {
    config: Config,
    /// Whether targets may be asked.
    begun: bool,
    next_seq: u64,
    /// Ids of all decisions and commands in the log.
    seen: BTreeSet<String>,
    incidents: Incidents,
    ledger: Ledger,
    spent: Spent,
    /// By target.
    breakers: BTreeMap<String, Breaker>,
    frozen: Option<Stop>,
    held: BTreeMap<ModelName, Stop>,
    /// Event time that the inference log of each model has come to.
    reached: BTreeMap<ModelName, EventTime>,
    /// The versions that took traffic when the log of their model was last looked at.
    serving: BTreeSet<(ModelName, Version)>,
    /// Actions by id: those that have not ended, and those whose end still forbids another.
    tasks: BTreeMap<String, Task>,
    next_order: u64,
}

impl Actor {
    /// Takes `input` at wall time `now` (milliseconds since the epoch) and returns what is to be
    /// done, in order.
    pub fn handle(&mut self, input: Input, now: i64) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Decision(decision) => self.decided(decision, now, &[], now, &mut effects),
            Input::Decided { decision, at, positions } => {
                self.decided(decision, at.min(now), &positions, now, &mut effects);
            }
            Input::Report(report) => self.seen_in_log(&report, now, &mut effects),
            Input::Command(command) => self.ordered(&command, now, &mut effects),
            // Nothing was asked yet, and time does nothing that could not wait a moment longer.
            Input::CallFinished(_) | Input::Tick if !self.begun => return effects,
            Input::CallFinished(CallFinished { action_id, attempt, result }) => {
                self.apply(&action_id, Event::Finished { attempt, reply: result }, now, &mut effects);
            }
            Input::Tick => {
                for id in self.in_order(|_| true) {
                    self.apply(&id, Event::Tick, now, &mut effects);
                }
                self.give_up_watching(now, &mut effects);
            }
        }
        self.advance(now, &mut effects);
        effects
    }

    /// The next wall time at which a tick changes something, milliseconds since the epoch.
    pub fn due(&self) -> Option<i64> {
        self.tasks.values().filter_map(Task::due).min().filter(|_| self.begun)
    }

    /// The version to go back to from `key` for `policy`.
    pub fn last_known_good(&self, policy: &str, key: &ModelKey) -> Option<&Version> {
        self.ledger.last_known_good(key, &self.config.vouching(policy, key))
    }

    fn good_version(&self, task: &Task) -> Option<&Version> {
        self.last_known_good(&task.decision.policy, &task.decision.key)
    }

    /// Begins, asks about or suppresses what is proposed, and forgets what no longer matters.
    fn advance(&mut self, now: i64, effects: &mut Vec<Effect>) {
        for id in self.in_order(|task| matches!(task.machine.state, State::AwaitingApproval { .. })) {
            self.ask_still(&id, now, effects);
        }
        // What is suppressed may have to be told to people; that is proposed here, and begins at once too.
        let mut from = 0;
        while from < self.next_order {
            let proposed = self.in_order(|task| task.machine.state == State::Proposed && task.order >= from);
            from = self.next_order;
            for id in proposed {
                self.take_up(&id, now, effects);
            }
        }
        drop(self.forget());
    }

    /// Whether a person is still to be asked, and about which version.
    fn ask_still(&mut self, id: &str, now: i64, effects: &mut Vec<Effect>) {
        let task = &self.tasks[id];
        let good = self.good_version(task);
        let rollback = task.planned.kind == ActionKind::Rollback;
        let against = self.barred(task, now);
        let against = against.or((rollback && good.is_none()).then_some(Suppression::NoKnownGoodVersion));
        if let Some(reason) = against {
            self.apply(id, Event::Suppress(reason), now, effects);
        } else if rollback && good != task.to_version.as_ref() {
            self.name_version(id);
            effects.push(Effect::Changed(self.tasks[id].view()));
        }
    }

    /// Does with a proposed action what the rules say.
    fn take_up(&mut self, id: &str, now: i64, effects: &mut Vec<Effect>) {
        let task = &self.tasks[id];
        let event = match self.rule(task, now) {
            Rule::Wait => Event::Tick,
            Rule::Begin if !self.begun => Event::Tick,
            Rule::Ask(until) => {
                self.name_version(id);
                // What was approved before was something else.
                if let Some(task) = self.tasks.get_mut(id) {
                    task.approved = None;
                }
                Event::Ask { until }
            }
            // What came too late says so, and to people too.
            Rule::Suppress(Suppression::Stale) if task.is_late(now) => Event::Tick,
            Rule::Suppress(reason) => Event::Suppress(reason),
            Rule::Begin => self.prepare(id, now),
        };
        self.apply(id, event, now, effects);
        let task = &self.tasks[id];
        // Of an action that has to wait the world hears once, when it is proposed.
        if task.machine.state == State::Proposed && task.changed_at == now {
            effects.push(Effect::Changed(task.view()));
        }
    }

    /// Names the version that a rollback would go back to.
    fn name_version(&mut self, id: &str) {
        let Some(task) = self.tasks.get(id).filter(|task| task.planned.kind == ActionKind::Rollback) else {
            return;
        };
        let good = self.good_version(task).cloned();
        if let Some(task) = self.tasks.get_mut(id) {
            task.to_version = good;
        }
    }

    /// Takes what no longer matters off the list, oldest first.
    fn forget(&mut self) -> Vec<Task> {
        let incidents = &self.incidents;
        let ended = self.tasks.extract_if(.., |_, task| !task.matters(incidents.is_open(&task.decision)));
        let mut ended: Vec<Task> = ended.map(|(_, task)| task).collect();
        ended.sort_by_key(|task| task.order);
        ended
    }

    /// Makes the request of an action that may begin.
    fn prepare(&mut self, id: &str, now: i64) -> Event {
        self.name_version(id);
        let Some(task) = self.tasks.get_mut(id) else { return Event::Begin };
        let Some(spec) = self.config.action(&task.planned.action) else {
            return Event::Suppress(Suppression::Stale);
        };
        task.target = Some(spec.target.clone());
        if !task.configure(&self.config) {
            return Event::Suppress(Suppression::Stale);
        }
        let request = payload::Request {
            action_id: id,
            action: &task.planned.action,
            kind: spec.kind,
            decision: &task.decision,
            omitted: task.omitted,
            to_version: task.to_version.as_ref(),
            evidence: task.evidence.as_deref(),
            escalation: task.escalation.as_deref(),
        };
        match request.payload(now) {
            Ok(payload) => {
                task.payload = payload;
                Event::Begin
            }
            Err(why) => Event::Refuse(why),
        }
    }

    /// Ids of the actions that `which` picks: rollbacks first, then in the order of their decisions.
    fn in_order(&self, which: impl Fn(&Task) -> bool) -> Vec<String> {
        let mut tasks: Vec<&Task> = self.tasks.values().filter(|task| which(task)).collect();
        tasks.sort_by_key(|task| (task.planned.kind, task.order));
        tasks.into_iter().map(|task| task.planned.action_id.clone()).collect()
    }

    /// Steps one action and carries out what follows. An action that is not known (any more) has
    /// ended, and nothing can happen to it.
    fn apply(&mut self, id: &str, event: Event, now: i64, effects: &mut Vec<Effect>) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        let (before, was_active) = ((task.machine.state.name(), task.detail()), task.is_active());
        let (machine, steps) = task.machine.clone().step(event, now);
        task.machine = machine;
        let changed = before != (task.machine.state.name(), task.detail());
        if changed {
            task.changed_at = now;
        }
        for step in steps {
            self.carry_out(id, step, was_active, now, effects);
        }
        if changed {
            effects.push(Effect::Changed(self.tasks[id].view()));
        }
    }

    fn carry_out(
        &mut self,
        id: &str,
        step: safety::Effect,
        was_active: bool,
        now: i64,
        effects: &mut Vec<Effect>,
    ) {
        let task = &self.tasks[id];
        let action_id = id.to_owned();
        match step {
            safety::Effect::Call { attempt, step } => effects.push(Effect::Call(Call {
                action_id,
                attempt,
                deadline: task.patience(&step, now),
                step,
                action: task.planned.action.clone(),
                payload: task.payload.clone(),
            })),
            safety::Effect::Intent => {
                let body = Body::Intent {
                    action_id,
                    target: task.target.clone().expect("an action is prepared before it begins"),
                    idempotency: task.machine.terms.idempotency,
                    to_version: task.to_version.clone(),
                    payload: task.payload.clone(),
                };
                let (model, kind) = (task.model(), task.planned.kind);
                self.spent.spend(&self.config.limits, &model, kind, now);
                self.audit(body, now, effects);
            }
            safety::Effect::Accepted => {
                if let State::Following { reference, detail, until, .. } = &task.machine.state {
                    let (reference, detail, until) = (reference.clone(), detail.clone(), *until);
                    self.audit(Body::Accepted { action_id, reference, detail, until }, now, effects);
                }
            }
            safety::Effect::Outcome => {
                let since = self.begin_watching(id, now);
                let outcome =
                    Ended::of(&self.tasks[id].machine, since).expect("an outcome comes with an end");
                self.audit(Body::Outcome { action_id, outcome }, now, effects);
                self.judge_target(id, was_active, now);
                self.escalate_end(id, now, effects);
            }
            safety::Effect::Verified => {
                if let State::Verified { result, detail } = &task.machine.state {
                    let (result, detail) = (*result, detail.clone());
                    self.audit(Body::Verified { action_id, result, detail }, now, effects);
                }
                self.judge_target(id, was_active, now);
                self.escalate_end(id, now, effects);
            }
        }
    }

    fn audit(&mut self, body: Body, now: i64, effects: &mut Vec<Effect>) {
        effects.push(Effect::Audit(self.entry(body, now)));
    }

    fn entry(&mut self, body: Body, now: i64) -> Entry {
        let entry = Entry { format: FORMAT, seq: self.next_seq, time: now, body };
        self.next_seq += 1;
        entry
    }

    /// Puts the actions that follow from a decision on the list, in the order given.
    fn plan(&mut self, task: impl IntoIterator<Item = Task>) {
        for task in task {
            self.next_order = self.next_order.max(task.order + 1);
            self.tasks.insert(task.planned.action_id.clone(), task);
        }
    }
}

#[cfg(test)]
mod tests;
