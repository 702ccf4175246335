//! How an owner of the decisions knows that it has read what was there before it: it writes a mark to
//! their topic, and whatever stands ahead of that mark was ordered or decided earlier. The end of the
//! partition would not do. Of a topic with an open transaction the end that readers see lies before
//! orders that are durable, and where evaluators write all the time there is none for long.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Message as _};

use crate::engine::decided::encode_mark;
use crate::exchange::kafka::producer_config;

/// After how long a mark that was not read is written again: it may have been lost.
const AGAIN: Duration = Duration::from_secs(5);
/// The topic of decisions has one partition.
const PARTITION: i32 = 0;

/// Writes a mark with this id to the topic of decisions, without waiting for it.
pub type Write = Arc<dyn Fn(&str) + Send + Sync>;

/// The mark of one owner.
#[derive(Debug)]
pub(super) struct Mark {
    id: String,
    written: Option<Instant>,
    read: bool,
}

impl Mark {
    /// One that nobody else writes.
    pub(super) fn draw() -> anyhow::Result<Self> {
        let mut bytes = [0; 16];
        openssl::rand::rand_bytes(&mut bytes).context("the system gives no random bytes")?;
        let id = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { id, written: None, read: false })
    }

    /// Writes it where it was not, or was long ago and has not come back.
    pub(super) fn keep_up(&mut self, write: &Write) {
        if !self.read && self.written.is_none_or(|at| at.elapsed() >= AGAIN) {
            if self.written.is_some() {
                tracing::warn!(
                    "the mark of this new owner has not come back in {} s, so nothing is done yet: the topic of decisions cannot be written, or a transaction of an evaluator that is gone is open in it, which ends by itself within a minute",
                    AGAIN.as_secs()
                );
            }
            write(&self.id);
            self.written = Some(Instant::now());
        }
    }

    /// Whether it has this id.
    pub(super) fn is(&self, id: &str) -> bool {
        self.id == id
    }

    /// Takes note that it was read.
    pub(super) fn read(&mut self) {
        self.read = true;
    }

    /// Whether everything was read that was there when it was written.
    pub(super) fn is_read(&self) -> bool {
        self.read
    }
}

struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {
        if let Err((error, message)) = result {
            refused(message.topic(), error);
        }
    }
}

fn refused(topic: &str, error: &KafkaError) {
    let right = match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => "; the role `act` needs Write on this topic",
        _ => "",
    };
    tracing::warn!(
        topic,
        error = error as &dyn std::error::Error,
        "the mark of a new owner was not taken, so nothing is done yet; trying again{right}"
    );
}

/// Writes marks to Kafka.
pub struct Marker {
    config: ClientConfig,
    /// Made anew where it cannot go on.
    producer: Mutex<ThreadedProducer<Context>>,
    topic: String,
}

impl fmt::Debug for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marker").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Marker {
    /// For the topic of decisions `topic`; no broker need be there yet.
    ///
    /// # Errors
    /// When `client` is no configuration of a producer.
    pub fn new(client: &ClientConfig, topic: &str) -> anyhow::Result<Self> {
        let mut config = producer_config(client).context("cannot make a producer of marks")?;
        config.set("linger.ms", "0").set("message.timeout.ms", AGAIN.as_millis().to_string());
        let producer = config.create_with_context(Context).context("cannot make a producer of marks")?;
        Ok(Self { config, producer: Mutex::new(producer), topic: topic.to_owned() })
    }

    fn send(&self, id: &str) -> Result<(), KafkaError> {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if producer.client().fatal_error().is_some() {
            *producer = self.config.create_with_context(Context)?;
        }
        let value = encode_mark(id);
        let record = BaseRecord::to(&self.topic).partition(PARTITION).key(id).payload(value.as_slice());
        producer.send(record).map_err(|(error, _)| error)
    }

    /// What the role is given.
    pub fn write(self) -> Write {
        Arc::new(move |id| {
            if let Err(error) = self.send(id) {
                refused(&self.topic, &error);
            }
        })
    }
}
