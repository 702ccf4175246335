//! The Kafka cluster as it is written: how to reach it, plimsoll's own topics on it, and which part
//! of the work this process does there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, Property, SecretRef};

/// A part of the work, and a consumer group on Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads the input topics and counts into panes.
    Observe,
    /// Joins the counts of all observers, judges windows, and says what policies want.
    Evaluate,
    /// Does what policies want, one actor for all, and keeps the audit log.
    Act,
}

impl Role {
    /// Every role, in the order in which a record meets them.
    pub const ALL: [Self; 3] = [Self::Observe, Self::Evaluate, Self::Act];

    /// The role as this configuration and the command line spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Evaluate => "evaluate",
            Self::Act => "act",
        }
    }

    pub(super) fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }
}

/// The Kafka cluster and plimsoll's own topics on it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// Brokers to start from: `host:port`, several separated by commas.
    #[schemars(extend("examples" = ["localhost:9092", "kafka-1:9092,kafka-2:9092"]))]
    pub brokers: Option<String>,
    /// Consumer group; instances with the same group share the partitions. The groups of the evaluators and actors are named after it.
    #[schemars(length(min = 1))]
    pub group: String,
    /// Name of this process, the same after each restart and its own within the group; default: the machine's host name.
    #[schemars(length(min = 1, max = 200))]
    pub instance: Option<String>,
    /// Encryption and authentication.
    pub security: Security,
    /// Any further librdkafka property, by its own name. Values that are secret are written as secrets.
    pub properties: std::collections::BTreeMap<String, Property>,
    /// Where to begin in a partition without a committed offset; `error` refuses to start.
    pub offset_reset: OffsetReset,
    /// How often results and offsets are committed, in one transaction; at least 10ms.
    pub commit_interval: Duration,
    /// The topics over which the roles join.
    pub exchange: Exchange,
    /// Records of an input topic, or messages of another role's, behind which an instance is not ready.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub max_lag: u64,
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
            instance: None,
            security: Security::default(),
            properties: Default::default(),
            offset_reset: OffsetReset::Earliest,
            commit_interval: Duration::from("1s"),
            exchange: Exchange::default(),
            max_lag: 10_000,
            dead_letter_topic: Some("plimsoll.dead-letter".into()),
            dead_letter_value_bytes: 0,
            findings_topic: Some("plimsoll.findings".into()),
            create_topics: true,
        }
    }
}

/// The topics over which the roles join, and what holds for all of plimsoll's own topics.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Exchange {
    /// What the names of these topics begin with: `plimsoll` stands for `plimsoll.partials`, `.state`, `.decisions` and `.control`.
    #[schemars(length(min = 1, max = 239))]
    pub prefix: String,
    /// Partitions of `.partials` and of `.state`: the most evaluators that have work at once. Cannot be changed once the topics are made.
    #[schemars(range(min = 1, max = 1000))]
    pub partitions: u16,
    /// Copies of each of plimsoll's own topics where it is made: audit, findings and dead letters too; default: the broker's.
    #[schemars(range(min = 1, max = 32))]
    pub replication_factor: Option<u8>,
    /// How long `.partials` and `.decisions` are kept, which is how long an evaluator or actor may be away; at least 1h.
    pub retention: Duration,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            prefix: "plimsoll".into(),
            partitions: 8,
            replication_factor: None,
            retention: Duration::from("7d"),
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
