//! The exchange between observers and evaluators, over a broker in memory: whoever reads what, dies
//! when and is taken for dead, every record counts once, and what is said is byte for byte what one
//! observer and one evaluator say that nothing disturbs. Messages and state go through their bytes.

#![expect(clippy::unwrap_used, reason = "a test may stop at a surprise, also in its helpers")]

mod broker;
mod bytes;
mod faults;
mod log;
mod restoring;
pub(crate) mod store;

use std::collections::{BTreeMap, BTreeSet};

use broker::{Flaw, Shape, World};
use log::{Known, Setup};
use plimsoll::engine::message::exchange_partition;

#[test]
fn the_logs_hold_what_the_stories_are_about() {
    for seed in 0..Known::LOGS {
        let known = Known::of(seed);
        let said = |model: &str, kind: &str, version: &str| {
            let decisions = known.told.decisions.get(model).into_iter().flatten();
            let (kind, version) = (format!("\"kind\":\"{kind}\""), format!("\"version\":\"{version}\""));
            decisions.filter(|it| it.contains(&kind) && it.contains(&version)).count()
        };
        assert!(said("loans", "violated", "v1") > 0 && said("loans", "violated", "v2") > 0, "seed {seed}");
        assert!(said("credit", "violated", "v2") > 0, "seed {seed}: {:?}", known.told.decisions);
        assert_eq!(said("credit", "violated", "v1"), 0, "seed {seed}");
        let [counted, judged] = known.accounting;
        assert!(counted.late > 5 && counted.rejected > 2, "{counted:?}");
        assert!(judged.late > counted.late, "some rows come when their pane has closed: {judged:?}");
        assert!(known.told.findings.len() == 3);
    }
    let of = |partitions| {
        let models = Setup::plain().models.iter();
        models.map(|model| exchange_partition(&model.id, partitions)).collect::<BTreeSet<_>>().len()
    };
    assert!(of(2) == 2 && of(3) >= 2, "the models are not all in one partition");
}

#[test]
fn observers_and_evaluators_that_move_and_die_say_byte_for_byte_what_undisturbed_ones_say() {
    let only = std::env::var("PLIMSOLL_TEST_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let mut events: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in only.map_or(0..300, |seed| seed..seed + 1) {
        let known = Known::of(seed as usize % Known::LOGS);
        let shape = Shape {
            observers: 1 + seed as usize % 4,
            evaluators: 1 + seed as usize / 4 % 3,
            haste: 2 + seed as usize % 17,
        };
        let mut world = World::new(&known.log, shape, seed);
        let wrong = world.run(known).err();
        assert!(wrong.is_none(), "PLIMSOLL_TEST_SEED={seed}, {shape:?}: {}", wrong.unwrap());
        world.events.iter().for_each(|(event, count)| *events.entry(event).or_default() += count);
    }
    println!("{events:?}");
    if only.is_none() {
        let kinds = ["observer killed in a commit", "zombie refused", "commit aborted", "partition given up"];
        for kind in kinds.into_iter().chain(["evaluator killed", "evaluator killed in a commit"]) {
            assert!(events.get(kind).is_some_and(|count| *count > 100), "{kind}: {events:?}");
        }
    }
}

#[test]
fn a_broker_that_does_not_keep_its_promises_does_not_pass_for_one_that_does() {
    for flaw in [Flaw::NoFence, Flaw::OffsetsApart] {
        let mut found = 0;
        for seed in 0..30 {
            let known = Known::of(seed as usize % Known::LOGS);
            let mut world = World::new(&known.log, Shape { observers: 3, evaluators: 1, haste: 15 }, seed);
            world.flaw = Some(flaw);
            found += usize::from(world.run(known).is_err());
        }
        assert!(found > 20, "{flaw:?} was found in {found} of 30 worlds");
    }
}
