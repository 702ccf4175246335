//! What the inference log shows of a model while somebody waits to know: which versions took how much
//! traffic, and how its policies stand. An evaluator tells it while an incident is open and for a while
//! after, and when a version appears or falls silent; whoever acted learns from it what the action did.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::finding::Verdict;
use super::key::{ModelId, Segment, Tenant, Version};
use super::time::EventTime;

/// How one policy stands for one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The policy.
    pub policy: String,
    /// The version.
    pub version: Version,
    /// The part of its traffic.
    #[serde(default)]
    pub segment: Segment,
    /// First instant that any of the judged windows covers.
    pub from: EventTime,
    /// The verdict under the checks' own bounds.
    pub own: Verdict,
    /// The verdict under the clear bounds, which lie inside the others.
    pub clear: Verdict,
    /// Rows of the version and segment from `from` to the end of the report.
    pub rows: u64,
}

/// What was seen of one model in a stretch of event time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Owner of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The model.
    pub model: ModelId,
    /// First instant of the stretch.
    pub from: EventTime,
    /// First instant after it. Reports of a model follow each other in this.
    pub until: EventTime,
    /// Rows of each version in the stretch; a version that was seen before and has none now has 0.
    pub rows: BTreeMap<Version, u64>,
    /// How its policies stand at `until`.
    #[serde(default)]
    pub standings: Vec<Standing>,
}
