//! What holds for all actions together.

use std::time::Duration;

/// Limits on what is done to models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Safety {
    /// How long a model is left alone after an action of a kind.
    pub cooldown: Cooldown,
    /// Rollbacks and retrainings of one model.
    pub per_model: Allowance,
    /// Rollbacks and retrainings of all models together.
    pub fleet: Allowance,
    /// When everything is frozen.
    pub fleet_alarm: FleetAlarm,
    /// When a target is left alone.
    pub breaker: Breaker,
}

/// How long a model is left alone; zero for not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooldown {
    /// Between two rollbacks.
    pub rollback: Duration,
    /// Between two retrainings.
    pub retrain: Duration,
}

/// So many actions in any such span of wall time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Actions; at least 1.
    pub count: u32,
    /// The span; above zero.
    pub per: Duration,
}

/// When so many models want a change at once that the records are to be suspected; all three must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FleetAlarm {
    /// Different models; at least 2.
    pub models: u32,
    /// Their share of all models that a policy watches; above 0, at most 1.
    pub share: f64,
    /// Wall time between the first and the last of them; above zero.
    pub within: Duration,
}

/// When a target is left alone because it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Failed actions in a row; at least 1.
    pub failures: u32,
    /// How long; above zero.
    pub open_for: Duration,
}
