//! plimsoll's own topics: made where they are missing and the broker allows it, and looked at where
//! they are there, because some settings decide whether anything can be counted at all.
//!
//! What is wrong is found before anything is made, and everything at once: a topic that is made
//! beside a wrong one would only have to be deleted again.

mod fault;
mod look;

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Error;
use super::error::code_of;
pub use fault::{Fault, Faults};
use look::Looked;

/// Copies from which on a write waits for two of them.
const SAFE_COPIES: i32 = 3;
/// A compacted topic is read from its beginning by whoever takes over, so it is kept short: segments are
/// closed after so much, and cleaned when so large a share of them is out of date.
const SEGMENT_BYTES: u32 = 16 << 20;
const SEGMENT_AGE: Duration = Duration::from_secs(60 * 60);
const DIRTY: &str = "0.1";
/// How long a compacted topic shows that a key was deleted: longer than anyone reads it.
const DELETIONS: Duration = Duration::from_secs(24 * 60 * 60);

/// What becomes of old records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// Whatever the topic says; deleted after the broker's default time where it has to be made.
    #[default]
    Delete,
    /// Deleted after this time, and never before.
    For(Duration),
    /// Never deleted.
    Forever,
    /// Only the newest of each key is sure to stay.
    Compact,
}

/// A topic that must be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it must have; none: as many as it has, or the broker's default. Topics for
    /// which the same number above 1 is asked for belong together, partition by partition.
    pub partitions: Option<i32>,
    /// What becomes of old records.
    pub retention: Retention,
    /// Copies, where it has to be made; none: the broker's default.
    pub replication_factor: Option<i32>,
    /// Largest batch of messages, bytes, where it has to be made; none: the broker's default.
    pub max_message_bytes: Option<u32>,
}

impl Topic {
    /// The topic's settings where it has to be made, by Kafka's names.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let millis = |span: Duration| span.as_millis().to_string();
        let mut settings = match self.retention {
            Retention::Delete => vec![("cleanup.policy", "delete".to_owned())],
            Retention::For(span) => vec![
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", millis(span)),
                ("retention.bytes", "-1".to_owned()),
            ],
            Retention::Forever => vec![
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", "-1".to_owned()),
                ("retention.bytes", "-1".to_owned()),
            ],
            Retention::Compact => vec![
                ("cleanup.policy", "compact".to_owned()),
                ("min.cleanable.dirty.ratio", DIRTY.to_owned()),
                ("segment.ms", millis(SEGMENT_AGE)),
                ("segment.bytes", SEGMENT_BYTES.to_string()),
                ("delete.retention.ms", millis(DELETIONS)),
            ],
        };
        if self.replication_factor.is_some_and(|copies| copies >= SAFE_COPIES) {
            settings.push(("min.insync.replicas", "2".to_owned()));
        }
        settings.extend(self.max_message_bytes.map(|bytes| ("max.message.bytes", bytes.to_string())));
        settings
    }

    /// The settings without which the topic cannot serve, and why.
    fn needed(&self) -> &'static [(&'static str, &'static str)] {
        const KEPT: &str = "the newest of each key must stay, whatever its age";
        const FOREVER: &str = "nothing in it may ever be deleted";
        const MERGED: &str = "compaction would drop messages that nobody has read";
        match self.retention {
            Retention::Delete => &[],
            Retention::For(_) => &[("cleanup.policy", MERGED)],
            Retention::Forever => {
                &[("cleanup.policy", MERGED), ("retention.ms", FOREVER), ("retention.bytes", FOREVER)]
            }
            Retention::Compact => &[("cleanup.policy", KEPT)],
        }
    }
}

/// Whether a topic is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is not.
    Missing,
    /// It was made just now.
    Created,
    /// It was there.
    Exists {
        /// Its partitions.
        partitions: i32,
        /// Copies of its first partition.
        replication_factor: i32,
    },
    /// The broker does not say.
    Unknown,
}

/// What was found of one topic.
#[derive(Debug)]
pub struct Outcome {
    /// The topic's name.
    pub topic: String,
    /// Whether it is there.
    pub status: Status,
    /// Why it cannot serve.
    pub faults: Vec<Fault>,
    /// What is other than it would have been made, in words; it may serve all the same.
    pub differences: Vec<String>,
}

/// Makes those of `topics` that are missing, or, unless `create`, says which are; and checks the others.
///
/// A topic that exists is left as it is. A user who may not create topics needs only Describe on
/// those that somebody else has made; settings that it may not see are not checked.
///
/// # Errors
/// Every topic that is missing or cannot serve, or why the broker could not be asked.
pub async fn ensure(
    client: &ClientConfig,
    topics: &[Topic],
    create: bool,
    timeout: Duration,
) -> Result<(), Error> {
    let mut faults = Vec::new();
    for outcome in inspect(client, topics, create, timeout).await? {
        let missing = !create && outcome.status == Status::Missing;
        faults.extend(missing.then(|| Fault::Missing { topic: outcome.topic.clone() }));
        faults.extend(outcome.faults);
        match outcome.status {
            Status::Created => tracing::info!(topic = outcome.topic, "topic created"),
            _ => outcome.differences.iter().for_each(|difference| {
                tracing::debug!(topic = outcome.topic, difference, "the topic is not as plimsoll makes it");
            }),
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Topics(Faults(faults))) }
}

/// Looks at `topics`, in their order, and, with `create`, makes the missing ones unless one that is
/// there cannot serve.
///
/// # Errors
/// When the broker cannot be asked.
pub async fn inspect(
    client: &ClientConfig,
    topics: &[Topic],
    create: bool,
    timeout: Duration,
) -> Result<Vec<Outcome>, Error> {
    let mut outcomes = look::all(client, topics, timeout)?;
    let present: Vec<&Topic> = { topics.iter().zip(&outcomes) }
        .filter_map(|(topic, looked)| matches!(looked, Looked::Exists { .. }).then_some(topic))
        .collect();
    let admin: AdminClient<DefaultClientContext> = client.create().map_err(Error::from_client)?;
    let options = AdminOptions::new().operation_timeout(Some(timeout)).request_timeout(Some(timeout));
    let settings = settings(&admin, &options, &present).await?;
    let mut judged: Vec<Outcome> = { topics.iter().zip(&outcomes) }
        .map(|(topic, looked)| judge(topic, looked, settings.get(topic.name.as_str()), topics, &outcomes))
        .collect();
    if create && judged.iter().all(|outcome| outcome.faults.is_empty()) {
        let missing: Vec<usize> = (0..topics.len()).filter(|&at| outcomes[at] == Looked::Missing).collect();
        let wanted: Vec<&Topic> = missing.iter().map(|&at| &topics[at]).collect();
        for (at, answer) in missing.into_iter().zip(make(&admin, &options, &wanted).await?) {
            let topic = &topics[at];
            match answer {
                Ok(()) => judged[at].status = Status::Created,
                // Another instance was faster.
                Err(RDKafkaErrorCode::TopicAlreadyExists) => {
                    outcomes[at] = look::all(client, std::slice::from_ref(topic), timeout)?.remove(0);
                    judged[at] = judge(topic, &outcomes[at], None, topics, &outcomes);
                }
                Err(code) => judged[at].faults.push(Fault::NotMade { topic: topic.name.clone(), code }),
            }
        }
    }
    Ok(judged)
}

/// What `looked`, and `settings` where they could be had, say of `topic`.
fn judge(
    topic: &Topic,
    looked: &Looked,
    settings: Option<&BTreeMap<String, String>>,
    topics: &[Topic],
    all: &[Looked],
) -> Outcome {
    let name = || topic.name.clone();
    let mut outcome =
        Outcome { topic: name(), status: Status::Unknown, faults: Vec::new(), differences: Vec::new() };
    let &Looked::Exists { partitions, replication_factor } = looked else {
        match looked {
            &Looked::Refused(code) => outcome.faults.push(Fault::Hidden { topic: name(), code }),
            _ => outcome.status = Status::Missing,
        }
        return outcome;
    };
    outcome.status = Status::Exists { partitions, replication_factor };
    if let Some(wanted) = topic.partitions.filter(|wanted| *wanted != partitions) {
        let peer = { topics.iter().zip(all) }.find_map(|(other, looked)| match looked {
            Looked::Exists { partitions: found, .. }
                if other.name != topic.name && other.partitions == topic.partitions && wanted > 1 =>
            {
                Some((other.name.clone(), *found))
            }
            _ => None,
        });
        outcome.faults.push(Fault::Partitions { topic: name(), found: partitions, wanted, peer });
    }
    if let Some(wanted) = topic.replication_factor.filter(|wanted| *wanted != replication_factor) {
        outcome.differences.push(format!("{replication_factor} copies of it are kept, not {wanted}"));
    }
    for (setting, wanted) in topic.settings() {
        let Some(found) = settings.and_then(|settings| settings.get(setting)) else { continue };
        if *found == wanted {
            continue;
        }
        match topic.needed().iter().find(|(needed, _)| *needed == setting) {
            Some((_, why)) => {
                let (found, wanted) = (found.clone(), wanted);
                outcome.faults.push(Fault::Setting { topic: name(), setting, found, wanted, why });
            }
            None => outcome.differences.push(format!("{setting} is {found}, not {wanted}")),
        }
    }
    outcome
}

/// The settings of topics, by topic, as far as the broker tells them.
async fn settings(
    admin: &AdminClient<DefaultClientContext>,
    options: &AdminOptions,
    topics: &[&Topic],
) -> Result<BTreeMap<String, BTreeMap<String, String>>, Error> {
    use rdkafka::admin::OwnedResourceSpecifier::Topic as Named;
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    let asked: Vec<ResourceSpecifier<'_>> =
        topics.iter().map(|topic| ResourceSpecifier::Topic(&topic.name)).collect();
    let answers = match admin.describe_configs(&asked, options).await {
        Ok(answers) => answers,
        // So answers a broker that knows no settings, such as the one of the demo: not at all.
        Err(KafkaError::AdminOp(
            RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::OperationTimedOut,
        )) => {
            tracing::info!("the broker does not tell the settings of topics, so they are not checked");
            return Ok(BTreeMap::new());
        }
        Err(error) => return Err(Error::Unreachable { reason: error.to_string(), code: code_of(&error) }),
    };
    let mut settings = BTreeMap::new();
    for answer in answers {
        match answer {
            Ok(found) => {
                let Named(name) = found.specifier else { continue };
                let entries = found.entries.into_iter();
                let entries = entries.filter_map(|entry| Some((entry.name, entry.value?)));
                settings.insert(name, entries.collect());
            }
            Err(code) => tracing::warn!(
                %code,
                "the settings of a topic are not checked; DescribeConfigs on plimsoll's own topics would allow it"
            ),
        }
    }
    Ok(settings)
}

/// Asks for topics to be made; one answer for each, in their order.
async fn make(
    admin: &AdminClient<DefaultClientContext>,
    options: &AdminOptions,
    topics: &[&Topic],
) -> Result<Vec<Result<(), RDKafkaErrorCode>>, Error> {
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let settings: Vec<_> = topics.iter().map(|topic| topic.settings()).collect();
    let asked: Vec<NewTopic<'_>> = { topics.iter().zip(&settings) }
        .map(|(topic, settings)| {
            // -1 asks for the broker's default, both here and for the number of copies.
            let copies = TopicReplication::Fixed(topic.replication_factor.unwrap_or(-1));
            let new = NewTopic::new(&topic.name, topic.partitions.unwrap_or(-1), copies);
            settings.iter().fold(new, |new, (setting, value)| new.set(setting, value))
        })
        .collect();
    let mut answers: BTreeMap<String, Result<(), RDKafkaErrorCode>> = BTreeMap::new();
    match admin.create_topics(&asked, options).await {
        Ok(results) => {
            for result in results {
                let (name, answer) = match result {
                    Ok(name) => (name, Ok(())),
                    Err((name, code)) => (name, Err(code)),
                };
                answers.insert(name, answer);
            }
        }
        Err(KafkaError::AdminOp(code)) => {
            answers.extend(topics.iter().map(|topic| (topic.name.clone(), Err(code))));
        }
        Err(error) => return Err(Error::Unreachable { reason: error.to_string(), code: code_of(&error) }),
    }
    let unanswered = || Err(RDKafkaErrorCode::OperationTimedOut);
    Ok(topics.iter().map(|topic| answers.remove(&topic.name).unwrap_or_else(unanswered)).collect())
}

#[cfg(test)]
mod tests;
