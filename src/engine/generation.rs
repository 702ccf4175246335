//! Generations of the configuration: what may change while everything runs is numbered, and each takes
//! effect from an event time that every instance is told before it comes. Rows, panes and windows before
//! it belong to the generation before; so whoever learns of it when, all come to the same.
//!
//! The order in which generations stand in the control topic decides. Two instances that publish at once
//! may claim one number: the first to stand there has it, and the other is void.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::EventTime;

/// One generation of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number, from 1 on.
    pub number: u64,
    /// SHA-256 of its content, as hexadecimal digits.
    pub hash: String,
    /// The first event time that it is for, a multiple of every pane; none: all of them.
    pub effective_from: Option<EventTime>,
}

impl Generation {
    /// The first event time that it is for.
    pub fn from(&self) -> EventTime {
        self.effective_from.unwrap_or(EventTime::MIN)
    }
}

/// What became of a generation that stands in the control topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is the newest now.
    Accepted,
    /// Its number was taken, or it would take effect before the one before it: it never will.
    Void,
}

/// What a start finds out about the configuration that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has published any yet.
    First,
    /// It is the newest.
    Newest,
    /// It is an older one, of this number: the file was not renewed.
    Stale(u64),
    /// Nobody knows it yet.
    New,
}

/// All generations that are known, ascending, each with what belongs to it.
#[derive(Clone, Debug)]
pub struct Generations<T> {
    known: Vec<(Generation, T)>,
}

impl<T> Default for Generations<T> {
    fn default() -> Self {
        Self { known: Vec::new() }
    }
}

impl<T> Generations<T> {
    /// Takes the next one in the order of the control topic.
    pub fn offer(&mut self, generation: Generation, with: T) -> Offered {
        if let Some((newest, _)) = self.known.last()
            && (generation.number != newest.number + 1 || generation.from() < newest.from())
        {
            return Offered::Void;
        }
        self.known.push((generation, with));
        Offered::Accepted
    }

    /// The newest one.
    pub fn newest(&self) -> Option<&Generation> {
        self.known.last().map(|(generation, _)| generation)
    }

    /// The oldest one that is known.
    pub fn oldest(&self) -> Option<&Generation> {
        self.known.first().map(|(generation, _)| generation)
    }

    /// The one of this number.
    pub fn get(&self, number: u64) -> Option<&(Generation, T)> {
        let index = self.known.binary_search_by_key(&number, |(generation, _)| generation.number).ok()?;
        self.known.get(index)
    }

    /// The same, to change what belongs to it.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut (Generation, T)> {
        let index = self.known.binary_search_by_key(&number, |(generation, _)| generation.number).ok()?;
        self.known.get_mut(index)
    }

    /// The one that event time `at` belongs to.
    pub fn at(&self, at: EventTime) -> Option<&Generation> {
        let of = |(generation, _): &&(Generation, T)| generation.from() <= at;
        self.known.iter().rev().find(of).map(|(generation, _)| generation)
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &(Generation, T)> {
        self.known.iter()
    }

    /// What the configuration with this hash is at a start.
    pub fn standing(&self, hash: &str) -> Standing {
        let same = |(generation, _): &&(Generation, T)| generation.hash == hash;
        match (self.newest(), self.known.iter().rev().find(same)) {
            (None, _) => Standing::First,
            (Some(newest), Some((found, _))) if newest.number == found.number => Standing::Newest,
            (Some(_), Some((found, _))) => Standing::Stale(found.number),
            (Some(_), None) => Standing::New,
        }
    }

    /// The number of the next one.
    pub fn next_number(&self) -> u64 {
        self.newest().map_or(1, |newest| newest.number + 1)
    }
}

/// From when a new generation is for: `lead` of event time after the `newest` that anybody has seen, so
/// that everybody hears of it before, not before `after` (when the generation before it takes effect),
/// and at a multiple of all of `panes`. None, which is the beginning, where no event time is known yet.
pub fn effective_from(
    newest: Option<EventTime>,
    lead: Duration,
    after: Option<EventTime>,
    panes: impl IntoIterator<Item = Duration>,
) -> Option<EventTime> {
    let earliest = newest.map(|newest| newest + lead).max(after)?;
    let step = panes.into_iter().map(|pane| pane.as_millis().max(1)).fold(1, least_common_multiple);
    let step = Duration::from_millis(u64::try_from(step).unwrap_or(u64::MAX));
    let floor = earliest.floor(step);
    Some(if floor == earliest { floor } else { floor + step })
}

/// Panes are whole fractions of a day, so this is one too.
fn least_common_multiple(a: u128, b: u128) -> u128 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x * b
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn generation(number: u64, hash: &str, from: Option<i64>) -> Generation {
        Generation { number, hash: hash.to_owned(), effective_from: from.map(EventTime::from_millis) }
    }

    #[test]
    fn of_two_that_claim_a_number_the_first_in_the_topic_has_it() {
        let mut known = Generations::default();
        assert_eq!(known.standing("a"), Standing::First);
        assert_eq!(known.offer(generation(1, "a", None), ()), Offered::Accepted);
        assert_eq!(known.offer(generation(2, "b", Some(60_000)), ()), Offered::Accepted);
        assert_eq!(known.offer(generation(2, "c", Some(50_000)), ()), Offered::Void);
        assert_eq!(known.newest().unwrap().hash, "b");
        assert_eq!(known.next_number(), 3);
        assert_eq!(known.offer(generation(3, "c", Some(50_000)), ()), Offered::Void, "time never goes back");
        assert_eq!(known.offer(generation(3, "c", Some(60_000)), ()), Offered::Accepted);
        assert_eq!(known.at(EventTime::from_millis(59_999)).unwrap().number, 1);
        assert_eq!(known.at(EventTime::from_millis(60_000)).unwrap().number, 3, "the later one covers it");
        assert_eq!(known.standing("c"), Standing::Newest);
        assert_eq!(known.standing("a"), Standing::Stale(1));
        assert_eq!(known.standing("d"), Standing::New);
    }

    #[test]
    fn a_file_that_came_back_is_the_newest_again() {
        let mut known = Generations::default();
        for (number, hash) in [(1, "a"), (2, "b"), (3, "a")] {
            known.offer(generation(number, hash, Some(number as i64)), ());
        }
        assert_eq!(known.standing("a"), Standing::Newest);
        assert_eq!(known.standing("b"), Standing::Stale(2));
    }

    proptest! {
        #[test]
        fn it_is_for_a_pane_of_every_model_that_nobody_has_begun(
            newest in -1_000_000_000_i64..2_000_000_000_000,
            lead in 0_u64..200_000,
            panes in proptest::collection::vec(prop::sample::select(vec![1_u64, 5, 6, 10, 45, 60, 3_600, 86_400]), 0..4),
        ) {
            let newest = EventTime::from_millis(newest);
            let panes: Vec<Duration> = panes.into_iter().map(Duration::from_secs).collect();
            let lead = Duration::from_millis(lead);
            let from = effective_from(Some(newest), lead, None, panes.iter().copied()).unwrap();
            prop_assert!(from >= newest + lead);
            prop_assert!(from - Duration::from_secs(86_400) < newest + lead, "no later than it must be");
            for pane in panes {
                prop_assert_eq!(from.floor(pane), from);
            }
        }
    }

    #[test]
    fn before_any_traffic_it_is_for_all_of_it() {
        let pane = Duration::from_secs(60);
        assert_eq!(effective_from(None, Duration::from_secs(30), None, [pane]), None);
        let after = Some(EventTime::from_millis(90_000));
        let from = effective_from(None, Duration::from_secs(30), after, [pane]);
        assert_eq!(from, Some(EventTime::from_millis(120_000)), "never before the one before it");
    }
}
