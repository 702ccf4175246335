//! The validated configuration: typed values, defaults filled in, references that hold, paths that
//! stand by themselves, secrets read. Plain data; the app turns it into what engine and adapters take.

mod action;
mod http;
mod kafka;
mod safety;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

pub use self::action::{
    Action, Airflow, Alertmanager, ArgoRollouts, ArgoWorkflows, Auth, Credential, Github, Gitlab, Jenkins,
    KafkaCommand, Kserve, Mlflow, Pagerduty, Place, Slack, Target, Webhook,
};
pub use self::http::{Http, Tls, Token};
pub use self::kafka::{Exchange, Kafka, Property, Security};
pub use self::safety::{Allowance, Breaker, Cooldown, FleetAlarm, Safety};
use super::error::Problem;
pub use super::raw::{
    ActionKind, Anonymous, Direction, FeatureType, LatencyUnit, LogFormat, Mechanism, Mode, OffsetReset,
    Protocol, Role, Severity, TargetKind, TimeUnit,
};
use super::{Pointer, Source};
use crate::audit::Signing;
use crate::audit::tlog::VerifierKey;
use crate::domain::{Bound, Metric, Task};
pub use crate::policy::Decide;

/// Everything that a configuration says. `Debug` shows stars for secrets.
#[derive(Clone, Debug)]
pub struct Config {
    /// What this process does; at least one.
    pub roles: BTreeSet<Role>,
    /// The Kafka cluster; present where `kafka.brokers` is set. See [`Config::require_kafka`].
    pub kafka: Option<Kafka>,
    /// Limits on records.
    pub ingest: Ingest,
    /// How many false alarms the sequential policies of all models without a budget of their own may
    /// raise together.
    pub false_alarm_budget: Budget,
    /// Input topics, at least one, names distinct.
    pub topics: Vec<Topic>,
    /// Models, at least one, names distinct.
    pub models: Vec<Model>,
    /// Policies, names distinct.
    pub policies: Vec<Policy>,
    /// Actions, names distinct.
    pub actions: Vec<Action>,
    /// What holds for all actions together.
    pub safety: Safety,
    /// The audit log.
    pub audit: Audit,
    /// Metrics, health, the API, and people's orders.
    pub http: Http,
    /// The daemon's own log.
    pub log: Log,
    /// The part that may change while everything runs, as it is written; see [`of_part`](super::of_part).
    pub part: serde_json::Value,
    /// What deserves a second look but is no error, ordered by place.
    pub warnings: Vec<Problem>,
}

/// Limits on records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingest {
    /// Largest record value, bytes; at least 1.
    pub max_record_bytes: usize,
    /// Most rows in a record; at least 1.
    pub max_rows_per_record: usize,
    /// How far event times may be ahead of wall time.
    pub max_future: Duration,
    /// How far they may be behind it; not applied by `replay`.
    pub max_age: Duration,
}

/// How many false alarms are accepted on average, over everything that it is divided over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// False alarms; above zero, finite.
    pub count: f64,
    /// In each such span of event time; at least 1 h, and at least one pane of each model it is for.
    pub per: Duration,
    /// Chance, for each slot, that its bound on the reference is wrong; above 0, at most 0.01.
    pub reference_error: f64,
}

/// What of a model may be live at once, which its slots are multiplied by; each 1 to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// Versions at the same time.
    pub versions: u32,
    /// Owners.
    pub tenants: u32,
    /// Confidence sequences that may begin in `Budget::per` for each version of each owner.
    pub starts: u32,
}

/// An input topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Where records name their model; without `*`. A literal is the name of a model that reads this topic.
    pub model: Source,
    /// How far behind the largest event time of its partition a record may be.
    pub allowed_lateness: Duration,
    /// How long a partition read to its end is silent before it is idle; above zero.
    pub idle_after: Duration,
}

/// A model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Its name, as records state it.
    pub name: String,
    /// Names of its topics, at least one, each configured.
    pub topics: Vec<String>,
    /// What it predicts.
    pub task: Task,
    /// Its owner; without `*`.
    pub tenant: Option<Source>,
    /// Its version; without `*`.
    pub version: Source,
    /// Event time.
    pub time: Pointer,
    /// How it is written.
    pub time_unit: TimeUnit,
    /// Request id; never a literal.
    pub id: Option<Source>,
    /// What the model answered.
    pub prediction: Option<Pointer>,
    /// The positive class as text; none: `1` and `true`. Never with regression.
    pub positive: Option<String>,
    /// Score.
    pub score: Option<Pointer>,
    /// Only where there is a score and no mapped prediction, and the task is binary.
    pub threshold: Option<f64>,
    /// What turned out to be true.
    pub label: Option<Pointer>,
    /// How long the model took.
    pub latency: Option<(Pointer, LatencyUnit)>,
    /// Inputs, names distinct.
    pub features: Vec<Feature>,
    /// Protected attributes, names distinct.
    pub groups: Vec<Attribute>,
    /// Each two or more distinct names of `groups`, in the order in which they are joined by `*`.
    pub intersections: Vec<Vec<String>>,
    /// Columns that split the traffic, names distinct.
    pub segments: Vec<Attribute>,
    /// File of the reference profile; need not exist yet.
    pub profile: Option<PathBuf>,
    /// File of the tolerances; need not exist yet. Only where there is a profile.
    pub calibration: Option<PathBuf>,
    /// Its own false-alarm budget; none: it shares [`Config::false_alarm_budget`].
    pub false_alarm_budget: Option<Budget>,
    /// What of it may be live at once.
    pub live: Live,
    /// A whole fraction of a day, 1 s or more.
    pub pane: Duration,
    /// How records are scored for anomalies. Only where there are a profile and features.
    pub anomaly: Option<Anomaly>,
    /// Checks, names distinct.
    pub checks: Vec<Check>,
}

impl Model {
    /// Whether rows have a prediction, mapped or derived from the score.
    pub fn predicts(&self) -> bool {
        self.prediction.is_some() || self.threshold.is_some()
    }
}

/// How records are scored for anomalies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// Trees, 1 to 1000.
    pub trees: u32,
    /// Rows drawn for each, 2 to 1024.
    pub samples: u32,
    /// One in so many records is scored; at least 1.
    pub one_in: u32,
    /// Decides trees and sample.
    pub seed: u64,
}

/// An input of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub from: Pointer,
    /// How it is counted.
    pub kind: FeatureType,
}

/// A protected attribute or a segment column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub from: Pointer,
    /// Its values as text, distinct, in the configured order; empty: those of the reference profile.
    pub values: Vec<String>,
}

/// A question asked of each window.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Its name, unique within the model.
    pub name: String,
    /// What is computed; serves the model's task.
    pub metric: Metric,
    /// Of what; at least one column or group set.
    pub of: Of,
    /// A whole number of panes, at least one.
    pub window: Duration,
    /// A whole number of panes, at least one, at most the window.
    pub slide: Duration,
    /// What is allowed; none: the check is only shown.
    pub bound: Option<Bound>,
    /// With fewer rows the verdict is `insufficient`.
    pub min_samples: u64,
    /// Groups with fewer rows are left out of extremes.
    pub min_group: u64,
    /// Quantile of a latency check, between 0 and 1.
    pub quantile: f64,
    /// Whether it is asked of each segment value too.
    pub segments: bool,
    /// Confidence of intervals, between 0.5 and 1.
    pub confidence: f64,
    /// Share of the false-alarm budget relative to that of other slots; above zero, finite.
    pub weight: f64,
    /// Which way a rate or a mean is watched; what the bound forbids where there is one, and `Both`
    /// for every other metric.
    pub direction: Direction,
    /// Tolerance stated by hand; none: what the calibration says. Never where the metric has no
    /// detector, or one that compares with its bound only.
    pub tolerance: Option<Tolerance>,
}

impl Check {
    /// The tolerance stated by hand for `name`, a column (`prediction` and `score` for outputs) or a
    /// value of a group, in units of a share; none where none is stated.
    pub fn tolerance_of(&self, name: &str) -> Option<f64> {
        match self.tolerance.as_ref()? {
            Tolerance::All(tolerance) => Some(*tolerance),
            Tolerance::Each(each) => each.get(name).copied(),
        }
    }
}

/// How much a watched share may differ from the reference's; from 0 to below 1.
#[derive(Clone, Debug, PartialEq)]
pub enum Tolerance {
    /// The same for everything that the check is asked of.
    All(f64),
    /// By column or group value; what is not named has none stated. Never empty.
    Each(BTreeMap<String, f64>),
}

/// What a check is asked of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// Drift and quality: each of these columns.
    Columns(Vec<Column>),
    /// Fairness: each of these protected attributes (one name) or intersections (several names,
    /// in the order of `Model::intersections`).
    Groups(Vec<Vec<String>>),
    /// Everything else: the model as a whole.
    Model,
}

/// A column of a model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Column {
    /// The input of this name.
    Feature(String),
    /// What the model answered.
    Prediction,
    /// The score.
    Score,
    /// The anomaly score of the record.
    Anomaly,
}

/// When a model version is in violation, and what is wanted then.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Name of its model.
    pub model: String,
    /// Names of that model's checks, at least one, distinct. Each has a bound where the policy decides
    /// by windows, and a detector where it decides sequentially.
    pub checks: Vec<String>,
    /// By what it decides. `Window` only with actions that notify, unless that was overridden.
    pub decide: Decide,
    /// Windows with a breach that open an incident: at least 1, at most `violate_of`; 1 where the
    /// policy decides sequentially.
    pub violate_windows: u32,
    /// Among this many windows; 1 where the policy decides sequentially.
    pub violate_of: u32,
    /// Windows in a row inside the clear bounds that close it.
    pub clear_windows: u32,
    /// The clear bound of every check of `checks` that has a bound; inside the check's own.
    pub clear_bounds: BTreeMap<String, Bound>,
    /// Windows in a row with every check passing that qualify a version.
    pub qualify_windows: u32,
    /// Event time that must lie between the ends of the first and the last of them.
    pub qualify_span: Duration,
    /// Records of the version that these must have seen.
    pub qualify_samples: u64,
    /// How freely actions are taken.
    pub mode: Mode,
    /// How long an action waits for a person where `mode` is `approve`; above zero.
    pub approval_within: Duration,
    /// What must be seen after a rollback.
    pub verify: Verify,
    /// Names of the actions wanted; at least one where `mode` is not `observe`.
    pub actions: Vec<String>,
    /// Names of the actions wanted where those came to nothing; each notifies.
    pub escalate: Vec<String>,
}

/// What the records must show after a rollback.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verify {
    /// Time in which they must show it; above zero.
    pub within: Duration,
    /// Whether that was stated; else it follows from the windows of the policy's checks.
    pub stated: bool,
    /// Share of the model's records that the good version must have; above 0, at most 1.
    pub traffic: f64,
    /// Records of the good version that must have been seen; at least 1.
    pub samples: u64,
}

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Where it is kept.
    pub store: AuditStore,
    /// Its name in checkpoints.
    pub origin: String,
    /// By whom checkpoints are signed, under the name `origin`; none: by nobody.
    pub signing: Option<Signing>,
    /// Keys of witnesses.
    pub witnesses: Vec<VerifierKey>,
}

/// Where the audit log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditStore {
    /// In topics.
    Kafka {
        /// That of the entries.
        topic: String,
        /// That of the checkpoints.
        checkpoint_topic: String,
    },
    /// In files.
    File {
        /// That of the entries.
        path: PathBuf,
        /// That of the checkpoints.
        checkpoint_path: PathBuf,
    },
}

/// The daemon's own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// Valid `tracing` filter directives.
    pub level: String,
}
