//! The first stage: rows → panes of integer counts, kept per source partition. It decides which
//! rows are late, by the watermark of their own partition, and says of every count which offsets it
//! stands for.
//!
//! It speaks in commits. [`Observer::flush`] hands out what was counted since the last one and keeps
//! it until [`Observer::settle`] says whether the commit was made: if not, it is part of the next.
//! What was counted from a partition that is taken away is dropped; whoever reads it next begins at
//! the committed offset and counts the same.

mod commit;

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::Array;

use super::message::{Offsets, ResumePoint};
use super::model::ModelSpec;
use crate::domain::{Accounting, EventTime, ModelKey, RejectReason, Segment, SourcePartition};
use crate::record::InferenceBatch;
use crate::record::batch::dictionary_values;
use crate::sketch::Summary;
use crate::sketch::code::{NONE, declared_name};
use crate::window::PartitionClock;

pub use commit::Flushed;

/// What was counted from one partition and is not committed yet.
#[derive(Debug, Default)]
struct Counted {
    panes: BTreeMap<(ModelKey, u64, EventTime), Summary>,
    accounting: Accounting,
    rejected: BTreeMap<RejectReason, u64>,
}

#[derive(Debug)]
struct Partition {
    clock: PartitionClock,
    idle_after: Duration,
    /// First offset that no commit covers; none where nothing was committed or read yet, because
    /// only the log knows then where it begins.
    from: Option<i64>,
    /// Next offset to read.
    position: Option<i64>,
    at_end: bool,
    finished: bool,
    /// Wall time of the last record, milliseconds.
    active_at: i64,
    idle: bool,
    counted: Counted,
    /// What a commit under way holds, and the offset it goes up to.
    sent: Option<(Counted, Option<i64>)>,
}

/// The observer of the partitions that this instance reads.
#[derive(Debug, Default)]
pub struct Observer {
    /// Ascending.
    partitions: Vec<(SourcePartition, Partition)>,
    /// The one that was looked for last: records come in runs of one partition.
    last: usize,
}

/// What a partition looks like from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Next offset to read; none before the first record of a partition without a committed offset.
    pub position: Option<i64>,
    /// Largest event time read.
    pub newest: Option<EventTime>,
    /// The watermark.
    pub watermark: Option<EventTime>,
    /// Caught up and silent.
    pub idle: bool,
}

impl Observer {
    /// Begins with `partition` at `offset`, the committed one; `resume` is what was stored with it.
    /// `now` is wall time in milliseconds.
    pub fn assign(
        &mut self,
        partition: SourcePartition,
        lateness: Duration,
        idle_after: Duration,
        offset: Option<i64>,
        resume: Option<&ResumePoint>,
        now: i64,
    ) {
        let state = Partition {
            clock: PartitionClock::new(lateness, resume.and_then(|point| point.watermark)),
            idle_after,
            from: offset,
            position: offset,
            at_end: false,
            finished: false,
            // Silence goes on when a partition moves.
            active_at: resume.map_or(now, |point| point.active_at.min(now)),
            idle: false,
            counted: Counted::default(),
            sent: None,
        };
        match self.search(&partition) {
            Ok(index) => self.partitions[index].1 = state,
            Err(index) => self.partitions.insert(index, (partition, state)),
        }
    }

    fn search(&self, partition: &SourcePartition) -> Result<usize, usize> {
        self.partitions.binary_search_by(|(known, _)| known.cmp(partition))
    }

    fn find(&mut self, partition: &SourcePartition) -> Option<&mut Partition> {
        if self.partitions.get(self.last).is_none_or(|(known, _)| known != partition) {
            self.last = self.search(partition).ok()?;
        }
        Some(&mut self.partitions[self.last].1)
    }

    /// Drops `partition` with everything that was counted from it and not yet committed.
    pub fn revoke(&mut self, partition: &SourcePartition) {
        if let Ok(index) = self.search(partition) {
            self.partitions.remove(index);
        }
    }

    /// Takes note that the record at `offset` was read. `now` is wall time in milliseconds.
    pub fn read(&mut self, partition: &SourcePartition, offset: i64, now: i64) {
        let Some(state) = self.find(partition) else {
            return;
        };
        state.from.get_or_insert(offset);
        state.position = Some(offset + 1);
        state.active_at = now;
        state.at_end = false;
        state.idle = false;
    }

    /// Takes note that offsets up to `to` were gone before they could be read.
    pub fn lost(&mut self, partition: &SourcePartition, offsets: Offsets) {
        let Some(state) = self.find(partition) else {
            return;
        };
        state.from.get_or_insert(offsets.from);
        state.position = Some(offsets.to);
        state.counted.accounting.lost += u64::try_from(offsets.to - offsets.from).unwrap_or(0);
    }

    /// Takes note of what became of records of `partition`.
    pub fn account(
        &mut self,
        partition: &SourcePartition,
        accounting: Accounting,
        rejected: Option<RejectReason>,
    ) {
        if let Some(state) = self.find(partition) {
            state.counted.accounting += accounting;
            if let Some(reason) = rejected {
                *state.counted.rejected.entry(reason).or_default() += 1;
            }
        }
    }

    /// Decides, in log order, whether a row is on time. A late row must enter no batch.
    pub fn admit(&mut self, partition: &SourcePartition, time: EventTime) -> bool {
        self.find(partition).is_some_and(|state| state.clock.admit(time))
    }

    /// The watermark of `partition`.
    pub fn watermark(&self, partition: &SourcePartition) -> Option<EventTime> {
        let index = self.search(partition).ok()?;
        self.partitions[index].1.clock.watermark()
    }

    /// From now on `partition` allows `lateness`, and is idle after a silence of `idle_after`.
    pub fn retime(&mut self, partition: &SourcePartition, lateness: Duration, idle_after: Duration) {
        if let Some(state) = self.find(partition) {
            state.clock.allow(lateness);
            state.idle_after = idle_after;
        }
    }

    /// Counts a batch of admitted rows that came from `partition`.
    pub fn count(&mut self, partition: &SourcePartition, model: &ModelSpec, batch: &InferenceBatch) {
        let Some(state) = self.find(partition) else {
            return;
        };
        if batch.rows() == 0 {
            return;
        }
        let coded = model.coder.code(batch);
        for ((tenant, version, pane), rows) in split(model, batch) {
            let mut key = ModelKey {
                tenant: tenant.map(|tenant| tenant.as_str().into()),
                model: model.id.clone(),
                version: version.as_str().into(),
                segment: Segment::All,
                profile: model.profile_hash(),
            };
            let mut count = |key: ModelKey, rows: &[u32]| {
                let panes = &mut state.counted.panes;
                let summary =
                    panes.entry((key, model.layout_id, pane)).or_insert_with(|| Summary::new(&model.layout));
                summary.update(&coded, rows);
            };
            count(key.clone(), &rows);
            if !model.segmented() {
                continue;
            }
            for ((name, values), numbers) in model.layout.segments.iter().zip(&coded.segments) {
                let mut parts: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
                for row in &rows {
                    let number = numbers[*row as usize];
                    if number != NONE {
                        parts.entry(number).or_default().push(*row);
                    }
                }
                for (number, rows) in parts {
                    let value = declared_name(values, number);
                    key.segment = Segment::Of { name: name.as_str().into(), value: value.into() };
                    count(key.clone(), &rows);
                }
            }
        }
    }

    /// Reading goes on after a pause. What came meanwhile is not fetched yet, so a partition that was
    /// read to its end before counts as silent from now on only.
    pub fn resumed(&mut self, now: i64) {
        for (_, state) in &mut self.partitions {
            state.active_at = state.active_at.max(now);
            state.idle = state.finished;
        }
    }

    /// The partition's log was read to its end for now.
    pub fn at_end(&mut self, partition: &SourcePartition) {
        if let Some(state) = self.find(partition) {
            state.at_end = true;
        }
    }

    /// The partition's log has ended for good.
    pub fn finish(&mut self, partition: &SourcePartition) {
        if let Some(state) = self.find(partition) {
            state.finished = true;
            state.idle = true;
        }
    }

    /// Each partition as it stands.
    pub fn partitions(&self) -> impl Iterator<Item = (&SourcePartition, PartitionState)> {
        self.partitions.iter().map(|(partition, state)| {
            let view = PartitionState {
                position: state.position,
                newest: state.clock.newest(),
                watermark: state.clock.watermark(),
                idle: state.idle,
            };
            (partition, view)
        })
    }
}

type Part = (Option<String>, String, EventTime);

/// Row numbers by tenant, version and pane. Batches hold few of these, so a list is searched.
fn split(model: &ModelSpec, batch: &InferenceBatch) -> Vec<(Part, Vec<u32>)> {
    let (tenants, versions) = (batch.tenants(), batch.versions());
    let (tenant_names, version_names) = (dictionary_values(tenants), dictionary_values(versions));
    let width = (model.pane.as_millis() as i64).max(1);
    let mut parts: Vec<((i32, i32, i64), Vec<u32>)> = Vec::new();
    let (mut last, mut pane) = (0, 0);
    for (row, time) in batch.event_times().values().iter().enumerate() {
        let tenant = if tenants.is_valid(row) { tenants.keys().value(row) } else { -1 };
        // Neighbours share a pane, and a comparison costs less than a division.
        if time.wrapping_sub(pane) as u64 >= width as u64 {
            pane = time.div_euclid(width) * width;
        }
        let part = (tenant, versions.keys().value(row), pane);
        if parts.get(last).is_none_or(|(known, _)| *known != part) {
            last = parts.iter().position(|(known, _)| *known == part).unwrap_or_else(|| {
                parts.push((part, Vec::new()));
                parts.len() - 1
            });
        }
        parts[last].1.push(row as u32);
    }
    parts
        .into_iter()
        .map(|((tenant, version, pane), rows)| {
            let tenant = usize::try_from(tenant).ok().map(|tenant| tenant_names[tenant].to_owned());
            let version = version_names[version as usize].to_owned();
            ((tenant, version, EventTime::from_millis(pane)), rows)
        })
        .collect()
}
