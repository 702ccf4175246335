//! The audit log in a Kafka topic of one partition, kept for ever.
//!
//! Each entry is one transaction, and the transactional id is the topic's name. Whoever opens the
//! log thereby ends what an earlier writer had open and locks it out: a request of a killed process
//! that is still on its way cannot land behind our back after the log was read, and a writer that
//! only seemed dead fails at its next append, before its next call.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::engine::actor::{Entry, entry};

use super::{Error, Opened, Store};

/// How long a broker may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
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
    /// Whether to create the topic where it is not there.
    pub create: bool,
}

impl fmt::Debug for KafkaConfig {
    /// Without the values of properties.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("properties", &self.properties.keys())
            .field("topic", &self.topic)
            .field("create", &self.create)
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
        ensure_topic(&config, &consumer)?;
        let producer: BaseProducer = config
            .client(&[
                ("enable.idempotence", "true"),
                ("acks", "all"),
                ("transactional.id", &config.topic),
                ("transaction.timeout.ms", "60000"),
                ("message.timeout.ms", "30000"),
                ("linger.ms", "0"),
            ])
            .create()
            .map_err(config.failed("make a producer for"))?;
        // Before reading: from here on nobody else can add an entry.
        producer.init_transactions(PATIENCE).map_err(config.failed("take over"))?;
        let entries = read(&config, &consumer)?;
        let next_seq = entries.len() as u64;
        Ok(Opened { store: Self { config, producer, next_seq, broken: false }, entries, cut: None })
    }

    fn write(&self, entry: &Entry) -> Result<(), Error> {
        const ADD: &str = "add an entry to";
        let failed = self.config.failed(ADD);
        let line = entry.to_json();
        self.producer.begin_transaction().map_err(&failed)?;
        self.producer
            .send(BaseRecord::<(), str>::to(&self.config.topic).partition(PARTITION).payload(&line))
            .map_err(|(error, _)| failed(error))?;
        // The commit would wait for delivery too, but in steps of 100 ms.
        let patience = Instant::now() + PATIENCE;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() >= patience {
                return Err(self.config.no_answer(ADD));
            }
            self.producer.poll(Duration::from_millis(2));
        }
        self.producer.commit_transaction(PATIENCE).map_err(failed)
    }
}

impl Store for KafkaStore {
    fn append(&mut self, entry: &Entry) -> Result<(), Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        entry.follows(self.next_seq).map_err(Error::Order)?;
        if let Err(error) = self.write(entry) {
            // Nothing is aborted: the next one to open the log does that, and reads what is there.
            self.broken = true;
            return Err(error);
        }
        self.next_seq += 1;
        Ok(())
    }
}

/// Sees to it that the topic is there and has one partition.
fn ensure_topic(config: &KafkaConfig, consumer: &BaseConsumer) -> Result<(), Error> {
    let until = Instant::now() + PATIENCE;
    let mut created = false;
    loop {
        let metadata =
            consumer.fetch_metadata(Some(&config.topic), PATIENCE).map_err(config.failed("look up"))?;
        let found = metadata.topics().iter().find(|topic| topic.name() == config.topic);
        match found.map(|topic| (topic.error(), topic.partitions().len())) {
            Some((None, 1)) => return Ok(()),
            Some((None, found)) if found > 1 => {
                return Err(Error::Partitions { topic: config.topic.clone(), found });
            }
            // Not there, or on its way.
            Some(_) | None if created && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Some(_) | None if config.create && !created => {
                create_topic(config)?;
                created = true;
            }
            Some(_) | None => return Err(Error::NoTopic { topic: config.topic.clone() }),
        }
    }
}

/// Creates the topic so that the broker keeps every entry.
fn create_topic(config: &KafkaConfig) -> Result<(), Error> {
    let failed = config.failed("create");
    let admin: AdminClient<DefaultClientContext> = config.client(&[]).create().map_err(&failed)?;
    let topic = NewTopic::new(&config.topic, 1, TopicReplication::Fixed(-1))
        .set("cleanup.policy", "delete")
        .set("retention.ms", "-1")
        .set("retention.bytes", "-1");
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    // On a thread of its own, because a thread that already serves a runtime cannot wait like this.
    let results = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.map(|runtime| runtime.block_on(admin.create_topics([&topic], &options)))
        });
        waiting.join().expect("waiting for the broker does not panic")
    });
    let results = results.map_err(|_| config.no_answer("create"))?.map_err(&failed)?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(failed(KafkaError::AdminOp(code))),
        }
    }
    Ok(())
}

/// Reads the topic from its beginning to its end.
fn read(config: &KafkaConfig, consumer: &BaseConsumer) -> Result<Vec<Entry>, Error> {
    let failed = config.failed("read");
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(&config.topic, PARTITION, Offset::Beginning).map_err(&failed)?;
    consumer.assign(&partitions).map_err(&failed)?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut until = Instant::now() + PATIENCE;
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            None if Instant::now() >= until => return Err(config.no_answer("read")),
            None => {}
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(entries),
            // librdkafka reports lost connections here and goes on by itself.
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut,
            ))) if Instant::now() < until => {}
            Some(Err(error)) => return Err(failed(error)),
            Some(Ok(message)) => {
                let entry = Entry::from_json(message.payload().unwrap_or_default())
                    .and_then(|entry| entry.follows(entries.len() as u64).map(|()| entry))
                    .map_err(|source: entry::Error| Error::Record {
                        topic: config.topic.clone(),
                        offset: message.offset(),
                        source,
                    })?;
                entries.push(entry);
                until = Instant::now() + PATIENCE;
            }
        }
    }
}
