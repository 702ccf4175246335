//! Event time as each source partition tells it. A partition's watermark is its largest event time
//! less the allowed lateness and never goes back; a record behind it is late. So lateness depends
//! on the partition's log alone, not on who reads it or when.

use std::collections::BTreeMap;
use std::time::Duration;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Nothing was reported yet: holds everything back.
    Unknown,
    At(EventTime),
    /// Caught up and silent; its watermark, if it has shown any record.
    Idle(Option<EventTime>),
}

/// Watermarks of all source partitions, and the least of them.
#[derive(Clone, Debug, Default)]
pub struct Watermarks {
    partitions: BTreeMap<SourcePartition, Progress>,
    reached: Option<EventTime>,
}

impl Watermarks {
    /// `partition` is read from now on; it holds windows back until it reports or is idle.
    pub fn expect(&mut self, partition: SourcePartition) {
        self.partitions.entry(partition).or_insert(Progress::Unknown);
    }

    /// `partition` is not ours any more.
    pub fn forget(&mut self, partition: &SourcePartition) {
        self.partitions.remove(partition);
    }

    /// `partition` has reached `watermark`, or is idle (caught up and silent).
    pub fn report(&mut self, partition: &SourcePartition, watermark: Option<EventTime>, idle: bool) {
        let progress = match (idle, watermark) {
            (true, watermark) => Progress::Idle(watermark),
            (false, Some(watermark)) => Progress::At(watermark),
            (false, None) => Progress::Unknown,
        };
        self.partitions.insert(partition.clone(), progress);
    }

    /// Whether `partition` is idle.
    pub fn idle(&self, partition: &SourcePartition) -> bool {
        matches!(self.partitions.get(partition), Some(Progress::Idle(_)))
    }

    /// How far event time has come: the least watermark over the partitions that are not idle, and
    /// where all are idle, the largest of all. The last of them to fall silent would have taken time
    /// there anyway; so it does not matter which one that was, or whether they did so at once.
    /// Never goes back; stays where it was while a partition has not reported.
    pub fn advance(&mut self) -> Option<EventTime> {
        let (mut least, mut silent) = (None, None);
        for progress in self.partitions.values() {
            match progress {
                Progress::Unknown => return self.reached,
                Progress::At(time) => least = Some(least.map_or(*time, |least: EventTime| least.min(*time))),
                Progress::Idle(time) => silent = silent.max(*time),
            }
        }
        self.reached = self.reached.max(least.or(silent));
        self.reached
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
}
