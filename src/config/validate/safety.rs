//! Limits on all actions together: that each allows something, and can be reached.

use super::super::raw;
use crate::config::error::Report;
use crate::config::path::KeyPath;
use crate::config::tree::{Allowance, Breaker, Cooldown, FleetAlarm, Safety};

pub(super) fn safety(raw: &raw::Safety, report: &mut Report) -> Option<Safety> {
    let path = KeyPath::root("safety");
    let cooldown = {
        let path = path.key("cooldown");
        let rollback = report.duration(&path.key("rollback"), &raw.cooldown.rollback);
        let retrain = report.duration(&path.key("retrain"), &raw.cooldown.retrain);
        rollback.zip(retrain).map(|(rollback, retrain)| Cooldown { rollback, retrain })
    };
    let budget = path.key("budget");
    let raw::ActionBudget { per_model, fleet } = &raw.budget;
    let per_model = allowance(per_model.count, &per_model.per, &budget.key("per_model"), report);
    let fleet = allowance(fleet.count, &fleet.per, &budget.key("fleet"), report);
    let fleet_alarm = fleet_alarm(&raw.fleet_alarm, &path.key("fleet_alarm"), report);
    let open_for = report.ahead(&path.key("breaker").key("open_for"), &raw.breaker.open_for);
    Some(Safety {
        cooldown: cooldown?,
        per_model: per_model?,
        fleet: fleet?,
        fleet_alarm: fleet_alarm?,
        breaker: Breaker { failures: raw.breaker.failures, open_for: open_for? },
    })
}

fn allowance(count: u32, per: &raw::Duration, path: &KeyPath, report: &mut Report) -> Option<Allowance> {
    let per = report.positive(&path.key("per"), per)?;
    Some(Allowance { count, per })
}

fn fleet_alarm(raw: &raw::FleetAlarm, path: &KeyPath, report: &mut Report) -> Option<FleetAlarm> {
    let within = report.positive(&path.key("within"), &raw.within);
    let share = share(raw.share, &path.key("share"), report);
    Some(FleetAlarm { models: raw.models, share: share?, within: within? })
}

/// A share that can be reached and is not reached by nothing.
pub(super) fn share(share: f64, path: &KeyPath, report: &mut Report) -> Option<f64> {
    if share > 0.0 && share <= 1.0 {
        return Some(share);
    }
    report.error(path, "must be above 0, and at most 1");
    None
}
