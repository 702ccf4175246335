//! Single messages on their way into the topic of decisions, where the actor reads them in one order
//! with everything else: people's orders, each of which counts as given once all in-sync copies hold it,
//! and the marks of new owners.

use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};

use crate::api::commands::{Deliver, NotDurable};
use crate::engine::decided::encode_command;
use crate::exchange::kafka::producer_config;
use crate::safety::Command;

/// How long the brokers may take. A person waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the client takes on top to say that they took too long.
const GRACE: Duration = Duration::from_secs(2);
/// The topic of decisions has one partition.
const PARTITION: i32 = 0;

/// An order is not known to be durable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client cannot be made.
    #[error("cannot make a producer for the topic of decisions")]
    Configuration(#[source] crate::exchange::Error),
    /// The client cannot be made.
    #[error("cannot make a producer for the topic of decisions")]
    Client(#[source] KafkaError),
    /// The brokers have not taken it.
    #[error("{topic} has not taken the order: {code}")]
    Refused {
        /// The topic of decisions.
        topic: String,
        /// Why.
        code: RDKafkaErrorCode,
    },
    /// Nobody has said what became of it.
    #[error("{topic} has not answered for {seconds} s")]
    Silent {
        /// The topic of decisions.
        topic: String,
        /// How long.
        seconds: u64,
    },
}

/// Told once what became of a message.
type Delivered = Box<dyn FnOnce(Result<(), RDKafkaErrorCode>) + Send + Sync>;

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
    type DeliveryOpaque = Box<Delivered>;

    fn delivery(&self, result: &DeliveryResult<'_>, told: Self::DeliveryOpaque) {
        let delivered = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(code(error)),
        };
        told(delivered);
    }
}

fn code(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
}

/// Writes messages.
pub struct Publisher {
    config: ClientConfig,
    /// Made anew where it cannot go on.
    producer: Mutex<ThreadedProducer<Context>>,
    topic: String,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Publisher {
    /// For the topic of decisions `topic`; no broker need be there yet.
    ///
    /// # Errors
    /// When `client` is no configuration of a producer.
    pub fn new(client: &ClientConfig, topic: &str) -> Result<Self, Error> {
        let mut config = producer_config(client).map_err(Error::Configuration)?;
        // One order at a time: nothing is gained by waiting for the next one.
        config.set("linger.ms", "0").set("message.timeout.ms", PATIENCE.as_millis().to_string());
        let producer = config.create_with_context(Context).map_err(Error::Client)?;
        Ok(Self { config, producer: Mutex::new(producer), topic: topic.to_owned() })
    }

    /// Hands a message over, and tells `told` what became of it.
    ///
    /// # Errors
    /// When it was not taken; then `told` hears nothing.
    pub fn send(
        &self,
        key: &str,
        value: &[u8],
        told: impl FnOnce(Result<(), RDKafkaErrorCode>) + Send + Sync + 'static,
    ) -> Result<(), RDKafkaErrorCode> {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if producer.client().fatal_error().is_some() {
            *producer = self.config.create_with_context(Context).map_err(|error| code(&error))?;
        }
        let told: Delivered = Box::new(told);
        let record = BaseRecord::with_opaque_to(&self.topic, Box::new(told))
            .partition(PARTITION)
            .key(key.as_bytes())
            .payload(value);
        producer.send(record).map_err(|(error, _)| code(&error))
    }

    /// The topic of decisions.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Writes `command`, and returns once it is durable.
    ///
    /// # Errors
    /// When it is not known to be. It may be all the same.
    pub fn publish(&self, command: &Command) -> Result<(), Error> {
        let refused = |code| Error::Refused { topic: self.topic.clone(), code };
        let (told, delivered) = sync_channel(1);
        // Whoever asked may have gone away meanwhile.
        let told = move |delivered| {
            let _gone = told.send(delivered);
        };
        self.send(&command.id, &encode_command(command), told).map_err(refused)?;
        match delivered.recv_timeout(PATIENCE + GRACE) {
            Ok(delivered) => delivered.map_err(refused),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(Error::Silent { topic: self.topic.clone(), seconds: (PATIENCE + GRACE).as_secs() })
            }
        }
    }

    /// What the HTTP interface is given.
    pub fn deliver(self) -> Deliver {
        let publisher = Arc::new(self);
        Arc::new(move |command| publisher.publish(command).map_err(|error| NotDurable(error.to_string())))
    }
}
