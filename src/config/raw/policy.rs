//! Policies and the actions they may ask for.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bound, Duration, SecretRef};
use crate::policy;

/// When a model version counts as in violation, and what is wanted then.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name in decisions.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// The model that it is about.
    pub model: String,
    /// Names of that model's checks, each with a bound where the policy decides by windows.
    #[schemars(length(min = 1))]
    pub checks: Vec<String>,
    /// `sequential`: an alarm within the false-alarm budget opens an incident. `window`: windows beyond their bounds do, at no stated error rate. Default: `sequential` where an action is a rollback or a retraining, else `window`.
    #[serde(default)]
    pub decide: Option<Decide>,
    /// Let a rule over windows ask for rollbacks and retraining, although its error rate is not known.
    #[serde(default)]
    pub window_may_act: bool,
    /// `decide: window`: what opens an incident. A sequential policy needs one alarm, and takes none.
    #[serde(default)]
    pub violate: Option<Violate>,
    /// What closes it.
    #[serde(default)]
    pub clear: Clear,
    /// What makes a version good to go back to.
    #[serde(default)]
    pub qualify: Qualify,
    /// `observe`: decisions are recorded and nothing is called. `auto`: the actions are taken.
    #[serde(default)]
    pub mode: Mode,
    /// Names of the actions to take when an incident opens.
    #[serde(default)]
    pub actions: Vec<String>,
}

/// By what a policy decides that a model version is in violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decide {
    /// By detectors with a stated rate of false alarms, whatever the number of looks.
    Sequential,
    /// By windows beyond their bounds, some of the last few.
    Window,
}

impl From<Decide> for policy::Decide {
    fn from(raw: Decide) -> Self {
        match raw {
            Decide::Sequential => Self::Sequential,
            Decide::Window => Self::Window,
        }
    }
}

/// An incident opens after this many windows with a breach among the last so many.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Violate {
    /// Windows with a breach.
    #[schemars(range(min = 1, max = 1000))]
    pub windows: u32,
    /// Among this many windows.
    #[schemars(range(min = 1, max = 1000))]
    pub of: u32,
}

impl Default for Violate {
    fn default() -> Self {
        Self { windows: 3, of: 4 }
    }
}

/// An incident closes after this many windows in a row inside the clear bounds.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Clear {
    /// Windows in a row.
    #[schemars(range(min = 1, max = 1000))]
    pub windows: u32,
    /// Per check, a bound inside the check's own; default: the check's own.
    pub bounds: BTreeMap<String, Bound>,
}

impl Default for Clear {
    fn default() -> Self {
        Self { windows: 3, bounds: BTreeMap::new() }
    }
}

/// A version is good to go back to after this many windows in a row in which every check passed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Qualify {
    /// Windows in a row.
    #[schemars(range(min = 1, max = 1000))]
    pub windows: u32,
}

impl Default for Qualify {
    fn default() -> Self {
        Self { windows: 2 }
    }
}

/// Whether a policy acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Decisions are recorded, nothing is called.
    #[default]
    Observe,
    /// The actions are taken.
    Auto,
}

/// Something that policies may ask for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Its name.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// What it is for: `rollback` (to the last good version), `retrain`, `notify`.
    pub kind: ActionKind,
    /// What carries it out: `dry_run` only records it, `webhook` calls an address.
    #[serde(default)]
    pub target: TargetKind,
    /// The address for `target: webhook`.
    #[serde(default)]
    pub webhook: Option<Webhook>,
    /// No further attempt is made after this.
    #[serde(default = "five_minutes")]
    pub deadline: Duration,
}

fn five_minutes() -> Duration {
    Duration::from("5m")
}

/// What an action is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Back to the last version that qualified.
    Rollback,
    /// Train a new version.
    Retrain,
    /// Tell somebody.
    Notify,
}

impl ActionKind {
    /// The kind as configurations and the API spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Retrain => "retrain",
            Self::Notify => "notify",
        }
    }

    /// Whether it changes what a model does, and does not only tell somebody.
    pub const fn acts(self) -> bool {
        matches!(self, Self::Rollback | Self::Retrain)
    }
}

/// What carries out an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// Only recorded.
    #[default]
    DryRun,
    /// A signed HTTP call.
    Webhook,
}

/// A signed call (Standard Webhooks).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Address; `https`, or `http` on a loopback address.
    pub url: String,
    /// Key that signs the call.
    pub secret: SecretRef,
    /// PEM file with the authorities that sign the server's certificate; default: those of the system.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// How long one attempt may take.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
}

fn ten_seconds() -> Duration {
    Duration::from("10s")
}
