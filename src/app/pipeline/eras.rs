//! How records are read in each generation of the configuration. For a while two of them are needed: a
//! row belongs to the one that its event time lies in, and partitions do not get there all at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Counting, TopicSpec};
use crate::domain::EventTime;
use crate::engine::model::ModelSpec;
use crate::ingest::decoder::{Decoder, Limits};

/// Generations that are held at most. A partition that has fallen behind further than this is read
/// with the oldest of them.
const MOST: usize = 4;

/// One topic in one generation.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) decoder: Decoder,
    pub(super) models: Vec<Arc<ModelSpec>>,
    pub(super) allowed_lateness: Duration,
    pub(super) idle_after: Duration,
}

impl Reading {
    fn new(topic: TopicSpec, limits: Limits) -> Self {
        Self {
            decoder: Decoder::new(&topic.mapping, limits),
            models: topic.models,
            allowed_lateness: topic.allowed_lateness,
            idle_after: topic.idle_after,
        }
    }
}

/// One generation.
#[derive(Debug)]
pub(super) struct Era {
    pub(super) number: u64,
    /// The first event time of its rows.
    pub(super) from: EventTime,
    /// By index of the topic; none where it does not carry anything.
    pub(super) topics: Vec<Option<Reading>>,
}

impl Era {
    pub(super) fn new(
        number: u64,
        from: EventTime,
        topics: Vec<TopicSpec>,
        names: &[Arc<str>],
        limits: Limits,
    ) -> Self {
        let mut by_name: BTreeMap<Arc<str>, TopicSpec> =
            topics.into_iter().map(|topic| (Arc::clone(&topic.name), topic)).collect();
        let reading = |name: &Arc<str>| Some(Reading::new(by_name.remove(name)?, limits));
        Self { number, from, topics: names.iter().map(reading).collect() }
    }
}

impl Counting {
    /// Rows from event time `from` on are those of `topics`, and of generation `number`.
    pub fn add_generation(&mut self, number: u64, from: EventTime, topics: Vec<TopicSpec>) {
        let Err(place) = self.eras.binary_search_by_key(&number, |era| era.number) else { return };
        let names: Vec<Arc<str>> = self.topics.iter().map(|(name, _)| Arc::clone(name)).collect();
        self.eras.insert(place, Era::new(number, from, topics, &names, self.limits));
    }

    /// Numbers of the generations that are held, ascending.
    pub fn generations(&self) -> impl Iterator<Item = u64> {
        self.eras.iter().map(|era| era.number)
    }

    /// The largest event time of a row that was read from any partition that is held.
    pub fn newest(&self) -> Option<EventTime> {
        self.observer.partitions().filter_map(|(_, state)| state.newest).max()
    }

    /// Index of the generation that a partition with this watermark has come to.
    pub(super) fn era_at(&self, watermark: Option<EventTime>) -> usize {
        let passed = |era: &Era| watermark.is_some_and(|watermark| era.from <= watermark);
        self.eras.iter().rposition(passed).unwrap_or(0)
    }

    /// Lets go of generations that every partition has left behind. To be called when every row is
    /// counted.
    pub(super) fn retire(&mut self) {
        if self.eras.len() < 2 {
            return;
        }
        let moving = |lane: &super::Lane| self.observer.watermark(&lane.partition).map(|_| lane.era);
        let oldest = self.lanes.iter().filter_map(moving).min();
        let newest = self.eras.len() - 1;
        let left = oldest.map_or(0, |oldest| self.eras.iter().take_while(|era| era.number < oldest).count());
        let left = left.max(self.eras.len().saturating_sub(MOST)).min(newest);
        let kept = self.eras.split_off(left);
        self.eras = kept;
        let first = self.eras[0].number;
        for lane in &mut self.lanes {
            lane.era = lane.era.max(first);
            lane.builders.retain(|(era, _)| *era >= first);
        }
    }
}
