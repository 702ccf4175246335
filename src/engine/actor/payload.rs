//! What a target is sent, and how much of the evidence fits: receivers of Standard Webhooks expect
//! a body below 20 kB, and an entry of the audit log stays below 64 KiB so that it fits a tile of a
//! transparency log (whose entries have a 16-bit length).

use serde_json::{Value, json};

use crate::domain::{Decision, EventTime, Finding, Verdict, Version};
use crate::safety::ActionKind;

use super::entry::{canonical, to_value};

/// A request body has fewer bytes than this.
pub const BODY_BYTES: usize = 20_000;
/// The evidence in an audit entry has at most this many bytes.
pub const EVIDENCE_BYTES: usize = 32_768;

/// At most `limit` bytes of `items` as JSON, breaches first, else in their order; and how many
/// were left out.
fn fitting(findings: &[Finding], limit: usize, size: impl Fn(&Finding) -> usize) -> (Vec<&Finding>, u64) {
    let total: usize = findings.iter().map(&size).sum();
    if total <= limit {
        return (findings.iter().collect(), 0);
    }
    let (breaches, others): (Vec<_>, Vec<_>) =
        findings.iter().partition(|finding| finding.verdict == Some(Verdict::Breach));
    let mut used = 0;
    let mut taken = Vec::new();
    for finding in breaches.into_iter().chain(others) {
        let bytes = size(finding);
        if used + bytes <= limit {
            used += bytes;
            taken.push(finding);
        }
    }
    let omitted = (findings.len() - taken.len()) as u64;
    (taken, omitted)
}

/// `decision` with no more evidence than an audit entry may hold, and how many findings were left out.
pub(super) fn bounded(decision: Decision) -> (Decision, u64) {
    let (taken, omitted) = fitting(&decision.evidence, EVIDENCE_BYTES, |f| canonical(&to_value(f)).len() + 1);
    if omitted == 0 {
        return (decision, 0);
    }
    let evidence = taken.into_iter().cloned().collect();
    (Decision { evidence, ..decision }, omitted)
}

/// The parts of a finding that a receiver needs to judge the request.
fn evidence(finding: &Finding) -> Value {
    json!({
        "check": finding.check,
        "metric": finding.metric,
        "scope": to_value(&finding.scope),
        "segment": finding.segment,
        "value": finding.value,
        "interval": finding.interval,
        "bound": finding.bound,
        "verdict": finding.verdict,
        "n": finding.n,
        "window": to_value(&finding.window),
    })
}

/// What is sent for one action.
pub(super) struct Request<'a> {
    /// Id of the action.
    pub(super) action_id: &'a str,
    /// Its configured name.
    pub(super) action: &'a str,
    /// What it is for.
    pub(super) kind: ActionKind,
    /// The decision that asks for it.
    pub(super) decision: &'a Decision,
    /// Findings that the decision has lost already.
    pub(super) omitted: u64,
    /// The version to go back to.
    pub(super) to_version: Option<&'a Version>,
}

impl Request<'_> {
    /// The body, made at wall time `now`; or why there can be none.
    pub(super) fn payload(&self, now: i64) -> Result<Value, String> {
        let decision = self.decision;
        let event = match self.kind {
            ActionKind::Rollback => "plimsoll.rollback.requested",
            ActionKind::Retrain => "plimsoll.retrain.requested",
            ActionKind::Notify => "plimsoll.notification",
        };
        let mut data = json!({
            "action_id": self.action_id,
            "action": self.action,
            "policy": decision.policy,
            "model": decision.key.model,
            "version": decision.key.version,
            "segment": decision.key.segment,
            "decision": {"id": decision.id, "kind": decision.kind},
            "since": decision.since,
            "at": decision.at,
            "evidence": [],
            "evidence_omitted": self.omitted + decision.evidence.len() as u64,
        });
        if let Some(tenant) = &decision.key.tenant {
            data["tenant"] = to_value(tenant);
        }
        if let Some(version) = self.to_version {
            data["to_version"] = to_value(version);
        }
        let mut payload = json!({
            "id": self.action_id,
            "type": event,
            "time": EventTime::from_millis(now),
            "data": data,
        });
        let bare = canonical(&payload).len();
        if bare >= BODY_BYTES {
            return Err(format!("the request would have {bare} bytes, and {BODY_BYTES} are too many"));
        }
        let size = |finding: &Finding| canonical(&evidence(finding)).len() + 1;
        let (taken, omitted) = fitting(&decision.evidence, BODY_BYTES - 1 - bare, size);
        payload["data"]["evidence"] = taken.into_iter().map(evidence).collect();
        payload["data"]["evidence_omitted"] = (self.omitted + omitted).into();
        Ok(payload)
    }
}
