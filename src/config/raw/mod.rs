//! The configuration as it is written. These structs are the file format: the documentation of a
//! field is its description in the JSON Schema, and unknown keys are refused. Nothing is checked
//! here beyond the shape; `validate` turns this into a [`Config`](super::Config).

mod budget;
mod model;
mod parts;
mod policy;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use budget::*;
pub use model::*;
pub use parts::*;
pub use policy::*;

/// Configuration of plimsoll: what to read, which models to watch, what to ask of them, and what
/// to do about it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "plimsoll configuration")]
pub struct Root {
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
    /// Where the record of everything that was decided and done is kept.
    #[serde(default)]
    pub audit: Audit,
    /// Metrics, health and the API.
    #[serde(default)]
    pub http: Http,
    /// The daemon's own log, on standard error.
    #[serde(default)]
    pub log: Log,
}

/// The Kafka cluster and plimsoll's own topics on it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// Brokers to start from: `host:port`, several separated by commas.
    #[schemars(extend("examples" = ["localhost:9092", "kafka-1:9092,kafka-2:9092"]))]
    pub brokers: Option<String>,
    /// Consumer group; instances with the same group share the partitions.
    #[schemars(length(min = 1))]
    pub group: String,
    /// Encryption and authentication.
    pub security: Security,
    /// Any further librdkafka property, by its own name. Values that are secret are written as secrets.
    pub properties: std::collections::BTreeMap<String, Property>,
    /// Where to begin in a partition without a committed offset; `error` refuses to start.
    pub offset_reset: OffsetReset,
    /// How often offsets are committed; at least 10ms.
    pub commit_interval: Duration,
    /// Topic for records that could not be used, with the reason in headers; null: they are only counted.
    pub dead_letter_topic: Option<String>,
    /// How many bytes of a rejected value may go to the dead-letter topic. Values may be personal data: 0 sends none.
    #[schemars(range(max = 1_073_741_824))]
    pub dead_letter_value_bytes: u32,
    /// Topic for findings; null: they are given over HTTP only.
    pub findings_topic: Option<String>,
    /// Create plimsoll's own topics where they are missing and the broker lets it. Input topics are never created.
    pub create_topics: bool,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            brokers: None,
            group: "plimsoll".into(),
            security: Security::default(),
            properties: Default::default(),
            offset_reset: OffsetReset::Earliest,
            commit_interval: Duration::from("1s"),
            dead_letter_topic: Some("plimsoll.dead-letter".into()),
            dead_letter_value_bytes: 0,
            findings_topic: Some("plimsoll.findings".into()),
            create_topics: true,
        }
    }
}

/// Encryption and authentication towards Kafka.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// `plaintext`, `ssl` (TLS), `sasl_plaintext` or `sasl_ssl` (SASL over TLS).
    pub protocol: Protocol,
    /// PEM file with the authorities that sign the brokers' certificates; default: those of the system.
    pub ca_file: Option<String>,
    /// PEM file with the client's certificate, for mutual TLS.
    pub certificate_file: Option<String>,
    /// PEM file with the client's private key.
    pub key_file: Option<String>,
    /// Password of the private key.
    pub key_password: Option<SecretRef>,
    /// SASL mechanism.
    pub mechanism: Option<Mechanism>,
    /// SASL user.
    pub username: Option<String>,
    /// SASL password.
    pub password: Option<SecretRef>,
}

/// How the connection to Kafka is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Neither encrypted nor authenticated.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without TLS.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl Protocol {
    /// The protocol as this configuration and librdkafka spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    /// Whether clients authenticate by SASL.
    pub const fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    /// Whether the connection is encrypted.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

/// How a client proves to Kafka who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mechanism {
    /// User and password, readable to whoever reads the connection.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Salted challenge and response with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Salted challenge and response with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// OAuth 2 bearer tokens, set up by `properties`.
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
}

impl Mechanism {
    /// The mechanism as this configuration and librdkafka spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

/// Where to begin in a partition without a committed offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OffsetReset {
    /// With the oldest record that is there.
    #[default]
    Earliest,
    /// With the next record to come.
    Latest,
    /// Not at all: it is an error.
    Error,
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

/// The record of everything that was decided and done.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// `kafka` or `file`; default: `kafka` where `kafka.brokers` is set, else `file`.
    pub store: Option<AuditStore>,
    /// Topic for `store: kafka`. One partition, never compacted, no retention limit.
    pub topic: String,
    /// File for `store: file`.
    #[schemars(length(min = 1))]
    pub file: String,
}

impl Default for Audit {
    fn default() -> Self {
        Self { store: None, topic: "plimsoll.audit".into(), file: "audit.ndjson".into() }
    }
}

/// Where the audit log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditStore {
    /// In `topic`.
    Kafka,
    /// In `file`.
    File,
}

/// Metrics, health and the API.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port to listen on; port 0 takes a free one. There is no authentication: keep it on a loopback address, or behind something that has it.
    pub listen: String,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".into() }
    }
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
