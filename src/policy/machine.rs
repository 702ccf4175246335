//! The incident state machine of one policy on one model version. `k of n` windows with a breach
//! open an incident; consecutive windows inside the clear bounds close it. Insufficient data never
//! moves towards an incident and never closes one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::identity::decision_id;
use super::spec::{Decide, PolicySpec};
use crate::domain::{Bound, Decision, DecisionKind, EventTime, Finding, ModelKey, Verdict};

/// What was found about one model version at the end of some windows.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// End of the windows.
    pub at: EventTime,
    /// Findings of all checks at that point; those of other policies are passed over.
    pub findings: &'a [Arc<Finding>],
    /// Whether the version had any row in the windows of this policy's checks.
    pub traffic: bool,
    /// How many of the policy's checks are asked of this version and segment.
    pub checks: usize,
    /// Rows of the version and segment since the step before.
    pub rows: u64,
}

/// An open incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// End of the window that opened it.
    pub since: EventTime,
}

/// One policy's view of one model version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyMachine {
    /// Combined verdicts of the last windows, oldest first.
    history: VecDeque<Verdict>,
    /// Each check's last verdict, under its own and under its clear bound; none where all of it was in
    /// shadow.
    last: BTreeMap<String, Option<(Verdict, Verdict)>>,
    incident: Option<Incident>,
    passes: usize,
    clears: usize,
    silent: usize,
    qualified: bool,
    judged: bool,
    /// Since when every check passed, and the rows seen meanwhile.
    #[serde(default)]
    passing: Option<(EventTime, u64)>,
    /// Rows seen since the last window that counted.
    #[serde(default)]
    fresh_rows: u64,
    /// End of the window that closed the last incident.
    #[serde(default)]
    ended: Option<EventTime>,
}

/// A machine as the first version of the state records holds it: without what came later, which then
/// begins anew.
#[derive(Clone, Debug, Deserialize)]
pub struct FirstForm {
    history: VecDeque<Verdict>,
    last: BTreeMap<String, Option<(Verdict, Verdict)>>,
    incident: Option<Incident>,
    passes: usize,
    clears: usize,
    silent: usize,
    qualified: bool,
    judged: bool,
}

impl From<FirstForm> for PolicyMachine {
    fn from(first: FirstForm) -> Self {
        let FirstForm { history, last, incident, passes, clears, silent, qualified, judged } = first;
        Self { history, last, incident, passes, clears, silent, qualified, judged, ..Self::default() }
    }
}

impl PolicyMachine {
    /// The open incident.
    pub fn incident(&self) -> Option<Incident> {
        self.incident
    }

    /// When the last incident was closed.
    pub fn ended(&self) -> Option<EventTime> {
        self.ended
    }

    /// How the policy stands: the verdict of its checks together, under their own and under the clear
    /// bounds; none where nothing is known.
    pub fn standing(&self) -> Option<(Verdict, Verdict)> {
        let known = || self.last.values().flatten();
        known().next()?;
        Some((combine(known().map(|(own, _)| *own)), combine(known().map(|(_, clear)| *clear))))
    }

    /// The last combined verdict, if a window with enough data was judged at all.
    pub fn latest(&self) -> Option<Verdict> {
        self.judged.then(|| self.history.back().copied()).flatten()
    }

    /// What is left of it where its version takes no traffic any more, or its policy was changed:
    /// whether an incident is open, and whether the version is known to be good.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self { incident: self.incident, qualified: self.qualified, ended: self.ended, ..Self::default() }
    }

    /// Whether it can be forgotten: no incident is open.
    pub fn at_rest(&self) -> bool {
        self.incident.is_none()
    }

    /// Takes one step: the machine afterwards, and what the policy then wants.
    pub fn step(mut self, spec: &PolicySpec, key: &ModelKey, step: Step<'_>) -> (Self, Vec<Decision>) {
        self.fresh_rows = self.fresh_rows.saturating_add(step.rows);
        let mine = || step.findings.iter().filter(|finding| spec.checks.contains(&finding.check));
        if mine().next().is_none() {
            return (self, Vec::new());
        }
        // A window counts once: where checks slide differently, the step is theirs together, and in
        // between they only leave their word.
        if !self.take(spec, mine()) {
            return (self, Vec::new());
        }
        // A check in shadow opens nothing, and so keeps nothing open. Where all of them are, nobody
        // knows anything.
        let (combined, clear) = self.standing().unwrap_or((Verdict::Insufficient, Verdict::Insufficient));
        self.judged |= combined != Verdict::Insufficient;
        self.history.push_back(combined);
        while self.history.len() > spec.violate.n {
            self.history.pop_front();
        }
        // A version is good by the word of every check, and one in shadow has none.
        let passed = combined == Verdict::Pass && self.last.values().all(Option::is_some);
        self.passes = if passed { self.passes + 1 } else { 0 };
        let fresh_rows = std::mem::take(&mut self.fresh_rows);
        self.passing = passed.then(|| {
            let (since, rows) = self.passing.unwrap_or((step.at, 0));
            (since, rows.saturating_add(fresh_rows))
        });
        self.clears = if clear == Verdict::Pass { self.clears + 1 } else { 0 };
        self.silent = if step.traffic { 0 } else { self.silent + 1 };
        let evidence: Vec<Finding> = mine().map(|finding| (**finding).clone()).collect();
        let decide = |kind: DecisionKind, since: EventTime| Decision {
            id: decision_id(kind, &spec.name, key, since),
            kind,
            policy: spec.name.clone(),
            decide: spec.decide,
            key: key.clone(),
            since,
            at: step.at,
            actions: if kind == DecisionKind::Qualified { Vec::new() } else { spec.actions.clone() },
            evidence,
        };
        let breaches = self.history.iter().filter(|verdict| **verdict == Verdict::Breach).count();
        let decision = match self.incident {
            None if breaches >= spec.violate.k && combined == Verdict::Breach => {
                self.open(step.at);
                Some(decide(DecisionKind::Violated, step.at))
            }
            // A check that slides rarely and was not asked yet has not passed.
            None if !self.qualified
                && self.passes >= spec.qualify_windows
                && self.passing.is_some_and(|(since, rows)| {
                    since + spec.qualify_for <= step.at && rows >= spec.qualify_samples
                })
                && self.last.len() >= step.checks =>
            {
                self.qualified = true;
                Some(decide(DecisionKind::Qualified, step.at))
            }
            None => None,
            Some(incident) if self.clears >= spec.clear_windows => {
                self.close(step.at);
                Some(decide(DecisionKind::Cleared, incident.since))
            }
            Some(incident) if self.silent >= spec.clear_windows && combined != Verdict::Breach => {
                self.close(step.at);
                Some(decide(DecisionKind::Withdrawn, incident.since))
            }
            Some(_) => None,
        };
        (self, decision.into_iter().collect())
    }

    /// Notes each check's verdict. Says whether a step is due: every check that has one was asked at
    /// this point, or a detector raised an alarm, which is said once and would be gone by the time
    /// that checks which slide less often are asked.
    fn take<'a>(&mut self, spec: &PolicySpec, findings: impl Iterator<Item = &'a Arc<Finding>>) -> bool {
        let mut fresh: BTreeMap<&str, Option<(Verdict, Verdict)>> = BTreeMap::new();
        for finding in findings {
            let entry = fresh.entry(&finding.check).or_default();
            let Some(verdict) = said(spec.decide, finding) else {
                continue;
            };
            // A clear bound lies inside the check's own, so it can only turn a pass into less.
            // A sequential pass is inside the check's own bound without the window's interval.
            let own = |bound: &&Bound| spec.decide == Decide::Sequential && Some(**bound) == finding.bound;
            let stricter = spec.clear_bounds.get(&finding.check).filter(|bound| !own(bound));
            let clear = match (stricter, verdict) {
                (Some(bound), Verdict::Pass) => match (finding.interval, finding.value) {
                    (Some([low, high]), _) => bound.judge(low, high),
                    // A count has no sampling error, and no interval.
                    (None, Some(value)) => bound.judge(value, value),
                    (None, None) => Verdict::Insufficient,
                },
                (_, verdict) => verdict,
            };
            let (so_far, so_clear) = entry.unwrap_or((Verdict::Pass, Verdict::Pass));
            *entry = Some((combine([so_far, verdict]), combine([so_clear, clear])));
        }
        let asked = fresh.len();
        let breach = fresh.values().flatten().any(|(verdict, _)| *verdict == Verdict::Breach);
        let alarmed = spec.decide == Decide::Sequential && breach;
        for (check, verdicts) in fresh {
            self.last.insert(check.to_owned(), verdicts);
        }
        alarmed || asked == self.last.len()
    }

    fn open(&mut self, since: EventTime) {
        self.incident = Some(Incident { since });
        self.qualified = false;
        self.clears = 0;
    }

    /// Closes the incident. The history goes with it: the windows that opened this incident must
    /// not open the next one.
    fn close(&mut self, at: EventTime) {
        self.incident = None;
        self.ended = Some(at);
        self.passing = None;
        self.history.clear();
        self.passes = 0;
        self.silent = 0;
    }
}

/// What a finding says to a policy; none where it runs in shadow or has no slot, which moves nothing
/// in either direction.
fn said(decide: Decide, finding: &Finding) -> Option<Verdict> {
    match (decide, &finding.sequential) {
        (Decide::Window, _) => Some(finding.verdict.unwrap_or(Verdict::Insufficient)),
        (Decide::Sequential, Some(sequential)) => sequential.shadow.is_none().then_some(sequential.verdict),
        // No group has rows: that is not knowing.
        (Decide::Sequential, None) if finding.scope.is_nobody() => Some(Verdict::Insufficient),
        (Decide::Sequential, None) => None,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Metric, Scope, Segment, Window};
    use crate::policy::KOfN;

    fn spec() -> PolicySpec {
        PolicySpec {
            name: "fair".into(),
            checks: vec!["ratio".into()],
            decide: Decide::Window,
            violate: KOfN { k: 2, n: 3 },
            clear_windows: 2,
            clear_bounds: BTreeMap::new(),
            qualify_windows: 2,
            qualify_for: std::time::Duration::ZERO,
            qualify_samples: 0,
            actions: vec![],
        }
    }

    fn key() -> ModelKey {
        let version = "v2".into();
        ModelKey { tenant: None, model: "credit".into(), version, segment: Segment::All, profile: None }
    }

    fn step(machine: &mut PolicyMachine, second: i64, verdict: Verdict) -> Vec<Decision> {
        let at = EventTime::from_millis(second * 1000);
        let finding = Finding {
            tenant: None,
            model: "credit".into(),
            version: "v2".into(),
            window: Window { start: at, end: at },
            check: "ratio".into(),
            metric: Metric::SelectionRateRatio,
            segment: Segment::All,
            scope: Scope::Model {},
            reference: None,
            revision: 0,
            value: None,
            interval: None,
            p_value: None,
            expected: None,
            n: 100,
            n_reference: None,
            bound: "<= 1".parse::<Bound>().ok(),
            verdict: Some(verdict),
            reason: None,
            standing_out: Vec::new(),
            sequential: None,
        };
        let step = Step { at, findings: &[Arc::new(finding)], traffic: true, checks: 1, rows: 100 };
        let (next, decisions) = std::mem::take(machine).step(&spec(), &key(), step);
        *machine = next;
        decisions
    }

    /// Passes, an incident, its end, and breaches again.
    const STORY: &str = "ppppbbbppppbpbbppp";

    fn verdict(letter: char) -> Verdict {
        if letter == 'b' { Verdict::Breach } else { Verdict::Pass }
    }

    #[test]
    fn a_machine_put_away_and_taken_up_anywhere_decides_what_an_undisturbed_one_does() {
        let windows: Vec<(i64, Verdict)> = (1..).zip(STORY.chars().map(verdict)).collect();
        let mut machine = PolicyMachine::default();
        let whole: Vec<Decision> =
            windows.iter().flat_map(|(at, verdict)| step(&mut machine, *at, *verdict)).collect();
        let kinds: Vec<&str> = whole.iter().map(|decision| decision.kind.name()).collect();
        assert_eq!(kinds, ["qualified", "violated", "cleared", "qualified", "violated", "cleared"]);

        let mut machine = PolicyMachine::default();
        let mut decided = Vec::new();
        for (at, verdict) in &windows {
            machine = postcard::from_bytes(&postcard::to_allocvec(&machine).unwrap()).unwrap();
            decided.extend(step(&mut machine, *at, *verdict));
        }
        assert_eq!(decided, whole);
    }

    #[test]
    fn an_open_incident_outlives_a_change_of_its_policy() {
        let mut machine = PolicyMachine::default();
        let violated: Vec<Decision> =
            [1, 2].iter().flat_map(|at| step(&mut machine, *at, Verdict::Breach)).collect();
        let mut machine = machine.anew();
        assert_eq!(step(&mut machine, 9, Verdict::Pass), []);
        let cleared = step(&mut machine, 10, Verdict::Pass);
        assert_eq!(cleared.iter().map(|decision| decision.kind.name()).collect::<Vec<_>>(), ["cleared"]);
        assert_eq!(cleared[0].since, violated[0].since);
        assert!(machine.at_rest());
    }

    fn any_verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![Just(Verdict::Pass), Just(Verdict::Breach), Just(Verdict::Insufficient)]
    }

    fn decided(windows: &[Verdict]) -> Vec<(usize, DecisionKind)> {
        let mut machine = PolicyMachine::default();
        let of = |(at, verdict): (usize, &Verdict)| {
            let decisions = step(&mut machine, at as i64, *verdict);
            decisions.into_iter().map(move |decision| (at, decision.kind)).collect::<Vec<_>>()
        };
        windows.iter().enumerate().flat_map(of).collect()
    }

    proptest! {
        /// Neither towards an incident nor out of one, nor towards a good version.
        #[test]
        fn insufficient_data_never_moves_towards_action(
            windows in proptest::collection::vec(any_verdict(), 1..40),
            at in 0..40_usize,
        ) {
            let told = decided(&windows);
            for (window, kind) in &told {
                prop_assert_ne!(windows[*window], Verdict::Insufficient, "{:?} without data", kind);
            }
            // With one window's data taken away nothing happens before it would have, up to the first incident.
            let mut fewer = windows.clone();
            let at = at % windows.len();
            fewer[at] = Verdict::Insufficient;
            let first = |told: &[(usize, DecisionKind)], kind| told.iter().find(|(_, of)| *of == kind).map(|(at, _)| *at);
            let less = decided(&fewer);
            let never = windows.len();
            let not_before = |kind| first(&less, kind).unwrap_or(never) >= first(&told, kind).unwrap_or(never);
            prop_assert!(not_before(DecisionKind::Violated));
            // A breach that is not seen keeps no version from being good; a pass that is not seen helps none.
            prop_assert!(windows[at] != Verdict::Pass || not_before(DecisionKind::Qualified));
        }
    }
}
