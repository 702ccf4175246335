//! What did not go as the policy wants it is as loud as what did: an action that failed, that nobody
//! approved in time, that may or may not have been done, after which the model is still bad, or that a
//! limit kept from being done goes to a person, with the notifications that the policy names.

use std::sync::Arc;

use super::entry::{Body, Planned};
use super::task::{Escalation, Task, millis};
use super::{Actor, Effect};
use crate::safety::{self, ActionKind, State, Suppression, Verified};

impl Actor {
    /// Escalates the end of an action where it needs a person.
    pub(super) fn escalate_end(&mut self, id: &str, now: i64, effects: &mut Vec<Effect>) {
        let Some(task) = self.tasks.get(id).filter(|task| task.changes_model()) else { return };
        let reason = match &task.machine.state {
            State::Suppressed {
                reason:
                    reason @ (Suppression::NoKnownGoodVersion
                    | Suppression::Cooldown
                    | Suppression::Budget
                    | Suppression::Breaker
                    | Suppression::TargetNotReady),
                ..
            } => reason.name(),
            // Somebody else has changed the target meanwhile.
            State::Suppressed { reason: Suppression::Stale, detail: Some(_) } => Suppression::Stale.name(),
            State::Expired
            | State::Failed { .. }
            | State::NeedsHuman { .. }
            | State::Verified { result: Verified::NotRecovered | Verified::Inconclusive, .. } => {
                task.machine.state.name()
            }
            State::Proposed
            | State::AwaitingApproval { .. }
            | State::Suppressed { .. }
            | State::Denied { .. }
            | State::Preflight { .. }
            | State::Submitting { .. }
            | State::Finding { .. }
            | State::Following { .. }
            | State::Applied { .. }
            | State::Verifying { .. }
            | State::Verified { result: Verified::Recovered, .. }
            | State::Cancelled { .. } => return,
        };
        let detail = task.detail().unwrap_or_else(|| reason.to_owned());
        self.escalate(id, reason, &detail, now, effects);
    }

    /// Tells people that the action `id` needs one.
    pub(super) fn escalate(
        &mut self,
        id: &str,
        reason: &str,
        detail: &str,
        now: i64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(task) = self.tasks.get(id) else { return };
        let decision = Arc::clone(&task.decision);
        let terms = self.config.terms(&decision.policy);
        let actions: Vec<Planned> = terms
            .escalate
            .iter()
            .filter_map(|name| self.config.action(name).filter(|spec| spec.kind == ActionKind::Notify))
            .map(|spec| Planned {
                action_id: safety::id::action_id(
                    &decision.policy,
                    &spec.name,
                    &decision.key,
                    &format!("{id}:{reason}"),
                    spec.kind,
                ),
                action: spec.name.clone(),
                kind: spec.kind,
                deadline: now.saturating_add(millis(spec.deadline)),
            })
            .collect();
        let body = Body::Escalated {
            action_id: id.to_owned(),
            reason: reason.to_owned(),
            detail: detail.to_owned(),
            actions: actions.clone(),
        };
        self.audit(body, now, effects);
        self.plan_escalation(id, reason, detail, actions, now);
    }

    /// Puts the notifications of an escalation on the list.
    pub(super) fn plan_escalation(
        &mut self,
        id: &str,
        reason: &str,
        detail: &str,
        actions: Vec<Planned>,
        now: i64,
    ) {
        let Some(about) = self.tasks.get(id) else { return };
        let (decision, omitted, evidence) =
            (Arc::clone(&about.decision), about.omitted, about.evidence.clone());
        let escalation = Arc::new(Escalation {
            action_id: id.to_owned(),
            action: about.planned.action.clone(),
            reason: reason.to_owned(),
            detail: detail.to_owned(),
        });
        for planned in actions {
            if self.tasks.contains_key(&planned.action_id) {
                continue;
            }
            let mut task =
                Task::new(self.next_order, planned, Arc::clone(&decision), omitted, &self.config, now);
            task.escalation = Some(Arc::clone(&escalation));
            task.evidence.clone_from(&evidence);
            self.plan([task]);
        }
    }

    /// What the end of an action says of its target: whether it works, or is better left alone.
    pub(super) fn judge_target(&mut self, id: &str, was_active: bool, now: i64) {
        let Some(task) = self.tasks.get(id) else { return };
        let Some(target) = self.target_of(task).cloned() else { return };
        let spec = self.config.breaker;
        let breaker = self.breakers.entry(target).or_default();
        match &task.machine.state {
            State::Failed { .. } | State::NeedsHuman { .. } if was_active => breaker.failed(spec, now),
            State::Verified { result: Verified::NotRecovered, .. } => breaker.open(spec, now),
            State::Applied { .. } | State::Verifying { .. } => breaker.succeeded(now),
            _ => {}
        }
    }
}
