//! Messages and the offsets they were made from, together or not at all.
//!
//! A `Transactor` is a producer that is known by its transactional id. Whoever starts one under an id
//! ends what its predecessor had open and locks it out, so an id belongs to one instance and stays
//! the same over its restarts. Committing is a machine of steps that can be left and taken up again:
//! a broker that does not answer costs the caller its patience and never its thread.

mod context;
mod error;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::{ClientConfig, TopicPartitionList};

use context::Context;
use error::{code_of, is_fatal, is_retriable, requires_abort, will_not_pass};

pub use error::Error;

/// How long a full queue is waited for. Well below the time after which the group thinks that the
/// thread that reads and calls this is dead (`max.poll.interval.ms`).
const FULL_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two looks at a queue that another thread empties.
const PAUSE: Duration = Duration::from_millis(2);
/// Before something that the broker put off is asked for again.
const AGAIN: Duration = Duration::from_millis(20);
/// librdkafka's own steps get at least this long: a step that is left before the client's thread has
/// taken notice of it would be mistaken for the next one.
const FLOOR: Duration = Duration::from_millis(100);
/// How long the group's coordinator may be asked to take offsets, before the transaction is aborted.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(5);
/// When even librdkafka has not come back by then, it never does: asked for offsets while the group's
/// coordinator moves, it can wait for a connection that nobody makes any more, whatever its time limit
/// (seen with 2.12.1 when a broker restarts). Only a new producer helps, which takes the id over.
const OFFSETS_STUCK: Duration = Duration::from_secs(8);
/// How long a dropped producer tries to end what it has open, so that readers need not wait for the
/// broker to do so.
const DROP_TIMEOUT: Duration = Duration::from_secs(1);

/// How far a group has come in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offset {
    /// The topic that was read.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// The next offset to read after a restart.
    pub offset: i64,
    /// Kept with the offset; at most 4096 bytes.
    pub metadata: String,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// All of it is durable and readable.
    Committed,
    /// Time is up and nothing is known yet: ask again.
    Pending,
    /// None of it will ever be seen. What was to be written is the caller's still; it may begin anew.
    Aborted {
        /// Why, in librdkafka's words.
        reason: String,
    },
}

type Producer = ThreadedProducer<Context>;
/// The answer to offsets, with what is needed to ask again.
type Answer = (Result<(), KafkaError>, TopicPartitionList, ConsumerGroupMetadata);

/// How far the present transaction is.
enum Phase {
    /// The id has not been taken yet.
    New,
    /// No transaction is open.
    Idle,
    /// Messages are taken.
    Open {
        offsets: Option<(TopicPartitionList, ConsumerGroupMetadata)>,
    },
    /// Everything was delivered, and the group's coordinator was asked to take the offsets. librdkafka
    /// blocks meanwhile, for as long as a silent broker pleases, so a thread of its own does it.
    Offsets {
        answer: Receiver<Answer>,
        /// When they were given first.
        since: Instant,
    },
    Committing,
    Aborting {
        reason: String,
        code: Option<RDKafkaErrorCode>,
    },
    /// Nothing works any more.
    Dead,
}

impl Phase {
    fn name(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Idle => "idle",
            Self::Open { .. } => "open",
            Self::Offsets { .. } => "sending offsets",
            Self::Committing => "committing",
            Self::Aborting { .. } => "aborting",
            Self::Dead => "dead",
        }
    }
}

/// A producer of transactions, with a thread of its own that serves deliveries.
pub struct Transactor {
    producer: Producer,
    id: String,
    phase: Phase,
    /// Messages and bytes by topic, of the open transaction and of those committed.
    open: BTreeMap<String, (u64, u64)>,
    sent: BTreeMap<String, (u64, u64)>,
}

impl fmt::Debug for Transactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transactor")
            .field("id", &self.id)
            .field("phase", &self.phase.name())
            .finish_non_exhaustive()
    }
}

/// The connection's properties with what a transaction needs; nothing is connected.
fn transactor_config(client: &ClientConfig, id: &str) -> Result<ClientConfig, Error> {
    let mut config = client.clone();
    for (name, value) in [
        ("client.id", "plimsoll"),
        ("compression.type", "lz4"),
        ("linger.ms", "5"),
        ("transaction.timeout.ms", "60000"),
    ] {
        if config.get(name).is_none() {
            config.set(name, value);
        }
    }
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("transactional.id", id)
        .set_log_level(RDKafkaLogLevel::Warning);
    config.create_native_config().map_err(crate::exchange::Error::from_client)?;
    Ok(config)
}

impl Transactor {
    /// Makes the producer; no broker need be there yet. Fails on a wrong configuration only.
    pub fn new(client: &ClientConfig, transactional_id: &str) -> Result<Self, Error> {
        let producer = transactor_config(client, transactional_id)?
            .create_with_context(Context::default())
            .map_err(crate::exchange::Error::from_client)?;
        let id = transactional_id.to_owned();
        Ok(Self { producer, id, phase: Phase::New, open: BTreeMap::new(), sent: BTreeMap::new() })
    }

    /// The transactional id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it is doing, in a word or two.
    pub fn phase(&self) -> &'static str {
        self.phase.name()
    }

    /// Takes the id: ends what its former holder had open, and locks that one out. To be done before
    /// its offsets are read. False where the broker has not answered in time; call again then.
    pub fn init(&mut self, timeout: Duration) -> Result<bool, Error> {
        if !matches!(self.phase, Phase::New) {
            return Ok(!matches!(self.phase, Phase::Dead));
        }
        let Err(error) = self.producer.init_transactions(timeout.max(FLOOR)) else {
            self.phase = Phase::Idle;
            return Ok(true);
        };
        let code = code_of(&error);
        if is_fatal(&error) {
            return Err(self.die(code, error.to_string()));
        }
        if will_not_pass(code) {
            return Err(Error::ending(&self.id, code, error.to_string()));
        }
        // The call itself says only that time is up; the connection's faults say why.
        match self.producer.client().context().fault().take() {
            Some((code, reason)) if will_not_pass(code) => Err(Error::ending(&self.id, code, reason)),
            Some((code, reason)) => {
                tracing::debug!(id = self.id, %code, reason, "the transactional id could not be taken yet");
                Ok(false)
            }
            None => Ok(false),
        }
    }

    /// Opens a transaction.
    pub fn begin(&mut self) -> Result<(), Error> {
        if !matches!(self.phase, Phase::Idle) {
            return Err(self.order("begin a transaction"));
        }
        *self.producer.client().context().trouble() = context::Trouble::default();
        self.open.clear();
        self.producer.begin_transaction().map_err(|error| self.end(&error))?;
        self.phase = Phase::Open { offsets: None };
        Ok(())
    }

    /// Whether a transaction is open, or about to end.
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::New | Phase::Idle | Phase::Dead)
    }

    /// Adds a message, waiting a bounded time where the queue is full. Without a partition the key
    /// chooses it. A message that cannot be delivered later on makes `finish` abort.
    pub fn send(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &str)],
    ) -> Result<(), Error> {
        if !matches!(self.phase, Phase::Open { .. }) {
            return Err(self.order("send a message"));
        }
        let mut record = BaseRecord::<[u8], [u8]>::to(topic);
        (record.partition, record.key, record.payload) = (partition, key, value);
        if !headers.is_empty() {
            let empty = OwnedHeaders::new_with_capacity(headers.len());
            record.headers =
                Some(headers.iter().fold(empty, |headers, &(key, value)| {
                    headers.insert(Header { key, value: Some(value) })
                }));
        }
        let start = Instant::now();
        loop {
            let Err((error, refused)) = self.producer.send(record) else { break };
            match code_of(&error) {
                RDKafkaErrorCode::QueueFull if start.elapsed() < FULL_TIMEOUT => std::thread::sleep(PAUSE),
                RDKafkaErrorCode::QueueFull => {
                    let (seconds, waiting) = (FULL_TIMEOUT.as_secs(), self.producer.in_flight_count());
                    return Err(Error::Full { topic: topic.to_owned(), seconds, waiting });
                }
                // The transaction has failed already: `finish` says why, and aborts it.
                RDKafkaErrorCode::State | RDKafkaErrorCode::Fatal => return Ok(()),
                code => return Err(Error::Send { topic: topic.to_owned(), code }),
            }
            record = refused;
        }
        let bytes = key.map_or(0, <[u8]>::len)
            + value.map_or(0, <[u8]>::len)
            + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        match self.open.get_mut(topic) {
            Some(sent) => *sent = (sent.0 + 1, sent.1 + bytes as u64),
            None => drop(self.open.insert(topic.to_owned(), (1, bytes as u64))),
        }
        Ok(())
    }

    /// Gives offsets that become the group's when the transaction is committed. `group` is how the
    /// consumer stands in its group now: where that has changed by then, the transaction is aborted.
    pub fn offsets(&mut self, offsets: &[Offset], group: ConsumerGroupMetadata) -> Result<(), Error> {
        let Phase::Open { offsets: kept } = &mut self.phase else {
            return Err(self.order("take offsets"));
        };
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for Offset { topic, partition, offset, metadata } in offsets {
            let mut element = list.add_partition(topic, *partition);
            let set = element.set_offset(rdkafka::Offset::Offset(*offset));
            if set.is_err() {
                return Err(Error::Order { id: self.id.clone(), doing: "commit a negative offset" });
            }
            element.set_metadata(metadata);
        }
        *kept = (list.count() > 0).then_some((list, group));
        Ok(())
    }

    /// Commits, as far as `timeout` allows; call it again after `Pending`. Where the transaction
    /// cannot be committed it is aborted, and nothing of it is ever seen.
    pub fn finish(&mut self, timeout: Duration) -> Result<Finish, Error> {
        if !self.is_open() {
            return Err(self.order("end a transaction"));
        }
        let until = Instant::now() + timeout;
        loop {
            if let Some(finish) = self.step(until)? {
                return Ok(finish);
            }
            if Instant::now() >= until {
                return Ok(Finish::Pending);
            }
        }
    }

    /// Gives the open transaction up. False where the broker has not answered in time: call again.
    pub fn abort(&mut self, timeout: Duration) -> Result<bool, Error> {
        if matches!(self.phase, Phase::Open { .. }) {
            self.phase = Phase::Aborting { reason: "given up".to_owned(), code: None };
        }
        if !self.is_open() {
            return Ok(true);
        }
        // What is being committed already is brought to its end, whichever that is.
        Ok(!matches!(self.finish(timeout)?, Finish::Pending))
    }

    /// Messages and bytes (keys, values and headers) of transactions committed since the last call,
    /// by topic.
    pub fn take_sent(&mut self) -> BTreeMap<String, (u64, u64)> {
        std::mem::take(&mut self.sent)
    }

    /// One step towards the end.
    fn step(&mut self, until: Instant) -> Result<Option<Finish>, Error> {
        match std::mem::replace(&mut self.phase, Phase::Dead) {
            Phase::Open { offsets } => self.drain(offsets, until).map(|()| None),
            Phase::Offsets { answer, since } => self.await_offsets(answer, since, until).map(|()| None),
            Phase::Committing => self.commit(until),
            Phase::Aborting { reason, code } => self.roll_back(reason, code, until),
            phase @ (Phase::New | Phase::Idle | Phase::Dead) => {
                self.phase = phase;
                Err(self.order("end a transaction"))
            }
        }
    }

    /// Waits until every message has arrived. `commit_transaction` would wait too, but in steps of a
    /// tenth of a second.
    fn drain(
        &mut self,
        offsets: Option<(TopicPartitionList, ConsumerGroupMetadata)>,
        until: Instant,
    ) -> Result<(), Error> {
        loop {
            if let Some((code, reason)) = self.producer.client().fatal_error() {
                return Err(self.die(code, reason));
            }
            let trouble = self.producer.client().context().trouble().clone();
            if let Some(reason) = trouble.reason() {
                self.phase = Phase::Aborting { reason, code: trouble.code() };
                return Ok(());
            }
            if self.producer.in_flight_count() == 0 {
                break;
            }
            if Instant::now() >= until {
                self.phase = Phase::Open { offsets };
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        // The last deliveries may have failed between the two questions.
        if self.producer.client().context().trouble().reason().is_some() {
            self.phase = Phase::Open { offsets };
            return Ok(());
        }
        self.phase = match offsets {
            Some((list, group)) => self.send_offsets(list, group, Instant::now()),
            None => Phase::Committing,
        };
        Ok(())
    }

    fn send_offsets(&self, list: TopicPartitionList, group: ConsumerGroupMetadata, since: Instant) -> Phase {
        let producer = self.producer.clone();
        let (sender, answer) = mpsc::channel();
        std::thread::spawn(move || {
            let result = producer.send_offsets_to_transaction(&list, &group, OFFSETS_TIMEOUT);
            // Nobody listens any more where the transactor was dropped.
            drop(sender.send((result, list, group)));
        });
        Phase::Offsets { answer, since }
    }

    fn await_offsets(
        &mut self,
        answer: Receiver<Answer>,
        since: Instant,
        until: Instant,
    ) -> Result<(), Error> {
        let (result, list, group) = match answer.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) if since.elapsed() >= OFFSETS_STUCK => {
                // Its thread, and with it the client, stay behind until the broker answers after all.
                return Err(Error::Stuck { id: self.id.clone(), seconds: since.elapsed().as_secs() });
            }
            Err(RecvTimeoutError::Timeout) => {
                self.phase = Phase::Offsets { answer, since };
                return Ok(());
            }
            Err(RecvTimeoutError::Disconnected) => {
                let reason = "the thread that sends offsets ended".to_owned();
                return Err(self.die(RDKafkaErrorCode::Fail, reason));
            }
        };
        let Err(error) = result else {
            self.phase = Phase::Committing;
            return Ok(());
        };
        if is_fatal(&error) {
            return Err(self.die(code_of(&error), error.to_string()));
        }
        self.phase = if is_retriable(&error) {
            tracing::debug!(id = self.id, %error, "the group's coordinator has not taken the offsets yet");
            std::thread::sleep(AGAIN);
            self.send_offsets(list, group, since)
        } else {
            self.aborting(&error)
        };
        Ok(())
    }

    fn commit(&mut self, until: Instant) -> Result<Option<Finish>, Error> {
        let Err(error) = self.producer.commit_transaction(remaining(until)) else {
            self.phase = Phase::Idle;
            for (topic, (messages, bytes)) in std::mem::take(&mut self.open) {
                let sent = self.sent.entry(topic).or_default();
                *sent = (sent.0 + messages, sent.1 + bytes);
            }
            return Ok(Some(Finish::Committed));
        };
        if is_retriable(&error) {
            self.phase = Phase::Committing;
            self.put_off(&error, until);
        } else if requires_abort(&error) {
            self.phase = self.aborting(&error);
        } else {
            return Err(self.end(&error));
        }
        Ok(None)
    }

    fn roll_back(
        &mut self,
        reason: String,
        code: Option<RDKafkaErrorCode>,
        until: Instant,
    ) -> Result<Option<Finish>, Error> {
        let Err(error) = self.producer.abort_transaction(remaining(until)) else {
            self.phase = Phase::Idle;
            self.open.clear();
            // The report about the message that was refused may come after the commit has failed of it.
            let told = self.producer.client().context().trouble().code().filter(|code| will_not_pass(*code));
            return match told.or(code) {
                Some(code) if will_not_pass(code) => Err(Error::ending(&self.id, code, reason)),
                _ => Ok(Some(Finish::Aborted { reason })),
            };
        };
        if is_retriable(&error) || requires_abort(&error) {
            self.phase = Phase::Aborting { reason, code };
            self.put_off(&error, until);
            return Ok(None);
        }
        Err(self.end(&error))
    }

    /// The way to abort, with the cause in as many words as there are.
    fn aborting(&self, error: &KafkaError) -> Phase {
        let trouble = self.producer.client().context().trouble().clone();
        let code = trouble.code().unwrap_or_else(|| code_of(error));
        let told = trouble.failed.is_some().then(|| trouble.reason()).flatten();
        Phase::Aborting { reason: told.unwrap_or_else(|| error.to_string()), code: Some(code) }
    }

    /// A little rest, where librdkafka answered before time was up.
    fn put_off(&self, error: &KafkaError, until: Instant) {
        tracing::debug!(id = self.id, %error, "a transaction is not at its end yet");
        std::thread::sleep(AGAIN.min(until.saturating_duration_since(Instant::now())));
    }

    fn end(&mut self, error: &KafkaError) -> Error {
        let fatal = self.producer.client().fatal_error();
        let (code, reason) = fatal.unwrap_or_else(|| (code_of(error), error.to_string()));
        self.die(code, reason)
    }

    fn die(&mut self, code: RDKafkaErrorCode, reason: String) -> Error {
        self.phase = Phase::Dead;
        Error::ending(&self.id, code, reason)
    }

    fn order(&self, doing: &'static str) -> Error {
        Error::Order { id: self.id.clone(), doing }
    }
}

impl Drop for Transactor {
    fn drop(&mut self) {
        if let Phase::Open { .. } | Phase::Committing | Phase::Aborting { .. } = self.phase
            && let Err(error) = self.abort(DROP_TIMEOUT)
        {
            tracing::debug!(id = self.id, %error, "a transaction was left open");
        }
    }
}

fn remaining(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).max(FLOOR)
}
