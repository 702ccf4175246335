//! Reading one partition by hand, without a group: what a compacted topic holds when a role takes a
//! partition over, and a topic that everybody follows from its beginning.
//!
//! Restoring must see everything that any predecessor committed, and nothing that was aborted. The
//! end is therefore asked for as one who sees open transactions, and reading as one who does not
//! begins only when that end is behind the last stable offset: then every transaction below it has
//! its marker, and the next end of the partition that is told lies at or behind it. Offsets alone
//! would not do, because markers and compacted records leave holes at the end of a log.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use super::error::code_of;

/// How long one question to a broker may take before it is asked again.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Between two questions whether open transactions have ended.
const PAUSE: Duration = Duration::from_millis(50);
/// How long one wait for records lasts, so that a stop is noticed.
const WAIT: Duration = Duration::from_millis(100);

/// Why a partition could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client could not be made.
    #[error(transparent)]
    Client(#[from] super::Error),
    /// Nothing came for too long.
    #[error(
        "{topic}/{partition} could not be read: for {seconds} s nothing changed while waiting for {what}{last}"
    )]
    Silent {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// How long nothing changed.
        seconds: u64,
        /// What was waited for.
        what: String,
        /// The last fault that was told meanwhile, or nothing.
        last: String,
    },
    /// The broker will not have us, or the topic is not there.
    #[error("{topic}/{partition} could not be read: {code}{}", advice(*code))]
    Refused {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The answer.
        code: RDKafkaErrorCode,
    },
    /// The topic has no such partition.
    #[error("{topic} has {partitions} partitions, the first of them 0, so {partition} is not there")]
    NoPartition {
        /// The topic.
        topic: String,
        /// The partition that was asked for.
        partition: i32,
        /// How many there are.
        partitions: usize,
    },
    /// Reading was called off.
    #[error("reading {topic}/{partition} was called off")]
    Stopped {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
    },
}

fn advice(code: RDKafkaErrorCode) -> &'static str {
    use RDKafkaErrorCode as Code;
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            "; create the topic (`plimsoll topics create`)"
        }
        Code::TopicAuthorizationFailed => {
            "; grant Read and Describe on the topic to the user of `kafka.security`"
        }
        Code::Authentication | Code::SaslAuthenticationFailed => {
            "; check mechanism, username and password under `kafka.security`"
        }
        Code::SSL => "; check `kafka.security`: protocol, ca_file, certificate_file and key_file",
        _ => "",
    }
}

/// For how long a topic may not be there that was just made, or found: a broker that is asked next may
/// not have heard of it.
const ABSENCE: Duration = Duration::from_secs(5);

fn is_absence(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
}

pub(super) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::TopicAuthorizationFailed
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::SSL
            | Code::Fatal
    )
}

/// What a partition of a compacted topic holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// The newest value of every key that has one.
    pub values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Records read, those that later ones replaced included.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

impl Compacted {
    /// Takes the next record; no value takes the key away.
    fn take(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.records += 1;
        self.bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
        match value {
            Some(value) => self.values.insert(key.to_vec(), value.to_vec()),
            None => self.values.remove(key),
        };
    }
}

/// Logs nothing but to the debug log; faults are told by whoever asks.
#[derive(Debug, Default)]
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
    }
}

impl ConsumerContext for Quiet {}

pub(super) type Reader = BaseConsumer<Quiet>;

pub(super) fn reader(client: &ClientConfig, isolation: &str) -> Result<Reader, Error> {
    let mut config = client.clone();
    // A follower may be behind the end that the leader told.
    config.remove("client.rack").remove("group.instance.id").remove("statistics.interval.ms");
    for (name, value) in
        [("client.id", "plimsoll"), ("fetch.wait.max.ms", "100"), ("fetch.queue.backoff.ms", "10")]
    {
        if config.get(name).is_none() {
            config.set(name, value);
        }
    }
    config
        // Needed by the client, and never joined: partitions are assigned by hand.
        .set("group.id", "plimsoll.reader")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", isolation)
        .set_log_level(RDKafkaLogLevel::Warning);
    Ok(config.create_with_context(Quiet).map_err(super::Error::from_client)?)
}

/// A partition that is read to an end, and how long it may stand still.
struct Place<'a> {
    topic: &'a str,
    partition: i32,
    patience: Duration,
    stop: &'a AtomicBool,
    moved: Instant,
    last: Option<RDKafkaErrorCode>,
}

impl Place<'_> {
    /// Goes on with another partition.
    fn at(&mut self, partition: i32) {
        self.partition = partition;
        self.moved();
    }

    /// Notes that something moved.
    fn moved(&mut self) {
        (self.moved, self.last) = (Instant::now(), None);
    }

    /// Whether to wait on; `what` is what for.
    fn wait(&self, what: impl FnOnce() -> String) -> Result<(), Error> {
        let (topic, partition) = (self.topic.to_owned(), self.partition);
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped { topic, partition });
        }
        if self.moved.elapsed() < self.patience {
            return Ok(());
        }
        let last = self.last.map_or_else(String::new, |code| format!("; the last fault: {code}"));
        Err(Error::Silent { topic, partition, seconds: self.patience.as_secs(), what: what(), last })
    }

    /// Takes note of a fault, or says that it is one to stop for.
    fn fault(&mut self, error: &KafkaError) -> Result<(), Error> {
        let code = code_of(error);
        let lately_made = is_absence(code) && self.moved.elapsed() < ABSENCE.min(self.patience);
        if is_refusal(code) && !lately_made {
            return Err(Error::Refused { topic: self.topic.to_owned(), partition: self.partition, code });
        }
        self.last = Some(code);
        Ok(())
    }

    /// The end of the log as the consumer's isolation shows it.
    fn end(&mut self, consumer: &Reader) -> Result<i64, Error> {
        loop {
            match consumer.fetch_watermarks(self.topic, self.partition, ATTEMPT.min(self.patience)) {
                Ok((_, high)) => return Ok(high),
                Err(error) => self.fault(&error)?,
            }
            self.wait(|| "the brokers to say where its log ends".to_owned())?;
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until no transaction is open below `goal`.
    fn stable(&mut self, consumer: &Reader, goal: i64) -> Result<(), Error> {
        let mut stable = self.end(consumer)?;
        while stable < goal {
            self.wait(|| {
                format!(
                    "the transaction that is open at offset {stable} to end, so that {goal} can be reached"
                )
            })?;
            std::thread::sleep(PAUSE);
            let now = self.end(consumer)?;
            if now > stable {
                stable = now;
                self.moved();
            }
        }
        Ok(())
    }
}

/// Reads everything that is committed in one partition of a compacted topic, and keeps the newest
/// value of each key. Blocks; whoever sets `stop` ends it.
///
/// Fails where for `patience` nothing moves: no record comes, or a transaction stays open.
pub fn read_compacted(
    client: &ClientConfig,
    topic: &str,
    partition: i32,
    patience: Duration,
    stop: &AtomicBool,
) -> Result<Compacted, Error> {
    let mut found = Compacted::default();
    read_several(client, topic, &[partition], patience, stop, &mut |_, all| found = all)?;
    Ok(found)
}

/// The same for several partitions side by side, by the same two readers: most of the time that one
/// takes goes into connections. `take` gets each as soon as it is whole.
///
/// Fails as `read_compacted` does; `take` may have got some of them by then.
pub fn read_several(
    client: &ClientConfig,
    topic: &str,
    partitions: &[i32],
    patience: Duration,
    stop: &AtomicBool,
    take: &mut dyn FnMut(i32, Compacted),
) -> Result<(), Error> {
    let Some(first) = partitions.first() else { return Ok(()) };
    let mut place = Place { topic, partition: *first, patience, stop, moved: Instant::now(), last: None };
    let mut goals = BTreeMap::new();
    {
        let all = reader(client, "read_uncommitted")?;
        for partition in partitions {
            place.at(*partition);
            goals.insert(*partition, place.end(&all)?);
        }
    }
    let consumer = reader(client, "read_committed")?;
    for (partition, goal) in &goals {
        place.at(*partition);
        place.stable(&consumer, *goal)?;
    }
    let mut found = BTreeMap::new();
    for (partition, goal) in goals {
        match goal {
            0 => take(partition, Compacted::default()),
            _ => drop(found.insert(partition, (goal, Compacted::default()))),
        }
    }
    begin(&consumer, topic, found.keys().map(|partition| (*partition, Offset::Beginning)))
        .map_err(|error| client_error(&error))?;
    while let Some((partition, (goal, _))) = found.first_key_value() {
        let goal = *goal;
        place.partition = *partition;
        match consumer.poll(WAIT.min(patience)) {
            Some(Ok(message)) => {
                if let Some((_, found)) = found.get_mut(&message.partition()) {
                    found.take(message.key().unwrap_or_default(), message.payload());
                }
                place.moved();
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                if let Some((_, found)) = found.remove(&partition) {
                    take(partition, found);
                }
                place.moved();
            }
            Some(Err(error)) => place.fault(&error)?,
            None => {}
        }
        if !found.is_empty() {
            place.wait(|| format!("records before offset {goal}"))?;
        }
    }
    Ok(())
}

/// Reads from these offsets on. The list is gone again when this returns: one that lives on can keep the
/// consumer from closing.
fn begin(
    consumer: &Reader,
    topic: &str,
    partitions: impl IntoIterator<Item = (i32, Offset)>,
) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        list.add_partition_offset(topic, partition, offset)?;
    }
    consumer.assign(&list)
}

pub(super) fn client_error(error: &KafkaError) -> super::Error {
    super::Error::Client { reason: error.to_string() }
}

/// A reader of one partition from its beginning, which goes on for as long as it lives. Only
/// committed records are handed over, each once.
pub struct Tail {
    consumer: Reader,
    topic: String,
    partition: i32,
    /// The next offset, once one is known.
    next: Option<i64>,
    /// An end up to which everything was handed over: markers may lie between the last record and it.
    done: Option<i64>,
    at_end: bool,
    begun: Instant,
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("next", &self.next)
            .field("at_end", &self.at_end)
            .finish_non_exhaustive()
    }
}

/// Takes offset, key and value of a record; the value is none for a tombstone.
pub type TailSink<'s> = &'s mut dyn FnMut(i64, Option<&[u8]>, Option<&[u8]>);

impl Tail {
    /// Makes the reader; no broker need be there yet. Fails on a wrong configuration only.
    pub fn new(client: &ClientConfig, topic: &str, partition: i32) -> Result<Self, Error> {
        let consumer = reader(client, "read_committed")?;
        begin(&consumer, topic, [(partition, Offset::Beginning)]).map_err(|error| client_error(&error))?;
        let begun = Instant::now();
        Ok(Self {
            consumer,
            topic: topic.to_owned(),
            partition,
            next: None,
            done: None,
            at_end: false,
            begun,
        })
    }

    /// Hands over what is there, waiting at most `timeout` for the first record. Returns how many
    /// records there were. Passing faults are left to the client, which goes on by itself.
    pub fn poll(&mut self, timeout: Duration, sink: TailSink<'_>) -> Result<usize, Error> {
        let (until, mut records) = (Instant::now() + timeout, 0);
        loop {
            let wait = match records {
                0 => until.saturating_duration_since(Instant::now()),
                _ => Duration::ZERO,
            };
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    self.at_end = false;
                    self.next = Some(message.offset() + 1);
                    records += 1;
                    sink(message.offset(), message.key(), message.payload());
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.at_end = true;
                    return Ok(records);
                }
                Some(Err(error)) => {
                    let code = code_of(&error);
                    let lately_made = is_absence(code) && self.begun.elapsed() < ABSENCE;
                    if is_refusal(code) && !lately_made {
                        let (topic, partition) = (self.topic.clone(), self.partition);
                        return Err(Error::Refused { topic, partition, code });
                    }
                    tracing::debug!(topic = self.topic, %error, "reading goes on when the fault is over");
                }
                None if records > 0 || Instant::now() >= until => return Ok(records),
                None => {}
            }
        }
    }

    /// Whether everything that could be read when the end was last told has been handed over.
    pub fn caught_up(&self) -> bool {
        self.at_end
    }

    /// Hands over everything that can be read at the time of the call: all that is committed, up to
    /// the first transaction that is open still. False where `timeout` was too short for it.
    pub fn read_to_end(&mut self, timeout: Duration, sink: TailSink<'_>) -> Result<bool, Error> {
        let (until, never) = (Instant::now() + timeout, AtomicBool::new(false));
        let moved = Instant::now();
        let mut place = Place {
            topic: &self.topic,
            partition: self.partition,
            patience: timeout,
            stop: &never,
            moved,
            last: None,
        };
        let end = match place.end(&self.consumer) {
            Ok(end) if end == 0 || self.next.max(self.done).is_some_and(|next| next >= end) => {
                self.at_end = true;
                return Ok(true);
            }
            Ok(end) => end,
            Err(Error::Silent { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        // An end that was told before the question says nothing. Assigned anew, the partition tells
        // its end again, and that one lies at or behind the answer.
        let from = self.next.map_or(Offset::Beginning, Offset::Offset);
        begin(&self.consumer, &self.topic, [(self.partition, from)]).map_err(|error| client_error(&error))?;
        self.at_end = false;
        loop {
            self.poll(until.saturating_duration_since(Instant::now()), sink)?;
            if self.at_end {
                self.done = Some(end);
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
        }
    }
}
