//! Exactly once, seen from outside: several daemons with all roles read one topic on three brokers and
//! are killed, paused, added and removed, and the brokers are restarted. What they tell must be what
//! one undisturbed daemon tells of the same records, to the byte. tests/kafka/chaos.sh starts the
//! cluster, sets the variables that are read here, and can repeat a run by its seed.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod compare;
mod fencing;
mod instances;
mod receiver;
mod schedule;
mod setting;
mod settle;
mod told;
mod traffic;
mod watch;
mod writer;

use std::str::FromStr;
use std::time::{Duration, Instant};

use compare::Outcome;
use instances::Instances;
use receiver::Receiver;
use schedule::{Amount, Plan, disturb, restart};
use setting::{EXCHANGE, Fleet, Setting};
use settle::settle;
use told::sizes;
use traffic::{EMPTY, SILENT, Shape, Tally, Traffic};
use watch::Watch;
use writer::Writer;

/// More records a second than this two processors with three brokers do not take.
const FASTEST: f64 = 12_000.0;

/// A number that the script may set.
fn number<T: FromStr>(name: &str, default: T) -> T {
    let Ok(text) = std::env::var(format!("PLIMSOLL_CHAOS_{name}")) else { return default };
    text.parse().unwrap_or_else(|_| panic!("PLIMSOLL_CHAOS_{name} is no number: {text}"))
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Median and largest of what is in ascending order.
fn spread(all: &[Duration]) -> String {
    match all {
        [] => "none seen".to_owned(),
        [.., last] => format!("median {}, longest {}", seconds(all[all.len() / 2]), seconds(*last)),
    }
}

/// How long a fleet may take to read what it has left.
fn patience(records: u64) -> Duration {
    Duration::from_secs(120 + records / 5_000)
}

/// What one undisturbed daemon tells of all records, and how long it took.
fn undisturbed(setting: &Setting, shape: &Shape, tally: &Tally) -> (Outcome, Duration) {
    let receiver = Receiver::start();
    let fleet = setting.fleet("calm", shape.lateness, &receiver.url());
    let mut instances = Instances::new(&fleet);
    instances.start("a");
    let mut look = || drop(instances.look());
    let took = settle(setting, &fleet, (shape, tally), patience(tally.records), &mut look);
    instances.end_all();
    assert_eq!(instances.faults, Vec::<String>::new());
    let outcome = Outcome::read(setting, &fleet, (shape, tally));
    compare::effects(setting, &fleet, &receiver.calls());
    (outcome, took)
}

/// Messages that readers never see, because their transactions were aborted.
fn aborted(setting: &Setting, fleet: &Fleet) -> (u64, u64, u64) {
    let mut sum = (0, 0, 0);
    for topic in ["partials", "findings", "decisions"] {
        let [(committed, bytes), (all, _)] = sizes(setting, &fleet.topic(topic));
        sum.0 += all - committed;
        if topic == "partials" {
            (sum.1, sum.2) = (committed, bytes);
        }
    }
    sum
}

#[test]
#[ignore = "needs a real cluster: tests/kafka/chaos.sh"]
fn real_kills_pauses_rebalances_and_broker_restarts_change_nothing_that_is_told() {
    let seed = number("SEED", u64::from(std::process::id()));
    let amount = Amount {
        kills: number("KILLS", 8),
        zombies: number("ZOMBIES", 1),
        restarts: number("BROKER_RESTARTS", 1),
    };
    let steady = number("INSTANCES", 3_usize);
    let shape = Shape::long(seed, number("RECORDS", 200_000));
    let plan = Plan::new(seed, amount);
    let rate = (shape.records as f64 / plan.length().as_secs_f64()).min(number("RATE", FASTEST));
    eprintln!("chaos: PLIMSOLL_CHAOS_SEED={seed} {amount:?}, {steady} instances");
    eprintln!(
        "chaos: {} records at {rate:.0} a second, {} s of event time, lateness {} ms, partition {SILENT} silent in {:?}, {EMPTY} empty",
        shape.records,
        shape.records as i64 / traffic::RATE,
        shape.lateness,
        shape.silence
    );
    plan.events.iter().for_each(|(gap, event)| eprintln!("chaos:   after {gap:?} {event:?}"));
    eprintln!("chaos:   nodes to restart: {:?}", plan.nodes);

    let setting = Setting::new("chaos");
    let receiver = Receiver::start();
    let fleet = setting.fleet("chaos", shape.lateness, &receiver.url());
    let names: Vec<String> = (b'a'..).take(steady + 1).map(|name| char::from(name).to_string()).collect();
    let mut instances = Instances::new(&fleet);
    names[..steady].iter().for_each(|name| instances.start(name));
    let input = Watch::start(&setting, &fleet.group, &setting.topic, SILENT);
    let all = Watch::start(&setting, &fleet.group, &setting.topic, EMPTY);
    let partials =
        Watch::start(&setting, &format!("{}.evaluate", fleet.group), &fleet.topic("partials"), EXCHANGE);
    let mut writer = Writer::new(&setting, Traffic::new(shape.clone()));
    let written = writer.written.clone();

    let start = Instant::now();
    let (tally, held_back, done, away) = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            writer.written.clone().guard(|| writer.write(i64::MAX, rate, &all));
            (writer.finish(), writer.held_back)
        });
        let restarting =
            scope.spawn(|| written.guard(|| restart(&setting, &plan.nodes, &written, shape.records)));
        let disturbing = || {
            let progress = (&written, shape.records);
            disturb(&plan, &mut instances, &names, steady, progress, &[&input, &partials])
        };
        let done = written.guard(disturbing);
        let (tally, held_back) = writing.join().unwrap();
        (tally, held_back, done, restarting.join().unwrap())
    });
    let writing = start.elapsed();
    let mut look = || {
        for name in instances.look() {
            instances.start(&name);
        }
    };
    let settled = settle(&setting, &fleet, (&shape, &tally), patience(shape.records), &mut look);
    instances.end_all();
    let (input, partials) = (input.recoveries(), partials.recoveries());
    drop(all);

    let (calm, calm_took) = undisturbed(&setting, &shape, &tally);
    let found = Outcome::read(&setting, &fleet, (&shape, &tally));
    let (effects, repeated) = compare::effects(&setting, &fleet, &receiver.calls());
    let (aborted, messages, bytes) = aborted(&setting, &fleet);
    let mut stops = instances.stops.clone();
    stops.sort();
    let rows = [
        ("seed", seed.to_string()),
        (
            "records",
            format!("{} of which {} late, {} broken", tally.records, tally.late, tally.rejected.len()),
        ),
        ("kill -9", done.kills.to_string()),
        ("paused beyond their session", done.zombies.to_string()),
        ("added, removed", format!("{}, {}", done.added, done.removed)),
        ("lives of instances", instances.lives_begun().to_string()),
        ("broker restarts", format!("{:?}", away.iter().map(|away| seconds(*away)).collect::<Vec<_>>())),
        ("writing", format!("{}, {} of it waiting for commits", seconds(writing), seconds(held_back))),
        ("settled after", seconds(settled)),
        ("undisturbed run", seconds(calm_took)),
        ("kill to all input partitions committed", spread(&input)),
        ("kill to all exchange partitions committed", spread(&partials)),
        ("stopping when asked", spread(&stops)),
        ("findings", found.findings.values().map(Vec::len).sum::<usize>().to_string()),
        ("decisions", found.decisions.values().map(Vec::len).sum::<usize>().to_string()),
        ("effects at the target", format!("{effects}, and {repeated} calls that repeat a key")),
        ("messages of aborted transactions", aborted.to_string()),
        ("partials", format!("{messages} messages, {bytes} bytes")),
        ("accounting", found.accounting.to_string()),
    ];
    rows.iter().for_each(|(name, value)| println!("chaos| {name:<42} {value}"));
    found.assert_same(&calm);
    assert!(found.decisions.len() > 1 && effects > 0, "the traffic leads to decisions and calls");
    assert_eq!(instances.faults, Vec::<String>::new(), "each instance ends only when asked to, and well");
    println!("chaos| {:<42} findings, decisions, dead letters and accounting are identical", "result");
    std::fs::remove_dir_all(&setting.folder).unwrap();
}
