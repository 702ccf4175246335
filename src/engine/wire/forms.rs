//! The shapes of messages whose own types leave out empty fields in JSON: a binary message has no names
//! of fields, so every field is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::{
    Accounting, EventTime, ModelId, ModelKey, ProfileHash, RejectReason, Segment, SourcePartition, Tenant,
    Version,
};
use crate::engine::message::{Message, Offsets, PaneDelta, Progress, SourceProgress};
use crate::sketch::{CellCounts, GroupOutcomes, Latency, PerformanceCounts, Summary};

/// A segment: none for all of the traffic, else its column and value. As one text, a column whose name
/// holds `=` would be read back as another segment.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SegmentForm(Option<(Arc<str>, Arc<str>)>);

impl SegmentForm {
    pub(super) fn of(segment: &Segment) -> Self {
        match segment {
            Segment::All => Self(None),
            Segment::Of { name, value } => Self(Some((Arc::clone(name), Arc::clone(value)))),
        }
    }

    pub(super) fn segment(self) -> Segment {
        self.0.map_or(Segment::All, |(name, value)| Segment::Of { name, value })
    }
}

/// A model key: model, version, segment, tenant, profile.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeyForm(ModelId, Version, SegmentForm, Option<Tenant>, Option<ProfileHash>);

impl KeyForm {
    pub(super) fn of(key: &ModelKey) -> Self {
        let ModelKey { tenant, model, version, segment, profile } = key.clone();
        Self(model, version, SegmentForm::of(&segment), tenant, profile)
    }

    pub(super) fn key(self) -> ModelKey {
        let Self(model, version, segment, tenant, profile) = self;
        ModelKey { tenant, model, version, segment: segment.segment(), profile }
    }
}

/// Counts of a pane.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SummaryForm {
    rows: u64,
    columns: Vec<CellCounts>,
    groups: Vec<Vec<GroupOutcomes>>,
    performance: PerformanceCounts,
    standing_out: Vec<u64>,
    /// Values in microseconds and how often each was seen, ascending.
    latency: Option<Vec<(u64, u32)>>,
}

impl SummaryForm {
    pub(super) fn of(summary: &Summary) -> Self {
        Self {
            rows: summary.rows,
            columns: summary.columns.clone(),
            groups: summary.groups.clone(),
            performance: summary.performance.clone(),
            standing_out: summary.standing_out.clone(),
            latency: summary.latency.as_ref().map(|latency| latency.counts().collect()),
        }
    }

    pub(super) fn summary(self) -> Summary {
        let Self { rows, columns, groups, performance, standing_out, latency } = self;
        let latency = latency.map(Latency::of_counts);
        Summary { rows, columns, groups, performance, standing_out, latency }
    }
}

/// Counts that one source partition added to one pane.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DeltaForm {
    source: SourcePartition,
    offsets: Offsets,
    key: KeyForm,
    layout: u64,
    pane: EventTime,
    summary: SummaryForm,
}

impl DeltaForm {
    pub(super) fn of(delta: &PaneDelta) -> Self {
        Self {
            source: delta.source.clone(),
            offsets: delta.offsets,
            key: KeyForm::of(&delta.key),
            layout: delta.layout,
            pane: delta.pane,
            summary: SummaryForm::of(&delta.summary),
        }
    }

    pub(super) fn message(self) -> PaneDelta {
        let Self { source, offsets, key, layout, pane, summary } = self;
        PaneDelta { source, offsets, key: key.key(), layout, pane, summary: summary.summary() }
    }
}

/// How far one source partition has come.
#[derive(Debug, Serialize, Deserialize)]
struct SourceForm {
    source: SourcePartition,
    offsets: Option<Offsets>,
    watermark: Option<EventTime>,
    idle: bool,
    finished: bool,
    counted: Accounting,
    rejected: BTreeMap<RejectReason, u64>,
}

/// The end of an observer's commit.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ProgressForm {
    wall: i64,
    sources: Vec<SourceForm>,
    topics: BTreeMap<Arc<str>, i32>,
}

impl ProgressForm {
    pub(super) fn of(progress: &Progress) -> Self {
        let source = |progress: &SourceProgress| {
            let SourceProgress { source, offsets, watermark, idle, finished, counted, rejected } =
                progress.clone();
            SourceForm { source, offsets, watermark, idle, finished, counted, rejected }
        };
        Self {
            wall: progress.wall,
            sources: progress.sources.iter().map(source).collect(),
            topics: progress.topics.clone(),
        }
    }
}

impl From<ProgressForm> for Progress {
    fn from(form: ProgressForm) -> Self {
        let source = |form: SourceForm| {
            let SourceForm { source, offsets, watermark, idle, finished, counted, rejected } = form;
            SourceProgress { source, offsets, watermark, idle, finished, counted, rejected }
        };
        Self { wall: form.wall, sources: form.sources.into_iter().map(source).collect(), topics: form.topics }
    }
}

impl From<DeltaForm> for Message {
    fn from(form: DeltaForm) -> Self {
        Self::Delta(form.message())
    }
}
