//! One action with all that is needed to carry it out, and to say how it stands.

use std::sync::Arc;

use serde_json::Value;

use super::config::Config;
use super::entry::Planned;
use crate::domain::{Decision, Version};
use crate::engine::view::ActionView;
use crate::safety::ledger::model_of;
use crate::safety::{Action, Idempotency, ModelName, State, Step, Terms, Verification};

/// Questions that change nothing may take so long beyond the moment at which they are asked.
const LOOK_MILLIS: i64 = 30_000;

/// One action.
#[derive(Debug)]
pub(super) struct Task {
    /// Its place among all actions.
    pub(super) order: u64,
    pub(super) planned: Planned,
    pub(super) decision: Arc<Decision>,
    /// Findings that the decision lost on its way into the log.
    pub(super) omitted: u64,
    /// Of an escalation: the action that needs a person, and why.
    pub(super) escalation: Option<Arc<Escalation>>,
    /// Hash of the sealed evidence.
    pub(super) evidence: Option<String>,
    /// That a person has approved it; for a rollback to this version.
    pub(super) approved: Option<Option<Version>>,
    /// Where its call goes, once it was prepared.
    pub(super) target: Option<String>,
    pub(super) to_version: Option<Version>,
    pub(super) payload: Value,
    pub(super) machine: Action,
    pub(super) changed_at: i64,
    /// What is watched after it was applied, and the wall time at which the watch is given up.
    pub(super) watch: Option<(Verification, i64)>,
}

/// What people are told when an action needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Escalation {
    pub(super) action_id: String,
    pub(super) action: String,
    pub(super) reason: String,
    pub(super) detail: String,
}

impl Task {
    pub(super) fn new(
        order: u64,
        planned: Planned,
        decision: Arc<Decision>,
        omitted: u64,
        config: &Config,
        now: i64,
    ) -> Self {
        let terms = Terms {
            id: planned.action_id.clone(),
            kind: planned.kind,
            // Nothing is known of the target yet; what is prepared sets it.
            idempotency: Idempotency::Unkeyed,
            abilities: Default::default(),
            deadline: planned.deadline,
            finish_within: 0,
        };
        let mut task = Self {
            order,
            planned,
            decision,
            omitted,
            escalation: None,
            evidence: None,
            approved: None,
            target: None,
            to_version: None,
            payload: Value::Null,
            machine: Action::proposed(terms),
            changed_at: now,
            watch: None,
        };
        task.configure(config);
        task
    }

    /// Takes what the configuration says of the target; says whether it is the configured one still.
    pub(super) fn configure(&mut self, config: &Config) -> bool {
        let Some(spec) = config.action(&self.planned.action) else { return false };
        if self.target.as_ref().is_some_and(|target| *target != spec.target) {
            return false;
        }
        self.machine.terms.idempotency = spec.idempotency;
        self.machine.terms.abilities = spec.abilities;
        self.machine.terms.finish_within = millis(spec.finish_within);
        true
    }

    pub(super) fn model(&self) -> ModelName {
        model_of(&self.decision.key)
    }

    pub(super) fn same_model(&self, other: &Self) -> bool {
        let (a, b) = (&self.decision.key, &other.decision.key);
        (&a.tenant, &a.model) == (&b.tenant, &b.model)
    }

    pub(super) fn changes_model(&self) -> bool {
        self.planned.kind.changes_model()
    }

    /// Whether it is of the incident that `decision` is about.
    pub(super) fn is_of(&self, decision: &Decision) -> bool {
        self.decision.policy == decision.policy && self.decision.key == decision.key
    }

    /// The version to go back to that its request names, once it was prepared.
    pub(super) fn sent_to(&self) -> Option<&Version> {
        self.to_version.as_ref().filter(|_| self.is_active())
    }

    pub(super) fn is_active(&self) -> bool {
        self.machine.state.is_active()
    }

    /// When time alone will change it, wall time in milliseconds.
    pub(super) fn due(&self) -> Option<i64> {
        match self.machine.state {
            State::Verifying { .. } => self.watch.as_ref().map(|(_, until)| *until),
            _ => self.machine.due(),
        }
    }

    /// Whether it is too late for a first request.
    pub(super) fn is_late(&self, now: i64) -> bool {
        now >= self.machine.terms.deadline
    }

    /// Until when a question asked now is waited for.
    pub(super) fn patience(&self, step: &Step, now: i64) -> i64 {
        match step {
            Step::Preflight | Step::Submit => self.machine.terms.deadline,
            Step::Find | Step::Poll { .. } | Step::Cancel { .. } => now.saturating_add(LOOK_MILLIS),
        }
    }

    pub(super) fn detail(&self) -> Option<String> {
        match &self.machine.state {
            State::Proposed | State::Expired => None,
            State::AwaitingApproval { .. } => Some("a person has to approve it".to_owned()),
            State::Suppressed { reason, detail: None } => Some(reason.name().to_owned()),
            State::Suppressed { reason, detail: Some(detail) } => Some(format!("{reason}: {detail}")),
            State::Preflight { .. } | State::Submitting { .. } | State::Finding { .. } => {
                Some(format!("question {}", self.machine.asked))
            }
            State::Following { reference, detail, .. } => Some(format!("{reference}: {detail}")),
            State::Denied { detail }
            | State::Applied { detail }
            | State::Verifying { detail }
            | State::Verified { detail, .. }
            | State::Failed { detail }
            | State::Cancelled { detail }
            | State::NeedsHuman { detail } => Some(detail.clone()),
        }
    }

    pub(super) fn view(&self) -> ActionView {
        ActionView {
            id: self.planned.action_id.clone(),
            action: self.planned.action.clone(),
            kind: self.planned.kind.name().to_owned(),
            decision: self.decision.id.clone(),
            policy: self.decision.policy.clone(),
            key: self.decision.key.clone(),
            to_version: self.to_version.as_ref().map(ToString::to_string),
            state: self.machine.state.name().to_owned(),
            detail: self.detail(),
            changed_at: self.changed_at,
            evidence: self.evidence.clone(),
            expires_at: match self.machine.state {
                State::AwaitingApproval { until } => Some(until),
                _ => None,
            },
        }
    }
}

pub(super) fn millis(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

impl Task {
    /// Wall time at which it was asked for: its deadline is counted from there.
    pub(super) fn asked_at(&self, config: &Config) -> i64 {
        let span = config.action(&self.planned.action).map_or(0, |spec| millis(spec.deadline));
        self.planned.deadline.saturating_sub(span)
    }

    /// Whether it has to be kept: it goes on, or what became of it still forbids another.
    pub(super) fn matters(&self, open: bool) -> bool {
        let state = &self.machine.state;
        let forbids = state.was_applied() || matches!(state, State::NeedsHuman { .. } | State::Denied { .. });
        state.is_waiting()
            || state.is_active()
            || matches!(state, State::Verifying { .. })
            || (forbids && open)
    }
}
