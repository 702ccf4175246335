//! Reconfiguration without a restart. Whoever is asked to reload reads and judges the file, publishes
//! what may change as a new generation, and from then on it is everybody's: all instances take it from
//! the topic, the one that published it too, and switch at the same event time.
//!
//! A start does the same where its file says something that nobody has published. A file that is known
//! and is not the newest is taken for one that was not renewed: the newest generation is followed.

mod content;
mod known;
mod publish;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};

use super::clock::now_millis;
use super::{compile, several};
use crate::api::ReloadAnswer;
use crate::config::{self, Config, Errors};
use crate::domain::EventTime;
use crate::engine::Generation;
use crate::engine::generation::{Standing, effective_from};
use crate::policy::Decide;
use crate::profile::Profile;
use crate::safety::ActionKind;
use crate::telemetry::Telemetry;

pub use content::{Compiled, Content, Published};
pub use known::Configurations;
pub use publish::Publisher;

/// Event time that a generation is published ahead, beside what traffic goes on by meanwhile.
const LEAD: Duration = Duration::from_secs(30);
/// How many times as far as it went on between two looks event time may go on until everybody knows.
const PACE: u32 = 5;
/// How long the control topic may take to be read.
const READ: Duration = Duration::from_secs(30);
/// How often another instance may be first.
const ATTEMPTS: u32 = 5;

/// Reads the configuration that is to be taken up.
#[derive(Clone)]
pub struct Load(Arc<dyn Fn() -> Result<Config, Errors> + Send + Sync>);

impl Load {
    /// Reads it so.
    pub fn new(read: impl Fn() -> Result<Config, Errors> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Load")
    }
}

/// Takes up changed configurations.
pub struct Reloader {
    /// The configuration that this process started with.
    pub running: Config,
    /// References that are not in files.
    pub profiles: BTreeMap<String, Profile>,
    /// Reads the configuration again.
    pub load: Load,
    /// What is known.
    pub configurations: Arc<Configurations>,
    /// How to publish.
    pub publisher: Publisher,
    /// Name of this instance.
    pub instance: String,
    /// How often observers commit.
    pub commit_interval: Duration,
    /// Counters.
    pub telemetry: Telemetry,
    /// Set to stop.
    pub stop: Arc<AtomicBool>,
    /// Held by the reload that is under way.
    pub busy: Mutex<()>,
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Reloader {
    /// What this process has to do with its own file when it starts.
    ///
    /// # Errors
    /// When the topic cannot be read or written.
    pub fn start(&self) -> anyhow::Result<()> {
        let content = Content::of(&self.running, &self.profiles)?;
        self.catch_up()?;
        let hash = content.hash();
        let standing = self.configurations.standing(&hash);
        match standing {
            Standing::First | Standing::New => {
                let generation = self.publish(&content)?;
                tracing::info!(
                    generation = generation.number,
                    hash,
                    from = from(&generation),
                    "this configuration is published for all instances"
                );
            }
            Standing::Newest => {}
            Standing::Stale(number) => {
                let newest = self.configurations.newest().map_or(0, |newest| newest.number);
                tracing::warn!(
                    generation = newest,
                    stale = number,
                    hash,
                    "the configuration file of this instance is an older one than the others run with; the \
                     newest is followed. Renew the file, or reload this instance to make its file the newest"
                );
            }
        }
        Ok(())
    }

    /// Reads the file again, and publishes what it says if it may.
    pub fn reload(&self) -> ReloadAnswer {
        let _turn = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = self.answer();
        match &answer {
            ReloadAnswer::Published { generation, hash, effective_from } => tracing::info!(
                generation,
                hash,
                from = effective_from.map_or_else(|| "the beginning".to_owned(), |from| from.to_string()),
                "the configuration was read again"
            ),
            ReloadAnswer::Unchanged { generation, hash, .. } => {
                tracing::info!(generation, hash, "the configuration was read again and is what runs already");
            }
            ReloadAnswer::Invalid { errors } => tracing::error!(
                errors = errors.join("; "),
                "the new configuration is refused, and the old one runs on"
            ),
            ReloadAnswer::NeedsRestart { changed } => tracing::error!(
                changed = changed.join(", "),
                "the new configuration is refused, and the old one runs on: what has changed is read at start only"
            ),
            ReloadAnswer::Failed { error } => {
                tracing::error!(
                    error,
                    "the new configuration could not be published, and the old one runs on"
                );
            }
        }
        self.telemetry.reloaded(answer.outcome());
        answer
    }

    fn answer(&self) -> ReloadAnswer {
        let config = match (self.load.0)() {
            Ok(config) => config,
            Err(Errors(problems)) => {
                return ReloadAnswer::Invalid { errors: problems.iter().map(ToString::to_string).collect() };
            }
        };
        // Whatever a model lacks is said by its place in the file, before anything is published.
        if let Err(errors) = compile::topics(&config, &self.profiles) {
            let errors = several(&errors).to_string();
            return ReloadAnswer::Invalid { errors: errors.lines().map(str::to_owned).collect() };
        }
        let changed = config::needs_restart(&self.running, &config);
        if !changed.is_empty() {
            return ReloadAnswer::NeedsRestart { changed };
        }
        for warning in &config.warnings {
            tracing::warn!(path = warning.path, "{}", warning.message);
        }
        let published = || -> anyhow::Result<ReloadAnswer> {
            let content = Content::of(&config, &self.profiles)?;
            let hash = content.hash();
            self.catch_up()?;
            if let Some(newest) = self.configurations.newest().filter(|newest| newest.hash == hash) {
                let Generation { number, effective_from, .. } = newest;
                return Ok(ReloadAnswer::Unchanged { generation: number, hash, effective_from });
            }
            let Generation { number, effective_from, .. } = self.publish(&content)?;
            Ok(ReloadAnswer::Published { generation: number, hash, effective_from })
        };
        published().unwrap_or_else(|error| ReloadAnswer::Failed { error: format!("{error:#}") })
    }

    fn catch_up(&self) -> anyhow::Result<()> {
        if self.configurations.catch_up(READ)? {
            return Ok(());
        }
        bail!("the control topic could not be read within {} s", READ.as_secs())
    }

    /// Publishes `content`, whoever else does so meanwhile.
    fn publish(&self, content: &Content) -> anyhow::Result<Generation> {
        let hash = content.hash();
        // Whoever cannot run it must not publish it.
        let trial = Generation { number: 0, hash: hash.clone(), effective_from: None };
        let compiled = content.compile(trial).context("the configuration cannot run by what is published")?;
        for _ in 0..ATTEMPTS {
            let newest = self.configurations.newest();
            if let Some(newest) = newest.as_ref().filter(|newest| newest.hash == hash) {
                return Ok(newest.clone());
            }
            let number = self.configurations.next_number();
            let effective_from = match &newest {
                Some(newest) => self.time_for(newest, &compiled)?,
                None => None,
            };
            let generation = Generation { number, hash: hash.clone(), effective_from };
            let published = Published::new(generation.clone(), &self.instance, now_millis(), content.clone());
            self.publisher.publish(&published, &self.stop)?;
            self.catch_up()?;
            if self.configurations.get(number).as_ref() == Some(&generation) {
                return Ok(generation);
            }
        }
        bail!("other instances published {ATTEMPTS} other configurations meanwhile; reload again")
    }

    /// From when a generation after `newest` is for.
    fn time_for(&self, newest: &Generation, next: &Compiled) -> anyhow::Result<Option<EventTime>> {
        let before = self.configurations.compiled(newest.number)?;
        let first = self.publisher.watermark(&self.stop)?;
        // A backlog is read faster than it came, so how fast is part of the lead.
        std::thread::sleep(self.commit_interval.min(Duration::from_secs(5)));
        let second = self.publisher.watermark(&self.stop)?;
        let gone = first
            .zip(second)
            .map_or(0, |(first, second)| second.as_millis().saturating_sub(first.as_millis()).max(0));
        let topics = || before.topics.iter().chain(&next.topics);
        let lateness = topics().map(|topic| topic.allowed_lateness).max().unwrap_or_default();
        // No row was newer than a watermark and its lateness.
        let row = second.map(|watermark| watermark + lateness);
        let gone = Duration::from_millis(u64::try_from(gone).unwrap_or(0));
        let lead = LEAD + 2 * self.commit_interval + PACE * gone;
        let panes = topics().flat_map(|topic| &topic.models).map(|model| model.pane);
        Ok(effective_from(row, lead, newest.effective_from, panes))
    }
}

/// Counters of policies and their actions begin at 0, before anything counts them.
pub fn declare(config: &Config, telemetry: &Telemetry) {
    let kind = |name: &str| -> Option<ActionKind> {
        config.actions.iter().find(|action| action.name == name)?.kind.name().parse().ok()
    };
    for policy in &config.policies {
        telemetry.declare_policy(&policy.model, &policy.name, policy.decide);
        if policy.decide == Decide::Sequential {
            for check in &policy.checks {
                telemetry.declare_detectors(&policy.model, check);
            }
        }
        for action in policy.actions.iter().chain(&policy.escalate) {
            if let Some(kind) = kind(action) {
                telemetry.declare_action(&policy.model, action, kind);
            }
        }
    }
}

fn from(generation: &Generation) -> String {
    generation.effective_from.map_or_else(|| "the beginning".to_owned(), |from| from.to_string())
}
