//! What the adapter of a command topic is told, and what it refuses to be told.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::error::KafkaError;

/// Why a command topic cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A property that the client does not have, or a value that it cannot have. The value is not shown.
    #[error("the Kafka client does not take the property {name} as it is set")]
    Property {
        /// The property.
        name: String,
    },
    /// The client cannot be made.
    #[error("cannot make a Kafka client")]
    Client(#[source] KafkaError),
    /// A topic without a name.
    #[error("the topic has no name")]
    Topic,
    /// The replies would be read where the commands are written.
    #[error("the reply topic is the command topic itself")]
    SameTopic,
    /// A source that is no reference to anything.
    #[error("the source `{0}` is not a reference such as /plimsoll")]
    Source(String),
    /// An environment without a name.
    #[error("the environment has no name")]
    Environment,
}

impl From<KafkaError> for Error {
    fn from(error: KafkaError) -> Self {
        match error {
            // librdkafka's words repeat the value, which may be secret.
            KafkaError::ClientConfig(_, _, name, _) => Self::Property { name },
            error => Self::Client(error),
        }
    }
}

/// A topic of commands, and maybe one of replies.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Client properties that hold for producers and consumers alike (brokers, TLS, SASL), by
    /// librdkafka's names. They may hold secrets.
    pub properties: BTreeMap<String, String>,
    /// Where commands are written.
    pub topic: String,
    /// Where the receiver writes what became of them, if it does.
    pub reply_topic: Option<String>,
    /// Whether the receiver does a command once that it gets twice under one `action_id`. Only then is a
    /// command repeated after a lost acknowledgement.
    pub receiver_dedupes: bool,
    /// `ce_source`: a URI reference that says who speaks, such as `/plimsoll`.
    pub source: String,
    /// Name of the environment in which the models serve, which reports of incidents must state.
    pub environment: String,
    /// How long the brokers may take to acknowledge a command, or to give the replies.
    pub timeout: Duration,
}

impl fmt::Debug for Config {
    /// Without the values of properties.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("properties", &self.properties.keys())
            .field("topic", &self.topic)
            .field("reply_topic", &self.reply_topic)
            .field("receiver_dedupes", &self.receiver_dedupes)
            .field("source", &self.source)
            .field("environment", &self.environment)
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl Config {
    /// Whether commands can be written as configured.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.topic.is_empty() || self.reply_topic.as_deref() == Some("") {
            return Err(Error::Topic);
        }
        if self.reply_topic.as_ref() == Some(&self.topic) {
            return Err(Error::SameTopic);
        }
        let plain = |c: char| {
            c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
        };
        if self.source.is_empty() || !self.source.chars().all(plain) {
            return Err(Error::Source(self.source.clone()));
        }
        if self.environment.is_empty() {
            return Err(Error::Environment);
        }
        Ok(())
    }
}
