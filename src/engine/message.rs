//! What the stages say to each other.

use serde::{Deserialize, Serialize};

use crate::domain::{EventTime, ModelKey, SourcePartition};
use crate::sketch::Summary;

/// Counts that one source partition added to one pane.
#[derive(Clone, Debug, PartialEq)]
pub struct PaneDelta {
    /// Where the rows came from.
    pub source: SourcePartition,
    /// What they are counted under.
    pub key: ModelKey,
    /// Start of the pane.
    pub pane: EventTime,
    /// The counts.
    pub summary: Summary,
}

/// How far each source partition has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Partition, watermark (none before its first row), and whether it is idle.
    pub partitions: Vec<(SourcePartition, Option<EventTime>, bool)>,
    /// Whether the input has ended for good: every pane closes.
    pub finished: bool,
}

/// What is stored with a committed offset: everything that is needed to read on from there and give
/// nothing out twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumePoint {
    /// Version of this record.
    pub v: u32,
    /// The partition's watermark before the record at the committed offset.
    pub watermark: Option<EventTime>,
    /// Next offset that had not been read; records before it are read a second time.
    pub position: i64,
    /// Findings of windows that end up to here were given out.
    pub given_out_until: Option<EventTime>,
    /// Panes that start from here on are complete when reading begins at the committed offset.
    pub complete_from: Option<EventTime>,
    /// Offsets and the wall times (milliseconds) at which they were read, a sample now and then:
    /// whether an event time lies too far ahead is judged by the clock of the first reading.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_at: Vec<(i64, i64)>,
    /// Offsets at which the partition woke, and the event time (milliseconds) that had closed
    /// without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub woke: Vec<(i64, i64)>,
}

impl ResumePoint {
    /// The version that is written.
    pub const VERSION: u32 = 1;

    /// As commit metadata: compact JSON, well below Kafka's 4096 bytes.
    pub fn to_metadata(&self) -> String {
        serde_json::to_string(self).expect("times and numbers always serialize")
    }

    /// From commit metadata; none where another program, or another version, wrote it.
    pub fn from_metadata(metadata: &str) -> Option<Self> {
        serde_json::from_str(metadata).ok().filter(|point: &Self| point.v == Self::VERSION)
    }
}
