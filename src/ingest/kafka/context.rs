//! What librdkafka calls back. All of it happens on the thread that polls, inside `poll`; nothing
//! here waits for the network. A new assignment is only written down: the source fetches the
//! committed offsets and then takes the partitions, and librdkafka hands over no record before.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::statistics::Statistics;

/// A partition as plain data. Lists of librdkafka can keep a consumer from closing, so none is kept.
pub(super) type Named = (String, i32);

/// What came in through callbacks and waits for the source.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Partitions that the group has given us and that were not taken yet.
    pub(super) unanswered: Option<Vec<Named>>,
    /// Partitions that were taken away.
    pub(super) revoked: Vec<Named>,
    /// Statistics that were not looked at yet.
    pub(super) statistics: Option<Statistics>,
    /// The words of the newest error.
    pub(super) reason: String,
    /// Partitions whose offset was not in the log any more.
    pub(super) resets: Vec<Named>,
}

/// The consumer's context.
#[derive(Debug, Default)]
pub(super) struct Context {
    inbox: Mutex<Inbox>,
    /// Whether `resets` holds anything; asked for every record.
    pub(super) offset_was_reset: AtomicBool,
}

impl Context {
    /// The inbox. A poisoned lock is taken all the same: its content is plain data.
    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Gives partitions to the client, in the way of the group's protocol.
pub(super) fn take(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        _ => consumer.assign(list),
    }
}

/// Takes partitions that are about to be given back. They begin at the end, so nothing is fetched.
fn refuse(consumer: &BaseConsumer<Context>, partitions: &[Named]) {
    let list = partitions.iter().map(|(topic, partition)| (topic.clone(), *partition, Offset::End)).collect();
    if let Err(error) = take(consumer, &list) {
        tracing::debug!(%error, "an assignment that is to be given back could not be taken");
    }
}

fn named(list: &TopicPartitionList) -> Vec<Named> {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, message);
        // The only place where librdkafka tells that a committed offset was gone: "topic [3]: offset reset ...".
        if facility.ends_with("OFFSET")
            && message.contains("offset reset")
            && let Some(partition) = reset_partition(message)
        {
            tracing::error!(
                topic = partition.0,
                partition = partition.1,
                detail = message,
                "offsets are not in the log any more; records were lost before they were read"
            );
            self.inbox().resets.push(partition);
            self.offset_was_reset.store(true, Ordering::Relaxed);
        }
    }

    fn stats_raw(&self, report: &[u8]) {
        match serde_json::from_slice(report) {
            Ok(statistics) => self.inbox().statistics = Some(statistics),
            Err(error) => tracing::debug!(%error, "librdkafka's statistics were not understood"),
        }
    }

    fn error(&self, _: KafkaError, reason: &str) {
        reason.clone_into(&mut self.inbox().reason);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.inbox().unanswered.get_or_insert_default().extend(named(list));
            return;
        }
        let gone = named(list);
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        // An assignment that was not taken yet must be before it can be given back. What of it stays
        // ours is still to be taken.
        let unanswered = self.inbox().unanswered.take().unwrap_or_default();
        let (refused, rest): (Vec<Named>, Vec<Named>) =
            unanswered.into_iter().partition(|partition| !cooperative || gone.contains(partition));
        if !refused.is_empty() {
            refuse(consumer, &refused);
        }
        let result = if cooperative { consumer.incremental_unassign(list) } else { consumer.unassign() };
        if let Err(error) = result {
            tracing::warn!(%error, "revoked partitions were not given back");
        }
        let mut inbox = self.inbox();
        inbox.unanswered = (!rest.is_empty()).then_some(rest);
        inbox.revoked.extend(gone);
    }
}

/// The partition at the beginning of `topic [3]: offset reset ...`.
fn reset_partition(message: &str) -> Option<Named> {
    // Log lines of a client begin with its thread: "[thrd:main]: topic [3]: ...".
    let (head, _) = message.split_once(": offset reset")?;
    let head = head.rsplit(": ").next()?;
    let (topic, partition) = head.strip_suffix(']')?.rsplit_once(" [")?;
    Some((topic.to_owned(), partition.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_of_an_offset_reset_is_read_from_the_log_line() {
        let line = "[thrd:main]: inference [3]: offset reset (at offset 5 (leader epoch 0), broker 1) to cached \
                    BEGINNING offset 9: fetch failed due to requested offset not available on the broker";
        assert_eq!(reset_partition(line), Some(("inference".to_owned(), 3)));
        assert_eq!(reset_partition("plain [0]: offset reset (at offset 1)"), Some(("plain".to_owned(), 0)));
        assert_eq!(reset_partition("something else"), None);
    }
}
