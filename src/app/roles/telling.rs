//! What an evaluation gave, told to people: counters, and the log lines that somebody reads at night.

use std::time::Duration;

use crate::app::explaining::alarm_line;
use crate::check::sequential::Slot;
use crate::domain::{Decision, DecisionKind, Finding};
use crate::engine::evaluator::{Evaluated, Fault};
use crate::telemetry::Telemetry;

/// Counts and logs everything in `evaluated`; it took `took`.
pub fn tell(evaluated: &Evaluated, took: Duration, telemetry: &Telemetry) {
    for fault in &evaluated.faults {
        tell_fault(fault, telemetry);
    }
    if evaluated.findings.is_empty() && evaluated.decisions.is_empty() {
        return;
    }
    telemetry.evaluation(took);
    for finding in &evaluated.findings {
        alarm(finding, &evaluated.decisions, telemetry);
    }
    for decision in &evaluated.decisions {
        telemetry.decision(decision.key.model.as_str(), &decision.policy, decision.kind);
        tracing::info!(
            decision = decision.id,
            kind = decision.kind.name(),
            policy = decision.policy,
            model = %decision.key,
            since = %decision.since,
            at = %decision.at,
            "decision"
        );
    }
}

fn tell_fault(fault: &Fault, telemetry: &Telemetry) {
    telemetry.exchange_fault(fault);
    match fault {
        Fault::Gap { source, offsets } => tracing::error!(
            partition = %source,
            from = offsets.from,
            to = offsets.to,
            "counts of these source offsets never reached the exchange; findings lack them"
        ),
        Fault::Overlap { source, offsets, seen } => tracing::error!(
            partition = %source,
            from = offsets.from,
            to = offsets.to,
            seen,
            "source offsets were read again that had been counted; their counts were refused. Was the group's \
             offset reset, or do two groups write to one exchange?"
        ),
        Fault::Foreign { key, rows } => tracing::warn!(
            model = %key,
            rows,
            "counts on another profile or layout than the configured one were refused; do all instances run \
             the same configuration?"
        ),
    }
}

/// Counts and logs the alarm that a finding carries. One that opens an incident is a warning, and rare
/// by construction. A fault that lasts alarms again and again, and a shadow may at any time; nobody has
/// to get up for those.
fn alarm(finding: &Finding, decisions: &[Decision], telemetry: &Telemetry) {
    let Some(line) = alarm_line(finding) else { return };
    telemetry.alarm(finding);
    let Some(sequential) = &finding.sequential else { return };
    let evidence = sequential.evidence.as_deref();
    let log_e = evidence.and_then(|evidence| evidence.log_e_after);
    let log_threshold = evidence.and_then(|evidence| evidence.log_threshold);
    let scope = Slot::key_of(finding.metric, &finding.scope);
    macro_rules! say {
        ($level:ident) => {
            tracing::$level!(
                model = finding.model.as_str(),
                version = finding.version.as_str(),
                check = finding.check,
                scope,
                log_e,
                log_threshold,
                "{line}; plimsoll explain --model {:?} --check {:?} --scope {:?} says why",
                finding.model.as_str(),
                finding.check,
                scope,
            )
        };
    }
    let opens =
        |decision: &Decision| decision.kind == DecisionKind::Violated && decision.evidence.contains(finding);
    if decisions.iter().any(opens) { say!(warn) } else { say!(info) }
}
