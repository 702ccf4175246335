//! Files as a source: each is one partition, its offsets are record numbers. They are read one after
//! the other; a file that has not begun holds windows back, as a partition does that has shown
//! nothing, so the order in which files are named changes nothing but memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{EventTime, SourcePartition};
use crate::ingest::source::{Assigned, Commit, Lag, RawRecord, Source, SourceEvent};
use crate::query::files::{Error, Rows};

/// Header under which a row's made-up time travels.
pub const ROW_TIME: &str = "plimsoll-row-time";

/// Event times for rows that have none: the first row's, and the step to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowTime {
    /// Event time of the first row of each file.
    pub start: EventTime,
    /// Event time from one row to the next.
    pub every: Duration,
}

impl RowTime {
    /// Event time of row `row`, in milliseconds since the epoch, as text.
    fn text(&self, row: u64) -> String {
        let since = self.every.as_millis().saturating_mul(u128::from(row));
        let since = i64::try_from(since).unwrap_or(i64::MAX);
        self.start.as_millis().saturating_add(since).to_string()
    }
}

/// Files as partitions of one topic.
pub struct FileSource {
    files: Vec<(SourcePartition, PathBuf)>,
    row_time: Option<RowTime>,
    announced: bool,
    current: usize,
    rows: Option<Rows>,
    read: u64,
}

impl std::fmt::Debug for FileSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSource").field("files", &self.files).finish_non_exhaustive()
    }
}

impl FileSource {
    /// The rows of `files` as records of `topic`.
    pub fn new(topic: &Arc<str>, files: &[PathBuf], row_time: Option<RowTime>) -> Self {
        let partition =
            |number: usize| SourcePartition { topic: Arc::clone(topic), partition: number as i32 };
        let files =
            files.iter().enumerate().map(|(number, file)| (partition(number), file.clone())).collect();
        Self { files, row_time, announced: false, current: 0, rows: None, read: 0 }
    }

    /// Whether every file has been read.
    pub fn finished(&self) -> bool {
        self.announced && self.current == self.files.len()
    }

    /// Rows read so far.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// The file that is being read.
    pub fn current(&self) -> Option<&PathBuf> {
        self.files.get(self.current).map(|(_, file)| file)
    }
}

impl Source for FileSource {
    type Error = Error;

    fn poll(
        &mut self,
        max: usize,
        _timeout: Duration,
        sink: &mut dyn FnMut(SourceEvent<'_>),
    ) -> Result<usize, Error> {
        if !self.announced {
            self.announced = true;
            let assigned = |(partition, _): &(SourcePartition, PathBuf)| Assigned {
                partition: partition.clone(),
                offset: None,
                metadata: None,
            };
            sink(SourceEvent::Assigned(self.files.iter().map(assigned).collect()));
            return Ok(1);
        }
        let Some((partition, file)) = self.files.get(self.current) else {
            return Ok(0);
        };
        let rows = match &mut self.rows {
            Some(rows) => rows,
            none => none.insert(Rows::open(file)?),
        };
        for taken in 0..max {
            let Some((row, value)) = rows.next_row()? else {
                sink(SourceEvent::Finished(partition.clone()));
                self.rows = None;
                self.current += 1;
                return Ok(taken + 1);
            };
            let time = self.row_time.map(|times| times.text(row));
            let header = time.as_ref().map(|time| (ROW_TIME, time.as_bytes()));
            let headers = header.as_slice();
            let record = RawRecord { partition, offset: row as i64, key: None, value: Some(value), headers };
            sink(SourceEvent::Record(record));
            self.read += 1;
        }
        Ok(max)
    }

    /// Files keep no positions: a replay begins at the beginning.
    fn commit(&mut self, _: &[Commit]) -> Result<(), Error> {
        Ok(())
    }

    fn lag(&self) -> Vec<Lag> {
        Vec::new()
    }
}
