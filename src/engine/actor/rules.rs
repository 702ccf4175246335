//! What the rules say to an action that is proposed. They are asked in one place and in one order, from
//! those that forbid it for good to those that let it wait, so that a reader can check that nothing that
//! changes a model gets past them.

use super::Actor;
use super::task::{Task, millis};
use crate::safety::{ActionKind, ModelName, PolicyMode, State, Suppression};

/// What the rules say.
pub(super) enum Rule {
    /// It may begin.
    Begin,
    /// It has to wait for another.
    Wait,
    /// A person has to be asked, until this wall time.
    Ask(i64),
    /// It must not be done.
    Suppress(Suppression),
}

impl Actor {
    /// What the rules say to a proposed action.
    pub(super) fn rule(&self, task: &Task, now: i64) -> Rule {
        if let Some(reason) = self.barred(task, now) {
            return Rule::Suppress(reason);
        }
        let kind = task.planned.kind;
        if !kind.changes_model() {
            // Nobody is to hear that it is over before hearing that it began.
            let told = |other: &Task| {
                other.planned.action == task.planned.action
                    && other.is_of(&task.decision)
                    && other.order < task.order
                    && other.is_active()
            };
            return if self.tasks.values().any(told) { Rule::Wait } else { Rule::Begin };
        }
        // Two versions may each have to be left, but a model is retrained once.
        let replaces = |other: &Task| {
            other.machine.state.is_waiting()
                && other.planned.kind == kind
                && other.order > task.order
                && self.barred(other, now).is_none()
                // One that a person let through does not give way to one that nobody has looked at.
                && (self.is_approved(other) || !self.is_approved(task))
        };
        if kind == ActionKind::Retrain && self.others(task).any(replaces) {
            return Rule::Suppress(Suppression::Superseded);
        }
        if kind == ActionKind::Rollback && self.good_version(task).is_none() {
            return Rule::Suppress(Suppression::NoKnownGoodVersion);
        }
        let terms = self.config.terms(&task.decision.policy);
        let asks = terms.mode == PolicyMode::Approve && !self.is_approved(task);
        let until = || task.asked_at(&self.config).saturating_add(millis(terms.approval_within));
        // Of those that were told apart from here on only one at a time is at work for a model, so that
        // what follows counts what was done and not what waits.
        if self.others(task).any(Task::is_active) {
            // A person may be asked meanwhile: that it has to wait must not cost it the time for that. But
            // only once, and not for what could hardly be done.
            let first = asks && task.approved.is_none() && self.limited(task, now).is_none();
            return if first { Rule::Ask(until()) } else { Rule::Wait };
        }
        if let Some(reason) = self.limited(task, now) {
            return Rule::Suppress(reason);
        }
        if self.active_changes() >= self.left_in_fleet(now) {
            return Rule::Wait;
        }
        if asks { Rule::Ask(until()) } else { Rule::Begin }
    }

    /// The breaker, cooldown or budget that stands against `task` now.
    fn limited(&self, task: &Task, now: i64) -> Option<Suppression> {
        let target = self.target_of(task);
        let breaker = target.and_then(|target| self.breakers.get(target));
        let busy = self
            .tasks
            .values()
            .any(|other| other.order != task.order && other.is_active() && self.target_of(other) == target);
        if breaker.is_some_and(|breaker| breaker.holds(now, busy)) {
            return Some(Suppression::Breaker);
        }
        self.spent.forbids(&self.config.limits, &task.model(), task.planned.kind, now)
    }

    /// Why `task` must not be done whether or not its turn has come.
    pub(super) fn barred(&self, task: &Task, now: i64) -> Option<Suppression> {
        let kind = task.planned.kind;
        let mode = self.config.mode(&task.decision.policy);
        if !mode.permits(kind) {
            let recommended = mode == PolicyMode::Recommend;
            return Some(if recommended { Suppression::Recommend } else { Suppression::Observe });
        }
        let asks = mode == PolicyMode::Approve && kind.changes_model() && !self.is_approved(task);
        if !asks && now >= task.machine.terms.deadline
            || self.config.action(&task.planned.action).is_none_or(|spec| spec.kind != kind)
            || kind.changes_model() && !self.incidents.is_open(&task.decision)
        {
            return Some(Suppression::Stale);
        }
        if !kind.changes_model() {
            return None;
        }
        if self.others(task).any(|other| self.forbids(other, task)) {
            return Some(Suppression::AlreadyActive);
        }
        if self.frozen.is_some() {
            return Some(Suppression::Frozen);
        }
        self.is_held(&task.model()).then_some(Suppression::Held)
    }

    /// Whether a person has approved what would be done now: an approval is of one version to go back to.
    pub(super) fn is_approved(&self, task: &Task) -> bool {
        match &task.approved {
            Some(to_version) if task.planned.kind == ActionKind::Rollback => {
                to_version.as_ref() == task.sent_to().or_else(|| self.good_version(task))
            }
            Some(_) => true,
            None => false,
        }
    }

    /// Whether a person holds the model.
    pub(super) fn is_held(&self, model: &ModelName) -> bool {
        self.held.keys().any(|held| held.covers(model))
    }

    /// Where the calls of an action go.
    pub(super) fn target_of<'a>(&'a self, task: &'a Task) -> Option<&'a String> {
        let configured = || self.config.action(&task.planned.action).map(|spec| &spec.target);
        task.target.as_ref().or_else(configured)
    }

    /// The other actions that change the same model.
    pub(super) fn others<'a>(&'a self, task: &'a Task) -> impl Iterator<Item = &'a Task> {
        self.tasks
            .values()
            .filter(|other| other.order != task.order && other.changes_model() && other.same_model(task))
    }

    /// Whether `other` makes doing `task` a repetition: the same kind of change of the same version
    /// is under way, or was made for an incident that is still open. A change of unknown fate
    /// forbids every further change of that version; a new version brings its own evidence.
    fn forbids(&self, other: &Task, task: &Task) -> bool {
        let same_version = other.decision.key.version == task.decision.key.version;
        let same_kind = other.planned.kind == task.planned.kind;
        let open = || self.incidents.is_open(&other.decision);
        same_version
            && match &other.machine.state {
                State::NeedsHuman { .. } => open(),
                state if state.is_active() => same_kind,
                state if state.was_applied() => same_kind && open(),
                State::Denied { .. } | State::AwaitingApproval { .. } => {
                    same_kind && open() && other.order < task.order
                }
                _ => false,
            }
    }

    /// Changes under way, over all models: their intents may not be counted yet.
    fn active_changes(&self) -> usize {
        let unspent =
            |task: &&Task| task.changes_model() && matches!(task.machine.state, State::Preflight { .. });
        self.tasks.values().filter(unspent).count()
    }

    /// Changes that the budget of the fleet still allows.
    fn left_in_fleet(&self, now: i64) -> usize {
        self.spent.left_in_fleet(&self.config.limits, now)
    }
}
