//! Transitions of one action.

use std::time::Duration;

use super::*;

const DEADLINE: i64 = 300_000;

fn action(idempotency: Idempotency) -> Action {
    Action::proposed(Terms { id: "rollback-1".into(), idempotency, deadline: DEADLINE })
}

fn submitting(idempotency: Idempotency) -> Action {
    let (action, effects) = action(idempotency).step(Event::Begin, 0);
    assert_eq!(effects, [Effect::Intent, Effect::Submit { attempt: 1 }]);
    action
}

fn finished(attempt: u32, result: Reply) -> Event {
    Event::Finished { attempt, result }
}

fn lost() -> Reply {
    Reply::Retry { why: "HTTP 500".into(), doubt: true, retry_after: None }
}

fn refused() -> Reply {
    Reply::Retry { why: "connection refused".into(), doubt: false, retry_after: None }
}

fn rejected() -> Reply {
    Reply::Rejected { why: "HTTP 410: disabled".into() }
}

fn accepted() -> Reply {
    Reply::Accepted { reference: None, detail: "HTTP 202".into(), done: true }
}

fn due(action: &Action) -> i64 {
    action.due().expect("the action waits for something")
}

#[test]
fn an_accepted_call_is_applied_and_stays_so_whatever_comes_later() {
    let (action, effects) = submitting(Idempotency::Keyed).step(finished(1, accepted()), 10);
    assert_eq!(action.state, State::Applied { attempts: 1, detail: "HTTP 202".into() });
    assert_eq!(effects, [Effect::Outcome]);
    let everything = [
        Event::Suppress(Suppression::Observe),
        Event::Refuse(String::new()),
        Event::Begin,
        Event::Resume { allowed: true },
        finished(1, lost()),
        Event::Withdraw,
        Event::Tick,
    ];
    for event in everything {
        assert_eq!(action.clone().step(event, DEADLINE * 2), (action.clone(), vec![]));
    }
}

#[test]
fn every_reason_suppresses_a_proposed_action_and_is_recorded() {
    for reason in [
        Suppression::Observe,
        Suppression::NoKnownGoodVersion,
        Suppression::Stale,
        Suppression::AlreadyActive,
        Suppression::Superseded,
    ] {
        let (action, effects) = action(Idempotency::Keyed).step(Event::Suppress(reason), 0);
        assert_eq!((action.state, effects), (State::Suppressed { reason }, vec![Effect::Outcome]));
    }
}

#[test]
fn nothing_begins_at_or_after_the_deadline_or_once_the_incident_is_over() {
    let stale = State::Suppressed { reason: Suppression::Stale };
    assert_eq!(action(Idempotency::Keyed).step(Event::Begin, DEADLINE).0.state, stale);
    assert_eq!(action(Idempotency::Keyed).step(Event::Tick, DEADLINE).0.state, stale);
    assert_eq!(action(Idempotency::Keyed).step(Event::Withdraw, 0).0.state, stale);
    assert_eq!(action(Idempotency::Keyed).step(Event::Tick, 0), (action(Idempotency::Keyed), vec![]));
}

#[test]
fn a_passing_fault_is_tried_again_after_a_growing_wait() {
    let mut action = submitting(Idempotency::Keyed);
    let mut now = 0;
    for attempt in 1..5 {
        let effects;
        (action, effects) = action.step(finished(attempt, lost()), now);
        assert_eq!(effects, []);
        let at = due(&action);
        assert_eq!(at - now, backoff::millis("rollback-1", attempt));
        assert_eq!(action.clone().step(Event::Tick, at - 1), (action.clone(), vec![]));
        now = at;
        let effects;
        (action, effects) = action.step(Event::Tick, now);
        assert_eq!(effects, [Effect::Submit { attempt: attempt + 1 }]);
    }
}

#[test]
fn retry_after_is_honoured_inside_the_deadline_and_ends_the_action_beyond_it() {
    let busy = |seconds| Reply::Retry {
        why: "HTTP 429".into(),
        doubt: false,
        retry_after: Some(Duration::from_secs(seconds)),
    };
    let (action, _) = submitting(Idempotency::Keyed).step(finished(1, busy(60)), 0);
    assert_eq!(due(&action), 60_000);
    let (action, effects) = submitting(Idempotency::Keyed).step(finished(1, busy(3600)), 0);
    assert_eq!((action.state.name(), effects), ("failed", vec![Effect::Outcome]));
    let (action, _) = submitting(Idempotency::Keyed).step(finished(1, busy(u64::MAX)), 0);
    assert_eq!(action.state.name(), "failed");
}

#[test]
fn a_refusal_fails_at_once_unless_an_earlier_attempt_may_have_been_taken() {
    let (action, effects) = submitting(Idempotency::Keyed).step(finished(1, rejected()), 5);
    assert_eq!(action.state, State::Failed { attempts: 1, detail: "HTTP 410: disabled".into() });
    assert_eq!(effects, [Effect::Outcome]);

    let (action, _) = submitting(Idempotency::Keyed).step(finished(1, lost()), 5);
    let at = due(&action);
    let (action, _) = action.step(Event::Tick, at);
    let (action, _) = action.step(finished(2, rejected()), at);
    assert_eq!(action.state.name(), "unknown");
}

#[test]
fn at_the_deadline_a_target_that_was_never_reached_failed_and_a_lost_reply_is_unknown() {
    for (result, end) in [(refused(), "failed"), (lost(), "unknown")] {
        let mut action = submitting(Idempotency::Keyed);
        let (mut now, mut attempt, mut calls) = (0, 1, 1);
        while let State::Submitting { .. } = action.state {
            action = action.step(finished(attempt, result.clone()), now).0;
            let Some(at) = action.due() else { break };
            now = at;
            let effects;
            (action, effects) = action.step(Event::Tick, now);
            assert_eq!(effects, [Effect::Submit { attempt: attempt + 1 }]);
            assert!(now < DEADLINE);
            attempt += 1;
            calls += 1;
        }
        assert_eq!(action.state.name(), end);
        assert!(calls > 5, "only {calls} attempts in five minutes");
    }
}

#[test]
fn a_target_that_would_act_twice_is_not_asked_again_after_a_lost_reply() {
    let (action, _) = submitting(Idempotency::Unkeyed).step(finished(1, lost()), 5);
    assert_eq!(action.state.name(), "unknown");
    let (action, _) = submitting(Idempotency::Unkeyed).step(finished(1, refused()), 5);
    assert_eq!(action.state.name(), "submitting");
}

#[test]
fn after_a_restart_only_a_keyed_target_is_asked_again_and_a_dry_run_completes() {
    let interrupted = |idempotency| Action { state: State::interrupted(), ..action(idempotency) };
    let resume = |idempotency, allowed, now| interrupted(idempotency).step(Event::Resume { allowed }, now);

    let (action, effects) = resume(Idempotency::Keyed, true, 10);
    assert_eq!((action.state.name(), effects), ("submitting", vec![Effect::Submit { attempt: 1 }]));
    for (idempotency, allowed, now) in [
        (Idempotency::Keyed, false, 10),
        (Idempotency::Keyed, true, DEADLINE),
        (Idempotency::Unkeyed, true, 10),
    ] {
        let (action, effects) = resume(idempotency, allowed, now);
        assert_eq!((action.state.name(), effects), ("unknown", vec![Effect::Outcome]));
    }
    let (action, _) = resume(Idempotency::NoEffect, false, DEADLINE * 2);
    assert_eq!(action.state.name(), "applied");
}

#[test]
fn an_incident_that_ends_stops_further_attempts_but_hears_the_one_under_way() {
    let (action, effects) = submitting(Idempotency::Keyed).step(Event::Withdraw, 1);
    assert_eq!(effects, []);
    assert_eq!(action.clone().step(finished(1, accepted()), 2).0.state.name(), "applied");
    assert_eq!(action.clone().step(finished(1, refused()), 2).0.state.name(), "failed");
    assert_eq!(action.step(finished(1, lost()), 2).0.state.name(), "unknown");

    let (action, _) = submitting(Idempotency::Keyed).step(finished(1, refused()), 1);
    assert_eq!(action.step(Event::Withdraw, 2).0.state.name(), "failed");
}

#[test]
fn a_missing_reply_is_unknown_after_the_deadline_and_a_late_one_still_counts() {
    let action = submitting(Idempotency::Keyed);
    let at = due(&action);
    assert_eq!(action.clone().step(Event::Tick, at - 1), (action.clone(), vec![]));
    let (action, _) = action.step(Event::Tick, at);
    assert_eq!(action.state.name(), "unknown");
    assert_eq!(action.clone().step(finished(2, accepted()), at).0.state.name(), "unknown");
    let (action, effects) = action.step(finished(1, accepted()), at + 1);
    assert_eq!((action.state.name(), effects), ("applied", vec![Effect::Outcome]));
}
