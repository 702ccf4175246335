//! The false-alarm budget: how many false alarms a user accepts, and what it is divided over.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Duration;

/// How many false alarms may be raised on average: `count` in every `per`, over everything that
/// sequential policies follow and for any number of looks.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FalseAlarmBudget {
    /// False alarms on average, above 0; may be a fraction.
    pub count: f64,
    /// In each such span of event time; at least 1h, and at least one pane of every model.
    pub per: Duration,
    /// Chance, for each thing that is watched, that its bound on the reference is wrong; above 0, at most 0.01.
    pub reference_error: f64,
}

impl Default for FalseAlarmBudget {
    fn default() -> Self {
        Self { count: 1.0, per: Duration::from("28d"), reference_error: 0.00005 }
    }
}

/// A budget for one model alone, which then takes nothing from the one of all models.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelBudget {
    /// False alarms on average, above 0; may be a fraction. Default: as for all models.
    pub count: Option<f64>,
    /// In each such span of event time; at least 1h, and at least one pane. Default: as for all models.
    pub per: Option<Duration>,
    /// Chance, for each thing that is watched, that its bound on the reference is wrong; above 0, at most 0.01. Default: as for all models.
    pub reference_error: Option<f64>,
}

/// What of a model may be live at once. The false-alarm budget is divided over all of it; what comes
/// on top is shown and does not act.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Live {
    /// Versions that take traffic at the same time.
    #[schemars(range(min = 1, max = 1000))]
    pub versions: u32,
    /// Owners of the model.
    #[schemars(range(min = 1, max = 1000))]
    pub tenants: u32,
    /// Confidence sequences that may begin in the budget's span of time for each of them: one for each new version, and one each time their state is lost.
    #[schemars(range(min = 1, max = 1000))]
    pub starts: u32,
}

impl Default for Live {
    fn default() -> Self {
        Self { versions: 2, tenants: 1, starts: 4 }
    }
}
