//! The demo's broker, librdkafka's mock cluster in this very process, and the producer that plays
//! the scenario to it. Both live on one thread, because the cluster cannot leave the one it was
//! made on.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use super::TOPIC;
use super::pace::Pace;
use super::scenario::{Phase, Scenario};
use super::traffic::Traffic;
use crate::domain::EventTime;

/// Records that may wait to be read: the mock cluster forgets what is beyond 5 MiB a partition.
const BACKLOG: u64 = 30_000;
/// plimsoll's own topics, which the mock cluster makes for nobody: a partition each, as the demo's
/// configuration says.
const OWN_TOPICS: [&str; 7] = [
    "plimsoll.partials",
    "plimsoll.state",
    "plimsoll.decisions",
    "plimsoll.control",
    "plimsoll.audit",
    "plimsoll.dead-letter",
    "plimsoll.findings",
];
/// Pause between two looks at the clock.
const STEP: Duration = Duration::from_millis(10);

/// What the generator and the rest of the demo tell each other.
#[derive(Debug)]
pub(super) struct Stage {
    /// Set when the daemon reads, so that nothing is produced before.
    pub(super) begin: AtomicBool,
    /// Set to end the traffic.
    pub(super) curtain: AtomicBool,
    /// Set to end the broker.
    pub(super) end: AtomicBool,
    /// Records produced.
    pub(super) produced: AtomicU64,
    /// Records that the daemon has read.
    pub(super) consumed: AtomicU64,
    /// The generator's clock, milliseconds of event time.
    pub(super) clock: AtomicI64,
    /// What is going on.
    pub(super) phase: Mutex<Phase>,
    /// A version to go back to, once plimsoll asked for it.
    pub(super) rollback: Mutex<Option<String>>,
}

impl Stage {
    pub(super) fn new(start: EventTime, phase: Phase) -> Self {
        Self {
            begin: AtomicBool::new(false),
            curtain: AtomicBool::new(false),
            end: AtomicBool::new(false),
            produced: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
            clock: AtomicI64::new(start.as_millis()),
            phase: Mutex::new(phase),
            rollback: Mutex::new(None),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the broker, tells its address, and plays the scenario until the curtain falls.
pub(super) fn play(
    scenario: &Scenario,
    seed: u64,
    start: EventTime,
    stage: &Stage,
    address: &Sender<String>,
) -> anyhow::Result<()> {
    let cluster = MockCluster::new(1).context("cannot start the in-process broker")?;
    cluster.create_topic(TOPIC, scenario.partitions, 1).context("cannot make the demo's topic")?;
    for topic in OWN_TOPICS {
        cluster.create_topic(topic, 1, 1).with_context(|| format!("cannot make the topic {topic}"))?;
    }
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("compression.type", "lz4")
        .set("linger.ms", "20")
        .set("queue.buffering.max.messages", "200000")
        .create()
        .context("cannot make the demo's producer")?;
    address.send(cluster.bootstrap_servers()).context("the demo ended before it began")?;
    while !stage.begin.load(Ordering::Relaxed) {
        if stage.end.load(Ordering::Relaxed) {
            return Ok(());
        }
        std::thread::sleep(STEP);
    }
    let mut traffic = Traffic::new(scenario.clone(), seed, start);
    let mut pace = Pace::new(scenario.speed, BACKLOG);
    let (began, mut record) = (Instant::now(), Vec::new());
    while !stage.curtain.load(Ordering::Relaxed) {
        if let Some(version) = stage.rollback.lock().unwrap_or_else(PoisonError::into_inner).take() {
            traffic.obey_rollback(&version);
        }
        let produced = stage.produced.load(Ordering::Relaxed);
        let backlog = produced.saturating_sub(stage.consumed.load(Ordering::Relaxed));
        let due = start + pace.due(began.elapsed(), backlog);
        let mut sent = 0;
        while traffic.clock() < due {
            let stamp = traffic.next_record(&mut record);
            send(&producer, stamp.partition, &record)?;
            sent += 1;
        }
        stage.produced.fetch_add(sent, Ordering::Relaxed);
        stage.clock.store(traffic.clock().as_millis(), Ordering::Relaxed);
        *stage.phase.lock().unwrap_or_else(PoisonError::into_inner) = traffic.phase();
        std::thread::sleep(STEP);
    }
    producer.flush(Duration::from_secs(2)).context("the last records of the demo did not arrive")?;
    // The broker must outlive those who still talk to it.
    while !stage.end.load(Ordering::Relaxed) {
        std::thread::sleep(STEP);
    }
    Ok(())
}

fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    partition: i32,
    record: &[u8],
) -> anyhow::Result<()> {
    let mut message = BaseRecord::<(), [u8]>::to(TOPIC).partition(partition);
    if !record.is_empty() {
        message = message.payload(record);
    }
    loop {
        match producer.send(message) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                message = back;
                std::thread::sleep(STEP);
            }
            Err((error, _)) => return Err(error).context("a record of the demo was not taken"),
        }
    }
}
