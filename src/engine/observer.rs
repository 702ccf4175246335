//! The first stage: rows → panes of integer counts, kept per source partition. It decides which
//! rows are late, by the watermark of their own partition, and remembers where in each log reading
//! must begin again so that every open window can be rebuilt.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use arrow::array::Array;

use super::message::{PaneDelta, Progress, ResumePoint};
use super::model::ModelSpec;
use crate::domain::{EventTime, ModelKey, Segment, SourcePartition};
use crate::record::InferenceBatch;
use crate::record::batch::dictionary_values;
use crate::sketch::Summary;
use crate::sketch::code::{NONE, declared_name};
use crate::window::PartitionClock;

/// Event time is remembered in slices of this width when looking for where to begin again.
const MARK: Duration = Duration::from_secs(10);

/// Where a slice of event time first appeared in a partition's log.
#[derive(Clone, Copy, Debug)]
struct Mark {
    offset: i64,
    /// The partition's watermark before that record.
    watermark: Option<EventTime>,
}

#[derive(Debug)]
struct Partition {
    clock: PartitionClock,
    idle_after: Duration,
    /// Next offset to read; none where nothing was committed or read yet, because only the log
    /// knows then where it begins.
    position: Option<i64>,
    /// Records before this offset were read by an earlier run.
    reread_until: i64,
    at_end: bool,
    finished: bool,
    /// Wall time of the last record, milliseconds.
    active_at: i64,
    idle: bool,
    /// The watermark before the record that is being read.
    before: Option<EventTime>,
    panes: BTreeMap<(ModelKey, EventTime), Summary>,
    marks: BTreeMap<EventTime, Mark>,
    /// Offsets and the wall times at which they were read, thinned out.
    read_at: Vec<(i64, i64)>,
    /// Offsets at which the partition woke, and the event time that had closed without it.
    woke: Vec<(i64, i64)>,
    /// A slice that has its mark, so that its further records need not look for it.
    marked: Range<EventTime>,
}

/// Wall time between two samples of `read_at`, in milliseconds, while there are few.
const SAMPLE_EVERY: i64 = 60_000;
/// Samples and wakings that are kept: both go into the metadata of a commit, of 4096 bytes.
const SAMPLES: usize = 48;
const WAKINGS: usize = 24;

/// What is known of a record when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Whether it is new, and not one that an earlier run has read and accounted for.
    pub fresh: bool,
    /// Wall time at its first reading, in milliseconds; for one that is read again, within a minute
    /// or so.
    pub at: i64,
}

/// No slice.
const UNMARKED: Range<EventTime> = EventTime::MIN..EventTime::MIN;

/// The observer of the partitions that this instance reads.
#[derive(Debug, Default)]
pub struct Observer {
    /// Ascending.
    partitions: Vec<(SourcePartition, Partition)>,
    /// The one that was looked for last: records come in runs of one partition.
    last: usize,
    /// Panes that end up to here have closed.
    closed: Option<EventTime>,
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
        let mut state = Partition {
            clock: PartitionClock::new(lateness, resume.and_then(|point| point.watermark)),
            idle_after,
            position: offset,
            reread_until: resume.map_or(0, |point| point.position),
            at_end: false,
            finished: false,
            active_at: now,
            idle: false,
            before: None,
            panes: BTreeMap::new(),
            marks: BTreeMap::new(),
            read_at: resume.map_or_else(Vec::new, |point| point.read_at.clone()),
            woke: resume.map_or_else(Vec::new, |point| point.woke.clone()),
            marked: UNMARKED,
        };
        // A partition that comes while others are well under way finds their closed windows closed.
        if let Some(closed) = self.closed {
            state.clock.raise(closed);
        }
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

    /// Drops `partition` with everything that was counted from it and not yet handed on.
    pub fn revoke(&mut self, partition: &SourcePartition) {
        if let Ok(index) = self.search(partition) {
            self.partitions.remove(index);
        }
    }

    /// Takes note that the record at `offset` was read. `now` is wall time in milliseconds.
    pub fn read(&mut self, partition: &SourcePartition, offset: i64, now: i64) -> Read {
        let closed = self.closed;
        let Some(state) = self.find(partition) else {
            return Read { fresh: true, at: now };
        };
        let fresh = offset >= state.reread_until;
        if fresh {
            if let (true, Some(closed)) = (state.idle, closed) {
                // Windows went on while it slept; what it brings from before them is late.
                state.clock.raise(closed);
                state.woke.push((offset, closed.as_millis()));
            }
            if state.read_at.last().is_none_or(|(_, at)| now - at >= SAMPLE_EVERY) {
                state.read_at.push((offset, now));
            }
        } else if let Some((_, closed)) = state.woke.iter().find(|(woke, _)| *woke == offset) {
            state.clock.raise(EventTime::from_millis(*closed));
        }
        state.position = Some(offset + 1);
        state.before = state.clock.watermark();
        state.active_at = now;
        state.at_end = false;
        state.idle = false;
        let sample = state.read_at.partition_point(|(known, _)| *known <= offset).saturating_sub(1);
        let at = if fresh { now } else { state.read_at.get(sample).map_or(now, |(_, at)| *at) };
        Read { fresh, at }
    }

    /// Decides, in log order, whether a row is on time. A late row must enter no batch.
    pub fn admit(&mut self, partition: &SourcePartition, offset: i64, time: EventTime) -> bool {
        let Some(state) = self.find(partition) else {
            return false;
        };
        let on_time = state.clock.admit(time);
        if on_time && !state.marked.contains(&time) {
            let slice = time.floor(MARK);
            state.marked = slice..slice + MARK;
            let mark = Mark { offset, watermark: state.before };
            state.marks.entry(slice).or_insert(mark);
        }
        on_time
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
                let summary = state.panes.entry((key, pane)).or_insert_with(|| Summary::new(&model.layout));
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

    /// Panes that end up to `until` have closed. A partition that is idle now, and wakes with rows
    /// from before, finds them late.
    pub fn closed(&mut self, until: Option<EventTime>) {
        self.closed = until;
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

    /// Hands on what was counted since the last call, and how far each partition has come. `now` is
    /// wall time in milliseconds; its only use is to tell a silent partition from a slow one.
    pub fn flush(&mut self, now: i64) -> (Vec<PaneDelta>, Progress) {
        let mut deltas = Vec::new();
        let mut progress = Progress {
            finished: !self.partitions.is_empty() && self.partitions.iter().all(|(_, state)| state.finished),
            ..Progress::default()
        };
        for (partition, state) in &mut self.partitions {
            for ((key, pane), summary) in std::mem::take(&mut state.panes) {
                deltas.push(PaneDelta { source: partition.clone(), key, pane, summary });
            }
            let silent = now.saturating_sub(state.active_at) >= state.idle_after.as_millis() as i64;
            state.idle = state.finished || (state.at_end && silent);
            progress.partitions.push((partition.clone(), state.clock.watermark(), state.idle));
        }
        (deltas, progress)
    }

    /// Where each partition's reading must begin again so that panes from `complete_from` on can be
    /// rebuilt: an offset, and what to store with it. A partition of which no offset is known is left
    /// out. Marks that are not needed any more are dropped.
    pub fn resume_points(
        &mut self,
        given_out_until: Option<EventTime>,
        complete_from: Option<EventTime>,
    ) -> Vec<(SourcePartition, i64, ResumePoint)> {
        let mut points = Vec::new();
        for (partition, state) in &mut self.partitions {
            if let Some(from) = complete_from {
                state.marked = UNMARKED;
                state.marks.retain(|slice, _| *slice + MARK > from);
            }
            let mark = state.marks.values().min_by_key(|mark| mark.offset).copied();
            let end = state.position.map(|offset| Mark { offset, watermark: state.clock.watermark() });
            // Where nothing was read and nothing is known there is nothing to store: a made-up offset
            // would be read from at the next start.
            let (Some(mark), Some(position)) = (mark.or(end), state.position) else { continue };
            state.keep_from(mark.offset);
            let point = ResumePoint {
                v: ResumePoint::VERSION,
                watermark: mark.watermark,
                position: position.max(state.reread_until),
                given_out_until,
                complete_from,
                read_at: state.read_at.clone(),
                woke: state.woke.clone(),
            };
            points.push((partition.clone(), mark.offset, point));
        }
        points
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

impl Partition {
    /// Forgets samples and wakings from before `offset`, and thins out what is more than fits.
    fn keep_from(&mut self, offset: i64) {
        let before = self.read_at.partition_point(|(known, _)| *known <= offset).saturating_sub(1);
        self.read_at.drain(..before);
        if self.read_at.len() > SAMPLES {
            let mut number = 0;
            self.read_at.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
        self.woke.retain(|(woke, _)| *woke >= offset);
        let most = self.woke.len().saturating_sub(WAKINGS);
        self.woke.drain(..most);
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
