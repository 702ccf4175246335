//! The topic of the log: that it is there, that nothing is ever removed from it, and what is in it.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::super::Error;
use super::super::head::Head;
use super::{KafkaConfig, PARTITION, PATIENCE};
use crate::engine::actor::{Entry, entry};

/// Sees to it that `topic` is there and has one partition.
pub(super) fn ensure_topic(config: &KafkaConfig, topic: &str, consumer: &BaseConsumer) -> Result<(), Error> {
    let until = Instant::now() + PATIENCE;
    let mut created = false;
    loop {
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).map_err(config.failed("look up"))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        match found.map(|topic| (topic.error(), topic.partitions().len())) {
            Some((None, 1)) => return Ok(()),
            Some((None, found)) if found > 1 => {
                return Err(Error::Partitions { topic: topic.to_owned(), found });
            }
            // Not there, or on its way.
            Some(_) | None if created && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Some(_) | None if config.create && !created => {
                create_topic(config, topic)?;
                created = true;
            }
            Some(_) | None => return Err(Error::NoTopic { topic: topic.to_owned() }),
        }
    }
}

/// Creates the topic so that the broker keeps every entry.
fn create_topic(config: &KafkaConfig, topic: &str) -> Result<(), Error> {
    let failed = config.failed("create");
    let admin: AdminClient<DefaultClientContext> = config.client(&[]).create().map_err(&failed)?;
    let topic = NewTopic::new(topic, 1, TopicReplication::Fixed(-1))
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

/// All entries of the log, which `head` takes too.
pub(super) fn entries(
    config: &KafkaConfig,
    consumer: &BaseConsumer,
    head: &mut Head,
) -> Result<Vec<Entry>, Error> {
    let mut entries: Vec<Entry> = Vec::new();
    read(config, &config.topic, Offset::Beginning, consumer, &mut |offset, value| {
        let entry = Entry::from_json(value)
            .and_then(|entry| entry.follows(entries.len() as u64).map(|()| entry))
            .map_err(|source: entry::Error| Error::Record { topic: config.topic.clone(), offset, source })?;
        head.read(value)?;
        entries.push(entry);
        Ok(())
    })?;
    Ok(entries)
}

/// The newest message of `topic`. The offsets before its end may be marks of transactions, aborted or
/// not, so ever more of them are looked at.
pub(super) fn newest(
    config: &KafkaConfig,
    topic: &str,
    consumer: &BaseConsumer,
) -> Result<Option<Vec<u8>>, Error> {
    let ends = consumer.fetch_watermarks(topic, PARTITION, PATIENCE);
    let (low, high) = ends.map_err(config.failed("look up"))?;
    let mut back = 8_i64;
    loop {
        let from = high.saturating_sub(back).max(low);
        let mut newest: Option<Vec<u8>> = None;
        read(config, topic, Offset::Offset(from), consumer, &mut |_, value| {
            newest = Some(value.to_vec());
            Ok(())
        })?;
        if newest.is_some() || from == low {
            return Ok(newest);
        }
        back = back.saturating_mul(8);
    }
}

/// What is done with each message: its offset and its value.
type Take<'a> = &'a mut dyn FnMut(i64, &[u8]) -> Result<(), Error>;

/// Reads `topic` from `from` to its end.
fn read(
    config: &KafkaConfig,
    topic: &str,
    from: Offset,
    consumer: &BaseConsumer,
    take: Take<'_>,
) -> Result<(), Error> {
    let failed = config.failed("read");
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, PARTITION, from).map_err(&failed)?;
    consumer.assign(&partitions).map_err(&failed)?;
    let mut until = Instant::now() + PATIENCE;
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            None if Instant::now() >= until => return Err(config.no_answer("read")),
            None => {}
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            // librdkafka reports lost connections here and goes on by itself.
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut,
            ))) if Instant::now() < until => {}
            Some(Err(error)) => return Err(failed(error)),
            Some(Ok(message)) => {
                take(message.offset(), message.payload().unwrap_or_default())?;
                until = Instant::now() + PATIENCE;
            }
        }
    }
}
