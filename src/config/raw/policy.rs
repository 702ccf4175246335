//! Policies: when a model version is in violation, what is wanted then, and how freely it is done.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bound, Duration};
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
    /// `observe`: decisions are recorded and nothing is called. `recommend`: people are told, models are left alone. `approve`: what changes a model waits for a person. `auto`: the actions are taken.
    #[serde(default)]
    pub mode: Mode,
    /// `mode: approve`: how long an action waits for a person.
    #[serde(default)]
    pub approval: Approval,
    /// What must be seen in the records after a rollback.
    #[serde(default)]
    pub verify: Verify,
    /// Names of the actions to take when an incident opens.
    #[serde(default)]
    pub actions: Vec<String>,
    /// Names of the notifying actions to take where an action failed, expired, may or may not have been done, did not help, had no version to go back to, or was stopped because everything was frozen.
    #[serde(default)]
    pub escalate: Vec<String>,
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

/// A version is good to go back to after this many windows in a row in which every check passed,
/// spanning at least this much event time, and with at least this many records.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Qualify {
    /// Windows in a row.
    #[schemars(range(min = 1, max = 1000))]
    pub windows: u32,
    /// Event time that must lie between the ends of the first and the last of them.
    #[serde(rename = "for")]
    pub span: Duration,
    /// Records of the version that they must have seen.
    #[schemars(range(min = 0, max = 1_000_000_000_000_u64))]
    pub samples: u64,
}

impl Default for Qualify {
    fn default() -> Self {
        Self { windows: 2, span: Duration::from("0s"), samples: 0 }
    }
}

/// How freely a policy acts. The order is that of the freedom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Decisions are recorded, nothing is called.
    #[default]
    Observe,
    /// People are told; what would be done to a model is recorded.
    Recommend,
    /// What changes a model waits until a person approves it.
    Approve,
    /// The actions are taken.
    Auto,
}

impl Mode {
    /// The mode as configurations spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Recommend => "recommend",
            Self::Approve => "approve",
            Self::Auto => "auto",
        }
    }
}

/// How long an action waits for a person, under `mode: approve`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Approval {
    /// After this it has expired: nothing is done, and `escalate` is called.
    pub within: Duration,
}

impl Default for Approval {
    fn default() -> Self {
        Self { within: Duration::from("30m") }
    }
}

/// What the records must show after a rollback: that the traffic has moved, and that the good version
/// is inside the clear bounds.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Verify {
    /// Time in which they must show it. Default: three times the longest window of the policy's checks, and at least 5m.
    pub within: Option<Duration>,
    /// Share of the model's records that the good version must have, above 0.
    pub traffic: f64,
    /// Records of the good version that must have been seen.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub samples: u64,
}

impl Default for Verify {
    fn default() -> Self {
        Self { within: None, traffic: 0.95, samples: 100 }
    }
}
