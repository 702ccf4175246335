//! One model version (and segment) as the evaluator keeps it: its panes, windows, policies and
//! detectors, and when it is asked about, rests, and gives up its place in the budget.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::check::sequential::{Detectors, PaneOf, Starts};
use crate::domain::{EventTime, ModelKey, Segment};
use crate::engine::model::ModelSpec;
use crate::policy::PolicyMachine;
use crate::sketch::Summary;
use crate::window::{SlidingWindow, WindowSpec};

/// What is known of one key.
#[derive(Debug)]
pub(super) struct KeyState {
    pub(super) spec: Arc<ModelSpec>,
    pub(super) panes: BTreeMap<EventTime, Summary>,
    pub(super) windows: BTreeMap<WindowSpec, SlidingWindow<Summary>>,
    pub(super) policies: Vec<PolicyMachine>,
    /// Rows of panes that are not held any more.
    pub(super) past_rows: u64,
    pub(super) newest: EventTime,
    pub(super) detectors: Detectors,
    /// Whether the budget pays for this version; else its detectors run in shadow.
    pub(super) paid: bool,
    /// Start of the next pane that detectors step on; none before the first.
    pub(super) next_step: Option<EventTime>,
    /// Since when it takes no traffic: it keeps its place in the budget, and what its detectors have
    /// gathered, until another version needs the place.
    pub(super) rested: Option<EventTime>,
    /// End of the last pane that the windows have come to; none before the first.
    pub(super) served_until: Option<EventTime>,
    pub(super) evaluated_until: Option<EventTime>,
}

impl KeyState {
    /// A key that has shown nothing yet.
    pub(super) fn new(spec: &Arc<ModelSpec>, key: &ModelKey) -> Self {
        Self {
            spec: Arc::clone(spec),
            panes: BTreeMap::new(),
            windows: BTreeMap::new(),
            policies: vec![PolicyMachine::default(); spec.policies.len()],
            detectors: detectors(spec, key),
            paid: false,
            next_step: None,
            rested: None,
            past_rows: 0,
            newest: EventTime::MIN,
            served_until: None,
            evaluated_until: None,
        }
    }

    /// Whether windows that end at `end` are asked about this key: from its first row on, until its
    /// last is as far back as its policies look, and as long as it has an open incident. Rows behind
    /// `end` change nothing, so that it does not matter how far reading is ahead.
    pub(super) fn serves(&mut self, end: EventTime) -> bool {
        let last = self.panes.range(..end).next_back().map(|(start, _)| *start + self.spec.pane);
        self.served_until = self.served_until.max(last);
        self.serves_still(end) || self.policies.iter().any(|machine| machine.incident().is_some())
    }

    /// Whether no window is about it until its next row.
    pub(super) fn dormant(&self) -> bool {
        self.served_until.is_none() && self.policies.iter().all(PolicyMachine::at_rest)
    }

    /// Steps the detectors on every pane that ends by `end`, each once and in order.
    pub(super) fn step(&mut self, end: EventTime, starts: &mut [Starts]) {
        let spec = Arc::clone(&self.spec);
        if spec.slots.is_empty() {
            return;
        }
        let first = match (self.next_step, self.rested) {
            (Some(next), None) => next,
            // After a rest, the panes of the gap are left out: a step on nothing could only add to
            // the evidence.
            (next, _) => {
                let from = next.unwrap_or(EventTime::MIN).min(end);
                match self.panes.range(from..end).next() {
                    Some((first, _)) => *first,
                    None => return,
                }
            }
        };
        self.rested = None;
        let mut start = first;
        let empty = LazyCell::new(|| Summary::new(&spec.layout));
        while start + spec.pane <= end {
            let pane = self.panes.get(&start).unwrap_or_else(|| &empty);
            self.detectors.step(&spec.slots, PaneOf::new(start, spec.pane), pane, starts, self.paid);
            start = start + spec.pane;
        }
        self.next_step = Some(start);
    }

    /// Ends a version that takes no traffic since `end`: its policies begin anew if it comes back, and
    /// another version may have its place in the budget. Until then it keeps what its detectors have
    /// gathered: traffic that pauses every night must not make them forget every day.
    pub(super) fn rest(&mut self, key: &ModelKey, end: EventTime) {
        self.windows.clear();
        self.policies.iter_mut().for_each(|machine| *machine = machine.anew());
        if self.paid {
            self.rested = Some(end);
        } else {
            self.detectors = detectors(&self.spec, key);
            self.next_step = None;
        }
    }

    /// Gives up its place in the budget.
    pub(super) fn leave(&mut self, key: &ModelKey) {
        self.detectors = detectors(&self.spec, key);
        (self.paid, self.next_step, self.rested) = (false, None, None);
    }

    /// Bytes held: counts, sums of windows, detectors.
    pub(super) fn size(&self) -> usize {
        let panes: usize = self.panes.values().map(Summary::size).sum();
        let windows: usize = self.windows.values().map(|window| window.sum().size()).sum();
        panes + windows + self.detectors.size()
    }

    /// Rows counted since its first.
    pub(super) fn rows(&self) -> u64 {
        self.past_rows + self.panes.values().map(|pane| pane.rows).sum::<u64>()
    }

    /// Rows of panes that begin from `from` on and before `until`.
    pub(super) fn rows_between(&self, from: EventTime, until: EventTime) -> u64 {
        self.panes.range(from..until.max(from)).map(|(_, pane)| pane.rows).sum()
    }

    /// Whether nothing is left of it but its detectors.
    pub(super) fn resting(&self) -> bool {
        self.rested.is_some() && self.panes.is_empty() && self.dormant()
    }

    pub(super) fn serves_still(&self, end: EventTime) -> bool {
        self.served_until.is_some_and(|until| until + self.spec.memory() >= end)
    }
}

/// The detectors of a key that has shown nothing yet.
pub(super) fn detectors(spec: &ModelSpec, key: &ModelKey) -> Detectors {
    match key.segment {
        Segment::All => Detectors::new(&spec.slots),
        Segment::Of { .. } => Detectors::of_segment(&spec.slots),
    }
}
