//! The audit log as it grows: what is committed in its topic.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

/// The log of one story, as far as it was read.
pub(super) struct Audit {
    consumer: BaseConsumer,
    pub(super) entries: Vec<Value>,
}

impl Audit {
    pub(super) fn new(client: &ClientConfig, topic: &str) -> Self {
        let mut config = client.clone();
        config
            .set("group.id", "plimsoll-test-reader")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "100")
            .set("isolation.level", "read_committed");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        Self { consumer, entries: Vec::new() }
    }

    /// Reads for at most so long until there is nothing more.
    pub(super) fn read(&mut self, patience: Duration) {
        let mut patience = patience;
        while let Some(polled) = self.consumer.poll(patience) {
            patience = Duration::ZERO;
            // A topic that was just made may not be known everywhere yet.
            let Ok(message) = polled else { continue };
            self.entries.push(serde_json::from_slice(message.payload().unwrap()).unwrap());
        }
    }

    /// How many processes have taken the log up.
    pub(super) fn lives(&self) -> usize {
        self.entries.iter().filter(|entry| entry["kind"] == "started").count()
    }

    /// Entries of a kind about an action.
    pub(super) fn about(&self, kind: &str, id: &str) -> Vec<&Value> {
        about(&self.entries, kind, id)
    }

    /// Ids of all actions that were decided on, by the name of the action.
    pub(super) fn actions(&self) -> BTreeMap<String, String> {
        actions(&self.entries)
    }
}

/// Entries of a kind about an action.
pub(super) fn about<'a>(entries: &'a [Value], kind: &str, id: &str) -> Vec<&'a Value> {
    entries.iter().filter(|entry| entry["kind"] == kind && entry["action_id"] == id).collect()
}

/// Ids of all actions that were decided on, by the name of the action.
pub(super) fn actions(entries: &[Value]) -> BTreeMap<String, String> {
    let decisions = entries.iter().filter(|entry| entry["kind"] == "decision");
    let planned = decisions.flat_map(|entry| entry["actions"].as_array().into_iter().flatten());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    planned.map(|planned| (text(&planned["action"]), text(&planned["action_id"]))).collect()
}
