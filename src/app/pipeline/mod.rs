//! A record's way through one process: decode, observe, evaluate. It is fed by a source, holds no
//! clock and does no I/O, so that `run`, `replay`, the demo and the tests share every line of it.

mod eras;
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
use crate::ingest::decoder::{Limits, Rejected};
use crate::ingest::mapping::TopicMapping;
use crate::ingest::source::{Assigned, RawRecord, SourceEvent};
use crate::record::BatchBuilder;

use eras::{Era, Reading};
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

/// What became of a topic's records.
#[derive(Debug, Default)]
struct Topic {
    accounting: Accounting,
    rejected: BTreeMap<RejectReason, u64>,
}

/// One partition that is read.
#[derive(Debug)]
struct Lane {
    partition: SourcePartition,
    /// Index of its topic.
    topic: usize,
    /// Number of the generation that its rows have come to.
    era: u64,
    /// Rows of one model that were admitted and not yet counted, by generation.
    builders: Vec<(u64, Vec<BatchBuilder>)>,
}

/// From records to counts: decoding and the observer, of the partitions that are read here.
#[derive(Debug)]
pub struct Counting {
    topics: Vec<(Arc<str>, Topic)>,
    limits: Limits,
    /// How records are read, by generation of the configuration, ascending; at least one.
    eras: Vec<Era>,
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
        Self::of_generation(0, EventTime::MIN, topics, limits)
    }

    /// The same, where `topics` are those of generation `number` of the configuration, which is for
    /// rows from event time `from` on.
    pub fn of_generation(number: u64, from: EventTime, topics: Vec<TopicSpec>, limits: Limits) -> Self {
        let names: Vec<Arc<str>> = topics.iter().map(|topic| Arc::clone(&topic.name)).collect();
        Self {
            eras: vec![Era::new(number, from, topics, &names, limits)],
            topics: names.into_iter().map(|name| (name, Topic::default())).collect(),
            limits,
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
            let resume = assigned.metadata.as_deref().and_then(ResumePoint::from_metadata);
            let era = &self.eras[self.era_at(resume.as_ref().and_then(|point| point.watermark))];
            let (lateness, idle) = times(era, index);
            let partition = assigned.partition.clone();
            let lane = Lane { partition, topic: index, era: era.number, builders: Vec::new() };
            match self.search(&lane.partition) {
                Ok(known) => self.lanes[known] = lane,
                Err(place) => self.lanes.insert(place, lane),
            }
            self.observer.assign(assigned.partition, lateness, idle, assigned.offset, resume.as_ref(), now);
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
        self.observer.read(record.partition, record.offset, now);
        let Self { topics, eras, lanes, observer, versions, .. } = self;
        let (topic, index) = (&mut topics[topic].1, topic);
        let mut lane = lane.map(|lane| &mut lanes[lane]);
        let come_to = lane.as_ref().map_or(0, |lane| lane.era);
        let first = eras.iter().position(|era| era.number >= come_to).unwrap_or(eras.len() - 1);
        let (mut rows, mut used, mut rejected) = (0, 0, None);
        for number in first..eras.len() {
            // The rows of this generation, of which the first one left takes what is before it too.
            let from = if number == first { EventTime::MIN } else { eras[number].from };
            let to = eras.get(number + 1).map(|next| next.from);
            let Era { number: era, topics: readings, .. } = &mut eras[number];
            let Some(Reading { decoder, models, .. }) = &mut readings[index] else { continue };
            let decoded = match decoder.decode(record, now) {
                Ok(decoded) => decoded,
                Err(why) => {
                    // The next generation may know what this one does not.
                    rejected.get_or_insert(why);
                    continue;
                }
            };
            let (times, model) = (decoded.times(), decoded.model());
            let mine = |time: &EventTime| *time >= from && to.is_none_or(|to| *time < to);
            let later = to.is_some_and(|to| times.iter().any(|time| *time >= to));
            if times.is_empty() || times.iter().any(mine) {
                let Some(lane) = &mut lane else { return };
                let Some(builder) = builders(lane, *era, models).get_mut(model) else { return };
                let id = &models[model].id;
                let room = |row| versions.admit(id, decoded.tenant(row), decoded.version(row));
                if !(0..times.len()).all(room) {
                    let detail = format!("the model has {} live versions already", versions::MOST);
                    let reason = RejectReason::TooManyVersions;
                    topic.reject(observer, record.partition, reason);
                    return rejects(record, &Rejected { reason, detail });
                }
                let sampled = models[model].coder.samples();
                for (row, time) in times.iter().enumerate().filter(|(_, time)| mine(time)) {
                    rows += 1;
                    if observer.admit(record.partition, *time) {
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
                if builder.rows() >= BATCH_ROWS {
                    observer.count(record.partition, &models[model], &builder.finish());
                }
                // What one generation can use is no reject, whatever another says.
                rejected = None;
            }
            if !later {
                break;
            }
        }
        if let Some(rejected) = rejected.filter(|_| rows == 0) {
            topic.reject(observer, record.partition, rejected.reason);
            return rejects(record, &rejected);
        }
        let accounting = Accounting {
            records: 1,
            used: u64::from(used > 0),
            late: u64::from(used == 0),
            rows,
            late_rows: rows - used,
            ..Accounting::default()
        };
        topic.accounting += accounting;
        observer.account(record.partition, accounting, None);
        if first + 1 < eras.len()
            && let Some(lane) = lane
        {
            let watermark = observer.watermark(record.partition);
            let next = &eras[first + 1];
            if watermark.is_some_and(|watermark| next.from <= watermark) {
                lane.era = next.number;
                let (lateness, idle) = times(next, index);
                observer.retime(record.partition, lateness, idle);
            }
        }
    }

    /// Counts what has come in and hands it out, to be settled. `now` is wall time in milliseconds.
    pub fn flush(&mut self, now: i64) -> Flushed {
        for lane in &mut self.lanes {
            for (number, builders) in &mut lane.builders {
                let era = self.eras.iter().find(|era| era.number == *number);
                let Some(reading) = era.and_then(|era| era.topics[lane.topic].as_ref()) else { continue };
                for (builder, model) in builders.iter_mut().zip(&reading.models) {
                    if builder.rows() > 0 {
                        self.observer.count(&lane.partition, model, &builder.finish());
                    }
                }
            }
        }
        self.retire();
        self.observer.flush(now)
    }

    /// Reading goes on after a pause; `now` is wall time in milliseconds.
    pub fn resumed(&mut self, now: i64) {
        self.observer.resumed(now);
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

/// How late a row of topic number `topic` may be, and after how long a partition is idle.
fn times(era: &Era, topic: usize) -> (Duration, Duration) {
    era.topics[topic].as_ref().map_or_else(Default::default, |it| (it.allowed_lateness, it.idle_after))
}

/// The lane's builders of a generation.
fn builders<'a>(lane: &'a mut Lane, era: u64, models: &[Arc<ModelSpec>]) -> &'a mut Vec<BatchBuilder> {
    let place = lane.builders.iter().position(|(number, _)| *number == era).unwrap_or_else(|| {
        let of = |model: &Arc<ModelSpec>| BatchBuilder::new(Arc::clone(&model.schema));
        lane.builders.push((era, models.iter().map(of).collect()));
        lane.builders.len() - 1
    });
    &mut lane.builders[place].1
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
