//! A record's way through one process: decode, observe, evaluate. It is fed by a source, holds no
//! clock and does no I/O, so that `run`, `replay`, the demo and the tests share every line of it.

mod pictures;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Accounting, Decision, EventTime, RejectReason, SourcePartition};
use crate::engine::evaluator::{Evaluated, Evaluator};
use crate::engine::message::{PaneDelta, Progress, ResumePoint};
use crate::engine::model::ModelSpec;
use crate::engine::observer::{Observer, Read};
use crate::ingest::decoder::{Decoder, Limits, Rejected};
use crate::ingest::mapping::TopicMapping;
use crate::ingest::source::{Assigned, Commit, RawRecord, SourceEvent};
use crate::record::BatchBuilder;

use pictures::Pictures;
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

/// Everything between a source and the actor.
#[derive(Debug)]
pub struct Pipeline {
    topics: Vec<(Arc<str>, Topic)>,
    /// By partition, ascending.
    lanes: Vec<Lane>,
    /// The lane of the last record: records come in runs of one partition.
    last: usize,
    observer: Observer,
    evaluator: Evaluator,
    pictures: Pictures,
    versions: Versions,
    /// A partition was taken away: what was counted from it cannot be told apart any more.
    interrupted: bool,
    /// Decisions of earlier runs, oldest first, until the evaluator has them.
    past: Vec<Decision>,
}

impl Pipeline {
    /// A pipeline for `topics`. `past` are the decisions of earlier runs, oldest first.
    pub fn new(topics: Vec<TopicSpec>, limits: Limits, past: Vec<Decision>) -> Self {
        let mut models: BTreeMap<_, Arc<ModelSpec>> = BTreeMap::new();
        for model in topics.iter().flat_map(|topic| &topic.models) {
            models.insert(model.id.clone(), Arc::clone(model));
        }
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
            evaluator: Evaluator::new(models.into_values()),
            pictures: Pictures::default(),
            versions: Versions::default(),
            interrupted: false,
            past,
        }
    }

    /// Takes one event from the source. `now` is wall time in milliseconds.
    pub fn handle(&mut self, event: SourceEvent<'_>, now: i64, rejects: &mut RejectSink<'_>) {
        match event {
            SourceEvent::Record(record) => self.record(&record, now, rejects),
            SourceEvent::Assigned(partitions) => self.assign(partitions, now),
            SourceEvent::Revoked(partitions) => {
                self.interrupted = true;
                for partition in partitions {
                    self.observer.revoke(&partition);
                    self.evaluator.forget(&partition);
                    self.lanes.retain(|lane| lane.partition != partition);
                }
            }
            SourceEvent::Lost { .. } => {}
            SourceEvent::EndOfPartition(partition) => self.observer.at_end(&partition),
            SourceEvent::Finished(partition) => self.observer.finish(&partition),
        }
    }

    /// Whether partitions were taken away, so that this pipeline must be built anew from the
    /// committed offsets.
    pub fn interrupted(&self) -> bool {
        self.interrupted
    }

    fn assign(&mut self, partitions: Vec<Assigned>, now: i64) {
        let mut given_out = None;
        let mut complete_from = None;
        for assigned in partitions {
            let Some(index) = self.topic(&assigned.partition) else {
                continue;
            };
            let topic = &self.topics[index].1;
            let resume = assigned.metadata.as_deref().and_then(ResumePoint::from_metadata);
            given_out = given_out.max(resume.as_ref().and_then(|point| point.given_out_until));
            complete_from = complete_from.max(resume.as_ref().and_then(|point| point.complete_from));
            self.evaluator.expect(assigned.partition.clone());
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
        self.evaluator.resume(given_out, complete_from, std::mem::take(&mut self.past));
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
        let Read { fresh, at } = self.observer.read(record.partition, record.offset, now);
        let decoded = match topic.decoder.decode(record, at) {
            Ok(decoded) => decoded,
            Err(rejected) => {
                // A record that is read again after a restart was accounted for before it.
                if fresh {
                    topic.accounting.records += 1;
                    topic.accounting.rejected += 1;
                    *topic.rejected.entry(rejected.reason).or_default() += 1;
                    rejects(record, &rejected);
                }
                return;
            }
        };
        let model = decoded.model();
        let Some(builder) = lane.and_then(|lane| self.lanes[lane].builders.get_mut(model)) else {
            return;
        };
        let id = &topic.models[model].id;
        let room = |row| self.versions.admit(id, decoded.tenant(row), decoded.version(row));
        if !(0..decoded.times().len()).all(room) {
            if fresh {
                topic.accounting.records += 1;
                topic.accounting.rejected += 1;
                *topic.rejected.entry(RejectReason::TooManyVersions).or_default() += 1;
                let detail = format!("the model has {} live versions already", versions::MOST);
                rejects(record, &Rejected { reason: RejectReason::TooManyVersions, detail });
            }
            return;
        }
        let sampled = topic.models[model].coder.samples();
        let mut used = 0;
        for (row, time) in decoded.times().iter().enumerate() {
            if self.observer.admit(record.partition, record.offset, *time) {
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
        if fresh {
            let rows = decoded.times().len() as u64;
            topic.accounting += Accounting {
                records: 1,
                used: u64::from(used > 0),
                late: u64::from(used == 0),
                rejected: 0,
                rows,
                late_rows: rows - used,
            };
        }
        if builder.rows() >= BATCH_ROWS {
            self.observer.count(record.partition, &topic.models[model], &builder.finish());
        }
    }

    /// Counts what has come in and hands on what it adds to panes, without evaluating any: for
    /// commands that look at panes themselves. `now` is wall time in milliseconds.
    pub fn counted(&mut self, now: i64) -> (Vec<PaneDelta>, Progress) {
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

    /// Counts what has come in, closes panes, evaluates windows, steps policies. `now` is wall time
    /// in milliseconds.
    pub fn evaluate(&mut self, now: i64) -> Evaluated {
        let (deltas, progress) = self.counted(now);
        for delta in deltas {
            self.evaluator.merge(delta);
        }
        let evaluated = self.evaluator.advance(&progress);
        self.observer.closed(self.evaluator.given_out_until());
        self.versions.renew(self.evaluator.live());
        self.pictures.take(&evaluated);
        evaluated
    }

    /// What to commit so that a restart can rebuild every open window and gives nothing out twice.
    /// Call it only when the findings and decisions of the last evaluation have been given out.
    pub fn commits(&mut self) -> Vec<Commit> {
        let given_out = self.evaluator.given_out_until();
        let needed = self.evaluator.needed_from();
        self.observer
            .resume_points(given_out, needed)
            .into_iter()
            .map(|(partition, offset, point)| Commit { partition, offset, metadata: point.to_metadata() })
            .collect()
    }

    /// Every decision, of earlier runs and of this one, without its evidence; oldest first.
    pub fn past_decisions(&self) -> Vec<Decision> {
        [&self.past, self.evaluator.past()].concat()
    }

    /// The least watermark of the input.
    pub fn watermark(&mut self) -> Option<EventTime> {
        self.evaluator.watermark()
    }

    /// Record classes of all topics together.
    pub fn accounting(&self) -> Accounting {
        let mut sum = Accounting::default();
        for (_, topic) in &self.topics {
            sum += topic.accounting;
        }
        sum
    }
}
