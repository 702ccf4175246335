//! The Kafka cluster: how to reach it, and the names of groups and topics that follow from what is
//! configured.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Mechanism, OffsetReset, Protocol, Role};
use crate::config::secret::Secret;

/// The Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// Consumer group of the observers; see [`Kafka::group_of`] for the others'.
    pub group: String,
    /// Name of this process within the group, where it is stated: 1 to 200 letters, digits, `.`, `_`, `-`.
    pub instance: Option<String>,
    /// Encryption and authentication.
    pub security: Security,
    /// Further librdkafka properties; none that `security` or plimsoll itself sets.
    pub properties: BTreeMap<String, Property>,
    /// Where to begin without a committed offset.
    pub offset_reset: OffsetReset,
    /// How often a transaction is committed; 10 ms or more.
    pub commit_interval: Duration,
    /// The topics over which the roles join.
    pub exchange: Exchange,
    /// Records or messages behind which an instance is not ready; at least 1.
    pub max_lag: u64,
    /// Topic for records that could not be used; none: they are only counted.
    pub dead_letter_topic: Option<String>,
    /// Most bytes of a rejected value that may go to the dead-letter topic.
    pub dead_letter_value_bytes: usize,
    /// Topic for findings; none: HTTP only.
    pub findings_topic: Option<String>,
    /// Whether to create plimsoll's own topics.
    pub create_topics: bool,
}

impl Kafka {
    /// The consumer group of `role`.
    pub fn group_of(&self, role: Role) -> String {
        match role {
            Role::Observe => self.group.clone(),
            Role::Evaluate | Role::Act => format!("{}.{}", self.group, role.name()),
        }
    }
}

/// The topics over which the roles join, and what holds for all of plimsoll's own topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What the topics' names begin with.
    pub prefix: String,
    /// Partitions of partials and of state, 1 to 1000.
    pub partitions: i32,
    /// Copies of each own topic, 1 to 32; none: the broker's default.
    pub replication_factor: Option<i32>,
    /// How long partials and decisions are kept; 1 h or more.
    pub retention: Duration,
}

impl Exchange {
    /// Counts and progress, from the observers to the evaluators.
    pub fn partials_topic(&self) -> String {
        format!("{}.partials", self.prefix)
    }

    /// What an evaluator must not forget, for whoever takes over its partition; compacted.
    pub fn state_topic(&self) -> String {
        format!("{}.state", self.prefix)
    }

    /// What policies want, from the evaluators to the actor.
    pub fn decisions_topic(&self) -> String {
        format!("{}.decisions", self.prefix)
    }

    /// Configurations that were loaded while running; compacted.
    pub fn control_topic(&self) -> String {
        format!("{}.control", self.prefix)
    }

    /// All four.
    pub fn topics(&self) -> [String; 4] {
        [self.partials_topic(), self.state_topic(), self.decisions_topic(), self.control_topic()]
    }
}

/// Encryption and authentication towards Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// `protocol.name()` is librdkafka's `security.protocol`.
    pub protocol: Protocol,
    /// Authorities, PEM; exists.
    pub ca_file: Option<PathBuf>,
    /// Client certificate, PEM; exists, and has a key file.
    pub certificate_file: Option<PathBuf>,
    /// Its private key, PEM; exists.
    pub key_file: Option<PathBuf>,
    /// The key's password.
    pub key_password: Option<Secret>,
    /// Present with the SASL protocols; `name()` is librdkafka's `sasl.mechanism`.
    pub mechanism: Option<Mechanism>,
    /// Present with PLAIN and SCRAM.
    pub username: Option<String>,
    /// Present with PLAIN and SCRAM.
    pub password: Option<Secret>,
}

/// Value of a librdkafka property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Property {
    /// One that may be shown.
    Plain(String),
    /// One that may not.
    Secret(Secret),
}

impl Property {
    /// The value, also where it is secret.
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(value) => value,
            Self::Secret(value) => value.expose(),
        }
    }
}
