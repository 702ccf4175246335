//! A finding: the answer of one check about one window. It is what checks produce and all that
//! policies see, and it carries enough (value, interval, sample sizes, reference) that a reader
//! can judge it without asking plimsoll again.

use serde::{Deserialize, Serialize};

use super::bound::Bound;
use super::key::{ModelId, ProfileHash, Segment, Tenant, Version};
use super::metric::Metric;
use super::sequential::Sequential;
use super::time::EventTime;

/// What a check says of its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The whole interval lies inside the bound.
    Pass,
    /// The whole interval lies outside the bound.
    Breach,
    /// Too little data to say either, or nothing to compute from. Never a pass.
    Insufficient,
}

impl Verdict {
    /// All verdicts, in the order in which metrics list them.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Breach, Self::Insufficient];

    /// The verdict as findings and metrics spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Breach => "breach",
            Self::Insufficient => "insufficient",
        }
    }
}

/// A slice of event time, `start` included, `end` not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// First instant of the window.
    pub start: EventTime,
    /// First instant after it.
    pub end: EventTime,
}

/// What within the model a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scope {
    /// One input of the model.
    Feature {
        /// Its configured name.
        feature: String,
    },
    /// One output: `prediction`, `score`, or plimsoll's own `anomaly` score of the record.
    Output {
        /// Which of them.
        output: String,
    },
    /// Groups of a protected attribute.
    Group {
        /// The attribute, or `a*b` for an intersection.
        group: String,
        /// The groups compared; for a difference or a ratio the two extremes, highest rate first.
        values: Vec<String>,
    },
    /// The model as a whole.
    Model {},
}

impl Scope {
    /// Whether it is a set of groups of which none was there.
    pub fn is_nobody(&self) -> bool {
        matches!(self, Self::Group { values, .. } if values.is_empty())
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Feature { feature } => f.write_str(feature),
            Self::Output { output } => f.write_str(output),
            Self::Group { group, values } => write!(f, "{group}:{}", values.join("/")),
            Self::Model {} => f.write_str("model"),
        }
    }
}

/// A feature that made records anomalous.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingOut {
    /// Its configured name.
    pub feature: String,
    /// Anomalous records of the window of which it was the strongest reason: with this
    /// feature alone at its neutral value, their score fell most.
    pub count: u64,
}

/// One answer of one check about one window of one model version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Owner of the model, where the log states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The model.
    pub model: ModelId,
    /// Its version.
    pub version: Version,
    /// The slice of event time.
    pub window: Window,
    /// Configured name of the check.
    pub check: String,
    /// What was computed.
    pub metric: Metric,
    /// The part of the traffic.
    pub segment: Segment,
    /// The feature, output or groups it is about.
    pub scope: Scope,
    /// Hash of the reference profile it was computed against.
    pub reference: Option<ProfileHash>,
    /// 0 for the first statement about this window; later ones restate it.
    pub revision: u32,
    /// The metric's value, in its own unit; none where it is not defined.
    pub value: Option<f64>,
    /// Interval for the value that the data would show without sampling error.
    pub interval: Option<[f64; 2]>,
    /// Probability of a value at least this far out if nothing had changed.
    pub p_value: Option<f64>,
    /// What the value would be on average if nothing had changed.
    pub expected: Option<f64>,
    /// Rows of the window that the value was computed from.
    pub n: u64,
    /// Rows of the reference that it was compared with.
    pub n_reference: Option<u64>,
    /// The allowed values; none for a check that is only shown.
    pub bound: Option<Bound>,
    /// The answer; none for a check that is only shown.
    pub verdict: Option<Verdict>,
    /// Why the verdict is `insufficient` or the value undefined; also which groups were too small to
    /// be compared. Else empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Anomaly rates: the features that made records anomalous, the most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standing_out: Vec<StandingOut>,
    /// What the sequential layer says; none where no policy with `decide: sequential` follows the
    /// check. `verdict` above is the window's own, which promises nothing about false alarms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequential: Option<Sequential>,
}
