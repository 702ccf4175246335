//! The audit log as it is written in the configuration: where it is kept, and who signs it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, SecretRef};

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
    /// Name of the log in its checkpoints, best the address under which you publish them, without `https://`; without white space and `+`. Default: `plimsoll/` and the group, or the name of the file.
    #[schemars(length(min = 1))]
    pub origin: Option<String>,
    /// Ed25519 key that signs checkpoints: a PEM file (PKCS#8), or what `plimsoll audit key` makes. Default: none, and nothing is signed.
    pub key: Option<SecretRef>,
    /// Public keys that signed this log before `key`, as `plimsoll audit key` printed them.
    pub former_keys: Vec<String>,
    /// Public keys of witnesses, whose signatures `plimsoll audit verify` looks for in the checkpoints that it is given.
    pub witnesses: Vec<String>,
    /// Topic of the checkpoints for `store: kafka`. One partition, never compacted, no retention limit.
    pub checkpoint_topic: String,
    /// File of the checkpoints for `store: file`. Default: the name of `file` and `.checkpoints`.
    #[schemars(length(min = 1))]
    pub checkpoint_file: Option<String>,
    /// The least time from one checkpoint to the next; they are signed when something was added.
    pub checkpoint_interval: Duration,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            store: None,
            topic: "plimsoll.audit".into(),
            file: "audit.ndjson".into(),
            origin: None,
            key: None,
            former_keys: Vec::new(),
            witnesses: Vec::new(),
            checkpoint_topic: "plimsoll.checkpoints".into(),
            checkpoint_file: None,
            checkpoint_interval: Duration::from("5s"),
        }
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
