//! What can go wrong on the way out, in words that say what to do. Values of properties never
//! appear: librdkafka quotes them in its own texts, so these are not used for configuration errors.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::topics::Faults;

/// Why something could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    /// The client refused a message at once.
    #[error("a message for topic '{topic}' was refused: {code}{}", hint(*code))]
    Send {
        /// The topic.
        topic: String,
        /// The answer.
        code: RDKafkaErrorCode,
    },
    /// Messages were given up after the client's own retries.
    #[error("{failed} messages were not delivered; the last, for topic '{topic}': {code}{}", hint(*code))]
    Delivery {
        /// Messages given up since the last flush.
        failed: u64,
        /// Topic of the last of them.
        topic: String,
        /// Why the last was given up.
        code: RDKafkaErrorCode,
    },
    /// Messages are still on their way.
    #[error("{waiting} messages were not delivered within {seconds} s")]
    Late {
        /// Messages on their way.
        waiting: i32,
        /// How long was waited.
        seconds: f64,
    },
    /// Topics are missing, or cannot serve.
    #[error(transparent)]
    Topics(Faults),
    /// Topics could not be asked for.
    #[error("kafka did not say whether topic '{topic}' exists: {code}{}", hint(*code))]
    Metadata {
        /// The topic.
        topic: String,
        /// The answer.
        code: RDKafkaErrorCode,
    },
    /// The cluster cannot be reached, or will not have us.
    #[error("kafka cannot be reached: {reason}{}", hint(*code))]
    Unreachable {
        /// librdkafka's words; they name the broker.
        reason: String,
        /// The kind of fault.
        code: RDKafkaErrorCode,
    },
    /// A file could not be written.
    #[error("could not write {what}")]
    Write {
        /// What was to be written.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Errors of making a client.
    pub(super) fn from_client(error: KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, _, name, _) => Self::Property { name },
            other => Self::Client { reason: other.to_string() },
        }
    }

    /// Whether the broker will not have us, so that asking again is of no use until something is
    /// changed.
    pub fn is_refusal(&self) -> bool {
        use RDKafkaErrorCode as Code;
        match self {
            Self::Topics(faults) => faults.is_refusal(),
            Self::Unreachable { code, .. } => {
                matches!(code, Code::SaslAuthenticationFailed | Code::Authentication | Code::SSL)
            }
            _ => false,
        }
    }
}

/// What to look at, where the answer has one likely cause.
fn hint(code: RDKafkaErrorCode) -> &'static str {
    use RDKafkaErrorCode as Code;
    match code {
        Code::TopicAuthorizationFailed => {
            "; grant Describe and Write on the topic to the user of `kafka.security`"
        }
        Code::ClusterAuthorizationFailed => {
            "; grant IdempotentWrite on the cluster to the user of `kafka.security` (before Kafka 2.8)"
        }
        Code::GroupAuthorizationFailed => {
            "; grant Read on the group (`kafka.group`, with `.evaluate` or `.act` behind it) to the user of `kafka.security`"
        }
        Code::TransactionalIdAuthorizationFailed => {
            "; grant Describe and Write on the transactional id to the user of `kafka.security`"
        }
        Code::UnknownTopicOrPartition | Code::UnknownTopic => "; create the topic",
        Code::MessageSizeTooLarge => {
            "; lower `kafka.dead_letter_value_bytes`, or raise the topic's max.message.bytes"
        }
        Code::Authentication | Code::SaslAuthenticationFailed => {
            "; check mechanism, username and password under `kafka.security`"
        }
        Code::SSL => "; check `kafka.security`: protocol, ca_file, certificate_file and key_file",
        Code::Resolve | Code::BrokerTransportFailure => "; check `kafka.brokers`",
        Code::InvalidReplicationFactor => "; the cluster has fewer brokers than copies are wanted",
        _ => "",
    }
}

/// The code inside an rdkafka error, where it has one.
pub(super) fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
}
