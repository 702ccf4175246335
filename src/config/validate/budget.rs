//! The false-alarm budget: numbers that a division can be made of, and a span of time in which
//! every detector steps at least once.

use std::time::Duration;

use crate::config::error::Report;
use crate::config::path::KeyPath;
use crate::config::raw;
use crate::config::tree::{Budget, Live};

/// The shortest span of a budget. A shorter one is a slip of the unit: it would mean a false alarm an hour.
const SHORTEST: Duration = Duration::from_secs(60 * 60);
/// The greatest chance of a wrong reference bound. A guarantee that fails one time in a hundred, for
/// each slot, is none for a fleet.
const MOST_REFERENCE_ERROR: f64 = 0.01;

/// The budget of all models together.
pub(super) fn fleet(root: &raw::Root, report: &mut Report) -> Option<Budget> {
    let path = fleet_path();
    let raw = &root.false_alarm_budget;
    let count = count(raw.count, &path, report);
    let per = per(&raw.per, &path, report);
    let reference_error = reference_error(raw.reference_error, &path, report);
    if let Some(per) = per {
        let models = KeyPath::root("models");
        for (index, model) in root.models.iter().enumerate() {
            let own = model.false_alarm_budget.as_ref().is_some_and(|own| own.per.is_some())
                || report.lost(&models.at(index).key("false_alarm_budget"));
            // A pane that cannot be read is reported with the model.
            let pane = humantime::parse_duration(&model.pane.0).ok();
            if let Some(pane) = pane.filter(|pane| !own && *pane > per) {
                let model = report.original(&models.at(index));
                shorter(&raw.per, pane, &format!("of {model}"), &path, report);
            }
        }
    }
    Some(Budget { count: count?, per: per?, reference_error: reference_error? })
}

/// The budget of a model alone, whose missing keys are those of all models. The outer `Option` is none
/// where it is there and wrong.
pub(super) fn own(
    raw: &raw::Model,
    path: &KeyPath,
    root: &raw::Root,
    pane: Option<Duration>,
    report: &mut Report,
) -> Option<Option<Budget>> {
    let path = path.key("false_alarm_budget");
    let Some(raw) = &raw.false_alarm_budget else { return Some(None) };
    let (shared, shared_path) = (&root.false_alarm_budget, fleet_path());
    let (value, at) = raw.count.map_or((shared.count, &shared_path), |own| (own, &path));
    let count = count(value, at, report);
    let (value, at) = raw.per.as_ref().map_or((&shared.per, &shared_path), |own| (own, &path));
    let per = per(value, at, report);
    if let (Some(own), Some(per), Some(pane)) = (&raw.per, per, pane)
        && pane > per
    {
        shorter(own, pane, "of the model", &path, report);
    }
    let (value, at) = raw.reference_error.map_or((shared.reference_error, &shared_path), |own| (own, &path));
    let reference_error = reference_error(value, at, report);
    Some(Some(Budget { count: count?, per: per?, reference_error: reference_error? }))
}

/// What may be live at once; the shape has been held already.
pub(super) fn live(raw: &raw::Live) -> Live {
    Live { versions: raw.versions, tenants: raw.tenants, starts: raw.starts }
}

fn fleet_path() -> KeyPath {
    KeyPath::root("false_alarm_budget")
}

fn count(count: f64, path: &KeyPath, report: &mut Report) -> Option<f64> {
    if count > 0.0 && count.is_finite() {
        return Some(count);
    }
    report.error(&path.key("count"), "must be above 0: no rule that can find anything never errs");
    None
}

fn per(raw: &raw::Duration, path: &KeyPath, report: &mut Report) -> Option<Duration> {
    let path = path.key("per");
    let per = report.duration(&path, raw)?;
    if per < SHORTEST {
        report.error(&path, "must be at least 1h");
        return None;
    }
    Some(per)
}

fn shorter(per: &raw::Duration, pane: Duration, whose: &str, path: &KeyPath, report: &mut Report) {
    let pane = humantime::format_duration(pane);
    report.error(&path.key("per"), format!("`{}` is shorter than the pane {whose}, {pane}", per.0));
}

fn reference_error(error: f64, path: &KeyPath, report: &mut Report) -> Option<f64> {
    if error > 0.0 && error <= MOST_REFERENCE_ERROR {
        return Some(error);
    }
    report.error(
        &path.key("reference_error"),
        format!("{error} is not above 0 and at most {MOST_REFERENCE_ERROR}"),
    );
    None
}
