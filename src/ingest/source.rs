//! Where records come from: Kafka, or files in `replay`. A source hands over borrowed records and
//! says when partitions come, go, or have been read to their end; it decides nothing.

use std::time::Duration;

use crate::domain::SourcePartition;

/// One record as the source holds it.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Partition that it was read from.
    pub partition: &'a SourcePartition,
    /// Its offset there; a record number for files.
    pub offset: i64,
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// Its value; none for a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order; names may repeat.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Where a partition's reading begins, with what was stored at the last commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The partition.
    pub partition: SourcePartition,
    /// Committed offset; none where nothing was committed yet.
    pub offset: Option<i64>,
    /// Metadata of that commit, as it was given to `commit`.
    pub metadata: Option<String>,
}

/// What a source says.
#[derive(Debug)]
pub enum SourceEvent<'a> {
    /// A record.
    Record(RawRecord<'a>),
    /// Partitions are read from now on.
    Assigned(Vec<Assigned>),
    /// Partitions are not ours any more; whatever was counted from them is dropped. No event of
    /// theirs follows until they are assigned again.
    Revoked(Vec<SourcePartition>),
    /// Records that were gone from the log before they were read. The record at `to`, or the first
    /// behind it that there is, comes next.
    Lost {
        /// The partition.
        partition: SourcePartition,
        /// The first offset that was lost.
        from: i64,
        /// The first offset that was not.
        to: i64,
    },
    /// Everything that the partition held has been handed over; more may come.
    EndOfPartition(SourcePartition),
    /// The partition has ended for good (files).
    Finished(SourcePartition),
}

/// One partition's part of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The partition.
    pub partition: SourcePartition,
    /// The next offset to read after a restart.
    pub offset: i64,
    /// Kept with the offset; at most 4096 bytes.
    pub metadata: String,
}

/// How far a partition is behind the end of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The partition.
    pub partition: SourcePartition,
    /// Records not read yet.
    pub records: i64,
}

/// A stream of records in partitions.
pub trait Source {
    /// Why the source cannot go on.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Hands at most `max` events to `sink`, waiting at most `timeout` for the first. `Lost` and the
    /// record behind it come together, which may be one more.
    /// Returns how many there were. An error is fatal; passing faults are logged and counted.
    fn poll(
        &mut self,
        max: usize,
        timeout: Duration,
        sink: &mut dyn FnMut(SourceEvent<'_>),
    ) -> Result<usize, Self::Error>;

    /// Stores offsets and their metadata durably; returns when they are.
    fn commit(&mut self, commits: &[Commit]) -> Result<(), Self::Error>;

    /// How far each assigned partition is behind, as far as it is known without asking.
    fn lag(&self) -> Vec<Lag>;
}
