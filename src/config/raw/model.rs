//! A model: how its records are read, and what is asked of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Bound, Duration, Live, ModelBudget, Pointer, Scalar, Source};
use crate::domain::{Metric, Task};

/// A model to watch.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The model's name, as its records state it.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// The topics that carry its records.
    #[schemars(length(min = 1))]
    pub topics: Vec<String>,
    /// What it predicts.
    #[schemars(with = "TaskName")]
    pub task: Task,
    /// Where a record names the model's owner, where there are several.
    #[serde(default)]
    pub tenant: Option<Source>,
    /// Where a record states the model's version. A constant (`=v1`) leaves no version to go back to.
    pub version: Source,
    /// When the prediction was made: a pointer (RFC 3339 text), or pointer and unit.
    pub time: Time,
    /// Where the request's id is.
    #[serde(default)]
    pub id: Option<Source>,
    /// What the model answered: a pointer, or pointer and positive class.
    #[serde(default)]
    pub prediction: Option<Prediction>,
    /// The model's score; for a binary model the probability of the positive class.
    #[serde(default)]
    pub score: Option<Pointer>,
    /// Binary models without a mapped prediction: the prediction is `score >= threshold`.
    #[serde(default)]
    pub threshold: Option<f64>,
    /// What turned out to be true, where records state it.
    #[serde(default)]
    pub label: Option<Pointer>,
    /// How long the model took.
    #[serde(default)]
    pub latency: Option<Latency>,
    /// The model's inputs.
    #[serde(default)]
    pub features: Vec<Feature>,
    /// Protected attributes for fairness checks.
    #[serde(default)]
    pub groups: Vec<Attribute>,
    /// Combinations of protected attributes that are compared as well, by their names.
    #[serde(default)]
    pub intersections: Vec<Vec<String>>,
    /// Columns whose values split the traffic into parts that can be checked separately.
    #[serde(default)]
    pub segments: Vec<Attribute>,
    /// File with the reference profile, as `plimsoll profile` writes it.
    #[serde(default)]
    pub profile: Option<String>,
    /// File with the tolerances of sequential checks, as `plimsoll calibrate` writes it. Needs a `profile`.
    #[serde(default)]
    pub calibration: Option<String>,
    /// A false-alarm budget for this model alone; default: it shares the one of all models.
    #[serde(default)]
    pub false_alarm_budget: Option<ModelBudget>,
    /// What of this model may be live at once.
    #[serde(default)]
    pub live: Live,
    /// Slice of event time in which is counted; at least 1s, and a whole fraction of a day.
    #[serde(default = "one_minute")]
    pub pane: Duration,
    /// Score a sample of the records by how far they lie apart from the reference. Needs a `profile` made with it.
    #[serde(default)]
    pub anomaly: Option<Anomaly>,
    /// The questions asked of each window.
    #[serde(default)]
    pub checks: Vec<Check>,
}

fn one_minute() -> Duration {
    Duration::from("1m")
}

/// An isolation forest, which `plimsoll profile` trains.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Anomaly {
    /// Trees. The profile is to be made anew when this changes.
    #[schemars(range(min = 1, max = 1000))]
    pub trees: u32,
    /// Reference rows drawn for each tree. The profile is to be made anew when this changes.
    #[schemars(range(min = 2, max = 1024))]
    pub samples: u32,
    /// One in so many records is scored, chosen by a hash of its id, or of its event time and features where no `id` is mapped.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub one_in: u32,
    /// Decides the trees and the sample. The profile is to be made anew when this changes.
    pub seed: u64,
}

impl Default for Anomaly {
    fn default() -> Self {
        Self { trees: 100, samples: 256, one_in: 10, seed: 0 }
    }
}

/// `Task`, for the schema only.
struct TaskName;

impl JsonSchema for TaskName {
    fn schema_name() -> Cow<'static, str> {
        "Task".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = [Task::Binary, Task::Multiclass, Task::Regression].map(Task::name);
        json_schema!({ "description": "What a model predicts.", "type": "string", "enum": names })
    }
}

/// `Metric`, for the schema only.
struct MetricName;

impl JsonSchema for MetricName {
    fn schema_name() -> Cow<'static, str> {
        "Metric".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        json_schema!({ "description": "What a check computes.", "type": "string", "enum": names })
    }
}

/// When the prediction was made.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Time {
    /// Where it is, as RFC 3339 text.
    Rfc3339(Pointer),
    /// Where it is, and how it is written.
    In(TimeIn),
}

/// Where the event time is, and how it is written.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeIn {
    /// Where it is.
    pub from: Pointer,
    /// RFC 3339 text, or a number since 1970 in seconds, milli-, micro- or nanoseconds.
    #[serde(default)]
    pub unit: TimeUnit,
}

/// How an event time is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// RFC 3339 text.
    #[default]
    Rfc3339,
    /// Seconds since 1970.
    S,
    /// Milliseconds since 1970.
    Ms,
    /// Microseconds since 1970.
    Us,
    /// Nanoseconds since 1970.
    Ns,
}

/// What the model answered.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Prediction {
    /// Where it is; `1` and `true` are the positive class.
    At(Pointer),
    /// Where it is, and which class is positive.
    Of(PredictionOf),
}

/// Where the prediction is, and which class is positive.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PredictionOf {
    /// Where it is.
    pub from: Pointer,
    /// The positive class, as predictions and labels state it. Default for binary models: `1` and
    /// `true`; multiclass models need it for fairness checks, precision, recall and F1.
    #[serde(default)]
    pub positive: Option<Scalar>,
}

/// How long the model took.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Where it is.
    pub from: Pointer,
    /// Its unit.
    pub unit: LatencyUnit,
}

/// Unit of a latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LatencyUnit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

/// An input of the model.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Its name in findings and checks.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// Where it is.
    pub from: Pointer,
    /// `numeric` or `categorical`.
    #[serde(rename = "type")]
    pub kind: FeatureType,
}

/// How a column is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureType {
    /// A number, counted in bins.
    Numeric,
    /// One of several values, each counted.
    Categorical,
}

/// A column with few values: a protected attribute, or one that splits the traffic.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// Its name in findings and checks.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// Where it is.
    pub from: Pointer,
    /// Its values; any other counts as `other`. Needed where the model has no reference profile.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub values: Option<Vec<Scalar>>,
}

/// A question asked of each window.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Its name in findings and policies; unique within the model.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// What is computed.
    #[schemars(with = "MetricName")]
    pub metric: Metric,
    /// Drift and quality: the columns, `features` (default: all that the metric is defined for), `prediction`, `score`, or a list of names. Drift: also `anomaly`.
    #[serde(default)]
    pub of: Option<Of>,
    /// Fairness: protected attributes, or intersections as `a*b`; default: all of both.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub groups: Option<Vec<String>>,
    /// How far back each window reaches, in event time; a whole number of panes.
    pub window: Duration,
    /// How far apart windows are; a whole number of panes. Default: one pane.
    #[serde(default)]
    pub slide: Option<Duration>,
    /// The values that are allowed; without it the check is only shown.
    #[serde(default)]
    pub bound: Option<Bound>,
    /// With fewer rows the verdict is `insufficient`.
    #[serde(default = "hundred")]
    pub min_samples: u64,
    /// Fairness: groups with fewer rows are left out of the extremes, and said to be. Default: 30.
    #[serde(default)]
    pub min_group: Option<u64>,
    /// Latency: which quantile, between 0 and 1. Default: 0.99.
    #[serde(default)]
    pub quantile: Option<f64>,
    /// Also ask it of each segment value.
    #[serde(default)]
    pub segments: bool,
    /// Confidence of intervals, between 0.5 and 1.
    #[serde(default = "ninety_nine")]
    pub confidence: f64,
    /// Sequential policies: the check's share of the false-alarm budget, relative to the others; 0.000001 to 1000000.
    #[serde(default = "one")]
    pub weight: f64,
    /// Sequential policies, rates and means: which way is watched. Default: the one that the bound forbids, else the one in which the metric gets worse (`both` for selection rates).
    #[serde(default)]
    pub direction: Option<Direction>,
    /// Sequential policies: how much the watched share may differ from the reference's, 0 to below 1; one number, or one for each column or group value by name. Default: what `calibration` says.
    #[serde(default)]
    pub tolerance: Option<Tolerance>,
}

/// Which way a sequential policy watches a rate or a mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Both ways.
    Both,
    /// Only whether it rises.
    Above,
    /// Only whether it falls.
    Below,
}

impl Direction {
    /// The direction as configurations spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Above => "above",
            Self::Below => "below",
        }
    }
}

/// How much a watched share may differ from the reference's.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Tolerance {
    /// The same for everything that the check is asked of.
    All(f64),
    /// By name of a column or a group value; for what is not named, what `calibration` says.
    Each(BTreeMap<String, f64>),
}

fn one() -> f64 {
    1.0
}

fn hundred() -> u64 {
    100
}

fn ninety_nine() -> f64 {
    0.99
}

/// The columns of a check.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Of {
    /// `features`, `prediction`, `score`, `anomaly`, or one feature's name.
    One(String),
    /// Several names.
    Many(#[schemars(length(min = 1))] Vec<String>),
}
