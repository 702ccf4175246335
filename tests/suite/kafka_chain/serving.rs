//! The server of the model: asks MLflow twice a second which version serves, and logs predictions of that
//! version to Kafka. The first version is good; all others favour one sex, and their scores have moved.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::util::Timeout;
use serde_json::json;

use super::mlflow::Registry;
use super::topics::client;
use super::{PATIENCE, wait_for, wall};
use crate::support::Stream;

/// How often it looks which version serves.
pub(super) const POLL: Duration = Duration::from_millis(500);
/// Records a second.
const RATE: u64 = 400;
/// Partitions of the input.
pub(super) const PARTITIONS: i32 = 2;

/// A record of a version at `millis`.
pub(super) fn record(model: &str, version: u32, millis: i64, random: &mut Stream) -> String {
    let bad = version > 1;
    let female = random.uniform() < 0.5;
    // The mean of three uniform numbers lies about a half; a bad version's lies lower.
    let middle = (random.uniform() + random.uniform() + random.uniform()) / 3.0;
    let score = if bad { 0.7 * middle } else { middle };
    let share = if bad && female { 0.25 } else { 0.7 };
    json!({
        "model": model,
        "version": format!("v{version}"),
        "ts": millis,
        "sex": if female { "F" } else { "M" },
        "score": score,
        "prediction": if random.uniform() < share { "approved" } else { "denied" },
    })
    .to_string()
}

/// A server of one model. Dropped, it stops.
#[derive(Debug)]
pub(super) struct Serving {
    stop: Arc<AtomicBool>,
    follows: Arc<AtomicBool>,
    version: Arc<AtomicU32>,
    /// How long each reading of the alias took, milliseconds.
    pub(super) reads: Arc<Mutex<Vec<i64>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Serving {
    /// Serves whatever the alias of `registry` names, and logs it to `topic`.
    pub(super) fn start(registry: &Registry, topic: &str) -> Self {
        let serving = registry.serving().expect("there is an alias to begin with");
        let (stop, follows) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let version = Arc::new(AtomicU32::new(serving));
        let reads = Arc::new(Mutex::new(Vec::new()));
        let follow = {
            let (registry, stop, version) = (registry.clone(), Arc::clone(&stop), Arc::clone(&version));
            let (follows, reads) = (Arc::clone(&follows), Arc::clone(&reads));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // Without an alias, or without an answer, it goes on with what it has loaded.
                    let began = Instant::now();
                    let named = registry.serving();
                    reads.lock().unwrap().push(began.elapsed().as_millis() as i64);
                    if let Some(now) = named
                        && follows.load(Ordering::Relaxed)
                    {
                        version.store(now, Ordering::Relaxed);
                    }
                    std::thread::sleep(POLL);
                }
            })
        };
        let log = {
            let (stop, version) = (Arc::clone(&stop), Arc::clone(&version));
            let (model, topic) = (registry.model.clone(), topic.to_owned());
            std::thread::spawn(move || log(&model, &topic, &stop, &version))
        };
        Self { stop, follows, version, reads, threads: vec![follow, log] }
    }

    /// Goes on with the version that it serves, whatever the alias names.
    pub(super) fn stay(&self) {
        self.follows.store(false, Ordering::Relaxed);
    }

    /// Waits until it serves `version`.
    pub(super) fn await_version(&self, version: u32) {
        wait_for(&format!("version {version} to be served"), PATIENCE, || {
            (self.version.load(Ordering::Relaxed) == version).then_some(())
        });
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server of the model failed");
        }
    }
}

fn log(model: &str, topic: &str, stop: &AtomicBool, version: &AtomicU32) {
    let mut config = client();
    config.set("linger.ms", "5").set("enable.idempotence", "true");
    let producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext> = config.create().unwrap();
    let (mut random, start, mut made) = (Stream(7), Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let due = start.elapsed().as_millis() as u64 * RATE / 1_000;
        for _ in made..due {
            let (now, serving) = (wall(), version.load(Ordering::Relaxed));
            let value = record(model, serving, now, &mut random);
            let partition = i32::from(random.uniform() < 0.5);
            producer
                .send(BaseRecord::<(), str>::to(topic).partition(partition).payload(&value))
                .map_err(|(error, _)| error)
                .unwrap();
        }
        made = due;
        std::thread::sleep(Duration::from_millis(5));
    }
    producer.flush(Timeout::After(PATIENCE)).unwrap();
}
