//! The rules under which something is done to a model, whatever happens: decisions, reports, commands of
//! people in any role, answers of targets of every class, time, and kill -9 between any two effects.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod world;

use plimsoll::domain::DecisionKind;
use plimsoll::engine::actor::entry::{Body, Ended};
use plimsoll::safety::{Order, Reply, Role, Step as Asked, Suppression, Verified};
use proptest::prelude::*;
use world::{Happening, MODELS, World, model};

fn reply() -> impl Strategy<Value = Reply> {
    let lost = (any::<bool>(), proptest::option::of(0..90_u64)).prop_map(|(doubt, wait)| Reply::Retry {
        why: "HTTP 503".into(),
        doubt,
        retry_after: wait.map(std::time::Duration::from_secs),
    });
    prop_oneof![
        4 => Just(Reply::Clear),
        4 => Just(Reply::Accepted { reference: Some("run-1".into()), detail: "taken".into(), done: false }),
        2 => Just(Reply::Accepted { reference: None, detail: "taken".into(), done: true }),
        2 => Just(Reply::Succeeded { detail: "success".into() }),
        2 => Just(Reply::Absent),
        1 => Just(Reply::Running { detail: "queued".into() }),
        1 => Just(Reply::Failed { why: "failed".into() }),
        1 => Just(Reply::Rejected { why: "HTTP 400".into() }),
        1 => Just(Reply::Barred { reason: Suppression::Stale, why: "it names another".into() }),
        4 => lost,
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    let kinds = prop_oneof![
        2 => Just(DecisionKind::Qualified),
        4 => Just(DecisionKind::Violated),
        1 => Just(DecisionKind::Cleared),
        1 => Just(DecisionKind::Withdrawn),
    ];
    let decided = (kinds, 0..4_u8, 0..MODELS, prop_oneof![6 => 0..4_u8, 1 => Just(9)], 0..3_i64).prop_map(
        |(kind, policy, model, version, at)| Happening::Decide { kind, policy, model, version, at },
    );
    let roles = prop_oneof![1 => Just(Role::Viewer), 1 => Just(Role::Operator), 4 => Just(Role::Approver)];
    let ordered = (roles, 0..9_u8, 0..MODELS, 0..4_usize, prop::bool::weighted(0.8)).prop_map(
        |(role, order, model, action, honest)| Happening::Order { role, order, model, action, honest },
    );
    let reported = (0..MODELS, 0..4_u8, 0..400_u64, 0..400_u64, 0..9_u8).prop_map(
        |(model, version, good, bad, verdicts)| Happening::Report { model, version, good, bad, verdicts },
    );
    prop_oneof![
        7 => decided,
        4 => ordered,
        3 => reported,
        9 => (0..4_usize, reply()).prop_map(|(which, reply)| Happening::Answer(which, reply)),
        9 => (0..4_usize).prop_map(Happening::AnswerWell),
        2 => (1..40_000_i64).prop_map(Happening::Wait),
        3 => Just(Happening::WaitUntilDue),
        1 => Just(Happening::Restart),
        1 => Just(Happening::Down),
        2 => (0..400_000_i64).prop_map(Happening::Up),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]
    /// The world checks each effect as it leaves: see `World::check`.
    #[test]
    fn whatever_happens_no_rule_is_broken_and_everything_comes_to_an_end(
        happenings in proptest::collection::vec(happening(), 1..90),
        kill_at in proptest::option::of(0..200_usize),
        again_after in proptest::option::of(0..12_usize),
    ) {
        let mut world = World::killed(kill_at, again_after);
        for model in 0..MODELS {
            for policy in 0..4 {
                world.happen(Happening::Decide { kind: DecisionKind::Qualified, policy, model, version: 9, at: 0 });
            }
        }
        for happening in happenings {
            world.happen(happening);
        }
        world.come_to_rest();
    }
}

/// A world in which `v9` of every model is good, and `v1` of model 0 left the bounds of policy `p1`, which
/// asks before it acts.
fn asked() -> World {
    let mut world = World::new(None);
    for policy in 0..4 {
        world.happen(Happening::Decide {
            kind: DecisionKind::Qualified,
            policy,
            model: 0,
            version: 9,
            at: 0,
        });
    }
    world.happen(Happening::Decide { kind: DecisionKind::Violated, policy: 1, model: 0, version: 1, at: 1 });
    world
}

#[test]
fn in_mode_approve_nothing_is_called_until_an_approver_has_named_the_evidence() {
    let mut world = asked();
    assert_eq!(world.submitted(), 0);
    let waiting = world.waiting();
    assert!(!waiting.is_empty());
    let (id, evidence) = waiting[0].clone();
    let to_version = world.shown_version(&id);
    let approve = |evidence: &str| Order::Approve {
        action_id: id.clone(),
        evidence: evidence.to_owned(),
        to_version: to_version.clone(),
    };
    for (role, order, why) in [
        (Role::Operator, approve(&evidence), "the role operator may not do this; it takes approver"),
        (Role::Approver, approve("sha256:other"), "the evidence is another one than was looked at"),
    ] {
        assert_eq!(world.order(role, order).as_deref(), Some(why));
        assert_eq!(world.submitted(), 0);
    }
    assert_eq!(world.order(Role::Approver, approve(&evidence)), None);
    world.answer_all();
    assert_eq!(world.submitted(), 1);
    let said = world.order(Role::Approver, approve(&evidence));
    assert!(said.unwrap().starts_with("the action does not wait for approval"), "once");
}

#[test]
fn an_approval_that_nobody_gives_expires_and_is_told() {
    let mut world = asked();
    let ids: Vec<String> = world.waiting().into_iter().map(|(id, _)| id).collect();
    world.happen(Happening::Wait(31 * 60_000));
    assert!(world.waiting().is_empty());
    for id in ids {
        assert_eq!(world.outcome(&id), Some(Ended::Expired));
        assert!(world.log().any(|body| matches!(body, Body::Escalated { action_id, reason, .. } if *action_id == id && reason == "expired")));
    }
    assert_eq!(world.submitted(), 0);
}

#[test]
fn a_freeze_and_a_hold_outlive_a_restart_and_an_approval_does_not_get_past_them() {
    for order in [Order::Freeze, Order::Hold(model(0))] {
        let mut world = asked();
        assert_eq!(world.order(Role::Operator, order.clone()), None);
        world.happen(Happening::Restart);
        assert!(world.waiting().is_empty(), "what waited is suppressed");
        world.happen(Happening::Decide {
            kind: DecisionKind::Violated,
            policy: 0,
            model: 0,
            version: 2,
            at: 5,
        });
        world.answer_all();
        assert_eq!(world.submitted(), 0, "{order:?}");
        let back = if order == Order::Freeze { Order::Resume } else { Order::Release(model(0)) };
        assert_eq!(world.order(Role::Approver, back), None);
        world.happen(Happening::Decide {
            kind: DecisionKind::Violated,
            policy: 0,
            model: 0,
            version: 3,
            at: 9,
        });
        world.answer_all();
        assert!(world.submitted() > 0);
    }
}

#[test]
fn many_models_at_once_freeze_everything_until_a_person_resumes() {
    let mut world = World::new(None);
    for model in 0..MODELS {
        for policy in 0..4 {
            world.happen(Happening::Decide {
                kind: DecisionKind::Qualified,
                policy,
                model,
                version: 9,
                at: 0,
            });
        }
    }
    for model in 0..MODELS {
        world.happen(Happening::Decide { kind: DecisionKind::Violated, policy: 0, model, version: 1, at: 1 });
    }
    assert!(world.log().any(|body| matches!(body, Body::Frozen { .. })));
    assert!(world.frozen());
    let before = world.submitted();
    world.answer_all();
    world.happen(Happening::Restart);
    assert!(world.frozen());
    world.happen(Happening::Wait(86_400_000));
    world.happen(Happening::Decide { kind: DecisionKind::Violated, policy: 0, model: 0, version: 3, at: 9 });
    world.answer_all();
    assert_eq!(world.submitted(), before);
    assert_eq!(world.order(Role::Approver, Order::Resume), None);
    assert!(!world.frozen());
}

#[test]
fn a_rollback_after_which_the_model_is_still_bad_opens_the_breaker_and_is_not_repeated() {
    let mut world = World::new(None);
    for policy in 0..4 {
        world.happen(Happening::Decide {
            kind: DecisionKind::Qualified,
            policy,
            model: 0,
            version: 9,
            at: 0,
        });
    }
    world.happen(Happening::Decide { kind: DecisionKind::Violated, policy: 0, model: 0, version: 1, at: 1 });
    world.answer_all();
    let applied = world.submitted();
    assert!(applied > 0);
    // The traffic moved to the good version, which is as bad.
    world.happen(Happening::Report { model: 0, version: 1, good: 300, bad: 0, verdicts: 8 });
    let verified: Vec<Verified> = world
        .log()
        .filter_map(|body| if let Body::Verified { result, .. } = body { Some(*result) } else { None })
        .collect();
    assert_eq!(verified, [Verified::NotRecovered]);
    world.happen(Happening::Decide { kind: DecisionKind::Violated, policy: 0, model: 0, version: 1, at: 1 });
    world.happen(Happening::Restart);
    assert!(world.breaker_open());
    assert_eq!(world.calls_of(&Asked::Submit, "back"), 1);
}
