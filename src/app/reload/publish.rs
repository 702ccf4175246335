//! A new generation on its way to everybody: its content into the control topic and word of it into every
//! partition of the exchange, in one transaction, and before that the event time from which it is for.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::ClientConfig;

use super::content::Published;
use crate::domain::EventTime;
use crate::engine::evaluator::{Record, StateKey};
use crate::engine::message::Message;
use crate::engine::wire::{self, parts};
use crate::exchange::reader::{self, Event, Range, Whence};
use crate::exchange::state::read_compacted;
use crate::exchange::transaction::{Finish, Transactor};

/// How long the brokers may take for each step.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one wait is, so that a stop is noticed.
const STEP: Duration = Duration::from_millis(500);

/// What publishing needs.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// The connection of producers and readers.
    pub client: ClientConfig,
    /// The transactional id.
    pub id: String,
    /// Where generations stand.
    pub control: String,
    /// The exchange's topic, and how many partitions it has.
    pub partials: String,
    /// See `partials`.
    pub partitions: i32,
    /// Where evaluators keep what they know.
    pub state: String,
    /// Most bytes of a generation.
    pub most_bytes: usize,
}

impl Publisher {
    /// The largest watermark that any observer has reported of any source partition; none before the
    /// first. Every partition of the exchange tells of all of them, so one is read: what its evaluator
    /// had taken in when it put its state away, and what came since.
    pub fn watermark(&self, stop: &AtomicBool) -> anyhow::Result<Option<EventTime>> {
        let found = read_compacted(&self.client, &self.state, 0, PATIENCE, stop)
            .with_context(|| format!("cannot read {}", self.state))?;
        let (mut watermark, mut from) = (None, 0);
        for whole in parts::join(found.values).with_context(|| format!("state in {}", self.state))? {
            let Ok(StateKey::Marks) = wire::decode_key(&whole.key) else { continue };
            let record = wire::decode_record(&StateKey::Marks, &whole.value)
                .with_context(|| format!("state in {}", self.state))?;
            if let Record::Marks(marks) = record {
                from = marks.position;
                watermark = marks.watermarks.partitions().filter_map(|(_, at, _)| at).max();
            }
        }
        let range = Range {
            topic: &self.partials,
            partition: Some(0),
            whence: Whence::Offset(from),
            follow: false,
            patience: PATIENCE,
        };
        let mut wrong = None;
        let read = reader::read(&self.client, &range, &mut |event| {
            let Event::Record(record) = event else { return ControlFlow::Continue(()) };
            match wire::decode(record.value.unwrap_or_default()) {
                Ok(Message::Progress(progress)) => {
                    watermark =
                        progress.sources.iter().filter_map(|source| source.watermark).max().max(watermark);
                }
                Ok(_) => {}
                Err(error) => {
                    wrong = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        read.with_context(|| format!("cannot read {}", self.partials))?;
        match wrong {
            Some(error) => Err(error).with_context(|| format!("a message of {}", self.partials)),
            None => Ok(watermark),
        }
    }

    /// Writes `published`, and word of it to everybody.
    ///
    /// # Errors
    /// When it is too large, or the brokers do not take it.
    pub fn publish(&self, published: &Published, stop: &AtomicBool) -> anyhow::Result<()> {
        let bytes = published.encode();
        if bytes.len() > self.most_bytes {
            bail!(
                "models, references and calibrations together are {} bytes as JSON, and {} may be published: use \
                 fewer cells (`plimsoll profile`) or spread the models over several groups",
                bytes.len(),
                self.most_bytes
            );
        }
        let mut client = self.client.clone();
        client.set("message.max.bytes", (2 * self.most_bytes).to_string());
        let mut transactor = Transactor::new(&client, &self.id)?;
        let since = Instant::now();
        let patient = || !stop.load(Ordering::Relaxed) && since.elapsed() < PATIENCE;
        while !transactor.init(STEP)? {
            if !patient() {
                bail!("Kafka has not given out the transactional id {} in time", self.id);
            }
        }
        transactor.begin()?;
        // Every record stands under a key of its own, so that compaction takes none away: of two that
        // claim a number the first one counts.
        let key = format!("{}/{}", published.generation.number, published.by);
        transactor.send(&self.control, Some(0), Some(key.as_bytes()), Some(&bytes), &[])?;
        let told = wire::encode(&Message::Control(published.generation.clone()));
        for partition in 0..self.partitions {
            transactor.send(&self.partials, Some(partition), None, Some(&told), &[])?;
        }
        loop {
            match transactor.finish(STEP)? {
                Finish::Committed => return Ok(()),
                Finish::Aborted { reason } => bail!("the configuration could not be published: {reason}"),
                Finish::Pending if patient() => {}
                Finish::Pending => bail!(
                    "Kafka has not taken the configuration in time; whether it is published is not known yet"
                ),
            }
        }
    }
}
