//! A group, a topic of decisions, an audit log and a target, all in memory, and processes that can be
//! killed at any step of what they do to them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use plimsoll::action::{Clock, Executor, Target};
use plimsoll::api::Readiness;
use plimsoll::app::act::{self, ACT, Decisions, Ended, Ownership, Shown, Surroundings};
use plimsoll::app::acting::Acting;
use plimsoll::audit::{Consumed, Error, Extent, Opened, Store};
use plimsoll::domain::{Decision, DecisionKind, EventTime, ModelKey, Segment, SourcePartition};
use plimsoll::engine::actor::entry::Body;
use plimsoll::engine::actor::{ActionSpec, Call, Config, Entry, PolicyTerms};
use plimsoll::engine::decided;
use plimsoll::ingest::source::{Assigned, Commit, Lag, RawRecord, Source, SourceEvent};
use plimsoll::safety::{ActionKind, Idempotency, Limits, PolicyMode, Reply};
use plimsoll::telemetry::Telemetry;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;

/// Longer than a busy machine holds anything up.
pub(super) const SESSION: Duration = Duration::from_secs(20);
/// For what happens only after a session.
pub(super) const SHORT_SESSION: Duration = Duration::from_millis(400);
const NOW: i64 = 1_795_341_600_000;

pub(super) fn decision(kind: DecisionKind, model: &str, version: &str, actions: &[&str]) -> Decision {
    let key = ModelKey {
        tenant: None,
        model: model.into(),
        version: version.into(),
        segment: Segment::All,
        profile: None,
    };
    Decision {
        id: format!("{}-{model}-{version}", kind.name()),
        kind,
        policy: "fair".into(),
        decide: Default::default(),
        key,
        since: EventTime::from_millis(1),
        at: EventTime::from_millis(2),
        actions: actions.iter().map(|&action| action.to_owned()).collect(),
        evidence: vec![],
    }
}

fn config() -> Config {
    let spec = |name: &str, kind| ActionSpec {
        name: name.into(),
        kind,
        deadline: Duration::from_secs(300),
        finish_within: Duration::from_secs(600),
        target: "target".into(),
        idempotency: Idempotency::Keyed,
        abilities: Default::default(),
    };
    let auto = PolicyTerms { mode: PolicyMode::Auto, ..PolicyTerms::default() };
    Config {
        policies: BTreeMap::from([("fair".to_owned(), auto)]),
        limits: Limits { cooldown_rollback: 0, ..Limits::default() },
        watched: 100,
        actions: vec![spec("back", ActionKind::Rollback), spec("tell", ActionKind::Notify)],
        ..Config::default()
    }
}

/// What outlives a process.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The topic of decisions.
    pub(super) messages: Vec<Vec<u8>>,
    pub(super) committed: Option<i64>,
    /// How many of the messages are marks.
    pub(super) marks: usize,
    pub(super) log: Vec<Entry>,
    /// Whoever opened the log last.
    pub(super) writer: u64,
    /// To whom the group has given the decisions.
    pub(super) owner: u64,
    /// Whether marks get lost on their way.
    pub(super) loses_marks: bool,
    /// How many appends the group does not confirm before it does.
    pub(super) unconfirmed: u32,
    /// And how many from the first mark on.
    pub(super) unconfirmed_at_mark: u32,
    /// A message that comes when the group is about to confirm again.
    pub(super) at_last_doubt: Option<Vec<u8>>,
    /// Attempts that reached the target, by action: the number of each, in order.
    pub(super) taken: BTreeMap<String, Vec<u32>>,
    /// Steps so far, and the one at which the process is killed.
    pub(super) steps: usize,
    pub(super) kill_at: Option<usize>,
    /// Process that wrote each entry.
    pub(super) wrote: Vec<u64>,
}

impl State {
    /// Whether every decision is read and every action has ended.
    pub(super) fn quiet(&self) -> bool {
        let count = |is: fn(&Body) -> usize| self.log.iter().map(|entry| is(&entry.body)).sum::<usize>();
        let planned = |body: &Body| if let Body::Decision { actions, .. } = body { actions.len() } else { 0 };
        self.committed == Some(self.messages.len() as i64)
            && count(planned) == count(|body| usize::from(matches!(body, Body::Outcome { .. })))
    }

    pub(super) fn announced(&self, action_id: &str) -> bool {
        let is = |body: &Body| matches!(body, Body::Intent { action_id: id, .. } if id == action_id);
        self.log.iter().any(|entry| is(&entry.body))
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct World(Arc<Mutex<State>>);

impl World {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn mark(&self, id: &str) {
        let mut state = self.state();
        if !state.loses_marks {
            state.messages.push(decided::encode_mark(id));
            state.marks += 1;
            let doubts = std::mem::take(&mut state.unconfirmed_at_mark);
            state.unconfirmed += doubts;
        }
    }

    pub(super) fn with(decisions: &[Decision]) -> Self {
        let world = Self::default();
        world.state().messages =
            decisions.iter().map(|decision| decided::encode(decision, None, &[])).collect();
        world
    }
}

/// One process that plays the role.
#[derive(Clone, Debug)]
pub(super) struct Process {
    world: World,
    number: u64,
    alive: Arc<AtomicBool>,
    pub(super) around: Surroundings,
    /// Milliseconds by which the clock of its lease is ahead.
    skew: Arc<AtomicU64>,
    /// How far that clock jumps when the next call is about to begin.
    pub(super) pause: Arc<AtomicU64>,
    /// How long the target takes to answer.
    pub(super) slow: Arc<AtomicU64>,
    /// Whether the process ends by itself once nothing is left to do.
    until_quiet: bool,
}

impl Process {
    pub(super) fn new(world: &World, number: u64) -> Self {
        let (skew, since) = (Arc::new(AtomicU64::new(1_000)), Instant::now());
        let around = Surroundings {
            telemetry: Telemetry::new("0", "0"),
            readiness: Readiness::new([(ACT, "not joined yet")]),
            shown: Shown::default(),
            stop: Arc::default(),
            mark: {
                let world = world.clone();
                Arc::new(move |id| world.mark(id))
            },
            clock: Arc::new(move || NOW + since.elapsed().as_millis() as i64),
            monotonic: {
                let skew = Arc::clone(&skew);
                Arc::new(move || skew.load(Ordering::SeqCst) + since.elapsed().as_millis() as u64)
            },
            session_timeout: SESSION,
        };
        Self {
            world: world.clone(),
            number,
            alive: Arc::new(AtomicBool::new(true)),
            around,
            skew,
            pause: Arc::default(),
            slow: Arc::default(),
            until_quiet: true,
        }
    }

    /// One that goes on until it is stopped from outside.
    pub(super) fn endless(mut self) -> Self {
        self.until_quiet = false;
        self
    }

    /// One of a group that waits for nobody.
    pub(super) fn hurried(mut self) -> Self {
        self.around.session_timeout = SHORT_SESSION;
        self
    }

    /// Stops the process when it is dropped, so that a test that fails does not wait for it.
    pub(super) fn stopped_at_last(&self) -> Stopping {
        Stopping(Arc::clone(&self.around.stop))
    }

    /// Between any two of these the process may be killed.
    fn step(&self, state: &mut State) -> bool {
        if state.kill_at == Some(state.steps) {
            state.kill_at = None;
            self.alive.store(false, Ordering::SeqCst);
        }
        state.steps += 1;
        self.alive.load(Ordering::SeqCst)
    }

    /// Plays one session.
    pub(super) fn serve(&self, runtime: &tokio::runtime::Handle) -> anyhow::Result<Ended> {
        let mut source = Group { process: self.clone(), position: None };
        act::serve(&mut source, &mut |ownership| self.open(ownership, runtime), &self.around)
    }

    fn open(&self, ownership: Ownership, runtime: &tokio::runtime::Handle) -> anyhow::Result<Acting> {
        let entries = {
            let mut state = self.world.state();
            state.writer = self.number;
            state.log.clone()
        };
        let (results, ends) = tokio::sync::mpsc::channel(16);
        let target: Arc<dyn Target> = Arc::new(self.clone());
        let targets = ["back", "tell"].map(|name| (name.to_owned(), Arc::clone(&target))).into();
        let process = self.clone();
        let clock: Clock = Arc::new(move || {
            let pause = process.pause.swap(0, Ordering::SeqCst);
            process.skew.fetch_add(pause, Ordering::SeqCst);
            NOW
        });
        let executor = Executor::new(targets, clock, runtime.clone(), results);
        let opened = Opened { store: Log(self.clone()), entries, cut: None };
        let telemetry = self.around.telemetry.clone();
        Acting::take_over(config(), opened, executor, ends, telemetry, NOW, ownership)
    }
}

pub(super) struct Stopping(Arc<AtomicBool>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the process was killed")]
pub(super) struct Killed;

/// A process's place in the group.
struct Group {
    process: Process,
    /// The next message, while the decisions are ours.
    position: Option<usize>,
}

impl Source for Group {
    type Error = Killed;

    fn poll(
        &mut self,
        max: usize,
        timeout: Duration,
        sink: &mut dyn FnMut(SourceEvent<'_>),
    ) -> Result<usize, Killed> {
        let partition = SourcePartition::new("decisions", 0);
        let ours;
        let messages: VecDeque<(i64, Vec<u8>)> = {
            let state = self.process.world.state();
            ours = state.owner == self.process.number;
            if self.process.until_quiet && state.quiet() {
                self.process.around.stop.store(true, Ordering::SeqCst);
            }
            let from = self.position.unwrap_or(state.messages.len());
            let rest = state.messages.iter().enumerate().skip(from).take(max);
            rest.map(|(offset, message)| (offset as i64, message.clone())).collect()
        };
        if !self.process.alive.load(Ordering::SeqCst) {
            return Err(Killed);
        }
        match (ours, self.position) {
            (true, None) => {
                let offset = self.process.world.state().committed;
                self.position = Some(offset.unwrap_or(0) as usize);
                let metadata = offset.map(|_| String::new());
                sink(SourceEvent::Assigned(vec![Assigned { partition, offset, metadata }]));
                Ok(1)
            }
            (false, Some(_)) => {
                self.position = None;
                sink(SourceEvent::Revoked(vec![partition]));
                Ok(1)
            }
            _ if messages.is_empty() => {
                std::thread::sleep(timeout.min(Duration::from_millis(1)));
                Ok(0)
            }
            _ => {
                for (offset, message) in &messages {
                    let (value, headers) = (Some(message.as_slice()), &[][..]);
                    let record =
                        RawRecord { partition: &partition, offset: *offset, key: None, value, headers };
                    sink(SourceEvent::Record(record));
                    self.position = Some(*offset as usize + 1);
                }
                Ok(messages.len())
            }
        }
    }

    fn commit(&mut self, _: &[Commit]) -> Result<(), Killed> {
        panic!("the log stores the offset")
    }

    fn lag(&self) -> Vec<Lag> {
        vec![]
    }
}

impl Decisions for Group {
    fn membership(&self) -> Option<Arc<ConsumerGroupMetadata>> {
        None
    }
}

/// The audit log as one process holds it.
#[derive(Debug)]
struct Log(Process);

impl Store for Log {
    fn append(&mut self, entries: &[Entry], consumed: Option<&Consumed>) -> Result<(), Error> {
        let process = &self.0;
        let mut state = process.world.state();
        if !process.step(&mut state) {
            return Err(Error::Broken);
        }
        let topic = "audit".to_owned();
        if state.writer != process.number {
            return Err(Error::Fenced { topic, source: KafkaError::Canceled });
        }
        if state.owner != process.number || state.unconfirmed > 0 {
            state.unconfirmed = state.unconfirmed.saturating_sub(1);
            if state.unconfirmed == 0 {
                let said = state.at_last_doubt.take();
                state.messages.extend(said);
            }
            return Err(Error::NotOwner { decisions: "decisions".to_owned(), source: None });
        }
        for entry in entries {
            entry.follows(state.log.len() as u64).map_err(Error::Order)?;
            let read = Entry::from_json(entry.to_json().as_bytes()).unwrap();
            state.log.push(read);
            state.wrote.push(process.number);
        }
        state.committed = Some(consumed.expect("every append accounts for what was read").next);
        if process.step(&mut state) { Ok(()) } else { Err(Error::Broken) }
    }

    fn extent(&self) -> Extent {
        Extent { entries: self.0.world.state().log.len() as u64, signed: None }
    }

    fn stores_offsets(&self) -> bool {
        true
    }
}

/// The target, which takes the same id once.
impl Target for Process {
    fn name(&self) -> &str {
        "target"
    }

    fn idempotency(&self) -> Idempotency {
        Idempotency::Keyed
    }

    fn submit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            let reached = {
                let mut state = self.world.state();
                let reached = self.step(&mut state);
                if reached {
                    assert!(state.announced(&call.action_id), "a durable intent before the call");
                    state.taken.entry(call.action_id.clone()).or_default().push(call.attempt);
                }
                reached && self.step(&mut state)
            };
            if !reached {
                // Of a process that is gone nothing is heard any more.
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(self.slow.load(Ordering::SeqCst))).await;
            Reply::Accepted { reference: None, detail: "taken".into(), done: true }
        })
    }
}
