//! How much may be done, and when too much is asked for at once: cooldowns for a model, budgets for a
//! model and for the fleet, and the alarm that many models at once are a sick feed and not as many sick
//! models. All of it is counted from intents, so that it follows from the audit log alone.

use std::collections::{BTreeMap, VecDeque};

use super::Suppression;
use super::command::ModelName;
use super::kind::ActionKind;
use crate::domain::ModelId;

/// So many within a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many; 0 allows none.
    pub count: u32,
    /// Milliseconds.
    pub per: i64,
}

/// When everything is frozen because too much is wrong at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FleetAlarm {
    /// At least so many different models.
    pub models: u32,
    /// And at least this share of those that are watched, 0 to 1.
    pub share: f64,
    /// Within so many milliseconds.
    pub within: i64,
}

/// What is allowed. The defaults are those of the configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Pause between two rollbacks of a model, milliseconds.
    pub cooldown_rollback: i64,
    /// Pause between two retrainings of a model, milliseconds.
    pub cooldown_retrain: i64,
    /// Changes of one model.
    pub per_model: Budget,
    /// Changes of all models together.
    pub fleet: Budget,
    /// When everything is frozen.
    pub alarm: FleetAlarm,
}

impl Default for Limits {
    fn default() -> Self {
        const MINUTE: i64 = 60_000;
        const DAY: i64 = 24 * 60 * MINUTE;
        Self {
            cooldown_rollback: 30 * MINUTE,
            cooldown_retrain: 6 * 60 * MINUTE,
            per_model: Budget { count: 3, per: DAY },
            fleet: Budget { count: 10, per: DAY },
            alarm: FleetAlarm { models: 3, share: 0.5, within: 10 * MINUTE },
        }
    }
}

/// What was done of late, and which models left their bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Wall times of intents that change a model, oldest first.
    done: VecDeque<(i64, ModelName, ActionKind)>,
    /// When each model last wanted a change.
    wanted: BTreeMap<ModelId, i64>,
}

impl Spent {
    /// Takes note of an intent.
    pub fn spend(&mut self, limits: &Limits, model: &ModelName, kind: ActionKind, at: i64) {
        if kind.changes_model() {
            self.done.push_back((at, model.clone(), kind));
        }
        let longest =
            [limits.cooldown_rollback, limits.cooldown_retrain, limits.per_model.per, limits.fleet.per];
        let oldest = at.saturating_sub(longest.into_iter().max().unwrap_or(0));
        while self.done.front().is_some_and(|(at, ..)| *at < oldest) {
            self.done.pop_front();
        }
    }

    /// Why a change of this kind may not be made to the model now.
    pub fn forbids(
        &self,
        limits: &Limits,
        model: &ModelName,
        kind: ActionKind,
        now: i64,
    ) -> Option<Suppression> {
        let cooldown = match kind {
            ActionKind::Rollback => limits.cooldown_rollback,
            ActionKind::Retrain => limits.cooldown_retrain,
            ActionKind::Notify => return None,
        };
        // A clock that was set back must not open what it had closed: what lies ahead counts as just now.
        let since = |span: i64| now.saturating_sub(span);
        let mine = |of: &&(i64, ModelName, ActionKind)| of.1 == *model;
        if self.done.iter().filter(mine).any(|(at, _, of)| *of == kind && *at > since(cooldown)) {
            return Some(Suppression::Cooldown);
        }
        let count = |budget: Budget, which: &dyn Fn(&ModelName) -> bool| {
            let spent = self.done.iter().filter(|(at, of, _)| which(of) && *at > since(budget.per)).count();
            spent >= budget.count as usize
        };
        if count(limits.per_model, &|of| of == model) || count(limits.fleet, &|_| true) {
            return Some(Suppression::Budget);
        }
        None
    }

    /// How many changes the budget of the fleet still allows.
    pub fn left_in_fleet(&self, limits: &Limits, now: i64) -> usize {
        let since = now.saturating_sub(limits.fleet.per);
        let spent = self.done.iter().filter(|(at, ..)| *at > since).count();
        (limits.fleet.count as usize).saturating_sub(spent)
    }

    /// Takes note that `model` wants a change, and says how many models do where that is too many of
    /// `watched`. A model counts once however many tenants it has, as among those that are watched.
    pub fn want(&mut self, limits: &Limits, model: &ModelName, at: i64, watched: usize) -> Option<usize> {
        let alarm = limits.alarm;
        let newest = self.wanted.entry(model.model.clone()).or_insert(at);
        *newest = at.max(*newest);
        let oldest = at.saturating_sub(alarm.within);
        self.wanted.retain(|_, at| *at > oldest);
        let wanting = self.wanted.len();
        let share = wanting as f64 / watched.max(1) as f64;
        (wanting >= alarm.models as usize && share >= alarm.share).then_some(wanting)
    }

    /// Forgets which models wanted a change: a person has looked at them.
    pub fn resumed(&mut self) {
        self.wanted.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> ModelName {
        ModelName { tenant: None, model: name.into() }
    }

    #[test]
    fn a_cooldown_is_of_one_model_and_one_kind() {
        let limits = Limits { cooldown_rollback: 100, cooldown_retrain: 500, ..Limits::default() };
        let mut spent = Spent::default();
        spent.spend(&limits, &model("a"), ActionKind::Rollback, 1_000);
        let ask = |name, kind, now| spent.forbids(&limits, &model(name), kind, now);
        assert_eq!(ask("a", ActionKind::Rollback, 1_099), Some(Suppression::Cooldown));
        assert_eq!(ask("a", ActionKind::Rollback, 900), Some(Suppression::Cooldown), "a clock set back");
        assert_eq!(ask("a", ActionKind::Rollback, 1_100), None);
        assert_eq!(ask("a", ActionKind::Retrain, 1_001), None);
        assert_eq!(ask("b", ActionKind::Rollback, 1_001), None);
        assert_eq!(ask("a", ActionKind::Notify, 1_001), None);
    }

    #[test]
    fn budgets_are_of_a_model_and_of_the_fleet_and_come_back_with_time() {
        let limits = Limits {
            cooldown_rollback: 0,
            cooldown_retrain: 0,
            per_model: Budget { count: 2, per: 1_000 },
            fleet: Budget { count: 3, per: 1_000 },
            ..Limits::default()
        };
        let mut spent = Spent::default();
        let kind = ActionKind::Rollback;
        spent.spend(&limits, &model("a"), kind, 0);
        spent.spend(&limits, &model("a"), kind, 10);
        assert_eq!(spent.forbids(&limits, &model("a"), kind, 20), Some(Suppression::Budget));
        assert_eq!(spent.forbids(&limits, &model("b"), kind, 20), None);
        spent.spend(&limits, &model("b"), kind, 20);
        assert_eq!(spent.forbids(&limits, &model("c"), kind, 30), Some(Suppression::Budget), "the fleet's");
        assert_eq!(spent.forbids(&limits, &model("a"), kind, 1_005), None, "one of two is old");
    }

    #[test]
    fn many_models_at_once_are_an_alarm_and_one_after_the_other_are_not() {
        let alarm = FleetAlarm { models: 3, share: 0.5, within: 100 };
        let limits = Limits { alarm, ..Limits::default() };
        let mut spent = Spent::default();
        assert_eq!(spent.want(&limits, &model("a"), 0, 6), None);
        assert_eq!(spent.want(&limits, &model("a"), 1, 6), None, "the same again");
        assert_eq!(spent.want(&limits, &model("b"), 2, 6), None);
        assert_eq!(spent.clone().want(&limits, &model("c"), 3, 7), None, "less than half of them");
        assert_eq!(spent.clone().want(&limits, &model("c"), 103, 6), None, "long after");
        let tenant = ModelName { tenant: Some("north".into()), ..model("a") };
        assert_eq!(spent.want(&limits, &tenant, 3, 6), None, "the same model of somebody else");
        assert_eq!(spent.want(&limits, &model("c"), 3, 6), Some(3));
    }
}
