//! Checks: that each asks something its model can answer.

use std::time::Duration;

use super::sequential;
use crate::config::error::Report;
use crate::config::path::KeyPath;
use crate::config::raw;
use crate::config::suggest::hint;
use crate::config::tree::{Check, Column, FeatureType, Of};
use crate::domain::metric::Family;
use crate::domain::{Bound, Metric, Task};

/// Longest window, in panes: four weeks of minutes are 40 320.
const MAX_PANES: u128 = 50_000;

pub(super) fn checks(
    model: &raw::Model,
    path: &KeyPath,
    pane: Option<Duration>,
    report: &mut Report,
) -> Option<Vec<Check>> {
    let list = path.key("checks");
    report.distinct(&list, model.checks.iter().map(|check| check.name.as_str()));
    let checks: Vec<Option<Check>> = model
        .checks
        .iter()
        .enumerate()
        .map(|(index, raw)| Asked { raw, model, path: list.at(index), model_path: path }.check(pane, report))
        .collect();
    checks.into_iter().collect()
}

/// A check and the model that it is asked of.
struct Asked<'a> {
    raw: &'a raw::Check,
    model: &'a raw::Model,
    path: KeyPath,
    model_path: &'a KeyPath,
}

impl Asked<'_> {
    fn check(&self, pane: Option<Duration>, report: &mut Report) -> Option<Check> {
        let (raw, path) = (self.raw, &self.path);
        report.plain_name(&path.key("name"), &raw.name);
        let serves = raw.metric.serves(self.model.task);
        if !serves {
            let tasks: Vec<&str> = raw.metric.tasks().iter().map(|task| task.name()).collect();
            let (metric, tasks) = (raw.metric, tasks.join(" and "));
            let wrong = format!("`{metric}` is for {tasks} models, not {}", self.model.task.name());
            report.error(&path.key("metric"), wrong);
        }
        // What a metric needs is no question where it does not fit the model at all.
        let of = if serves { self.needs(report).and_then(|()| self.of(report)) } else { None };
        let (window, slide) = self.spans(pane, report);
        let bound = match &raw.bound {
            Some(bound) => report.parse::<Bound>(&path.key("bound"), &bound.0).map(Some),
            None => Some(None),
        };
        if let Some(Some(bound)) = bound {
            sequential::in_range(raw.metric, bound, &path.key("bound"), report);
        }
        let direction = sequential::direction(raw, self.model.task, bound.flatten(), path, report);
        let tolerance = if serves {
            sequential::tolerance(raw, self.model, of.as_ref(), self.model_path, path, report)
        } else {
            None
        };
        self.numbers(report);
        if raw.segments && self.model.segments.is_empty() {
            let list = report.original(&self.model_path.key("segments"));
            if !report.removed.touches(&list) {
                report.error(&path.key("segments"), "the model has no `segments`");
            }
        }
        if raw.min_samples == 0 {
            report.warn(&path.key("min_samples"), "0 lets a check be judged on a single row");
        }
        Some(Check {
            name: raw.name.clone(),
            metric: raw.metric,
            of: of?,
            window: window?,
            slide: slide?,
            bound: bound?,
            min_samples: raw.min_samples,
            min_group: raw.min_group.unwrap_or(30),
            quantile: raw.quantile.unwrap_or(0.99),
            segments: raw.segments,
            confidence: raw.confidence,
            weight: raw.weight,
            direction,
            tolerance: tolerance?,
        })
    }

    /// Reports what the metric needs and the model lacks.
    fn needs(&self, report: &mut Report) -> Option<()> {
        let (metric, model) = (self.raw.metric, self.model);
        let predicted = model.prediction.is_some() || model.threshold.is_some();
        let labelled = matches!(
            metric,
            Metric::TruePositiveRateDifference
                | Metric::FalsePositiveRateDifference
                | Metric::EqualizedOddsDifference
        ) || metric.family() == Family::Performance;
        let scored = matches!(metric, Metric::Brier | Metric::LogLoss | Metric::ExpectedCalibrationError);
        let classed = metric.family() == Family::Fairness
            || matches!(metric, Metric::Precision | Metric::Recall | Metric::F1);
        let profiled =
            metric.family() == Family::Drift || matches!(metric, Metric::UnseenRate | Metric::OutOfRangeRate);
        let outcome = metric.family() == Family::Fairness || (labelled && !scored);
        let positive = matches!(&model.prediction, Some(raw::Prediction::Of(of)) if of.positive.is_some());

        let mut lacking = Vec::new();
        let lost = |key: &str| report.lost(&self.model_path.key(key));
        let mut need = |needed: bool, given: bool, keys: &[&str], what: &'static str| {
            if needed && !given && !keys.iter().any(|key| lost(key)) {
                lacking.push(what);
            }
        };
        need(profiled, model.profile.is_some(), &["profile"], "a `profile`");
        need(outcome, predicted, &["prediction", "threshold"], "a `prediction`");
        need(scored, model.score.is_some(), &["score"], "a `score`");
        need(labelled, model.label.is_some(), &["label"], "a `label`");
        need(metric == Metric::Latency, model.latency.is_some(), &["latency"], "a `latency`");
        need(metric.family() == Family::Anomaly, model.anomaly.is_some(), &["anomaly"], "an `anomaly` score");
        need(
            classed && model.task == Task::Multiclass && predicted,
            positive,
            &["prediction"],
            "a `positive` class in its `prediction`",
        );
        if metric.family() == Family::Fairness && model.groups.is_empty() {
            let list = report.original(&self.model_path.key("groups"));
            if report.removed.touches(&list) {
                return None;
            }
            lacking.push("`groups`");
        }
        if lacking.is_empty() {
            return Some(());
        }
        let wrong = format!("`{metric}` needs {}, which the model does not have", lacking.join(" and "));
        report.error(&self.path.key("metric"), wrong);
        None
    }

    fn of(&self, report: &mut Report) -> Option<Of> {
        let (raw, path) = (self.raw, &self.path);
        let family = raw.metric.family();
        let by_column = matches!(family, Family::Drift | Family::Quality);
        if raw.of.is_some() && !by_column {
            report.error(&path.key("of"), "is for drift and quality checks");
        }
        if family != Family::Fairness {
            for (key, given) in [("groups", raw.groups.is_some()), ("min_group", raw.min_group.is_some())] {
                if given {
                    report.error(&path.key(key), "is for fairness checks");
                }
            }
        }
        match family {
            Family::Drift | Family::Quality => self.columns(report).map(Of::Columns),
            Family::Fairness => self.groups(report).map(Of::Groups),
            Family::Performance | Family::Traffic | Family::Latency | Family::Anomaly => Some(Of::Model),
        }
    }

    fn columns(&self, report: &mut Report) -> Option<Vec<Column>> {
        let path = self.path.key("of");
        if report.lost(&path) {
            return None;
        }
        let list = self.model_path.key("features");
        let damaged = report.removed.touches(&report.original(&list));
        let names = match &self.raw.of {
            None => vec![(path.clone(), "features")],
            Some(raw::Of::One(name)) => vec![(path.clone(), name.as_str())],
            Some(raw::Of::Many(names)) => {
                report.unrepeated(&path, names);
                names.iter().enumerate().map(|(index, name)| (path.at(index), name.as_str())).collect()
            }
        };
        let mut columns = Vec::new();
        let mut whole = true;
        for (path, name) in names {
            if name == "features" {
                let fitting =
                    self.model.features.iter().filter(|feature| fits(self.raw.metric, feature.kind).is_ok());
                let before = columns.len();
                columns.extend(fitting.map(|feature| Column::Feature(feature.name.clone())));
                if columns.len() == before && !damaged {
                    let wrong = format!("the model has no feature that `{}` is defined for", self.raw.metric);
                    report.error(&path, wrong);
                    whole = false;
                }
                continue;
            }
            match self.column(name, damaged, &path, report) {
                Some((column, kind)) => match fits(self.raw.metric, kind) {
                    Ok(()) => columns.push(column),
                    Err(needed) => {
                        let wrong =
                            format!("`{}` is for {needed} columns, and `{name}` is not", self.raw.metric);
                        report.error(&path, wrong);
                        whole = false;
                    }
                },
                None => whole = false,
            }
        }
        columns.sort();
        columns.dedup();
        whole.then_some(columns)
    }

    fn column(
        &self,
        name: &str,
        damaged: bool,
        path: &KeyPath,
        report: &mut Report,
    ) -> Option<(Column, FeatureType)> {
        let lacks = |keys: &[&str], report: &mut Report| {
            if !keys.iter().any(|key| report.lost(&self.model_path.key(key))) {
                report.error(path, format!("the model has no `{}`", keys[0]));
            }
        };
        match name {
            "prediction" if self.model.prediction.is_none() && self.model.threshold.is_none() => {
                lacks(&["prediction", "threshold"], report);
                None
            }
            "prediction" => {
                let number = self.model.task == Task::Regression;
                let kind = if number { FeatureType::Numeric } else { FeatureType::Categorical };
                Some((Column::Prediction, kind))
            }
            "score" if self.model.score.is_none() => {
                lacks(&["score"], report);
                None
            }
            "score" => Some((Column::Score, FeatureType::Numeric)),
            "anomaly" if self.model.anomaly.is_some() => {
                if self.raw.metric.family() != Family::Drift {
                    report.error(path, "`anomaly` is for drift checks: it is never missing or invalid");
                    return None;
                }
                Some((Column::Anomaly, FeatureType::Numeric))
            }
            name => {
                let known = self.model.features.iter().map(|feature| feature.name.as_str());
                let list = report.original(&self.model_path.key("features"));
                let found = self.model.features.iter().find(|feature| feature.name == name);
                if found.is_none() && !(damaged && report.removed.may_hold(&list, name)) {
                    let known = known.chain(["features", "prediction", "score"]);
                    report.error(path, format!("there is no feature `{name}`{}", hint(name, known)));
                }
                found.map(|feature| (Column::Feature(name.to_owned()), feature.kind))
            }
        }
    }

    fn groups(&self, report: &mut Report) -> Option<Vec<Vec<String>>> {
        let declared: Vec<Vec<String>> = { self.model.groups.iter().map(|group| vec![group.name.clone()]) }
            .chain(self.model.intersections.iter().cloned())
            .collect();
        let Some(names) = &self.raw.groups else { return Some(declared) };
        let path = self.path.key("groups");
        report.unrepeated(&path, names);
        let joined: Vec<String> = declared.iter().map(|names| names.join("*")).collect();
        let list = self.model_path.key("groups");
        let mut chosen = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let path = path.at(index);
            let mut parts: Vec<&str> = name.split('*').map(str::trim).collect();
            parts.sort_unstable();
            let same = |names: &Vec<String>| {
                let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
                names.sort_unstable();
                names == parts
            };
            if let Some(found) = declared.iter().find(|names| same(names)) {
                chosen.push(Some(found.clone()));
                continue;
            }
            let lost = report.original(&list);
            let combined = parts.len() > 1 && report.lost(&self.model_path.key("intersections"));
            if !combined && !parts.iter().any(|part| report.removed.may_hold(&lost, part)) {
                let kind = if parts.len() > 1 { "intersection" } else { "group" };
                let near = hint(name, joined.iter().map(String::as_str));
                report.error(&path, format!("there is no {kind} `{name}`{near}"));
            }
            chosen.push(None);
        }
        chosen.into_iter().collect()
    }

    fn spans(&self, pane: Option<Duration>, report: &mut Report) -> (Option<Duration>, Option<Duration>) {
        let mut span = |key: &str, raw: &raw::Duration| {
            let path = self.path.key(key);
            let span = report.positive(&path, raw)?;
            let Some(pane) = pane else { return Some(span) };
            if !span.as_nanos().is_multiple_of(pane.as_nanos()) {
                let pane = humantime::format_duration(pane);
                report.error(&path, format!("`{}` is not a whole number of panes of {pane}", raw.0));
                return None;
            }
            if span.as_nanos() / pane.as_nanos() > MAX_PANES {
                let pane = humantime::format_duration(pane);
                let wrong =
                    format!("`{}` has more than {MAX_PANES} panes of {pane}; make the pane wider", raw.0);
                report.error(&path, wrong);
                return None;
            }
            Some(span)
        };
        let window = span("window", &self.raw.window);
        let slide = match &self.raw.slide {
            Some(slide) => span("slide", slide),
            None => pane,
        };
        if let (Some(window), Some(slide)) = (window, slide)
            && slide > window
        {
            let slide = humantime::format_duration(slide);
            report.error(
                &self.path.key("slide"),
                format!("{slide} is longer than the window: records would be skipped"),
            );
        }
        (window, slide)
    }

    fn numbers(&self, report: &mut Report) {
        let (raw, path) = (self.raw, &self.path);
        if let Some(quantile) = raw.quantile {
            if raw.metric != Metric::Latency {
                report.error(&path.key("quantile"), "is for latency checks");
            } else if !(quantile > 0.0 && quantile < 1.0) {
                report.error(&path.key("quantile"), format!("{quantile} is not between 0 and 1"));
            }
        }
        if !(raw.confidence > 0.5 && raw.confidence < 1.0) {
            report.error(&path.key("confidence"), format!("{} is not between 0.5 and 1", raw.confidence));
        }
        // Far apart, weights would leave shares that no number can hold.
        if !(1e-6..=1e6).contains(&raw.weight) {
            report.error(
                &path.key("weight"),
                "must be from 0.000001 to 1000000; to spend nothing on a check, let no sequential policy follow it",
            );
        }
    }
}

/// Whether `metric` is defined for columns of this kind, and if not, for which it is.
fn fits(metric: Metric, kind: FeatureType) -> Result<(), &'static str> {
    match (metric, kind) {
        (Metric::UnseenRate, FeatureType::Numeric) => Err("categorical"),
        (
            Metric::KolmogorovSmirnov
            | Metric::Wasserstein
            | Metric::WassersteinNormalized
            | Metric::OutOfRangeRate,
            FeatureType::Categorical,
        ) => Err("numeric"),
        _ => Ok(()),
    }
}
