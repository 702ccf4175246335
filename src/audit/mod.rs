//! The audit log: durable entries, and where they are kept.
//!
//! A log has one writer. A second one is refused (file) or takes over and locks the first out
//! (Kafka), because two would number their entries alike. An entry is durable when `append`
//! returns, and only then may the call that it announces begin. A log from which something is
//! missing is an error and never a shorter log: what is not in it could be done a second time.
//!
//! The entries, byte for byte as they are kept, are the leaves of a transparency log ([`tlog`]). With a
//! key the writer signs what is durable, and refuses to go on after what it did not sign.

mod consumed;
mod error;
mod file;
mod head;
mod kafka;
mod key;
pub mod tlog;

use crate::engine::actor::Entry;
use crate::engine::decided::inexact;

pub use consumed::Consumed;
pub use error::{Error, Kind};
pub use file::FileStore;
pub use head::{Checkpoints, Signing};
pub use kafka::{KafkaConfig, KafkaStore};
pub use key::signer;

/// Where entries are kept.
pub trait Store: Send + std::fmt::Debug {
    /// Adds `entries`, which must have the next numbers, and stores that they account for what was
    /// `consumed`; returns when both are durable. There may be no entry: then the offset alone is
    /// stored, and with it proved that this process still owns what it consumes.
    ///
    /// # Errors
    /// After an error of [`Kind::NotOwner`] nothing was added, and the store can be used on. After any
    /// other it takes no more: what is in the log is found out by opening it again.
    fn append(&mut self, entries: &[Entry], consumed: Option<&Consumed>) -> Result<(), Error>;

    /// Signs what is durable and publishes the checkpoint, where the last one is long enough ago at wall
    /// time `now`, in milliseconds, and something was added since. A store without a key does nothing.
    ///
    /// # Errors
    /// When the checkpoint cannot be made durable. The store takes no more then, as after `append`.
    fn publish_due(&mut self, now: i64) -> Result<(), Error> {
        let _ = now;
        Ok(())
    }

    /// How long the log is, and how much of it is signed.
    fn extent(&self) -> Extent;

    /// Whether `append` stores offsets. Where it does not, whoever reads the decisions commits them,
    /// after the entries.
    fn stores_offsets(&self) -> bool;
}

/// `entries` as they are kept. They must have the numbers from `next` on and leave none out, and none may
/// be too long for a bundle of the transparency log. Each must read back as what it was, spelled in the same
/// way: one entry that its own reader refuses would close the whole log for ever.
fn lines(entries: &[Entry], next: u64) -> Result<Vec<String>, Error> {
    let mut lines = Vec::with_capacity(entries.len());
    for (expected, entry) in (next..).zip(entries) {
        entry.follows(expected).map_err(Error::Order)?;
        let line = entry.to_json();
        if line.len() > tlog::ENTRY_BYTES {
            return Err(Error::TooLong { seq: entry.seq, bytes: line.len() });
        }
        let read = Entry::from_json(line.as_bytes())
            .map_err(|source| Error::Unreadable { seq: entry.seq, source: Some(source) })?;
        let whole = serde_json::to_value(entry).is_ok_and(|value| inexact(&value).is_none());
        if !whole || read.to_json() != line {
            return Err(Error::Unreadable { seq: entry.seq, source: None });
        }
        lines.push(line);
    }
    Ok(lines)
}

/// How long a log is, in entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// All that are durable.
    pub entries: u64,
    /// Those that the newest checkpoint covers; none where nothing is signed.
    pub signed: Option<u64>,
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
