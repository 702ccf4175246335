//! The evaluator's role: counts from the exchange → findings and decisions. Each partition of the
//! exchange has an evaluator of its own, whoever holds it; one transaction holds what changed in what
//! they know, what they found and decided, and the offsets that it follows from.
//!
//! What was taken from the exchange and is not committed yet is kept as the messages that are to be
//! written, by partition: after an abort they are written again, and when the partition moves they are
//! dropped, because its next owner comes to the same.

mod held;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::ClientConfig;

use super::settle::{Meanwhile, Settled, settle};
use super::telling::tell;
use super::{Around, Ended, sessions};
use crate::app::clock::now_millis;
use crate::app::pipeline::Pictures;
use crate::app::reload::Configurations;
use crate::engine::Generation;
use crate::engine::evaluator::{Evaluated, Evaluator};
use crate::engine::view::ConfigurationView;
use crate::exchange::state::read_several;
use crate::exchange::transaction::{self, Offset, Transactor};
use crate::ingest::kafka::{self, KafkaSource};
use crate::ingest::source::{Assigned, Source, SourceEvent};
use crate::telemetry::{Rebalance, Stage};

use held::Held;

/// Name of the readiness condition.
pub const ROLE: &str = "evaluate";
/// Messages that are taken at a time, and how long to wait for the first of them.
const EVENTS: usize = 1_000;
const PATIENCE: Duration = Duration::from_millis(20);
/// How long the broker may take at a time to give us our name.
const TAKE_NAME: Duration = Duration::from_millis(500);
/// Findings and decisions wait no longer than this for their transaction, however rare commits are.
const SOON: Duration = Duration::from_millis(100);
/// How often the picture is renewed.
const SHOW_EVERY: Duration = Duration::from_millis(250);

/// What an evaluator needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The models, in each generation.
    pub configurations: Arc<Configurations>,
    /// Names of the input topics.
    pub inputs: Vec<Arc<str>>,
    /// The consumer of the exchange.
    pub source: kafka::Config,
    /// The connection of producers and readers.
    pub client: ClientConfig,
    /// The transactional id.
    pub id: String,
    /// Where state is kept.
    pub state: String,
    /// Where decisions go.
    pub decisions: String,
    /// Where findings go; none: they are shown over HTTP only.
    pub findings: Option<String>,
    /// How long reading the state may stand still.
    pub restore_patience: Duration,
    /// Most bytes of a state record in one message.
    pub part_bytes: usize,
}

/// Evaluates until it is time to stop.
///
/// # Errors
/// When the configuration cannot work, or another instance runs under the same name.
pub fn serve(settings: &Settings, around: &Around) -> anyhow::Result<()> {
    let mut pictures = Pictures::default();
    sessions(ROLE, around, || session(settings, around, &mut pictures))
}

/// Takes up partitions of the exchange. All of them are read side by side, because the group waits.
fn restore(
    settings: &Settings,
    around: &Around,
    assigned: &[Assigned],
    held: &mut BTreeMap<i32, Held>,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let offsets: BTreeMap<i32, Option<i64>> =
        assigned.iter().map(|assigned| (assigned.partition.partition, assigned.offset)).collect();
    let numbers: Vec<i32> = offsets.keys().copied().collect();
    let mut failed = None;
    let mut left = numbers.len();
    let say = |left: usize| {
        around.readiness.unmet(ROLE, format!("restoring {left} partitions of the exchange"));
    };
    say(left);
    let Settings { client, state, restore_patience, .. } = settings;
    read_several(client, state, &numbers, *restore_patience, &around.stop, &mut |number, found| {
        match Held::restore(settings, number, offsets[&number], found) {
            Ok(restored) => {
                restored.announce(number, began.elapsed());
                around.telemetry.restored(began.elapsed(), restored.bytes());
                held.insert(number, restored);
            }
            Err(error) => drop(failed.get_or_insert(error)),
        }
        left -= 1;
        say(left);
    })
    .with_context(|| format!("partitions {numbers:?} of {state} cannot be restored"))?;
    failed.map_or(Ok(()), Err)
}

struct Session<'a> {
    settings: &'a Settings,
    around: &'a Around,
    source: KafkaSource,
    pictures: &'a mut Pictures,
    held: BTreeMap<i32, Held>,
    /// Whether a transaction is under way.
    settling: bool,
    /// Partitions that came meanwhile. Their state may end in records of that very transaction, which
    /// restoring would wait for, so they are taken up behind it.
    later: Vec<Assigned>,
    /// Why the session cannot go on.
    failed: Option<anyhow::Error>,
}

fn session(settings: &Settings, around: &Around, pictures: &mut Pictures) -> anyhow::Result<Ended> {
    around.board.released();
    let mut transactor = Transactor::new(&settings.client, &settings.id)?;
    loop {
        match transactor.init(TAKE_NAME) {
            Ok(true) => break,
            Ok(false) if around.stopping() => return Ok(Ended::Stopped),
            Ok(false) => around.readiness.unmet(ROLE, "Kafka has not answered yet"),
            Err(error) if error.is_fenced() => return Ok(Ended::Fenced(error.into())),
            Err(error) => return Err(error).context("the evaluator cannot write its state"),
        }
    }
    around.readiness.unmet(ROLE, "the group has not given out partitions yet");
    let mut session = Session {
        settings,
        around,
        source: KafkaSource::new(&settings.source).context("cannot read the exchange")?,
        pictures,
        held: BTreeMap::new(),
        settling: false,
        later: Vec::new(),
        failed: None,
    };
    session.run(&mut transactor)
}

impl Session<'_> {
    fn run(&mut self, transactor: &mut Transactor) -> anyhow::Result<Ended> {
        let (mut last, mut show) = (Instant::now(), Instant::now());
        loop {
            let stopping = self.around.stopping();
            if !stopping {
                self.take(PATIENCE)?;
            }
            if let Some(why) = self.failed.take() {
                return Ok(if stopping { Ended::Stopped } else { Ended::Anew(why) });
            }
            let since = last.elapsed();
            let due = since >= self.around.commit_interval
                || since >= SOON.min(self.around.commit_interval) && self.held.values().any(Held::speaks);
            if (due || stopping) && self.held.values().any(Held::moved) {
                if let Some(ended) = self.commit(transactor)? {
                    return Ok(ended);
                }
                last = Instant::now();
            }
            if stopping || show.elapsed() >= SHOW_EVERY {
                self.show();
                show = Instant::now();
            }
            if stopping {
                return Ok(Ended::Stopped);
            }
        }
    }

    fn take(&mut self, patience: Duration) -> anyhow::Result<()> {
        let mut busy = Duration::ZERO;
        let Self { settings, around, source, held, failed, settling, later, .. } = self;
        let polled = source.poll(EVENTS, patience, &mut |event| {
            let began = Instant::now();
            match event {
                SourceEvent::Assigned(partitions) => {
                    around.telemetry.rebalance(Rebalance::Assign);
                    if *settling {
                        later.extend(partitions);
                    } else if let Err(error) = restore(settings, around, &partitions, held) {
                        failed.get_or_insert(error);
                    }
                }
                SourceEvent::Revoked(partitions) => {
                    around.telemetry.rebalance(Rebalance::Revoke);
                    later.retain(|assigned| !partitions.contains(&assigned.partition));
                    for partition in partitions {
                        held.remove(&partition.partition);
                        tracing::info!(partition = partition.partition, "a partition of the exchange has moved");
                    }
                }
                SourceEvent::Record(record) => {
                    if let Some(held) = held.get_mut(&record.partition.partition)
                        && let Err(error) = held.take(&record, settings, around)
                    {
                        // A message that cannot be read stands for records that would be lost with it.
                        failed.get_or_insert(error);
                    }
                }
                SourceEvent::Lost { partition, from, to } => {
                    around.telemetry.lost_records(&partition.topic, to.saturating_sub(from));
                    tracing::error!(
                        partition = %partition,
                        from,
                        to,
                        "messages of the exchange were removed before they were read; raise kafka.exchange.retention"
                    );
                }
                SourceEvent::EndOfPartition(_) | SourceEvent::Finished(_) => {}
            }
            busy += began.elapsed();
        });
        polled.context("the exchange cannot be read")?;
        self.around.telemetry.stage_busy(Stage::Evaluate, busy);
        Ok(())
    }

    fn commit(&mut self, transactor: &mut Transactor) -> anyhow::Result<Option<Ended>> {
        let Some(group) = self.source.group_metadata() else { return Ok(None) };
        let began = Instant::now();
        let written = self.write(transactor).and_then(|offsets| transactor.offsets(&offsets, group));
        let settled = match written {
            Ok(()) => {
                self.settling = true;
                let settled = settle(transactor, self);
                self.settling = false;
                settled?
            }
            Err(error) => Err(error),
        };
        let committed = matches!(settled, Ok(Settled::Committed));
        let seconds = now_millis() as f64 / 1000.0;
        self.around.telemetry.transaction(ROLE, committed, began.elapsed(), seconds);
        match settled {
            Ok(Settled::Committed) => {
                for (topic, (messages, bytes)) in transactor.take_sent() {
                    self.around.telemetry.produced(&topic, messages, bytes);
                }
                self.around.telemetry.evaluated(seconds);
                self.told();
            }
            Ok(Settled::Aborted(reason)) => {
                tracing::warn!(reason, "a commit of the evaluator was not made; it is tried again");
            }
            Ok(Settled::GivenUp) => {
                tracing::warn!("stopping without the last commit; the next owner comes to the same");
            }
            Err(error) if error.is_fenced() => return Ok(Some(Ended::Fenced(error.into()))),
            Err(error) => return Ok(Some(Ended::Anew(error.into()))),
        }
        let later = std::mem::take(&mut self.later);
        if !later.is_empty()
            && let Err(error) = restore(self.settings, self.around, &later, &mut self.held)
        {
            self.failed.get_or_insert(error);
        }
        self.source.resume()?;
        Ok(None)
    }

    fn write(&mut self, transactor: &mut Transactor) -> Result<Vec<Offset>, transaction::Error> {
        transactor.begin()?;
        let mut offsets = Vec::new();
        for (number, held) in &mut self.held {
            if let Some(position) = held.write(self.settings, *number, transactor)? {
                offsets.push(Offset {
                    topic: self.settings.source.topics[0].clone(),
                    partition: *number,
                    offset: position,
                    metadata: String::new(),
                });
            }
        }
        Ok(offsets)
    }

    /// What was committed is told to people.
    fn told(&mut self) {
        let mut evaluated = Evaluated::default();
        let mut took = Duration::ZERO;
        for held in self.held.values_mut() {
            if let Some((spoken, busy)) = held.settled() {
                evaluated.join(spoken);
                took += busy;
            }
        }
        tell(&evaluated, took, &self.around.telemetry);
        self.around.telemetry.finding_given_out(evaluated.findings.len() as u64);
        self.pictures.take(&evaluated);
    }

    fn show(&mut self) {
        let behind: i64 = self.source.lag().iter().map(|lag| lag.records).sum();
        if let Some(silence) = self.source.silence() {
            self.around.readiness.unmet(ROLE, silence);
        } else if !self.source.joined() {
            self.around.readiness.unmet(ROLE, "the group has not given out partitions yet");
        } else if behind > self.around.max_lag {
            self.around.readiness.unmet(ROLE, format!("{behind} messages behind the end of the exchange"));
        } else {
            self.around.readiness.met(ROLE);
        }
        let evaluators = self.held.values().map(Held::evaluator);
        let mut view = self.pictures.view(evaluators.clone());
        view.exchange = self.held.iter().map(|(number, held)| held.view(*number)).collect();
        view.configuration = configuration(evaluators.clone());
        view.model_bytes = evaluators.flat_map(Evaluator::model_bytes).collect();
        self.around.board.evaluated(view);
    }
}

/// What the evaluators here judge by; the one that is furthest behind counts.
fn configuration<'a>(evaluators: impl Iterator<Item = &'a Evaluator> + Clone) -> ConfigurationView {
    let number = |generation: &&Generation| generation.number;
    ConfigurationView {
        in_effect: evaluators.clone().filter_map(Evaluator::configured).min_by_key(number).cloned(),
        coming: evaluators.flat_map(Evaluator::coming).max_by_key(number).cloned(),
    }
}

impl Meanwhile for Session<'_> {
    fn serve(&mut self) -> anyhow::Result<()> {
        self.source.pause()?;
        self.take(Duration::ZERO)
    }

    fn waiting(&mut self, silent: Duration) {
        let reason = format!("Kafka has not taken a commit for {} s; reading is paused", silent.as_secs());
        self.around.readiness.unmet(ROLE, reason);
    }

    fn stopping(&self) -> bool {
        self.around.stopping()
    }
}
