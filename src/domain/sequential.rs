//! What the sequential layer says beside a window's numbers: the detector's e-value against its
//! threshold, and, when it alarmed, everything needed to compute that again from the finding alone.

use serde::{Deserialize, Serialize};

use super::finding::{Verdict, Window};

/// The sequential answer of one slot: one thing that may alarm, with its share of the budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sequential {
    /// `breach` after an alarm since the last window, `pass` where an interval lies inside the null,
    /// else `insufficient`. A silent detector is not a pass.
    pub verdict: Verdict,
    /// Why it is shown and never acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<String>,
    /// Why the verdict is `insufficient`, or what its reader has to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Natural logarithm of the e-value after the last pane; none before the first and right after an
    /// alarm.
    pub log_e: Option<f64>,
    /// Natural logarithm of the threshold: panes in the budget's period over the detector's share.
    pub log_threshold: f64,
    /// False alarms that this slot raises at most, on average, in `per_seconds`.
    pub share: f64,
    /// The budget's period, seconds of event time.
    pub per_seconds: u64,
    /// Panes since the detector began or last alarmed.
    pub panes: u64,
    /// What is no fault: the least and the largest rate or mean allowed, reference error and tolerance
    /// included. None where it has no single number, as for a distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<[f64; 2]>,
    /// Largest tolerance in the null, a share; what stays below it cannot be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// Rates of the groups since the version was first seen, with intervals that hold at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupSequence>,
    /// What led to a breach, or would have in a slot that may act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<Evidence>>,
}

/// The confidence sequence of one rate of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSequence {
    /// The group.
    pub group: String,
    /// Which rate: `selection_rate`, `true_positive_rate` or `false_positive_rate`.
    pub rate: String,
    /// Rows since the sequence began.
    pub n: u64,
    /// Of those, how many count.
    pub sum: u64,
    /// The interval; none where it is empty of information.
    pub interval: Option<[f64; 2]>,
}

/// Which rule alarmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The e-value reached its threshold.
    EDetector,
    /// The limit between groups is violated for certain, at the sequence's level.
    ConfidenceSequence,
}

/// An alarm, so that it can be computed again.
///
/// For an e-detector: bet `i` of a component with weight `lambda_i` has
/// `after_i = ln(1 + e^before_i) + lambda_i sum - n ln(1 + null (e^lambda_i - 1))`, with `n` and `sum`
/// as the component reads them, and `ln e = ln(mean over all bets of e^after)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Which rule.
    pub rule: Rule,
    /// The pane that it alarmed in.
    pub pane: Window,
    /// Panes since the detector or sequence began, this one included.
    pub panes: u64,
    /// `ln e` before and after the pane. None before the first pane, and for a confidence sequence.
    pub log_e_before: Option<f64>,
    /// See `log_e_before`.
    pub log_e_after: Option<f64>,
    /// For an e-detector the threshold that was reached, as a logarithm.
    pub log_threshold: Option<f64>,
    /// For a confidence sequence the level of the sequences of all groups together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// The limit that was violated, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Every component of the detector; for a confidence sequence none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentEvidence>,
    /// Components left out, the least telling first, where there was not room for all. Then `ln e`
    /// cannot be computed again from here; the finding that was published has them all.
    #[serde(default, skip_serializing_if = "none_left_out")]
    pub omitted: u64,
    /// Rates and intervals of the groups at the alarm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupSequence>,
    /// `ln e` of the same check elsewhere (features, groups) at the alarm, largest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<Moved>,
}

/// One component of an e-detector in the pane of an alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentEvidence {
    /// What it looks at, in words: `rate above`, `12.5 to 14.1 below`, `F under M`.
    pub name: String,
    /// Observations of the pane, as the component reads them (for `below`, of `1 - x`); for a pair of
    /// groups those of the lower and of the higher one.
    pub n: Vec<f64>,
    /// Their sums, likewise.
    pub sum: Vec<f64>,
    /// The null that the pane was held against; for a pair the ratio and the difference allowed.
    pub null: Vec<f64>,
    /// The reference's own bound in it, on the scale of the rate; none where the null is a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<f64>,
    /// The tolerance in it, a share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// The bets.
    pub lambda: Vec<f64>,
    /// `ln M` per bet before the pane; null for minus infinity.
    pub before: Vec<Option<f64>>,
    /// `ln M` per bet after it.
    pub after: Vec<Option<f64>>,
    /// Its part of the e-value, 0 to 1.
    pub share: f64,
}

/// How much evidence another slot of the same check holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// The feature, output or group.
    pub scope: String,
    /// Its `ln e`.
    pub log_e: f64,
}

fn none_left_out(omitted: &u64) -> bool {
    *omitted == 0
}
