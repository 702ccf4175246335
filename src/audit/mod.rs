//! The audit log: durable entries, and where they are kept.
//!
//! A log has one writer. A second one is refused (file) or takes over and locks the first out
//! (Kafka), because two would number their entries alike. An entry is durable when `append`
//! returns, and only then may the call that it announces begin. A log from which something is
//! missing is an error and never a shorter log: what is not in it could be done a second time.

mod file;
mod kafka;

use std::path::PathBuf;

use rdkafka::error::KafkaError;

use crate::engine::actor::{Entry, entry};

pub use file::FileStore;
pub use kafka::{KafkaConfig, KafkaStore};

/// Why the audit log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {doing} the audit log {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Another process writes the file.
    #[error("the audit log {} is in use by another process", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// A line of the file is not the entry that belongs there.
    #[error("line {line} of the audit log {} cannot be used", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, 1 for the first.
        line: u64,
        /// Why not.
        #[source]
        source: entry::Error,
    },
    /// A Kafka operation failed.
    #[error("cannot {doing} the audit topic {topic}")]
    Kafka {
        /// What was tried.
        doing: &'static str,
        /// The topic.
        topic: String,
        /// Why it failed.
        #[source]
        source: KafkaError,
    },
    /// A record of the topic is not the entry that belongs there.
    #[error("offset {offset} of the audit topic {topic} cannot be used")]
    Record {
        /// The topic.
        topic: String,
        /// Offset of the record.
        offset: i64,
        /// Why not.
        #[source]
        source: entry::Error,
    },
    /// The topic is not there.
    #[error("there is no audit topic {topic}")]
    NoTopic {
        /// The topic.
        topic: String,
    },
    /// Entries of several partitions have no common order.
    #[error("the audit topic {topic} has {found} partitions, and must have one")]
    Partitions {
        /// The topic.
        topic: String,
        /// How many it has.
        found: usize,
    },
    /// Nothing came from the broker for too long.
    #[error("cannot {doing} the audit topic {topic}: no answer within {seconds} s")]
    NoAnswer {
        /// What was tried.
        doing: &'static str,
        /// The topic.
        topic: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The entry to be added does not follow the last one.
    #[error("the entry does not belong at the end of the audit log")]
    Order(#[source] entry::Error),
    /// An earlier append failed, so that the end of the log is not known any more.
    #[error("an earlier entry could not be added to the audit log; start again to find out what it holds")]
    Broken,
}

/// Where entries are kept.
pub trait Store: Send + std::fmt::Debug {
    /// Adds `entry`, which must have the next number, and returns when it is durable. After an
    /// error the store takes no more: whether the entry is in the log is found out by opening it again.
    fn append(&mut self, entry: &Entry) -> Result<(), Error>;
}

/// A log that was opened.
#[derive(Debug)]
pub struct Opened<S> {
    /// Takes further entries.
    pub store: S,
    /// All entries in it, in order, without a gap.
    pub entries: Vec<Entry>,
    /// What a crash had left unfinished at its end, and was cut off.
    pub cut: Option<Cut>,
}

/// An unfinished last line, which was cut off. It was never durable, so nothing was done because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Number of the line, 1 for the first.
    pub line: u64,
    /// How many bytes it had.
    pub bytes: u64,
}
