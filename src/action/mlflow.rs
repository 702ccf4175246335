//! An alias in MLflow's model registry, moved from the bad version to the good one.
//!
//! The registry has no compare-and-set: an alias that somebody moves between our reading and our
//! writing is overwritten, and nothing tells. Reading just before and just after narrows that to the
//! time of one request, and does not close it. What was asked for is a state, so after a lost reply
//! the state is read, and it is written again only while it is still the bad one.
//!
//! An alias moves traffic only if the serving side reads it again; that is for the verification to
//! see, and not claimed here.

mod config;
mod registry;

use futures::future::BoxFuture;

use crate::engine::actor::Call;
use crate::safety::{Abilities, ActionKind, Idempotency, Reply, Suppression};

use super::http::{Client, doubtful, untouched};
use super::request::{Request, Template};
use super::{Clock, Target};

pub use config::{Config, Error};

use registry::{Registry, Seen};

/// The tag of a condemned version, whose value is the id of the action.
pub const TAG: &str = "plimsoll.condemned_by";

/// The alias of a registered model.
#[derive(Debug)]
pub struct Mlflow {
    name: String,
    registry: Registry,
    model: Template,
    version_prefix: String,
}

/// The names in a request, as MLflow has them.
struct Wanted {
    model: String,
    bad: String,
    good: String,
}

impl Mlflow {
    /// The alias that `config` describes. Reads the file of authorities, and calls nothing yet.
    pub fn new(config: &Config, clock: Clock) -> Result<Self, Error> {
        let Config { place, auth, model, alias, version_prefix } = config;
        if !config::is_alias(alias) {
            return Err(Error::Alias { alias: alias.clone() });
        }
        let template = Template::new(model, ActionKind::Rollback).map_err(Error::Model)?;
        let client = Client::new(place, auth.clone(), &[], clock)?;
        Ok(Self {
            name: format!("{} alias {alias}", client.name("mlflow", &[alias, model, version_prefix])),
            registry: Registry::new(client, alias.clone()),
            model: template,
            version_prefix: version_prefix.clone(),
        })
    }

    fn wanted(&self, call: &Call) -> Result<Wanted, Reply> {
        let request = Request::of(call)?;
        let to_version = request.to_version.ok_or_else(|| Reply::Rejected {
            why: format!("an alias cannot be asked to {}", request.kind),
        })?;
        Ok(Wanted {
            model: self.model.render(&request)?,
            bad: self.number(request.version)?,
            good: self.number(to_version)?,
        })
    }

    /// A version of the log as MLflow numbers it. Another spelling of a number would never compare equal.
    fn number(&self, version: &str) -> Result<String, Reply> {
        let number = version.strip_prefix(self.version_prefix.as_str()).unwrap_or_default();
        let is_number = number.len() <= 10 && number.bytes().all(|byte| byte.is_ascii_digit());
        if is_number && !number.is_empty() && !number.starts_with('0') {
            return Ok(number.to_owned());
        }
        let prefix = &self.version_prefix;
        Err(Reply::Rejected {
            why: format!(
                "version `{version}` of the log is not `{prefix}` and the number of a version of MLflow"
            ),
        })
    }

    async fn check(&self, call: &Call) -> Result<Reply, Reply> {
        let Wanted { model, bad, good } = self.wanted(call)?;
        let barred = |reason, why| Ok(Reply::Barred { reason, why });
        match self.registry.alias(&model).await.map_err(untouched)? {
            Seen::On(version) if version == bad => {}
            Seen::On(version) if version == good => {
                let why = format!("{} is on version {good} of `{model}` already", self.registry);
                return barred(Suppression::AlreadyActive, why);
            }
            other => return barred(Suppression::Stale, self.elsewhere(&other, &model, &bad)),
        }
        match self.registry.standing(&model, &good).await.map_err(untouched)? {
            None => Ok(Reply::Clear),
            Some(why) => barred(Suppression::NoKnownGoodVersion, why),
        }
    }

    async fn roll_back(&self, call: &Call) -> Result<Reply, Reply> {
        let Wanted { model, bad, good } = self.wanted(call)?;
        let accepted = |detail| Ok(Reply::Accepted { reference: None, detail, done: true });
        match self.registry.alias(&model).await.map_err(untouched)? {
            Seen::On(version) if version == bad => {}
            // Most likely by an earlier attempt of ours; and what was asked for is so.
            Seen::On(version) if version == good => {
                return accepted(format!("{} was on version {good} of `{model}` already", self.registry));
            }
            other => {
                let why = self.elsewhere(&other, &model, &bad);
                return Ok(Reply::Barred { reason: Suppression::Stale, why });
            }
        }
        self.registry.set_alias(&model, &good).await?;
        let seen = self.registry.alias(&model).await;
        match seen.map_err(|reply| doubtful(reply, "the alias was set and could not be read again"))? {
            Seen::On(version) if version == good => {}
            other => {
                let why = format!("someone else moved it: {}", self.elsewhere(&other, &model, &good));
                return Ok(Reply::Rejected { why });
            }
        }
        // The model is back; a label that is missing does not change that.
        let tagged = match self.registry.tag(&model, &bad, TAG, &call.action_id).await {
            Ok(()) => String::new(),
            Err(_) => format!(" (version {bad} could not be tagged {TAG})"),
        };
        accepted(format!("{} went from version {bad} to {good} of `{model}`{tagged}", self.registry))
    }

    async fn look(&self, call: &Call) -> Result<Reply, Reply> {
        let Wanted { model, bad, good } = self.wanted(call)?;
        Ok(match self.registry.alias(&model).await.map_err(untouched)? {
            Seen::On(version) if version == good => Reply::Accepted {
                reference: None,
                detail: format!("{} is on version {good} of `{model}`", self.registry),
                done: true,
            },
            Seen::On(version) if version == bad => Reply::Absent,
            other => Reply::Rejected { why: self.elsewhere(&other, &model, &bad) },
        })
    }

    fn elsewhere(&self, seen: &Seen, model: &str, expected: &str) -> String {
        match seen {
            Seen::On(version) => {
                format!("{} is on version {version} of `{model}`, and not on {expected}", self.registry)
            }
            Seen::Absent(said) => format!("`{model}` has no such alias as {}: {said}", self.registry),
        }
    }
}

impl Target for Mlflow {
    fn name(&self) -> &str {
        &self.name
    }

    fn idempotency(&self) -> Idempotency {
        Idempotency::StateLike
    }

    fn abilities(&self) -> Abilities {
        Abilities { preflight: true, find: true, poll: false, cancel: false }
    }

    fn preflight<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async { self.check(call).await.unwrap_or_else(|reply| reply) })
    }

    fn submit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async { self.roll_back(call).await.unwrap_or_else(|reply| reply) })
    }

    fn find<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async { self.look(call).await.unwrap_or_else(|reply| reply) })
    }
}
