//! Writes the traffic to the input topic: each record once and in order, at a pace, and never further
//! ahead of what the group has committed than lateness allows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use super::setting::Setting;
use super::traffic::{CHUNK, PARTITIONS, Record, Tally, Traffic};
use super::watch::Watch;

/// Partitions that have records; the others come after them.
const WITH_RECORDS: usize = PARTITIONS as usize - 1;
/// A cluster that takes no record for so long has failed.
const DELIVERED_WITHIN: Duration = Duration::from_secs(90);
/// A fleet that commits nothing more for so long has failed.
const COMMITTED_WITHIN: Duration = Duration::from_secs(120);
/// After a wait the pace is made up for, but not beyond this many times itself.
const HURRY: f64 = 1.5;
const TICK: Duration = Duration::from_millis(2);

#[derive(Default)]
struct Failures(AtomicU64);

impl ClientContext for Failures {
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            eprintln!("chaos: a record was not delivered: {error}");
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How far the writing has come, for whoever disturbs it; and whether one of the threads of a run has
/// failed, so that the others do not go on for ever.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    records: Arc<AtomicU64>,
    failed: Arc<AtomicBool>,
}

impl Written {
    pub(super) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Fails where another thread has.
    pub(super) fn check(&self) {
        assert!(!self.failed.load(Ordering::Relaxed), "another part of the run has failed");
    }

    /// Does `work`; if that fails, `check` does in the other threads.
    pub(super) fn guard<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Guard<'a>(&'a AtomicBool);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
        }
        let _guard = Guard(&self.failed);
        work()
    }
}

/// The one producer of the input.
pub(super) struct Writer {
    producer: ThreadedProducer<Failures>,
    topic: String,
    pub(super) traffic: Traffic,
    pub(super) written: Written,
    /// Where the partitions ended after each chunk that is not known to be committed.
    open: VecDeque<[i64; PARTITIONS as usize]>,
    /// How long was waited for commits.
    pub(super) held_back: Duration,
}

impl Writer {
    pub(super) fn new(setting: &Setting, traffic: Traffic) -> Self {
        let mut config = setting.client();
        config.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "2");
        config.set("compression.type", "lz4");
        Self {
            producer: config.create_with_context(Failures::default()).unwrap(),
            topic: setting.topic.clone(),
            traffic,
            written: Written::default(),
            open: VecDeque::new(),
            held_back: Duration::ZERO,
        }
    }

    /// Writes what is left up to `until`, milliseconds of event time since the base, at `rate` records
    /// a second.
    pub(super) fn write(&mut self, until: i64, rate: f64, watch: &Watch) {
        let (start, mut last) = (Instant::now(), Instant::now());
        let mut count = 0_u64;
        while self.traffic.since() < until {
            self.written.check();
            self.wait_for_commits(watch);
            let due = start + Duration::from_secs_f64(count as f64 / rate);
            let soonest = last + Duration::from_secs_f64(CHUNK as f64 / (rate * HURRY));
            std::thread::sleep(due.max(soonest).saturating_duration_since(Instant::now()));
            last = Instant::now();
            let Some(chunk) = self.traffic.chunk() else { break };
            self.send(&chunk);
            count += chunk.len() as u64;
            self.open.push_back(self.traffic.tally.ends);
        }
    }

    /// Writes the last records, and returns what was written altogether.
    pub(super) fn finish(&mut self) -> Tally {
        let last = self.traffic.flush();
        self.send(&last);
        self.traffic.tally.clone()
    }

    /// All of `records` are kept by the cluster when this returns.
    fn send(&mut self, records: &[Record]) {
        for record in records {
            let mut message =
                BaseRecord::<(), str>::to(&self.topic).partition(record.partition).payload(&record.value);
            while let Err((error, back)) = self.producer.send(message) {
                assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
                message = back;
                std::thread::sleep(TICK);
            }
        }
        let start = Instant::now();
        while self.producer.in_flight_count() > 0 {
            assert!(start.elapsed() < DELIVERED_WITHIN, "the cluster takes no records");
            std::thread::sleep(TICK);
        }
        assert_eq!(self.producer.context().0.load(Ordering::Relaxed), 0, "a record was not delivered");
        self.written.records.fetch_add(records.len() as u64, Ordering::Relaxed);
    }

    /// Waits until so little is uncommitted that nothing of it can be behind a watermark.
    fn wait_for_commits(&mut self, watch: &Watch) {
        let start = Instant::now();
        loop {
            let offsets = watch.offsets();
            let covers = |ends: &[i64; PARTITIONS as usize]| {
                ends.iter().zip(&offsets).take(WITH_RECORDS).all(|(end, committed)| committed >= end)
            };
            while self.open.front().is_some_and(covers) {
                self.open.pop_front();
            }
            if self.open.len() < self.traffic.shape.ahead() {
                break;
            }
            let oldest = self.open.front();
            assert!(
                start.elapsed() < COMMITTED_WITHIN,
                "nothing is committed any more: {offsets:?} of at least {oldest:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        self.held_back += start.elapsed();
    }
}
