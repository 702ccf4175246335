//! A look at committed offsets from outside, a few times a second: how far the group has come, and how
//! long it stood still after a kill.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::setting::Setting;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(250);

/// Committed offsets of `group` in partitions 0 to `partitions` of `topic`; 0 where there is none.
pub(super) fn committed(
    consumer: &BaseConsumer,
    topic: &str,
    partitions: i32,
    patience: Duration,
) -> Result<Vec<i64>, KafkaError> {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(topic, partition);
    }
    let committed = consumer.committed_offsets(list, patience)?;
    let mut offsets = vec![0; partitions as usize];
    for element in committed.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            offsets[element.partition() as usize] = offset;
        }
    }
    Ok(offsets)
}

#[derive(Debug, Default)]
struct Shared {
    offsets: Mutex<Vec<i64>>,
    stop: AtomicBool,
    /// Kills after which not every partition has moved yet: when, and the offsets then.
    waiting: Mutex<Vec<(Instant, Vec<i64>)>>,
    recovered: Mutex<Vec<Duration>>,
}

/// Watches one group in one topic. Dropped, it stops.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches the first `partitions` of `topic`.
    pub(super) fn start(setting: &Setting, group: &str, topic: &str, partitions: i32) -> Self {
        let shared = Arc::new(Shared::default());
        *shared.offsets.lock().unwrap() = vec![0; partitions as usize];
        // Offsets of open transactions are not waited for.
        let consumer = setting.consumer(group, "read_uncommitted");
        let (its, topic) = (Arc::clone(&shared), topic.to_owned());
        let thread = std::thread::spawn(move || {
            while !its.stop.load(Ordering::Relaxed) {
                // Without a coordinator, or before the topic is made, there is nothing new to know.
                if let Ok(offsets) = committed(&consumer, &topic, partitions, Duration::from_secs(5)) {
                    its.take(&offsets);
                }
                std::thread::sleep(EVERY);
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// Committed offsets as they were last seen.
    pub(super) fn offsets(&self) -> Vec<i64> {
        self.shared.offsets.lock().unwrap().clone()
    }

    /// An instance was killed just now.
    pub(super) fn killed(&self) {
        self.shared.waiting.lock().unwrap().push((Instant::now(), self.offsets()));
    }

    /// How long it took after each kill until every partition had moved on, in ascending order.
    pub(super) fn recoveries(&self) -> Vec<Duration> {
        let mut recovered = self.shared.recovered.lock().unwrap().clone();
        recovered.sort();
        recovered
    }
}

impl Shared {
    fn take(&self, offsets: &[i64]) {
        *self.offsets.lock().unwrap() = offsets.to_vec();
        self.waiting.lock().unwrap().retain(|(at, before)| {
            let moved = before.iter().zip(offsets).all(|(before, now)| now > before);
            if moved {
                self.recovered.lock().unwrap().push(at.elapsed());
            }
            !moved
        });
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}
