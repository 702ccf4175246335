//! Every record is accounted for: in = used + late + rejected. `duplicate` and `orphan` join the
//! sum together with the request/response join that can tell them; until then they do not exist.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Counts of records of one source topic, each record in exactly one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounting {
    /// Records handed over by the source, tombstones and unknown models included.
    pub records: u64,
    /// Records of which at least one row entered a pane.
    pub used: u64,
    /// Records of which every row was behind its partition's watermark.
    pub late: u64,
    /// Records that could not be read, with a reason each.
    pub rejected: u64,
    /// Rows found in records; a batch request holds many.
    pub rows: u64,
    /// Rows that entered no pane because they were late.
    pub late_rows: u64,
    /// Offsets that were gone before they could be read: retention was faster. Not among `records`.
    #[serde(default)]
    pub lost: u64,
}

impl Accounting {
    /// Whether every record is in exactly one class.
    pub fn adds_up(&self) -> bool {
        self.records == self.used + self.late + self.rejected
    }

    /// Moves rows that had been counted as used to the late ones: their pane had closed before they
    /// came. A record moves with each of them; of a record with several rows it is not known here
    /// whether another of its rows was in time, so it may be counted late where one was.
    pub fn turned_late(&mut self, rows: u64) {
        let records = rows.min(self.used);
        self.used -= records;
        self.late += records;
        self.late_rows += rows;
    }
}

impl AddAssign for Accounting {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.used += other.used;
        self.late += other.late;
        self.rejected += other.rejected;
        self.rows += other.rows;
        self.late_rows += other.late_rows;
        self.lost += other.lost;
    }
}
