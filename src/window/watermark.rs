//! Event time as each source partition tells it. A partition's watermark is its largest event time
//! less the allowed lateness and never goes back; a record behind it is late. So lateness depends
//! on the partition's log alone, not on who reads it or when.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{EventTime, SourcePartition};

/// One partition's sense of event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionClock {
    lateness: Duration,
    newest: EventTime,
    watermark: EventTime,
}

impl PartitionClock {
    /// A partition that has shown nothing yet, or whose watermark was stored at `watermark`.
    pub fn new(lateness: Duration, watermark: Option<EventTime>) -> Self {
        Self { lateness, newest: EventTime::MIN, watermark: watermark.unwrap_or(EventTime::MIN) }
    }

    /// Takes note of a row's event time, in log order. Says whether the row is on time.
    pub fn admit(&mut self, time: EventTime) -> bool {
        if time < self.watermark {
            return false;
        }
        if time > self.newest {
            self.newest = time;
            self.watermark = self.watermark.max(time - self.lateness);
        }
        true
    }

    /// From now on rows may be `lateness` behind the largest event time. The watermark stays.
    pub fn allow(&mut self, lateness: Duration) {
        self.lateness = lateness;
    }

    /// Time has gone on without this partition, up to `time`: what it shows from before is late.
    pub fn raise(&mut self, time: EventTime) {
        self.watermark = self.watermark.max(time);
    }

    /// Largest event time seen; none before the first row.
    pub fn newest(&self) -> Option<EventTime> {
        (self.newest != EventTime::MIN).then_some(self.newest)
    }

    /// The watermark; none before the first row.
    pub fn watermark(&self) -> Option<EventTime> {
        (self.watermark != EventTime::MIN).then_some(self.watermark)
    }
}

/// What is known of one partition's progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Progress {
    /// Nothing was reported yet: holds everything back.
    Unknown,
    At(EventTime),
    /// Caught up and silent; its watermark, if it has shown any record, and the wall time at which
    /// this was last said.
    Idle(Option<EventTime>, i64),
}

/// How a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known of its event time yet.
    Unknown,
    /// It has a watermark.
    Active,
    /// It was last said to be caught up and silent.
    Idle,
}

/// How long, in milliseconds of wall time, a partition counts as idle after it was last said to be.
/// Who said so may be gone, and what has come since is then seen by nobody: until somebody reads the
/// partition again it holds windows back, as an active one does.
const IDLE_HOLDS: i64 = 15_000;

/// Watermarks of all source partitions, and the least of them. Wall time comes from those who report,
/// as a running maximum, so that the same reports give the same answer whenever they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermarks {
    partitions: BTreeMap<SourcePartition, Progress>,
    reached: Option<EventTime>,
    wall: i64,
}

impl Watermarks {
    /// `partition` is read from now on; it holds windows back until it reports or is idle.
    pub fn expect(&mut self, partition: SourcePartition) {
        self.partitions.entry(partition).or_insert(Progress::Unknown);
    }

    /// Every partition with its watermark, if it has shown any row, and how it stands.
    pub fn partitions(&self) -> impl Iterator<Item = (&SourcePartition, Option<EventTime>, Standing)> {
        self.partitions.iter().map(|(partition, progress)| match *progress {
            Progress::Unknown => (partition, None, Standing::Unknown),
            Progress::At(time) => (partition, Some(time), Standing::Active),
            Progress::Idle(time, _) => (partition, time, Standing::Idle),
        })
    }

    /// Whether `is` holds for every partition.
    pub fn all(&self, is: impl FnMut(&SourcePartition) -> bool) -> bool {
        self.partitions.keys().all(is)
    }

    /// Forgets the partitions that `keep` does not pick.
    pub fn retain(&mut self, mut keep: impl FnMut(&SourcePartition) -> bool) {
        self.partitions.retain(|partition, _| keep(partition));
    }

    /// Somebody has spoken at wall time `now`, in milliseconds.
    pub fn at(&mut self, now: i64) {
        self.wall = self.wall.max(now);
    }

    /// The latest wall time at which anybody has spoken, in milliseconds; 0 before.
    pub fn wall(&self) -> i64 {
        self.wall
    }

    /// `partition` has reached `watermark`, or is idle (caught up and silent).
    pub fn report(&mut self, partition: &SourcePartition, watermark: Option<EventTime>, idle: bool) {
        let progress = match (idle, watermark) {
            (true, watermark) => Progress::Idle(watermark, self.wall),
            (false, Some(watermark)) => Progress::At(watermark),
            (false, None) => Progress::Unknown,
        };
        self.partitions.insert(partition.clone(), progress);
    }

    /// How far event time has come: the least watermark over the partitions that are not idle, and
    /// where all are idle, the largest of all. The last of them to fall silent would have taken time
    /// there anyway; so it does not matter which one that was, or whether they did so at once.
    /// Never goes back; stays where it was while a partition has not reported.
    pub fn advance(&mut self) -> Option<EventTime> {
        let (mut least, mut silent) = (None, None);
        let mut active =
            |time: EventTime| least = Some(least.map_or(time, |least: EventTime| least.min(time)));
        for progress in self.partitions.values() {
            match *progress {
                Progress::Unknown => return self.reached,
                Progress::At(time) => active(time),
                Progress::Idle(time, said) if self.wall - said <= IDLE_HOLDS => silent = silent.max(time),
                Progress::Idle(Some(time), _) => active(time),
                Progress::Idle(None, _) => return self.reached,
            }
        }
        self.reached = self.reached.max(least.or(silent));
        self.reached
    }

    /// How far event time has come, as of the last `advance`.
    pub fn reached(&self) -> Option<EventTime> {
        self.reached
    }

    /// The partitions that hold event time back at `until`: those that have not reported, and those
    /// whose watermark is there or behind it.
    pub fn holding(&self, until: Option<EventTime>) -> impl Iterator<Item = &SourcePartition> {
        self.partitions.iter().filter_map(move |(partition, progress)| {
            let holds = match *progress {
                Progress::Unknown => true,
                Progress::At(time) => until.is_none_or(|until| time <= until),
                Progress::Idle(time, said) => {
                    self.wall - said > IDLE_HOLDS && until.zip(time).is_none_or(|(until, time)| time <= until)
                }
            };
            holds.then_some(partition)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_millis(seconds * 1000)
    }

    #[test]
    fn a_record_is_late_behind_the_watermark_of_its_own_partition() {
        let mut clock = PartitionClock::new(Duration::from_secs(10), None);
        assert!(clock.admit(at(100)));
        assert_eq!(clock.watermark(), Some(at(90)));
        assert!(clock.admit(at(90)), "on the watermark is not behind it");
        assert!(!clock.admit(at(89)));
        assert_eq!(clock.newest(), Some(at(100)), "a late record moves nothing");
    }

    #[test]
    fn a_stored_watermark_never_goes_back() {
        let mut clock = PartitionClock::new(Duration::from_secs(10), Some(at(95)));
        assert!(clock.admit(at(96)));
        assert_eq!(clock.watermark(), Some(at(95)));
    }

    #[test]
    fn nothing_closes_before_every_partition_has_reported_or_is_idle() {
        let (a, b) = (SourcePartition::new("t", 0), SourcePartition::new("t", 1));
        let mut marks = Watermarks::default();
        marks.expect(a.clone());
        marks.expect(b.clone());
        marks.report(&a, Some(at(50)), false);
        assert_eq!(marks.advance(), None);
        marks.report(&b, None, true);
        assert_eq!(marks.advance(), Some(at(50)), "an idle partition holds nothing back");
        marks.report(&b, Some(at(20)), false);
        assert_eq!(marks.advance(), Some(at(50)), "one that wakes behind does not pull time back");
    }

    #[test]
    fn with_all_idle_time_has_come_as_far_as_any_of_them_in_whatever_order_they_fell_silent() {
        let partitions = [("a", 70), ("b", 60), ("c", 0)]
            .map(|(topic, time)| (SourcePartition::new(topic, 0), (time > 0).then(|| at(time))));
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let mut marks = Watermarks::default();
            partitions.iter().for_each(|(partition, _)| marks.expect(partition.clone()));
            for number in order {
                let (partition, time) = &partitions[number];
                marks.report(partition, *time, false);
            }
            for number in order {
                let (partition, time) = &partitions[number];
                marks.report(partition, *time, true);
                marks.advance();
            }
            assert_eq!(marks.advance(), Some(at(70)), "{order:?}");
        }
    }

    #[test]
    fn an_idle_mark_lapses_when_nobody_renews_it() {
        let (a, b) = (SourcePartition::new("t", 0), SourcePartition::new("t", 1));
        let mut marks = Watermarks::default();
        marks.at(1_000);
        marks.report(&a, Some(at(50)), true);
        marks.report(&b, Some(at(60)), false);
        assert_eq!(marks.advance(), Some(at(60)));
        marks.at(17_000);
        marks.report(&b, Some(at(90)), false);
        assert_eq!(marks.advance(), Some(at(60)), "who said that it is idle may be gone");
        assert_eq!(marks.holding(Some(at(60))).collect::<Vec<_>>(), [&a]);
        marks.report(&a, Some(at(50)), true);
        assert_eq!(marks.advance(), Some(at(90)));
    }
}
