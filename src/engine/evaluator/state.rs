//! What an evaluator knows, as records under keys: a compacted topic of them is all that the next owner
//! of its partition needs. Every record stands for itself, so that one commit writes only what changed,
//! and none grows with the age of the log.
//!
//! A record that was made under another configuration is taken up as far as it still fits: panes of
//! another layout are dropped, detectors whose slot was changed begin anew, an incident of a policy
//! that is gone is withdrawn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Evaluator;
use super::coming::{Coming, by_name};
use super::intake::Intake;
use super::key::KeyState;
use crate::check::sequential::{SlotState, Starts};
use crate::domain::{Decide, Decision, DecisionKind, EventTime, ModelId, ModelKey, Segment};
use crate::engine::generation::Generation;
use crate::engine::model::ModelSpec;
use crate::policy::identity::decision_id;
use crate::policy::{PolicyMachine, PolicySpec};
use crate::sketch::Summary;
use crate::stats::stable_hash::StableHash;
use crate::window::Watermarks;

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateKey {
    /// How far everything has come.
    Marks,
    /// A model version and segment, without its panes.
    Key(ModelKey),
    /// One of its panes.
    Pane(ModelKey, EventTime),
    /// When confidence sequences of a model and segment began.
    Starts(ModelId, Segment),
}

/// How far everything has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Marks {
    /// The next offset of the exchange's partition: all before it is in the records.
    pub position: i64,
    /// Windows that end up to here have been evaluated.
    pub closed: Option<EventTime>,
    /// Watermarks of the source partitions.
    pub watermarks: Watermarks,
    /// What came in.
    pub intake: Intake,
    /// The generation of the configuration that is in effect.
    pub configured: Option<Generation>,
    /// Those that are to follow, in their order.
    pub coming: Vec<Generation>,
}

/// One policy of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// The policy's name.
    pub name: String,
    /// A hash of what it asks: a machine of another counts windows that mean something else.
    pub signature: u64,
    /// By what it decided.
    pub decide: Decide,
    /// Where it stands.
    pub machine: PolicyMachine,
}

/// A model version and segment, without its panes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// What the cells of its panes mean.
    pub layout: u64,
    /// Its policies.
    pub policies: Vec<PolicyRecord>,
    /// Its detectors, by the signatures of their slots.
    pub detectors: Vec<(u64, SlotState)>,
    /// Whether the budget pays for it.
    pub paid: bool,
    /// Rows of panes that are not held any more.
    pub past_rows: u64,
    /// End of its newest pane.
    pub newest: EventTime,
    /// Start of the next pane that detectors step on.
    pub next_step: Option<EventTime>,
    /// Since when it takes no traffic.
    pub rested: Option<EventTime>,
    /// End of the last pane that the windows have come to.
    pub served_until: Option<EventTime>,
    /// End of its newest evaluated window.
    pub evaluated_until: Option<EventTime>,
}

/// What is known under a key.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it lives for one call, on its way into or out of a pane")]
pub enum Record {
    /// Of [`StateKey::Marks`].
    Marks(Box<Marks>),
    /// Of [`StateKey::Key`].
    Key(Box<KeyRecord>),
    /// Of [`StateKey::Pane`]: its layout and its counts.
    Pane(u64, Summary),
    /// Of [`StateKey::Starts`], by the signatures of the slots.
    Starts(Vec<(u64, Starts)>),
}

/// A record that is new, or, without one, a key that is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What it is about.
    pub key: StateKey,
    /// What is known of it now.
    pub record: Option<Record>,
}

/// What has changed since it was put away last.
#[derive(Debug, Default)]
pub(super) struct Changed {
    keys: BTreeSet<ModelKey>,
    panes: BTreeSet<(ModelKey, EventTime)>,
    starts: BTreeSet<(ModelId, Segment)>,
}

impl Changed {
    pub(super) fn key(&mut self, key: &ModelKey) {
        if !self.keys.contains(key) {
            self.keys.insert(key.clone());
        }
    }

    pub(super) fn pane(&mut self, key: &ModelKey, start: EventTime) {
        self.panes.insert((key.clone(), start));
    }

    pub(super) fn starts(&mut self, model: &ModelId, segment: &Segment) {
        self.starts.insert((model.clone(), segment.clone()));
    }
}

impl Evaluator {
    /// What has changed since the last call, by key; `position` is the next offset of the exchange's
    /// partition. Together with all earlier changes it is everything that the evaluator knows.
    pub fn changes(&mut self, position: i64) -> Vec<Change> {
        let mut changed = std::mem::take(&mut self.changed);
        for decision in &self.withdrawn {
            // The end of an incident that was not said yet must be found again in its record.
            if changed.keys.remove(&decision.key) {
                self.changed.key(&decision.key);
            }
        }
        let marks = Marks {
            position,
            closed: self.closed_until(),
            watermarks: self.watermarks.clone(),
            intake: self.intake.clone(),
            configured: self.configured.clone(),
            coming: self.coming().cloned().collect(),
        };
        let mut changes = vec![Change { key: StateKey::Marks, record: Some(Record::Marks(Box::new(marks))) }];
        for key in changed.keys {
            let record = self.keys.get(&key).map(|state| Record::Key(Box::new(key_record(state))));
            changes.push(Change { key: StateKey::Key(key), record });
        }
        for (key, start) in changed.panes {
            let record = self.pane(&key, start);
            changes.push(Change { key: StateKey::Pane(key, start), record });
        }
        for place in changed.starts {
            let spec = self.models.get(&place.0);
            let known = spec.zip(self.starts.get(&place)).map(|(spec, starts)| {
                let signed = spec.slots.iter().map(|slot| slot.signature).zip(starts.iter().cloned());
                Record::Starts(signed.filter(|(_, starts)| !starts.is_empty()).collect())
            });
            changes.push(Change { key: StateKey::Starts(place.0, place.1), record: known });
        }
        changes
    }

    fn pane(&self, key: &ModelKey, start: EventTime) -> Option<Record> {
        if let Some(coming) = self.coming.iter().rfind(|coming| coming.generation.from() <= start) {
            let summary = coming.panes.get(&(key.clone(), start))?;
            return Some(Record::Pane(coming.models.get(&key.model)?.layout_id, summary.clone()));
        }
        let state = self.keys.get(key)?;
        Some(Record::Pane(state.spec.layout_id, state.panes.get(&start)?.clone()))
    }

    /// An evaluator of `models` that goes on from `records`, and the offset at which it does. `reads`
    /// says which source topics are configured: what is remembered of others would hold windows back
    /// for ever.
    pub fn restore(
        models: impl IntoIterator<Item = Arc<ModelSpec>>,
        reads: impl Fn(&str) -> bool,
        records: impl IntoIterator<Item = (StateKey, Record)>,
    ) -> (Self, Option<i64>) {
        Self::restore_configured(models, Vec::new(), reads, records)
    }

    /// The same, where generations of the configuration are known: `models` are those of the one that
    /// is in effect by the [`Marks`] among the records, and `coming` has those that are to follow.
    pub fn restore_configured(
        models: impl IntoIterator<Item = Arc<ModelSpec>>,
        coming: Vec<(Generation, Vec<Arc<ModelSpec>>)>,
        reads: impl Fn(&str) -> bool,
        records: impl IntoIterator<Item = (StateKey, Record)>,
    ) -> (Self, Option<i64>) {
        let mut evaluator = Self::new(models);
        let coming = coming.into_iter().map(|(generation, models)| Coming {
            generation,
            models: by_name(models),
            panes: BTreeMap::new(),
        });
        evaluator.coming = coming.collect();
        let (mut position, mut panes) = (None, Vec::new());
        for (key, record) in records {
            match (key, record) {
                (StateKey::Marks, Record::Marks(marks)) => {
                    position = Some(marks.position);
                    evaluator.closed = marks.closed.unwrap_or(EventTime::MIN);
                    evaluator.watermarks = marks.watermarks;
                    evaluator.watermarks.retain(|source| reads(&source.topic));
                    evaluator.intake = marks.intake;
                    evaluator.configured = marks.configured;
                }
                (StateKey::Key(key), Record::Key(record)) => evaluator.restore_key(key, *record),
                (StateKey::Pane(key, start), Record::Pane(layout, summary)) => {
                    panes.push((key, start, layout, summary));
                }
                (StateKey::Starts(model, segment), Record::Starts(kept)) => {
                    evaluator.restore_starts(model, segment, kept);
                }
                // A key names the kind of its record, and decoding has held them together.
                _ => {}
            }
        }
        for (key, start, layout, summary) in panes {
            if let Some(coming) = evaluator.coming.iter_mut().rfind(|it| it.generation.from() <= start) {
                if coming.fits(&key, layout) {
                    coming.merge(key, start, summary);
                } else {
                    evaluator.changed.pane(&key, start);
                }
                continue;
            }
            match evaluator.keys.get_mut(&key).filter(|state| state.spec.layout_id == layout) {
                Some(state) => {
                    state.newest = state.newest.max(start + state.spec.pane);
                    state.panes.insert(start, summary);
                }
                None => evaluator.changed.pane(&key, start),
            }
        }
        (evaluator, position)
    }

    pub(super) fn restore_key(&mut self, key: ModelKey, record: KeyRecord) {
        let spec = self.models.get(&key.model).filter(|spec| spec.profile_hash() == key.profile);
        let mut state = spec.map(|spec| KeyState::new(spec, &key));
        for policy in record.policies {
            let known = state.as_mut().and_then(|state| {
                let index = state.spec.policies.iter().position(|spec| spec.name == policy.name)?;
                let same = signature(&state.spec.policies[index]) == policy.signature;
                state.policies[index] = if same { policy.machine.clone() } else { policy.machine.anew() };
                Some(())
            });
            if let (None, Some(incident)) = (known, policy.machine.incident()) {
                // Nobody can say any more whether it recovers, and an open incident forbids the next.
                let kind = DecisionKind::Withdrawn;
                self.withdrawn.push(Decision {
                    id: decision_id(kind, &policy.name, &key, incident.since),
                    kind,
                    policy: policy.name,
                    decide: policy.decide,
                    key: key.clone(),
                    since: incident.since,
                    at: incident.since,
                    actions: Vec::new(),
                    evidence: Vec::new(),
                });
                self.changed.key(&key);
            }
        }
        let Some(mut state) = state else {
            self.changed.key(&key);
            return;
        };
        let slots = Arc::clone(&state.spec);
        state.detectors.take_up(&slots.slots, record.detectors);
        state.paid = record.paid;
        state.past_rows = record.past_rows;
        state.newest = record.newest;
        // On other panes the detectors begin with the first that is counted: the old ones are dropped, and
        // where they ended, none of the new ones may begin.
        state.next_step = record.next_step.filter(|_| record.layout == state.spec.layout_id);
        state.rested = record.rested;
        state.served_until = record.served_until;
        state.evaluated_until = record.evaluated_until;
        self.keys.insert(key, state);
    }

    pub(super) fn restore_starts(&mut self, model: ModelId, segment: Segment, kept: Vec<(u64, Starts)>) {
        let Some(spec) = self.models.get(&model) else {
            self.changed.starts(&model, &segment);
            return;
        };
        let mut kept: BTreeMap<u64, Starts> = kept.into_iter().collect();
        let starts = spec.slots.iter().map(|slot| kept.remove(&slot.signature).unwrap_or_default());
        self.starts.insert((model, segment), starts.collect());
    }
}

pub(super) fn key_record(state: &KeyState) -> KeyRecord {
    let spec = &state.spec;
    let policies = spec.policies.iter().zip(&state.policies).map(|(policy, machine)| PolicyRecord {
        name: policy.name.clone(),
        signature: signature(policy),
        decide: policy.decide,
        machine: machine.clone(),
    });
    let detectors = state.detectors.kept(&spec.slots);
    KeyRecord {
        layout: spec.layout_id,
        policies: policies.collect(),
        detectors: detectors.map(|(signature, state)| (signature, state.clone())).collect(),
        paid: state.paid,
        past_rows: state.past_rows,
        newest: state.newest,
        next_step: state.next_step,
        rested: state.rested,
        served_until: state.served_until,
        evaluated_until: state.evaluated_until,
    }
}

/// A hash of what a policy asks. Which actions it wants changes nothing about what it has counted.
fn signature(policy: &PolicySpec) -> u64 {
    let PolicySpec {
        name,
        checks,
        decide,
        violate,
        clear_windows,
        clear_bounds,
        qualify_windows,
        qualify_for,
        qualify_samples,
        actions: _,
    } = policy;
    let asks = format!(
        "{:?}",
        (
            name,
            checks,
            decide,
            violate,
            clear_windows,
            clear_bounds,
            qualify_windows,
            qualify_for,
            qualify_samples
        )
    );
    StableHash::new(0).bytes(asks.as_bytes()).finish()
}
