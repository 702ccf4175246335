//! Why a topic cannot serve, in words that say what to do.

use std::fmt;

use rdkafka::error::RDKafkaErrorCode as Code;

/// One thing that is wrong with one topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not there and was not to be made.
    #[error(
        "topic '{topic}' does not exist; make it with `plimsoll topics create`, or let `plimsoll run` (`kafka.create_topics`)"
    )]
    Missing {
        /// The topic.
        topic: String,
    },
    /// It is not there and could not be made.
    #[error("topic '{topic}' does not exist and could not be made: {code}{}", not_made(topic, *code))]
    NotMade {
        /// The topic.
        topic: String,
        /// The answer.
        code: Code,
    },
    /// The broker does not say whether it is there.
    #[error("kafka does not say whether topic '{topic}' exists: {code}{}", hidden(topic, *code))]
    Hidden {
        /// The topic.
        topic: String,
        /// The answer.
        code: Code,
    },
    /// It has another number of partitions than it must have.
    #[error("{}", partitions(topic, *found, *wanted, peer.as_ref()))]
    Partitions {
        /// The topic.
        topic: String,
        /// How many it has.
        found: i32,
        /// How many are asked for.
        wanted: i32,
        /// The topic that it belongs together with, and how many that one has; where it is there.
        peer: Option<(String, i32)>,
    },
    /// One of its settings makes it useless.
    #[error(
        "topic '{topic}' has {setting}={found} and must have {setting}={wanted}: {why}; change it with `kafka-configs --alter --topic {topic} --add-config {setting}={wanted}`"
    )]
    Setting {
        /// The topic.
        topic: String,
        /// The setting, by Kafka's name.
        setting: &'static str,
        /// Its value.
        found: String,
        /// The value that it must have.
        wanted: String,
        /// What goes wrong otherwise.
        why: &'static str,
    },
}

/// Everything that is wrong with topics; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    /// One line for each, without a line end after the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl Faults {
    /// Whether asking again is of no use until somebody has changed something.
    pub(crate) fn is_refusal(&self) -> bool {
        self.0.iter().any(|fault| match fault {
            Fault::Missing { .. } => false,
            Fault::NotMade { code, .. } | Fault::Hidden { code, .. } => matches!(
                code,
                Code::TopicAuthorizationFailed
                    | Code::ClusterAuthorizationFailed
                    | Code::InvalidTopic
                    | Code::InvalidReplicationFactor
                    | Code::PolicyViolation
            ),
            Fault::Partitions { .. } | Fault::Setting { .. } => true,
        })
    }
}

fn not_made(topic: &str, code: Code) -> String {
    match code {
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => format!(
            "; grant Create on topic '{topic}' to the user of `kafka.security`, or let somebody who has it run `plimsoll topics create`"
        ),
        Code::InvalidReplicationFactor => {
            "; `kafka.exchange.replication_factor` is more than the cluster has brokers".to_owned()
        }
        Code::InvalidTopic => {
            "; another topic's name differs only by `.` and `_`, or the name is not legal".to_owned()
        }
        Code::PolicyViolation => {
            "; the cluster's policy does not allow it so: let its operators make it".to_owned()
        }
        _ => String::new(),
    }
}

fn hidden(topic: &str, code: Code) -> String {
    match code {
        Code::TopicAuthorizationFailed => {
            format!("; grant Describe on topic '{topic}' to the user of `kafka.security`")
        }
        _ => String::new(),
    }
}

fn partitions(topic: &str, found: i32, wanted: i32, peer: Option<&(String, i32)>) -> String {
    let has = if found == 1 { "1 partition".to_owned() } else { format!("{found} partitions") };
    if wanted == 1 && peer.is_none() {
        return format!(
            "topic '{topic}' has {has} and must have 1: its messages need one order; delete it while nothing runs and make it again"
        );
    }
    let configured = format!("`kafka.exchange.partitions` is {wanted}");
    match peer {
        Some((other, others)) if *others != found => format!(
            "topic '{topic}' has {has} and '{other}' has {others}, and {configured}: the number must be the same, since each partition of one belongs to that of the other; delete '{topic}' while nothing runs and make it again"
        ),
        _ => format!(
            "topic '{topic}' has {has} and {configured}; the number cannot be changed once the topic is made, so set the key to {found}"
        ),
    }
}
