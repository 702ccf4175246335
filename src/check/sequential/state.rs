//! The state of a model version's detectors: what they have seen, and the alarms not yet said.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::evidence;
use super::fit::Fit;
use super::slot::{Slot, Watch};
use crate::domain::sequential::Moved;
use crate::domain::{EventTime, Evidence, Window};
use crate::sketch::Summary;
use crate::stats::edetector::{Detector, Reading};
use crate::stats::fairness::Rate;
use crate::stats::sequence::Verdict;

/// How many slots of the same check an alarm names beside its own.
const MOVED: usize = 10;

/// A pane: its slice of event time, and the hour of the week it begins in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaneOf {
    /// The slice.
    pub window: Window,
    /// The hour, UTC, 0 to 167.
    pub hour: usize,
}

impl PaneOf {
    /// The pane of `width` that begins at `start`.
    pub fn new(start: EventTime, width: Duration) -> Self {
        Self { window: Window { start, end: start + width }, hour: start.hour_of_week() }
    }
}

/// When confidence sequences of one slot began: each spends its level again, so only so many may act
/// in a period.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Starts(VecDeque<EventTime>);

impl Starts {
    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Begins a sequence at `at`; says whether the budget pays for it.
    fn begin(&mut self, at: EventTime, slot: &Slot) -> bool {
        while self.0.front().is_some_and(|start| *start + slot.budget.per <= at) {
            self.0.pop_front();
        }
        let paid = self.0.len() < slot.paid_starts();
        if paid {
            self.0.push_back(at);
        }
        paid
    }
}

/// The sequences of a limit between groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sequence {
    /// Rates since it began, kind by kind, group by group.
    pub(super) rates: Vec<Rate>,
    /// Panes since it began.
    pub(super) panes: u64,
    /// Whether the budget pays for it: else it is shown and raises no alarm.
    pub(super) paid: bool,
}

/// One slot of one model version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotState {
    pub(super) detector: Detector,
    pub(super) sequence: Option<Sequence>,
    #[serde(with = "as_json")]
    pub(super) alarm: Option<Evidence>,
    /// How much panes vary, where a calibration says how much they should.
    pub(super) fit: Fit,
}

impl SlotState {
    fn new(slot: &Slot) -> Self {
        Self { detector: Detector::new(slot.bets()), sequence: None, alarm: None, fit: Fit::default() }
    }

    fn unasked() -> Self {
        Self { detector: Detector::new(0), sequence: None, alarm: None, fit: Fit::default() }
    }
}

/// All detectors of one model version and segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Detectors {
    states: Vec<SlotState>,
    /// Whether they are about a segment value, of which only some slots are asked.
    segment: bool,
}

impl Detectors {
    /// Detectors of a whole version that have seen nothing.
    pub fn new(slots: &[Slot]) -> Self {
        Self { states: slots.iter().map(SlotState::new).collect(), segment: false }
    }

    /// Detectors of one segment value that have seen nothing. Slots that are not asked of segments
    /// hold no state and take no step.
    pub fn of_segment(slots: &[Slot]) -> Self {
        let state = |slot: &Slot| if slot.segments { SlotState::new(slot) } else { SlotState::unasked() };
        Self { states: slots.iter().map(state).collect(), segment: true }
    }

    /// One pane, once, in order. `starts` are those of all versions of the model, one per slot;
    /// `paid` says whether the budget pays for this version at all.
    pub fn step(
        &mut self,
        slots: &[Slot],
        pane: PaneOf,
        summary: &Summary,
        starts: &mut [Starts],
        paid: bool,
    ) {
        let mut readings = Vec::new();
        let mut alarmed: Vec<usize> = Vec::new();
        for (index, (slot, starts)) in slots.iter().zip(starts).enumerate() {
            if self.segment && !slot.segments {
                continue;
            }
            let state = &mut self.states[index];
            let evidence = match &slot.watch {
                Watch::Components { .. } => step_components(slot, state, pane, summary, &mut readings),
                Watch::Limit(_) => step_limit(slot, state, pane, summary, starts, paid),
            };
            if let Some(evidence) = evidence {
                // An alarm that nobody was told of yet stays the one that is told.
                state.alarm.get_or_insert(evidence);
                alarmed.push(index);
            }
        }
        // Read before any detector starts again, so that no alarm hides another.
        let moved: Vec<Vec<Moved>> =
            alarmed.iter().map(|index| self.moved(slots, slots[*index].check)).collect();
        for (index, moved) in alarmed.into_iter().zip(moved) {
            if let Some(alarm) = self.states[index].alarm.as_mut().filter(|alarm| alarm.pane == pane.window) {
                alarm.moved = moved;
            }
            if self.states[index].detector.log_e() >= slots[index].budget.log_threshold {
                self.states[index].detector.reset();
            }
        }
    }

    /// Where the evidence of one check is, most first.
    fn moved(&self, slots: &[Slot], check: usize) -> Vec<Moved> {
        let same = slots.iter().zip(&self.states).filter(|(slot, _)| slot.check == check);
        let mut moved: Vec<Moved> = same
            .map(|(slot, state)| Moved { scope: slot.key.clone(), log_e: state.detector.log_e() })
            .filter(|moved| moved.log_e.is_finite())
            .collect();
        moved.sort_by(|a, b| b.log_e.total_cmp(&a.log_e).then_with(|| a.scope.cmp(&b.scope)));
        moved.truncate(MOVED);
        moved
    }

    /// What is kept of them, slot by slot under the slot's signature, so that a slot that was changed
    /// meanwhile begins anew and all others go on.
    pub fn kept<'a>(&'a self, slots: &'a [Slot]) -> impl Iterator<Item = (u64, &'a SlotState)> {
        let asked = move |(slot, _): &(&Slot, &SlotState)| !self.segment || slot.segments;
        slots.iter().zip(&self.states).filter(asked).map(|(slot, state)| (slot.signature, state))
    }

    /// Takes up what was kept; slots that are not in it stay as they are.
    pub fn take_up(&mut self, slots: &[Slot], kept: impl IntoIterator<Item = (u64, SlotState)>) {
        let mut kept: BTreeMap<u64, SlotState> = kept.into_iter().collect();
        for (slot, state) in slots.iter().zip(&mut self.states) {
            let asked = !self.segment || slot.segments;
            if let Some(known) = kept.remove(&slot.signature).filter(|_| asked) {
                *state = known;
            }
        }
    }

    pub(super) fn state(&mut self, slot: usize) -> Option<&mut SlotState> {
        self.states.get_mut(slot)
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        let rates =
            |state: &SlotState| state.sequence.as_ref().map_or(0, |it| size_of_val(it.rates.as_slice()));
        self.states.iter().map(|state| state.detector.size() + rates(state)).sum()
    }
}

/// Steps a detector over components; an alarm leaves its state to be reset by the caller.
fn step_components(
    slot: &Slot,
    state: &mut SlotState,
    pane: PaneOf,
    summary: &Summary,
    readings: &mut Vec<Reading>,
) -> Option<Evidence> {
    slot.read(summary, readings);
    if let Some(reading) = slot.expected.and_then(|expected| readings.get(expected.component)) {
        state.fit.step(*reading);
    }
    let before = state.detector.clone();
    state.detector.step(slot.components(), readings, pane.hour);
    if state.detector.log_e() < slot.budget.log_threshold {
        return None;
    }
    Some(evidence::of_components(slot, &before, &state.detector, readings, pane))
}

fn step_limit(
    slot: &Slot,
    state: &mut SlotState,
    pane: PaneOf,
    summary: &Summary,
    starts: &mut Starts,
    paid: bool,
) -> Option<Evidence> {
    let Watch::Limit(limit) = &slot.watch else {
        return None;
    };
    let rates = limit.rates(summary);
    let before = state.detector.clone();
    state.detector.advance(limit.increments(&rates));
    let found = state.detector.log_e() >= slot.budget.log_threshold;
    let mut alarm = found.then(|| evidence::of_pairs(slot, limit, &before, &state.detector, &rates, pane));

    if state.sequence.is_none() && rates.iter().all(|rate| rate.n == 0) {
        return alarm;
    }
    let sequence = state.sequence.get_or_insert_with(|| Sequence {
        rates: vec![Rate::default(); rates.len()],
        panes: 0,
        paid: paid && starts.begin(pane.window.start, slot),
    });
    for (sum, rate) in sequence.rates.iter_mut().zip(&rates) {
        sum.n += rate.n;
        sum.k += rate.k;
    }
    sequence.panes += 1;
    let violated = limit.certain(&sequence.rates, slot.budget.alpha, 0).verdict == Verdict::Violation;
    if violated && (sequence.paid || !paid) && alarm.is_none() {
        alarm = Some(evidence::of_sequence(slot, limit, sequence, pane));
    }
    if violated || found {
        // What follows is judged by itself: an incident clears by what came after it.
        state.sequence = None;
    }
    alarm
}

/// An alarm inside a binary message: it is rare, its fields come and go, and JSON says which are there.
mod as_json {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    use crate::domain::Evidence;

    pub(super) fn serialize<S: Serializer>(
        alarm: &Option<Evidence>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let json = alarm.as_ref().map(serde_json::to_string).transpose().map_err(ser::Error::custom)?;
        json.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Evidence>, D::Error> {
        let json = Option::<String>::deserialize(deserializer)?;
        json.map(|json| serde_json::from_str(&json)).transpose().map_err(de::Error::custom)
    }
}
