//! The topic of the log: that it is there, that nothing is ever removed from it, and what is in it.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::super::Error;
use super::{KafkaConfig, PARTITION, PATIENCE};
use crate::engine::actor::{Entry, entry};

/// Sees to it that the topic is there and has one partition.
pub(super) fn ensure_topic(config: &KafkaConfig, consumer: &BaseConsumer) -> Result<(), Error> {
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
pub(super) fn read(config: &KafkaConfig, consumer: &BaseConsumer) -> Result<Vec<Entry>, Error> {
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
