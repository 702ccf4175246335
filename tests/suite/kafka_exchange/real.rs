//! On Apache Kafka itself: tests/kafka/run.sh starts it, and sets the variables that are read here.

mod source;
mod state;
mod transaction;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::*;
use plimsoll::ingest::kafka::{Config, KafkaSource, OffsetReset};
use plimsoll::ingest::source::{Assigned, Source, SourceEvent};

/// A connection to the real broker, and a topic of its own for one test.
fn real(test: &str, partitions: i32, cleanup: &str) -> (ClientConfig, String) {
    let brokers = std::env::var("PLIMSOLL_TEST_KAFKA").expect("tests/kafka/run.sh sets PLIMSOLL_TEST_KAFKA");
    let client = connect(&brokers);
    let name = format!("exchange-{test}-{}", std::process::id());
    let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
    let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1)).set("cleanup.policy", cleanup);
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for made in block_on(admin.create_topics([&topic], &options)).unwrap() {
        made.unwrap();
    }
    (client, name)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Writes outside any transaction.
fn produce(client: &ClientConfig, topic: &str, partition: i32, values: impl IntoIterator<Item = String>) {
    let producer: BaseProducer = client.create().unwrap();
    for value in values {
        let record = BaseRecord::to(topic).partition(partition).key("k").payload(&value);
        producer.send::<str, String>(record).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// The values that anybody who reads committed records sees in partition 0, by a consumer that
/// shares no code with what is tested.
fn visible(client: &ClientConfig, topic: &str) -> Vec<String> {
    let consumer: BaseConsumer = client
        .clone()
        .set("group.id", "looking")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let (mut values, start) = (Vec::new(), Instant::now());
    loop {
        assert!(start.elapsed() < PATIENCE);
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                values.push(String::from_utf8(message.payload().unwrap_or_default().to_vec()).unwrap());
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return values,
            _ => {}
        }
    }
}

fn source(client: &ClientConfig, topic: &str) -> KafkaSource {
    let topics = vec![topic.to_owned()];
    let config =
        Config { client: client.clone(), group: topic.into(), topics, offset_reset: OffsetReset::Earliest };
    KafkaSource::new(&config).unwrap()
}

/// An event, kept: only what these tests look at.
#[derive(Clone, Debug, PartialEq)]
enum Kept {
    Record(i32, i64),
    Assigned(Vec<Assigned>),
    Revoked(Vec<i32>),
    Lost(i32, i64, i64),
    End(i32),
}

impl Kept {
    fn of(event: SourceEvent<'_>) -> Self {
        match event {
            SourceEvent::Record(record) => Self::Record(record.partition.partition, record.offset),
            SourceEvent::Assigned(list) => Self::Assigned(list),
            SourceEvent::Revoked(list) => {
                Self::Revoked(list.iter().map(|partition| partition.partition).collect())
            }
            SourceEvent::Lost { partition, from, to } => Self::Lost(partition.partition, from, to),
            SourceEvent::EndOfPartition(partition) | SourceEvent::Finished(partition) => {
                Self::End(partition.partition)
            }
        }
    }
}

fn poll(source: &mut KafkaSource, events: &mut Vec<Kept>) {
    source.poll(100, Duration::from_millis(20), &mut |event| events.push(Kept::of(event))).unwrap();
}

/// Polls until `enough` says so; fails the test when it never does.
fn poll_until(source: &mut KafkaSource, enough: impl Fn(&[Kept]) -> bool) -> Vec<Kept> {
    let (mut events, start) = (Vec::new(), Instant::now());
    while !enough(&events) {
        assert!(start.elapsed() < PATIENCE, "{:?} and then nothing more", events.last());
        poll(source, &mut events);
    }
    events
}

fn records(events: &[Kept]) -> usize {
    events.iter().filter(|event| matches!(event, Kept::Record(..))).count()
}

fn assigned(events: &[Kept]) -> Vec<Assigned> {
    let lists = events.iter().filter_map(|event| match event {
        Kept::Assigned(list) => Some(list.clone()),
        _ => None,
    });
    lists.flatten().collect()
}
