//! Messages and state records as bytes. Each begins with the version of the format and the kind of the
//! message; what follows is postcard (<https://postcard.jamesmunns.com>), which is small, stable and
//! written down. `docs/exchange.md` describes every message, and stored samples of each version hold
//! the code to it: what one build has written, later ones must read.
//!
//! Keys of state records are JSON, so that a topic's keys can be read with any tool.

mod first;
mod forms;
pub mod parts;

use crate::domain::{EventTime, ModelId, ModelKey};
use crate::engine::evaluator::{KeyRecord, Marks, Record, StateKey};
use crate::engine::message::{Message, Progress};
use forms::{DeltaForm, KeyForm, ProgressForm, SegmentForm, SummaryForm};

/// The version that is written. Version 1 is read too: there a policy's machine does not say since when it
/// passes and when its last incident ended.
pub const VERSION: u8 = 2;
/// The first version.
const FIRST: u8 = 1;

/// Kinds of messages and records.
mod kind {
    pub(super) const DELTA: u8 = 1;
    pub(super) const PROGRESS: u8 = 2;
    pub(super) const CONTROL: u8 = 3;
    pub(super) const MARKS: u8 = 16;
    pub(super) const KEY: u8 = 17;
    pub(super) const PANE: u8 = 18;
    pub(super) const STARTS: u8 = 19;
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is nothing, or not even a kind.
    #[error("the message is empty")]
    Empty,
    /// Another version wrote it.
    #[error(
        "the message has format version {0}, and this build reads {VERSION}: run one version of plimsoll"
    )]
    Version(u8),
    /// The kind is unknown, or does not belong here.
    #[error("a message of kind {0} does not belong here")]
    Kind(u8),
    /// The body is not of its kind.
    #[error("the message cannot be read: {0}")]
    Body(postcard::Error),
    /// Bytes are left behind the last field, which another build may have written.
    #[error("the message has {0} bytes more than this build knows")]
    Left(usize),
    /// A key is not one of a state record.
    #[error("the key of a state record cannot be read: {0}")]
    Key(String),
    /// Parts of a record are missing or do not belong together.
    #[error("a state record of {expected} parts has only {found}")]
    Parts {
        /// How many its first part announces.
        expected: u16,
        /// How many follow each other.
        found: u16,
    },
}

fn write<T: serde::Serialize>(kind: u8, body: &T) -> Vec<u8> {
    let bytes = vec![VERSION, kind];
    postcard::to_extend(body, bytes).expect("a vector takes everything, and no sequence is of unknown length")
}

fn read(bytes: &[u8]) -> Result<(u8, &[u8]), Error> {
    match bytes {
        [FIRST | VERSION, kind, body @ ..] => Ok((*kind, body)),
        [version, _, ..] => Err(Error::Version(*version)),
        _ => Err(Error::Empty),
    }
}

fn body<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    match postcard::take_from_bytes(bytes).map_err(Error::Body)? {
        (value, []) => Ok(value),
        (_, left) => Err(Error::Left(left.len())),
    }
}

/// A message of the exchange as bytes.
pub fn encode(message: &Message) -> Vec<u8> {
    match message {
        Message::Delta(delta) => write(kind::DELTA, &DeltaForm::of(delta)),
        Message::Progress(progress) => write(kind::PROGRESS, &ProgressForm::of(progress)),
        Message::Control(generation) => write(kind::CONTROL, generation),
    }
}

/// A message of the exchange from bytes.
///
/// # Errors
/// When they are not one that this version reads.
pub fn decode(bytes: &[u8]) -> Result<Message, Error> {
    match read(bytes)? {
        (kind::DELTA, bytes) => Ok(Message::Delta(body::<DeltaForm>(bytes)?.message())),
        (kind::PROGRESS, bytes) => Ok(Message::Progress(Progress::from(body::<ProgressForm>(bytes)?))),
        (kind::CONTROL, bytes) => Ok(Message::Control(body(bytes)?)),
        (kind, _) => Err(Error::Kind(kind)),
    }
}

/// A state record as bytes.
pub fn encode_record(record: &Record) -> Vec<u8> {
    match record {
        Record::Marks(marks) => write(kind::MARKS, &**marks),
        Record::Key(record) => write(kind::KEY, &**record),
        Record::Pane(layout, summary) => write(kind::PANE, &(layout, SummaryForm::of(summary))),
        Record::Starts(starts) => write(kind::STARTS, starts),
    }
}

/// The state record of `key` from bytes.
///
/// # Errors
/// When they are not one that this version reads, or not one that belongs to the key.
pub fn decode_record(key: &StateKey, bytes: &[u8]) -> Result<Record, Error> {
    match (read(bytes)?, key) {
        ((kind::MARKS, bytes), StateKey::Marks) => Ok(Record::Marks(Box::new(body::<Marks>(bytes)?))),
        ((kind::KEY, body_bytes), StateKey::Key(_)) if bytes.first() == Some(&FIRST) => {
            Ok(Record::Key(Box::new(body::<first::KeyForm>(body_bytes)?.into())))
        }
        ((kind::KEY, bytes), StateKey::Key(_)) => Ok(Record::Key(Box::new(body::<KeyRecord>(bytes)?))),
        ((kind::PANE, bytes), StateKey::Pane(..)) => {
            let (layout, summary) = body::<(u64, SummaryForm)>(bytes)?;
            Ok(Record::Pane(layout, summary.summary()))
        }
        ((kind::STARTS, bytes), StateKey::Starts(..)) => Ok(Record::Starts(body(bytes)?)),
        ((kind, _), _) => Err(Error::Kind(kind)),
    }
}

/// A state key as the bytes of a JSON array.
pub fn encode_key(key: &StateKey) -> Vec<u8> {
    let written = match key {
        StateKey::Marks => serde_json::to_vec(&["marks"]),
        StateKey::Key(key) => serde_json::to_vec(&("key", KeyForm::of(key))),
        StateKey::Pane(key, start) => serde_json::to_vec(&("pane", KeyForm::of(key), start.as_millis())),
        StateKey::Starts(model, segment) => serde_json::to_vec(&("starts", model, SegmentForm::of(segment))),
    };
    written.expect("names and numbers always serialize")
}

/// A state key from bytes.
///
/// # Errors
/// When they are no key of a state record.
pub fn decode_key(bytes: &[u8]) -> Result<StateKey, Error> {
    let wrong = |error: serde_json::Error| Error::Key(error.to_string());
    let array: Vec<serde_json::Value> = serde_json::from_slice(bytes).map_err(wrong)?;
    let value = serde_json::Value::Array(array.get(1..).unwrap_or_default().to_vec());
    match array.first().and_then(serde_json::Value::as_str) {
        Some("marks") if array.len() == 1 => Ok(StateKey::Marks),
        Some("key") => {
            let (key,): (KeyForm,) = serde_json::from_value(value).map_err(wrong)?;
            Ok(StateKey::Key(key.key()))
        }
        Some("pane") => {
            let (key, start): (KeyForm, i64) = serde_json::from_value(value).map_err(wrong)?;
            Ok(StateKey::Pane(key.key(), EventTime::from_millis(start)))
        }
        Some("starts") => {
            let (model, segment): (ModelId, SegmentForm) = serde_json::from_value(value).map_err(wrong)?;
            Ok(StateKey::Starts(model, segment.segment()))
        }
        _ => Err(Error::Key("it is of no known kind".to_owned())),
    }
}

/// The key of whatever concerns `key`, for a message on Kafka: messages of one model stay together.
pub fn message_key(key: &ModelKey) -> &[u8] {
    key.model.as_str().as_bytes()
}
