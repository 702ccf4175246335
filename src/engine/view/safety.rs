//! What the actor shows of the fleet: what stands still, which versions are good, and what the targets
//! and budgets still allow.

use serde::Serialize;

use crate::domain::{EventTime, ModelId, Tenant, Version};

/// Something that a person, or plimsoll itself, has stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stop {
    /// Who stopped it; `plimsoll` where too many models left their bounds at once.
    pub who: String,
    /// Why.
    pub reason: String,
    /// Wall time, milliseconds since the epoch.
    pub at: i64,
}

/// A model that nothing may be done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HoldView {
    /// Owner of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The model.
    pub model: ModelId,
    /// Who holds it, and why.
    #[serde(flatten)]
    pub stop: Stop,
}

/// What the ledger knows of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VersionView {
    /// Owner of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The model.
    pub model: ModelId,
    /// The version.
    pub version: Version,
    /// `candidate`, `good` or `condemned`.
    pub standing: &'static str,
    /// Event time at which it was first seen to take traffic; none where nobody has said.
    pub first_seen: Option<EventTime>,
    /// Event time at which it was last seen to take traffic.
    pub last_seen: Option<EventTime>,
    /// Event time at which it last qualified under each policy, by policy.
    pub qualified: Vec<(String, EventTime)>,
    /// Why it is condemned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether a rollback of the model would go to it.
    pub last_known_good: bool,
}

/// A target that is left alone because it failed too often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BreakerView {
    /// Configured name of the action.
    pub action: String,
    /// `closed`, `open` or `half_open`.
    pub state: &'static str,
    /// Failures in a row.
    pub failures: u32,
    /// Wall time at which one more attempt is allowed, milliseconds since the epoch.
    pub until: Option<i64>,
}

/// The fleet, as its actor sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SafetyView {
    /// Set where everything is frozen.
    pub frozen: Option<Stop>,
    /// Models that are held, ordered.
    pub held: Vec<HoldView>,
    /// Versions, ordered.
    pub versions: Vec<VersionView>,
    /// Targets, ordered by the action's name.
    pub breakers: Vec<BreakerView>,
}
