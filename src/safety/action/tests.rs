//! The life of one action, alone.

use std::time::Duration;

use super::*;
use crate::safety::backoff;

const DEADLINE: i64 = 100_000;
const FIND: Abilities = Abilities { preflight: false, find: true, poll: false, cancel: false };
const ALL: Abilities = Abilities { preflight: true, find: true, poll: true, cancel: true };

fn proposed(idempotency: Idempotency, abilities: Abilities) -> Action {
    Action::proposed(Terms {
        id: "retrain-1".into(),
        kind: ActionKind::Retrain,
        idempotency,
        abilities,
        deadline: DEADLINE,
        finish_within: 50_000,
    })
}

/// An action without a preflight, begun at 0.
fn begun(idempotency: Idempotency, abilities: Abilities) -> Action {
    let (action, effects) = proposed(idempotency, abilities).step(Event::Begin, 0);
    assert_eq!(effects, [Effect::Intent, call(1, Step::Submit)]);
    action
}

fn call(attempt: u32, step: Step) -> Effect {
    Effect::Call { attempt, step }
}

fn lost() -> Reply {
    Reply::Retry { why: "reset".into(), doubt: true, retry_after: None }
}

fn refused(seconds: u64) -> Reply {
    Reply::Retry { why: "HTTP 429".into(), doubt: false, retry_after: Some(Duration::from_secs(seconds)) }
}

fn taken(reference: Option<&str>) -> Reply {
    let reference = reference.map(str::to_owned);
    Reply::Accepted { done: reference.is_none(), reference, detail: "taken".into() }
}

/// The newest question is answered at `now`.
fn answer(action: Action, reply: Reply, now: i64) -> (Action, Vec<Effect>) {
    let attempt = action.asked;
    action.step(Event::Finished { attempt, reply }, now)
}

fn name(action: &Action) -> &'static str {
    action.state.name()
}

#[test]
fn what_the_target_takes_is_applied() {
    let (action, effects) = answer(begun(Idempotency::Keyed, FIND), taken(None), 10);
    assert_eq!((name(&action), effects), ("applied", vec![Effect::Outcome]));
    assert_eq!(action.due(), None);
}

#[test]
fn a_rollback_that_was_applied_is_watched() {
    let mut rollback = begun(Idempotency::Keyed, FIND);
    rollback.terms.kind = ActionKind::Rollback;
    let (rollback, effects) = answer(rollback, taken(None), 10);
    assert_eq!((name(&rollback), effects), ("verifying", vec![Effect::Outcome]));
    for (result, name) in [
        (Verified::Recovered, "recovered"),
        (Verified::NotRecovered, "not_recovered"),
        (Verified::Inconclusive, "verify_inconclusive"),
    ] {
        let (seen, effects) = rollback.clone().step(Event::Verify { result, detail: "seen".into() }, 20);
        assert_eq!((seen.state.name(), effects), (name, vec![Effect::Verified]));
    }
}

#[test]
fn the_preflight_comes_before_the_intent() {
    let (action, effects) = proposed(Idempotency::Keyed, ALL).step(Event::Begin, 0);
    assert_eq!((name(&action), effects), ("preflight", vec![call(1, Step::Preflight)]));
    let (clear, effects) = answer(action.clone(), Reply::Clear, 5);
    assert_eq!((name(&clear), effects), ("submitting", vec![Effect::Intent, call(2, Step::Submit)]));
    let barred = Reply::Barred { reason: Suppression::TargetNotReady, why: "the DAG is paused".into() };
    let (barred, effects) = answer(action.clone(), barred, 5);
    assert_eq!((name(&barred), effects), ("suppressed", vec![Effect::Outcome]));
    let (late, _) = answer(action.clone(), Reply::Clear, DEADLINE);
    assert_eq!(name(&late), "suppressed");
    let (again, effects) = answer(action, lost(), 5);
    assert_eq!(
        (name(&again), effects),
        ("preflight", vec![]),
        "asking changes nothing, so it may be repeated"
    );
}

#[test]
fn a_refusal_fails_and_a_refusal_after_a_lost_reply_needs_a_person() {
    let no = Reply::Rejected { why: "HTTP 400".into() };
    let (action, _) = answer(begun(Idempotency::Keyed, Abilities::default()), no.clone(), 10);
    assert_eq!(name(&action), "failed");
    let (action, _) = answer(begun(Idempotency::Keyed, Abilities::default()), lost(), 10);
    let (action, _) = action.clone().step(Event::Tick, action.due().unwrap());
    let (action, _) = answer(action, no, 20_000);
    assert_eq!(name(&action), "needs_human");
}

#[test]
fn what_was_certainly_not_taken_is_sent_again_at_any_target_and_not_before_it_asks() {
    for idempotency in [Idempotency::Keyed, Idempotency::StateLike, Idempotency::Unkeyed] {
        let (action, effects) = answer(begun(idempotency, FIND), refused(30), 1_000);
        assert_eq!(effects, []);
        assert_eq!(action.due(), Some(31_000), "{idempotency:?}");
        let (early, effects) = action.clone().step(Event::Tick, 30_999);
        assert_eq!((early, effects), (action.clone(), vec![]));
        let (_, effects) = action.step(Event::Tick, 31_000);
        assert_eq!(effects, [call(2, Step::Submit)]);
    }
    let (action, _) = answer(begun(Idempotency::Keyed, FIND), refused(100), 1_000);
    assert_eq!(name(&action), "failed", "the next attempt would be late");
}

#[test]
fn a_keyed_target_that_cannot_be_asked_is_sent_the_same_again_after_a_lost_reply() {
    let (action, effects) = answer(begun(Idempotency::Keyed, Abilities::default()), lost(), 0);
    assert_eq!(effects, []);
    assert_eq!(action.due(), Some(backoff::millis("retrain-1", 1)));
    let (_, effects) = action.clone().step(Event::Tick, action.due().unwrap());
    assert_eq!(effects, [call(2, Step::Submit)]);
}

#[test]
fn a_target_that_acts_twice_is_never_sent_anything_again_after_a_lost_reply() {
    let (action, effects) = answer(begun(Idempotency::Unkeyed, Abilities::default()), lost(), 0);
    assert_eq!((name(&action), effects), ("needs_human", vec![Effect::Outcome]));

    let (mut action, effects) = answer(begun(Idempotency::Unkeyed, FIND), lost(), 0);
    assert_eq!((name(&action), effects), ("finding", vec![call(2, Step::Find)]));
    let (found, _) = answer(action.clone(), taken(None), 10);
    assert_eq!(name(&found), "applied");
    let (mut now, mut sent) = (0, 0);
    while name(&action) == "finding" {
        let effects;
        (action, effects) = answer(action, Reply::Absent, now);
        sent +=
            effects.iter().filter(|effect| matches!(effect, Effect::Call { step: Step::Submit, .. })).count();
        let Some(due) = action.due() else { break };
        now = due;
        (action, _) = action.step(Event::Tick, now);
    }
    assert_eq!((name(&action), sent), ("needs_human", 0));
    assert!(now >= FIND_GRACE_MILLIS, "{now}");
}

#[test]
fn what_may_have_been_taken_is_looked_up_before_it_is_sent_again() {
    for idempotency in [Idempotency::Keyed, Idempotency::StateLike] {
        let (action, effects) = answer(begun(idempotency, FIND), lost(), 0);
        assert_eq!((name(&action), effects), ("finding", vec![call(2, Step::Find)]));
        let (action, effects) = answer(action, Reply::Absent, 10);
        assert_eq!((name(&action), effects), ("submitting", vec![]));
        let (action, effects) = action.clone().step(Event::Tick, action.due().unwrap());
        assert_eq!((name(&action), effects), ("submitting", vec![call(3, Step::Submit)]));
    }
    let (action, _) = answer(begun(Idempotency::StateLike, FIND), lost(), 0);
    let stale = Reply::Barred { reason: Suppression::Stale, why: "it names version 3".into() };
    let (action, _) = answer(action, stale, 10);
    assert_eq!(name(&action), "suppressed", "somebody else has changed it");
}

#[test]
fn after_the_deadline_it_is_looked_up_and_not_sent_again() {
    let (action, _) = answer(begun(Idempotency::Keyed, FIND), lost(), DEADLINE - 1);
    let mut action = action;
    let mut now = DEADLINE + 10;
    while name(&action) == "finding" {
        let effects;
        (action, effects) = answer(action, Reply::Absent, now);
        assert!(!effects.contains(&call(action.asked, Step::Submit)));
        let Some(due) = action.due() else { break };
        now = due;
        (action, _) = action.step(Event::Tick, now);
    }
    assert_eq!(name(&action), "failed");
}

#[test]
fn what_runs_is_followed_until_it_ends() {
    let (action, effects) =
        answer(begun(Idempotency::Keyed, Abilities { preflight: false, ..ALL }), taken(Some("run-7")), 0);
    assert_eq!((name(&action), effects), ("running", vec![Effect::Accepted]));
    let poll = Step::Poll { reference: "run-7".into() };
    let (action, effects) = action.clone().step(Event::Tick, action.due().unwrap());
    assert_eq!(effects, [call(2, poll)]);
    let (running, effects) = answer(action.clone(), Reply::Running { detail: "queued".into() }, 2_000);
    assert_eq!((name(&running), effects), ("running", vec![]));
    let (ok, effects) = answer(action.clone(), Reply::Succeeded { detail: "success".into() }, 2_000);
    assert_eq!((name(&ok), effects), ("applied", vec![Effect::Outcome]));
    let (failed, _) = answer(action.clone(), Reply::Failed { why: "failed".into() }, 2_000);
    assert_eq!(name(&failed), "failed");
    let (on, _) = answer(action, lost(), 2_000);
    assert_eq!(name(&on), "running", "a look that failed changes nothing");
}

#[test]
fn what_does_not_succeed_in_time_is_stopped_and_has_failed() {
    let (action, _) =
        answer(begun(Idempotency::Keyed, Abilities { preflight: false, ..ALL }), taken(Some("run-7")), 0);
    let (action, effects) = action.step(Event::Tick, 50_000);
    assert_eq!(effects, [call(2, Step::Cancel { reference: "run-7".into() })]);
    let (stopped, effects) =
        answer(action.clone(), Reply::Succeeded { detail: "marked failed".into() }, 50_010);
    assert_eq!((name(&stopped), effects), ("failed", vec![Effect::Outcome]));
    let (again, _) = answer(action, lost(), 50_010);
    assert_eq!(name(&again), "running", "to stop it is tried again");
    let due = again.due().unwrap();
    let (again, effects) = again.step(Event::Tick, due);
    assert_eq!(effects, [call(3, Step::Cancel { reference: "run-7".into() })]);
    let (stuck, _) = answer(again, lost(), 80_000);
    assert_eq!(name(&stuck), "needs_human");
}

#[test]
fn what_succeeded_while_nobody_asked_is_asked_for_before_it_is_called_overdue() {
    let abilities = Abilities { preflight: false, ..ALL };
    let (action, _) = answer(begun(Idempotency::Keyed, abilities), taken(Some("run-7")), 0);
    let (action, effects) = action.step(Event::Resume { allowed: true, same_target: true }, 90_000);
    assert_eq!(effects, [call(2, Step::Poll { reference: "run-7".into() })]);
    let (action, effects) = action.step(Event::Tick, 90_050);
    assert_eq!((name(&action), effects), ("running", vec![]));
    let (action, _) = answer(action, Reply::Succeeded { detail: "success".into() }, 90_100);
    assert_eq!(name(&action), "applied");
}

#[test]
fn a_person_may_stop_what_runs() {
    let (action, _) =
        answer(begun(Idempotency::Keyed, Abilities { preflight: false, ..ALL }), taken(Some("run-7")), 0);
    let (action, effects) = action.step(Event::Cancel { detail: "ann: wrong model".into() }, 10);
    assert_eq!(effects, [call(2, Step::Cancel { reference: "run-7".into() })]);
    let (action, _) = answer(action, Reply::Succeeded { detail: "marked failed".into() }, 20);
    assert_eq!(action.state, State::Cancelled { detail: "ann: wrong model; marked failed".into() });
}

#[test]
fn what_cannot_be_stopped_when_its_time_is_over_is_left_to_a_person() {
    let abilities = Abilities { preflight: false, cancel: false, ..ALL };
    let (action, _) = answer(begun(Idempotency::Keyed, abilities), taken(Some("run-7")), 0);
    let (action, effects) = action.step(Event::Tick, 50_000);
    assert_eq!((name(&action), effects), ("needs_human", vec![Effect::Outcome]), "it may still succeed");
}

#[test]
fn what_turns_out_to_have_been_taken_after_a_person_stopped_it_is_stopped_then() {
    let cancel = || Event::Cancel { detail: "ann: wrong model".into() };
    let abilities = Abilities { preflight: false, ..ALL };
    let stop = Step::Cancel { reference: "run-7".into() };
    // While the request was under way.
    let (action, effects) = begun(Idempotency::Keyed, abilities).step(cancel(), 10);
    assert_eq!((name(&action), effects), ("submitting", vec![]));
    let (taken_late, effects) = answer(action.clone(), taken(Some("run-7")), 20);
    assert_eq!(effects, [Effect::Accepted, call(2, stop.clone())]);
    let (action_stopped, _) = answer(taken_late, Reply::Succeeded { detail: "failed".into() }, 30);
    assert_eq!(action_stopped.state, State::Cancelled { detail: "ann: wrong model; failed".into() });
    let (not_taken, _) = answer(action, Reply::Rejected { why: "HTTP 400".into() }, 20);
    assert_eq!(not_taken.state, State::Cancelled { detail: "ann: wrong model; HTTP 400".into() });
    // While it was looked for.
    let (finding, _) = answer(begun(Idempotency::Keyed, abilities), lost(), 10);
    assert_eq!(name(&finding), "finding");
    let (finding, _) = finding.step(cancel(), 11);
    let (_, effects) = answer(finding, taken(Some("run-7")), 12);
    assert_eq!(effects, [Effect::Accepted, call(3, stop)]);
}

#[test]
fn approval_is_given_in_time_or_it_has_expired() {
    let (waiting, effects) = proposed(Idempotency::Keyed, FIND).step(Event::Ask { until: 500 }, 0);
    assert_eq!((name(&waiting), waiting.due(), effects), ("awaiting_approval", Some(500), vec![]));
    let (begin, effects) = waiting.clone().step(Event::Begin, 10);
    assert_eq!((name(&begin), effects), ("awaiting_approval", vec![]), "nobody has approved it");
    let (approved, _) = waiting.clone().step(Event::Approve { deadline: 900 }, 10);
    assert_eq!((name(&approved), approved.terms.deadline), ("proposed", 900));
    for event in [Event::Tick, Event::Approve { deadline: 900 }] {
        let (late, effects) = waiting.clone().step(event, 500);
        assert_eq!((name(&late), effects), ("expired", vec![Effect::Outcome]));
    }
    let (denied, _) = waiting.step(Event::Deny { detail: "ann: no".into() }, 10);
    assert_eq!(name(&denied), "denied");
}

#[test]
fn halted_before_anything_was_sent_it_is_suppressed_and_after_that_it_is_not_sent_again() {
    let (action, _) = proposed(Idempotency::Keyed, FIND).step(Event::Halt(Halt::Withdrawn), 0);
    assert_eq!(name(&action), "suppressed");
    let (action, _) = begun(Idempotency::Keyed, FIND).step(Event::Halt(Halt::Stopped), 5);
    let (applied, _) = answer(action.clone(), taken(None), 10);
    assert_eq!(name(&applied), "applied", "what was taken was taken");
    let (failed, _) = answer(action.clone(), refused(1), 10);
    assert_eq!(name(&failed), "failed");
    let (looked, _) = answer(action, lost(), 10);
    assert_eq!(name(&looked), "finding");
    let (after, _) = answer(looked, Reply::Absent, 20);
    assert_eq!(name(&after), "finding", "it is looked for, and not sent again");
}

#[test]
fn an_interrupted_action_is_looked_up_repeated_or_left_to_a_person() {
    let interrupted =
        |idempotency, abilities| Action { state: State::interrupted(), ..proposed(idempotency, abilities) };
    let resume = Event::Resume { allowed: true, same_target: true };
    let none = Abilities::default();
    for (idempotency, abilities, state, step) in [
        (Idempotency::Keyed, none, "submitting", Some(Step::Submit)),
        (Idempotency::Keyed, FIND, "finding", Some(Step::Find)),
        (Idempotency::StateLike, FIND, "finding", Some(Step::Find)),
        (Idempotency::Unkeyed, FIND, "finding", Some(Step::Find)),
        (Idempotency::Unkeyed, none, "needs_human", None),
        (Idempotency::NoEffect, none, "applied", None),
    ] {
        let (action, effects) = interrupted(idempotency, abilities).step(resume.clone(), 10);
        assert_eq!(name(&action), state, "{idempotency:?}");
        let asked = effects.iter().find_map(|effect| match effect {
            Effect::Call { step, .. } => Some(step.clone()),
            _ => None,
        });
        assert_eq!(asked, step, "{idempotency:?}");
    }
    for (allowed, same_target, now) in [(false, true, 10), (true, false, 10), (true, true, DEADLINE)] {
        let resume = Event::Resume { allowed, same_target };
        let (action, _) = interrupted(Idempotency::Keyed, none).step(resume, now);
        assert_eq!(name(&action), "needs_human");
    }
    let forbidden = Event::Resume { allowed: false, same_target: true };
    let (action, _) = interrupted(Idempotency::Keyed, FIND).step(forbidden, 10);
    let (action, _) = answer(action, Reply::Absent, 20);
    assert_eq!(name(&action), "finding", "looking is allowed, sending is not");
}

#[test]
fn an_answer_to_an_old_question_changes_nothing() {
    let (action, _) = answer(begun(Idempotency::Keyed, Abilities::default()), lost(), 0);
    let (action, _) = action.clone().step(Event::Tick, action.due().unwrap());
    let (same, effects) = action.clone().step(Event::Finished { attempt: 1, reply: taken(None) }, 20_000);
    assert_eq!((same, effects), (action, vec![]));
}

#[test]
fn no_reply_until_after_the_deadline_is_doubt() {
    let late = DEADLINE + REPLY_GRACE_MILLIS;
    let (same, _) = begun(Idempotency::Keyed, FIND).step(Event::Tick, late - 1);
    assert_eq!(name(&same), "submitting");
    let (found, _) = begun(Idempotency::Keyed, FIND).step(Event::Tick, late);
    assert_eq!(name(&found), "finding");
    let (human, _) = begun(Idempotency::Keyed, Abilities::default()).step(Event::Tick, late);
    assert_eq!(name(&human), "needs_human");
}
