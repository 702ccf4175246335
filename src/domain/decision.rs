//! A decision: what a policy wants, not what is done about it. Its id follows from its content, so
//! that the same log gives the same decisions under the same ids whoever reads it, and nothing is
//! ever done twice because something was read twice.

use serde::{Deserialize, Serialize};

use super::finding::Finding;
use super::key::ModelKey;
use super::time::EventTime;

/// What a policy says of a model version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// Every check of the policy passed for as many windows as it asks: a version to go back to.
    Qualified,
    /// The version has left its bounds: an incident opens.
    Violated,
    /// It is inside its clear bounds again: the incident closes.
    Cleared,
    /// It takes no traffic any more: the incident closes, without the version having recovered.
    Withdrawn,
}

impl DecisionKind {
    /// The kind as the API and metrics spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qualified => "qualified",
            Self::Violated => "violated",
            Self::Cleared => "cleared",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// By what a policy decides that a model version has left its bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decide {
    /// By e-detectors and confidence sequences, whose false alarms are within the configured
    /// budget however often they are looked at: one alarm is enough.
    Sequential,
    /// By windows beyond their bounds, `k` of the last `n`, which have no stated error rate.
    #[default]
    Window,
}

impl Decide {
    /// The word of the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Window => "window",
        }
    }
}

/// What a policy wants, with the findings that led to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// 32 hexadecimal digits that follow from kind, policy, key and incident start.
    pub id: String,
    /// What the policy says.
    pub kind: DecisionKind,
    /// Its configured name.
    pub policy: String,
    /// By what it decides: only `sequential` is within the false-alarm budget.
    #[serde(default)]
    pub decide: Decide,
    /// The model version (and segment) it is about.
    pub key: ModelKey,
    /// End of the window in which the incident began; of the deciding window for `qualified`.
    pub since: EventTime,
    /// End of the window that decided.
    pub at: EventTime,
    /// Names of the actions that the policy configures. A violation asks for all of them; that an
    /// incident is over is worth a notification at most.
    pub actions: Vec<String>,
    /// The findings of the deciding window.
    pub evidence: Vec<Finding>,
}

/// The incidents that `decisions` (oldest first) leave open: those `violated` without a `cleared` or
/// `withdrawn` of the same policy and key after them, oldest first.
pub fn open_incidents<'a>(decisions: impl IntoIterator<Item = &'a Decision>) -> Vec<&'a Decision> {
    let mut open: Vec<&Decision> = Vec::new();
    for decision in decisions {
        let same = |other: &&Decision| other.policy == decision.policy && other.key == decision.key;
        match decision.kind {
            DecisionKind::Violated if !open.iter().any(same) => open.push(decision),
            DecisionKind::Cleared | DecisionKind::Withdrawn => open.retain(|other| !same(other)),
            DecisionKind::Violated | DecisionKind::Qualified => {}
        }
    }
    open
}
