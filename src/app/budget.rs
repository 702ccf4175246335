//! The false-alarm budget: which checks have detectors, what each may spend, and how a reader sees
//! the division.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::check::sequential::{Direction, FalseAlarmBudget, Live, Settings, Slot, Tolerances};
use crate::config::{self, Check, Config, Model, Tolerance};
use crate::engine::ModelSpec;
use crate::policy::Decide;

/// The sequential side of a check, before any calibration is looked at.
pub(super) fn settings(config: &Config, model: &Model, check: &Check) -> Settings {
    let follows = |policy: &config::Policy| {
        policy.decide == Decide::Sequential
            && policy.model == model.name
            && policy.checks.contains(&check.name)
    };
    let (everywhere, stated) = match &check.tolerance {
        Some(Tolerance::All(tolerance)) => (Some(*tolerance), BTreeMap::new()),
        Some(Tolerance::Each(each)) => (None, each.clone()),
        None => (None, BTreeMap::new()),
    };
    Settings {
        followed: config.policies.iter().any(follows),
        weight: check.weight,
        direction: match check.direction {
            config::Direction::Both => Direction::Both,
            config::Direction::Above => Direction::Above,
            config::Direction::Below => Direction::Below,
        },
        reference_error: own(config, model).reference_error,
        tolerances: Tolerances { everywhere, stated, ..Tolerances::default() },
        live: live(model),
    }
}

/// What of a model the budget pays for.
pub(super) fn live(model: &Model) -> Live {
    let config::Live { versions, tenants, starts } = model.live;
    Live { versions, tenants, starts }
}

fn own<'a>(config: &'a Config, model: &'a Model) -> &'a config::Budget {
    model.false_alarm_budget.as_ref().unwrap_or(&config.false_alarm_budget)
}

fn spent(budget: &config::Budget) -> FalseAlarmBudget {
    FalseAlarmBudget { count: budget.count, per: budget.per }
}

/// Gives every slot its share: the fleet's budget over all models but those with one of their own.
pub(super) fn divide<'a>(config: &Config, models: impl IntoIterator<Item = (&'a Model, &'a mut ModelSpec)>) {
    let mut fleet: Vec<(&mut Slot, Duration)> = Vec::new();
    for (model, spec) in models {
        let pane = spec.pane;
        let slots = spec.slots.iter_mut().map(|slot| (slot, pane));
        match &model.false_alarm_budget {
            Some(budget) => Slot::divide(spent(budget), slots),
            None => fleet.extend(slots),
        }
    }
    Slot::divide(spent(&config.false_alarm_budget), fleet);
}

/// The division as `plimsoll validate` prints it; empty where no policy decides sequentially.
pub fn division(config: &Config, models: &[std::sync::Arc<ModelSpec>]) -> String {
    let mut text = String::new();
    let slots = || models.iter().flat_map(|model| model.slots.iter().map(move |slot| (model, slot)));
    if slots().next().is_none() {
        return text;
    }
    let budget = &config.false_alarm_budget;
    let _ = writeln!(
        text,
        "false-alarm budget: on average at most {} in {} over all slots of policies that decide sequentially",
        budget.count,
        humantime::format_duration(budget.per)
    );
    for model in config.models.iter().filter(|model| model.false_alarm_budget.is_some()) {
        let own = own(config, model);
        let per = humantime::format_duration(own.per);
        let _ = writeln!(text, "  model {} apart: {} in {per}", model.name, own.count);
    }
    let _ = writeln!(
        text,
        "{:<40} {:>6} {:>11} {:>9} {:>9}  acts",
        "slot", "copies", "share each", "ln alarm", "tolerance"
    );
    for (model, slot) in slots() {
        let name = format!("{}/{} {}", model.id, slot.name, slot.key);
        let tolerance = slot.tolerance().map_or_else(|| "-".to_owned(), |it| format!("{it:.4}"));
        let acts =
            slot.shadow.as_ref().map_or_else(|| "yes".to_owned(), |why| format!("no, in shadow: {why}"));
        let _ = writeln!(
            text,
            "{name:<40} {:>6} {:>11.6} {:>9.2} {tolerance:>9}  {acts}",
            slot.copies, slot.budget.share, slot.budget.log_threshold
        );
    }
    let wrong: f64 = slots().map(|(_, slot)| slot.reference_error).sum();
    let _ = writeln!(
        text,
        "the references hold all their bounds with probability at least {:.4}; a version beyond `live`, an \
         undeclared group or segment runs in shadow",
        (1.0 - wrong).max(0.0)
    );
    let windows: Vec<&str> = config
        .policies
        .iter()
        .filter(|policy| policy.decide == Decide::Window)
        .map(|policy| policy.name.as_str())
        .collect();
    if !windows.is_empty() {
        let _ = writeln!(
            text,
            "outside the budget (`decide: window` has no stated error rate): {}",
            windows.join(", ")
        );
    }
    text
}
