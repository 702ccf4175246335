//! The actor: it owns what is done. Decisions and the ends of calls come in, in one order, and what
//! goes out is entries for the audit log, calls, and changes to show.
//!
//! It is a pure machine. Whoever runs it carries out its effects in the order in which they come,
//! and begins none before the audit entries ahead of it are durable. That order is what makes it
//! safe to stop at any point: after a restart the log says what may already have happened, and the
//! same decision asks under the same id.
//!
//! A policy acts only in mode `auto`. Of the actions that change a model one at a time is under way
//! for a model, a rollback before a retraining; others wait until it has ended or their own deadline
//! has passed.

mod config;
pub mod entry;
pub(super) mod payload;
mod restore;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::domain::{Decision, DecisionKind, ModelKey, Version};
use crate::engine::view::ActionView;
use crate::safety::{self, Action, ActionKind, Event, Ledger, PolicyMode, Reply, State, Suppression};

pub use config::{ActionSpec, Config};
pub use entry::Entry;
use entry::{Body, Ended, FORMAT, Planned};
pub use payload::{BODY_BYTES, EVIDENCE_BYTES};
pub use restore::past_decisions;

/// The end of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFinished {
    /// Id of the action.
    pub action_id: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// How it ended.
    pub result: Reply,
}

/// One attempt to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Id of the action; the idempotency key, the same in every attempt.
    pub action_id: String,
    /// Number of the attempt, 1 for the first since the process started.
    pub attempt: u32,
    /// Configured name of the action.
    pub action: String,
    /// What is sent, the same in every attempt.
    pub payload: Value,
    /// The attempt neither begins nor goes on at or after this wall time, milliseconds since the epoch.
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
    },
    /// An attempt has ended.
    CallFinished(CallFinished),
    /// Time has passed.
    Tick,
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Add this entry to the log; no later effect is begun before it is durable.
    Audit(Entry),
    /// Make this attempt, and report its end.
    Call(Call),
    /// Show this.
    Changed(ActionView),
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

    fn is_open(&self, decision: &Decision) -> bool {
        self.0.contains(&(decision.policy.clone(), decision.key.clone()))
    }
}

/// One action with all that is needed to carry it out.
#[derive(Debug)]
struct Task {
    /// Its place among all actions.
    order: u64,
    planned: Planned,
    decision: Arc<Decision>,
    /// Findings that the decision lost on its way into the log.
    omitted: u64,
    /// Where its call went, once it was begun.
    target: Option<String>,
    to_version: Option<Version>,
    payload: Value,
    machine: Action,
    changed_at: i64,
}

impl Task {
    fn same_model(&self, other: &Self) -> bool {
        let (a, b) = (&self.decision.key, &other.decision.key);
        (&a.tenant, &a.model) == (&b.tenant, &b.model)
    }

    fn is_submitting(&self) -> bool {
        matches!(self.machine.state, State::Submitting { .. })
    }

    fn view(&self) -> ActionView {
        let detail = match &self.machine.state {
            State::Proposed => None,
            State::Suppressed { reason } => Some(reason.name().to_owned()),
            State::Submitting { attempt, .. } => Some(format!("attempt {attempt}")),
            State::Applied { detail, .. } | State::Failed { detail, .. } | State::Unknown { detail, .. } => {
                Some(detail.clone())
            }
        };
        ActionView {
            id: self.planned.action_id.clone(),
            action: self.planned.action.clone(),
            kind: self.planned.kind.name().to_owned(),
            decision: self.decision.id.clone(),
            policy: self.decision.policy.clone(),
            key: self.decision.key.clone(),
            to_version: self.to_version.as_ref().map(ToString::to_string),
            state: self.machine.state.name().to_owned(),
            detail,
            changed_at: self.changed_at,
            evidence: None,
            expires_at: None,
        }
    }
}

/// The actor. [`Actor::restore`] makes one, from an empty log or a full one.
#[derive(Debug)]
pub struct Actor {
    config: Config,
    next_seq: u64,
    /// Ids of all decisions in the log.
    seen: BTreeSet<String>,
    incidents: Incidents,
    ledger: Ledger,
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
            Input::Decision(decision) => self.decided(decision, now, now, &mut effects),
            Input::Decided { decision, at } => self.decided(decision, at.min(now), now, &mut effects),
            Input::CallFinished(CallFinished { action_id, attempt, result }) => {
                self.apply(&action_id, Event::Finished { attempt, result }, now, &mut effects);
            }
            Input::Tick => {
                for id in self.in_order(|_| true) {
                    self.apply(&id, Event::Tick, now, &mut effects);
                }
            }
        }
        self.advance(now, &mut effects);
        effects
    }

    /// The next wall time at which a tick changes something, milliseconds since the epoch.
    pub fn due(&self) -> Option<i64> {
        self.tasks.values().filter_map(|task| task.machine.due()).min()
    }

    /// The version to go back to from `key`.
    pub fn last_known_good(&self, key: &ModelKey) -> Option<&Version> {
        self.ledger.last_known_good(key)
    }

    fn decided(&mut self, decision: Decision, at: i64, now: i64, effects: &mut Vec<Effect>) {
        if self.seen.contains(&decision.id) {
            return;
        }
        let (decision, omitted) = payload::bounded(decision, EVIDENCE_BYTES);
        let actions = self.actions_of(&decision, at);
        let body = Body::Decision { decision: decision.clone(), omitted, actions: actions.clone() };
        self.audit(body, now, effects);
        self.learn(&decision, &actions);
        if decision.kind == DecisionKind::Cleared {
            let ends = |task: &Task| {
                task.planned.kind.changes_model()
                    && task.decision.policy == decision.policy
                    && task.decision.key == decision.key
            };
            for id in self.in_order(ends) {
                self.apply(&id, Event::Withdraw, now, effects);
            }
        }
        self.plan(&decision.into(), omitted, actions, now);
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
            let millis = i64::try_from(spec.deadline.as_millis()).unwrap_or(i64::MAX);
            planned.push(Planned {
                action_id: safety::id::action_id(
                    &decision.policy,
                    name,
                    &decision.key,
                    &decision.id,
                    spec.kind,
                ),
                action: name.clone(),
                kind: spec.kind,
                deadline: at.saturating_add(millis),
            });
        }
        planned
    }

    /// What a decision says about incidents and good versions. A violation condemns the version
    /// where its policy would go back from it: a policy on the inputs alone, which asks for a
    /// notification or a retraining, blames the data and not the version.
    fn learn(&mut self, decision: &Decision, actions: &[Planned]) {
        self.seen.insert(decision.id.clone());
        match decision.kind {
            DecisionKind::Qualified => self.ledger.qualify(&decision.key, decision.at),
            DecisionKind::Violated => {
                self.incidents.open(decision);
                if actions.iter().any(|planned| planned.kind == ActionKind::Rollback) {
                    self.ledger.condemn(&decision.key);
                }
            }
            DecisionKind::Cleared | DecisionKind::Withdrawn => self.incidents.close(decision),
        }
    }

    /// Begins or suppresses what is proposed, and forgets what no longer matters.
    fn advance(&mut self, now: i64, effects: &mut Vec<Effect>) {
        for id in self.in_order(|task| task.machine.state == State::Proposed) {
            let task = &self.tasks[&id];
            let event = match self.rule(task, now) {
                Rule::Wait => Event::Tick,
                Rule::Suppress(reason) => Event::Suppress(reason),
                Rule::Begin => self.prepare(&id, now),
            };
            self.apply(&id, event, now, effects);
            let task = &self.tasks[&id];
            // Of an action that has to wait the world hears once, when it is proposed.
            if task.machine.state == State::Proposed && task.changed_at == now {
                effects.push(Effect::Changed(task.view()));
            }
        }
        let incidents = &self.incidents;
        self.tasks.retain(|_, task| match task.machine.state {
            State::Proposed | State::Submitting { .. } => true,
            State::Applied { .. } | State::Unknown { .. } => incidents.is_open(&task.decision),
            State::Suppressed { .. } | State::Failed { .. } => false,
        });
    }

    /// What the rules say to a proposed action.
    fn rule(&self, task: &Task, now: i64) -> Rule {
        if let Some(reason) = self.barred(task, now) {
            return Rule::Suppress(reason);
        }
        let kind = task.planned.kind;
        if !kind.changes_model() {
            return Rule::Begin;
        }
        let replaces = |other: &Task| {
            other.machine.state == State::Proposed
                && other.planned.kind == kind
                && other.order > task.order
                && self.barred(other, now).is_none()
        };
        // Two versions may each have to be left, but a model is retrained once.
        if kind == ActionKind::Retrain && self.others(task).any(replaces) {
            return Rule::Suppress(Suppression::Superseded);
        }
        if self.others(task).any(Task::is_submitting) {
            return Rule::Wait;
        }
        if kind == ActionKind::Rollback && self.ledger.last_known_good(&task.decision.key).is_none() {
            return Rule::Suppress(Suppression::NoKnownGoodVersion);
        }
        Rule::Begin
    }

    /// Why `task` must not be done whether or not its turn has come.
    fn barred(&self, task: &Task, now: i64) -> Option<Suppression> {
        let kind = task.planned.kind;
        if self.config.mode(&task.decision.policy) != PolicyMode::Auto {
            return Some(Suppression::Observe);
        }
        if now >= task.machine.terms.deadline
            || self.config.action(&task.planned.action).is_none_or(|spec| spec.kind != kind)
            || kind.changes_model() && !self.incidents.is_open(&task.decision)
        {
            return Some(Suppression::Stale);
        }
        let repeated = kind.changes_model() && self.others(task).any(|other| self.forbids(other, task));
        repeated.then_some(Suppression::AlreadyActive)
    }

    /// The other actions that change the same model.
    fn others<'a>(&'a self, task: &'a Task) -> impl Iterator<Item = &'a Task> {
        self.tasks.values().filter(|other| {
            other.order != task.order && other.planned.kind.changes_model() && other.same_model(task)
        })
    }

    /// Whether `other` makes doing `task` a repetition: the same kind of change of the same version
    /// is under way, or was made for an incident that is still open. A change of unknown fate
    /// forbids every further change of that version; a new version brings its own evidence.
    fn forbids(&self, other: &Task, task: &Task) -> bool {
        let same_version = other.decision.key.version == task.decision.key.version;
        let same_kind = other.planned.kind == task.planned.kind;
        same_version
            && match other.machine.state {
                State::Submitting { .. } => same_kind,
                State::Applied { .. } => same_kind && self.incidents.is_open(&other.decision),
                State::Unknown { .. } => self.incidents.is_open(&other.decision),
                State::Proposed | State::Suppressed { .. } | State::Failed { .. } => false,
            }
    }

    /// Makes the request of an action that may begin.
    fn prepare(&mut self, id: &str, now: i64) -> Event {
        let Some(task) = self.tasks.get_mut(id) else { return Event::Begin };
        let Some(spec) = self.config.action(&task.planned.action) else {
            return Event::Suppress(Suppression::Stale);
        };
        task.machine.terms.idempotency = spec.idempotency;
        task.target = Some(spec.target.clone());
        if spec.kind == ActionKind::Rollback {
            task.to_version = self.ledger.last_known_good(&task.decision.key).cloned();
        }
        let request = payload::Request {
            action_id: id,
            action: &task.planned.action,
            kind: spec.kind,
            decision: &task.decision,
            omitted: task.omitted,
            to_version: task.to_version.as_ref(),
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
        let (machine, steps) = task.machine.clone().step(event, now);
        let before = task.view();
        task.machine = machine;
        let shown = |view: &ActionView| (view.state.clone(), view.detail.clone());
        let changed = shown(&before) != shown(&task.view());
        if changed {
            task.changed_at = now;
        }
        let view = task.view();
        for step in steps {
            let task = &self.tasks[id];
            match step {
                safety::Effect::Submit { attempt } => effects.push(Effect::Call(Call {
                    action_id: id.to_owned(),
                    attempt,
                    action: task.planned.action.clone(),
                    payload: task.payload.clone(),
                    deadline: task.machine.terms.deadline,
                })),
                safety::Effect::Intent => {
                    let body = Body::Intent {
                        action_id: id.to_owned(),
                        target: task.target.clone().expect("an action is prepared before it begins"),
                        idempotency: task.machine.terms.idempotency,
                        to_version: task.to_version.clone(),
                        payload: task.payload.clone(),
                    };
                    self.audit(body, now, effects);
                }
                safety::Effect::Outcome => {
                    let outcome = Ended::of(&task.machine.state).expect("an outcome comes with an end");
                    self.audit(Body::Outcome { action_id: id.to_owned(), outcome }, now, effects);
                }
            }
        }
        if changed {
            effects.push(Effect::Changed(view));
        }
    }

    fn audit(&mut self, body: Body, now: i64, effects: &mut Vec<Effect>) {
        effects.push(Effect::Audit(Entry { format: FORMAT, seq: self.next_seq, time: now, body }));
        self.next_seq += 1;
    }
}

/// What the rules say to a proposed action.
enum Rule {
    /// It may begin.
    Begin,
    /// It has to wait for another.
    Wait,
    /// It must not be done.
    Suppress(Suppression),
}

#[cfg(test)]
mod tests;
