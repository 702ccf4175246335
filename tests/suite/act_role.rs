//! The role that acts: one process owns the decisions, and whenever it stops, however it stops, the
//! next one goes on without losing an action or doing it twice.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod world;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use plimsoll::app::act::Ended;
use plimsoll::domain::{Decision, DecisionKind};
use plimsoll::engine::actor::entry::{Body, Ended as Outcome};
use plimsoll::engine::decided;
use plimsoll::safety::{Command, Order, Role};

use world::{Process, SESSION, SHORT_SESSION, World, decision};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn decisions() -> Vec<Decision> {
    vec![
        decision(DecisionKind::Qualified, "credit", "v1", &[]),
        decision(DecisionKind::Violated, "credit", "v2", &["back", "tell"]),
        decision(DecisionKind::Violated, "loan", "v2", &["tell"]),
    ]
}

/// Waits for `is`, which others bring about.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !is() {
        assert!(Instant::now() < patience, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn outcomes(world: &World) -> Vec<Outcome> {
    let state = world.state();
    let outcome =
        |body: &Body| if let Body::Outcome { outcome, .. } = body { Some(outcome.clone()) } else { None };
    state.log.iter().filter_map(|entry| outcome(&entry.body)).collect()
}

fn applied(world: &World) -> usize {
    outcomes(world).iter().filter(|outcome| matches!(outcome, Outcome::Applied { .. })).count()
}

/// Processes follow one another until everything is done; the first is killed at `kill_at`.
fn story(kill_at: Option<usize>) -> World {
    let world = World::with(&decisions());
    world.state().messages.insert(1, b"not a decision".to_vec());
    // Written twice, as after a restart of the evaluator.
    let again = world.state().messages[2].clone();
    world.state().messages.push(again);
    world.state().kill_at = kill_at;
    let runtime = runtime();
    for number in 1.. {
        assert!(number < 4, "one kill needs one more process");
        world.state().owner = number;
        match Process::new(&world, number).serve(runtime.handle()) {
            Ok(Ended::Stopped) => break,
            Ok(Ended::Lost { why, .. }) => panic!("{why:#}"),
            Err(_) => {}
        }
    }
    runtime.shutdown_background();
    world
}

#[test]
fn a_kill_between_any_two_steps_neither_loses_an_action_nor_does_it_under_another_id() {
    let whole = story(None);
    let ids = |world: &World| world.state().taken.keys().cloned().collect::<Vec<_>>();
    let steps = whole.state().steps;
    assert_eq!((ids(&whole).len(), applied(&whole)), (3, 3));
    assert!(steps >= 14, "{steps} steps");
    for kill_at in 0..steps {
        let world = story(Some(kill_at));
        assert_eq!(ids(&world), ids(&whole), "killed before step {kill_at}");
        assert_eq!(applied(&world), 3, "killed before step {kill_at}: {:?}", outcomes(&world));
        let state = world.state();
        assert!(state.kill_at.is_none() && state.quiet(), "killed before step {kill_at}");
        let decided = state.log.iter().filter(|entry| matches!(entry.body, Body::Decision { .. }));
        assert_eq!(decided.count(), 3, "each decision is in the log once; killed before step {kill_at}");
    }
}

/// A person's order to freeze everything, as a message.
fn freeze() -> Vec<u8> {
    decided::encode_command(&Command {
        id: "f".repeat(32),
        at: 0,
        who: "ann".into(),
        role: Role::Approver,
        reason: "wrong".into(),
        order: Order::Freeze,
    })
}

/// Whether `back` was asked for at its target.
fn taken_back(world: &World) -> bool {
    let state = world.state();
    let taken = |body: &Body| match body {
        Body::Decision { actions, .. } => actions
            .iter()
            .any(|planned| planned.action == "back" && state.taken.contains_key(&planned.action_id)),
        _ => false,
    };
    state.log.iter().any(|entry| taken(&entry.body))
}

#[test]
fn an_order_to_stop_that_waits_is_obeyed_by_the_next_owner_before_it_asks_anything() {
    let decisions = &decisions()[..2];
    let began = |world: &World| {
        let state = world.state();
        state.log.iter().any(|entry| matches!(&entry.body, Body::Intent { .. }))
    };
    let mut stopped = 0;
    for kill_at in 0.. {
        let world = World::with(decisions);
        world.state().kill_at = Some(kill_at);
        world.state().owner = 1;
        let runtime = runtime();
        if Process::new(&world, 1).serve(runtime.handle()).is_ok() {
            break;
        }
        // Killed after it was announced and before anything was called.
        if !world.state().taken.is_empty() || !began(&world) {
            continue;
        }
        world.state().messages.push(freeze());
        world.state().owner = 2;
        assert!(matches!(Process::new(&world, 2).serve(runtime.handle()), Ok(Ended::Stopped)));
        assert!(!taken_back(&world), "killed before step {kill_at}");
        assert_eq!(world.state().taken.len(), 1, "people are told all the same");
        stopped += 1;
    }
    assert!(stopped > 0, "there is a moment between the intent and the call");
}

#[test]
fn nothing_is_asked_before_the_mark_was_read_and_one_that_is_lost_is_written_again() {
    let world = World::with(&decisions());
    world.state().owner = 1;
    world.state().loses_marks = true;
    let runtime = runtime();
    let process = Process::new(&world, 1);
    std::thread::scope(|scope| {
        let _stop = process.stopped_at_last();
        let served = scope.spawn(|| process.serve(runtime.handle()));
        until("the decisions to be in the log", || world.state().committed == Some(3));
        assert!(process.around.shown.owner() && !process.around.readiness.is_ready());
        assert_eq!(outcomes(&world), []);
        let began = |body: &Body| matches!(body, Body::Intent { .. });
        assert!(!world.state().log.iter().any(|entry| began(&entry.body)));
        world.state().loses_marks = false;
        assert!(matches!(served.join().unwrap(), Ok(Ended::Stopped)));
    });
    assert_eq!(applied(&world), 3);
}

#[test]
fn an_instance_without_the_decisions_is_ready_and_an_owner_only_after_it_has_read_the_log() {
    let world = World::with(&decisions());
    let runtime = runtime();
    let process = Process::new(&world, 1);
    assert!(!process.around.readiness.is_ready());
    std::thread::scope(|scope| {
        let _stop = process.stopped_at_last();
        let served = scope.spawn(|| process.serve(runtime.handle()));
        until("the instance to stand by", || process.around.readiness.is_ready());
        assert!(!process.around.shown.owner());
        // Owned, but the group does not confirm it yet, so nothing is in the log.
        world.state().unconfirmed = u32::MAX;
        world.state().owner = 1;
        until("the owner to be unready", || !process.around.readiness.is_ready());
        assert_eq!(world.state().log, []);
        world.state().unconfirmed = 0;
        until("the owner to act", || process.around.shown.owner());
        until("the owner to be ready", || process.around.readiness.is_ready());
        assert!(matches!(served.join().unwrap(), Ok(Ended::Stopped)));
    });
    assert_eq!(applied(&world), 3);
}

#[test]
fn a_message_that_cannot_be_read_is_counted_and_passed_over() {
    let world = World::with(&decisions());
    world.state().messages = vec![b"{".to_vec(), vec![], b"{\"v\":9,\"type\":\"decision\"}".to_vec()];
    world.state().owner = 1;
    let process = Process::new(&world, 1);
    assert!(matches!(process.serve(runtime().handle()), Ok(Ended::Stopped)));
    assert_eq!(process.around.shown.unreadable(), 3);
    let state = world.state();
    assert_eq!((state.committed, state.log.len(), state.marks), (Some(3 + 1), 1, 1));
}

#[test]
fn while_the_group_does_not_confirm_the_ownership_entries_and_calls_wait() {
    let world = World::with(&decisions());
    world.state().owner = 1;
    world.state().unconfirmed = 5;
    let process = Process::new(&world, 1);
    assert!(matches!(process.serve(runtime().handle()), Ok(Ended::Stopped)));
    assert_eq!(applied(&world), 3);
    assert!(world.state().taken.values().all(|attempts| attempts == &[1]));
}

#[test]
fn an_owner_that_is_not_confirmed_at_its_mark_takes_what_comes_until_it_is_before_it_begins() {
    for ordered in [false, true] {
        let world = World::with(&decisions()[..2]);
        world.state().owner = 1;
        // What the mark comes after is in the log by then.
        world.state().loses_marks = true;
        let runtime = runtime();
        let process = Process::new(&world, 1);
        std::thread::scope(|scope| {
            let _stop = process.stopped_at_last();
            let served = scope.spawn(|| process.serve(runtime.handle()));
            until("the decisions to be in the log", || world.state().committed == Some(2));
            let mut state = world.state();
            (state.unconfirmed_at_mark, state.loses_marks) = (7, false);
            state.at_last_doubt = ordered.then(freeze);
            drop(state);
            assert!(matches!(served.join().unwrap(), Ok(Ended::Stopped)));
        });
        assert_eq!((taken_back(&world), world.state().marks), (!ordered, 1), "one mark is enough");
    }
}

#[test]
fn an_owner_that_is_not_confirmed_for_a_session_joins_anew() {
    let world = World::with(&decisions());
    world.state().owner = 1;
    world.state().unconfirmed = u32::MAX;
    let began = Instant::now();
    let ended = Process::new(&world, 1).hurried().serve(runtime().handle()).unwrap();
    assert!(matches!(ended, Ended::Lost { acted: false, .. }), "{ended:?}");
    assert!(began.elapsed() >= SHORT_SESSION);
    let state = world.state();
    assert_eq!((state.log.len(), state.taken.len()), (0, 0));
}

#[test]
fn an_owner_that_was_locked_out_writes_and_calls_no_more() {
    let world = World::with(&decisions()[..1]);
    world.state().owner = 1;
    let runtime = runtime();
    let process = Process::new(&world, 1).endless();
    std::thread::scope(|scope| {
        let _stop = process.stopped_at_last();
        let served = scope.spawn(|| process.serve(runtime.handle()));
        until("the first decision and the mark", || world.state().committed == Some(2));
        let mut state = world.state();
        state.writer = 2;
        state.messages.append(&mut World::with(&decisions()[1..]).state().messages);
        drop(state);
        let ended = served.join().unwrap().unwrap();
        assert!(matches!(ended, Ended::Lost { acted: true, .. }), "{ended:?}");
    });
    assert!(!process.around.shown.owner());
    let state = world.state();
    assert_eq!((state.committed, state.taken.len()), (Some(2), 0));
}

#[test]
fn a_call_under_way_at_a_revocation_is_left_to_its_end_and_finished_by_the_next_owner() {
    let world = World::with(&decisions()[..2]);
    world.state().owner = 1;
    let runtime = runtime();
    let first = Process::new(&world, 1).endless();
    first.slow.store(300, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let _stop = first.stopped_at_last();
        let served = scope.spawn(|| first.serve(runtime.handle()));
        until("both calls", || world.state().taken.len() == 2);
        assert_eq!(first.around.shown.views().len(), 2);
        world.state().owner = 2;
        until("the revocation", || !first.around.shown.owner());
        assert!(first.around.readiness.is_ready() && first.around.shown.views().is_empty());
        assert!(matches!(Process::new(&world, 2).serve(runtime.handle()), Ok(Ended::Stopped)));
        std::thread::sleep(Duration::from_millis(400));
        first.around.stop.store(true, Ordering::SeqCst);
        assert!(matches!(served.join().unwrap(), Ok(Ended::Stopped)));
    });
    let state = world.state();
    assert!(state.taken.values().all(|attempts| attempts == &[1, 1]), "{:?}", state.taken);
    let second = state.wrote.iter().position(|&number| number == 2).unwrap();
    assert!(state.wrote[second..].iter().all(|&number| number == 2), "{:?}", state.wrote);
    drop(state);
    assert_eq!(applied(&world), 2);
}

#[test]
fn a_process_that_was_paused_before_its_call_does_not_make_it_before_it_has_asked_again() {
    let world =
        World::with(&[decisions().remove(0), decision(DecisionKind::Violated, "credit", "v2", &["back"])]);
    world.state().owner = 1;
    let process = Process::new(&world, 1);
    // Stopped, between the durable intent and the call, for longer than the proof counts.
    process.pause.store(SESSION.as_millis() as u64 / 2, Ordering::SeqCst);
    assert!(matches!(process.serve(runtime().handle()), Ok(Ended::Stopped)));
    assert_eq!(process.pause.load(Ordering::SeqCst), 0, "it was paused");
    let taken: Vec<Vec<u32>> = world.state().taken.values().cloned().collect();
    assert_eq!(taken, [[2]], "the first attempt was not made, and the second was");
    assert_eq!(applied(&world), 1);
}

#[test]
fn a_call_under_way_when_the_process_stops_is_waited_for_and_recorded() {
    let world = World::with(&decisions()[..2]);
    world.state().owner = 1;
    let runtime = runtime();
    let process = Process::new(&world, 1).endless();
    process.slow.store(200, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let _stop = process.stopped_at_last();
        let served = scope.spawn(|| process.serve(runtime.handle()));
        until("both calls", || world.state().taken.len() == 2);
        process.around.stop.store(true, Ordering::SeqCst);
        assert!(matches!(served.join().unwrap(), Ok(Ended::Stopped)));
    });
    assert_eq!(applied(&world), 2);
    assert!(world.state().quiet());
}
