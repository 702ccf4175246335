//! Reading: one consumer, records lent from librdkafka's own buffers.
//!
//! librdkafka tells the end of a partition by its number alone. Where two assigned topics share a
//! number, the end is taken from the statistics instead, up to two seconds later.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::context::{Context, take};
use super::error::{advice, code_of, commit_may_pass, is_refusal};
use super::faults::Recorder;
use super::statistics::Statistics;
use super::{Config, Error, Faults, OffsetReset};
use crate::domain::SourcePartition;
use crate::ingest::source::{Assigned, Commit, Lag, RawRecord, Source, SourceEvent};

/// How long one attempt to fetch committed offsets may take before the group is served again.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the broker may take to answer where a log begins and ends; asked only before giving up.
const WATERMARKS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the number of partitions that a cluster told may be used.
const PARTITIONS_AGE: Duration = Duration::from_secs(30);
/// What brokers take as metadata of a commit unless told otherwise (`offset.metadata.max.bytes`).
const METADATA_LIMIT: usize = 4096;
/// Brokers that answer nothing for so long are away: members of a group ask every few seconds at least.
const SILENCE: Duration = Duration::from_secs(10);
/// Records with at most so many headers are handed over without an allocation.
const INLINE_HEADERS: usize = 8;

pub(super) type Sink<'s> = &'s mut dyn FnMut(SourceEvent<'_>);

/// A partition that is ours now.
#[derive(Debug)]
struct Owned {
    partition: SourcePartition,
    /// The next offset, once one is known.
    position: Option<i64>,
    at_end: bool,
}

/// A consumer of a group. It closes on drop, giving its partitions back, in well under a second: no
/// list of librdkafka's is kept, because one that lives on makes the closing wait for ever.
pub struct KafkaSource {
    consumer: BaseConsumer<Context>,
    group: String,
    reset: OffsetReset,
    owned: Vec<Owned>,
    /// Index of the partition of the last record: records come in runs.
    last: usize,
    statistics: Statistics,
    /// When the statistics last told of a broker's answer.
    heard: Instant,
    faults: Recorder,
    /// Whether the group has ever given us an assignment. Before that, a refusal is a mistake in the
    /// configuration and stops the source; afterwards it is a fault that may pass.
    joined: bool,
    topics: Vec<Arc<str>>,
    /// What the cluster told of the topics, and when.
    partitions: Option<(Instant, BTreeMap<Arc<str>, i32>)>,
    paused: bool,
    /// Whether a partition may still be paused from an earlier time that it was ours.
    was_paused: bool,
}

impl fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSource")
            .field("group", &self.group)
            .field("reset", &self.reset)
            .field("owned", &self.owned)
            .finish_non_exhaustive()
    }
}

impl KafkaSource {
    /// Makes the consumer and joins its group in the background; no broker need be there yet.
    ///
    /// Fails on a wrong configuration only.
    pub fn new(config: &Config) -> Result<Self, Error> {
        if config.topics.is_empty() {
            return Err(Error::NoTopic);
        }
        let client = config.to_client_config()?;
        let consumer: BaseConsumer<Context> =
            client.create_with_context(Context::default()).map_err(Error::from_client)?;
        let topics: Vec<&str> = config.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(Error::from_client)?;
        Ok(Self {
            consumer,
            group: config.group.clone(),
            reset: config.offset_reset,
            owned: Vec::new(),
            last: 0,
            statistics: Statistics::default(),
            heard: Instant::now(),
            faults: Recorder::default(),
            joined: false,
            topics: config.topics.iter().map(|topic| topic.as_str().into()).collect(),
            partitions: None,
            paused: false,
            was_paused: false,
        })
    }

    /// How this member stands in its group now; none before it has joined, and none while partitions
    /// were taken from it and polling has not told so yet. Whoever commits offsets for it in a
    /// transaction shows this, and asks for it anew each time: a commit of a member that has been
    /// replaced is refused.
    pub fn group_metadata(&self) -> Option<ConsumerGroupMetadata> {
        let metadata = self.consumer.group_metadata()?;
        // A member that was thrown out forgets who it was, and brokers take offsets of one who says
        // nothing of itself. The thread that forgets is the one that has answered, and it notes the
        // loss in the same breath, so asking in this order leaves no gap.
        let whole = !self.consumer.assignment_lost() && self.consumer.context().inbox().revoked.is_empty();
        whole.then_some(metadata)
    }

    /// Hands over no more records, of partitions that are assigned meanwhile too, until `resume`.
    /// Polling must go on, and tells of partitions that come and go. What was fetched and not
    /// handed over is let go and fetched again.
    pub fn pause(&mut self) -> Result<(), Error> {
        if self.paused {
            return Ok(());
        }
        self.consumer
            .pause(&list_of(self.owned.iter().map(|owned| &owned.partition)))
            .map_err(Error::Pause)?;
        (self.paused, self.was_paused) = (true, true);
        Ok(())
    }

    /// Whether `pause` holds.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Goes on where `pause` stopped.
    pub fn resume(&mut self) -> Result<(), Error> {
        if self.paused {
            let list = list_of(self.owned.iter().map(|owned| &owned.partition));
            self.consumer.resume(&list).map_err(Error::Pause)?;
            self.paused = false;
        }
        Ok(())
    }

    /// How many partitions each topic has, as the cluster tells it; 0 for a topic that is not there.
    /// Asks at most every 30 seconds, and keeps to the last answer where a later question fails.
    pub fn topic_partitions(&mut self, timeout: Duration) -> Result<BTreeMap<Arc<str>, i32>, Error> {
        if let Some((at, partitions)) = &self.partitions
            && at.elapsed() < PARTITIONS_AGE
        {
            return Ok(partitions.clone());
        }
        let until = Instant::now() + timeout;
        let mut partitions = BTreeMap::new();
        for topic in &self.topics {
            let left = until.saturating_duration_since(Instant::now());
            match count_partitions(&self.consumer, topic, left) {
                Ok(count) => drop(partitions.insert(Arc::clone(topic), count)),
                Err(code) => {
                    if let Some((at, known)) = &mut self.partitions {
                        *at = Instant::now();
                        tracing::debug!(topic = &**topic, %code, "the number of partitions was not told");
                        return Ok(known.clone());
                    }
                    let advice = advice(code).unwrap_or("check `kafka.brokers`");
                    let (topic, reason) = (topic.to_string(), code.to_string());
                    return Err(Error::Lookup { topic, reason, advice });
                }
            }
        }
        self.partitions = Some((Instant::now(), partitions.clone()));
        Ok(partitions)
    }

    /// Whether the group has given us an assignment, which may be empty.
    pub fn joined(&self) -> bool {
        self.joined
    }

    /// That no broker has answered for long, in words; none while one does. Known from polling, to the second.
    pub fn silence(&self) -> Option<String> {
        let silent = self.heard.elapsed();
        (silent >= SILENCE).then(|| format!("no broker has answered for {} s", silent.as_secs()))
    }

    /// What went wrong since the source was made.
    pub fn faults(&self) -> Faults {
        self.faults.counts
    }

    /// Serves what callbacks left in the inbox; returns the number of events handed over.
    fn serve_inbox(&mut self, sink: Sink<'_>) -> Result<usize, Error> {
        let (revoked, statistics, unanswered) = {
            let mut inbox = self.consumer.context().inbox();
            (std::mem::take(&mut inbox.revoked), inbox.statistics.take(), inbox.unanswered.clone())
        };
        let mut events = 0;
        if !revoked.is_empty() {
            events += self.revoke(&revoked, sink);
        }
        if let Some(unanswered) = unanswered {
            events += self.assign(&unanswered, sink)?;
        }
        if let Some(statistics) = statistics {
            if statistics.answers != self.statistics.answers {
                self.heard = Instant::now();
            }
            self.statistics = statistics;
            events += self.ends_by_statistics(sink);
        }
        Ok(events)
    }

    fn revoke(&mut self, revoked: &[(String, i32)], sink: Sink<'_>) -> usize {
        let gone: HashSet<(&str, i32)> =
            revoked.iter().map(|(topic, number)| (topic.as_str(), *number)).collect();
        let ours = |owned: &mut Owned| gone.contains(&(&*owned.partition.topic, owned.partition.partition));
        let lost: Vec<_> = self.owned.extract_if(.., ours).map(|owned| owned.partition).collect();
        self.last = 0;
        if lost.is_empty() {
            return 0;
        }
        tracing::info!(partitions = lost.len(), "partitions were given to another member of the group");
        sink(SourceEvent::Revoked(lost));
        1
    }

    /// Takes assigned partitions at their committed offsets. Where these cannot be had now, the
    /// assignment stays unanswered, nothing is read, and the next poll tries again.
    fn assign(&mut self, partitions: &[(String, i32)], sink: Sink<'_>) -> Result<usize, Error> {
        let asked: TopicPartitionList =
            partitions.iter().map(|(topic, number)| (topic.clone(), *number, Offset::Invalid)).collect();
        let answer = match self.consumer.committed_offsets(asked, COMMITTED_TIMEOUT) {
            Ok(answer) => answer,
            Err(error) => return self.fault(&error, "committed offsets could not be fetched").map(|()| 0),
        };
        let (mut list, mut assigned) = (TopicPartitionList::with_capacity(partitions.len()), Vec::new());
        for element in answer.elements() {
            if let Err(error) = element.error() {
                return self.fault(&error, "committed offsets could not be fetched").map(|()| 0);
            }
            let partition = SourcePartition::new(element.topic(), element.partition());
            let (start, offset) = match (element.offset(), self.reset) {
                (Offset::Offset(offset), _) => (Offset::Offset(offset), Some(offset)),
                (_, OffsetReset::Earliest) => (Offset::Beginning, None),
                (_, OffsetReset::Latest) => (Offset::End, None),
                (_, OffsetReset::Error) => {
                    return Err(Error::NoCommittedOffset { partition, group: self.group.clone() });
                }
            };
            list.add_partition_offset(element.topic(), element.partition(), start).map_err(Error::Assign)?;
            let metadata = offset.map(|_| element.metadata().to_owned());
            assigned.push(Assigned { partition, offset, metadata });
        }
        take(&self.consumer, &list).map_err(Error::Assign)?;
        if self.paused {
            self.consumer.pause(&list).map_err(Error::Pause)?;
        } else if self.was_paused {
            self.consumer.resume(&list).map_err(Error::Pause)?;
        }
        self.consumer.context().inbox().unanswered = None;
        self.joined = true;
        self.faults.answered();
        if assigned.is_empty() {
            return Ok(0);
        }
        tracing::info!(
            group = self.group,
            partitions = assigned.len(),
            "reading partitions from their committed offsets"
        );
        self.owned.extend(assigned.iter().map(|assigned| Owned {
            partition: assigned.partition.clone(),
            position: assigned.offset,
            at_end: false,
        }));
        sink(SourceEvent::Assigned(assigned));
        Ok(1)
    }

    /// Counts a fault, or says that it is one to stop for.
    fn fault(&mut self, error: &KafkaError, fallback: &str) -> Result<(), Error> {
        let code = code_of(error);
        let reason = std::mem::take(&mut self.consumer.context().inbox().reason);
        let reason = if reason.is_empty() { format!("{fallback}: {code}") } else { reason };
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) || code == RDKafkaErrorCode::Fatal {
            return Err(Error::Fatal { reason });
        }
        if code == RDKafkaErrorCode::AutoOffsetReset {
            return Err(self.out_of_range(reason));
        }
        if is_refusal(code) && !self.joined {
            let advice = advice(code).unwrap_or("check `kafka.security`");
            return Err(Error::Refused { reason, advice });
        }
        self.faults.passing(code, &reason);
        Ok(())
    }

    /// Finds the partition whose offset is not in its log; librdkafka does not name it.
    fn out_of_range(&self, reason: String) -> Error {
        for Owned { partition, position, .. } in &self.owned {
            let Some(offset) = *position else { continue };
            let watermarks =
                self.consumer.fetch_watermarks(&partition.topic, partition.partition, WATERMARKS_TIMEOUT);
            if let Ok((low, high)) = watermarks
                && !(low..=high).contains(&offset)
            {
                let (partition, group) = (partition.clone(), self.group.clone());
                return Error::OffsetOutOfRange { partition, offset, low, high, group };
            }
        }
        Error::OffsetReset { reason }
    }

    /// The end of the only assigned partition with this number; with several, the statistics decide.
    fn end_by_event(&mut self, number: i32, sink: Sink<'_>) -> usize {
        let mut candidates = self.owned.iter_mut().filter(|owned| owned.partition.partition == number);
        match (candidates.next(), candidates.next()) {
            (Some(owned), None) => {
                owned.at_end = true;
                sink(SourceEvent::EndOfPartition(owned.partition.clone()));
                1
            }
            _ => 0,
        }
    }

    fn ends_by_statistics(&mut self, sink: Sink<'_>) -> usize {
        let mut numbers = HashSet::new();
        let shared: HashSet<i32> = self
            .owned
            .iter()
            .map(|owned| owned.partition.partition)
            .filter(|number| !numbers.insert(*number))
            .collect();
        let mut events = 0;
        for owned in self.owned.iter_mut().filter(|owned| !owned.at_end) {
            let SourcePartition { topic, partition } = &owned.partition;
            if !shared.contains(partition) {
                continue;
            }
            let statistics = self.statistics.partition(topic, *partition);
            if statistics.is_some_and(|statistics| statistics.at_end(owned.position, self.reset)) {
                owned.at_end = true;
                sink(SourceEvent::EndOfPartition(owned.partition.clone()));
                events += 1;
            }
        }
        events
    }

    /// Counts what retention took before it was read, and tells where it lay. Returns the number of
    /// events.
    #[cold]
    fn lost(context: &Context, faults: &mut Recorder, owned: &Owned, offset: i64, sink: Sink<'_>) -> usize {
        {
            let mut inbox = context.inbox();
            let before = inbox.resets.len();
            inbox.resets.retain(|(topic, number)| {
                **topic != *owned.partition.topic || *number != owned.partition.partition
            });
            context.offset_was_reset.store(!inbox.resets.is_empty(), Ordering::Relaxed);
            if inbox.resets.len() == before {
                return 0;
            }
        }
        let from = owned.position.unwrap_or(offset);
        let lost = offset.saturating_sub(from).max(0);
        faults.counts.offset_resets += 1;
        faults.counts.lost_offsets += u64::try_from(lost).unwrap_or(0);
        tracing::error!(partition = %owned.partition, lost, next = offset, "records were lost before they were read");
        if lost == 0 {
            return 0;
        }
        sink(SourceEvent::Lost { partition: owned.partition.clone(), from, to: offset });
        1
    }
}

/// A list that lives as long as one call: one that went through `pause` keeps the consumer from
/// closing.
fn list_of<'a>(partitions: impl Iterator<Item = &'a SourcePartition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for SourcePartition { topic, partition } in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

/// How many partitions a topic has; 0 where it is not there.
fn count_partitions(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    timeout: Duration,
) -> Result<i32, RDKafkaErrorCode> {
    use RDKafkaErrorCode as Code;
    let metadata = consumer.fetch_metadata(Some(topic), timeout).map_err(|error| code_of(&error))?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(0) };
    match found.error().map(Code::from) {
        None => Ok(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX)),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(0),
        Some(code) => Err(code),
    }
}

/// The partition of a message among those that are ours.
#[inline]
fn find(owned: &[Owned], last: usize, topic: &str, number: i32) -> Option<usize> {
    let is = |owned: &Owned| owned.partition.partition == number && *owned.partition.topic == *topic;
    if owned.get(last).is_some_and(is) {
        return Some(last);
    }
    owned.iter().position(is)
}

pub(super) fn hand_over(partition: &SourcePartition, message: &BorrowedMessage<'_>, sink: Sink<'_>) {
    let record = |headers: &[(&str, &[u8])], sink: Sink<'_>| {
        sink(SourceEvent::Record(RawRecord {
            partition,
            offset: message.offset(),
            key: message.key(),
            value: message.payload(),
            headers,
        }));
    };
    let Some(headers) = message.headers() else { return record(&[], sink) };
    let pairs = headers.iter().map(|header| (header.key, header.value.unwrap_or_default()));
    if headers.count() <= INLINE_HEADERS {
        let mut inline = [("", [].as_slice()); INLINE_HEADERS];
        for (slot, pair) in inline.iter_mut().zip(pairs) {
            *slot = pair;
        }
        record(&inline[..headers.count()], sink);
    } else {
        record(&pairs.collect::<Vec<_>>(), sink);
    }
}

impl Source for KafkaSource {
    type Error = Error;

    fn poll(&mut self, max: usize, timeout: Duration, sink: Sink<'_>) -> Result<usize, Error> {
        let deadline = Instant::now() + timeout;
        let mut events = self.serve_inbox(sink)?;
        while events < max {
            // Once there is something to work on, take what is at hand and wait no longer.
            let wait =
                if events == 0 { deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    let found = find(&self.owned, self.last, message.topic(), message.partition());
                    // A record of a partition that is not ours any more: its new owner reads it.
                    let Some(index) = found else { continue };
                    self.last = index;
                    let (context, owned) = (self.consumer.context(), &mut self.owned[index]);
                    if context.offset_was_reset.load(Ordering::Relaxed) {
                        events += Self::lost(context, &mut self.faults, owned, message.offset(), sink);
                    }
                    self.faults.answered();
                    owned.position = Some(message.offset() + 1);
                    owned.at_end = false;
                    hand_over(&owned.partition, &message, sink);
                    events += 1;
                }
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    self.faults.answered();
                    events += self.end_by_event(number, sink);
                }
                Some(Err(error)) => self.fault(&error, "reading failed")?,
                None => {
                    let served = self.serve_inbox(sink)?;
                    events += served;
                    if served == 0 && (events > 0 || Instant::now() >= deadline) {
                        break;
                    }
                }
            }
        }
        // A revocation that was called back amid the last records must not wait for the next poll: what
        // was counted of its partitions may be committed before that.
        if !self.consumer.context().inbox().revoked.is_empty() {
            events += self.serve_inbox(sink)?;
        }
        Ok(events)
    }

    /// Commits synchronously. Partitions that are not ours any more are left out: their new owner
    /// commits them. An error with `is_passing` leaves everything as it was.
    fn commit(&mut self, commits: &[Commit]) -> Result<(), Error> {
        let mut list = TopicPartitionList::with_capacity(commits.len());
        for Commit { partition, offset, metadata } in commits {
            if metadata.len() > METADATA_LIMIT {
                let (partition, bytes) = (partition.clone(), metadata.len());
                return Err(Error::MetadataTooLong { partition, bytes, limit: METADATA_LIMIT });
            }
            if find(&self.owned, self.last, &partition.topic, partition.partition).is_none() {
                continue;
            }
            let mut element = list.add_partition(&partition.topic, partition.partition);
            element.set_offset(Offset::Offset(*offset)).map_err(Error::Assign)?;
            element.set_metadata(metadata);
        }
        if list.count() == 0 {
            return Ok(());
        }
        self.consumer.commit(&list, CommitMode::Sync).map_err(|error| {
            let code = code_of(&error);
            self.faults.counts.commits += 1;
            Error::Commit { group: self.group.clone(), code, passing: commit_may_pass(code) }
        })
    }

    fn lag(&self) -> Vec<Lag> {
        let behind = |owned: &Owned| {
            let SourcePartition { topic, partition } = &owned.partition;
            let statistics = self.statistics.partition(topic, *partition);
            let records = if owned.at_end { Some(0) } else { statistics?.lag(owned.position, self.reset) };
            Some(Lag { partition: owned.partition.clone(), records: records? })
        };
        self.owned.iter().filter_map(behind).collect()
    }
}
