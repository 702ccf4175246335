//! Topics of the broker, as anybody could read them.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{PATIENCE, env};

pub(super) fn client() -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", env("PLIMSOLL_TEST_KAFKA"))
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Error);
    client
}

/// Makes a topic that keeps its records, each with the broker's time of writing it down.
pub(super) fn make(name: &str, partitions: i32) {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1))
        .set("message.timestamp.type", "LogAppendTime")
        .set("retention.ms", "-1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let made = runtime.block_on(admin.create_topics([&topic], &options)).unwrap();
    assert_eq!(made, [Ok(name.to_owned())]);
}

fn reader(isolation: &str) -> BaseConsumer {
    let mut config = client();
    config
        .set("group.id", "plimsoll-test-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "50")
        .set("isolation.level", isolation);
    config.create().unwrap()
}

/// Names of all topics, the broker's own too.
pub(super) fn names() -> Vec<String> {
    let metadata = reader("read_committed").fetch_metadata(None, PATIENCE).unwrap();
    metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
}

/// Reads a topic to its end, partition by partition in order. `isolation` says whether what was aborted
/// is read too.
pub(super) fn read(topic: &str, isolation: &str, mut take: impl FnMut(&BorrowedMessage<'_>)) {
    let consumer = reader(isolation);
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let found = &metadata.topics()[0];
    if found.error().is_some() {
        return;
    }
    let mut list = TopicPartitionList::new();
    for partition in found.partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut ended, mut last) = (0, Instant::now());
    while ended < list.count() {
        assert!(last.elapsed() < PATIENCE, "{topic} cannot be read to its end");
        match consumer.poll(Duration::from_secs(1)) {
            Some(Ok(message)) => {
                last = Instant::now();
                take(&message);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(_)) | None => {}
        }
    }
}
