//! The audit log in a Kafka topic of one partition, kept for ever.
//!
//! Each append is one transaction, and the transactional id is the topic's name. Whoever opens the
//! log thereby ends what an earlier writer had open and locks it out: a request of a killed process
//! that is still on its way cannot land behind our back after the log was read, and a writer that
//! only seemed dead fails at its next append, before its next call.
//!
//! An append may carry the offset of the decisions that it accounts for, in the same transaction. The
//! broker then also asks whether the writer is still a member of its group in the present generation,
//! which finds out one that has lost the decisions before anybody opened the log behind it.
//!
//! Checkpoints go to a second topic of the same kind, each in a transaction of its own by the same
//! producer: a writer that was locked out cannot sign any more, and nobody signs what was not committed.

mod topic;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error::kind_of;
use super::head::Head;
use super::{Checkpoints, Consumed, Error, Extent, Kind, Opened, Store, lines};
use crate::engine::actor::Entry;

/// How long a broker may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the broker keeps a transaction that its writer has left open. The offset in it cannot be
/// read until then, so this is the longest that a writer stopped at the worst moment holds up the
/// next one.
const TRANSACTION_MILLIS: &str = "15000";
/// Pause before a step of a transaction is asked for again.
const AGAIN: Duration = Duration::from_millis(50);
/// How long a store that is closed may take to sign what was added last.
const CLOSING: Duration = Duration::from_secs(5);
/// What an append does, in errors.
const ADD: &str = "add an entry to";
/// What publishing a checkpoint does, in errors.
const PUBLISH: &str = "publish a checkpoint of";
/// The partition that holds the log.
const PARTITION: i32 = 0;

/// Which topic, and how to reach it.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaConfig {
    /// Client properties that hold for producers and consumers alike (brokers, TLS, SASL), by
    /// librdkafka's names. They may hold secrets.
    pub properties: BTreeMap<String, String>,
    /// The topic; it must have one partition.
    pub topic: String,
    /// Whether to create topics where they are not there.
    pub create: bool,
    /// The topic of the checkpoints, which must have one partition too, and who signs them; without,
    /// nothing is signed.
    pub checkpoints: Option<Checkpoints<String>>,
}

impl fmt::Debug for KafkaConfig {
    /// Without the values of properties.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("properties", &self.properties.keys())
            .field("topic", &self.topic)
            .field("create", &self.create)
            .field("checkpoints", &self.checkpoints)
            .finish()
    }
}

impl KafkaConfig {
    fn client(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut client = ClientConfig::new();
        let own = own.iter().map(|&(name, value)| (name, value));
        let given = self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in given.chain(own) {
            client.set(name, value);
        }
        client
    }

    fn failed(&self, doing: &'static str) -> impl Fn(KafkaError) -> Error {
        let topic = self.topic.clone();
        move |source| Error::Kafka { doing, topic: topic.clone(), source }
    }

    fn no_answer(&self, doing: &'static str) -> Error {
        Error::NoAnswer { doing, topic: self.topic.clone(), seconds: PATIENCE.as_secs() }
    }
}

/// An open topic.
pub struct KafkaStore {
    config: KafkaConfig,
    producer: BaseProducer,
    next_seq: u64,
    broken: bool,
    head: Head,
}

impl fmt::Debug for KafkaStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaStore")
            .field("config", &self.config)
            .field("next_seq", &self.next_seq)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

impl KafkaStore {
    /// Opens the log, and locks out whoever wrote it before. Blocks; call it from a plain thread.
    pub fn open(config: KafkaConfig) -> Result<Opened<Self>, Error> {
        let consumer: BaseConsumer = config
            .client(&[
                // Needed by the client, and never joined: partitions are assigned by hand.
                ("group.id", "plimsoll.audit"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("allow.auto.create.topics", "false"),
                ("auto.offset.reset", "error"),
                ("isolation.level", "read_committed"),
                ("enable.partition.eof", "true"),
            ])
            .create()
            .map_err(config.failed("make a consumer for"))?;
        topic::ensure_topic(&config, &config.topic, &consumer)?;
        if let Some(checkpoints) = &config.checkpoints {
            topic::ensure_topic(&config, &checkpoints.place, &consumer)?;
        }
        let producer: BaseProducer = config
            .client(&[
                ("enable.idempotence", "true"),
                ("acks", "all"),
                ("transactional.id", &config.topic),
                ("transaction.timeout.ms", TRANSACTION_MILLIS),
                ("message.timeout.ms", TRANSACTION_MILLIS),
                ("linger.ms", "0"),
            ])
            .create()
            .map_err(config.failed("make a producer for"))?;
        // Before reading: from here on nobody else can add an entry.
        producer.init_transactions(PATIENCE).map_err(config.failed("take over"))?;
        let newest = match &config.checkpoints {
            Some(checkpoints) => topic::newest(&config, &checkpoints.place, &consumer)?,
            None => None,
        };
        let signing = config.checkpoints.as_ref().map(|checkpoints| checkpoints.signing.clone());
        let mut head = Head::new(config.topic.clone(), signing, newest.as_deref())?;
        let entries = topic::entries(&config, &consumer, &mut head)?;
        head.whole()?;
        let next_seq = entries.len() as u64;
        Ok(Opened { store: Self { config, producer, next_seq, broken: false, head }, entries, cut: None })
    }

    /// One transaction. Leaves it open where it fails.
    fn write(
        &self,
        topic: &str,
        lines: &[String],
        consumed: Option<&Consumed>,
        patience: Duration,
    ) -> Result<(), Failed> {
        let until = Instant::now() + patience;
        self.producer.begin_transaction()?;
        for line in lines {
            let record = BaseRecord::<(), str>::to(topic).partition(PARTITION).payload(line);
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        // The commit would wait for delivery too, but in steps of 100 ms.
        while self.producer.in_flight_count() > 0 {
            if Instant::now() >= until {
                return Err(Failed::NoAnswer);
            }
            self.producer.poll(Duration::from_millis(2));
        }
        if let Some(Consumed { topic, partition, next, membership }) = consumed {
            let membership = membership.as_ref().ok_or(Failed::NoMember)?;
            let mut offsets = TopicPartitionList::with_capacity(1);
            offsets.add_partition_offset(topic, *partition, Offset::Offset(*next))?;
            patiently(until, |left| self.producer.send_offsets_to_transaction(&offsets, membership, left))?;
        }
        patiently(until, |left| self.producer.commit_transaction(left))?;
        Ok(())
    }

    /// Signs what is not covered by a checkpoint; with `now`, where it is time.
    fn publish(&mut self, now: Option<i64>, patience: Duration) -> Result<(), Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        let Some(Checkpoints { place, .. }) = &self.config.checkpoints else { return Ok(()) };
        let Some((checkpoint, note)) = self.head.next(now) else { return Ok(()) };
        if let Err(failed) = self.write(place, &[note], None, patience) {
            self.broken = true;
            return Err(match failed {
                Failed::Kafka(error) => self.told(PUBLISH, error),
                Failed::NoAnswer | Failed::NoMember => self.config.no_answer(PUBLISH),
            });
        }
        self.head.published(checkpoint, now);
        Ok(())
    }

    /// What the failure of a transaction means, which is aborted where the store is to be used on.
    fn failed(&self, failed: Failed, consumed: Option<&Consumed>) -> Error {
        let source = match failed {
            Failed::NoAnswer => return self.config.no_answer(ADD),
            Failed::NoMember => None,
            Failed::Kafka(error) => Some(error),
        };
        match (source.as_ref().map_or(Kind::NotOwner, kind_of), consumed) {
            (Kind::NotOwner, Some(consumed)) => match self.producer.abort_transaction(PATIENCE) {
                Ok(()) => Error::NotOwner { decisions: consumed.topic.to_string(), source },
                Err(error) => self.told("take an entry back from", error),
            },
            _ => source.map_or_else(|| self.config.no_answer(ADD), |source| self.told(ADD, source)),
        }
    }

    fn told(&self, doing: &'static str, source: KafkaError) -> Error {
        match kind_of(&source) {
            Kind::Fenced => Error::Fenced { topic: self.config.topic.clone(), source },
            Kind::NotOwner | Kind::Away | Kind::Fault => self.config.failed(doing)(source),
        }
    }
}

/// Why a transaction failed.
enum Failed {
    /// The client says why.
    Kafka(KafkaError),
    /// Nothing came for too long.
    NoAnswer,
    /// There is no group in which the offset could be stored.
    NoMember,
}

impl From<KafkaError> for Failed {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(error)
    }
}

/// Takes a step of a transaction, again and again while the client says that it may be repeated, until
/// the moment `until`.
fn patiently(until: Instant, step: impl Fn(Duration) -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    loop {
        match step(until.saturating_duration_since(Instant::now())) {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < until => {
                std::thread::sleep(AGAIN);
            }
            answer => return answer,
        }
    }
}

impl Store for KafkaStore {
    fn append(&mut self, entries: &[Entry], consumed: Option<&Consumed>) -> Result<(), Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        if entries.is_empty() && consumed.is_none() {
            return Ok(());
        }
        let lines = lines(entries, self.next_seq)?;
        if let Err(failed) = self.write(&self.config.topic, &lines, consumed, PATIENCE) {
            let error = self.failed(failed, consumed);
            // Otherwise nothing is aborted: the next one to open the log does that, and reads what is there.
            self.broken = error.kind() != Kind::NotOwner;
            return Err(error);
        }
        self.next_seq += lines.len() as u64;
        lines.iter().for_each(|line| self.head.add(line.as_bytes()));
        Ok(())
    }

    fn publish_due(&mut self, now: i64) -> Result<(), Error> {
        self.publish(Some(now), PATIENCE)
    }

    fn extent(&self) -> Extent {
        self.head.extent()
    }

    fn stores_offsets(&self) -> bool {
        true
    }
}

impl Drop for KafkaStore {
    /// What was added last is signed too, unless another process has taken over.
    fn drop(&mut self) {
        if !self.broken
            && !std::thread::panicking()
            && let Err(error) = self.publish(None, CLOSING)
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the last checkpoint was not signed");
        }
    }
}
