//! What a check asks, and how its answer becomes a finding with a verdict.

use crate::domain::metric::Family;
use crate::domain::{Bound, Finding, Metric, ModelKey, Scope, StandingOut, Verdict, Window};
use crate::profile::Profile;
use crate::sketch::{Layout, Summary};
use crate::stats::Interval;
use crate::window::WindowSpec;

use super::sequential::Settings;
use super::{anomaly, drift, fairness, latency, performance, quality, traffic};

/// What within the model a check looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Columns of the layout, by index.
    Columns(Vec<usize>),
    /// Groups of the layout, by index.
    Groups(Vec<usize>),
    /// The model as a whole.
    Model,
}

/// One configured check.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckSpec {
    /// Its configured name.
    pub name: String,
    /// What it computes.
    pub metric: Metric,
    /// What it looks at.
    pub target: Target,
    /// The windows it is asked of.
    pub window: WindowSpec,
    /// The allowed values; none for a check that is only shown.
    pub bound: Option<Bound>,
    /// Rows below which the verdict is `insufficient`.
    pub min_samples: u64,
    /// Rows below which a group takes no part in comparisons of groups.
    pub min_group: u64,
    /// Which quantile of the latency.
    pub quantile: f64,
    /// Confidence of intervals, between 0.5 and 1.
    pub confidence: f64,
    /// Whether it is also asked of each segment.
    pub segments: bool,
    /// Its detectors.
    pub sequential: Settings,
}

/// A window that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Whose window it is.
    pub key: &'a ModelKey,
    /// The window.
    pub span: Window,
    /// What was counted in it.
    pub summary: &'a Summary,
    /// The reference.
    pub profile: Option<&'a Profile>,
    /// Whether the window is empty because another version of the model serves.
    pub elsewhere: bool,
}

/// What a check found, before its bound is looked at.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) scope: Scope,
    pub(super) value: Option<f64>,
    pub(super) interval: Option<Interval>,
    pub(super) p_value: Option<f64>,
    pub(super) expected: Option<f64>,
    pub(super) n: u64,
    pub(super) n_reference: Option<u64>,
    /// Why there is no value, or why the value must not be judged.
    pub(super) reason: Option<String>,
    /// What a reader has to know about the value, which can be judged all the same.
    pub(super) note: Option<String>,
    pub(super) standing_out: Vec<StandingOut>,
}

impl Answer {
    /// An answer without a value.
    pub(super) fn undefined(scope: Scope, n: u64, reason: impl Into<String>) -> Self {
        Self {
            scope,
            value: None,
            interval: None,
            p_value: None,
            expected: None,
            n,
            n_reference: None,
            reason: Some(reason.into()),
            note: None,
            standing_out: Vec::new(),
        }
    }

    /// An answer with a value and, where there is one, its interval.
    pub(super) fn value(scope: Scope, n: u64, value: Option<f64>, interval: Option<Interval>) -> Self {
        let mut answer = Self::undefined(scope, n, "");
        (answer.value, answer.interval) = (value, interval);
        answer.reason = value.is_none().then(|| "not defined for these counts".to_owned());
        answer
    }
}

impl CheckSpec {
    /// Asks the check of a window and appends its findings.
    pub fn evaluate(&self, asked: &Asked<'_>, layout: &Layout, out: &mut Vec<Finding>) {
        let answers = match self.metric.family() {
            Family::Drift => drift::answers(self, asked, layout),
            Family::Quality => quality::answers(self, asked, layout),
            Family::Fairness => fairness::answers(self, asked, layout),
            Family::Performance => performance::answers(self, asked),
            Family::Traffic => traffic::answers(asked),
            Family::Latency => latency::answers(self, asked),
            Family::Anomaly => anomaly::answers(self, asked, layout),
        };
        out.extend(answers.into_iter().map(|answer| self.finding(asked, answer)));
    }

    fn finding(&self, asked: &Asked<'_>, answer: Answer) -> Finding {
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        let value = finite(answer.value);
        let interval = answer
            .interval
            .filter(|interval| interval.low.is_finite() && interval.high.is_finite())
            .map(|interval| [interval.low, interval.high]);
        let (verdict, reason) = match self.bound {
            None => (None, answer.reason),
            Some(bound) => {
                let (verdict, reason) = self.judge(bound, value, interval, answer.n, answer.reason);
                (Some(verdict), reason)
            }
        };
        let reason = match (reason, answer.note) {
            (Some(reason), Some(note)) => Some(format!("{reason}; {note}")),
            (reason, note) => reason.or(note),
        };
        Finding {
            tenant: asked.key.tenant.clone(),
            model: asked.key.model.clone(),
            version: asked.key.version.clone(),
            window: asked.span,
            check: self.name.clone(),
            metric: self.metric,
            segment: asked.key.segment.clone(),
            scope: answer.scope,
            reference: asked.profile.map(|profile| profile.hash.clone()),
            revision: 0,
            value,
            interval,
            p_value: finite(answer.p_value),
            expected: finite(answer.expected),
            n: answer.n,
            n_reference: answer.n_reference,
            bound: self.bound,
            verdict,
            reason,
            standing_out: answer.standing_out,
            sequential: None,
        }
    }

    /// The verdict: what the interval says of the bound, if there are enough rows and no reason
    /// against judging.
    fn judge(
        &self,
        bound: Bound,
        value: Option<f64>,
        interval: Option<[f64; 2]>,
        n: u64,
        reason: Option<String>,
    ) -> (Verdict, Option<String>) {
        if reason.is_some() {
            return (Verdict::Insufficient, reason);
        }
        let counted = matches!(self.metric.family(), Family::Traffic);
        if n < self.min_samples && !counted {
            return (
                Verdict::Insufficient,
                Some(format!("{n} rows, and the check asks for {}", self.min_samples)),
            );
        }
        let verdict = match (value, interval) {
            (_, Some([low, high])) => bound.judge(low, high),
            // A count is what it is: there is no sampling error in how many rows came.
            (Some(value), None) if counted => bound.judge(value, value),
            (Some(_), None) => {
                return (Verdict::Insufficient, Some("no interval could be computed".to_owned()));
            }
            (None, None) => return (Verdict::Insufficient, Some("not defined for these counts".to_owned())),
        };
        let reason = (verdict == Verdict::Insufficient)
            .then(|| format!("the {} % interval reaches over the bound", self.confidence * 100.0));
        (verdict, reason)
    }
}
