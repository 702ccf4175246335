//! Reading a topic to look at it: any range of one or all of its partitions, committed records only,
//! outside any consumer group and without a commit, so that looking changes nothing.
//!
//! It ends at what is committed when it gets there. Records behind a transaction that is open still
//! are not shown; that there are some is said, because what is missing then is easily taken for lost.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::error::code_of;
use super::state::{Error, Reader, client_error, is_refusal, reader};

/// How long one question to a broker may take before it is asked again.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);
/// How long one wait for records lasts.
const WAIT: Duration = Duration::from_millis(100);

/// Where reading begins in each partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whence {
    /// At the first record that is still there.
    #[default]
    Beginning,
    /// At this offset; at the nearest one there is, where it is none of the partition's.
    Offset(i64),
    /// So many offsets before the end. Some of them may hold no record.
    BeforeEnd(i64),
}

/// What to read.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    /// The topic.
    pub topic: &'a str,
    /// One of its partitions; all of them without.
    pub partition: Option<i32>,
    /// Where to begin.
    pub whence: Whence,
    /// Whether to go on after the end, for ever.
    pub follow: bool,
    /// How long brokers may be silent before the end is reached.
    pub patience: Duration,
}

/// A record, lent from the client.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// When it was written or taken in, milliseconds since the epoch, where the topic says.
    pub millis: Option<i64>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; none for a tombstone.
    pub value: Option<&'a [u8]>,
}

/// What reading comes upon.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A record.
    Record(Record<'a>),
    /// A transaction is open at `offset` of `partition`; up to `hidden` records from there on are
    /// not shown. Said once, before the first record.
    Open {
        /// The partition.
        partition: i32,
        /// The first offset that is not shown.
        offset: i64,
        /// How many follow.
        hidden: i64,
    },
    /// Every partition was read to its end.
    CaughtUp,
}

/// Takes what reading comes upon; `Break` ends it.
pub type Sink<'s> = &'s mut dyn FnMut(Event<'_>) -> ControlFlow<()>;

/// A question to the brokers, asked again until it is answered.
struct Asked<'a> {
    range: &'a Range<'a>,
    partition: i32,
    since: Instant,
}

impl Asked<'_> {
    fn until_answered<T>(
        &self,
        what: &str,
        mut ask: impl FnMut(Duration) -> Result<T, KafkaError>,
    ) -> Result<T, Error> {
        loop {
            let error = match ask(ATTEMPT.min(self.range.patience)) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let code = code_of(&error);
            if is_refusal(code) {
                return Err(self.refused(code));
            }
            if self.since.elapsed() >= self.range.patience {
                return Err(self.silent(what, Some(code)));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn refused(&self, code: RDKafkaErrorCode) -> Error {
        Error::Refused { topic: self.range.topic.to_owned(), partition: self.partition, code }
    }

    fn silent(&self, what: &str, last: Option<RDKafkaErrorCode>) -> Error {
        Error::Silent {
            topic: self.range.topic.to_owned(),
            partition: self.partition,
            seconds: self.range.patience.as_secs(),
            what: what.to_owned(),
            last: last.map_or_else(String::new, |code| format!("; the last fault: {code}")),
        }
    }
}

/// Reads `range` and hands everything to `sink`. Blocks. Records of one partition come in order; those
/// of several mix.
///
/// # Errors
/// When the topic or the partition is not there, the brokers will not have us, or they are silent for
/// too long.
pub fn read(client: &ClientConfig, range: &Range<'_>, sink: Sink<'_>) -> Result<(), Error> {
    let consumer = reader(client, "read_committed")?;
    let everything = reader(client, "read_uncommitted")?;
    let mut list = TopicPartitionList::new();
    let mut open = BTreeSet::new();
    for partition in partitions(&consumer, range)? {
        let asked = Asked { range, partition, since: Instant::now() };
        let ends = |consumer: &Reader| {
            asked.until_answered("the brokers to say where its log ends", |timeout| {
                consumer.fetch_watermarks(range.topic, partition, timeout)
            })
        };
        // In this order: what is committed in between is then not taken for hidden.
        let (_, high) = ends(&everything)?;
        let (low, end) = ends(&consumer)?;
        if end < high {
            let hidden = Event::Open { partition, offset: end, hidden: high - end };
            if sink(hidden).is_break() {
                return Ok(());
            }
        }
        // An offset that is not there would be answered with the beginning.
        let start = match range.whence {
            Whence::Beginning => low,
            Whence::Offset(offset) => offset.clamp(low, end.max(low)),
            Whence::BeforeEnd(count) => end.saturating_sub(count.max(0)).max(low),
        };
        if start >= end && !range.follow {
            continue;
        }
        if start < end {
            open.insert(partition);
        }
        list.add_partition_offset(range.topic, partition, Offset::Offset(start))
            .map_err(|error| client_error(&error))?;
    }
    if open.is_empty() && sink(Event::CaughtUp).is_break() {
        return Ok(());
    }
    if list.count() == 0 {
        return Ok(());
    }
    consumer.assign(&list).map_err(|error| client_error(&error))?;
    // A list that lives on can keep the consumer from closing.
    drop(list);
    follow(&consumer, range, open, sink)
}

/// Reads what is assigned until `open`, the partitions with something to read, are all at their end.
fn follow(
    consumer: &Reader,
    range: &Range<'_>,
    mut open: BTreeSet<i32>,
    sink: Sink<'_>,
) -> Result<(), Error> {
    let (mut moved, mut last) = (Instant::now(), None);
    loop {
        let event = match consumer.poll(WAIT) {
            Some(Ok(message)) => {
                open.insert(message.partition());
                (moved, last) = (Instant::now(), None);
                let record = Record {
                    partition: message.partition(),
                    offset: message.offset(),
                    millis: message.timestamp().to_millis(),
                    key: message.key(),
                    value: message.payload(),
                };
                if sink(Event::Record(record)).is_break() {
                    return Ok(());
                }
                continue;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                moved = Instant::now();
                (open.remove(&partition) && open.is_empty()).then_some(Event::CaughtUp)
            }
            Some(Err(error)) => {
                let code = code_of(&error);
                if is_refusal(code) {
                    let partition = open.first().copied().unwrap_or_default();
                    return Err(Asked { range, partition, since: moved }.refused(code));
                }
                last = Some(code);
                None
            }
            None => None,
        };
        if let Some(event) = event {
            if sink(event).is_break() || !range.follow {
                return Ok(());
            }
        } else if let Some(partition) = open.first()
            && moved.elapsed() >= range.patience
        {
            let asked = Asked { range, partition: *partition, since: moved };
            return Err(asked.silent("records that are committed", last));
        }
    }
}

/// The partitions of the range, ascending.
fn partitions(consumer: &Reader, range: &Range<'_>) -> Result<Vec<i32>, Error> {
    let asked = Asked { range, partition: range.partition.unwrap_or_default(), since: Instant::now() };
    let metadata = asked.until_answered("the brokers to say which partitions there are", |timeout| {
        let metadata = consumer.fetch_metadata(Some(range.topic), timeout);
        // Faults of the connection are told to whoever polls.
        if metadata.is_err()
            && let Some(Err(error)) = consumer.poll(WAIT)
        {
            return Err(error);
        }
        metadata
    })?;
    let found = metadata.topics().iter().find(|topic| topic.name() == range.topic);
    let missing = || asked.refused(RDKafkaErrorCode::UnknownTopicOrPartition);
    let found = found.ok_or_else(missing)?;
    if let Some(error) = found.error() {
        return Err(asked.refused(error.into()));
    }
    let mut all: Vec<i32> = found.partitions().iter().map(|partition| partition.id()).collect();
    all.sort_unstable();
    match range.partition {
        None if all.is_empty() => Err(missing()),
        None => Ok(all),
        Some(partition) if all.contains(&partition) => Ok(vec![partition]),
        Some(partition) => {
            Err(Error::NoPartition { topic: range.topic.to_owned(), partition, partitions: all.len() })
        }
    }
}
