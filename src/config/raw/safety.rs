//! What holds for all actions together, whatever policies want: how soon, how many, and when to stop.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Duration;

/// Limits on what is done to models. Actions that only notify are not limited.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Safety {
    /// How long a model is left alone after an action of a kind, whatever became of it.
    pub cooldown: Cooldown,
    /// How many rollbacks and retrainings there may be.
    pub budget: ActionBudget,
    /// When so many models want a change at once that the records are to be suspected, and not the models.
    pub fleet_alarm: FleetAlarm,
    /// When a target is left alone because it fails.
    pub breaker: Breaker,
}

/// How long a model is left alone after an action of a kind.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cooldown {
    /// Between two rollbacks of a model; 0s for none.
    pub rollback: Duration,
    /// Between two retrainings of a model; 0s for none.
    pub retrain: Duration,
}

impl Default for Cooldown {
    fn default() -> Self {
        Self { rollback: Duration::from("30m"), retrain: Duration::from("6h") }
    }
}

/// How many rollbacks and retrainings there may be, together.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ActionBudget {
    /// Of one model.
    pub per_model: PerModel,
    /// Of all models together.
    pub fleet: Fleet,
}

/// How many there may be of one model.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PerModel {
    /// Actions.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub count: u32,
    /// In any span of wall time this long.
    pub per: Duration,
}

impl Default for PerModel {
    fn default() -> Self {
        Self { count: 3, per: Duration::from("24h") }
    }
}

/// How many there may be of all models together.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fleet {
    /// Actions.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub count: u32,
    /// In any span of wall time this long.
    pub per: Duration,
}

impl Default for Fleet {
    fn default() -> Self {
        Self { count: 10, per: Duration::from("24h") }
    }
}

/// Everything is frozen, until a person resumes it, where this many different models, and this share of
/// those that are watched, want a change within this time.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FleetAlarm {
    /// Different models.
    #[schemars(range(min = 2, max = 1_000_000))]
    pub models: u32,
    /// Their share of all models that a policy watches; above 0, at most 1.
    pub share: f64,
    /// Wall time between the first and the last of them.
    pub within: Duration,
}

impl Default for FleetAlarm {
    fn default() -> Self {
        Self { models: 3, share: 0.5, within: Duration::from("10m") }
    }
}

/// A target is left alone after so many failures in a row; then one action tries it again.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    /// Failed actions in a row.
    #[schemars(range(min = 1, max = 1000))]
    pub failures: u32,
    /// How long it is left alone.
    pub open_for: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 3, open_for: Duration::from("30m") }
    }
}
