//! What a target is sent, and how much of the evidence fits: receivers of Standard Webhooks expect
//! a body below 20 kB, and an entry of the audit log stays below 64 KiB so that it fits a tile of a
//! transparency log (whose entries have a 16-bit length).

use serde_json::{Value, json};

use crate::domain::{Decide, Decision, EventTime, Finding, Verdict, Version};
use crate::safety::ActionKind;

use super::entry::{canonical, to_value};
use super::task::Escalation;

/// A request body has fewer bytes than this.
pub const BODY_BYTES: usize = 20_000;
/// The evidence in an audit entry has at most this many bytes.
pub const EVIDENCE_BYTES: usize = 32_768;

/// Whether a finding is a breach in the eyes of a policy that decides by `decide`.
fn breach(finding: &Finding, decide: Decide) -> bool {
    match decide {
        Decide::Window => finding.verdict == Some(Verdict::Breach),
        Decide::Sequential => {
            finding.sequential.as_ref().is_some_and(|sequential| sequential.verdict == Verdict::Breach)
        }
    }
}

/// At most `limit` bytes of `findings` as JSON, what led to the decision first, else in their order;
/// and how many were left out.
fn fitting(
    findings: &[Finding],
    decide: Decide,
    limit: usize,
    size: impl Fn(&Finding) -> usize,
) -> (Vec<&Finding>, u64) {
    let total: usize = findings.iter().map(&size).sum();
    if total <= limit {
        return (findings.iter().collect(), 0);
    }
    let (breaches, others): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| breach(finding, decide));
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

/// `decision` with at most `limit` bytes of evidence as JSON, what led to it first, and how many
/// findings were left out.
pub(in crate::engine) fn bounded(mut decision: Decision, limit: usize) -> (Decision, u64) {
    let size = |finding: &Finding| canonical(&to_value(finding)).len() + 1;
    let decide = decision.decide;
    for finding in decision.evidence.iter_mut().filter(|finding| breach(finding, decide)) {
        if size(finding) > limit / 2 {
            shorten(finding, limit / 2, size);
        }
    }
    let (taken, omitted) = fitting(&decision.evidence, decide, limit, size);
    if omitted == 0 {
        return (decision, 0);
    }
    let evidence = taken.into_iter().cloned().collect();
    (Decision { evidence, ..decision }, omitted)
}

/// Leaves out the components of an alarm that carry least of it, until the finding has at most
/// `limit` bytes: a column of many categories has more of them than an entry has room for, and the
/// alarm itself must be in it.
fn shorten(finding: &mut Finding, limit: usize, size: impl Fn(&Finding) -> usize) {
    let components = |finding: &mut Finding| {
        let evidence = finding.sequential.as_mut()?.evidence.as_deref_mut()?;
        evidence.components.sort_by(|a, b| b.share.total_cmp(&a.share));
        Some(evidence.components.len())
    };
    let Some(mut kept) = components(finding) else {
        return;
    };
    while size(finding) > limit && kept > 1 {
        kept = kept.div_ceil(2);
        if let Some(evidence) = finding.sequential.as_mut().and_then(|it| it.evidence.as_deref_mut()) {
            evidence.omitted += (evidence.components.len() - kept) as u64;
            evidence.components.truncate(kept);
        }
    }
}

/// The alarm that a receiver may want to see: how sure it is, and where it is.
fn alarm(finding: &Finding) -> Option<Value> {
    let sequential = finding.sequential.as_ref()?;
    let evidence = sequential.evidence.as_deref()?;
    let most = evidence.components.iter().max_by(|a, b| a.share.total_cmp(&b.share));
    Some(json!({
        "verdict": sequential.verdict,
        "rule": evidence.rule,
        "pane": to_value(&evidence.pane),
        "log_e": evidence.log_e_after,
        "log_threshold": evidence.log_threshold,
        "alpha": evidence.alpha,
        "part": most.map(|component| component.name.as_str()),
        "false_alarms_at_most": sequential.share,
        "per_seconds": sequential.per_seconds,
    }))
}

/// The parts of a finding that a receiver needs to judge the request.
fn evidence(finding: &Finding) -> Value {
    let mut shown = json!({
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
    });
    if let Some(alarm) = alarm(finding) {
        shown["alarm"] = alarm;
    }
    shown
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
    /// Hash of the sealed evidence.
    pub(super) evidence: Option<&'a str>,
    /// Of an escalation: what needs a person, and why.
    pub(super) escalation: Option<&'a Escalation>,
}

impl Request<'_> {
    /// The body, made at wall time `now`; or why there can be none.
    pub(super) fn payload(&self, now: i64) -> Result<Value, String> {
        let decision = self.decision;
        let event = match self.kind {
            ActionKind::Notify if self.escalation.is_some() => "plimsoll.escalation",
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
            "decision": {"id": decision.id, "kind": decision.kind, "decide": decision.decide},
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
        if let Some(evidence) = self.evidence {
            data["evidence_sha256"] = evidence.into();
        }
        if let Some(escalation) = self.escalation {
            data["escalation"] = json!({
                "action_id": escalation.action_id,
                "action": escalation.action,
                "reason": escalation.reason,
                "detail": escalation.detail,
            });
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
        let (taken, omitted) = fitting(&decision.evidence, decision.decide, BODY_BYTES - 1 - bare, size);
        payload["data"]["evidence"] = taken.into_iter().map(evidence).collect();
        payload["data"]["evidence_omitted"] = (self.omitted + omitted).into();
        Ok(payload)
    }
}
