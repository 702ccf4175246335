//! What is done to the daemons and the cluster, and when: it follows from the seed. An event comes when
//! its time has passed and so much of the traffic is written, so that the events lie over the whole log
//! however fast the machine is.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::Stream;

use super::instances::Instances;
use super::setting::{Setting, env};
use super::watch::Watch;
use super::writer::Written;

const TICK: Duration = Duration::from_millis(20);
/// One that has ended by itself is started again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// A killed instance comes back at once or within this, milliseconds.
const AWAY: f64 = 2_000.0;
/// A paused one goes on after this and up to as much again, milliseconds: longer than its session.
const PAUSED: f64 = 6_000.0;
/// A node that was restarted has everything again within this.
const IN_SYNC_WITHIN: Duration = Duration::from_secs(90);

/// Something that is done to an instance. `pick`, in [0, 1), chooses among those that run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Event {
    Kill { pick: f64, back_after: Duration },
    Pause { pick: f64, until_after: Duration },
    Add,
    Remove { pick: f64 },
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amount {
    pub(super) kills: usize,
    pub(super) zombies: usize,
    pub(super) restarts: usize,
}

/// Events, each with the time since the one before.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) events: Vec<(Duration, Event)>,
    /// Nodes of the cluster, in the order in which they are restarted.
    pub(super) nodes: Vec<u32>,
}

impl Plan {
    pub(super) fn new(seed: u64, amount: Amount) -> Self {
        // Another stream than that of the traffic.
        let mut random = Stream(seed ^ 0x5851_f42d_4c95_7f2d);
        let millis = |millis: f64| Duration::from_millis(millis as u64);
        let mut events = Vec::new();
        for _ in 0..amount.kills {
            let away = if random.uniform() < 0.5 { 0.0 } else { random.uniform() * AWAY };
            events.push(Event::Kill { pick: random.uniform(), back_after: millis(away) });
        }
        for _ in 0..amount.zombies {
            let paused = PAUSED * (1.0 + random.uniform());
            events.push(Event::Pause { pick: random.uniform(), until_after: millis(paused) });
        }
        for turn in 0..2 * amount.kills.div_ceil(10) {
            // Which of the two it is, is settled below, when their places are known.
            events.push(if turn % 2 == 0 { Event::Add } else { Event::Remove { pick: random.uniform() } });
        }
        for last in (1..events.len()).rev() {
            events.swap(last, (random.uniform() * (last + 1) as f64) as usize);
        }
        // One is added first, then one removed, and so on.
        let mut add = true;
        for event in &mut events {
            if matches!(event, Event::Add | Event::Remove { .. }) {
                *event = if add { Event::Add } else { Event::Remove { pick: random.uniform() } };
                add = !add;
            }
        }
        let events = events.into_iter().map(|event| (millis(2_000.0 + random.uniform() * 2_000.0), event));
        let events = events.collect();
        let first = (random.uniform() * 3.0) as usize;
        Self { events, nodes: (0..amount.restarts).map(|turn| ((first + turn) % 3 + 1) as u32).collect() }
    }

    /// How long it takes at least.
    pub(super) fn length(&self) -> Duration {
        self.events.iter().map(|(gap, _)| *gap).sum()
    }
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub(super) struct Done {
    pub(super) kills: usize,
    pub(super) zombies: usize,
    pub(super) added: usize,
    pub(super) removed: usize,
}

/// Disturbs `instances` by `plan` until all of it is done and all `records` are written. `names` are
/// those of all instances there may be; the first `steady` of them run again in the end.
pub(super) fn disturb(
    plan: &Plan,
    instances: &mut Instances,
    names: &[String],
    steady: usize,
    (written, records): (&Written, u64),
    watches: &[&Watch],
) -> Done {
    let mut done = Done::default();
    let begun = Instant::now();
    let mut last = Instant::now();
    let (mut said, mut stood) = (Instant::now(), 0);
    // What is to follow from what was done.
    let mut start: Vec<(Instant, String)> = Vec::new();
    let mut resume: Vec<(Instant, String)> = Vec::new();
    let mut events = plan.events.iter().enumerate().peekable();
    while events.peek().is_some() || written.records() < records || !resume.is_empty() || !start.is_empty() {
        std::thread::sleep(TICK);
        written.check();
        for name in instances.look() {
            start.push((Instant::now() + AGAIN, name));
        }
        for name in due(&mut start) {
            instances.start(&name);
        }
        for name in due(&mut resume) {
            if instances.exists(&name) {
                instances.resume(&name);
            }
        }
        if said.elapsed() > Duration::from_secs(10) {
            said = Instant::now();
            eprintln!(
                "chaos: {:.0} s: {} of {records} records, {done:?}",
                begun.elapsed().as_secs_f64(),
                written.records()
            );
            if stood == written.records() {
                instances.tell();
            }
            stood = written.records();
        }
        let share = |number: usize| records as f64 * number as f64 / (plan.events.len() + 1) as f64;
        let running = instances.running();
        let Some((_, (_, event))) = events.next_if(|(number, (gap, _))| {
            // Where none runs just now, the event waits for one that does.
            last.elapsed() >= *gap && written.records() as f64 >= share(*number) && !running.is_empty()
        }) else {
            continue;
        };
        last = Instant::now();
        let picked = |pick: f64| running[(pick * running.len() as f64) as usize].clone();
        match *event {
            Event::Kill { pick, back_after } => {
                let name = picked(pick);
                instances.kill(&name);
                watches.iter().for_each(|watch| watch.killed());
                start.push((Instant::now() + back_after, name));
                done.kills += 1;
            }
            Event::Pause { pick, until_after } => {
                let name = picked(pick);
                instances.pause(&name);
                resume.push((Instant::now() + until_after, name));
                done.zombies += 1;
            }
            Event::Add => {
                let waits = |name: &String| start.iter().any(|(_, waiting)| waiting == name);
                if let Some(name) = names.iter().find(|name| !instances.exists(name) && !waits(name)) {
                    instances.start(name);
                    done.added += 1;
                }
            }
            Event::Remove { pick } => {
                let name = picked(pick);
                instances.ask_to_end(&name);
                done.removed += 1;
            }
        }
    }
    while instances.ending() {
        std::thread::sleep(TICK);
        instances.look();
    }
    for name in &names[..steady] {
        if !instances.exists(name) {
            instances.start(name);
        }
    }
    done
}

fn due(waiting: &mut Vec<(Instant, String)>) -> Vec<String> {
    let now = Instant::now();
    waiting.extract_if(.., |(at, _)| *at <= now).map(|(_, name)| name).collect()
}

/// Restarts `nodes` one after the other, spread over the writing of `records`; each has everything again
/// before the next one stops. Returns how long each was away.
pub(super) fn restart(setting: &Setting, nodes: &[u32], written: &Written, records: u64) -> Vec<Duration> {
    let mut away = Vec::new();
    for (turn, node) in nodes.iter().enumerate() {
        let at = records as f64 * (turn + 1) as f64 / (nodes.len() + 1) as f64;
        while (written.records() as f64) < at {
            std::thread::sleep(TICK);
            written.check();
        }
        let start = Instant::now();
        cluster("stop-node", *node);
        cluster("start-node", *node);
        away.push(start.elapsed());
        eprintln!("chaos: node {node} was restarted in {:.1} s", start.elapsed().as_secs_f64());
        while !setting.in_sync() {
            assert!(start.elapsed() < IN_SYNC_WITHIN, "node {node} does not catch up");
            std::thread::sleep(Duration::from_millis(250));
        }
    }
    away
}

fn cluster(verb: &str, node: u32) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/cluster.sh");
    let folder = env("PLIMSOLL_TEST_KAFKA_CLUSTER");
    let ran = Command::new(script).args([verb, &folder, &node.to_string()]).status().unwrap();
    assert!(ran.success(), "cluster.sh {verb} {node}: {ran}");
}
