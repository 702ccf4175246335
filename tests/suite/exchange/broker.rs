//! A world in memory: logs with committed offsets, the exchange of which only committed messages are
//! seen, the state that is written with them, observers and evaluators that may die at any moment, and
//! a schedule of all that, drawn from a seed.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll::app::pipeline::Counting;
use plimsoll::domain::SourcePartition;
use plimsoll::engine::evaluator::{FaultCounts, Intake};
use plimsoll::engine::message::exchange_partition;
use plimsoll::engine::{Evaluator, Message, Progress, ResumePoint, wire};
use plimsoll::ingest::source::{Assigned, SourceEvent};

use super::log::{
    Known, Log, PARTITIONS, PAUSE, PAUSES, SECONDS, START, Setup, Told, WAKE, feed, partition, topics_of,
};
use super::store::{Store, Written, encoded};
use crate::support::Stream;

/// How many there are of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) observers: usize,
    /// Partitions of the exchange, an evaluator each.
    pub(crate) evaluators: usize,
    /// What happens in a second, at most.
    pub(crate) haste: usize,
}

/// A broker that does not keep what it promises: that is to be found out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Flaw {
    /// Commits of those who do not own their partitions any more are taken.
    NoFence,
    /// Offsets are stored although the messages are not.
    OffsetsApart,
}

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Made,
    /// Made, and its writer never hears of it.
    MadeUnheard,
    Aborted,
    /// Its writer dies in the middle of it.
    Dies,
}

struct Observer {
    counting: Counting,
    /// The partitions that it thinks it reads, as of which assignment.
    owned: BTreeMap<usize, u64>,
    next: [usize; PARTITIONS],
    at_end: BTreeSet<usize>,
}

/// What is committed of a partition of the exchange.
#[derive(Default)]
struct Committed {
    messages: Vec<Vec<u8>>,
    store: Store,
    offset: Option<i64>,
    told: Told,
}

struct Host {
    evaluator: Evaluator,
    next: usize,
    told: Told,
    pending: Vec<Written>,
}

pub(crate) struct World<'a> {
    log: &'a Log,
    shape: Shape,
    stream: Stream,
    second: usize,
    now: i64,
    /// Of each source partition: who reads it, since which assignment, and what was committed.
    owner: [Option<usize>; PARTITIONS],
    generation: [u64; PARTITIONS],
    offsets: [Option<(i64, String)>; PARTITIONS],
    observers: Vec<Observer>,
    exchange: Vec<Committed>,
    hosts: Vec<Host>,
    /// What is wrong with it.
    pub(crate) flaw: Option<Flaw>,
    /// How often what happened: a world in which nothing does shows nothing.
    pub(crate) events: BTreeMap<&'static str, usize>,
}

impl<'a> World<'a> {
    pub(crate) fn new(log: &'a Log, shape: Shape, seed: u64) -> Self {
        let observer = |_| Observer {
            counting: Setup::plain().counting(),
            owned: BTreeMap::new(),
            next: [0; PARTITIONS],
            at_end: BTreeSet::new(),
        };
        let mut world = Self {
            log,
            shape,
            stream: Stream(seed),
            second: 0,
            now: START,
            owner: [None; PARTITIONS],
            generation: [0; PARTITIONS],
            offsets: [const { None }; PARTITIONS],
            observers: (0..shape.observers).map(observer).collect(),
            exchange: (0..shape.evaluators).map(|_| Committed::default()).collect(),
            hosts: Vec::new(),
            flaw: None,
            events: BTreeMap::new(),
        };
        for number in 0..shape.evaluators {
            let host = world.restored(number);
            world.hosts.push(host);
        }
        world.adopt();
        world
    }

    fn pick(&mut self, below: usize) -> usize {
        (self.stream.uniform() * below as f64) as usize
    }

    fn chance(&mut self, of: f64) -> bool {
        self.stream.uniform() < of
    }

    fn count(&mut self, event: &'static str) {
        *self.events.entry(event).or_default() += 1;
    }

    /// `number` is read by `to` from its committed offset on. Nobody else is told.
    fn assign(&mut self, number: usize, to: usize) {
        self.generation[number] += 1;
        self.owner[number] = Some(to);
        let committed = self.offsets[number].clone();
        let observer = &mut self.observers[to];
        observer.owned.insert(number, self.generation[number]);
        observer.next[number] = committed.as_ref().map_or(0, |(offset, _)| *offset as usize);
        observer.at_end.remove(&number);
        let (offset, metadata) = committed.unzip();
        let assigned = Assigned { partition: partition(number), offset, metadata };
        observer.counting.handle(SourceEvent::Assigned(vec![assigned]), self.now, &mut |_, _| {});
    }

    fn revoke(&mut self, from: usize, number: usize) {
        let observer = &mut self.observers[from];
        observer.owned.remove(&number);
        observer.at_end.remove(&number);
        let revoked = SourceEvent::Revoked(vec![partition(number)]);
        observer.counting.handle(revoked, self.now, &mut |_, _| {});
        if self.owner[number] == Some(from) {
            self.owner[number] = None;
        }
    }

    /// Somebody takes every partition that nobody has.
    fn adopt(&mut self) {
        for number in 0..PARTITIONS {
            if self.owner[number].is_none() {
                let to = self.pick(self.shape.observers);
                self.assign(number, to);
            }
        }
    }

    fn kill(&mut self, index: usize) {
        self.observers[index] = Observer {
            counting: Setup::plain().counting(),
            owned: BTreeMap::new(),
            next: [0; PARTITIONS],
            at_end: BTreeSet::new(),
        };
        for owner in &mut self.owner {
            if *owner == Some(index) {
                *owner = None;
            }
        }
    }

    fn unread(&self, index: usize, number: usize) -> bool {
        let next = self.observers[index].next[number];
        self.log[number].get(next).is_some_and(|(written, _)| *written <= self.second)
    }

    fn read(&mut self, index: usize, number: usize, most: usize) {
        let source: SourcePartition = partition(number);
        for _ in 0..most {
            if !self.unread(index, number) {
                let observer = &mut self.observers[index];
                observer.at_end.insert(number);
                observer.counting.handle(SourceEvent::EndOfPartition(source), self.now, &mut |_, _| {});
                return;
            }
            let observer = &mut self.observers[index];
            let offset = observer.next[number];
            feed(&mut observer.counting, &source, offset, &self.log[number][offset].1, self.now);
            observer.next[number] += 1;
            observer.at_end.remove(&number);
        }
    }

    fn owned(&self, index: usize) -> Vec<usize> {
        self.observers[index].owned.keys().copied().collect()
    }

    /// An observer's commit.
    fn commit(&mut self, index: usize, fate: Fate) {
        for number in self.owned(index) {
            // Who polls sees what has come, and does not take the partition for a silent one.
            if self.observers[index].at_end.contains(&number) && self.unread(index, number) {
                self.read(index, number, 1);
            }
        }
        let flushed = self.observers[index].counting.flush(self.now);
        if fate == Fate::Dies {
            self.count("observer killed in a commit");
            if self.flaw == Some(Flaw::OffsetsApart) {
                self.store_offsets(flushed.resume);
            }
            return self.kill(index);
        }
        let stale: Vec<usize> = self.observers[index]
            .owned
            .iter()
            .filter(|(number, generation)| self.generation[**number] != **generation)
            .map(|(number, _)| *number)
            .collect();
        if !stale.is_empty() && self.flaw != Some(Flaw::NoFence) {
            // All of it is refused. It hears of that, and later of what it does not read any more.
            self.count("zombie refused");
            self.observers[index].counting.settle(false);
            stale.into_iter().for_each(|number| self.revoke(index, number));
            return;
        }
        if fate == Fate::Aborted {
            self.count("commit aborted");
            if let Some(number) = self.owned(index).first().copied().filter(|_| self.chance(0.2)) {
                self.revoke(index, number);
            }
            return self.observers[index].counting.settle(false);
        }
        let partitions = self.shape.evaluators as i32;
        for delta in flushed.deltas {
            let to = exchange_partition(&delta.key.model, partitions) as usize;
            self.exchange[to].messages.push(wire::encode(&Message::Delta(delta)));
        }
        let progress = Progress { wall: self.now, sources: flushed.sources, topics: topics_of() };
        let progress = wire::encode(&Message::Progress(progress));
        for exchange in &mut self.exchange {
            exchange.messages.push(progress.clone());
        }
        self.store_offsets(flushed.resume);
        self.count("commit made");
        if fate == Fate::MadeUnheard {
            self.kill(index);
        } else {
            self.observers[index].counting.settle(true);
        }
    }

    fn store_offsets(&mut self, resume: Vec<(SourcePartition, i64, ResumePoint)>) {
        for (source, offset, point) in resume {
            self.offsets[source.partition as usize] = Some((offset, point.to_metadata()));
        }
    }

    /// An evaluator of what is committed.
    fn restored(&self, number: usize) -> Host {
        let Committed { store, offset, .. } = &self.exchange[number];
        let (evaluator, position) = store.restore(&Setup::plain().models);
        assert_eq!(position, *offset, "state and offset are of one transaction");
        Host { evaluator, next: offset.unwrap_or(0) as usize, told: Told::default(), pending: Vec::new() }
    }

    fn take(&mut self, number: usize, most: usize) {
        let host = &mut self.hosts[number];
        for bytes in self.exchange[number].messages.iter().skip(host.next).take(most) {
            let evaluated = host.evaluator.take(wire::decode(bytes).unwrap());
            host.told.take(&evaluated);
            host.next += 1;
        }
    }

    /// An evaluator's commit.
    fn put_away(&mut self, number: usize, fate: Fate) {
        let host = &mut self.hosts[number];
        host.pending.extend(encoded(&host.evaluator.changes(host.next as i64)));
        match fate {
            Fate::Dies => {
                self.count("evaluator killed in a commit");
                self.hosts[number] = self.restored(number);
            }
            // What was to be written is written next time.
            Fate::Aborted => self.count("evaluator's commit aborted"),
            Fate::Made | Fate::MadeUnheard => {
                let committed = &mut self.exchange[number];
                committed.store.write(host.pending.drain(..));
                committed.offset = Some(host.next as i64);
                committed.told.join(std::mem::take(&mut host.told));
                self.count("evaluator's commit made");
                if fate == Fate::MadeUnheard {
                    self.hosts[number] = self.restored(number);
                }
            }
        }
    }

    fn fate(&mut self) -> Fate {
        match self.stream.uniform() {
            u if u < 0.7 => Fate::Made,
            u if u < 0.8 => Fate::MadeUnheard,
            u if u < 0.9 => Fate::Aborted,
            _ => Fate::Dies,
        }
    }

    /// Something happens.
    fn step(&mut self) {
        let index = self.pick(self.shape.observers);
        let host = self.pick(self.shape.evaluators);
        match self.pick(20) {
            0..7 => {
                let owned = self.owned(index);
                if !owned.is_empty() {
                    let number = owned[self.pick(owned.len())];
                    let most = 1 + self.pick(25);
                    self.read(index, number, most);
                }
            }
            7..11 => {
                let fate = self.fate();
                self.commit(index, fate);
            }
            11 if self.chance(0.3) => {
                self.count("observer killed");
                self.kill(index);
            }
            12 => {
                // A partition is given up, with or without what was counted.
                let owned = self.owned(index);
                if !owned.is_empty() {
                    let number = owned[self.pick(owned.len())];
                    if self.chance(0.5) {
                        self.commit(index, Fate::Made);
                    }
                    self.count("partition given up");
                    self.revoke(index, number);
                }
            }
            13 => {
                // A partition is taken from an observer that does not hear of it.
                let number = self.pick(PARTITIONS);
                if self.owner[number].is_some_and(|owner| owner != index) {
                    self.assign(number, index);
                }
            }
            14..17 => {
                let most = 1 + self.pick(40);
                self.take(host, most);
            }
            17 | 18 => {
                let fate = self.fate();
                self.put_away(host, fate);
            }
            19 if self.chance(0.5) => {
                self.count("evaluator killed");
                self.hosts[host] = self.restored(host);
            }
            _ => {}
        }
        if self.chance(0.5) {
            self.adopt();
        }
    }

    /// Everybody reads everything and commits.
    fn catch_up(&mut self) {
        // Zombies learn what they are.
        (0..self.shape.observers).for_each(|index| self.commit(index, Fate::Made));
        self.adopt();
        for index in 0..self.shape.observers {
            self.owned(index).into_iter().for_each(|number| self.read(index, number, usize::MAX));
            self.commit(index, Fate::Made);
        }
    }

    fn pauses(&mut self) {
        for _ in 0..PAUSES {
            self.now += PAUSE;
            self.catch_up();
        }
        for number in 0..self.shape.evaluators {
            self.take(number, usize::MAX);
            self.put_away(number, Fate::Made);
        }
    }

    /// Runs to the end and says what is wrong with what came out.
    pub(crate) fn run(&mut self, known: &Known) -> Result<(), String> {
        for second in 0..SECONDS {
            if second == WAKE {
                self.pauses();
            }
            self.second = second;
            if second == WAKE {
                self.catch_up();
            }
            for _ in 0..self.pick(self.shape.haste + 1) {
                self.step();
            }
            self.now += 1_000;
        }
        self.pauses();
        self.judge(known)
    }

    fn judge(&self, known: &Known) -> Result<(), String> {
        let mut told = Told::default();
        let [counted, expected] = known.accounting;
        let mut turned = 0;
        for number in 0..self.shape.evaluators {
            let committed = &self.exchange[number];
            // What the next one would know.
            let evaluator = self.restored(number).evaluator;
            let intake: &Intake = evaluator.intake();
            if intake.faults() != FaultCounts::default() {
                return Err(format!("{:?}", intake.faults()));
            }
            let seen = (0..PARTITIONS).map(|number| intake.seen().get(&partition(number)).copied());
            let lengths = self.log.iter().map(|log| (!log.is_empty()).then_some(log.len() as i64));
            if !seen.clone().eq(lengths) {
                return Err(format!("seen up to {:?}", seen.collect::<Vec<_>>()));
            }
            let accounting = intake.accounting()["t"];
            if !accounting.adds_up()
                || (accounting.records, accounting.rejected) != (counted.records, counted.rejected)
            {
                return Err(format!("{accounting:?} of {counted:?}"));
            }
            turned += counted.used - accounting.used;
            told.join(committed.told.clone());
        }
        if counted.used - turned != expected.used || counted.late + turned != expected.late {
            return Err(format!("{turned} were too late, of {counted:?}; {expected:?} is right"));
        }
        told.differs(&known.told).map_or(Ok(()), Err)
    }
}
