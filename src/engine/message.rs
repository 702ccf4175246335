//! What the stages say to each other, and what is stored with a committed offset.
//!
//! An observer speaks in commits: what it counted since the last one as [`PaneDelta`]s, then one
//! [`Progress`]. Both name the source offsets that they stand for, so that an evaluator can prove
//! that it has seen each record once: the ranges of a source partition follow each other without a
//! gap and without an overlap, whoever read it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::generation::Generation;
use crate::domain::{Accounting, EventTime, ModelId, ModelKey, RejectReason, SourcePartition};
use crate::sketch::Summary;
use crate::stats::stable_hash::StableHash;

/// Offsets of one source partition: from the first, included, to the second, not. Some of them may
/// hold no record: they were compacted away, or mark the end of a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offsets {
    /// The first.
    pub from: i64,
    /// The one after the last.
    pub to: i64,
}

/// Counts that one source partition added to one pane.
#[derive(Clone, Debug, PartialEq)]
pub struct PaneDelta {
    /// Where the rows came from.
    pub source: SourcePartition,
    /// The offsets of the commit that it is part of.
    pub offsets: Offsets,
    /// What the rows are counted under.
    pub key: ModelKey,
    /// What its cells mean: counts on different layouts never merge.
    pub layout: u64,
    /// Start of the pane.
    pub pane: EventTime,
    /// The counts.
    pub summary: Summary,
}

/// How far one source partition has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceProgress {
    /// Which one.
    pub source: SourcePartition,
    /// What was read of it since the last commit; none where nothing is known of its offsets yet.
    pub offsets: Option<Offsets>,
    /// Its watermark; none before its first row.
    pub watermark: Option<EventTime>,
    /// Whether it was read to its end and has been silent since.
    pub idle: bool,
    /// Whether it has ended for good (files).
    pub finished: bool,
    /// What became of the records in `offsets`.
    pub counted: Accounting,
    /// Why records among them were rejected.
    pub rejected: BTreeMap<RejectReason, u64>,
}

/// The end of an observer's commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Wall time of the observer, milliseconds since the epoch.
    pub wall: i64,
    /// The partitions that it reads.
    pub sources: Vec<SourceProgress>,
    /// The source topics, and how many partitions each has: none of them may be forgotten because
    /// nobody reads it at the moment.
    pub topics: BTreeMap<Arc<str>, i32>,
}

/// One message of the exchange between observers and evaluators.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it lives for one call, on its way into or out of a pane")]
pub enum Message {
    /// Counts.
    Delta(PaneDelta),
    /// The end of a commit.
    Progress(Progress),
    /// A generation of the configuration was published: it says from when it is for, so that
    /// evaluators take it up at one place of their logs. Its content is in the control topic.
    Control(Generation),
}

/// The partition of the exchange, of `partitions`, in which everything about `model` is evaluated.
/// Versions and tenants of a model share budgets and take over from each other, so they go together.
pub fn exchange_partition(model: &ModelId, partitions: i32) -> i32 {
    let hash = StableHash::new(0x706c_696d).bytes(model.as_str().as_bytes()).finish();
    (hash % partitions.max(1) as u64) as i32
}

/// What is stored with a committed source offset, so that whoever reads on from there judges
/// lateness as if nothing had happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumePoint {
    /// Version of this record.
    pub v: u32,
    /// The partition's watermark.
    pub watermark: Option<EventTime>,
    /// Wall time, in milliseconds, at which its last record was read.
    pub active_at: i64,
}

impl ResumePoint {
    /// The version that is written.
    pub const VERSION: u32 = 2;

    /// As commit metadata: compact JSON, well below Kafka's 4096 bytes.
    pub fn to_metadata(&self) -> String {
        serde_json::to_string(self).expect("times and numbers always serialize")
    }

    /// From commit metadata; none where another program, or another version, wrote it.
    pub fn from_metadata(metadata: &str) -> Option<Self> {
        serde_json::from_str(metadata).ok().filter(|point: &Self| point.v == Self::VERSION)
    }
}
