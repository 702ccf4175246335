//! Whether topics are there. Asked as a consumer, because a producer's question may make the broker
//! create the topic.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::{ClientConfig, ClientContext};

use super::Topic;
use crate::exchange::Error;
use crate::exchange::error::code_of;

/// How long one attempt to ask for a topic may take before faults are looked at.
const ATTEMPT: Duration = Duration::from_secs(1);
/// How long faults are waited for.
const FAULTS: Duration = Duration::from_millis(20);

/// What the broker says of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// There is none.
    Missing,
    /// It is there.
    Exists {
        /// Its partitions.
        partitions: i32,
        /// Copies of its first partition.
        replication_factor: i32,
    },
    /// The broker does not tell us.
    Refused(RDKafkaErrorCode),
}

/// Keeps the words of the last fault that says anything.
#[derive(Default)]
struct Listener {
    fault: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl Listener {
    fn fault(&self) -> MutexGuard<'_, Option<(RDKafkaErrorCode, String)>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = code_of(&error);
        if code != RDKafkaErrorCode::AllBrokersDown {
            *self.fault() = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Listener {}

/// What the broker says of each of `topics`, in their order.
pub(super) fn all(client: &ClientConfig, topics: &[Topic], timeout: Duration) -> Result<Vec<Looked>, Error> {
    let mut config = client.clone();
    config.remove("group.id").set("allow.auto.create.topics", "false");
    let consumer: BaseConsumer<Listener> =
        config.create_with_context(Listener::default()).map_err(Error::from_client)?;
    topics.iter().map(|topic| Ok(found(&ask(&consumer, &topic.name, timeout)?, &topic.name))).collect()
}

/// Where the broker will not have us there is no use in asking until time is up.
fn ask(consumer: &BaseConsumer<Listener>, topic: &str, timeout: Duration) -> Result<Metadata, Error> {
    let start = Instant::now();
    loop {
        let error = match consumer.fetch_metadata(Some(topic), timeout.min(ATTEMPT)) {
            Ok(metadata) => return Ok(metadata),
            Err(error) => error,
        };
        // Faults of the connection are told to whoever polls, behind lines of the log, which a poll
        // without patience takes for nothing.
        while consumer.poll(FAULTS).is_some() {}
        let error = match consumer.context().fault().clone() {
            Some((code, reason)) => Error::Unreachable { reason, code },
            None => Error::Metadata { topic: topic.to_owned(), code: code_of(&error) },
        };
        if error.is_refusal() || start.elapsed() >= timeout {
            return Err(error);
        }
    }
}

fn found(metadata: &Metadata, topic: &str) -> Looked {
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Looked::Missing;
    };
    match found.error().map(RDKafkaErrorCode::from) {
        None => {
            let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
            let copies = found.partitions().first().map_or(0, |partition| partition.replicas().len());
            Looked::Exists {
                partitions: number(found.partitions().len()),
                replication_factor: number(copies),
            }
        }
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Looked::Missing,
        Some(code) => Looked::Refused(code),
    }
}
