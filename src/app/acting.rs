//! Carries out what the actor says, in its order: audit entries are durable before the calls that they
//! announce begin. The machine decides; this file only obeys and reports back.
//!
//! With [`Acting::open`] one process decides and acts. With [`Acting::take_over`] the decisions come
//! from a topic that one of several processes reads: then each append also moves the offset of the
//! decisions and proves the ownership of them, and calls begin only while that proof is fresh, and not
//! before what waited in the topic was read.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::Context;
use tokio::sync::mpsc::Receiver;

use super::act::{ACT, Ownership, Picture};
use super::clock::now_millis;
use crate::action::Executor;
use crate::audit::{Consumed, Extent, Opened, Store};
use crate::domain::{Decision, Report, open_incidents};
use crate::engine::actor::{self, Actor, Call, CallFinished, Effect, Entry, Input, past_decisions};
use crate::engine::decided::{Decided, Told};
use crate::engine::view::{ActionView, CommandOutcome, CommandView};
use crate::safety::Command;
use crate::telemetry::{ActionOutcome, Sink, SinkError, Telemetry};

/// Actions kept for the API, newest last.
const RECENT_ACTIONS: usize = 500;
/// Commands kept for the API, newest last.
const RECENT_COMMANDS: usize = 200;

/// What may be done once the entries ahead of it are durable.
#[derive(Debug)]
enum Then {
    Call(Call),
    Show(Box<ActionView>),
    Recall(Box<ActionView>),
    Told(CommandView),
    RecallOrder(CommandView),
}

/// The actor with everything it needs to act.
#[derive(Debug)]
pub struct Acting {
    actor: Actor,
    store: Box<dyn Store>,
    executor: Executor,
    results: Receiver<CallFinished>,
    /// Entries that are not durable yet, and what may be done once they are.
    entries: Vec<Entry>,
    waiting: VecDeque<Then>,
    ownership: Option<Ownership>,
    views: VecDeque<ActionView>,
    commands: VecDeque<CommandView>,
    telemetry: Telemetry,
}

impl Acting {
    /// An actor that continues from what the audit log in `opened` says, and the decisions
    /// in the log, for the evaluator. `now` is wall time in milliseconds.
    ///
    /// # Errors
    /// When the log contradicts itself, or its first new entry cannot be made durable.
    pub fn open<S: Store + 'static>(
        config: actor::Config,
        opened: Opened<S>,
        executor: Executor,
        results: Receiver<CallFinished>,
        telemetry: Telemetry,
        now: i64,
    ) -> anyhow::Result<(Self, Vec<Decision>)> {
        let past = past_decisions(&opened.entries);
        let mut acting = Self::restore(config, opened, executor, results, telemetry, now)?;
        acting.begin(now)?;
        tracing::info!(open_incidents = open_incidents(&past).len(), "incidents are taken up");
        Ok((acting, past))
    }

    /// An actor that continues from what the audit log in `opened` says, for as long as this process
    /// owns the decisions. What it writes first waits for `settle`, and what it does first for `begin`.
    ///
    /// # Errors
    /// When the log contradicts itself.
    pub fn take_over<S: Store + 'static>(
        config: actor::Config,
        opened: Opened<S>,
        executor: Executor,
        results: Receiver<CallFinished>,
        telemetry: Telemetry,
        now: i64,
        ownership: Ownership,
    ) -> anyhow::Result<Self> {
        let executor = executor.under(ownership.lease().clone());
        let mut acting = Self::restore(config, opened, executor, results, telemetry, now)?;
        if !acting.store.stores_offsets() {
            // Nothing proves the ownership then but that nobody has taken it away.
            ownership.lease().lift();
        }
        acting.ownership = Some(ownership);
        Ok(acting)
    }

    fn restore<S: Store + 'static>(
        config: actor::Config,
        opened: Opened<S>,
        executor: Executor,
        results: Receiver<CallFinished>,
        telemetry: Telemetry,
        now: i64,
    ) -> anyhow::Result<Self> {
        if let Some(cut) = opened.cut {
            tracing::warn!(
                line = cut.line,
                bytes = cut.bytes,
                "cut an unfinished entry off the end of the audit log; nothing was done because of it"
            );
        }
        let count = opened.entries.len();
        telemetry.actions_taken_up(&opened.entries);
        let Extent { entries, signed } = opened.store.extent();
        telemetry.audit_log(entries, signed);
        let (actor, effects) =
            Actor::restore(config, opened.entries, now).context("the audit log contradicts itself")?;
        let mut acting = Self {
            actor,
            store: Box::new(opened.store),
            executor,
            results,
            entries: Vec::new(),
            waiting: VecDeque::new(),
            ownership: None,
            views: VecDeque::new(),
            commands: VecDeque::new(),
            telemetry,
        };
        acting.queue(effects);
        tracing::info!(entries = count, "audit log is open");
        Ok(acting)
    }

    /// Goes on with what was begun, and begins what was put off: everything that was ordered meanwhile is
    /// known. Once is enough.
    ///
    /// # Errors
    /// As `decide`.
    pub fn begin(&mut self, now: i64) -> anyhow::Result<()> {
        let effects = self.actor.begin(now);
        self.queue(effects);
        self.settle()
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.actor.has_begun()
    }

    /// Takes a decision. When this returns, it and its intents are durable.
    ///
    /// # Errors
    /// When the audit log cannot be written; nothing is called then, and the decision is taken all the
    /// same: it waits for `settle`.
    pub fn decide(&mut self, decision: Decision, now: i64) -> anyhow::Result<()> {
        self.handle(Input::Decision(decision), now)
    }

    /// Takes a message of the topic of decisions.
    ///
    /// # Errors
    /// As `decide`.
    pub fn told(&mut self, told: Told, now: i64) -> anyhow::Result<()> {
        let input = match told {
            Told::Decided(Decided { decision, decided_at, positions }) => {
                Input::Decided { decision, at: decided_at.unwrap_or(now), positions }
            }
            Told::Command(command) => Input::Command(command),
            Told::Report(report) => Input::Report(report),
            Told::Mark(_) => return Ok(()),
        };
        self.handle(input, now)
    }

    /// Takes what the inference log shows.
    ///
    /// # Errors
    /// As `decide`.
    pub fn report(&mut self, report: Report, now: i64) -> anyhow::Result<()> {
        self.handle(Input::Report(report), now)
    }

    /// Takes a person's command.
    ///
    /// # Errors
    /// As `decide`.
    pub fn order(&mut self, command: Command, now: i64) -> anyhow::Result<()> {
        self.handle(Input::Command(command), now)
    }

    /// Takes the ends of calls and the passing of time.
    ///
    /// # Errors
    /// When the audit log cannot be written.
    pub fn tick(&mut self, now: i64) -> anyhow::Result<()> {
        self.settle()?;
        let signed = self.store.publish_due(now).context("no checkpoint of the audit log can be published");
        let extent = self.store.extent();
        self.telemetry.audit_log(extent.entries, extent.signed);
        signed?;
        while let Ok(finished) = self.results.try_recv() {
            self.telemetry.answered(&finished);
            self.handle(Input::CallFinished(finished), now)?;
        }
        if self.actor.due().is_some_and(|due| due <= now) {
            self.handle(Input::Tick, now)?;
        }
        let waits = self.actor.due().is_some() || self.in_flight() > 0;
        match &self.ownership {
            Some(ownership) if ownership.due(waits) => self.append(),
            _ => Ok(()),
        }
    }

    /// Makes durable what is not yet, and does what waited for it. Nothing of it is done where this
    /// fails, and it may be asked for again where the log says that it can go on.
    ///
    /// # Errors
    /// When the audit log cannot be written.
    pub fn settle(&mut self) -> anyhow::Result<()> {
        if !self.entries.is_empty() {
            self.append()?;
        }
        while let Some(effect) = self.waiting.pop_front() {
            match effect {
                Then::Call(call) => {
                    if self.ownership.as_ref().is_some_and(Ownership::stale)
                        && let Err(error) = self.append()
                    {
                        self.waiting.push_front(Then::Call(call));
                        return Err(error);
                    }
                    self.telemetry.asked(&call);
                    self.executor.submit(call);
                }
                Then::Show(view) => self.show(*view),
                Then::Recall(view) => self.keep(*view),
                Then::Told(command) => self.show_command(command),
                Then::RecallOrder(command) => self.keep_command(command),
            }
        }
        Ok(())
    }

    /// Stores the offset of what was read, where it is not stored yet.
    ///
    /// # Errors
    /// When the audit log cannot be written.
    pub fn account(&mut self) -> anyhow::Result<()> {
        self.settle()?;
        if self.ownership.as_ref().is_some_and(Ownership::moved) { self.append() } else { Ok(()) }
    }

    /// Calls that are under way.
    pub fn in_flight(&mut self) -> usize {
        self.executor.in_flight()
    }

    /// What became of actions, oldest first.
    pub fn views(&self) -> Vec<ActionView> {
        self.views.iter().cloned().collect()
    }

    /// What became of actions and commands, what stands still and what is good, at wall time `now`.
    pub fn picture(&self, now: i64) -> Picture {
        Picture {
            actions: self.views(),
            commands: self.commands.iter().cloned().collect(),
            safety: self.actor.safety(now),
        }
    }

    /// What this process owns, where it shares the decisions with others.
    pub fn ownership(&mut self) -> Option<&mut Ownership> {
        self.ownership.as_mut()
    }

    /// The offset that whoever reads the decisions has to commit, because the log does not store it.
    pub fn to_commit(&self) -> Option<Consumed> {
        let owned = self.ownership.as_ref().filter(|owned| owned.moved() && self.entries.is_empty())?;
        (!self.store.stores_offsets()).then(|| owned.consumed().clone())
    }

    /// Begins no further call, and leaves those that are under way to their end: somebody else
    /// owns the actions now.
    pub fn leave(self) {
        self.telemetry.actions_left();
        self.executor.leave();
    }

    fn handle(&mut self, input: Input, now: i64) -> anyhow::Result<()> {
        let effects = self.actor.handle(input, now);
        self.queue(effects);
        self.settle()
    }

    /// The entries of one input go to the log together, ahead of every call.
    fn queue(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Audit(entry) => self.entries.push(entry),
                Effect::Call(call) => self.waiting.push_back(Then::Call(call)),
                Effect::Changed(view) => self.waiting.push_back(Then::Show(Box::new(view))),
                Effect::Recalled(view) => self.waiting.push_back(Then::Recall(Box::new(view))),
                Effect::RecalledOrder(command) => self.waiting.push_back(Then::RecallOrder(command)),
                Effect::Ordered(command) => self.waiting.push_back(Then::Told(command)),
            }
        }
    }

    fn append(&mut self) -> anyhow::Result<()> {
        let begun = self.ownership.as_ref().map(|ownership| ownership.lease().now());
        let consumed = self.ownership.as_ref().map(Ownership::consumed);
        let began = Instant::now();
        let appended = self.store.append(&self.entries, consumed);
        if self.store.stores_offsets() {
            let seconds = now_millis() as f64 / 1000.0;
            self.telemetry.transaction(ACT, appended.is_ok(), began.elapsed(), seconds);
        }
        if let Err(error) = appended {
            self.telemetry.sink_error(Sink::Audit, SinkError::Unavailable);
            return Err(error).context("the audit log cannot be written, so nothing may be done");
        }
        self.telemetry.recorded(&self.entries);
        self.entries.clear();
        if self.store.stores_offsets()
            && let (Some(ownership), Some(begun)) = (&mut self.ownership, begun)
        {
            ownership.proved(begun);
        }
        Ok(())
    }

    fn show_command(&mut self, command: CommandView) {
        let CommandView { id, who, order, reason, why, .. } = &command;
        match command.outcome {
            CommandOutcome::Accepted => {
                tracing::warn!(id, who, order, reason, "a person's order is in force")
            }
            CommandOutcome::Refused | CommandOutcome::Unknown => {
                tracing::warn!(id, who, order, reason, why, "a person's order was refused");
            }
        }
        self.keep_command(command);
    }

    fn keep_command(&mut self, command: CommandView) {
        self.commands.push_back(command);
        if self.commands.len() > RECENT_COMMANDS {
            self.commands.pop_front();
        }
    }

    fn show(&mut self, view: ActionView) {
        let outcome = ActionOutcome::of(&view.state);
        let (id, action, model) = (view.id.as_str(), view.action.as_str(), view.key.to_string());
        let (state, detail) = (view.state.as_str(), view.detail.as_deref().unwrap_or_default());
        match outcome {
            Some(outcome) if outcome.needs_a_person() => {
                tracing::error!(action_id = id, action, model, state, detail, "an action needs a person");
            }
            Some(ActionOutcome::AwaitingApproval) => {
                tracing::warn!(
                    action_id = id,
                    action,
                    model,
                    evidence = view.evidence,
                    "an action waits for approval: plimsoll approve {id}"
                );
            }
            Some(_) => tracing::info!(action_id = id, action, model, state, detail, "action"),
            None => tracing::debug!(action_id = id, action, model, state, detail, "action"),
        }
        self.telemetry.action_changed(&view);
        self.keep(view);
    }

    /// Keeps it for the API. Of those that ended the oldest give way; one that goes on never does.
    fn keep(&mut self, view: ActionView) {
        match self.views.iter_mut().find(|known| known.id == view.id) {
            Some(known) => *known = view,
            None => self.views.push_back(view),
        }
        if self.views.len() > RECENT_ACTIONS
            && let Some(at) = self.views.iter().position(|view| !view.goes_on())
        {
            self.views.remove(at);
        }
    }
}
