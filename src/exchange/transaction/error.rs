//! Why a transaction cannot be made, in words that say what happened and what to do. The caller has
//! to tell three cases apart: somebody took this producer's place, this client is of no use any more,
//! and the broker will not take what it is given until something is changed.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Why a transaction was not made, and cannot be by calling again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client could not be made.
    #[error(transparent)]
    Client(#[from] crate::exchange::Error),
    /// Another producer has begun to use the transactional id. This one can do nothing any more.
    #[error(
        "another producer took over transactional id '{id}': another instance named the same runs, or this one \
         stood still for longer than transaction.timeout.ms; give every instance a `kafka.instance` of its own"
    )]
    Fenced {
        /// The transactional id.
        id: String,
    },
    /// The client has met an error after which it cannot be used; a new one may.
    #[error("the producer with transactional id '{id}' failed for good: {reason}")]
    Fatal {
        /// The transactional id.
        id: String,
        /// librdkafka's words.
        reason: String,
    },
    /// The broker will not have us, or will not take a message, and asking again changes nothing.
    #[error("kafka refused what transactional id '{id}' asked for: {reason}{}", advice(*code))]
    Refused {
        /// The transactional id.
        id: String,
        /// librdkafka's words; they name the topic, the group or the broker.
        reason: String,
        /// The answer.
        code: RDKafkaErrorCode,
    },
    /// The client refused a message at once.
    #[error("a message for topic '{topic}' was refused: {code}{}", advice(*code))]
    Send {
        /// The topic.
        topic: String,
        /// The answer.
        code: RDKafkaErrorCode,
    },
    /// The queue of messages stayed full.
    #[error("topic '{topic}' took no message for {seconds} s; {waiting} messages wait")]
    Full {
        /// The topic.
        topic: String,
        /// How long was waited.
        seconds: u64,
        /// Messages in the queue.
        waiting: i32,
    },
    /// The client does not come back from handing offsets over, and is of no use any more.
    #[error("the group's coordinator has not taken the offsets of the producer '{id}' for {seconds} s")]
    Stuck {
        /// The transactional id.
        id: String,
        /// For how long.
        seconds: u64,
    },
    /// Calls in an order that makes no transaction; a mistake in this program.
    #[error("the producer with transactional id '{id}' cannot {doing} now")]
    Order {
        /// The transactional id.
        id: String,
        /// What was asked for.
        doing: &'static str,
    },
}

impl Error {
    /// Whether another producer with the same id works on. Making this one anew would only take the
    /// id away from that one in turn.
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced { .. })
    }

    /// The error that ends a producer.
    pub(super) fn ending(id: &str, code: RDKafkaErrorCode, reason: String) -> Self {
        use RDKafkaErrorCode as Code;
        let id = id.to_owned();
        match code {
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Self::Fenced { id },
            code if will_not_pass(code) => Self::Refused { id, reason, code },
            _ => Self::Fatal { id, reason },
        }
    }
}

/// Whether the same would be answered again, until somebody changes rights, a topic or the
/// configuration.
pub(super) fn will_not_pass(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
            | Code::SSL
            | Code::MessageSizeTooLarge
            | Code::InvalidRecord
            | Code::InvalidTransactionTimeout
            | Code::OffsetMetadataTooLarge
    )
}

/// What to look at, where the answer has one likely cause.
pub(super) fn advice(code: RDKafkaErrorCode) -> &'static str {
    use RDKafkaErrorCode as Code;
    match code {
        Code::TopicAuthorizationFailed => {
            "; grant Write and Describe on the topics written, and Read on those whose offsets are committed, to the \
             user of `kafka.security`"
        }
        Code::GroupAuthorizationFailed => {
            "; grant Read on the consumer group to the user of `kafka.security`"
        }
        Code::TransactionalIdAuthorizationFailed => {
            "; grant Write and Describe on the transactional id to the user of `kafka.security`"
        }
        Code::ClusterAuthorizationFailed => {
            "; grant IdempotentWrite on the cluster to the user of `kafka.security`"
        }
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            "; create the topic (`plimsoll topics create`)"
        }
        Code::MessageSizeTooLarge => {
            "; raise the topic's max.message.bytes and `message.max.bytes` under `kafka.properties`"
        }
        Code::InvalidTransactionTimeout => {
            "; lower transaction.timeout.ms to the broker's transaction.max.timeout.ms"
        }
        Code::Authentication | Code::SaslAuthenticationFailed => {
            "; check mechanism, username and password under `kafka.security`"
        }
        Code::SSL => "; check `kafka.security`: protocol, ca_file, certificate_file and key_file",
        Code::Resolve | Code::BrokerTransportFailure => "; check `kafka.brokers`",
        _ => "",
    }
}

/// The code inside an rdkafka error, where it has one.
pub(super) fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    match error {
        KafkaError::Transaction(error) => error.code(),
        other => other.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail),
    }
}

/// Whether the client is of no use any more.
pub(super) fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_fatal())
        || code_of(error) == RDKafkaErrorCode::Fatal
}

/// Whether the same call may be made again, to go on with what it began.
pub(super) fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable(),
        KafkaError::Flush(code) => *code == RDKafkaErrorCode::OperationTimedOut,
        _ => false,
    }
}

/// Whether the transaction can only be aborted.
pub(super) fn requires_abort(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.txn_requires_abort())
}
