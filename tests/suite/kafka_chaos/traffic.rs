//! The records of a chaos run: they follow from the seed, so a test knows what each partition holds,
//! what is late and what is broken, and a run can be repeated to the byte.
//!
//! Two rules make the results independent of when anything is read, so that a disturbed run can be
//! held against an undisturbed one. Event time is one clock for all partitions, and records come out of
//! order by less than what is allowed. And the writer keeps within the allowed lateness of what the
//! group has committed (`writer`): whatever partition is taken for idle, and whenever, it holds
//! nothing that others could have left behind.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll::domain::EventTime;
use plimsoll::window::PartitionClock;

use crate::support::Stream;

/// Partitions of the input topic.
pub(super) const PARTITIONS: i32 = 8;
/// The one that falls silent for a while.
pub(super) const SILENT: i32 = 6;
/// The one that never gets a record.
pub(super) const EMPTY: i32 = 7;
/// Models with traffic.
pub(super) const MODELS: usize = 12;
/// The model of the last records, which only take event time on.
pub(super) const FLUSH: &str = "flush";
/// Records a second of event time.
pub(super) const RATE: i64 = 250;
/// Records that are generated, written and waited for together.
pub(super) const CHUNK: u64 = 1_250;
/// The same in event time, milliseconds.
pub(super) const CHUNK_MILLIS: i64 = CHUNK as i64 * 1_000 / RATE;
/// Records come out of order by less than this, milliseconds.
pub(super) const JITTER: i64 = 5_000;
/// Event time begins here, whenever a run is made: 2025-01-01T00:00:00Z.
pub(super) const BASE: i64 = 1_735_689_600_000;
/// A version stops being told from the next ones here.
const VERSIONS: usize = 4;

/// A stretch of event time, milliseconds since [`BASE`], in which a new version of a model is unfair.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incident {
    pub(super) model: usize,
    pub(super) from: i64,
    pub(super) until: i64,
}

/// What is to be written.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) seed: u64,
    pub(super) records: u64,
    /// As configured, milliseconds.
    pub(super) lateness: i64,
    /// Records between which partition [`SILENT`] gets none.
    pub(super) silence: std::ops::Range<u64>,
    pub(super) incidents: Vec<Incident>,
}

impl Shape {
    /// Every other model becomes unfair again and again, one after the other.
    pub(super) fn long(seed: u64, records: u64) -> Self {
        const CYCLE: i64 = 400_000;
        let span = records as i64 * 1_000 / RATE;
        let mut incidents = Vec::new();
        for model in (0..MODELS).step_by(2) {
            let first = 150_000 + model as i64 * CYCLE / MODELS as i64 / 2;
            let starts = (0..).map(|cycle| first + cycle * CYCLE).take_while(|from| *from < span);
            incidents.extend(starts.map(|from| Incident { model, from, until: from + 140_000 }));
        }
        let lateness = (span / 8).clamp(60_000, 300_000) / 1_000 * 1_000;
        Self { seed, records, lateness, silence: records * 2 / 5..records * 13 / 20, incidents }
    }

    /// Event time of a record by its number, milliseconds since the epoch.
    pub(super) fn time(&self, number: u64) -> i64 {
        BASE + number as i64 * 1_000 / RATE
    }

    /// What ends up to here is compared: behind it there are only records that take time on.
    pub(super) fn end(&self) -> i64 {
        self.time(self.records)
    }

    /// Chunks that may be written ahead of what is committed, so that nothing of the first that is
    /// not is behind the watermark of the last.
    pub(super) fn ahead(&self) -> usize {
        usize::try_from((self.lateness - JITTER) / CHUNK_MILLIS - 1).unwrap_or_default().max(1)
    }

    fn version(&self, model: usize, since: i64) -> usize {
        let mut mine = self.incidents.iter().filter(|incident| incident.model == model).peekable();
        if mine.peek().is_none() {
            return 1 + usize::from(since > self.records as i64 * 500 / RATE);
        }
        (1 + mine.filter(|incident| incident.from <= since).count()).min(VERSIONS)
    }

    fn unfair(&self, model: usize, since: i64) -> bool {
        let inside = |incident: &Incident| (incident.from..incident.until).contains(&since);
        self.incidents.iter().any(|incident| incident.model == model && inside(incident))
    }
}

/// One record.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) partition: i32,
    pub(super) value: String,
}

/// What was generated so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) records: u64,
    pub(super) late: u64,
    /// Partition and offset of every broken record, and why it is refused.
    pub(super) rejected: BTreeMap<(i32, i64), &'static str>,
    /// Records by partition.
    pub(super) ends: [i64; PARTITIONS as usize],
}

/// Generates records in order.
pub(super) struct Traffic {
    pub(super) shape: Shape,
    pub(super) tally: Tally,
    random: Stream,
    next: u64,
    /// Largest event time of each partition.
    newest: [Option<i64>; PARTITIONS as usize],
}

impl Traffic {
    pub(super) fn new(shape: Shape) -> Self {
        let random = Stream(shape.seed);
        Self { shape, tally: Tally::default(), random, next: 0, newest: [None; PARTITIONS as usize] }
    }

    /// The next records; none when all are out.
    pub(super) fn chunk(&mut self) -> Option<Vec<Record>> {
        let until = (self.next + CHUNK).min(self.shape.records);
        let chunk: Vec<Record> = (self.next..until).map(|number| self.record(number)).collect();
        self.next = until;
        (!chunk.is_empty()).then_some(chunk)
    }

    /// Event time up to which records have come, milliseconds since [`BASE`].
    pub(super) fn since(&self) -> i64 {
        self.shape.time(self.next) - BASE
    }

    /// One last record for each partition that has any, far enough ahead to close all windows of the others.
    pub(super) fn flush(&mut self) -> Vec<Record> {
        let time = self.shape.end() + 2 * self.shape.lateness + 600_000;
        let used = (0..PARTITIONS).filter(|partition| *partition != EMPTY);
        let records = used.map(|partition| {
            let value = format!(r#"{{"model":"{FLUSH}","version":"v1","ts":{time}}}"#);
            Record { partition, value }
        });
        let records: Vec<Record> = records.collect();
        for record in &records {
            self.count(record.partition);
        }
        records
    }

    /// Counts a record of the partition and returns its offset.
    fn count(&mut self, partition: i32) -> i64 {
        let end = &mut self.tally.ends[partition as usize];
        *end += 1;
        self.tally.records += 1;
        *end - 1
    }

    fn below(&mut self, n: i64) -> i64 {
        (self.random.uniform() * n as f64) as i64
    }

    fn record(&mut self, number: u64) -> Record {
        let silent = self.shape.silence.contains(&number);
        let partition = self.below(i64::from(if silent { SILENT } else { SILENT + 1 })) as i32;
        let offset = self.count(partition);
        let model = self.below(MODELS as i64) as usize;
        let fate = self.random.uniform();
        let time = self.shape.time(number) - self.below(JITTER);
        if fate < 0.001 {
            let (value, reason) = match number % 3 {
                0 => (format!(r#"{{"id":{number},"model":"m"#), "invalid_json"),
                1 => (format!(r#"{{"id":{number},"model":"nobody's","ts":{time}}}"#), "unknown_model"),
                _ => (format!(r#"{{"id":{number},"model":"m00","version":"v1"}}"#), "missing_time"),
            };
            self.tally.rejected.insert((partition, offset), reason);
            return Record { partition, value };
        }
        let newest = &mut self.newest[partition as usize];
        let time = match *newest {
            Some(newest) if fate < 0.011 => {
                self.tally.late += 1;
                newest - 3 * self.shape.lateness
            }
            before => {
                *newest = before.max(Some(time));
                time
            }
        };
        Record { partition, value: self.prediction(number, model, time) }
    }

    fn prediction(&mut self, number: u64, model: usize, time: i64) -> String {
        let since = time - BASE;
        let version = self.shape.version(model, since);
        let female = self.random.uniform() < 0.5;
        let share = if female && self.shape.unfair(model, since) { 0.3 } else { 0.8 };
        let approved = self.random.uniform() < share;
        let repaid = approved == (self.random.uniform() < 0.9);
        let word = |yes: bool| if yes { "approved" } else { "denied" };
        let region = ["north", "south", "east", "west"][self.below(4) as usize];
        format!(
            r#"{{"id":{number},"model":"m{model:02}","version":"v{version}","ts":{time},"sex":"{}","region":"{region}","prediction":"{}","label":"{}","latency_ms":{}}}"#,
            if female { "F" } else { "M" },
            word(approved),
            word(repaid),
            5 + self.below(40),
        )
    }
}

#[test]
fn what_is_late_follows_from_the_log_and_nothing_that_may_be_uncommitted_is_behind_a_watermark() {
    let shape = Shape::long(42, 200_000);
    let (mut traffic, mut again) = (Traffic::new(shape.clone()), Traffic::new(shape.clone()));
    let lateness = Duration::from_millis(shape.lateness as u64);
    let mut clocks = [PartitionClock::new(lateness, None); PARTITIONS as usize];
    let (mut late, mut number) = (0, 0);
    // Of each chunk, the smallest event time that is not late and the largest watermark after it.
    let mut chunks: Vec<(i64, i64)> = Vec::new();
    while let Some(chunk) = traffic.chunk() {
        let values = |records: &[Record]| records.iter().map(|one| one.value.clone()).collect::<Vec<_>>();
        assert_eq!(values(&chunk), values(&again.chunk().unwrap()), "the seed decides everything");
        let mut least = i64::MAX;
        for record in &chunk {
            assert!(record.partition != SILENT || !shape.silence.contains(&number));
            number += 1;
            let value: serde_json::Value = serde_json::from_str(&record.value).unwrap_or_default();
            let (Some(time), false) = (value["ts"].as_i64(), value["model"] == "nobody's") else { continue };
            if clocks[record.partition as usize].admit(EventTime::from_millis(time)) {
                least = least.min(time);
            } else {
                late += 1;
            }
        }
        let watermark = clocks.iter().filter_map(PartitionClock::watermark).max().unwrap();
        chunks.push((least, watermark.as_millis()));
    }
    assert_eq!((number, late), (shape.records, traffic.tally.late));
    assert!(late > shape.records / 110 && !traffic.tally.rejected.is_empty());
    assert_eq!(traffic.tally.ends[EMPTY as usize], 0);
    for (first, (least, _)) in chunks.iter().enumerate() {
        // The first is not committed; so many may be written with it.
        let last = (first + shape.ahead() - 1).min(chunks.len() - 1);
        assert!(*least >= chunks[last].1, "chunk {first} may be left behind by chunk {last}");
    }
}
