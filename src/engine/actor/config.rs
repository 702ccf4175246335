//! What the actor is told at start, as plain data: what policies may do, which actions there are, and
//! how much may be done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::{ModelId, ModelKey};
use crate::safety::{Abilities, ActionKind, BreakerSpec, Idempotency, Limits, PolicyMode, VerifySpec};

/// One configured action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionSpec {
    /// Its configured name; policies name it, and so does the adapter that knows its target.
    pub name: String,
    /// What it is for.
    pub kind: ActionKind,
    /// How long after the decision, or its approval, a request may begin.
    pub deadline: Duration,
    /// How long what the target has taken may run until it must have succeeded.
    pub finish_within: Duration,
    /// Where it goes, in words that hold no secret and that change when the place changes: an
    /// action that was interrupted by a restart is never repeated at another place.
    pub target: String,
    /// What the target makes of a repetition.
    pub idempotency: Idempotency,
    /// What the target can be asked.
    pub abilities: Abilities,
}

/// What a policy may do.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyTerms {
    /// Its mode.
    pub mode: PolicyMode,
    /// The model that it is about.
    pub model: ModelId,
    /// Whether it asks for rollbacks, so that its word is needed for a version to be good.
    pub rolls_back: bool,
    /// How long a person may take to approve.
    pub approval_within: Duration,
    /// What counts as recovered after a rollback.
    pub verify: VerifySpec,
    /// Names of the notifications to send when an action needs a person.
    pub escalate: Vec<String>,
    /// SHA-256 of the policy as it is configured, for the evidence.
    pub hash: String,
}

impl Default for PolicyTerms {
    fn default() -> Self {
        Self {
            mode: PolicyMode::Observe,
            model: ModelId::from(""),
            rolls_back: false,
            approval_within: Duration::from_secs(30 * 60),
            verify: VerifySpec::default(),
            escalate: Vec::new(),
            hash: String::new(),
        }
    }
}

/// What the actor is told at start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The policies by name. One that is not in it observes.
    pub policies: BTreeMap<String, PolicyTerms>,
    /// The configured actions. A decision may name others only after the configuration changed;
    /// they are in its audit entry, and nothing is done about them.
    pub actions: Vec<ActionSpec>,
    /// How much may be done.
    pub limits: Limits,
    /// When a target is left alone.
    pub breaker: BreakerSpec,
    /// How many models are watched.
    pub watched: usize,
    /// Whether event time is wall time, as in production; in a demo it runs faster, and what follows an
    /// action is then told by the log alone.
    pub event_time_is_wall_time: bool,
    /// What the first audit entry after a start says of this process (version, hash of the
    /// configuration, ...). No secrets.
    pub started: BTreeMap<String, String>,
}

impl Config {
    /// The mode of `policy`.
    pub fn mode(&self, policy: &str) -> PolicyMode {
        self.policies.get(policy).map(|terms| terms.mode).unwrap_or_default()
    }

    /// What `policy` may do; of one that is not configured, nothing.
    pub fn terms(&self, policy: &str) -> PolicyTerms {
        self.policies.get(policy).cloned().unwrap_or_default()
    }

    /// The action named `name`.
    pub fn action(&self, name: &str) -> Option<&ActionSpec> {
        self.actions.iter().find(|spec| spec.name == name)
    }

    /// The policies without whose word no version of the model of `key` is good enough to go back to
    /// for `policy`: it, and all others that roll that model back.
    pub fn vouching(&self, policy: &str, key: &ModelKey) -> BTreeSet<String> {
        let others = self.policies.iter().filter(|(_, terms)| terms.rolls_back && terms.model == key.model);
        others.map(|(name, _)| name.clone()).chain([policy.to_owned()]).collect()
    }

    /// All policies that roll the model of `key` back.
    pub fn vouching_all(&self, key: &ModelKey) -> BTreeSet<String> {
        let mine = self.policies.iter().filter(|(_, terms)| terms.rolls_back && terms.model == key.model);
        mine.map(|(name, _)| name.clone()).collect()
    }
}
