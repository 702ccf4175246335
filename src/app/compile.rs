//! From a validated configuration and its reference profiles to what the engine runs: schemas,
//! mappings, cells, checks with their targets resolved to indexes.

mod error;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::Error;

use super::pipeline::TopicSpec;
use super::{budget, calibrate};
use crate::check::sequential;
use crate::check::{CheckSpec, Target};
use crate::config::{self, Column as ConfigColumn, Config, FeatureType, LatencyUnit, Of};
use crate::domain::{ModelId, Task};
use crate::engine::ModelSpec;
use crate::ingest::decoder::Limits;
use crate::ingest::mapping::{FieldSource, ModelMapping, TopicMapping};
use crate::ingest::time::TimeUnit;
use crate::policy::{KOfN, PolicySpec};
use crate::profile::{Calibration, Options, Profile, bare_layout};
use crate::record::{Column, Kind, RecordSchema, Role};
use crate::sketch::code::Coder;
use crate::sketch::layout::ANOMALY;
use crate::sketch::{AnomalyCoder, ColumnLayout, Layout};
use crate::stats::forest;
use crate::stats::stable_hash::StableHash;
use crate::window::WindowSpec;

/// Categories with a cell of their own, and groups or segment values that a profile takes from the
/// reference where the configuration declares none.
const CATEGORIES: usize = 50;
const GROUPS: usize = 20;
/// Groups of one intersection: every pane of every version holds six counts for each.
const MOST_GROUPS: usize = 1_000;

/// A model's columns, and where they are found, before any profile.
#[derive(Clone, Debug)]
pub struct ModelPlan {
    /// Columns of its records.
    pub schema: Arc<RecordSchema>,
    /// Where they are.
    pub mapping: ModelMapping,
    /// How its reference is frozen.
    pub options: Options,
}

/// What the record reader may accept from a live topic.
pub fn limits(config: &Config) -> Limits {
    Limits {
        max_record_bytes: config.ingest.max_record_bytes,
        max_rows: config.ingest.max_rows_per_record,
        max_future: Some(config.ingest.max_future),
        max_age: Some(config.ingest.max_age),
    }
}

/// The same for files, whose rows may be as old as they like. A time ahead of the clock is a mistake
/// there too, and one such row would make all rows after it late.
pub fn file_limits(config: &Config) -> Limits {
    Limits { max_age: None, ..limits(config) }
}

/// Columns and mapping of `model`.
pub fn plan(model: &config::Model) -> ModelPlan {
    let output = if model.task == Task::Regression { Kind::Numeric } else { Kind::Categorical };
    let mut columns = Vec::new();
    let mut places = Vec::new();
    let mut add = |name: &str, role: Role, kind: Kind, source: FieldSource, scale: f64| {
        columns.push(Column { name: name.into(), role, kind });
        places.push((source, scale));
    };
    if let Some(from) = &model.prediction {
        add("prediction", Role::Prediction, output, from.clone().into(), 1.0);
    }
    if let Some(from) = &model.score {
        add("score", Role::Score, Kind::Numeric, from.clone().into(), 1.0);
    }
    if let Some(from) = &model.label {
        add("label", Role::Label, output, from.clone().into(), 1.0);
    }
    if let Some((from, unit)) = &model.latency {
        let scale = match unit {
            LatencyUnit::S => 1.0,
            LatencyUnit::Ms => 1e-3,
            LatencyUnit::Us => 1e-6,
            LatencyUnit::Ns => 1e-9,
        };
        add("latency", Role::Latency, Kind::Numeric, from.clone().into(), scale);
    }
    for feature in &model.features {
        let kind = match feature.kind {
            FeatureType::Numeric => Kind::Numeric,
            FeatureType::Categorical => Kind::Categorical,
        };
        add(&feature.name, Role::Feature, kind, feature.from.clone().into(), 1.0);
    }
    for (attributes, role) in [(&model.groups, Role::Group), (&model.segments, Role::Segment)] {
        for attribute in attributes {
            add(&attribute.name, role, Kind::Categorical, attribute.from.clone().into(), 1.0);
        }
    }
    let schema = Arc::new(RecordSchema::new(ModelId::from(model.name.as_str()), model.task, columns));
    let unit = match model.time_unit {
        config::TimeUnit::Rfc3339 => TimeUnit::Rfc3339,
        config::TimeUnit::S => TimeUnit::Seconds,
        config::TimeUnit::Ms => TimeUnit::Millis,
        config::TimeUnit::Us => TimeUnit::Micros,
        config::TimeUnit::Ns => TimeUnit::Nanos,
    };
    let mapping = ModelMapping {
        schema: Arc::clone(&schema),
        tenant: model.tenant.clone(),
        version: model.version.clone(),
        time: (model.time.clone().into(), unit),
        id: model.id.clone(),
        columns: places,
    };
    let declared = |attributes: &[config::Attribute]| {
        attributes.iter().map(|each| (each.name.clone(), each.values.clone())).collect()
    };
    // Labels are often 0/1 or true/false where predictions have names; then both spellings count.
    // A positive outcome that is itself a number or a truth value says all there is to say.
    let mut positive: Vec<String> = model.positive.iter().cloned().collect();
    let named = |text: &String| text.parse::<f64>().is_err() && text.parse::<bool>().is_err();
    if model.task == Task::Binary && positive.iter().all(named) {
        positive.extend(["1", "true"].map(String::from));
    }
    positive.dedup();
    let options = Options {
        categories: CATEGORIES,
        groups: GROUPS,
        attributes: declared(&model.groups),
        intersections: model.intersections.clone(),
        segments: declared(&model.segments),
        positive,
        threshold: model.threshold,
        anomaly: model.anomaly.map(|anomaly| forest::Options {
            trees: anomaly.trees as usize,
            samples: anomaly.samples as usize,
            seed: anomaly.seed,
        }),
    };
    ModelPlan { schema, mapping, options }
}

/// Reads the reference profile at `path`.
///
/// # Errors
/// When it cannot be read, or is no profile.
pub fn read_profile(model: &str, path: &Path) -> Result<Profile, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read {
        model: model.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    Profile::from_json(&bytes).map_err(|source| Error::Profile {
        model: model.to_owned(),
        path: path.to_owned(),
        source,
    })
}

/// Reads the calibration at `path`; none where it is not there yet.
///
/// # Errors
/// When it is there and cannot be read.
pub fn read_calibration(model: &str, path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::CalibrationRead { model: model.to_owned(), path: path.to_owned(), source }),
    }
}

/// Every topic with its models, ready to run. `profiles` gives references that are not in files.
///
/// # Errors
/// All of them, one per model that cannot run.
pub fn topics(config: &Config, profiles: &BTreeMap<String, Profile>) -> Result<Vec<TopicSpec>, Vec<Error>> {
    topics_with(config, profiles, None)
}

/// The same, where calibrations too are not in files, if they are given: a model that is not among them
/// has none yet.
///
/// # Errors
/// All of them, one per model that cannot run.
pub fn topics_with(
    config: &Config,
    profiles: &BTreeMap<String, Profile>,
    calibrations: Option<&BTreeMap<String, Vec<u8>>>,
) -> Result<Vec<TopicSpec>, Vec<Error>> {
    let mut errors = Vec::new();
    let mut compiled: Vec<(&config::Model, ModelSpec, ModelMapping)> = Vec::new();
    for model in &config.models {
        match compile(config, model, profiles.get(&model.name), calibrations) {
            Ok((spec, mapping)) => compiled.push((model, spec, mapping)),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    budget::divide(config, compiled.iter_mut().map(|(model, spec, _)| (*model, spec)));
    let models: BTreeMap<&str, (Arc<ModelSpec>, ModelMapping)> = compiled
        .into_iter()
        .map(|(model, spec, mapping)| (model.name.as_str(), (Arc::new(spec), mapping)))
        .collect();
    let topic = |topic: &config::Topic| {
        let carried: Vec<&(Arc<ModelSpec>, ModelMapping)> = config
            .models
            .iter()
            .filter(|model| model.topics.contains(&topic.name))
            .filter_map(|model| models.get(model.name.as_str()))
            .collect();
        TopicSpec {
            name: topic.name.as_str().into(),
            mapping: TopicMapping {
                model: topic.model.clone(),
                models: carried.iter().map(|(_, mapping)| mapping.clone()).collect(),
            },
            models: carried.iter().map(|(spec, _)| Arc::clone(spec)).collect(),
            allowed_lateness: topic.allowed_lateness,
            idle_after: topic.idle_after,
        }
    };
    Ok(config.topics.iter().map(topic).collect())
}

fn compile(
    config: &Config,
    model: &config::Model,
    given: Option<&Profile>,
    calibrations: Option<&BTreeMap<String, Vec<u8>>>,
) -> Result<(ModelSpec, ModelMapping), Error> {
    let ModelPlan { schema, mapping, options } = plan(model);
    let profile = match (given, &model.profile) {
        (Some(profile), _) => Some((profile.clone(), PathBuf::from("the given profile"))),
        (None, Some(path)) => Some((read_profile(&model.name, path)?, path.clone())),
        (None, None) => None,
    };
    if let Some((profile, path)) = &profile
        && let Some(what) = difference(profile, model, &schema, &options)
    {
        return Err(Error::Mismatch { model: model.name.clone(), path: path.clone(), what });
    }
    let profile = profile.map(|(profile, _)| Arc::new(profile));
    let layout = match &profile {
        Some(profile) => Arc::new(profile.layout.clone()),
        None => Arc::new(bare_layout(&schema, &options)),
    };
    if let Some(group) = layout.groups.iter().find(|group| group.values.len() > MOST_GROUPS) {
        return Err(Error::TooManyGroups {
            model: model.name.clone(),
            name: group.name.clone(),
            groups: group.values.len(),
        });
    }
    let mut checks = model
        .checks
        .iter()
        .map(|check| compile_check(config, model, check, &layout))
        .collect::<Result<Vec<CheckSpec>, Error>>()?;
    if let (Some(path), Some(profile)) = (&model.calibration, &profile) {
        let bytes = match calibrations {
            Some(given) => given.get(&model.name).cloned(),
            None => read_calibration(&model.name, path)?,
        };
        calibrate(model, (path, bytes), &mut checks, &layout, profile)?;
    }
    let policies =
        config.policies.iter().filter(|policy| policy.model == model.name).map(policy_spec).collect();
    let mut coder = Coder::new(&schema, Arc::clone(&layout));
    let scored = profile.as_ref().and_then(|profile| profile.anomaly.clone()).zip(model.anomaly);
    if let Some((anomaly, wanted)) = scored {
        // The profile has every feature of the model, but may have more.
        let scorer = AnomalyCoder::new(&schema, &layout, Arc::new(anomaly), wanted.one_in);
        coder = coder.with_anomaly(scorer.ok_or_else(|| Error::Mismatch {
            model: model.name.clone(),
            path: model.profile.clone().unwrap_or_default(),
            what: "its isolation forest has other features".to_owned(),
        })?);
    }
    let slots = sequential::slots(&checks, &layout, profile.as_deref(), true);
    let spec = ModelSpec {
        id: schema.model.clone(),
        task: model.task,
        coder,
        schema,
        profile,
        layout_id: StableHash::new(layout.id()).word(model.pane.as_millis() as u64).finish(),
        layout,
        pane: model.pane,
        checks,
        policies,
        slots,
        live: budget::live(model),
    };
    Ok((spec, mapping))
}

/// Gives the checks their calibrated tolerances. A file that is not there yet leaves them in shadow,
/// and says so, because `plimsoll calibrate` starts from the configuration that will name it.
fn calibrate(
    model: &config::Model,
    (path, bytes): (&Path, Option<Vec<u8>>),
    checks: &mut [CheckSpec],
    layout: &Layout,
    profile: &Profile,
) -> Result<(), Error> {
    let (name, id) = (|| model.name.clone(), ModelId::from(model.name.as_str()));
    let Some(bytes) = bytes else {
        let why = format!(
            "there is no {path}; make it with `plimsoll calibrate --model {id}`",
            path = path.display()
        );
        for check in checks {
            check.sequential.tolerances.misfits.insert(String::new(), why.clone());
        }
        return Ok(());
    };
    let calibration = Calibration::read(&bytes).map_err(|source| Error::Calibration {
        model: name(),
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    calibrate::apply(&calibration, &id, model.pane, checks, layout, profile);
    Ok(())
}

/// In what a profile differs from the model it is configured for.
fn difference(
    profile: &Profile,
    model: &config::Model,
    schema: &RecordSchema,
    options: &Options,
) -> Option<String> {
    let layout = &profile.layout;
    if profile.model != schema.model {
        return Some(format!("it describes the model `{}`", profile.model));
    }
    if profile.task != model.task {
        return Some(format!("it describes a {} model", profile.task.name()));
    }
    for (column, output) in schema.columns().iter().filter_map(|column| match column.role {
        Role::Feature => Some((column, false)),
        Role::Prediction | Role::Score => Some((column, true)),
        _ => None,
    }) {
        let known = layout.column(&column.name, output).map(|(_, known)| &known.layout);
        let same = match known {
            None => return Some(format!("it has no column `{}`", column.name)),
            Some(ColumnLayout::Numeric(_)) => column.kind == Kind::Numeric,
            Some(ColumnLayout::Categorical(_)) => column.kind == Kind::Categorical,
        };
        if !same {
            return Some(format!("its column `{}` is of the other type", column.name));
        }
    }
    if layout.positive != options.positive || layout.threshold != options.threshold {
        return Some("another outcome was positive".to_owned());
    }
    let mut wanted = Layout { attributes: options.attributes.clone(), ..Layout::default() };
    wanted.build_groups(&options.intersections);
    let names = |layout: &Layout| layout.groups.iter().map(|group| group.name.clone()).collect::<Vec<_>>();
    if names(layout) != names(&wanted) {
        return Some("its groups and intersections are others".to_owned());
    }
    let declared = |wanted: &[(String, Vec<String>)], known: &[(String, Vec<String>)]| {
        wanted.iter().find_map(|(name, values)| {
            let known = known.iter().find(|(other, _)| other == name).map(|(_, values)| values);
            (known.is_none() || (!values.is_empty() && known != Some(values)))
                .then(|| format!("`{name}` has other values"))
        })
    };
    if let Some(wanted) = options.anomaly {
        match &profile.anomaly {
            None => return Some("it has no isolation forest".to_owned()),
            Some(anomaly) if anomaly.options != wanted => {
                return Some("its isolation forest has other `trees`, `samples` or `seed`".to_owned());
            }
            Some(_) => {}
        }
    }
    declared(&options.attributes, &layout.attributes)
        .or_else(|| declared(&options.segments, &layout.segments))
}

fn compile_check(
    config: &Config,
    model: &config::Model,
    check: &config::Check,
    layout: &Layout,
) -> Result<CheckSpec, Error> {
    let window = WindowSpec::new(check.window, check.slide, model.pane).map_err(|source| Error::Window {
        model: model.name.clone(),
        check: check.name.clone(),
        source,
    })?;
    let target = match &check.of {
        Of::Columns(columns) => Target::Columns(
            columns
                .iter()
                .filter_map(|column| {
                    let (name, output) = match column {
                        ConfigColumn::Feature(name) => (name.as_str(), false),
                        ConfigColumn::Prediction => ("prediction", true),
                        ConfigColumn::Score => ("score", true),
                        ConfigColumn::Anomaly => (ANOMALY, true),
                    };
                    layout.column(name, output).map(|(index, _)| index)
                })
                .collect(),
        ),
        Of::Groups(groups) => Target::Groups(
            groups
                .iter()
                .filter_map(|names| layout.groups.iter().position(|group| group.attributes == *names))
                .collect(),
        ),
        Of::Model => Target::Model,
    };
    Ok(CheckSpec {
        name: check.name.clone(),
        metric: check.metric,
        target,
        window,
        bound: check.bound,
        min_samples: check.min_samples,
        min_group: check.min_group,
        quantile: check.quantile,
        confidence: check.confidence,
        segments: check.segments,
        sequential: budget::settings(config, model, check),
    })
}

fn policy_spec(policy: &config::Policy) -> PolicySpec {
    PolicySpec {
        name: policy.name.clone(),
        checks: policy.checks.clone(),
        decide: policy.decide,
        violate: KOfN { k: policy.violate_windows as usize, n: policy.violate_of as usize },
        clear_windows: policy.clear_windows as usize,
        clear_bounds: policy.clear_bounds.clone(),
        qualify_windows: policy.qualify_windows as usize,
        qualify_for: policy.qualify_span,
        qualify_samples: policy.qualify_samples,
        actions: policy.actions.clone(),
    }
}
