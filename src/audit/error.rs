//! What can go wrong with the audit log, and what follows from it: a writer that was locked out makes
//! way, one that is not sure of its ownership asks again, and a broker that is away may come back.

use std::path::PathBuf;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::tlog;
use crate::engine::actor::entry;

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
    /// Another process has opened the log since.
    #[error("another process has taken over the audit topic {topic}")]
    Fenced {
        /// The topic.
        topic: String,
        /// How that was found out.
        #[source]
        source: KafkaError,
    },
    /// The consumer group does not count this process as the owner of what it consumed.
    #[error("nothing was added to the audit log, because the ownership of {decisions} is not certain")]
    NotOwner {
        /// The topic of the decisions.
        decisions: String,
        /// What the group said; none where the process is not in the group.
        #[source]
        source: Option<KafkaError>,
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
    /// An entry does not fit into the log.
    #[error(
        "entry {seq} has {bytes} bytes, and the audit log takes {} at most; larger evidence is kept elsewhere, and its hash in the entry",
        tlog::ENTRY_BYTES
    )]
    TooLong {
        /// Its number.
        seq: u64,
        /// Its length.
        bytes: usize,
    },
    /// An entry would not be read back as it was written, and with it the whole log could not be opened again.
    #[error("entry {seq} was not added to the audit log: it would not read back as what it says")]
    Unreadable {
        /// Its number.
        seq: u64,
        /// Why not; none where it would read as something else.
        #[source]
        source: Option<entry::Error>,
    },
    /// The newest checkpoint is not one of this log.
    #[error(
        "the newest checkpoint of the audit log {log} cannot be used; if the key was changed, list the former one under `audit.former_keys`"
    )]
    Checkpoint {
        /// The log.
        log: String,
        /// Why not.
        #[source]
        source: tlog::Error,
    },
    /// Entries that were signed are not there.
    #[error(
        "the audit log {log} was cut short: a checkpoint was signed over {size} entries, and it holds {found}, so entries from {found} on are missing. Nothing is done on it: restore them, or see docs/audit.md"
    )]
    Truncated {
        /// The log.
        log: String,
        /// How many were signed.
        size: u64,
        /// How many there are.
        found: u64,
    },
    /// Entries that were signed are other ones now.
    #[error(
        "the audit log {log} was rewritten: its first {size} entries are not those over which the newest checkpoint was signed. Nothing is done on it: `plimsoll audit verify` says from which entry on; restore them, or see docs/audit.md"
    )]
    Rewritten {
        /// The log.
        log: String,
        /// How many were signed.
        size: u64,
    },
    /// An earlier append failed, so that the end of the log is not known any more.
    #[error("an earlier entry could not be added to the audit log; start again to find out what it holds")]
    Broken,
}

/// What follows from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Another process has taken over: everything that came from this log is to be dropped.
    Fenced,
    /// The group does not confirm the ownership, which may pass (members come and go) or not.
    NotOwner,
    /// The broker does not answer; what was being added may be in the log or not.
    Away,
    /// Something that asking again does not change.
    Fault,
}

impl Error {
    /// What follows from the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Fenced { .. } => Kind::Fenced,
            Self::NotOwner { .. } => Kind::NotOwner,
            Self::NoAnswer { .. } => Kind::Away,
            Self::Kafka { source, .. } => match kind_of(source) {
                // Not where the offset is stored, so nothing was taken back: the log has to be opened again.
                Kind::NotOwner => Kind::Away,
                kind => kind,
            },
            _ => Kind::Fault,
        }
    }
}

/// What follows from what the client says.
pub(super) fn kind_of(error: &KafkaError) -> Kind {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => Kind::Fenced,
        Some(
            Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::RebalanceInProgress
            | Code::FencedInstanceId
            | Code::FencedMemberEpoch
            | Code::StaleMemberEpoch,
        ) => Kind::NotOwner,
        Some(
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::WaitingForCoordinator
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::ConcurrentTransactions
            // The broker has forgotten the writer, as after a long silence; a new one begins anew.
            | Code::InvalidProducerIdMapping,
        ) => Kind::Away,
        _ => Kind::Fault,
    }
}
