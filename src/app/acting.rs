//! Carries out what the actor says, in its order: an audit entry is durable before the call that it
//! announces begins. The machine decides; this file only obeys and reports back.

use std::collections::VecDeque;

use anyhow::Context;
use tokio::sync::mpsc::Receiver;

use crate::action::Executor;
use crate::audit::{Opened, Store};
use crate::domain::{Decision, open_incidents};
use crate::engine::actor::{self, Actor, CallFinished, Effect, Input, past_decisions};
use crate::engine::view::ActionView;
use crate::telemetry::{ActionOutcome, Sink, SinkError, Telemetry};

/// Actions kept for the API, newest last.
const RECENT_ACTIONS: usize = 500;

/// The actor with everything it needs to act.
#[derive(Debug)]
pub struct Acting {
    actor: Actor,
    store: Box<dyn Store>,
    executor: Executor,
    results: Receiver<CallFinished>,
    views: VecDeque<ActionView>,
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
        if let Some(cut) = opened.cut {
            tracing::warn!(
                line = cut.line,
                bytes = cut.bytes,
                "cut an unfinished entry off the end of the audit log; nothing was done because of it"
            );
        }
        let past = past_decisions(&opened.entries);
        let entries = opened.entries.len();
        let (actor, effects) =
            Actor::restore(config, opened.entries, now).context("the audit log contradicts itself")?;
        let mut acting = Self {
            actor,
            store: Box::new(opened.store),
            executor,
            results,
            views: VecDeque::new(),
            telemetry,
        };
        acting.carry_out(effects)?;
        tracing::info!(entries, open_incidents = open_incidents(&past).len(), "audit log is open");
        Ok((acting, past))
    }

    /// Takes a decision. When this returns, it and its intents are durable.
    ///
    /// # Errors
    /// When the audit log cannot be written; nothing is called then.
    pub fn decide(&mut self, decision: Decision, now: i64) -> anyhow::Result<()> {
        let effects = self.actor.handle(Input::Decision(decision), now);
        self.carry_out(effects)
    }

    /// Takes the ends of calls and the passing of time.
    ///
    /// # Errors
    /// As `decide`.
    pub fn tick(&mut self, now: i64) -> anyhow::Result<()> {
        while let Ok(finished) = self.results.try_recv() {
            let effects = self.actor.handle(Input::CallFinished(finished), now);
            self.carry_out(effects)?;
        }
        if self.actor.due().is_some_and(|due| due <= now) {
            let effects = self.actor.handle(Input::Tick, now);
            self.carry_out(effects)?;
        }
        Ok(())
    }

    /// Calls that are under way.
    pub fn in_flight(&mut self) -> usize {
        self.executor.in_flight()
    }

    /// What became of actions, oldest first.
    pub fn views(&self) -> Vec<ActionView> {
        self.views.iter().cloned().collect()
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> anyhow::Result<()> {
        for effect in effects {
            match effect {
                Effect::Audit(entry) => {
                    if let Err(error) = self.store.append(&entry) {
                        self.telemetry.sink_error(Sink::Audit, SinkError::Unavailable);
                        return Err(error).context("the audit log cannot be written, so nothing may be done");
                    }
                }
                Effect::Call(call) => {
                    self.telemetry.action_outcome(
                        self.model_of(&call.action_id).unwrap_or_default().as_str(),
                        &call.action,
                        ActionOutcome::Submitted,
                    );
                    self.executor.submit(call);
                }
                Effect::Changed(view) => self.show(view),
            }
        }
        Ok(())
    }

    fn model_of(&self, action_id: &str) -> Option<String> {
        self.views.iter().find(|view| view.id == action_id).map(|view| view.key.model.to_string())
    }

    fn show(&mut self, view: ActionView) {
        let outcome = match view.state.as_str() {
            "suppressed" => Some(ActionOutcome::Suppressed),
            "applied" => Some(ActionOutcome::Applied),
            "failed" => Some(ActionOutcome::Failed),
            "unknown" => Some(ActionOutcome::Unknown),
            _ => None,
        };
        let (id, action, model) = (view.id.as_str(), view.action.as_str(), view.key.to_string());
        let (state, detail) = (view.state.as_str(), view.detail.as_deref().unwrap_or_default());
        match outcome {
            Some(ActionOutcome::Failed | ActionOutcome::Unknown) => {
                tracing::error!(action_id = id, action, model, state, detail, "an action needs a person");
            }
            _ => tracing::info!(action_id = id, action, model, state, detail, "action"),
        }
        if let Some(outcome) = outcome {
            self.telemetry.action_outcome(view.key.model.as_str(), &view.action, outcome);
        }
        match self.views.iter_mut().find(|known| known.id == view.id) {
            Some(known) => *known = view,
            None => {
                self.views.push_back(view);
                if self.views.len() > RECENT_ACTIONS {
                    self.views.pop_front();
                }
            }
        }
    }
}
