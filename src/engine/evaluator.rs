//! The second stage: merges deltas, closes panes, evaluates windows, steps policies. It is a
//! deterministic state machine over the messages it is given: no clock, no I/O, and the order of
//! what it says depends on nothing but event time and names.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::message::{PaneDelta, Progress};
use super::model::ModelSpec;
use super::view::PolicyState;
use crate::check;
use crate::domain::{
    Decision, DecisionKind, EventTime, Finding, ModelId, ModelKey, SourcePartition, Verdict,
};
use crate::policy::{Incident, PolicyMachine, Step};
use crate::sketch::Summary;
use crate::window::{SlidingWindow, Watermarks, WindowSpec};

/// What an evaluation gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluated {
    /// Findings of the windows that closed, by window end, key and check.
    pub findings: Vec<Arc<Finding>>,
    /// What policies want, in the same order.
    pub decisions: Vec<Decision>,
}

/// What became of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// It entered its pane.
    Counted,
    /// Its pane had closed while the partition was idle; its rows count as late.
    Late,
    /// Its model, or its profile, is not the configured one.
    Foreign,
}

#[derive(Debug)]
struct KeyState {
    spec: Arc<ModelSpec>,
    panes: BTreeMap<EventTime, Summary>,
    windows: BTreeMap<WindowSpec, SlidingWindow<Summary>>,
    policies: Vec<PolicyMachine>,
    rows: u64,
    oldest: EventTime,
    newest: EventTime,
    evaluated_until: Option<EventTime>,
}

/// One key as it stands.
#[derive(Debug)]
pub struct KeyView<'a> {
    /// Which one.
    pub key: &'a ModelKey,
    /// The model it belongs to.
    pub spec: &'a ModelSpec,
    /// Rows counted.
    pub rows: u64,
    /// End of its newest pane.
    pub newest: EventTime,
    /// End of its newest evaluated window.
    pub evaluated_until: Option<EventTime>,
    /// Its policies: name, state, and since when an incident is open.
    pub policies: Vec<(&'a str, PolicyState, Option<EventTime>)>,
}

/// The evaluator of some models.
#[derive(Debug)]
pub struct Evaluator {
    models: BTreeMap<ModelId, Arc<ModelSpec>>,
    keys: BTreeMap<ModelKey, KeyState>,
    watermarks: Watermarks,
    /// Windows that end up to here have been evaluated.
    closed: EventTime,
    /// Windows that end up to here were given out before a restart.
    given_out: EventTime,
    /// Panes that start before this are incomplete after a restart.
    complete_from: EventTime,
    /// Incidents from before a restart whose key has not shown up yet.
    open: Vec<Decision>,
}

impl Evaluator {
    /// An evaluator of `models`.
    pub fn new(models: impl IntoIterator<Item = Arc<ModelSpec>>) -> Self {
        Self {
            models: models.into_iter().map(|model| (model.id.clone(), model)).collect(),
            keys: BTreeMap::new(),
            watermarks: Watermarks::default(),
            closed: EventTime::MIN,
            given_out: EventTime::MIN,
            complete_from: EventTime::MIN,
            open: Vec::new(),
        }
    }

    /// Takes up what an earlier run left: windows up to `given_out_until` are not given out again,
    /// panes before `complete_from` are incomplete, and `open` are its incidents that were not
    /// closed (the `violated` decisions).
    pub fn resume(
        &mut self,
        given_out_until: Option<EventTime>,
        complete_from: Option<EventTime>,
        open: Vec<Decision>,
    ) {
        self.given_out = self.given_out.max(given_out_until.unwrap_or(EventTime::MIN));
        self.complete_from = self.complete_from.max(complete_from.unwrap_or(EventTime::MIN));
        self.open = open;
    }

    /// `partition` is read from now on.
    pub fn expect(&mut self, partition: SourcePartition) {
        self.watermarks.expect(partition);
    }

    /// `partition` is not read any more.
    pub fn forget(&mut self, partition: &SourcePartition) {
        self.watermarks.forget(partition);
    }

    /// Merges counts into their pane.
    pub fn merge(&mut self, delta: PaneDelta) -> Merged {
        let Some(spec) = self.models.get(&delta.key.model) else {
            return Merged::Foreign;
        };
        if spec.profile_hash() != delta.key.profile {
            return Merged::Foreign;
        }
        if delta.pane + spec.pane <= self.closed {
            return Merged::Late;
        }
        let state = self.keys.entry(delta.key.clone()).or_insert_with(|| {
            let mut policies = vec![PolicyMachine::default(); spec.policies.len()];
            for (policy, machine) in spec.policies.iter().zip(&mut policies) {
                let mine = |open: &&Decision| open.policy == policy.name && open.key == delta.key;
                if let Some(open) = self.open.iter().find(mine) {
                    machine.restore(Incident { since: open.since });
                }
            }
            KeyState {
                spec: Arc::clone(spec),
                panes: BTreeMap::new(),
                windows: BTreeMap::new(),
                policies,
                rows: 0,
                oldest: delta.pane,
                newest: EventTime::MIN,
                evaluated_until: None,
            }
        });
        state.rows += delta.summary.rows;
        state.oldest = state.oldest.min(delta.pane);
        state.newest = state.newest.max(delta.pane + spec.pane);
        state.panes.entry(delta.pane).or_insert_with(|| Summary::new(&spec.layout)).merge(&delta.summary);
        Merged::Counted
    }

    /// Takes note of how far the input has come and evaluates every window that this closes.
    pub fn advance(&mut self, progress: &Progress) -> Evaluated {
        for (partition, watermark, idle) in &progress.partitions {
            self.watermarks.report(partition, *watermark, *idle);
        }
        let mut until = self.watermarks.advance();
        if progress.finished {
            until = self.last_window_end();
        }
        let mut evaluated = Evaluated::default();
        let Some(until) = until else {
            return evaluated;
        };
        while let Some(end) = self.next_end().filter(|end| *end <= until) {
            self.evaluate(end, &mut evaluated);
            self.closed = end;
            self.evict();
        }
        if !progress.finished {
            self.closed = self.closed.max(until);
        }
        evaluated
    }

    /// Windows that end up to here have been given out.
    pub fn given_out_until(&self) -> Option<EventTime> {
        let until = self.closed.max(self.given_out);
        (until != EventTime::MIN).then_some(until)
    }

    /// Panes from here on are needed again if everything is rebuilt from the input.
    pub fn needed_from(&self) -> Option<EventTime> {
        let history = self.models.values().map(|model| model.history()).max()?;
        self.given_out_until().map(|until| until - history)
    }

    /// The least watermark.
    pub fn watermark(&mut self) -> Option<EventTime> {
        self.watermarks.advance()
    }

    /// Every key, ordered.
    pub fn keys(&self) -> impl Iterator<Item = KeyView<'_>> {
        self.keys.iter().map(|(key, state)| KeyView {
            key,
            spec: &state.spec,
            rows: state.rows,
            newest: state.newest,
            evaluated_until: state.evaluated_until,
            policies: state
                .spec
                .policies
                .iter()
                .zip(&state.policies)
                .map(|(policy, machine)| {
                    let state = match (machine.incident(), machine.latest()) {
                        (Some(_), _) => PolicyState::Violated,
                        (None, Some(Verdict::Breach)) => PolicyState::Warn,
                        (None, Some(_)) => PolicyState::Ok,
                        (None, None) => PolicyState::Unknown,
                    };
                    (policy.name.as_str(), state, machine.incident().map(|incident| incident.since))
                })
                .collect(),
        })
    }

    /// Panes held, and the bytes of their counts.
    pub fn held(&self) -> (usize, usize) {
        let panes = || self.keys.values().flat_map(|state| state.panes.values());
        (panes().count(), panes().map(Summary::size).sum())
    }

    /// The next window end of any live key after what is closed.
    fn next_end(&self) -> Option<EventTime> {
        self.keys
            .values()
            .filter_map(|state| {
                // Before the first evaluation, time begins with the key's first pane.
                let first = state.panes.keys().next().copied().unwrap_or(state.newest);
                let after = if self.closed == EventTime::MIN { first } else { self.closed };
                state.spec.windows().iter().map(|window| window.next_end(after)).min()
            })
            .min()
    }

    /// Where the last rows' windows end, for an input that has ended.
    fn last_window_end(&self) -> Option<EventTime> {
        self.keys
            .values()
            .filter_map(|state| {
                let last = *state.panes.keys().next_back()?;
                state.spec.windows().iter().map(|window| window.next_end(last)).max()
            })
            .max()
    }

    fn evaluate(&mut self, end: EventTime, out: &mut Evaluated) {
        let live = end > self.given_out;
        // Panes from after the window are left aside: how many of them are there already depends on
        // how the input was cut into batches.
        let serving: Vec<(ModelKey, EventTime)> = self
            .keys
            .iter()
            .filter_map(|(key, state)| {
                let (last, _) = state.panes.range(..end).next_back()?;
                Some((key.clone(), *last + state.spec.pane))
            })
            .collect();
        let complete_from = self.complete_from;
        // A version whose first rows come later is not there yet, though they may be merged already.
        for (key, state) in self.keys.iter_mut().filter(|(_, state)| state.oldest < end) {
            let spec = Arc::clone(&state.spec);
            let mut findings = Vec::new();
            let mut traffic = false;
            for window in spec.windows() {
                if end.floor(window.slide()) != end {
                    continue;
                }
                let span = window.ending(end);
                let panes = &state.panes;
                let sliding = state
                    .windows
                    .entry(window)
                    .or_insert_with(|| SlidingWindow::new(Summary::new(&spec.layout)));
                let summary = sliding.slide_to(span, |from, to| {
                    panes.range(from..to.max(from)).map(|(start, pane)| (*start, pane))
                });
                if span.start < complete_from {
                    continue;
                }
                traffic |= summary.rows > 0;
                // A version without rows says nothing about volume while another one serves.
                let replaces = |other: &ModelKey| {
                    (&other.tenant, &other.model) == (&key.tenant, &key.model) && other.version != key.version
                };
                let elsewhere = summary.rows == 0
                    && serving.iter().any(|(other, until)| replaces(other) && *until > span.start);
                let asked = check::Asked { key, span, summary, profile: spec.profile.as_deref(), elsewhere };
                for check in spec.checks.iter().filter(|check| check.window == window) {
                    if check.segments || key.segment == crate::domain::Segment::All {
                        check.evaluate(&asked, &spec.layout, &mut findings);
                    }
                }
            }
            if findings.is_empty() {
                continue;
            }
            state.evaluated_until = Some(end);
            let findings: Vec<Arc<Finding>> = findings.into_iter().map(Arc::new).collect();
            for (policy, machine) in spec.policies.iter().zip(&mut state.policies) {
                let step = Step { at: end, findings: &findings, traffic, live };
                let (next, decisions) = std::mem::take(machine).step(policy, key, step);
                *machine = next;
                self.open.retain(|open| {
                    !decisions.iter().any(|decision| {
                        matches!(decision.kind, DecisionKind::Cleared | DecisionKind::Withdrawn)
                            && decision.policy == open.policy
                            && decision.key == open.key
                    })
                });
                out.decisions.extend(decisions);
            }
            if live {
                out.findings.extend(findings);
            }
        }
    }

    /// Drops panes that no later window covers, and keys that have been silent for long and have no
    /// open incident.
    fn evict(&mut self) {
        let closed = self.closed;
        self.keys.retain(|_, state| {
            let windows = state.spec.windows();
            // What a window's sum still holds must stay until the window has moved off it.
            let needed = windows.iter().map(|window| closed.floor(window.slide()) - window.size()).min();
            let needed = needed.unwrap_or(closed);
            state.panes = state.panes.split_off(&needed);
            let silent_after = state.spec.history() * SILENT_HISTORIES;
            let open = state.policies.iter().any(|machine| machine.incident().is_some());
            !state.panes.is_empty() || open || state.newest + silent_after > closed
        });
    }
}

/// A key without rows is evaluated (as empty) for this many times the history that its policies
/// look at, then forgotten until it shows up again.
const SILENT_HISTORIES: u32 = 3;
