//! What the actor is told at start, as plain data: which policies may act, and which actions there are.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::safety::{ActionKind, Idempotency, PolicyMode};

/// One configured action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionSpec {
    /// Its configured name; policies name it, and so does the adapter that knows its target.
    pub name: String,
    /// What it is for.
    pub kind: ActionKind,
    /// How long after the decision an attempt may begin.
    pub deadline: Duration,
    /// Where it goes, in words that hold no secret and that change when the place changes: an
    /// action that was interrupted by a restart is never repeated at another place.
    pub target: String,
    /// What the target makes of a repetition.
    pub idempotency: Idempotency,
}

/// What the actor is told at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Mode by policy name. A policy that is not in it observes.
    pub modes: BTreeMap<String, PolicyMode>,
    /// The configured actions. A decision may name others only after the configuration changed;
    /// they are in its audit entry, and nothing is done about them.
    pub actions: Vec<ActionSpec>,
    /// What the first audit entry after a start says of this process (version, hash of the
    /// configuration, ...). No secrets.
    pub started: BTreeMap<String, String>,
}

impl Config {
    /// The mode of `policy`.
    pub fn mode(&self, policy: &str) -> PolicyMode {
        self.modes.get(policy).copied().unwrap_or_default()
    }

    /// The action named `name`.
    pub fn action(&self, name: &str) -> Option<&ActionSpec> {
        self.actions.iter().find(|spec| spec.name == name)
    }
}
