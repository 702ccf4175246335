//! The second stage: merges deltas, closes panes, evaluates windows, steps policies. It is a
//! deterministic state machine over the messages it is given, those of one partition of the exchange:
//! no clock, no I/O, and the order of what it says depends on nothing but event time and names.
//!
//! What it knows can be put away and taken up at any message: [`Evaluator::changes`] gives what has
//! changed since the last call, and [`Evaluator::restore`] makes an evaluator of all of it that goes
//! on as if nothing had happened.

mod budget;
mod coming;
mod intake;
mod key;
mod reports;
mod state;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use budget::unpaid;
use coming::{Coming, Models, by_name, fitting};
use key::KeyState;

pub use intake::{Fault, FaultCounts, Intake, TurnedLate};
pub use state::{Change, KeyRecord, Marks, PolicyRecord, Record, StateKey};

use super::generation::Generation;
use super::message::{Message, PaneDelta, Progress};
use super::model::ModelSpec;
use super::view::PolicyState;
use crate::check;
use crate::check::sequential::Starts;
use crate::domain::{
    Decision, EventTime, Finding, ModelId, ModelKey, Report, Segment, SourcePartition, Tenant, Verdict,
    Version,
};
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
    /// What the logs of models show that somebody may be waiting to know about, by time and model.
    pub reports: Vec<Report>,
    /// What was wrong with the messages.
    pub faults: Vec<Fault>,
}

impl Evaluated {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
            && self.decisions.is_empty()
            && self.reports.is_empty()
            && self.faults.is_empty()
    }

    /// Adds what came later.
    pub fn join(&mut self, later: Self) {
        self.findings.extend(later.findings);
        self.decisions.extend(later.decisions);
        self.reports.extend(later.reports);
        self.faults.extend(later.faults);
    }
}

/// What became of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// It entered its pane.
    Counted,
    /// Its pane had closed while the partition was idle; its rows count as late.
    Late,
    /// Its model, its profile or its layout is not the configured one.
    Foreign,
    /// Its offsets were counted already.
    Repeated,
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
    models: Models,
    /// The generation that they are of.
    configured: Option<Generation>,
    /// Those that are to follow, in their order.
    coming: Vec<Coming>,
    keys: BTreeMap<ModelKey, KeyState>,
    watermarks: Watermarks,
    /// Source partitions that have ended for good.
    finished: BTreeSet<SourcePartition>,
    /// Windows that end up to here have been evaluated.
    closed: EventTime,
    intake: Intake,
    /// When confidence sequences began, per slot of a model and segment, over all its versions.
    starts: BTreeMap<(ModelId, Segment), Vec<Starts>>,
    /// The ends of incidents that no policy, model or profile follows any more, to be said next.
    withdrawn: Vec<Decision>,
    /// What has changed since the last call of `changes`.
    changed: state::Changed,
}

impl Evaluator {
    /// An evaluator of `models`.
    pub fn new(models: impl IntoIterator<Item = Arc<ModelSpec>>) -> Self {
        Self {
            models: by_name(models),
            configured: None,
            coming: Vec::new(),
            keys: BTreeMap::new(),
            watermarks: Watermarks::default(),
            finished: BTreeSet::new(),
            closed: EventTime::MIN,
            intake: Intake::default(),
            starts: BTreeMap::new(),
            withdrawn: Vec::new(),
            changed: state::Changed::default(),
        }
    }

    /// Takes the next message. What a generation of the configuration holds is not in its message:
    /// that is for [`Evaluator::reconfigure`].
    pub fn take(&mut self, message: Message) -> Evaluated {
        match message {
            Message::Delta(delta) => {
                let foreign = Fault::Foreign { key: delta.key.clone(), rows: delta.summary.rows };
                match self.merge(delta) {
                    Merged::Foreign => Evaluated { faults: vec![foreign], ..Evaluated::default() },
                    // Said once, when the commit ends.
                    Merged::Repeated | Merged::Counted | Merged::Late => Evaluated::default(),
                }
            }
            Message::Progress(progress) => self.advance(&progress),
            Message::Control(_) => Evaluated::default(),
        }
    }

    /// `partition` is read from now on.
    pub fn expect(&mut self, partition: SourcePartition) {
        self.watermarks.expect(partition);
    }

    /// Merges counts into their pane.
    pub fn merge(&mut self, delta: PaneDelta) -> Merged {
        if !self.intake.admits(&delta.source, delta.offsets) {
            return Merged::Repeated;
        }
        if let Some(coming) = self.coming.iter_mut().rfind(|coming| coming.generation.from() <= delta.pane) {
            if !coming.fits(&delta.key, delta.layout) {
                self.intake.foreign(delta.summary.rows);
                return Merged::Foreign;
            }
            self.changed.pane(&delta.key, delta.pane);
            coming.merge(delta.key, delta.pane, delta.summary);
            return Merged::Counted;
        }
        let Some(spec) = fitting(&self.models, &delta.key, delta.layout) else {
            // Of the generation before, and all of its windows are judged.
            if self.configured.as_ref().is_some_and(|configured| delta.pane < configured.from()) {
                if delta.key.segment == Segment::All {
                    self.intake.turned_late(&delta.source.topic, delta.summary.rows);
                }
                return Merged::Late;
            }
            self.intake.foreign(delta.summary.rows);
            return Merged::Foreign;
        };
        if delta.pane + spec.pane <= self.closed {
            // A row of a segment is a row of the whole too, and counts there.
            if delta.key.segment == Segment::All {
                self.intake.turned_late(&delta.source.topic, delta.summary.rows);
            }
            return Merged::Late;
        }
        self.changed.pane(&delta.key, delta.pane);
        let changed = &mut self.changed;
        let state = self.keys.entry(delta.key).or_insert_with_key(|key| {
            changed.key(key);
            KeyState::new(spec, key)
        });
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
        let mut evaluated =
            Evaluated { decisions: std::mem::take(&mut self.withdrawn), ..Evaluated::default() };
        for (topic, partitions) in &progress.topics {
            for partition in 0..*partitions {
                self.watermarks.expect(SourcePartition { topic: Arc::clone(topic), partition });
            }
        }
        self.watermarks.at(progress.wall);
        for source in &progress.sources {
            evaluated.faults.extend(self.intake.take(source));
            // One who reads a partition without knowing where has nothing to say where others have read
            // before; nor has its commit the offsets by which it could be told from one that came too late.
            let knows = source.offsets.is_some() || source.watermark.is_some() || source.finished;
            if knows || !self.intake.seen().contains_key(&source.source) {
                self.watermarks.report(&source.source, source.watermark, source.idle);
            }
            if source.finished {
                self.finished.insert(source.source.clone());
            }
        }
        let finished =
            !self.finished.is_empty() && self.watermarks.all(|source| self.finished.contains(source));
        let reached = if finished { None } else { self.watermarks.advance() };
        loop {
            let until = if finished { self.last_window_end() } else { reached };
            let Some(until) = until else { return evaluated };
            let next = self.coming.first().map(|coming| coming.generation.from());
            let last = next.map_or(until, |next| next.min(until));
            while let Some(end) = self.next_end().filter(|end| *end <= last) {
                self.evaluate(end, &mut evaluated);
                self.closed = end;
                self.evict();
            }
            if next.is_some_and(|next| next <= until) {
                self.switch(&mut evaluated);
                continue;
            }
            if !finished {
                self.closed = self.closed.max(until);
            }
            return evaluated;
        }
    }

    /// Windows that end up to here have been evaluated; none before event time is known.
    pub fn closed_until(&self) -> Option<EventTime> {
        (self.closed != EventTime::MIN).then_some(self.closed)
    }

    /// What came in.
    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    /// How far event time has come.
    pub fn watermark(&self) -> Option<EventTime> {
        self.watermarks.reached()
    }

    /// Source partitions that hold event time back.
    pub fn holding(&self) -> impl Iterator<Item = &SourcePartition> {
        self.watermarks.holding(self.watermarks.reached())
    }

    /// The latest wall time of any observer, milliseconds since the epoch; 0 before the first message.
    pub fn wall(&self) -> i64 {
        self.watermarks.wall()
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
            rows: state.rows(),
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
        let coming = || self.coming.iter().flat_map(|coming| coming.panes.values());
        let panes = || self.keys.values().flat_map(|state| state.panes.values()).chain(coming());
        (panes().count(), panes().map(Summary::size).sum())
    }

    /// Bytes held for each model: counts, windows and detectors.
    pub fn model_bytes(&self) -> BTreeMap<ModelId, usize> {
        let mut bytes = BTreeMap::new();
        for (key, state) in &self.keys {
            *bytes.entry(key.model.clone()).or_default() += state.size();
        }
        for ((key, _), pane) in self.coming.iter().flat_map(|coming| &coming.panes) {
            *bytes.entry(key.model.clone()).or_default() += pane.size();
        }
        bytes
    }

    /// The next window end of any live key after what is closed.
    fn next_end(&self) -> Option<EventTime> {
        let of = |state: &KeyState| {
            let windows = state.spec.windows();
            let due = windows.iter().filter_map(|window| {
                let due = window.next_end(self.closed);
                // A key that is not asked about waits for the next window with a pane in it, and so does
                // a key before the first evaluation: a gap in event time is not walked through slide by
                // slide. Its pane may have ended by what is closed already, and the window not.
                let waits = self.closed == EventTime::MIN || state.dormant();
                let asked = |from| Some(*state.panes.range(from..).next()?.0);
                match waits {
                    true if self.closed == EventTime::MIN => {
                        asked(EventTime::MIN).map(|pane| window.next_end(pane))
                    }
                    true => asked(due - window.size()).map(|pane| window.next_end(pane.max(self.closed))),
                    false => Some(due),
                }
            });
            due.min()
        };
        self.keys.values().filter_map(of).min()
    }

    /// Where the last rows' windows end, for an input that has ended.
    fn last_window_end(&self) -> Option<EventTime> {
        let last_end = |spec: &ModelSpec, last: EventTime| {
            spec.windows().iter().map(|window| window.next_end(last)).max()
        };
        let held = self.keys.values().filter_map(|state| {
            let last = *state.panes.keys().next_back()?;
            last_end(&state.spec, last)
        });
        let coming = self.coming.iter().flat_map(|coming| {
            let spec = |key: &ModelKey| coming.models.get(&key.model);
            coming.panes.keys().filter_map(move |(key, pane)| last_end(spec(key)?, *pane))
        });
        held.chain(coming).max()
    }

    fn evaluate(&mut self, end: EventTime, out: &mut Evaluated) {
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
        // Models of which a version has appeared or fallen silent.
        let mut news: BTreeSet<(Option<Tenant>, ModelId)> = BTreeSet::new();
        for (key, state) in &mut self.keys {
            let spec = Arc::clone(&state.spec);
            if !state.serves(end) {
                if state.served_until.take().is_some() {
                    news.insert((key.tenant.clone(), key.model.clone()));
                    state.rest(key, end);
                    self.changed.key(key);
                }
                continue;
            }
            self.changed.key(key);
            let place = (key.model.clone(), key.segment.clone());
            let starts =
                self.starts.entry(place).or_insert_with(|| vec![Starts::default(); spec.slots.len()]);
            state.step(end, starts);
            if !spec.slots.is_empty() {
                self.changed.starts(&key.model, &key.segment);
            }
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
            let before = state.evaluated_until.replace(end);
            if before.is_none() {
                news.insert((key.tenant.clone(), key.model.clone()));
            }
            let rows = state.rows_between(before.unwrap_or(EventTime::MIN), end);
            let findings: Vec<Arc<Finding>> = findings.into_iter().map(Arc::new).collect();
            for (policy, machine) in spec.policies.iter().zip(&mut state.policies) {
                let asked = spec.checks.iter().filter(|check| {
                    policy.checks.contains(&check.name) && (check.segments || key.segment == Segment::All)
                });
                let step = Step { at: end, findings: &findings, traffic, checks: asked.count(), rows };
                let (next, decisions) = std::mem::take(machine).step(policy, key, step);
                *machine = next;
                out.decisions.extend(decisions);
            }
            out.findings.extend(findings);
        }
        self.report(end, &news, out);
    }

    /// Drops panes that no later window covers, and keys that are not asked about any more.
    fn evict(&mut self) {
        let closed = self.closed;
        let changed = &mut self.changed;
        self.keys.retain(|key, state| {
            let windows = state.spec.windows();
            // What a window's sum still holds must stay until the window has moved off it.
            let needed = windows.iter().map(|window| closed.floor(window.slide()) - window.size()).min();
            let kept = state.panes.split_off(&needed.unwrap_or(closed));
            for (start, pane) in std::mem::replace(&mut state.panes, kept) {
                state.past_rows += pane.rows;
                changed.pane(key, start);
                changed.key(key);
            }
            let at_rest = state.policies.iter().all(PolicyMachine::at_rest);
            let keep =
                !state.panes.is_empty() || !at_rest || state.serves_still(closed) || state.rested.is_some();
            if !keep {
                changed.key(key);
            }
            keep
        });
    }
}
