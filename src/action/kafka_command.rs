//! Commands in a Kafka topic, as CloudEvents whose data are CDEvents, for whoever carries them out:
//! plimsoll then needs no credentials of that system, only the right to write to the topic.
//!
//! A command is written by an idempotent producer and counts as sent once all replicas that are in
//! sync have it. Nothing says whether the receiver does it once when it reads it twice, so the
//! configuration has to: only then is a command repeated after a lost acknowledgement. Otherwise it is
//! looked for in the topic itself.
//!
//! Each question is asked with a client of its own. Commands are rare, and a client that is kept for
//! months would hold connections, and a producer that has failed for good.

mod config;
mod event;
mod topic;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::engine::actor::Call;
use crate::safety::{Abilities, Idempotency, Reply};

use super::Target;
use super::http::{Auth, Hidden, Token};
use super::request::Request;

pub use config::{Config, Error};
pub use event::{ACTION_ID, Event};

use topic::Topics;

/// How much later than a reader's a writer's clock may be, milliseconds: replies are read from so long
/// before the request was made.
const CLOCKS_MILLIS: i64 = 600_000;

/// A topic of commands.
pub struct KafkaCommand {
    name: String,
    config: Config,
    topics: Topics,
    hidden: Hidden,
}

impl std::fmt::Debug for KafkaCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaCommand").field("config", &self.config).finish_non_exhaustive()
    }
}

impl KafkaCommand {
    /// The topic that `config` describes. Connects to nothing yet.
    pub fn new(config: Config) -> Result<Self, Error> {
        config.check()?;
        let topics = Topics::new(config.properties.clone(), config.timeout)?;
        let secrets: Vec<Token> = config
            .properties
            .iter()
            .filter(|(name, _)| ["password", "secret", "key", "token"].iter().any(|word| name.contains(word)))
            .map(|(_, value)| Token::new(value))
            .collect();
        let brokers = config.properties.get("bootstrap.servers").map_or("", String::as_str);
        let name = format!("kafka {brokers} topic {}", config.topic);
        Ok(Self { name, topics, hidden: Hidden::new(&Auth::None, &secrets), config })
    }

    fn event(&self, call: &Call) -> Result<Event, Reply> {
        Ok(Event::new(&Request::of(call)?, &call.action, &self.config.source, &self.config.environment))
    }

    fn accepted(&self, id: &str, detail: String) -> Reply {
        // Without a topic of replies, having it is all that is ever known.
        let done = self.config.reply_topic.is_none();
        Reply::Accepted { reference: Some(id.to_owned()), detail, done }
    }

    async fn send(&self, call: &Call) -> Result<Reply, Reply> {
        let event = self.event(call)?;
        let place = self.topics.write(self.config.topic.clone(), event).await?;
        Ok(self.accepted(&call.action_id, format!("the command is in {place}")))
    }

    async fn look(&self, call: &Call) -> Result<Reply, Reply> {
        let since = made_at(call)?;
        let found = self.topics.read(self.config.topic.clone(), call.action_id.clone(), since).await?;
        Ok(match found.last() {
            Some(command) => self.accepted(&call.action_id, format!("the command is in {}", command.place)),
            None => Reply::Absent,
        })
    }

    async fn follow(&self, call: &Call, reference: &str) -> Result<Reply, Reply> {
        let Some(topic) = self.config.reply_topic.clone() else {
            return Err(Reply::Rejected { why: "no topic of replies is configured".to_owned() });
        };
        let since = made_at(call)?;
        let replies = self.topics.read(topic, reference.to_owned(), since).await?;
        let mut said = Reply::Running { detail: "no reply yet".to_owned() };
        for reply in replies {
            match self.outcome(&reply.value) {
                // What has ended stays so: replies of different partitions come in no order.
                Some(ended @ (Reply::Succeeded { .. } | Reply::Failed { .. })) => return Ok(ended),
                Some(running) => said = running,
                None => {
                    let why = format!("the reply in {} is no CDEvent of a pipeline run", reply.place);
                    said = Reply::Retry { why, doubt: false, retry_after: None };
                }
            }
        }
        Ok(said)
    }

    /// `reply` without what the client's own words may repeat of its settings.
    fn cleaned(&self, reply: Reply) -> Reply {
        match reply {
            Reply::Rejected { why } => Reply::Rejected { why: self.hidden.clean(&why) },
            Reply::Retry { why, doubt, retry_after } => {
                Reply::Retry { why: self.hidden.clean(&why), doubt, retry_after }
            }
            other => other,
        }
    }

    /// What a reply says: `pipelinerun.finished` with its outcome, or that the run is queued or started.
    fn outcome(&self, value: &[u8]) -> Option<Reply> {
        let event: Value = serde_json::from_slice(value).ok()?;
        let kind = event["context"]["type"].as_str()?.strip_prefix("dev.cdevents.pipelinerun.")?;
        let content = &event["subject"]["content"];
        match kind.split('.').next()? {
            state @ ("queued" | "started") => Some(Reply::Running { detail: state.to_owned() }),
            "finished" => Some(match content["outcome"].as_str()? {
                "success" => Reply::Succeeded { detail: "the receiver reports success".to_owned() },
                outcome => {
                    let errors = content["errors"].as_str().unwrap_or_default();
                    let words = self.hidden.clean(&format!("{outcome} {errors}"));
                    Reply::Failed { why: format!("the receiver reports {words}") }
                }
            }),
            _ => None,
        }
    }
}

/// From when on a command and its replies can be in their topics, milliseconds since the epoch.
fn made_at(call: &Call) -> Result<i64, Reply> {
    let time = Request::of(call)?.time.parse::<crate::domain::EventTime>();
    let made =
        time.map_err(|_| Reply::Rejected { why: "the request does not say when it was made".into() })?;
    Ok(made.as_millis().saturating_sub(CLOCKS_MILLIS).max(0))
}

impl Target for KafkaCommand {
    fn name(&self) -> &str {
        &self.name
    }

    fn idempotency(&self) -> Idempotency {
        if self.config.receiver_dedupes { Idempotency::Keyed } else { Idempotency::Unkeyed }
    }

    fn abilities(&self) -> Abilities {
        Abilities { preflight: false, find: true, poll: self.config.reply_topic.is_some(), cancel: false }
    }

    fn submit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async { self.send(call).await.unwrap_or_else(|reply| self.cleaned(reply)) })
    }

    fn find<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async { self.look(call).await.unwrap_or_else(|reply| self.cleaned(reply)) })
    }

    fn poll<'a>(&'a self, call: &'a Call, reference: &'a str) -> BoxFuture<'a, Reply> {
        Box::pin(
            async move { self.follow(call, reference).await.unwrap_or_else(|reply| self.cleaned(reply)) },
        )
    }
}
