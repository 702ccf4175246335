//! A record's way through one process: decode, observe, evaluate. It is fed by a source, holds no
//! clock and does no I/O, so that `run`, `replay`, the demo and the tests share every line of it.

mod pictures;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Accounting, EventTime, RejectReason, SourcePartition};
use crate::engine::evaluator::{Evaluated, Evaluator};
use crate::engine::message::{Message, Offsets, Progress, ResumePoint};
use crate::engine::model::ModelSpec;
use crate::engine::observer::{Flushed, Observer};
use crate::ingest::decoder::{Decoder, Limits, Rejected};
use crate::ingest::mapping::TopicMapping;
use crate::ingest::source::{Assigned, RawRecord, SourceEvent};
use crate::record::BatchBuilder;

pub use pictures::Pictures;
use versions::Versions;

/// Rows that are collected before they are counted together.
const BATCH_ROWS: usize = 8_192;

/// One source topic, as it is read.
#[derive(Clone, Debug)]
pub struct TopicSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Where its fields are.
    pub mapping: TopicMapping,
    /// The models it carries, in the order of the mapping.
    pub models: Vec<Arc<ModelSpec>>,
    /// How far behind its newest record another may be and still count.
    pub allowed_lateness: Duration,
    /// Silence after which a partition that was read to its end holds nothing back.
    pub idle_after: Duration,
}

/// A rejected record, and where it stood. The sink borrows its bytes if it may keep any.
pub type RejectSink<'a> = dyn FnMut(&RawRecord<'_>, &Rejected) + 'a;

#[derive(Debug)]
struct Topic {
    decoder: Decoder,
    models: Vec<Arc<ModelSpec>>,
    allowed_lateness: Duration,
    idle_after: Duration,
    accounting: Accounting,
    rejected: BTreeMap<RejectReason, u64>,
}

/// One partition that is read.
#[derive(Debug)]
struct Lane {
    partition: SourcePartition,
    /// Index of its topic.
    topic: usize,
    /// Rows of one model that were admitted and not yet counted.
    builders: Vec<BatchBuilder>,
}

/// From records to counts: decoding and the observer, of the partitions that are read here.
#[derive(Debug)]
pub struct Counting {
    topics: Vec<(Arc<str>, Topic)>,
    /// By partition, ascending.
    lanes: Vec<Lane>,
    /// The lane of the last record: records come in runs of one partition.
    last: usize,
    observer: Observer,
    versions: Versions,
}

impl Counting {
    /// Counts the records of `topics`.
    pub fn new(topics: Vec<TopicSpec>, limits: Limits) -> Self {
        let topics = topics
            .into_iter()
            .map(|topic| {
                let state = Topic {
                    decoder: Decoder::new(&topic.mapping, limits),
                    models: topic.models,
                    allowed_lateness: topic.allowed_lateness,
                    idle_after: topic.idle_after,
                    accounting: Accounting::default(),
                    rejected: BTreeMap::new(),
                };
                (topic.name, state)
            })
            .collect();
        Self {
            topics,
            lanes: Vec::new(),
            last: 0,
            observer: Observer::default(),
            versions: Versions::default(),
        }
    }

    /// Takes one event from the source. `now` is wall time in milliseconds.
    pub fn handle(&mut self, event: SourceEvent<'_>, now: i64, rejects: &mut RejectSink<'_>) {
        match event {
            SourceEvent::Record(record) => self.record(&record, now, rejects),
            SourceEvent::Assigned(partitions) => self.assign(partitions, now),
            SourceEvent::Revoked(partitions) => {
                for partition in partitions {
                    self.observer.revoke(&partition);
                    self.lanes.retain(|lane| lane.partition != partition);
                }
            }
            SourceEvent::Lost { partition, from, to } => {
                self.observer.lost(&partition, Offsets { from, to });
                if let Some(topic) = self.topic(&partition) {
                    let lost = u64::try_from(to.saturating_sub(from)).unwrap_or(0);
                    self.topics[topic].1.accounting.lost += lost;
                }
            }
            SourceEvent::EndOfPartition(partition) => self.observer.at_end(&partition),
            SourceEvent::Finished(partition) => self.observer.finish(&partition),
        }
    }

    fn assign(&mut self, partitions: Vec<Assigned>, now: i64) {
        for assigned in partitions {
            let Some(index) = self.topic(&assigned.partition) else {
                continue;
            };
            let topic = &self.topics[index].1;
            let resume = assigned.metadata.as_deref().and_then(ResumePoint::from_metadata);
            let builders = topic.models.iter().map(|model| BatchBuilder::new(Arc::clone(&model.schema)));
            let lane =
                Lane { partition: assigned.partition.clone(), topic: index, builders: builders.collect() };
            match self.search(&lane.partition) {
                Ok(known) => self.lanes[known] = lane,
                Err(place) => self.lanes.insert(place, lane),
            }
            self.observer.assign(
                assigned.partition,
                topic.allowed_lateness,
                topic.idle_after,
                assigned.offset,
                resume.as_ref(),
                now,
            );
        }
    }

    /// Index of the partition's topic.
    fn topic(&self, partition: &SourcePartition) -> Option<usize> {
        self.topics.iter().position(|(name, _)| *name == partition.topic)
    }

    fn search(&self, partition: &SourcePartition) -> Result<usize, usize> {
        self.lanes.binary_search_by(|lane| lane.partition.cmp(partition))
    }

    /// Index of the partition's lane.
    fn lane(&mut self, partition: &SourcePartition) -> Option<usize> {
        if self.lanes.get(self.last).is_none_or(|lane| lane.partition != *partition) {
            self.last = self.search(partition).ok()?;
        }
        Some(self.last)
    }

    fn record(&mut self, record: &RawRecord<'_>, now: i64, rejects: &mut RejectSink<'_>) {
        let lane = self.lane(record.partition);
        let Some(topic) = lane.map(|lane| self.lanes[lane].topic).or_else(|| self.topic(record.partition))
        else {
            return;
        };
        let topic = &mut self.topics[topic].1;
        self.observer.read(record.partition, record.offset, now);
        let decoded = match topic.decoder.decode(record, now) {
            Ok(decoded) => decoded,
            Err(rejected) => {
                topic.reject(&mut self.observer, record.partition, rejected.reason);
                return rejects(record, &rejected);
            }
        };
        let model = decoded.model();
        let Some(builder) = lane.and_then(|lane| self.lanes[lane].builders.get_mut(model)) else {
            return;
        };
        let id = &topic.models[model].id;
        let room = |row| self.versions.admit(id, decoded.tenant(row), decoded.version(row));
        if !(0..decoded.times().len()).all(room) {
            let detail = format!("the model has {} live versions already", versions::MOST);
            let reason = RejectReason::TooManyVersions;
            topic.reject(&mut self.observer, record.partition, reason);
            return rejects(record, &Rejected { reason, detail });
        }
        let sampled = topic.models[model].coder.samples();
        let mut used = 0;
        for (row, time) in decoded.times().iter().enumerate() {
            if self.observer.admit(record.partition, *time) {
                let id = if sampled { decoded.id(row) } else { None };
                builder.append_identified(
                    *time,
                    decoded.tenant(row),
                    decoded.version(row),
                    id,
                    decoded.cells(row),
                );
                used += 1;
            }
        }
        let rows = decoded.times().len() as u64;
        let accounting = Accounting {
            records: 1,
            used: u64::from(used > 0),
            late: u64::from(used == 0),
            rows,
            late_rows: rows - used,
            ..Accounting::default()
        };
        topic.accounting += accounting;
        self.observer.account(record.partition, accounting, None);
        if builder.rows() >= BATCH_ROWS {
            self.observer.count(record.partition, &topic.models[model], &builder.finish());
        }
    }

    /// Counts what has come in and hands it out, to be settled. `now` is wall time in milliseconds.
    pub fn flush(&mut self, now: i64) -> Flushed {
        for lane in &mut self.lanes {
            let (_, topic) = &self.topics[lane.topic];
            for (builder, model) in lane.builders.iter_mut().zip(&topic.models) {
                if builder.rows() > 0 {
                    self.observer.count(&lane.partition, model, &builder.finish());
                }
            }
        }
        self.observer.flush(now)
    }

    /// Says what became of the commit of what was flushed last.
    pub fn settle(&mut self, committed: bool) {
        self.observer.settle(committed);
    }

    /// Forgets versions that have not been seen since the last call but one.
    pub fn forget_versions(&mut self) {
        self.versions.rotate();
    }

    /// Record classes of all topics together, since this was made.
    pub fn accounting(&self) -> Accounting {
        let mut sum = Accounting::default();
        for (_, topic) in &self.topics {
            sum += topic.accounting;
        }
        sum
    }
}

impl Topic {
    fn reject(&mut self, observer: &mut Observer, partition: &SourcePartition, reason: RejectReason) {
        let accounting = Accounting { records: 1, rejected: 1, ..Accounting::default() };
        self.accounting += accounting;
        *self.rejected.entry(reason).or_default() += 1;
        observer.account(partition, accounting, Some(reason));
    }
}

/// Everything between a source and the actor in one process, with nothing in between: for `replay`, the
/// demo and tests.
#[derive(Debug)]
pub struct Pipeline {
    counting: Counting,
    evaluator: Evaluator,
    pictures: Pictures,
}

impl Pipeline {
    /// A pipeline for `topics`.
    pub fn new(topics: Vec<TopicSpec>, limits: Limits) -> Self {
        let evaluator = Evaluator::new(models(&topics));
        Self { counting: Counting::new(topics, limits), evaluator, pictures: Pictures::default() }
    }

    /// Takes one event from the source. `now` is wall time in milliseconds.
    pub fn handle(&mut self, event: SourceEvent<'_>, now: i64, rejects: &mut RejectSink<'_>) {
        if let SourceEvent::Assigned(partitions) = &event {
            for assigned in partitions {
                self.evaluator.expect(assigned.partition.clone());
            }
        }
        self.counting.handle(event, now, rejects);
    }

    /// Counts what has come in, closes panes, evaluates windows, steps policies. `now` is wall time
    /// in milliseconds.
    pub fn evaluate(&mut self, now: i64) -> Evaluated {
        let flushed = self.counting.flush(now);
        self.counting.settle(true);
        let mut evaluated = Evaluated::default();
        for delta in flushed.deltas {
            evaluated.join(self.evaluator.take(Message::Delta(delta)));
        }
        let progress = Progress { wall: now, sources: flushed.sources, topics: BTreeMap::new() };
        evaluated.join(self.evaluator.take(Message::Progress(progress)));
        self.counting.versions.renew(self.evaluator.live());
        self.pictures.take(&evaluated);
        evaluated
    }

    /// The least watermark of the input.
    pub fn watermark(&self) -> Option<EventTime> {
        self.evaluator.watermark()
    }

    /// Record classes of all topics together: rows whose panes had closed before they came are late.
    pub fn accounting(&self) -> Accounting {
        let mut sum = Accounting::default();
        self.evaluator.intake().accounting().values().for_each(|topic| sum += *topic);
        sum
    }
}

/// The models of `topics`, each once.
pub fn models(topics: &[TopicSpec]) -> Vec<Arc<ModelSpec>> {
    let all = topics.iter().flat_map(|topic| &topic.models);
    let models: BTreeMap<_, _> = all.map(|model| (model.id.clone(), Arc::clone(model))).collect();
    models.into_values().collect()
}
