//! What a caller may ask findings, decisions and actions for. An unknown parameter is refused: a
//! misspelt filter that is silently ignored would show everything and look like an answer.

use std::sync::Arc;

use serde::Deserialize;

use crate::domain::{Decision, EventTime, Finding, Metric, ModelKey, Segment, Tenant, Verdict};
use crate::engine::view::{ActionView, View};
use crate::telemetry::current;

/// Entries in an answer where the caller names no limit.
const DEFAULT_LIMIT: usize = 100;
/// Entries in an answer at most.
const LARGEST_LIMIT: usize = 10_000;

/// A verdict to filter by; `none` stands for a check without a bound.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Judged {
    Pass,
    Breach,
    Insufficient,
    None,
}

impl Judged {
    fn matches(self, verdict: Option<Verdict>) -> bool {
        verdict
            == match self {
                Self::Pass => Some(Verdict::Pass),
                Self::Breach => Some(Verdict::Breach),
                Self::Insufficient => Some(Verdict::Insufficient),
                Self::None => None,
            }
    }
}

/// Parameters of `/api/v1/findings`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Findings {
    tenant: Option<String>,
    model: Option<String>,
    version: Option<String>,
    check: Option<String>,
    metric: Option<Metric>,
    verdict: Option<Judged>,
    segment: Option<Segment>,
    /// Windows that end at or after this point.
    since: Option<EventTime>,
    limit: Option<usize>,
    /// Only the findings of each check's newest window.
    latest: bool,
}

fn asked(wanted: Option<&String>, value: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == value)
}

fn asked_tenant(wanted: Option<&String>, tenant: Option<&Tenant>) -> bool {
    asked(wanted, tenant.map_or("", Tenant::as_str))
}

fn limit(wanted: Option<usize>) -> usize {
    wanted.unwrap_or(DEFAULT_LIMIT).min(LARGEST_LIMIT)
}

impl Findings {
    fn matches(&self, finding: &Finding) -> bool {
        asked_tenant(self.tenant.as_ref(), finding.tenant.as_ref())
            && asked(self.model.as_ref(), finding.model.as_str())
            && asked(self.version.as_ref(), finding.version.as_str())
            && asked(self.check.as_ref(), &finding.check)
            && self.metric.is_none_or(|metric| metric == finding.metric)
            && self.verdict.is_none_or(|judged| judged.matches(finding.verdict))
            && self.segment.as_ref().is_none_or(|segment| *segment == finding.segment)
            && self.since.is_none_or(|since| finding.window.end >= since)
    }

    /// The findings asked for, newest window first; of the same window in the order of the view.
    pub(super) fn select(&self, view: &View) -> Vec<Arc<Finding>> {
        let mut found: Vec<&Arc<Finding>> =
            if self.latest { current(view) } else { view.recent.iter().rev().collect() };
        found.retain(|finding| self.matches(finding));
        found.sort_by_key(|finding| std::cmp::Reverse(finding.window.end));
        found.into_iter().take(limit(self.limit)).map(Arc::clone).collect()
    }
}

/// Parameters of `/api/v1/decisions` and `/api/v1/actions`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Events {
    tenant: Option<String>,
    model: Option<String>,
    version: Option<String>,
    policy: Option<String>,
    limit: Option<usize>,
}

impl Events {
    fn matches(&self, key: &ModelKey, policy: &str) -> bool {
        asked_tenant(self.tenant.as_ref(), key.tenant.as_ref())
            && asked(self.model.as_ref(), key.model.as_str())
            && asked(self.version.as_ref(), key.version.as_str())
            && asked(self.policy.as_ref(), policy)
    }

    /// The decisions asked for, newest first.
    pub(super) fn decisions(&self, view: &View) -> Vec<Arc<Decision>> {
        let newest = view.decisions.iter().rev();
        let found = newest.filter(|decision| self.matches(&decision.key, &decision.policy));
        found.take(limit(self.limit)).map(Arc::clone).collect()
    }

    /// The actions asked for, newest first.
    pub(super) fn actions(&self, view: &View) -> Vec<ActionView> {
        let newest = view.actions.iter().rev();
        let found = newest.filter(|action| self.matches(&action.key, &action.policy));
        found.take(limit(self.limit)).cloned().collect()
    }
}
