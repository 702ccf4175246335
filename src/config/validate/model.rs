//! Models: where their fields are, and that the fields fit together.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Surroundings, budget, check};
use crate::config::error::Report;
use crate::config::path::KeyPath;
use crate::config::raw;
use crate::config::tree::{Anomaly, Attribute, Feature, Model};
use crate::config::{Pointer, Source};
use crate::domain::Task;
use crate::sketch::layout::ANOMALY;
use crate::stats::forest;

/// Most combinations of group values that one intersection may have: each is counted in every pane.
const MAX_COMBINATIONS: usize = 1000;
/// Most values of a protected attribute or a segment column: each is counted, or checked, by itself.
const MAX_VALUES: usize = 1000;
/// Panes divide this, so that they begin at the same times each day and hour-long windows line up
/// between models.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What `of: [...]` takes for the outputs of the model.
const OUTPUTS: [&str; 3] = ["features", "prediction", "score"];

pub(super) fn models(root: &raw::Root, around: &Surroundings<'_>, report: &mut Report) -> Option<Vec<Model>> {
    let list = KeyPath::root("models");
    report.distinct(&list, root.models.iter().map(|model| model.name.as_str()));
    let models: Vec<Option<Model>> = root
        .models
        .iter()
        .enumerate()
        .map(|(index, raw)| model(raw, &list.at(index), root, around, report))
        .collect();
    models.into_iter().collect()
}

/// Reports a source that gives a value per row where the record has to have one.
pub(super) fn whole_record(source: &Source, path: &KeyPath, report: &mut Report) {
    if matches!(source, Source::Pointer(pointer) if pointer.is_per_row()) {
        report.error(path, format!("`{source}`: the rows of one record share this, so it takes no `*`"));
    }
}

/// Pointers of one model as they are read, to find one inside another's value.
#[derive(Default)]
struct Pointers(Vec<(KeyPath, Pointer)>);

impl Pointers {
    fn read(&mut self, path: KeyPath, raw: &raw::Pointer, report: &mut Report) -> Option<Pointer> {
        let pointer: Pointer = report.parse(&path, &raw.0)?;
        self.0.push((path, pointer.clone()));
        Some(pointer)
    }

    /// The outer `Option` is none where a source is there and wrong.
    fn source(
        &mut self,
        path: KeyPath,
        raw: Option<&raw::Source>,
        report: &mut Report,
    ) -> Option<Option<Source>> {
        let Some(raw) = raw else { return Some(None) };
        let source: Source = report.parse(&path, &raw.0)?;
        if let Source::Pointer(pointer) = &source {
            self.0.push((path, pointer.clone()));
        }
        Some(Some(source))
    }
    fn optional(
        &mut self,
        path: KeyPath,
        raw: Option<&raw::Pointer>,
        report: &mut Report,
    ) -> Option<Option<Pointer>> {
        match raw {
            Some(raw) => self.read(path, raw, report).map(Some),
            None => Some(None),
        }
    }

    /// A place read as one value has nothing below it.
    fn report_nested(&self, report: &mut Report) {
        for (path, pointer) in &self.0 {
            let outer = self.0.iter().find(|(_, outer)| {
                outer.segments().len() < pointer.segments().len()
                    && pointer.segments().starts_with(outer.segments())
            });
            if let Some((outer_path, outer)) = outer {
                let outer_path = report.original(outer_path);
                report.error(
                    path,
                    format!("`{pointer}` lies inside `{outer}`, which {outer_path} reads as one value"),
                );
            }
        }
    }
}

fn model(
    raw: &raw::Model,
    path: &KeyPath,
    root: &raw::Root,
    around: &Surroundings<'_>,
    report: &mut Report,
) -> Option<Model> {
    report.column_name(&path.key("name"), &raw.name);
    report.unrepeated(&path.key("topics"), &raw.topics);
    for (index, topic) in raw.topics.iter().enumerate() {
        let names = root.topics.iter().map(|topic| topic.name.as_str());
        report.find(&path.key("topics").at(index), "topic", topic, &KeyPath::root("topics"), names);
    }

    let mut at = Pointers::default();
    let tenant = at.source(path.key("tenant"), raw.tenant.as_ref(), report);
    let version = at.source(path.key("version"), Some(&raw.version), report);
    for (key, source) in [("tenant", &tenant), ("version", &version)] {
        if let Some(Some(source)) = source {
            whole_record(source, &path.key(key), report);
        }
    }
    let id = at.source(path.key("id"), raw.id.as_ref(), report);
    if let Some(Some(Source::Literal(_))) = id {
        report.error(&path.key("id"), "a constant tells no request from another");
    }
    let (time, time_unit) = match &raw.time {
        raw::Time::Rfc3339(from) => (at.read(path.key("time"), from, report), raw::TimeUnit::Rfc3339),
        raw::Time::In(time) => (at.read(path.key("time").key("from"), &time.from, report), time.unit),
    };
    let (prediction, positive) = match &raw.prediction {
        None => (Some(None), None),
        Some(raw::Prediction::At(from)) => (at.read(path.key("prediction"), from, report).map(Some), None),
        Some(raw::Prediction::Of(of)) => {
            let path = path.key("prediction");
            if of.positive.is_some() && raw.task == Task::Regression {
                report.error(&path.key("positive"), "a regression model has no positive class");
            }
            (at.read(path.key("from"), &of.from, report).map(Some), of.positive.as_ref())
        }
    };
    let score = at.optional(path.key("score"), raw.score.as_ref(), report);
    threshold(raw, path, report);
    let label = at.optional(path.key("label"), raw.label.as_ref(), report);
    let latency = match &raw.latency {
        Some(raw) => {
            at.read(path.key("latency").key("from"), &raw.from, report).map(|at| Some((at, raw.unit)))
        }
        None => Some(None),
    };
    let features = features(raw, path, &mut at, report);
    let profile = raw.profile.is_some() || report.lost(&path.key("profile"));
    let groups = attributes(&raw.groups, &path.key("groups"), profile, &mut at, report);
    let segments = attributes(&raw.segments, &path.key("segments"), profile, &mut at, report);
    at.report_nested(report);
    intersections(raw, path, report);
    let pane = pane(&raw.pane, &path.key("pane"), report);
    let anomaly = anomaly(raw, path, report);
    let checks = check::checks(raw, path, pane, report);
    let false_alarm_budget = budget::own(raw, path, root, pane, report);
    if raw.calibration.is_some() && raw.profile.is_none() && !report.lost(&path.key("profile")) {
        let wrong = "needs a `profile`: a calibration says how much traffic may differ from its reference";
        report.error(&path.key("calibration"), wrong);
    }

    Some(Model {
        name: raw.name.clone(),
        topics: raw.topics.clone(),
        task: raw.task,
        tenant: tenant?,
        version: version??,
        time: time?,
        time_unit,
        id: id?,
        prediction: prediction?,
        positive: positive.map(raw::Scalar::text),
        score: score?,
        threshold: raw.threshold,
        label: label?,
        latency: latency?,
        features: features?,
        groups: groups?,
        intersections: raw.intersections.clone(),
        segments: segments?,
        profile: raw.profile.as_ref().map(|file| around.folder.join(file)),
        calibration: raw.calibration.as_ref().map(|file| around.folder.join(file)),
        false_alarm_budget: false_alarm_budget?,
        live: budget::live(&raw.live),
        pane: pane?,
        anomaly: anomaly?,
        checks: checks?,
    })
}

/// The outer `Option` is none where it is there and wrong.
fn anomaly(raw: &raw::Model, path: &KeyPath, report: &mut Report) -> Option<Option<Anomaly>> {
    let Some(anomaly) = &raw.anomaly else { return Some(None) };
    let lost = |key: &str| report.lost(&path.key(key));
    let (profile, features) = (lost("profile"), lost("features"));
    let path = path.key("anomaly");
    if raw.profile.is_none() && !profile {
        report.error(&path, "needs a `profile`: a record is compared with the reference");
    }
    if raw.features.is_empty() && !features {
        report.error(&path, "needs `features` to compare");
    }
    let mut within = |key: &str, value: u32, least: usize, most: usize| {
        let fits = (least..=most).contains(&(value as usize));
        if !fits {
            report.error(&path.key(key), format!("must be between {least} and {most}"));
        }
        fits
    };
    let fits = [
        within("trees", anomaly.trees, 1, forest::MOST_TREES),
        within("samples", anomaly.samples, 2, forest::MOST_SAMPLES),
        within("one_in", anomaly.one_in, 1, 1_000_000),
    ];
    let raw::Anomaly { trees, samples, one_in, seed } = *anomaly;
    fits.iter().all(|fits| *fits).then_some(Some(Anomaly { trees, samples, one_in, seed }))
}

fn threshold(raw: &raw::Model, model_path: &KeyPath, report: &mut Report) {
    let Some(threshold) = raw.threshold else { return };
    let path = &model_path.key("threshold");
    if raw.score.is_none() && !report.lost(&model_path.key("score")) {
        report.error(path, "needs a `score` to compare with");
    }
    if raw.prediction.is_some() {
        report.error(path, "is for models without a `prediction`; this one has one");
    }
    if raw.task != Task::Binary {
        report.error(path, format!("is for binary models, not {}", raw.task.name()));
    } else if !(0.0..=1.0).contains(&threshold) {
        report.error(path, "must be between 0 and 1, as the score of a binary model is a probability");
    }
}

fn features(
    raw: &raw::Model,
    path: &KeyPath,
    at: &mut Pointers,
    report: &mut Report,
) -> Option<Vec<Feature>> {
    let list = path.key("features");
    report.distinct(&list, raw.features.iter().map(|feature| feature.name.as_str()));
    let mut features = Vec::new();
    for (index, feature) in raw.features.iter().enumerate() {
        let path = list.at(index);
        report.column_name(&path.key("name"), &feature.name);
        let score = raw.anomaly.is_some() && feature.name == ANOMALY;
        if OUTPUTS.contains(&feature.name.as_str()) || score {
            let wrong = format!("`{}` means something else in `of`; choose another name", feature.name);
            report.error(&path.key("name"), wrong);
        }
        let from = at.read(path.key("from"), &feature.from, report);
        features.push(from.map(|from| Feature { name: feature.name.clone(), from, kind: feature.kind }));
    }
    features.into_iter().collect()
}

fn attributes(
    raw: &[raw::Attribute],
    list: &KeyPath,
    profile: bool,
    at: &mut Pointers,
    report: &mut Report,
) -> Option<Vec<Attribute>> {
    report.distinct(list, raw.iter().map(|attribute| attribute.name.as_str()));
    let mut attributes = Vec::new();
    for (index, attribute) in raw.iter().enumerate() {
        let path = list.at(index);
        report.column_name(&path.key("name"), &attribute.name);
        let values: Vec<String> = attribute.values.iter().flatten().map(raw::Scalar::text).collect();
        report.unrepeated(&path.key("values"), &values);
        if attribute.values.is_none() && !profile && !report.lost(&path.key("values")) {
            report.error(&path, "needs `values`, or the model a `profile` that knows them");
        }
        if values.len() > MAX_VALUES {
            report.error(&path.key("values"), format!("must have at most {MAX_VALUES} entries"));
        }
        let from = at.read(path.key("from"), &attribute.from, report);
        attributes.push(from.map(|from| Attribute { name: attribute.name.clone(), from, values }));
    }
    attributes.into_iter().collect()
}

fn intersections(raw: &raw::Model, path: &KeyPath, report: &mut Report) {
    let groups = path.key("groups");
    let mut seen = BTreeSet::new();
    for (index, names) in raw.intersections.iter().enumerate() {
        let path = path.key("intersections").at(index);
        if names.len() < 2 {
            report.error(&path, "must have at least 2 entries");
        }
        report.unrepeated(&path, names);
        if !seen.insert(names.iter().collect::<BTreeSet<_>>()) {
            report.error(&path, "combines the same attributes as an earlier entry");
        }
        // Values that were not declared count together, so each attribute has one more.
        let mut combinations = Some(1_usize);
        for (position, name) in names.iter().enumerate() {
            let known = raw.groups.iter().map(|group| group.name.as_str());
            let found = report.find(&path.at(position), "group", name, &groups, known);
            let values =
                found.and_then(|found| raw.groups[found].values.as_ref()).map(|values| values.len() + 1);
            combinations = combinations.zip(values).map(|(product, values)| product.saturating_mul(values));
        }
        if let Some(combinations) = combinations.filter(|combinations| *combinations > MAX_COMBINATIONS) {
            report.error(
                &path,
                format!("has {combinations} combinations, and {MAX_COMBINATIONS} are the most"),
            );
        }
    }
}

fn pane(raw: &raw::Duration, path: &KeyPath, report: &mut Report) -> Option<Duration> {
    if report.lost(path) {
        return None;
    }
    let pane = report.duration(path, raw)?;
    if pane < Duration::from_secs(1) || !DAY.as_nanos().is_multiple_of(pane.as_nanos()) {
        report.error(
            path,
            format!("`{}` is not 1s or more and a whole fraction of a day, such as 10s, 1m or 1h", raw.0),
        );
        return None;
    }
    Some(pane)
}
