//! The incident state machine of one policy on one model version. `k of n` windows with a breach
//! open an incident; consecutive windows inside the clear bounds close it. Insufficient data never
//! moves towards an incident and never closes one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::identity::decision_id;
use super::spec::PolicySpec;
use crate::domain::{Decision, DecisionKind, EventTime, Finding, ModelKey, Verdict};

/// What was found about one model version at the end of some windows.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// End of the windows.
    pub at: EventTime,
    /// Findings of all checks at that point; those of other policies are passed over.
    pub findings: &'a [Arc<Finding>],
    /// Whether the version had any row in the windows of this policy's checks.
    pub traffic: bool,
    /// False while windows from before a restart are gone through again: they fill the history,
    /// and what they led to was decided then.
    pub live: bool,
}

/// An open incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incident {
    /// End of the window that opened it.
    pub since: EventTime,
}

/// One policy's view of one model version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyMachine {
    /// Combined verdicts of the last windows, oldest first.
    history: VecDeque<Verdict>,
    /// Each check's last verdict, under its own and under its clear bound.
    last: BTreeMap<String, (Verdict, Verdict)>,
    incident: Option<Incident>,
    passes: usize,
    clears: usize,
    silent: usize,
    qualified: bool,
    judged: bool,
}

impl PolicyMachine {
    /// The open incident.
    pub fn incident(&self) -> Option<Incident> {
        self.incident
    }

    /// The last combined verdict, if a window with enough data was judged at all.
    pub fn latest(&self) -> Option<Verdict> {
        self.judged.then(|| self.history.back().copied()).flatten()
    }

    /// Takes up an incident that was opened before a restart.
    pub fn restore(&mut self, incident: Incident) {
        self.incident = Some(incident);
    }

    /// Takes one step: the machine afterwards, and what the policy then wants.
    pub fn step(mut self, spec: &PolicySpec, key: &ModelKey, step: Step<'_>) -> (Self, Vec<Decision>) {
        let mine = || step.findings.iter().filter(|finding| spec.checks.contains(&finding.check));
        if mine().next().is_none() {
            return (self, Vec::new());
        }
        self.take(spec, mine());
        let combined = combine(self.last.values().map(|(verdict, _)| *verdict));
        let clear = combine(self.last.values().map(|(_, verdict)| *verdict));
        self.judged |= combined != Verdict::Insufficient;
        self.history.push_back(combined);
        while self.history.len() > spec.violate.n {
            self.history.pop_front();
        }
        self.passes = if combined == Verdict::Pass { self.passes + 1 } else { 0 };
        self.clears = if clear == Verdict::Pass { self.clears + 1 } else { 0 };
        self.silent = if step.traffic { 0 } else { self.silent + 1 };
        if !step.live {
            return (self, Vec::new());
        }
        let evidence: Vec<Finding> = mine().map(|finding| (**finding).clone()).collect();
        let decide = |kind: DecisionKind, since: EventTime| Decision {
            id: decision_id(kind, &spec.name, key, since),
            kind,
            policy: spec.name.clone(),
            key: key.clone(),
            since,
            at: step.at,
            actions: if kind == DecisionKind::Qualified { Vec::new() } else { spec.actions.clone() },
            evidence,
        };
        let breaches = self.history.iter().filter(|verdict| **verdict == Verdict::Breach).count();
        let decision = match self.incident {
            None if breaches >= spec.violate.k && combined == Verdict::Breach => {
                self.incident = Some(Incident { since: step.at });
                self.qualified = false;
                self.clears = 0;
                Some(decide(DecisionKind::Violated, step.at))
            }
            None if !self.qualified && self.passes >= spec.qualify_windows => {
                self.qualified = true;
                Some(decide(DecisionKind::Qualified, step.at))
            }
            None => None,
            Some(incident) if self.clears >= spec.clear_windows => {
                self.close();
                Some(decide(DecisionKind::Cleared, incident.since))
            }
            Some(incident) if self.silent >= spec.clear_windows => {
                self.close();
                Some(decide(DecisionKind::Withdrawn, incident.since))
            }
            Some(_) => None,
        };
        (self, decision.into_iter().collect())
    }

    /// Notes each check's verdict. A check that was not asked at this point keeps its last answer.
    fn take<'a>(&mut self, spec: &PolicySpec, findings: impl Iterator<Item = &'a Arc<Finding>>) {
        let mut fresh: BTreeMap<&str, (Verdict, Verdict)> = BTreeMap::new();
        for finding in findings {
            let verdict = finding.verdict.unwrap_or(Verdict::Insufficient);
            let clear = match (spec.clear_bounds.get(&finding.check), verdict, finding.interval) {
                (None, verdict, _) => verdict,
                (Some(_), Verdict::Insufficient, _) | (Some(_), _, None) => Verdict::Insufficient,
                (Some(bound), _, Some([low, high])) => bound.judge(low, high),
            };
            let entry = fresh.entry(&finding.check).or_insert((Verdict::Pass, Verdict::Pass));
            *entry = (combine([entry.0, verdict]), combine([entry.1, clear]));
        }
        for (check, verdicts) in fresh {
            self.last.insert(check.to_owned(), verdicts);
        }
    }

    /// Closes the incident. The history goes with it: the windows that opened this incident must
    /// not open the next one.
    fn close(&mut self) {
        self.incident = None;
        self.history.clear();
        self.passes = 0;
        self.silent = 0;
    }
}

/// One verdict for several: a breach anywhere is a breach, a pass needs a pass everywhere.
fn combine(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    let mut combined = Verdict::Pass;
    for verdict in verdicts {
        combined = match (combined, verdict) {
            (Verdict::Breach, _) | (_, Verdict::Breach) => Verdict::Breach,
            (Verdict::Insufficient, _) | (_, Verdict::Insufficient) => Verdict::Insufficient,
            (Verdict::Pass, Verdict::Pass) => Verdict::Pass,
        };
    }
    combined
}
