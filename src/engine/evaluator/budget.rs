//! Places in the false-alarm budget: which versions may alarm, and why the others only run in shadow.

use std::collections::{BTreeMap, BTreeSet};

use super::Evaluator;
use super::key::detectors;
use crate::domain::{EventTime, ModelId, ModelKey, Segment};
use crate::engine::model::ModelSpec;

impl Evaluator {
    /// Gives versions that serve at `end` their places in the budget, first those that have one,
    /// then by name, until there is none left but those of versions without traffic, which go in the
    /// order in which they fell silent. What comes beyond was not declared, and cannot act.
    pub(super) fn pay(&mut self, end: EventTime) {
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
                self.changed.key(&key);
            }
            match gone {
                Some(gone) => {
                    resting.remove(&gone);
                    if let Some(state) = self.keys.get_mut(&gone.3) {
                        state.leave(&gone.3);
                        self.changed.key(&gone.3);
                    }
                }
                None => *taken += u32::from(free),
            }
        }
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
pub(super) fn unpaid(spec: &ModelSpec, key: &ModelKey) -> String {
    if !declared(spec, &key.segment) {
        return "the segment was not declared".to_owned();
    }
    let live = spec.live;
    format!(
        "the false-alarm budget pays for {} live versions of {} tenants, and they are all taken",
        live.versions, live.tenants
    )
}
