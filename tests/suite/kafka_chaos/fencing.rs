//! An instance that stands still for longer than its session owns nothing any more when it goes on, and
//! does not know it. It must change nothing and begin no call; a call that it had begun is repeated
//! under the same key by the new owner, and so is one effect.

use std::time::{Duration, Instant};

use super::compare::{self, Outcome};
use super::instances::Instances;
use super::receiver::{Call, Receiver};
use super::setting::Setting;
use super::settle::settle;
use super::traffic::{CHUNK_MILLIS, EMPTY, Incident, Shape, Traffic};
use super::watch::Watch;
use super::writer::Writer;
use super::{number, patience, undisturbed};

/// Two sessions of the groups, so that all partitions have moved.
const PAUSE: Duration = Duration::from_secs(9);
/// What is decided and called within this is not called at all.
const CALLED_WITHIN: Duration = Duration::from_secs(60);
/// Records a second.
const RATE: f64 = 4_000.0;
/// What is written between two looks at the calls, milliseconds of event time.
const STEP: i64 = CHUNK_MILLIS;
/// An incident is decided on within this after it begins, milliseconds of event time, counted from
/// when windows close.
const DECIDED: i64 = 150_000;

fn about(call: &Call, model: &str) -> bool {
    call.body["data"]["model"] == model
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
    let receiver = Receiver::start();
    let fleet = setting.fleet("fenced", shape.lateness, &receiver.url());
    let mut instances = Instances::new(&fleet);
    instances.start("a");
    instances.start("b");
    let watch = Watch::start(&setting, &fleet.group, &setting.topic, EMPTY);
    let mut writer = Writer::new(&setting, Traffic::new(shape.clone()));
    // Until there is such a call, and no further than where it is due.
    let mut write_until = |due: i64, what: &str, found: &dyn Fn(&Call) -> bool| -> Call {
        let start = Instant::now();
        loop {
            if let Some(call) = receiver.calls().into_iter().find(found) {
                return call;
            }
            assert!(start.elapsed() < CALLED_WITHIN, "waited in vain for {what}");
            let step = writer.traffic.since() + STEP;
            if step <= due {
                writer.write(step, RATE, &watch);
            } else {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    };

    // The first call shows who is the actor.
    let call = write_until(decided(0), "the first call", &|_| true);
    let owner_process = call.caller.expect("the caller is there");
    let owner = instances.name_of(owner_process).expect("an instance").to_owned();
    let by_owner = |call: &Call| call.caller == Some(owner_process);

    // Its second call has begun, and has no answer, when it stops. The third is decided while it stands
    // still, and so is the repetition of the second: the log does not say how that ended.
    receiver.hold(true);
    let begun = write_until(decided(1), "the second call", &|call| about(call, "m01"));
    assert!(by_owner(&begun), "there is one actor");
    instances.pause(&owner);
    let (stopped, before) = (Instant::now(), receiver.calls().into_iter().filter(by_owner).count());
    receiver.hold(false);
    let again = |call: &Call| about(call, "m01") && !by_owner(call);
    let repeated = write_until(decided(2), "the other to repeat the second call", &again);
    assert_eq!((&begun.key, &begun.body), (&repeated.key, &repeated.body), "one key, so one effect");
    let third = write_until(decided(2), "the other to make the third call", &|call| about(call, "m02"));
    assert!(!by_owner(&third));
    std::thread::sleep(PAUSE.saturating_sub(stopped.elapsed()));

    // It goes on where it stood, with what it believed then, and after that as one of two.
    let paused = stopped.elapsed();
    instances.resume(&owner);
    let fourth = write_until(decided(3), "the fourth call", &|call| about(call, "m03"));
    assert!(!by_owner(&fourth), "it owns the decisions again, so nothing was shown");
    writer.write(i64::MAX, RATE, &watch);
    let tally = writer.finish();
    let mut look = || drop(instances.look());
    settle(&setting, &fleet, (&shape, &tally), patience(tally.records), &mut look);
    assert_eq!(instances.name_of(owner_process), Some(owner.as_str()), "it found back by itself");
    instances.end_all();
    assert_eq!(instances.faults, Vec::<String>::new());

    let all = receiver.calls();
    let after: Vec<&Call> = all.iter().filter(|call| by_owner(call)).skip(before).collect();
    assert!(after.is_empty(), "calls after its ownership had lapsed: {after:?}");
    let (effects, repeats) = compare::effects(&setting, &fleet, &all);
    let (calm, _) = undisturbed(&setting, &shape, &tally);
    let found = Outcome::read(&setting, &fleet, (&shape, &tally));
    found.assert_same(&calm);
    println!(
        "fencing| seed {seed}: {owner} was paused for {:.1} s; {effects} effects, {repeats} calls that repeat a key, {} decisions; all as undisturbed",
        paused.as_secs_f64(),
        found.decisions.values().map(Vec::len).sum::<usize>()
    );
    std::fs::remove_dir_all(&setting.folder).unwrap();
}
