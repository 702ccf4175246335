//! The words of the rules: what an action is for, what a policy permits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an action is for. The order is the order of precedence: a rollback goes before a retraining.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Take the model back to its last known good version.
    Rollback,
    /// Ask for a new version to be trained; never puts it into service.
    Retrain,
    /// Tell somebody; changes nothing.
    Notify,
}

impl ActionKind {
    /// The kind as configurations, the API and metrics spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Retrain => "retrain",
            Self::Notify => "notify",
        }
    }

    /// Whether the action changes a model. Of those, one at a time is under way for a model.
    pub const fn changes_model(self) -> bool {
        match self {
            Self::Rollback | Self::Retrain => true,
            Self::Notify => false,
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ActionKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Rollback, Self::Retrain, Self::Notify]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("`{text}` is not an action: write rollback, retrain or notify"))
    }
}

/// What a policy permits. The order is that of what it permits: each mode permits what those before do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyMode {
    /// Decisions are shown and recorded, and nothing is called.
    #[default]
    Observe,
    /// People are told what would be done.
    Recommend,
    /// What changes a model is done once a person has approved it.
    Approve,
    /// Actions are called without asking anybody.
    Auto,
}

impl PolicyMode {
    /// The mode as configurations spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Recommend => "recommend",
            Self::Approve => "approve",
            Self::Auto => "auto",
        }
    }

    /// Whether an action of this kind may be done at all.
    pub fn permits(self, kind: ActionKind) -> bool {
        self >= if kind.changes_model() { Self::Approve } else { Self::Recommend }
    }
}
