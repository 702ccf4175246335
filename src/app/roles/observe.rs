//! The observer's role: input records → counts on the exchange. One transaction per commit interval
//! holds what was counted, how far each partition has come, the rejected records and the source
//! offsets, so that a record is counted once however often an observer dies or a partition moves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::ClientConfig;

use super::settle::{Meanwhile, Settled, settle};
use super::{Around, Ended, sessions};
use crate::app::clock::now_millis;
use crate::app::pipeline::Counting;
use crate::app::reload::Configurations;
use crate::domain::SourcePartition;
use crate::engine::Generation;
use crate::engine::message::{Message, Progress, ResumePoint, exchange_partition};
use crate::engine::observer::Flushed;
use crate::engine::view::{ConfigurationView, View};
use crate::engine::wire;
use crate::exchange::transaction::{Offset, Transactor};
use crate::exchange::{Keep, RejectedRecord};
use crate::ingest::decoder::{Limits, Rejected};
use crate::ingest::kafka::{self, KafkaSource};
use crate::ingest::source::{Assigned, RawRecord, Source, SourceEvent};
use crate::telemetry::{Rebalance, Stage};

/// Name of the readiness condition.
pub const ROLE: &str = "observe";
/// Events that are taken from the source at a time, and how long to wait for the first of them.
const EVENTS: usize = 4_096;
const PATIENCE: Duration = Duration::from_millis(50);
/// Rejected records that are held back for a commit; with more of them the commit comes early.
const LETTERS: usize = 5_000;
/// How long the cluster may take to tell how many partitions the input has.
const LOOKUP: Duration = Duration::from_secs(3);
/// How long the broker may take at a time to give us our name, so that a stop is heard in between.
const TAKE_NAME: Duration = Duration::from_millis(500);
/// How often versions that are not seen any more are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(600);
/// How often the picture is renewed.
const SHOW_EVERY: Duration = Duration::from_millis(250);

/// What an observer needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The input topics as they are read, in each generation.
    pub configurations: Arc<Configurations>,
    /// Limits on records.
    pub limits: Limits,
    /// The consumer of the input.
    pub source: kafka::Config,
    /// The connection of the producer.
    pub client: ClientConfig,
    /// Its transactional id.
    pub id: String,
    /// The exchange's topic, and how many partitions it has.
    pub partials: String,
    /// See `partials`.
    pub partitions: i32,
    /// Where rejected records go; none: they are only counted.
    pub dead_letter_topic: Option<String>,
    /// How much of them goes along.
    pub keep: Keep,
}

/// Observes until it is time to stop.
///
/// # Errors
/// When the configuration cannot work, or another instance runs under the same name.
pub fn serve(settings: &Settings, around: &Around) -> anyhow::Result<()> {
    sessions(ROLE, around, || session(settings, around))
}

/// A rejected record on its way.
struct Letter {
    partition: SourcePartition,
    headers: Vec<(&'static str, String)>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

struct Session<'a> {
    settings: &'a Settings,
    around: &'a Around,
    source: KafkaSource,
    counting: Counting,
    letters: Vec<Letter>,
    /// Why the session cannot go on.
    failed: Option<anyhow::Error>,
}

fn session(settings: &Settings, around: &Around) -> anyhow::Result<Ended> {
    let mut transactor = Transactor::new(&settings.client, &settings.id)?;
    // Before the group is joined: what our predecessor had open ends here.
    loop {
        match transactor.init(TAKE_NAME) {
            Ok(true) => break,
            Ok(false) if around.stopping() => return Ok(Ended::Stopped),
            Ok(false) => around.readiness.unmet(ROLE, "Kafka has not answered yet"),
            Err(error) if error.is_fenced() => return Ok(Ended::Fenced(error.into())),
            Err(error) => return Err(error).context("the observer cannot write to the exchange"),
        }
    }
    let newest = settings.configurations.newest().context("no configuration is published")?;
    let compiled = settings.configurations.compiled(newest.number)?;
    let topics = compiled.topics.clone();
    let mut session = Session {
        settings,
        around,
        source: KafkaSource::new(&settings.source).context("cannot read the input")?,
        counting: Counting::of_generation(newest.number, newest.from(), topics, settings.limits),
        letters: Vec::new(),
        failed: None,
    };
    around.readiness.unmet(ROLE, "the group has not given out partitions yet");
    let ended = session.run(&mut transactor)?;
    // The group hears at once that we leave.
    drop(session);
    Ok(ended)
}

impl Session<'_> {
    fn run(&mut self, transactor: &mut Transactor) -> anyhow::Result<Ended> {
        let begun = Instant::now();
        let (mut commit, mut forget, mut show) =
            (begun + self.around.commit_interval, begun + FORGET_EVERY, begun);
        loop {
            let stopping = self.around.stopping();
            if !stopping {
                if let Err(error) = self.settings.configurations.poll() {
                    return Ok(Ended::Anew(error));
                }
                self.learn()?;
                self.take(EVENTS, PATIENCE).context("the input cannot be read")?;
            }
            if let Some(why) = self.failed.take() {
                return Ok(if stopping { Ended::Stopped } else { Ended::Anew(why) });
            }
            let now = Instant::now();
            if stopping || now >= commit || self.letters.len() >= LETTERS {
                if let Some(ended) = self.commit(transactor)? {
                    return Ok(ended);
                }
                // Not `now`: a commit that took long must not be followed by the next at once.
                commit = Instant::now() + self.around.commit_interval;
            }
            if now >= forget {
                self.counting.forget_versions();
                forget = now + FORGET_EVERY;
            }
            if stopping || now >= show {
                self.show();
                show = now + SHOW_EVERY;
            }
            if stopping {
                return Ok(Ended::Stopped);
            }
        }
    }

    fn take(&mut self, most: usize, patience: Duration) -> Result<(), kafka::Error> {
        let now = now_millis();
        let mut tally = Tally::default();
        let mut busy = Duration::ZERO;
        let Self { settings, around, source, counting, letters, failed } = self;
        source.poll(most, patience, &mut |event| {
            let began = Instant::now();
            match &event {
                SourceEvent::Record(record) => tally.record(record),
                SourceEvent::Assigned(partitions) => {
                    if let Err(error) = take_up(&settings.configurations, counting, partitions) {
                        failed.get_or_insert(error);
                    }
                    around.telemetry.rebalance(Rebalance::Assign);
                    let names = partitions.iter().map(|assigned| assigned.partition.to_string());
                    tracing::info!(
                        partitions = names.collect::<Vec<_>>().join(" "),
                        "reading input partitions"
                    );
                }
                SourceEvent::Revoked(partitions) => {
                    around.telemetry.rebalance(Rebalance::Revoke);
                    letters.retain(|letter| !partitions.contains(&letter.partition));
                    let names = partitions.iter().map(ToString::to_string);
                    tracing::info!(
                        partitions = names.collect::<Vec<_>>().join(" "),
                        "input partitions have moved"
                    );
                }
                SourceEvent::Lost { partition, from, to } => {
                    around.telemetry.lost_records(&partition.topic, to.saturating_sub(*from));
                }
                SourceEvent::EndOfPartition(_) | SourceEvent::Finished(_) => {}
            }
            counting.handle(event, now, &mut |record, why| {
                if settings.dead_letter_topic.is_some() {
                    letters.push(letter(record, why, settings.keep));
                }
            });
            busy += began.elapsed();
        })?;
        for (partition, (records, bytes)) in tally.finish() {
            self.around.telemetry.records_consumed(&partition, records, bytes);
        }
        self.around.telemetry.stage_busy(Stage::Decode, busy);
        Ok(())
    }

    /// Takes up generations of the configuration that have come. Rows that their time has come for
    /// should not have been read before.
    fn learn(&mut self) -> anyhow::Result<()> {
        let configurations = &self.settings.configurations;
        let held = self.counting.generations().last().unwrap_or(0);
        for generation in configurations.all() {
            if generation.number <= held {
                continue;
            }
            let compiled = configurations.compiled(generation.number)?;
            self.counting.add_generation(generation.number, generation.from(), compiled.topics.clone());
            if let Some(newest) = self.counting.newest().filter(|newest| *newest >= generation.from()) {
                self.around.telemetry.configured_late();
                tracing::error!(
                    generation = generation.number,
                    from = %generation.from(),
                    newest = %newest,
                    "a configuration was heard of too late: rows that it is for were counted by the one before; \
                     where their cells mean something else, evaluators refuse them"
                );
            }
        }
        Ok(())
    }

    /// One commit. Says how the session ends where it does.
    fn commit(&mut self, transactor: &mut Transactor) -> anyhow::Result<Option<Ended>> {
        // What is published by now is known before anything that was counted goes out.
        match self.settings.configurations.catch_up(LOOKUP) {
            Ok(true) => {}
            Ok(false) => {
                // What is counted meanwhile must not grow without end.
                self.source.pause()?;
                self.around.readiness.unmet(ROLE, "the control topic cannot be read; reading is paused");
                return Ok(None);
            }
            Err(error) => return Ok(Some(Ended::Anew(error))),
        }
        self.learn()?;
        let topics = match self.source.topic_partitions(LOOKUP) {
            Ok(topics) => topics,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "the commit waits");
                return Ok(None);
            }
        };
        let began = Instant::now();
        let flushed = self.counting.flush(now_millis());
        let group = self.source.group_metadata();
        let (Some(group), false) = (group, flushed.sources.is_empty()) else {
            self.counting.settle(false);
            self.resume()?;
            return Ok(None);
        };
        let written = self.write(transactor, &flushed, topics).and_then(|()| {
            let offset = |(partition, offset, point): &(SourcePartition, i64, _)| Offset {
                topic: partition.topic.to_string(),
                partition: partition.partition,
                offset: *offset,
                metadata: ResumePoint::to_metadata(point),
            };
            let offsets: Vec<Offset> = flushed.resume.iter().map(offset).collect();
            transactor.offsets(&offsets, group)
        });
        let told = Instant::now();
        self.around.telemetry.stage_busy(Stage::Observe, told - began);
        let settled = match written {
            Ok(()) => settle(transactor, self)?,
            Err(error) => Err(error),
        };
        let seconds = now_millis() as f64 / 1000.0;
        let committed = matches!(settled, Ok(Settled::Committed));
        self.counting.settle(committed);
        self.around.telemetry.commit(committed, seconds);
        self.around.telemetry.transaction(ROLE, committed, began.elapsed(), seconds);
        match settled {
            Ok(Settled::Committed) => {
                self.around
                    .telemetry
                    .dead_letters_of(self.letters.drain(..).map(|letter| letter.partition.topic));
                for (topic, (messages, bytes)) in transactor.take_sent() {
                    self.around.telemetry.produced(&topic, messages, bytes);
                }
            }
            Ok(Settled::Aborted(reason)) => {
                tracing::warn!(
                    reason,
                    "a commit of the observer was not made; what was counted goes into the next"
                );
            }
            Ok(Settled::GivenUp) => {
                tracing::warn!("stopping without the last commit; its records are read again");
            }
            Err(error) if error.is_fenced() => return Ok(Some(Ended::Fenced(error.into()))),
            Err(error) => return Ok(Some(Ended::Anew(error.into()))),
        }
        self.resume()?;
        Ok(None)
    }

    fn resume(&mut self) -> anyhow::Result<()> {
        if self.source.is_paused() {
            self.counting.resumed(now_millis());
            self.source.resume()?;
        }
        Ok(())
    }

    fn write(
        &self,
        transactor: &mut Transactor,
        flushed: &Flushed,
        topics: BTreeMap<Arc<str>, i32>,
    ) -> Result<(), crate::exchange::transaction::Error> {
        let Settings { partials, partitions, dead_letter_topic, .. } = self.settings;
        transactor.begin()?;
        for delta in &flushed.deltas {
            let partition = exchange_partition(&delta.key.model, *partitions);
            let bytes = wire::encode(&Message::Delta(delta.clone()));
            transactor.send(
                partials,
                Some(partition),
                Some(wire::message_key(&delta.key)),
                Some(&bytes),
                &[],
            )?;
        }
        let progress = Progress { wall: now_millis(), sources: flushed.sources.clone(), topics };
        let bytes = wire::encode(&Message::Progress(progress));
        for partition in 0..*partitions {
            transactor.send(partials, Some(partition), None, Some(&bytes), &[])?;
        }
        let Some(topic) = dead_letter_topic else { return Ok(()) };
        for letter in &self.letters {
            let headers: Vec<(&str, &str)> =
                letter.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            transactor.send(topic, None, letter.key.as_deref(), letter.value.as_deref(), &headers)?;
        }
        Ok(())
    }

    /// The generation that every partition here has come to, and the newest one.
    fn configuration(&self) -> ConfigurationView {
        let configurations = &self.settings.configurations;
        let in_effect = self.counting.generations().next().and_then(|oldest| configurations.get(oldest));
        let behind = |newest: &Generation| in_effect.as_ref().is_some_and(|it| it.number < newest.number);
        ConfigurationView { coming: configurations.newest().filter(behind), in_effect }
    }

    fn show(&self) {
        let lags = self.source.lag();
        let behind: i64 = lags.iter().map(|lag| lag.records).sum();
        if let Some(silence) = self.source.silence() {
            self.around.readiness.unmet(ROLE, silence);
        } else if !self.source.joined() {
            self.around.readiness.unmet(ROLE, "the group has not given out partitions yet");
        } else if behind > self.around.max_lag {
            self.around.readiness.unmet(ROLE, format!("{behind} records behind the end of the input"));
        } else {
            self.around.readiness.met(ROLE);
        }
        self.around.board.observed(View {
            sources: self.counting.sources(&lags),
            accounting: self.counting.accountings(),
            rejected: self.counting.rejected(),
            configuration: self.configuration(),
            ..View::default()
        });
    }
}

impl Meanwhile for Session<'_> {
    fn serve(&mut self) -> anyhow::Result<()> {
        self.source.pause()?;
        self.take(EVENTS, Duration::ZERO).context("the input cannot be read")
    }

    fn waiting(&mut self, silent: Duration) {
        let reason = format!("Kafka has not taken a commit for {} s; reading is paused", silent.as_secs());
        self.around.readiness.unmet(ROLE, reason);
    }

    fn stopping(&self) -> bool {
        self.around.stopping()
    }
}

/// Makes sure that the rows of `partitions`, which are given to this instance, are read by the
/// generations that their times lie in.
fn take_up(
    configurations: &Configurations,
    counting: &mut Counting,
    partitions: &[Assigned],
) -> anyhow::Result<()> {
    let watermark = |assigned: &Assigned| {
        let point = assigned.metadata.as_deref().and_then(ResumePoint::from_metadata);
        point.and_then(|point| point.watermark)
    };
    let all = configurations.all();
    for (index, generation) in all.iter().enumerate() {
        let needed = all.get(index + 1).is_none_or(|next| {
            // Of a partition that has shown nothing nobody knows where it stands: most likely near to now.
            let before =
                |watermark: Option<_>| watermark.map_or(index + 2 >= all.len(), |at| at < next.from());
            partitions.iter().map(watermark).any(before)
        });
        if needed && !counting.generations().any(|held| held == generation.number) {
            let compiled = configurations.compiled(generation.number)?;
            counting.add_generation(generation.number, generation.from(), compiled.topics.clone());
        }
    }
    Ok(())
}

fn letter(record: &RawRecord<'_>, why: &Rejected, keep: Keep) -> Letter {
    let rejected = RejectedRecord {
        partition: record.partition,
        offset: record.offset,
        reason: why.reason,
        detail: Some(&why.detail),
        key: record.key,
        value: record.value,
    };
    Letter {
        partition: record.partition.clone(),
        headers: rejected.headers(),
        key: keep.key_of(&rejected).map(<[u8]>::to_vec),
        value: keep.value_of(&rejected).map(<[u8]>::to_vec),
    }
}

/// Records and bytes by partition; records come in runs of one.
#[derive(Default)]
struct Tally {
    done: BTreeMap<SourcePartition, (u64, u64)>,
    run: Option<(SourcePartition, u64, u64)>,
}

impl Tally {
    fn record(&mut self, record: &RawRecord<'_>) {
        let bytes = record.value.map_or(0, |value| value.len() as u64);
        match &mut self.run {
            Some((partition, records, sum)) if partition == record.partition => {
                *records += 1;
                *sum += bytes;
            }
            _ => {
                self.end_run();
                self.run = Some((record.partition.clone(), 1, bytes));
            }
        }
    }

    fn end_run(&mut self) {
        if let Some((partition, records, bytes)) = self.run.take() {
            let sum = self.done.entry(partition).or_default();
            *sum = (sum.0 + records, sum.1 + bytes);
        }
    }

    fn finish(mut self) -> BTreeMap<SourcePartition, (u64, u64)> {
        self.end_run();
        self.done
    }
}
