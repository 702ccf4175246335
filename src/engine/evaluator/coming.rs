//! Generations of the configuration that are known and not in effect yet, and the step from one to the
//! next. Windows that end up to the event time of the step are judged by the old models, later ones by
//! the new. Counts of panes behind it are held apart until then: they may be of another profile or layout.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::key::KeyState;
use super::state::key_record;
use super::{Evaluated, Evaluator, Fault};
use crate::domain::{EventTime, ModelId, ModelKey};
use crate::engine::generation::Generation;
use crate::engine::model::ModelSpec;
use crate::sketch::Summary;

/// Models by name.
pub(super) type Models = BTreeMap<ModelId, Arc<ModelSpec>>;

pub(super) fn by_name(models: impl IntoIterator<Item = Arc<ModelSpec>>) -> Models {
    models.into_iter().map(|model| (model.id.clone(), model)).collect()
}

/// A generation that is not in effect yet.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) generation: Generation,
    pub(super) models: Models,
    /// Counts of its panes so far.
    pub(super) panes: BTreeMap<(ModelKey, EventTime), Summary>,
}

impl Coming {
    /// Whether counts of `key` on `layout` are of its models.
    pub(super) fn fits(&self, key: &ModelKey, layout: u64) -> bool {
        fitting(&self.models, key, layout).is_some()
    }

    pub(super) fn merge(&mut self, key: ModelKey, pane: EventTime, summary: Summary) {
        match self.panes.entry((key, pane)) {
            Entry::Vacant(entry) => drop(entry.insert(summary)),
            Entry::Occupied(mut entry) => entry.get_mut().merge(&summary),
        }
    }
}

/// The model that counts of `key` on `layout` are of, if it is among `models`.
pub(super) fn fitting<'a>(models: &'a Models, key: &ModelKey, layout: u64) -> Option<&'a Arc<ModelSpec>> {
    let fits = |spec: &&Arc<ModelSpec>| spec.profile_hash() == key.profile && spec.layout_id == layout;
    models.get(&key.model).filter(fits)
}

impl Evaluator {
    /// The generation that is in effect; none where the models are all that was ever given.
    pub fn configured(&self) -> Option<&Generation> {
        self.configured.as_ref()
    }

    /// Generations that are to take effect, in their order.
    pub fn coming(&self) -> impl Iterator<Item = &Generation> {
        self.coming.iter().map(|coming| &coming.generation)
    }

    /// A generation with `models` is to take effect. One that is known already changes nothing. Where
    /// windows behind its time were judged already, it takes effect behind those.
    pub fn reconfigure(
        &mut self,
        mut generation: Generation,
        models: impl IntoIterator<Item = Arc<ModelSpec>>,
    ) -> Evaluated {
        let newest = self.coming().last().or(self.configured.as_ref());
        if newest.is_some_and(|newest| newest.number >= generation.number) {
            return Evaluated::default();
        }
        let after = newest.map_or(EventTime::MIN, Generation::from);
        let from = generation.from().max(self.closed).max(after);
        if generation.from() < from {
            generation.effective_from = Some(from);
        }
        let mut coming = Coming { generation, models: by_name(models), panes: BTreeMap::new() };
        let mut evaluated = Evaluated::default();
        self.set_apart(from, &mut coming, &mut evaluated);
        self.coming.push(coming);
        while self.coming.first().is_some_and(|coming| coming.generation.from() <= self.closed) {
            self.switch(&mut evaluated);
        }
        evaluated
    }

    /// Panes from `from` on that came before `coming` was known belong to it. Those that it cannot use
    /// are lost, which is told.
    fn set_apart(&mut self, from: EventTime, coming: &mut Coming, out: &mut Evaluated) {
        let mut apart: Vec<(ModelKey, EventTime, u64, Summary)> = Vec::new();
        for (key, state) in &mut self.keys {
            let layout = state.spec.layout_id;
            for (pane, summary) in state.panes.split_off(&from) {
                apart.push((key.clone(), pane, layout, summary));
            }
        }
        for other in &mut self.coming {
            let (early, late) =
                std::mem::take(&mut other.panes).into_iter().partition(|((_, pane), _)| *pane < from);
            other.panes = early;
            let moved: BTreeMap<(ModelKey, EventTime), Summary> = late;
            for ((key, pane), summary) in moved {
                let layout = other.models.get(&key.model).map_or(0, |spec| spec.layout_id);
                apart.push((key, pane, layout, summary));
            }
        }
        for (key, pane, layout, summary) in apart {
            if coming.fits(&key, layout) {
                coming.merge(key, pane, summary);
            } else {
                self.changed.pane(&key, pane);
                self.intake.foreign(summary.rows);
                out.faults.push(Fault::Foreign { key, rows: summary.rows });
            }
        }
    }

    /// The next generation takes effect. What it leaves as it was goes on: panes and windows of keys
    /// with the same profile and layout, detectors of the same slots, policies that ask the same.
    pub(super) fn switch(&mut self, out: &mut Evaluated) {
        if self.coming.is_empty() {
            return;
        }
        let Coming { generation, models, panes } = self.coming.remove(0);
        let from = generation.from();
        let unbegun = self.closed == EventTime::MIN;
        self.closed = self.closed.max(from);
        self.configured = Some(generation);
        let before = std::mem::replace(&mut self.models, models);
        for (key, mut old) in std::mem::take(&mut self.keys) {
            if unbegun {
                // Windows over these panes are judged though none was before.
                let last = old.panes.range(..from).next_back().map(|(start, _)| *start + old.spec.pane);
                old.served_until = old.served_until.max(last);
            }
            self.changed.key(&key);
            let held = std::mem::take(&mut old.panes);
            self.restore_key(key.clone(), key_record(&old));
            let same = self.keys.get_mut(&key).filter(|state| {
                state.spec.layout_id == old.spec.layout_id && state.spec.pane == old.spec.pane
            });
            let Some(state) = same else {
                held.keys().for_each(|pane| self.changed.pane(&key, *pane));
                continue;
            };
            state.panes = held;
            let kept = state.spec.windows();
            state.windows = old.windows.into_iter().filter(|(window, _)| kept.contains(window)).collect();
        }
        for ((model, segment), starts) in std::mem::take(&mut self.starts) {
            self.changed.starts(&model, &segment);
            let slots = before.get(&model).map(|spec| spec.slots.iter()).into_iter().flatten();
            let kept = slots.map(|slot| slot.signature).zip(starts).collect();
            self.restore_starts(model, segment, kept);
        }
        for ((key, pane), summary) in panes {
            let Some(spec) = self.models.get(&key.model) else { continue };
            let changed = &mut self.changed;
            let state = self.keys.entry(key).or_insert_with_key(|key| {
                changed.key(key);
                KeyState::new(spec, key)
            });
            state.newest = state.newest.max(pane + spec.pane);
            match state.panes.entry(pane) {
                Entry::Vacant(entry) => drop(entry.insert(summary)),
                // Only where it took effect in the middle of a pane, because it came too late.
                Entry::Occupied(mut entry) => entry.get_mut().merge(&summary),
            }
        }
        out.decisions.append(&mut self.withdrawn);
        self.evict();
    }
}
