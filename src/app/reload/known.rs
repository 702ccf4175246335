//! The generations that stand in the control topic, as this instance knows them, for all of its roles.
//! The topic decides; each instance reads all of it and comes to the same.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::ClientConfig;

use super::content::{Compiled, Content, Published};
use crate::domain::EventTime;
use crate::engine::Generation;
use crate::engine::generation::{Generations, Offered, Standing};
use crate::exchange::state::Tail;

/// How long one look at the topic waits, so that a stop is noticed.
const WAIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Inner {
    tail: Tail,
    known: Generations<Content>,
    /// Those whose number was taken.
    void: Vec<Generation>,
    /// Those that were asked for since the newest one came.
    compiled: BTreeMap<u64, Arc<Compiled>>,
}

/// The generations of the configuration that are known.
#[derive(Debug)]
pub struct Configurations {
    topic: String,
    inner: Mutex<Inner>,
}

impl Configurations {
    /// Those in `topic`; nothing is read yet.
    ///
    /// # Errors
    /// On a wrong connection only.
    pub fn new(client: &ClientConfig, topic: &str) -> anyhow::Result<Self> {
        let tail = Tail::new(client, topic, 0).context("cannot read the control topic")?;
        let (known, void, compiled) = (Generations::default(), Vec::new(), BTreeMap::new());
        Ok(Self { topic: topic.to_owned(), inner: Mutex::new(Inner { tail, known, void, compiled }) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What a panic elsewhere left is whole: generations are taken one by one.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what has come since, without waiting.
    ///
    /// # Errors
    /// When something in the topic cannot be understood.
    pub fn poll(&self) -> anyhow::Result<()> {
        let inner = &mut *self.lock();
        self.look(inner, |tail, sink| tail.poll(Duration::ZERO, sink).map(|_| true)).map(|_| ())
    }

    /// Takes all that is committed now. False where that took longer than `timeout`.
    ///
    /// # Errors
    /// When the topic cannot be read, or something in it cannot be understood.
    pub fn catch_up(&self, timeout: Duration) -> anyhow::Result<bool> {
        let inner = &mut *self.lock();
        self.look(inner, |tail, sink| tail.read_to_end(timeout, sink))
    }

    fn look(
        &self,
        inner: &mut Inner,
        read: impl FnOnce(
            &mut Tail,
            crate::exchange::state::TailSink<'_>,
        ) -> Result<bool, crate::exchange::state::Error>,
    ) -> anyhow::Result<bool> {
        let mut found: Vec<(i64, Vec<u8>)> = Vec::new();
        let read = read(&mut inner.tail, &mut |offset, _, value| {
            found.extend(value.map(|value| (offset, value.to_vec())));
        });
        for (offset, bytes) in found {
            let place = || format!("the configuration at {} offset {offset}", self.topic);
            match Published::decode(&bytes).with_context(place)? {
                Some(published) => inner.take(published),
                None => tracing::error!(
                    topic = self.topic,
                    offset,
                    "a message of the control topic is no configuration, and is passed over"
                ),
            }
        }
        read.context("cannot read the control topic")
    }

    /// The newest one.
    pub fn newest(&self) -> Option<Generation> {
        self.lock().known.newest().cloned()
    }

    /// The oldest one.
    pub fn oldest(&self) -> Option<Generation> {
        self.lock().known.oldest().cloned()
    }

    /// The one that event time `at` belongs to.
    pub fn at(&self, at: EventTime) -> Option<Generation> {
        self.lock().known.at(at).cloned()
    }

    /// The one of this number, where it is known.
    pub fn get(&self, number: u64) -> Option<Generation> {
        self.lock().known.get(number).map(|(generation, _)| generation.clone())
    }

    /// All of them, ascending.
    pub fn all(&self) -> Vec<Generation> {
        self.lock().known.iter().map(|(generation, _)| generation.clone()).collect()
    }

    /// What the configuration with this hash is at a start.
    pub fn standing(&self, hash: &str) -> Standing {
        self.lock().known.standing(hash)
    }

    /// The number of the next one.
    pub fn next_number(&self) -> u64 {
        self.lock().known.next_number()
    }

    /// Generation `number`, ready to run.
    ///
    /// # Errors
    /// When it is not known, or this build cannot run it.
    pub fn compiled(&self, number: u64) -> anyhow::Result<Arc<Compiled>> {
        let inner = &mut *self.lock();
        if let Some(compiled) = inner.compiled.get(&number) {
            return Ok(Arc::clone(compiled));
        }
        let Some((generation, content)) = inner.known.get(number) else {
            bail!(
                "generation {number} of the configuration is not in {}: was the topic made anew?",
                self.topic
            );
        };
        let compiled = content.compile(generation.clone());
        let compiled = compiled.with_context(|| {
            let hash = &generation.hash;
            format!("generation {number} of the configuration (sha256:{hash}) cannot run here")
        });
        let compiled = Arc::new(compiled?);
        inner.compiled.insert(number, Arc::clone(&compiled));
        Ok(compiled)
    }

    /// The generation that the exchange told of, when it is known here too; none where it is void.
    ///
    /// # Errors
    /// When it does not come for `patience`, reading is called off, or this build cannot run it.
    pub fn resolve(
        &self,
        told: &Generation,
        patience: Duration,
        stop: &AtomicBool,
    ) -> anyhow::Result<Option<Arc<Compiled>>> {
        let since = Instant::now();
        loop {
            {
                let inner = &*self.lock();
                if inner.void.contains(told) {
                    return Ok(None);
                }
                if let Some((known, _)) = inner.known.get(told.number) {
                    if known != told {
                        return Ok(None);
                    }
                    break;
                }
            }
            // It was committed together with what told of it.
            if since.elapsed() >= patience || stop.load(Ordering::Relaxed) {
                bail!(
                    "generation {} of the configuration (sha256:{}) does not come in {}",
                    told.number,
                    told.hash,
                    self.topic
                );
            }
            if !self.catch_up(WAIT)? {
                std::thread::sleep(WAIT / 10);
            }
        }
        self.compiled(told.number).map(Some)
    }
}

impl Inner {
    fn take(&mut self, published: Published) {
        let Published { generation, by, content, .. } = published;
        let from =
            generation.effective_from.map_or_else(|| "the beginning".to_owned(), |from| from.to_string());
        let (number, hash) = (generation.number, generation.hash.clone());
        match self.known.offer(generation.clone(), content) {
            Offered::Accepted => {
                tracing::info!(generation = number, hash, from, by, "a configuration is known");
                // The newest and the one before it are what is needed from now on.
                self.compiled.retain(|kept, _| *kept + 1 >= number);
            }
            Offered::Void => {
                tracing::warn!(generation = number, hash, by, "a configuration came second, and is void");
                self.void.push(generation);
            }
        }
    }
}
