//! An instance that stands still for longer than its session owns nothing any more when it goes on, and
//! does not know it. It must change nothing and begin no call; a call that it had begun is repeated
//! under the same key by the new owner, and so is one effect.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::compare::{self, Outcome};
use super::instances::Instances;
use super::receiver::{Call, Receiver};
use super::setting::Setting;
use super::settle::settle;
use super::traffic::{BASE, EMPTY, Incident, Shape, Traffic};
use super::watch::Watch;
use super::writer::Writer;
use super::{number, patience, undisturbed};

/// Two sessions of the groups, so that all partitions have moved.
const PAUSE: Duration = Duration::from_secs(9);
/// What is decided and called within this is not called at all.
const CALLED_WITHIN: Duration = Duration::from_secs(60);
/// Records a second: what is written between two looks is decided on in time.
const RATE: f64 = 4_000.0;
/// An incident is decided on within this after it begins, milliseconds of event time, counted from
/// when windows close.
const DECIDED: i64 = 150_000;

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < CALLED_WITHIN, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The calls about `model`.
fn about(calls: &[Call], model: &str) -> Vec<Call> {
    calls.iter().filter(|call| call.body["data"]["model"] == model).cloned().collect()
}

#[test]
#[ignore = "needs a real cluster: tests/kafka/chaos.sh"]
fn real_an_instance_that_was_paused_beyond_its_session_changes_nothing_and_begins_no_call() {
    let seed = number("SEED", u64::from(std::process::id()));
    eprintln!("fencing: PLIMSOLL_CHAOS_SEED={seed}");
    // Four models become unfair, one after the other; each is good before.
    let (first, between) = (150_000, 240_000);
    let incident = |model: usize| {
        let from = first + model as i64 * between;
        Incident { model, from, until: from + 140_000 }
    };
    let shape = Shape {
        seed,
        records: 300_000,
        lateness: 60_000,
        silence: 0..0,
        incidents: (0..4).map(incident).collect(),
    };
    let decided = |model: usize| incident(model).from + DECIDED + shape.lateness;

    let setting = Setting::new("fencing");
    let (one, other) = (Receiver::start(), Receiver::start());
    let fleet = setting.fleet("fenced", shape.lateness, &one.url());
    let mut instances = Instances::new(&fleet);
    instances.configure("b", fleet.calling("b", &other.url(), &one.url()));
    instances.start("a");
    instances.start("b");
    let watch = Watch::start(&setting, &fleet.group, &setting.topic, EMPTY);
    let mut writer = Writer::new(&setting, Traffic::new(shape.clone()));
    let mut write = |until: i64| writer.write(until, RATE, &watch);

    // The first call shows who is the actor.
    write(decided(0));
    wait_for("the first call", || one.calls().len() + other.calls().len() > 0);
    let (owner, old, new) = if one.calls().is_empty() { ("b", &other, &one) } else { ("a", &one, &other) };
    assert!(new.calls().is_empty(), "there is one actor");

    // Its second call is begun and not answered when it stops; the third is decided while it stands still.
    old.hold(true);
    write(decided(1));
    wait_for("the second call", || !about(&old.calls(), "m01").is_empty());
    let (stopped, before) = (Instant::now(), old.calls().len());
    instances.pause(owner);
    write(decided(2));
    wait_for("the other to repeat the second call", || !about(&new.calls(), "m01").is_empty());
    wait_for("the other to make the third call", || !about(&new.calls(), "m02").is_empty());
    std::thread::sleep(PAUSE.saturating_sub(stopped.elapsed()));

    instances.resume(owner);
    old.hold(false);
    // It goes on where it stood, with a backlog of its own beliefs, and then as one of two.
    write(decided(3));
    wait_for("the fourth call", || !about(&new.calls(), "m03").is_empty());
    write(i64::MAX);
    let tally = writer.finish();
    let mut look = || drop(instances.look());
    settle(&setting, &fleet, (&shape, &tally), patience(tally.records), &mut look);

    let after: Vec<Call> = old.calls().into_iter().skip(before).collect();
    assert!(after.is_empty(), "calls after its ownership had lapsed: {after:?}");
    instances.end_all();
    assert_eq!(instances.faults, Vec::<String>::new(), "it finds back by itself");
    let (began, repeated) = (about(&old.calls(), "m01"), about(&new.calls(), "m01"));
    let keys = |calls: &[Call]| calls.iter().map(|call| call.key.clone()).collect::<BTreeSet<_>>();
    assert_eq!(keys(&began), keys(&repeated), "one key, so one effect");
    let all: Vec<Call> = [old.calls(), new.calls()].concat();
    assert!(all.iter().all(|call| call.at >= stopped || call.body["data"]["model"] != "m02"));
    let (effects, repeats) = compare::effects(&setting, &fleet, &all);
    let (calm, _) = undisturbed(&setting, &shape, &tally);
    let found = Outcome::read(&setting, &fleet, (&shape, &tally));
    found.assert_same(&calm);
    println!(
        "fencing| seed {seed}: {owner} was paused for {:.1} s; {effects} effects, {repeats} calls that repeat a key, {} decisions from {BASE}; all as undisturbed",
        PAUSE.as_secs_f64(),
        found.decisions.values().map(Vec::len).sum::<usize>()
    );
    std::fs::remove_dir_all(&setting.folder).unwrap();
}
