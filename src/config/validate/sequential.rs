//! What sequential policies need of the checks that they follow: a metric with a detector, a bound
//! where that is all there is to compare with, a direction and a tolerance that mean something.

use crate::config::error::Report;
use crate::config::path::KeyPath;
use crate::config::raw::{self, Direction};
use crate::config::suggest::hint;
use crate::config::tree::{Column, Of, Tolerance};
use crate::domain::{Bound, Detector, Metric, Task};

/// Values of a protected attribute that were not declared count together under this name.
const OTHER: &str = "other";

/// The way in which a check is watched.
pub(super) fn direction(
    raw: &raw::Check,
    task: Task,
    bound: Option<Bound>,
    path: &KeyPath,
    report: &mut Report,
) -> Direction {
    let path = path.key("direction");
    let follows = match bound {
        _ if raw.metric == Metric::Latency => Some(Direction::Above),
        Some(Bound::AtMost(_)) => Some(Direction::Above),
        Some(Bound::AtLeast(_)) => Some(Direction::Below),
        Some(Bound::Between(..)) => Some(Direction::Both),
        None => None,
    };
    if !matches!(raw.metric.sequential(task), Some(Detector::Rate | Detector::Mean)) {
        if raw.direction.is_some() {
            report.error(&path, format!("is for rates and means; `{}` is neither", raw.metric));
        }
        return Direction::Both;
    }
    match (raw.direction, follows, bound) {
        (Some(stated), Some(follows), Some(bound)) if stated != follows => {
            let (stated, follows) = (stated.name(), follows.name());
            report.error(
                &path,
                format!("`{stated}` contradicts the bound `{bound}`, which is left {}", ways(follows)),
            );
        }
        (Some(stated), Some(Direction::Above), None) if stated != Direction::Above => {
            report.error(&path, format!("`{}` is watched above its bound only", raw.metric));
        }
        _ => {}
    }
    follows.or(raw.direction).unwrap_or_else(|| harm(raw.metric))
}

/// The way in which a metric gets worse. Watching the other way too costs power, and is done where it
/// is asked for.
fn harm(metric: Metric) -> Direction {
    match metric {
        Metric::Accuracy | Metric::Precision | Metric::Recall => Direction::Below,
        // A group that is approved more often is as much of a change as one that is approved less.
        Metric::SelectionRate => Direction::Both,
        _ => Direction::Above,
    }
}

fn ways(direction: &str) -> String {
    if direction == "both" { "both ways".to_owned() } else { format!("`{direction}`") }
}

/// The tolerance stated by hand, for what the check is asked of. The outer `Option` is none where it is
/// there and wrong.
pub(super) fn tolerance(
    raw: &raw::Check,
    model: &raw::Model,
    of: Option<&Of>,
    model_path: &KeyPath,
    path: &KeyPath,
    report: &mut Report,
) -> Option<Option<Tolerance>> {
    let path = path.key("tolerance");
    let Some(tolerance) = &raw.tolerance else { return Some(None) };
    match raw.metric.sequential(model.task) {
        None => {
            report.error(&path, format!("`{}` has no detector that a tolerance could be for", raw.metric));
            return None;
        }
        Some(Detector::Limit) => {
            let wrong = format!("`{}` is compared with its bound alone; move the bound instead", raw.metric);
            report.error(&path, wrong);
            return None;
        }
        Some(Detector::Histogram | Detector::Rate | Detector::Mean) => {}
    }
    if model.profile.is_none() && !report.lost(&model_path.key("profile")) {
        report.error(&path, "is what may differ from the reference, and the model has no `profile`");
    }
    match tolerance {
        raw::Tolerance::All(tolerance) => {
            share(*tolerance, &path, report).map(|all| Some(Tolerance::All(all)))
        }
        raw::Tolerance::Each(each) => {
            if each.is_empty() && report.lost(&path) {
                return None;
            }
            if each.is_empty() {
                report.error(&path, "names nothing; write a number, or one for each name");
                return None;
            }
            if let Some(of) = of {
                names(each.keys().map(String::as_str), of, model, model_path, &path, report);
            }
            let each: Option<_> = each
                .iter()
                .map(|(name, tolerance)| Some((name.clone(), share(*tolerance, &path.key(name), report)?)))
                .collect();
            Some(Some(Tolerance::Each(each?)))
        }
    }
}

fn share(tolerance: f64, path: &KeyPath, report: &mut Report) -> Option<f64> {
    if (0.0..1.0).contains(&tolerance) {
        return Some(tolerance);
    }
    report.error(path, format!("{tolerance} is not a share, from 0 to below 1"));
    None
}

/// Reports each of `names` that is nothing the check is asked of.
fn names<'a>(
    names: impl Iterator<Item = &'a str>,
    of: &Of,
    model: &raw::Model,
    model_path: &KeyPath,
    path: &KeyPath,
    report: &mut Report,
) {
    let lost = |key: &str| report.removed.touches(&report.original(&model_path.key(key)));
    let damaged = match of {
        Of::Columns(_) => lost("features"),
        Of::Groups(_) => lost("groups") || lost("intersections"),
        Of::Model => false,
    };
    if damaged {
        return;
    }
    let (what, known) = match of {
        Of::Columns(columns) => {
            let name = |column: &Column| match column {
                Column::Feature(name) => name.clone(),
                Column::Prediction => "prediction".to_owned(),
                Column::Score => "score".to_owned(),
                Column::Anomaly => "anomaly".to_owned(),
            };
            ("column", columns.iter().map(name).collect::<Vec<_>>())
        }
        Of::Groups(groups) => {
            let values: Option<Vec<Vec<String>>> = groups.iter().map(|names| values(names, model)).collect();
            // Values that only the profile knows cannot be held against anything here.
            let Some(values) = values else { return };
            ("group value", values.concat())
        }
        Of::Model => {
            return report.error(path, "must be a number: the check is asked of the model as a whole");
        }
    };
    for name in names.filter(|name| !known.iter().any(|known| known == name)) {
        let near = hint(name, known.iter().map(String::as_str));
        report.error(&path.key(name), format!("the check is asked of no {what} `{name}`{near}"));
    }
}

/// The values of a protected attribute, or of an intersection joined by `*`; none where they are left
/// to the profile.
fn values(attributes: &[String], model: &raw::Model) -> Option<Vec<String>> {
    let mut joined: Vec<String> = Vec::new();
    for (position, attribute) in attributes.iter().enumerate() {
        let group = model.groups.iter().find(|group| group.name == *attribute)?;
        let own = group.values.as_ref()?.iter().map(raw::Scalar::text).chain([OTHER.to_owned()]);
        joined = if position == 0 {
            own.collect()
        } else {
            let own: Vec<String> = own.collect();
            joined.iter().flat_map(|left| own.iter().map(move |right| format!("{left}*{right}"))).collect()
        };
    }
    Some(joined)
}

/// Reports what keeps a sequential policy from following `check`, at `path`, and warns where it would
/// follow it in shadow.
pub(super) fn follow(
    check: &raw::Check,
    check_path: &KeyPath,
    model: &raw::Model,
    model_path: &KeyPath,
    path: &KeyPath,
    report: &mut Report,
) -> Option<()> {
    let (name, metric) = (&check.name, check.metric);
    let Some(detector) = metric.sequential(model.task) else {
        let having = Metric::ALL
            .iter()
            .filter(|metric| metric.serves(model.task) && metric.sequential(model.task).is_some());
        let having: Vec<&str> = having.map(|metric| metric.name()).collect();
        report.error(
            path,
            format!(
                "`{name}` is about `{metric}`, for which there is no detector with a stated error rate; \
                 a sequential policy can follow {}, and `decide: window` any metric",
                having.join(", ")
            ),
        );
        return None;
    };
    let bound_path = check_path.key("bound");
    let needed = match (detector, metric) {
        (Detector::Limit, Metric::SelectionRateRatio) => Some("a bound such as `>= 0.8`"),
        (Detector::Limit, _) => Some("a bound such as `<= 0.1`"),
        (_, Metric::Latency) => Some("a bound such as `<= 0.25`"),
        _ => None,
    };
    let bound = check.bound.as_ref().map(|bound| bound.0.parse::<Bound>());
    if let Some(needed) = needed {
        let fits = match &bound {
            Some(Ok(Bound::AtLeast(_))) => metric == Metric::SelectionRateRatio,
            Some(Ok(Bound::AtMost(_))) => metric != Metric::SelectionRateRatio,
            Some(Ok(Bound::Between(..))) => false,
            // Reported where it is written.
            Some(Err(_)) => return None,
            None if report.lost(&bound_path) => return None,
            None => false,
        };
        if !fits {
            let check = report.original(check_path);
            let why = "which is all that its detector compares with";
            report.error(path, format!("`{name}` needs {needed}, {why}; see {check}"));
            return None;
        }
        return Some(());
    }
    let stated = check.tolerance.is_some() || model.calibration.is_some();
    let bounded = bound.is_some() && detector != Detector::Histogram;
    if !stated && !bounded {
        let profile = if model.profile.is_none() { "a `profile` and " } else { "" };
        let model = report.original(model_path);
        let bound = if detector == Detector::Histogram { "" } else { "it a `bound`, or " };
        report.warn(
            path,
            format!(
                "`{name}` will be shown and never act, as nothing says how much it varies by itself; give {bound}{model} {profile}the `calibration` that `plimsoll calibrate` writes"
            ),
        );
    }
    Some(())
}

/// Reports a bound that allows no value that `metric` can have, or every one.
pub(super) fn in_range(metric: Metric, bound: Bound, path: &KeyPath, report: &mut Report) {
    let (least, most) = metric.range();
    let range = if most.is_finite() { format!("{least} to {most}") } else { format!("{least} or more") };
    let (low, high) = match bound {
        Bound::AtMost(high) => (f64::NEG_INFINITY, high),
        Bound::AtLeast(low) => (low, f64::INFINITY),
        Bound::Between(low, high) => (low, high),
    };
    if low > most || high < least {
        report.error(path, format!("`{bound}` allows nothing: `{metric}` is {range}"));
    } else if low < least && high > most || low <= least && high >= most {
        let beyond = low < least && low.is_finite() || high > most && high.is_finite();
        let words = format!("`{bound}` allows everything: `{metric}` is {range}");
        if beyond { report.error(path, words) } else { report.warn(path, words) }
    }
}
