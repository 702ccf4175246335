//! plimsoll's own topics: made where they are missing and the broker allows it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, ClientContext};

use super::Error;
use super::error::code_of;

/// How long one attempt to ask for a topic may take before faults are looked at.
const ATTEMPT: Duration = Duration::from_secs(1);
/// How long faults are waited for.
const FAULTS: Duration = Duration::from_millis(20);

/// What becomes of old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Deleted after the broker's default time.
    Delete,
    /// Never deleted.
    Forever,
    /// Only the newest of each key is sure to stay.
    Compact,
}

/// A topic that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Partitions, where it has to be made; none: the broker's default.
    pub partitions: Option<i32>,
    /// What becomes of old records, where it has to be made.
    pub retention: Retention,
}

impl Topic {
    fn settings(&self) -> NewTopic<'_> {
        // -1 asks for the broker's default, both here and for the number of copies.
        let topic = NewTopic::new(&self.name, self.partitions.unwrap_or(-1), TopicReplication::Fixed(-1));
        match self.retention {
            Retention::Delete => topic.set("cleanup.policy", "delete"),
            Retention::Forever => {
                topic.set("cleanup.policy", "delete").set("retention.ms", "-1").set("retention.bytes", "-1")
            }
            Retention::Compact => topic.set("cleanup.policy", "compact"),
        }
    }
}

/// Makes those of `topics` that are missing, or, unless `create`, says which is missing.
///
/// A topic that exists is left as it is. A user who may not create topics needs only Describe on
/// those that somebody else has made.
pub async fn ensure(
    client: &ClientConfig,
    topics: &[Topic],
    create: bool,
    timeout: Duration,
) -> Result<(), Error> {
    for topic in topics {
        let missing = match exists(client, &topic.name, timeout) {
            Ok(()) => continue,
            Err(Error::NoTopic { topic }) => Error::NoTopic { topic },
            Err(error) => return Err(error),
        };
        if !create {
            return Err(missing);
        }
        make(client, topic, timeout).await?;
        tracing::info!(topic = topic.name, "topic created");
    }
    Ok(())
}

async fn make(client: &ClientConfig, topic: &Topic, timeout: Duration) -> Result<(), Error> {
    let refused = |code| Error::Create { topic: topic.name.clone(), code };
    let admin: AdminClient<DefaultClientContext> = client.create().map_err(Error::from_client)?;
    let options = AdminOptions::new().operation_timeout(Some(timeout)).request_timeout(Some(timeout));
    let answers = admin.create_topics([&topic.settings()], &options).await;
    for answer in answers.map_err(|error| refused(code_of(&error)))? {
        match answer {
            // Another instance may have been faster.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(refused(code)),
        }
    }
    Ok(())
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

/// Asks as a consumer, because a producer's question may make the broker create the topic. Where
/// the broker will not have us there is no use in asking until time is up.
fn exists(client: &ClientConfig, topic: &str, timeout: Duration) -> Result<(), Error> {
    let mut config = client.clone();
    config.remove("group.id").set("allow.auto.create.topics", "false");
    let consumer: BaseConsumer<Listener> =
        config.create_with_context(Listener::default()).map_err(Error::from_client)?;
    let start = Instant::now();
    let metadata = loop {
        let error = match consumer.fetch_metadata(Some(topic), timeout.min(ATTEMPT)) {
            Ok(metadata) => break metadata,
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
    };
    match metadata.topics().iter().find(|found| found.name() == topic).map(|found| found.error()) {
        Some(None) => Ok(()),
        None => Err(Error::NoTopic { topic: topic.to_owned() }),
        Some(Some(error)) => match RDKafkaErrorCode::from(error) {
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                Err(Error::NoTopic { topic: topic.to_owned() })
            }
            code => Err(Error::Metadata { topic: topic.to_owned(), code }),
        },
    }
}
