//! Writing one message and knowing that it is there; reading the messages of one action. Both block, on
//! threads that tokio keeps for that, and neither for longer than is configured.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::safety::Reply;

use super::config::Error;
use super::event::{ACTION_ID, Event};

/// How long one look for what has come takes.
const STEP: Duration = Duration::from_millis(50);

/// So many of the newest messages of a partition are read whatever their time: clocks may be wrong.
const NEWEST: i64 = 100;

/// Where a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    topic: String,
    partition: i32,
    offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// A message of an action.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) value: Vec<u8>,
}

/// The clients of one cluster.
#[derive(Clone)]
pub(super) struct Topics {
    properties: BTreeMap<String, String>,
    timeout: Duration,
}

/// What the client says of itself, and what became of the message.
#[derive(Default)]
struct Heard {
    trouble: Mutex<Option<String>>,
    delivered: Mutex<Option<Result<Place, KafkaError>>>,
}

impl ClientContext for Heard {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message, "the Kafka client of a command says");
    }

    fn error(&self, _error: KafkaError, reason: &str) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }
}

impl ConsumerContext for Heard {}

impl ProducerContext for Heard {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let result = match result {
            Ok(message) => Ok(Place {
                topic: message.topic().to_owned(),
                partition: message.partition(),
                offset: message.offset(),
            }),
            Err((error, _)) => Err(error.clone()),
        };
        *self.delivered.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }
}

impl Heard {
    /// `error` with what the client has said besides, which is often the cause.
    fn words(&self, error: &KafkaError) -> String {
        match &*self.trouble.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(trouble) => format!("{error}: {trouble}"),
            None => error.to_string(),
        }
    }
}

impl Topics {
    /// Clients with `properties`, which are checked.
    pub(super) fn new(properties: BTreeMap<String, String>, timeout: Duration) -> Result<Self, Error> {
        let topics = Self { properties, timeout };
        // The settings are read, and no client is made: that would begin to connect.
        topics.producer_config().create_native_config()?;
        topics.consumer_config().create_native_config()?;
        Ok(topics)
    }

    fn config(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut client = ClientConfig::new();
        let own = own.iter().map(|&(name, value)| (name, value));
        let given = self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in given.chain(own) {
            client.set(name, value);
        }
        client
    }

    fn producer_config(&self) -> ClientConfig {
        self.config(&[
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("linger.ms", "0"),
            ("allow.auto.create.topics", "false"),
            ("message.timeout.ms", &self.timeout.as_millis().max(1).to_string()),
        ])
    }

    fn consumer_config(&self) -> ClientConfig {
        self.config(&[
            // Needed by the client, and never joined: partitions are assigned by hand.
            ("group.id", "plimsoll.command"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("allow.auto.create.topics", "false"),
            ("auto.offset.reset", "earliest"),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "true"),
        ])
    }

    /// Writes `event` to `topic` and waits until it is there.
    pub(super) async fn write(&self, topic: String, event: Event) -> Result<Place, Reply> {
        let topics = self.clone();
        blocking(move || topics.write_now(&topic, &event)).await
    }

    fn write_now(&self, topic: &str, event: &Event) -> Result<Place, Reply> {
        let until = Instant::now() + self.timeout;
        let producer: BaseProducer<Heard> =
            BaseProducer::from_config_and_context(&self.producer_config(), Heard::default())
                .map_err(unmade)?;
        let heard = producer.context();
        // Whoever does not get as far as this has sent nothing, so there is no doubt about it.
        let metadata = producer
            .client()
            .fetch_metadata(Some(topic), self.timeout)
            .map_err(|error| passing(heard.words(&error), false))?;
        partitions(&metadata, topic)?;

        let value = event.value();
        let mut headers = OwnedHeaders::new_with_capacity(event.headers.len());
        for (name, value) in &event.headers {
            headers = headers.insert(Header { key: name, value: Some(value.as_str()) });
        }
        let record = BaseRecord::<str, str>::to(topic).key(&event.key).payload(&value).headers(headers);
        if let Err((error, _)) = producer.send(record) {
            return Err(Reply::Rejected { why: format!("the command cannot be written: {error}") });
        }
        loop {
            producer.poll(STEP);
            let delivered = heard.delivered.lock().unwrap_or_else(PoisonError::into_inner).take();
            match delivered {
                Some(Ok(place)) => return Ok(place),
                Some(Err(error)) if refused(&error) => {
                    return Err(Reply::Rejected { why: format!("the broker refuses the command: {error}") });
                }
                Some(Err(error)) => return Err(passing(heard.words(&error), true)),
                None if Instant::now() >= until => {
                    return Err(passing("the command was not acknowledged in time".to_owned(), true));
                }
                None => {}
            }
        }
    }

    /// The messages of `topic` since `since` (milliseconds since the epoch) whose header names the action
    /// `id`, in the order of their partitions; as of now.
    pub(super) async fn read(&self, topic: String, id: String, since: i64) -> Result<Vec<Found>, Reply> {
        let topics = self.clone();
        blocking(move || topics.read_now(&topic, &id, since)).await
    }

    fn read_now(&self, topic: &str, id: &str, since: i64) -> Result<Vec<Found>, Reply> {
        let until = Instant::now() + self.timeout;
        let left = || until.saturating_duration_since(Instant::now()).max(STEP);
        let consumer: BaseConsumer<Heard> =
            BaseConsumer::from_config_and_context(&self.consumer_config(), Heard::default())
                .map_err(unmade)?;
        let failed = |error: KafkaError| passing(consumer.context().words(&error), false);
        let metadata = consumer.fetch_metadata(Some(topic), left()).map_err(failed)?;
        let mut times = TopicPartitionList::new();
        for partition in partitions(&metadata, topic)? {
            times.add_partition_offset(topic, partition, Offset::Offset(since)).map_err(failed)?;
        }
        let starts = consumer.offsets_for_times(times, left()).map_err(failed)?;
        // What is written from now on is not waited for.
        let mut ends = BTreeMap::new();
        let mut assigned = TopicPartitionList::new();
        for element in starts.elements() {
            element.error().map_err(failed)?;
            let partition = element.partition();
            let (low, end) = consumer.fetch_watermarks(topic, partition, left()).map_err(failed)?;
            // The end, where nothing is as new as that.
            let newer = if let Offset::Offset(start) = element.offset() { start } else { end };
            let start = newer.min(end.saturating_sub(NEWEST)).max(low);
            if start < end {
                assigned.add_partition_offset(topic, partition, Offset::Offset(start)).map_err(failed)?;
                ends.insert(partition, end);
            }
        }
        let mut found = Vec::new();
        if ends.is_empty() {
            return Ok(found);
        }
        consumer.assign(&assigned).map_err(failed)?;
        while !ends.is_empty() {
            if Instant::now() >= until {
                return Err(passing(format!("the topic {topic} was not read to its end in time"), false));
            }
            match consumer.poll(STEP) {
                None => {}
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    ends.remove(&partition);
                }
                Some(Err(error)) => return Err(failed(error)),
                Some(Ok(message)) => {
                    let partition = message.partition();
                    if ends.get(&partition).is_some_and(|end| message.offset() + 1 >= *end) {
                        ends.remove(&partition);
                    }
                    if message.headers().is_some_and(|headers| names(headers, id)) {
                        let value = message.payload().unwrap_or_default().to_vec();
                        let place = Place { topic: topic.to_owned(), partition, offset: message.offset() };
                        found.push(Found { place, value });
                    }
                }
            }
        }
        Ok(found)
    }
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Reply> + Send + 'static,
) -> Result<T, Reply> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(passing("the Kafka client of the command ended early".to_owned(), true)),
    }
}

fn names(headers: &impl Headers, id: &str) -> bool {
    headers.iter().any(|header| header.key == ACTION_ID && header.value == Some(id.as_bytes()))
}

/// The partitions of `topic`, if it is there and may be used.
fn partitions(metadata: &Metadata, topic: &str) -> Result<Vec<i32>, Reply> {
    let Some(known) = metadata.topics().iter().find(|known| known.name() == topic) else {
        return Err(passing(format!("the brokers do not say whether there is a topic {topic}"), false));
    };
    if let Some(error) = known.error() {
        let error = KafkaError::MetadataFetch(error.into());
        let why = format!("the topic {topic} cannot be used: {error}");
        return Err(if refused(&error) { Reply::Rejected { why } } else { passing(why, false) });
    }
    let partitions: Vec<i32> = known.partitions().iter().map(|partition| partition.id()).collect();
    if partitions.is_empty() {
        return Err(passing(format!("the topic {topic} has no partitions yet"), false));
    }
    Ok(partitions)
}

/// Without a client nothing can be asked, now or later.
fn unmade(error: KafkaError) -> Reply {
    let why = match Error::from(error) {
        Error::Client(source) => format!("cannot make a Kafka client: {source}"),
        other => other.to_string(),
    };
    Reply::Rejected { why }
}

/// Whether a broker has looked at it and refuses it.
fn refused(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::InvalidTopic
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::PolicyViolation
        )
    )
}

const fn passing(why: String, doubt: bool) -> Reply {
    Reply::Retry { why, doubt, retry_after: None }
}
