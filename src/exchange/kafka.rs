//! The sink on Kafka: an idempotent producer that waits for all in-sync copies.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};

use super::error::code_of;
use super::{Error, Keep, RejectedRecord, Sink};

/// How long a full queue is waited for. Well below the time after which the group thinks that the
/// thread that reads and calls this is dead (`max.poll.interval.ms`).
const FULL_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a dropped producer tries to deliver what it still holds.
const DROP_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two looks at a queue that another thread empties.
const PAUSE: Duration = Duration::from_millis(2);

/// What the producer needs.
#[derive(Clone)]
pub struct Config {
    /// The connection and any further librdkafka properties.
    pub client: ClientConfig,
    /// Where dead letters go; none: they are only counted by whoever rejected them.
    pub dead_letter_topic: Option<String>,
    /// How much of a rejected record goes along.
    pub keep: Keep,
    /// Where findings go; none: nowhere.
    pub findings_topic: Option<String>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("client", &self.client.config_map().keys().collect::<Vec<_>>())
            .field("dead_letter_topic", &self.dead_letter_topic)
            .field("keep", &self.keep)
            .field("findings_topic", &self.findings_topic)
            .finish()
    }
}

/// The connection's properties with what durable, ordered delivery needs; nothing is connected.
pub fn producer_config(client: &ClientConfig) -> Result<ClientConfig, Error> {
    let mut config = client.clone();
    for (name, value) in [("client.id", "plimsoll"), ("compression.type", "lz4"), ("linger.ms", "20")] {
        if config.get(name).is_none() {
            config.set(name, value);
        }
    }
    config.set("enable.idempotence", "true").set("acks", "all").set_log_level(RDKafkaLogLevel::Warning);
    config.create_native_config().map_err(Error::from_client)?;
    Ok(config)
}

/// Deliveries since the producer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// Messages that all in-sync copies hold.
    pub delivered: u64,
    /// Messages given up.
    pub failed: u64,
}

#[derive(Default)]
struct Context {
    delivered: AtomicU64,
    failed: AtomicU64,
    last_failure: Mutex<Option<(String, RDKafkaErrorCode)>>,
}

impl Context {
    fn last_failure(&self) -> std::sync::MutexGuard<'_, Option<(String, RDKafkaErrorCode)>> {
        self.last_failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

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

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, message)) => {
                let code = code_of(error);
                let mut last = self.last_failure();
                // Once for each cause until a flush has reported it.
                if last.as_ref().is_none_or(|(topic, before)| *before != code || topic != message.topic()) {
                    tracing::warn!(topic = message.topic(), %code, "messages are not delivered");
                }
                *last = Some((message.topic().to_owned(), code));
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A producer of dead letters and findings, with a thread of its own that serves deliveries.
pub struct Producer {
    producer: ThreadedProducer<Context>,
    dead_letter_topic: Option<String>,
    keep: Keep,
    findings_topic: Option<String>,
    reported: u64,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("deliveries", &self.deliveries()).finish_non_exhaustive()
    }
}

impl Producer {
    /// Makes the producer; no broker need be there yet. Fails on a wrong configuration only.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let producer = producer_config(&config.client)?
            .create_with_context(Context::default())
            .map_err(Error::from_client)?;
        Ok(Self {
            producer,
            dead_letter_topic: config.dead_letter_topic.clone(),
            keep: config.keep,
            findings_topic: config.findings_topic.clone(),
            reported: 0,
        })
    }

    /// What became of the messages sent so far.
    pub fn deliveries(&self) -> Deliveries {
        let context = self.producer.context();
        Deliveries {
            delivered: context.delivered.load(Ordering::Relaxed),
            failed: context.failed.load(Ordering::Relaxed),
        }
    }

    /// Queues a message, waiting a bounded time where the queue is full.
    fn send(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Option<OwnedHeaders>,
    ) -> Result<(), Error> {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic);
        record.key = key;
        record.payload = value;
        record.headers = headers;
        let start = Instant::now();
        loop {
            let Err((error, refused)) = self.producer.send(record) else { return Ok(()) };
            let code = code_of(&error);
            if code != RDKafkaErrorCode::QueueFull {
                return Err(Error::Send { topic: topic.to_owned(), code });
            }
            if start.elapsed() >= FULL_TIMEOUT {
                let (seconds, waiting) = (FULL_TIMEOUT.as_secs(), self.producer.in_flight_count());
                return Err(Error::Full { topic: topic.to_owned(), seconds, waiting });
            }
            std::thread::sleep(PAUSE);
            record = refused;
        }
    }
}

impl Sink for Producer {
    type Error = Error;

    fn dead_letter(&mut self, record: &RejectedRecord<'_>) -> Result<(), Error> {
        let Some(topic) = &self.dead_letter_topic else { return Ok(()) };
        let pairs = record.headers();
        let headers =
            pairs.iter().fold(OwnedHeaders::new_with_capacity(pairs.len()), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value) })
            });
        self.send(topic, self.keep.key_of(record), self.keep.value_of(record), Some(headers))
    }

    fn finding(&mut self, key: &str, json: &str) -> Result<(), Error> {
        let Some(topic) = &self.findings_topic else { return Ok(()) };
        self.send(topic, Some(key.as_bytes()), Some(json.as_bytes()), None)
    }

    /// Waits until no message is on its way. The producer's own `flush` would wait out a whole
    /// tenth of a second even where everything has arrived.
    fn is_passing(error: &Error) -> bool {
        matches!(error, Error::Late { .. })
    }

    fn flush(&mut self, timeout: Duration) -> Result<(), Error> {
        let start = Instant::now();
        while self.producer.in_flight_count() > 0 {
            if start.elapsed() >= timeout {
                let waiting = self.producer.in_flight_count();
                return Err(Error::Late { waiting, seconds: timeout.as_secs_f64() });
            }
            std::thread::sleep(PAUSE);
        }
        let failed = self.deliveries().failed;
        if failed == self.reported {
            return Ok(());
        }
        let since = failed - std::mem::replace(&mut self.reported, failed);
        let last = self.producer.context().last_failure().take();
        let (topic, code) = last.unwrap_or_else(|| (String::new(), RDKafkaErrorCode::Fail));
        Err(Error::Delivery { failed: since, topic, code })
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if let Err(error) = self.flush(DROP_TIMEOUT) {
            tracing::warn!(%error, "the producer closes with messages undelivered");
        }
    }
}
