//! What an evaluator has taken from the exchange: of every source partition the offsets up to which it
//! has seen everything once, and what became of the records. Ranges that do not follow each other are
//! faults: a gap means that counts are missing, an overlap that they would be counted twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::message::{Offsets, SourceProgress};
use crate::domain::{Accounting, ModelKey, RejectReason, SourcePartition};

/// Something in the exchange that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Offsets are missing between one commit and the next.
    Gap {
        /// Of which partition.
        source: SourcePartition,
        /// The missing ones.
        offsets: Offsets,
    },
    /// A commit stands for offsets that another stood for already; its counts were refused.
    Overlap {
        /// Of which partition.
        source: SourcePartition,
        /// The offsets of the refused commit.
        offsets: Offsets,
        /// The offset up to which everything had been seen.
        seen: i64,
    },
    /// Counts of a model, profile or layout that is not the configured one; they were refused.
    Foreign {
        /// Whose counts.
        key: ModelKey,
        /// How many rows.
        rows: u64,
    },
}

/// How many faults there were since the beginning of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultCounts {
    /// Gaps.
    pub gaps: u64,
    /// Offsets in them.
    pub gap_offsets: u64,
    /// Overlaps.
    pub overlaps: u64,
    /// Rows of refused counts of unknown models, profiles or layouts.
    pub foreign_rows: u64,
}

/// What had been counted as used and came after its pane had closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnedLate {
    /// Records that are counted late for it.
    pub records: u64,
    /// Its rows.
    pub rows: u64,
}

/// What came in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intake {
    /// The offset up to which everything was seen, of each source partition.
    seen: BTreeMap<SourcePartition, i64>,
    /// What became of the records, by topic.
    accounting: BTreeMap<Arc<str>, Accounting>,
    rejected: BTreeMap<(Arc<str>, RejectReason), u64>,
    faults: FaultCounts,
    /// What this evaluator moved from the used ones to the late ones in `accounting`, by topic: all
    /// else there is known to the evaluators of all partitions alike.
    turned_late: BTreeMap<Arc<str>, TurnedLate>,
}

impl Intake {
    /// Whether counts that stand for `offsets` may be merged: not where any of them was seen.
    pub(super) fn admits(&self, source: &SourcePartition, offsets: Offsets) -> bool {
        self.seen.get(source).is_none_or(|seen| offsets.from >= *seen)
    }

    /// Takes note of a partition's part of a commit; says what is wrong with it.
    pub(super) fn take(&mut self, progress: &SourceProgress) -> Option<Fault> {
        let source = || progress.source.clone();
        let mut fault = None;
        if let Some(offsets) = progress.offsets {
            let seen = self.seen.get(&progress.source).copied().unwrap_or(offsets.from);
            if offsets.from < seen && offsets.to <= offsets.from {
                // It stands for nothing, and says nothing new.
                return None;
            }
            if offsets.from < seen {
                self.faults.overlaps += 1;
                self.seen.insert(source(), seen.max(offsets.to));
                // What was refused was accounted for when it was seen first.
                return Some(Fault::Overlap { source: source(), offsets, seen });
            }
            if offsets.from > seen {
                let missing = Offsets { from: seen, to: offsets.from };
                self.faults.gaps += 1;
                self.faults.gap_offsets += u64::try_from(missing.to - missing.from).unwrap_or(0);
                fault = Some(Fault::Gap { source: source(), offsets: missing });
            }
            self.seen.insert(source(), offsets.to);
        }
        let topic = &progress.source.topic;
        *self.accounting.entry(Arc::clone(topic)).or_default() += progress.counted;
        for (reason, count) in &progress.rejected {
            *self.rejected.entry((Arc::clone(topic), *reason)).or_default() += count;
        }
        fault
    }

    /// Rows that had been counted as used came after their pane had closed.
    pub(super) fn turned_late(&mut self, topic: &Arc<str>, rows: u64) {
        let accounting = self.accounting.entry(Arc::clone(topic)).or_default();
        let before = accounting.late;
        accounting.turned_late(rows);
        let turned = self.turned_late.entry(Arc::clone(topic)).or_default();
        turned.records += accounting.late - before;
        turned.rows += rows;
    }

    pub(super) fn foreign(&mut self, rows: u64) {
        self.faults.foreign_rows += rows;
    }

    /// The offset up to which everything was seen, of each source partition.
    pub fn seen(&self) -> &BTreeMap<SourcePartition, i64> {
        &self.seen
    }

    /// What became of the records of each topic since the beginning of the log.
    pub fn accounting(&self) -> &BTreeMap<Arc<str>, Accounting> {
        &self.accounting
    }

    /// What this evaluator moved from the used ones to the late ones among them, by topic.
    pub fn turned(&self) -> &BTreeMap<Arc<str>, TurnedLate> {
        &self.turned_late
    }

    /// Why records were rejected, by topic.
    pub fn rejected(&self) -> &BTreeMap<(Arc<str>, RejectReason), u64> {
        &self.rejected
    }

    /// How many faults there were.
    pub fn faults(&self) -> FaultCounts {
        self.faults
    }
}
