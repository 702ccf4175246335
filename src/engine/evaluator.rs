//! The second stage: merges deltas, closes panes, evaluates windows, steps policies. It is a
//! deterministic state machine over the messages it is given: no clock, no I/O, and the order of
//! what it says depends on nothing but event time and names.

mod key;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use key::{KeyState, detectors};

use super::message::{PaneDelta, Progress};
use super::model::ModelSpec;
use super::view::PolicyState;
use crate::check;
use crate::check::sequential::Starts;
use crate::domain::{
    Decision, DecisionKind, EventTime, Finding, ModelId, ModelKey, Segment, SourcePartition, Tenant, Verdict,
    Version, open_incidents,
};
use crate::policy::identity::decision_id;
use crate::policy::{PolicyMachine, Step};
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

/// What versions take over from each other: a tenant's model, or one segment of it.
type Service = (Option<Tenant>, ModelId, Segment);

fn service(key: &ModelKey) -> Service {
    (key.tenant.clone(), key.model.clone(), key.segment.clone())
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
    /// Detectors had come to here before a restart.
    stepped: EventTime,
    /// Panes that start before this are incomplete after a restart.
    complete_from: EventTime,
    /// Every decision, of earlier runs and of this one, without its evidence; oldest first.
    past: Vec<Decision>,
    /// When confidence sequences began, per slot of a model and segment, over all its versions.
    starts: BTreeMap<(ModelId, Segment), Vec<Starts>>,
    /// Incidents of earlier runs that no policy, model or profile of this one will follow.
    orphaned: Vec<Decision>,
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
            stepped: EventTime::MIN,
            complete_from: EventTime::MIN,
            past: Vec::new(),
            starts: BTreeMap::new(),
            orphaned: Vec::new(),
        }
    }

    /// Takes up what an earlier run left: windows up to `given_out_until` are not given out again,
    /// panes before `complete_from` are incomplete, and `past` are its decisions, oldest first. A
    /// key with an open incident is watched even if no row of it comes any more.
    pub fn resume(
        &mut self,
        given_out_until: Option<EventTime>,
        complete_from: Option<EventTime>,
        past: Vec<Decision>,
    ) {
        self.given_out = self.given_out.max(given_out_until.unwrap_or(EventTime::MIN));
        if self.given_out != EventTime::MIN {
            // The last window end before it, any model's, because all of them step together.
            let windows = self.models.values().flat_map(|model| model.windows());
            let ends = windows.map(|window| self.given_out.floor(window.slide()));
            self.stepped = ends.max().unwrap_or(self.given_out);
        }
        self.complete_from = self.complete_from.max(complete_from.unwrap_or(EventTime::MIN));
        for open in open_incidents(&past) {
            let follows = |spec: &&Arc<ModelSpec>| {
                spec.profile_hash() == open.key.profile
                    && spec.policies.iter().any(|policy| policy.name == open.policy)
            };
            match self.models.get(&open.key.model).filter(follows) {
                Some(spec) => {
                    let state = || KeyState::new(spec, &open.key, &past);
                    self.keys.entry(open.key.clone()).or_insert_with(state);
                }
                None => self.orphaned.push(open.clone()),
            }
        }
        self.past.splice(0..0, past);
    }

    /// Every decision, of earlier runs and of this one, without its evidence; oldest first.
    pub fn past(&self) -> &[Decision] {
        &self.past
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
        let past = &self.past;
        let state =
            self.keys.entry(delta.key.clone()).or_insert_with_key(|key| KeyState::new(spec, key, past));
        state.rows += delta.summary.rows;
        state.newest = state.newest.max(delta.pane + spec.pane);
        match state.panes.entry(delta.pane) {
            Entry::Vacant(pane) => {
                pane.insert(delta.summary);
            }
            Entry::Occupied(mut pane) => pane.get_mut().merge(&delta.summary),
        }
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
        for open in std::mem::take(&mut self.orphaned) {
            // Nobody can say any more whether it recovers, and an open incident forbids the next.
            let withdrawn = withdrawn(&open);
            self.past.push(withdrawn.clone());
            evaluated.decisions.push(withdrawn);
        }
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

    /// Every key that is watched, ordered.
    pub fn live(&self) -> impl Iterator<Item = &ModelKey> {
        self.keys.iter().filter(|(_, state)| !state.resting()).map(|(key, _)| key)
    }

    /// Every key as it stands, ordered.
    pub fn keys(&self) -> impl Iterator<Item = KeyView<'_>> {
        self.keys.iter().filter(|(_, state)| !state.resting()).map(|(key, state)| KeyView {
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
                // A key that is not asked about waits for its next pane, and so does a key before the
                // first evaluation: a gap in event time is not walked through slide by slide.
                let waits = self.closed == EventTime::MIN || state.dormant();
                let after = if waits {
                    let open = self.closed - state.spec.pane + TICK;
                    self.closed.max(*state.panes.range(open..).next()?.0)
                } else {
                    self.closed
                };
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
        // Which versions have a row in which of the windows.
        let mut serving: BTreeMap<(Service, WindowSpec), BTreeSet<Version>> = BTreeMap::new();
        for (key, state) in &self.keys {
            for window in state.spec.windows() {
                let span = window.ending(end);
                if state.panes.range(span.start..span.end).next().is_some() {
                    serving.entry((service(key), window)).or_default().insert(key.version.clone());
                }
            }
        }
        self.pay(end);
        let stepped = self.stepped;
        let complete_from = self.complete_from;
        for (key, state) in &mut self.keys {
            let spec = Arc::clone(&state.spec);
            for machine in &mut state.policies {
                machine.take_up(end - TICK);
            }
            if !state.serves(end) {
                if state.served_until.take().is_some() {
                    state.rest(key, &self.past, end);
                }
                continue;
            }
            let place = (key.model.clone(), key.segment.clone());
            let starts =
                self.starts.entry(place).or_insert_with(|| vec![Starts::default(); spec.slots.len()]);
            state.step(end, stepped, starts);
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
                let others = serving.get(&(service(key), window));
                let elsewhere = summary.rows == 0
                    && others.is_some_and(|versions| versions.iter().any(|other| *other != key.version));
                let asked = check::Asked { key, span, summary, profile: spec.profile.as_deref(), elsewhere };
                for (index, check) in spec.checks.iter().enumerate() {
                    if check.window != window || !(check.segments || key.segment == Segment::All) {
                        continue;
                    }
                    let begin = findings.len();
                    check.evaluate(&asked, &spec.layout, &mut findings);
                    let unpaid = (!state.paid).then(|| unpaid(&spec, key));
                    for finding in &mut findings[begin..] {
                        if let Some(slot) = spec.slot_of(index, finding) {
                            let detectors = &mut state.detectors;
                            finding.sequential =
                                detectors.answer(slot, check, finding, summary, unpaid.as_deref());
                        }
                    }
                }
            }
            if findings.is_empty() {
                continue;
            }
            state.evaluated_until = Some(end);
            let findings: Vec<Arc<Finding>> = findings.into_iter().map(Arc::new).collect();
            for (policy, machine) in spec.policies.iter().zip(&mut state.policies) {
                let asked = spec.checks.iter().filter(|check| {
                    policy.checks.contains(&check.name) && (check.segments || key.segment == Segment::All)
                });
                let step = Step { at: end, findings: &findings, traffic, checks: asked.count(), live };
                let (next, decisions) = std::mem::take(machine).step(policy, key, step);
                *machine = next;
                // An evidence of a decision is in the audit log; here it would only take up memory.
                let bare = |decision: &Decision| Decision { evidence: Vec::new(), ..decision.clone() };
                self.past.extend(decisions.iter().map(bare));
                out.decisions.extend(decisions);
            }
            if live {
                out.findings.extend(findings);
            }
        }
    }

    /// Gives versions that serve at `end` their places in the budget, first those that have one,
    /// then by name, until there is none left but those of versions without traffic, which go in the
    /// order in which they fell silent. What comes beyond was not declared, and cannot act.
    fn pay(&mut self, end: EventTime) {
        let mut taken: BTreeMap<(ModelId, Segment), u32> = BTreeMap::new();
        let mut waiting: Vec<ModelKey> = Vec::new();
        let mut resting: BTreeSet<(ModelId, Segment, EventTime, ModelKey)> = BTreeSet::new();
        for (key, state) in &mut self.keys {
            if state.spec.slots.is_empty() || !declared(&state.spec, &key.segment) {
                continue;
            }
            if state.paid {
                *taken.entry((key.model.clone(), key.segment.clone())).or_default() += 1;
                if let Some(since) = state.rested.filter(|_| !state.serves(end)) {
                    resting.insert((key.model.clone(), key.segment.clone(), since, key.clone()));
                }
            } else if state.serves(end) {
                waiting.push(key.clone());
            }
        }
        for key in waiting {
            let Some(state) = self.keys.get_mut(&key) else { continue };
            let live = state.spec.live;
            let places = live.versions.saturating_mul(live.tenants);
            let taken = taken.entry((key.model.clone(), key.segment.clone())).or_default();
            let free = *taken < places;
            let silent = || resting.iter().find(|it| it.0 == key.model && it.1 == key.segment).cloned();
            let gone = if free { None } else { silent() };
            if free || gone.is_some() {
                state.paid = true;
                // What it saw in shadow was not paid for.
                state.detectors = detectors(&state.spec, &key);
            }
            match gone {
                Some(gone) => {
                    resting.remove(&gone);
                    if let Some(state) = self.keys.get_mut(&gone.3) {
                        state.leave(&gone.3);
                    }
                }
                None => *taken += u32::from(free),
            }
        }
    }

    /// Drops panes that no later window covers, and keys that are not asked about any more.
    fn evict(&mut self) {
        let closed = self.closed;
        self.keys.retain(|_, state| {
            let windows = state.spec.windows();
            // What a window's sum still holds must stay until the window has moved off it.
            let needed = windows.iter().map(|window| closed.floor(window.slide()) - window.size()).min();
            let needed = needed.unwrap_or(closed);
            state.panes = state.panes.split_off(&needed);
            let at_rest = state.policies.iter().all(PolicyMachine::at_rest);
            !state.panes.is_empty() || !at_rest || state.serves_still(closed) || state.rested.is_some()
        });
    }
}

/// Whether a segment was declared; `other` gathers the values that were not.
fn declared(spec: &ModelSpec, segment: &Segment) -> bool {
    match segment {
        Segment::All => true,
        Segment::Of { name, value } => spec.layout.segments.iter().any(|(known, values)| {
            known.as_str() == &**name && values.iter().any(|known| known.as_str() == &**value)
        }),
    }
}

/// Why the budget does not pay for a version.
fn unpaid(spec: &ModelSpec, key: &ModelKey) -> String {
    if !declared(spec, &key.segment) {
        return "the segment was not declared".to_owned();
    }
    let live = spec.live;
    format!(
        "the false-alarm budget pays for {} live versions of {} tenants, and they are all taken",
        live.versions, live.tenants
    )
}

/// The unit of event time.
const TICK: Duration = Duration::from_millis(1);

/// The end of an incident that is not followed any more.
fn withdrawn(open: &Decision) -> Decision {
    let kind = DecisionKind::Withdrawn;
    Decision {
        id: decision_id(kind, &open.policy, &open.key, open.since),
        kind,
        actions: Vec::new(),
        evidence: Vec::new(),
        ..open.clone()
    }
}
