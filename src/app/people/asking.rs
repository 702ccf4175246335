//! What the commands for people do at a running daemon: show what waits and what stands still, give an
//! order, and wait for what becomes of it.

mod text;

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::api::client::{Client, Error, Options};
use crate::domain::Version;
use crate::safety::Order;

/// How often it is asked what became of an order.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// Actions and decisions that are asked for; the daemon gives no more.
const MOST: &str = "10000";

/// A running daemon: of several instances the one that owns the actions.
#[derive(Debug)]
pub struct Daemon {
    runtime: tokio::runtime::Runtime,
    client: Client,
    owns: bool,
    instance: Option<String>,
}

/// What is known of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is in force.
    Accepted {
        /// Its id.
        id: String,
        /// What more there is to say.
        why: Option<String>,
    },
    /// It changes nothing.
    Refused {
        /// Its id.
        id: String,
        /// Why.
        why: String,
    },
    /// It is durable, and nobody has said yet what became of it.
    Durable {
        /// Its id.
        id: String,
        /// Why nobody has.
        why: String,
    },
}

/// What an approval is about, as a person has to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Hash of the sealed evidence.
    pub hash: String,
    /// The version to go back to, of a rollback.
    pub to_version: Option<Version>,
    /// The action and the findings that led to it, in words.
    pub text: String,
}

impl Daemon {
    /// The one of `urls` that owns the actions, or the first one that answers.
    ///
    /// # Errors
    /// When none answers.
    pub fn find(urls: &[String], options: &Options) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut found: Option<(Client, Value)> = None;
        let mut failed = None;
        for url in urls {
            let client = Client::new(url, options)?;
            match runtime.block_on(client.get("/api/v1/status", &[])) {
                Ok(body) => {
                    let status: Value = serde_json::from_str(&body).context("the status is not JSON")?;
                    let owns = status["owns_decisions"] == true;
                    if owns || found.is_none() {
                        found = Some((client, status));
                    }
                    if owns {
                        break;
                    }
                }
                Err(error) => failed = Some(explained(error, options)),
            }
        }
        let Some((client, status)) = found else {
            return Err(failed.unwrap_or_else(|| anyhow::anyhow!("no daemon to ask: give --url")));
        };
        let instance = status["instance"].as_str().map(str::to_owned);
        Ok(Self { runtime, client, owns: status["owns_decisions"] == true, instance })
    }

    fn get(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let body = self.runtime.block_on(self.client.get(path, parameters))?;
        serde_json::from_str(&body).with_context(|| format!("{path} is not JSON"))
    }

    /// That another instance owns the actions, in words; none where this one does.
    pub fn stranger(&self) -> Option<String> {
        (!self.owns).then(|| {
            let name = self.instance.as_deref().unwrap_or("this instance");
            format!(
                "{name} at {} does not own the actions: give the --url of the instance that does, too",
                self.client.url()
            )
        })
    }

    /// What became of actions, as JSON or in words.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn actions(&self, as_json: bool) -> anyhow::Result<String> {
        let actions = self.get("/api/v1/actions", &[("limit", MOST)])?;
        if as_json { Ok(serde_json::to_string_pretty(&actions)?) } else { Ok(text::actions(&actions)) }
    }

    /// What stands still and what is good, as JSON or in words.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn safety(&self, as_json: bool) -> anyhow::Result<String> {
        let safety = self.get("/api/v1/safety", &[])?;
        if as_json { Ok(serde_json::to_string_pretty(&safety)?) } else { Ok(text::safety(&safety)) }
    }

    /// What an approval of `action_id` would be about.
    ///
    /// # Errors
    /// When the daemon does not answer, knows no such action, or has not sealed its evidence.
    pub fn evidence(&self, action_id: &str) -> anyhow::Result<Evidence> {
        let all = self.get("/api/v1/actions", &[("limit", MOST)])?;
        let action = all["actions"].as_array().into_iter().flatten().find(|action| action["id"] == action_id);
        let Some(action) = action else {
            let stranger = self.stranger().map_or_else(String::new, |stranger| format!("; {stranger}"));
            bail!("there is no action `{action_id}`{stranger}");
        };
        let Some(hash) = action["evidence"].as_str() else {
            bail!("the evidence of `{action_id}` is not sealed; its state is {}", action["state"]);
        };
        let decisions = self.get("/api/v1/decisions", &[("limit", MOST)])?;
        let decision = decisions["decisions"].as_array().into_iter().flatten();
        let decision = decision.into_iter().find(|decision| decision["id"] == action["decision"]);
        let to_version = action["to_version"].as_str().map(Version::from);
        Ok(Evidence { hash: hash.to_owned(), to_version, text: text::evidence(action, decision) })
    }

    /// Gives `order`, and waits at most `wait` for what becomes of it.
    ///
    /// # Errors
    /// When it is refused before it is durable, or is not known to be durable.
    pub fn give(&self, order: &Order, reason: &str, wait: Duration) -> anyhow::Result<Told> {
        let asked = json!({ "order": order, "reason": reason });
        let begun = Instant::now();
        let answer = self.runtime.block_on(self.client.post("/api/v1/commands", &asked))?;
        let answer: Value = serde_json::from_str(&answer).context("the answer is not JSON")?;
        let id = answer["id"].as_str().context("the answer has no id")?.to_owned();
        let path = format!("/api/v1/commands/{id}");
        loop {
            // It is durable, whatever is wrong with asking about it.
            let told = self.get(&path, &[]);
            let of = |key: &str| told.as_ref().ok().and_then(|told| told[key].as_str().map(str::to_owned));
            let why = of("why");
            match of("outcome").as_deref() {
                Some("accepted") => return Ok(Told::Accepted { id, why }),
                Some("refused") => {
                    return Ok(Told::Refused {
                        id,
                        why: why.unwrap_or_else(|| "no reason was given".to_owned()),
                    });
                }
                _ => {}
            }
            if begun.elapsed() + ASK_EVERY > wait || !self.owns {
                let why = self.stranger().or(why).or_else(|| told.err().map(|error| format!("{error:#}")));
                let why = why.unwrap_or_else(|| "the actor has not said".to_owned());
                return Ok(Told::Durable { id, why });
            }
            std::thread::sleep(ASK_EVERY);
        }
    }
}

/// An error with what to do about it.
fn explained(error: Error, options: &Options) -> anyhow::Error {
    let missing = matches!(error, Error::Refused { status: 401, .. }) && options.token.is_none();
    let error = anyhow::Error::new(error);
    if missing { error.context("set PLIMSOLL_TOKEN or give --token-file") } else { error }
}
