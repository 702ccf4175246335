//! Why the Kafka source cannot go on, in words that say what to do.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use crate::domain::SourcePartition;

/// Why reading from Kafka stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configured property is one that the source sets itself.
    #[error("kafka property '{name}' is set by plimsoll itself; remove it from the configuration")]
    Reserved {
        /// The property.
        name: String,
    },
    /// librdkafka does not know a property, or does not take its value.
    #[error("kafka property '{name}' is unknown to librdkafka, or has a value that it does not take")]
    Property {
        /// The property; its value may be secret.
        name: String,
    },
    /// The client could not be made.
    #[error("the kafka client could not be started: {reason}")]
    Client {
        /// librdkafka's words.
        reason: String,
    },
    /// No topic is configured.
    #[error("no topic is configured, so there is nothing to read")]
    NoTopic,
    /// The broker refuses what the configuration asks for.
    #[error("kafka refused: {reason}; {advice}")]
    Refused {
        /// librdkafka's words; they name the topic, group or broker.
        reason: String,
        /// What to look at.
        advice: &'static str,
    },
    /// A partition has no committed offset and the configuration forbids choosing one.
    #[error(
        "{partition} has no committed offset in group '{group}' and offset_reset is 'error'; \
         commit an offset for the group, or set offset_reset to 'earliest' or 'latest'"
    )]
    NoCommittedOffset {
        /// The partition.
        partition: SourcePartition,
        /// The consumer group.
        group: String,
    },
    /// A committed offset is not in the log any more and the configuration forbids choosing another.
    #[error(
        "offset {offset} of {partition} is not in the log, which holds {low} to {high}, and offset_reset is \
         'error'; reset the offset of group '{group}', or set offset_reset to 'earliest' or 'latest'"
    )]
    OffsetOutOfRange {
        /// The partition.
        partition: SourcePartition,
        /// Where reading should have gone on.
        offset: i64,
        /// The oldest offset there.
        low: i64,
        /// The next offset to be written.
        high: i64,
        /// The consumer group.
        group: String,
    },
    /// An offset could not be resolved, and by the time of asking the reason was gone.
    #[error("an offset is not in the log, and offset_reset is 'error': {reason}")]
    OffsetReset {
        /// librdkafka's words.
        reason: String,
    },
    /// The client has met an error after which it cannot be used.
    #[error("the kafka client failed for good: {reason}")]
    Fatal {
        /// librdkafka's words.
        reason: String,
    },
    /// Where a range of times begins and ends could not be found out.
    #[error("offsets of topic '{topic}' could not be looked up: {reason}; {advice}")]
    Lookup {
        /// The topic.
        topic: String,
        /// librdkafka's words.
        reason: String,
        /// What to look at.
        advice: &'static str,
    },
    /// A range is not at its end and nothing more comes.
    #[error("kafka has sent nothing for {seconds} s; check that its brokers can be reached")]
    Silent {
        /// How long.
        seconds: u64,
    },
    /// Partitions that the group gave us could not be taken.
    #[error("assigned partitions could not be taken")]
    Assign(#[source] KafkaError),
    /// Reading could not be stopped or begun again for a while.
    #[error("partitions could not be paused or resumed")]
    Pause(#[source] KafkaError),
    /// Offsets were not committed. Unless `passing` is true, trying again is useless.
    #[error("offsets of group '{group}' were not committed: {code}")]
    Commit {
        /// The consumer group.
        group: String,
        /// The answer.
        code: RDKafkaErrorCode,
        /// A later commit may succeed; nothing is lost by going on.
        passing: bool,
    },
    /// A commit's metadata is longer than brokers take.
    #[error("the metadata of a commit of {partition} has {bytes} bytes; brokers take {limit}")]
    MetadataTooLong {
        /// The partition.
        partition: SourcePartition,
        /// Its length.
        bytes: usize,
        /// The most that brokers take by default (`offset.metadata.max.bytes`).
        limit: usize,
    },
}

impl Error {
    /// Whether going on is safe: the fault lies in the moment (a rebalance, a broker that restarts).
    /// Only `commit` gives such errors; polling and committing again later is the remedy.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Commit { passing: true, .. })
    }

    /// Errors of making a client. librdkafka quotes values in its texts, so these are left out.
    pub(super) fn from_client(error: KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, _, name, _) => Self::Property { name },
            other => Self::Client { reason: other.to_string() },
        }
    }
}

/// What to look at, for the errors that a wrong configuration causes.
pub(super) fn advice(code: RDKafkaErrorCode) -> Option<&'static str> {
    use RDKafkaErrorCode as Code;
    Some(match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic => {
            "create the topic, or correct its name under `topics`; it is read as soon as it exists"
        }
        Code::TopicAuthorizationFailed => {
            "grant Read and Describe on the topic to the user of `kafka.security`"
        }
        Code::GroupAuthorizationFailed => {
            "grant Read on the group `kafka.group` to the user of `kafka.security`"
        }
        Code::ClusterAuthorizationFailed => "grant the user of `kafka.security` access to the cluster",
        Code::SaslAuthenticationFailed | Code::Authentication => {
            "check mechanism, username and password under `kafka.security`"
        }
        Code::SSL => "check `kafka.security`: protocol, ca_file, certificate_file and key_file",
        Code::Resolve => "check the host names in `kafka.brokers`",
        _ => return None,
    })
}

/// Whether the code means that the broker will not have us, rather than that it cannot answer now.
pub(super) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
            | Code::SSL
    )
}

/// Whether a commit that was answered so may succeed later, without anything being wrong.
pub(super) fn commit_may_pass(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::RebalanceInProgress
            | Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::StaleMemberEpoch
            | Code::NotCoordinator
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::RequestTimedOut
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::WaitingForCoordinator
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::NotEnoughReplicas
            | Code::AssignmentLost
            | Code::NoOffset
            | Code::UnknownTopicOrPartition
    )
}

/// The code inside an rdkafka error, where it has one.
pub(super) fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::from(RDKafkaRespErr::RD_KAFKA_RESP_ERR__FAIL))
}
