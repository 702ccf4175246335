//! The configuration as it is written. These structs are the file format: the documentation of a
//! field is its description in the JSON Schema, and unknown keys are refused. Nothing is checked
//! here beyond the shape; `validate` turns this into a [`Config`](super::Config).

mod action;
mod audit;
mod budget;
mod http;
mod kafka;
mod model;
mod parts;
mod policy;
mod safety;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use action::*;
pub use audit::*;
pub use budget::*;
pub use http::*;
pub use kafka::*;
pub use model::*;
pub use parts::*;
pub use policy::*;
pub use safety::*;

/// Configuration of plimsoll: what to read, which models to watch, what to ask of them, and what
/// to do about it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "plimsoll configuration")]
pub struct Root {
    /// What this process does; the roles join over Kafka, so they may be spread over processes. `plimsoll run --roles` wins.
    #[serde(default = "Role::all")]
    #[schemars(length(min = 1))]
    pub roles: Vec<Role>,
    /// The Kafka cluster. `run` needs it; `replay` and `profile` do not.
    #[serde(default)]
    pub kafka: Kafka,
    /// Limits on what is accepted from records.
    #[serde(default)]
    pub ingest: Ingest,
    /// How many false alarms all sequential policies together may raise, on average.
    #[serde(default)]
    pub false_alarm_budget: FalseAlarmBudget,
    /// The Kafka topics with inference records. A topic may carry many models.
    #[schemars(length(min = 1))]
    pub topics: Vec<Topic>,
    /// The models to watch.
    #[schemars(length(min = 1))]
    pub models: Vec<Model>,
    /// When a model version counts as in violation, and what is wanted then.
    #[serde(default)]
    pub policies: Vec<Policy>,
    /// What policies may ask for.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// What holds for all actions together, whatever policies want.
    #[serde(default)]
    pub safety: Safety,
    /// Where the record of everything that was decided and done is kept.
    #[serde(default)]
    pub audit: Audit,
    /// Metrics, health, the API, and people's orders.
    #[serde(default)]
    pub http: Http,
    /// The daemon's own log, on standard error.
    #[serde(default)]
    pub log: Log,
}

/// Limits on what is accepted from records. What is beyond them goes to the dead-letter topic.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ingest {
    /// Largest record value, bytes.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub max_record_bytes: u32,
    /// Most rows in one record; a batch request holds many.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_rows_per_record: u32,
    /// Event times further in the future than this, by wall time, are refused.
    pub max_future: Duration,
    /// Event times further in the past than this, by wall time, are refused; not applied by `replay`.
    pub max_age: Duration,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            max_record_bytes: 1 << 20,
            max_rows_per_record: 10_000,
            max_future: Duration::from("10m"),
            max_age: Duration::from("30d"),
        }
    }
}

/// A Kafka topic with inference records.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// The topic's name.
    #[schemars(length(min = 1, max = 249))]
    pub name: String,
    /// Where a record names its model: `/pointer`, `header:NAME`, or `=name` where the topic carries one model only.
    pub model: Source,
    /// How far behind the largest event time of its partition a record may be and still count.
    #[serde(default = "thirty_seconds")]
    pub allowed_lateness: Duration,
    /// A partition that is read to its end and silent for this long does not hold windows back.
    #[serde(default = "one_minute")]
    pub idle_after: Duration,
}

fn thirty_seconds() -> Duration {
    Duration::from("30s")
}

fn one_minute() -> Duration {
    Duration::from("60s")
}

/// The daemon's own log.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` for people, `json` for collectors.
    pub format: LogFormat,
    /// Level, or directives such as `info,plimsoll::ingest=debug`.
    #[schemars(length(min = 1))]
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For collectors: one JSON object a line.
    Json,
}
