//! Where in the input something was: a partition of a source topic and offsets in it. Files play
//! the same role in `replay`: each is one partition, and its offsets are record numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One ordered log of the input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourcePartition {
    /// Topic, or file name in `replay`.
    pub topic: Arc<str>,
    /// Partition number; 0 for files.
    pub partition: i32,
}

impl SourcePartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: &str, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for SourcePartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// The next offset to read in each partition.
pub type Positions = BTreeMap<SourcePartition, i64>;
