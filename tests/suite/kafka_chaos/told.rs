//! What a fleet has told: its topics read to their end, and whether there is anything that it still has
//! to read itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use plimsoll::domain::{Finding, Scope};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::setting::{Fleet, PATIENCE, Setting};
use super::watch::committed;

/// Transactions that nobody aborts end by themselves after this, and hold readers up until then.
const HELD_UP: Duration = Duration::from_secs(90);

/// A message of a topic.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) value: String,
    pub(super) headers: BTreeMap<String, String>,
}

/// The numbers of a topic's partitions; none where there is no such topic.
fn partitions(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    match metadata.topics() {
        [found] if found.error().is_none() => found.partitions().iter().map(|it| it.id()).collect(),
        _ => Vec::new(),
    }
}

/// Reads `topic` to its end, and gives each message to `take`, partition by partition in order.
fn read(setting: &Setting, topic: &str, isolation: &str, mut take: impl FnMut(&BorrowedMessage<'_>)) {
    let consumer = setting.consumer("plimsoll-test-reader", isolation);
    let mut list = TopicPartitionList::new();
    let numbers = partitions(&consumer, topic);
    for number in &numbers {
        list.add_partition_offset(topic, *number, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut ended, mut last) = (0, Instant::now());
    while ended < numbers.len() {
        assert!(last.elapsed() < HELD_UP, "{topic} cannot be read to its end");
        match consumer.poll(Duration::from_secs(1)) {
            Some(Ok(message)) => {
                last = Instant::now();
                take(&message);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            // A node that is away for a moment.
            Some(Err(_)) | None => {}
        }
    }
}

/// All committed messages of `topic`.
pub(super) fn told(setting: &Setting, topic: &str) -> Vec<Told> {
    let mut told = Vec::new();
    read(setting, topic, "read_committed", |message| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let headers = message.headers().map(|headers| headers.iter().collect::<Vec<_>>());
        let headers = headers.into_iter().flatten();
        told.push(Told {
            value: text(message.payload().unwrap_or_default()),
            headers: headers
                .map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default())))
                .collect(),
        });
    });
    told
}

/// How many messages, and bytes of values, `topic` has: committed ones, and all.
pub(super) fn sizes(setting: &Setting, topic: &str) -> [(u64, u64); 2] {
    ["read_committed", "read_uncommitted"].map(|isolation| {
        let mut size = (0, 0);
        read(setting, topic, isolation, |message| {
            size = (size.0 + 1, size.1 + message.payload().map_or(0, |value| value.len() as u64));
        });
        size
    })
}

/// The ends of a topic's partitions: its high watermarks.
pub(super) fn ends(setting: &Setting, topic: &str) -> Vec<i64> {
    let consumer = setting.consumer("plimsoll-test-reader", "read_uncommitted");
    let end = |number: &i32| consumer.fetch_watermarks(topic, *number, PATIENCE).unwrap().1;
    partitions(&consumer, topic).iter().map(end).collect()
}

/// What `group` has not yet read of `topic`, whose partitions ended at `ends`; none if it has read all.
/// Markers of transactions take offsets too, so a committed offset may stay behind the end for good.
pub(super) fn behind(setting: &Setting, group: &str, topic: &str, ends: &[i64]) -> Option<String> {
    let consumer = setting.consumer(group, "read_committed");
    let offsets = match committed(&consumer, topic, ends.len() as i32, Duration::from_secs(10)) {
        Ok(offsets) => offsets,
        Err(error) => return Some(format!("the offsets of {group} in {topic}: {error}")),
    };
    for (number, (committed, end)) in offsets.iter().zip(ends).enumerate() {
        if committed >= end {
            continue;
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, number as i32, Offset::Offset(*committed)).unwrap();
        consumer.assign(&list).unwrap();
        match consumer.poll(Duration::from_secs(10)) {
            Some(Ok(message)) if message.offset() >= *end => {}
            Some(Err(KafkaError::PartitionEOF(_))) => {}
            Some(Ok(message)) => {
                let at = message.offset();
                return Some(format!("{group} has yet to read {topic} {number} from {at} to {end}"));
            }
            Some(Err(error)) => return Some(format!("{topic} {number}: {error}")),
            None => return Some(format!("{topic} {number} cannot be read at {committed}")),
        }
    }
    None
}

/// A finding as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// End of its window, milliseconds since the epoch.
    pub(super) end: i64,
    /// What it is an answer to: no two findings of one revision have the same.
    pub(super) question: String,
    pub(super) value: String,
}

/// All committed findings by model, in order.
pub(super) fn findings(setting: &Setting, fleet: &Fleet) -> BTreeMap<String, Vec<Found>> {
    let mut findings: BTreeMap<String, Vec<Found>> = BTreeMap::new();
    for Told { value, .. } in told(setting, &fleet.topic("findings")) {
        let found: Finding = serde_json::from_str(&value).unwrap_or_else(|error| panic!("{error}: {value}"));
        // Which groups are the extremes is part of the answer, not of the question.
        let scope = match &found.scope {
            Scope::Group { group, .. } => group.clone(),
            scope => scope.to_string(),
        };
        let question = format!(
            "{}@{} {} until {} of {scope} in {}, revision {}",
            found.model, found.version, found.check, found.window.end, found.segment, found.revision
        );
        let model = found.model.to_string();
        let end = found.window.end.as_millis();
        findings.entry(model).or_default().push(Found { end, question, value });
    }
    findings
}
