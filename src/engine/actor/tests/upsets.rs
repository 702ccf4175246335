//! Orders of people, other incidents and restarts that come in the middle of something.

use super::*;
use crate::domain::Report;
use crate::safety::{Command, Order, Role};

pub(super) fn order(id: &str, order: Order) -> Input {
    Input::Command(Command {
        id: id.into(),
        at: 0,
        who: "ann".into(),
        role: Role::Approver,
        reason: "wrong".into(),
        order,
    })
}

/// Why the order was refused; none where it was accepted.
pub(super) fn refusal(effects: &[Effect]) -> Option<String> {
    let said = effects.iter().find_map(|e| if let Effect::Ordered(view) = e { Some(view) } else { None });
    said.expect("an order is answered").why.clone()
}

fn report(until: i64, rows: &[(&str, u64)]) -> Input {
    Input::Report(Report {
        tenant: None,
        model: "credit".into(),
        from: EventTime::from_millis(until - 10),
        until: EventTime::from_millis(until),
        rows: rows.iter().map(|(version, rows)| (Version::from(*version), *rows)).collect(),
        standings: Default::default(),
    })
}

pub(super) fn all() -> Abilities {
    Abilities { preflight: false, find: true, poll: true, cancel: true }
}

pub(super) fn asking() -> Config {
    let mut config = config();
    for terms in config.policies.values_mut() {
        terms.mode = PolicyMode::Approve;
    }
    config
}

#[test]
fn an_order_to_stop_outlives_a_restart() {
    let mut config = config();
    config.actions[1].abilities = all();
    let (mut run, _) = Run::start(config.clone(), vec![], 0);
    let id = calls(&run.at(0, violated("fair", "v2", &["train"])))[0].action_id.clone();
    assert_eq!(refusal(&run.at(1, order("c1", Order::Cancel { action_id: id.clone() }))), None);
    let (mut run, effects) = Run::start(config, run.log, 2);
    let calls = calls(&effects);
    assert_eq!(calls.iter().map(|call| call.step.name()).collect::<Vec<_>>(), ["find"]);
    let taken = Reply::Accepted { reference: Some("run-7".into()), detail: "running".into(), done: false };
    let effects = run.at(3, ended(&id, taken));
    assert_eq!(self::calls(&effects)[0].step, Step::Cancel { reference: "run-7".into() });
}

#[test]
fn a_no_whose_outcome_did_not_reach_the_log_is_a_no() {
    let (run, _) = Run::start(asking(), vec![], 0);
    let mut run = run.with_good_version();
    run.at(0, violated("fair", "v2", &["back"]));
    let id = run.actor.tasks.keys().next().unwrap().clone();
    run.at(1, order("c1", Order::Deny { action_id: id }));
    assert!(matches!(run.log.pop().unwrap().body, Body::Outcome { .. }));
    let (_, effects) = Run::start(asking(), run.log, 2);
    assert_eq!(shown(&effects), ["back denied ann: wrong"]);
}

#[test]
fn nothing_more_is_sent_that_goes_back_to_a_version_that_is_known_to_be_bad_by_now() {
    let mut run = Run::new().with_good_version();
    let id = calls(&run.at(0, violated("fair", "v2", &["back"])))[0].action_id.clone();
    let busy = Reply::Retry { why: "HTTP 503".into(), doubt: false, retry_after: None };
    run.at(1, ended(&id, busy));
    let effects = run.at(2, violated("drift", "v1", &["back"]));
    let shown = shown(&effects);
    assert!(shown.iter().any(|line| line.starts_with("back failed the version to go back to")), "{shown:?}");
    assert_eq!(called(&run.at(5 * MINUTES, Input::Tick)), Vec::<&str>::new());
    // The same where the process stops in between: it is looked up and not sent again.
    let mut run = Run::new().with_good_version();
    run.at(0, violated("fair", "v2", &["back"]));
    run.at(3, violated("fair", "v1", &["back"]));
    let (_, effects) = Run::start(config(), run.log, 4);
    assert_eq!(called(&effects), Vec::<&str>::new());
}

#[test]
fn an_incident_that_ended_forbids_nothing_after_a_restart_either() {
    let history = |mut run: Run| {
        let id = calls(&run.at(0, violated("fair", "v2", &["back"])))[0].action_id.clone();
        run.at(1, ended(&id, accepted()));
        run.at(2, cleared("fair", "v2", &[]));
        run.at(3, qualified("fair", "v2"));
        run
    };
    let again = || {
        let mut decision = decision(DecisionKind::Violated, "fair", "v2", &["back"]);
        decision.id = "violated-again".into();
        Input::Decision(decision)
    };
    let mut never_stopped = history(Run::new().with_good_version());
    let stopped = history(Run::new().with_good_version());
    let (mut started, effects) = Run::start(config(), stopped.log, 4);
    assert_eq!(recalled(&effects), ["back verifying"]);
    assert_eq!(shown(&never_stopped.at(5, again())), shown(&started.at(5, again())));
}

#[test]
fn the_version_that_served_last_is_the_same_after_a_restart() {
    let mut run = Run::new();
    for version in ["v1", "v2"] {
        for policy in ["fair", "drift"] {
            run.at(0, qualified(policy, version));
        }
    }
    run.at(1, report(3_000, &[("v1", 50)]));
    run.at(2, report(4_000, &[("v1", 50), ("v2", 5)]));
    run.at(3, report(5_000, &[("v1", 50), ("v2", 0)]));
    for at in 6..9 {
        run.at(at, report(at * 1_000, &[("v1", 50), ("v2", 0)]));
    }
    run.at(10, report(10_000, &[("v1", 50), ("v2", 0), ("v3", 5)]));
    let good = |run: &Run| run.actor.last_known_good("fair", &key("v3")).cloned();
    assert_eq!(good(&run), Some("v1".into()), "v2 was seen for a while");
    let (after, _) = Run::start(config(), run.log.clone(), 11);
    assert_eq!(good(&after), good(&run));
}

#[test]
fn a_hold_without_a_tenant_is_of_all_tenants_and_one_of_an_unknown_model_is_refused() {
    let mut config = config();
    for terms in config.policies.values_mut() {
        terms.model = "credit".into();
    }
    let (run, _) = Run::start(config, vec![], 0);
    let mut run = run.with_good_version();
    let hold = |tenant: Option<&str>, model: &str| {
        Order::Hold(ModelName { tenant: tenant.map(Into::into), model: model.into() })
    };
    assert!(refusal(&run.at(0, order("c1", hold(None, "credti")))).unwrap().contains("no policy"));
    assert!(refusal(&run.at(0, order("c2", hold(Some("nroth"), "credit")))).is_some());
    assert_eq!(refusal(&run.at(0, order("c3", hold(None, "credit")))), None);
    let mut of_tenant = decision(DecisionKind::Violated, "fair", "v2", &["train"]);
    of_tenant.key.tenant = Some("north".into());
    assert_eq!(shown(&run.at(1, Input::Decision(of_tenant))), ["train suppressed held"]);
}

#[test]
fn an_approval_is_of_one_version_to_go_back_to() {
    let (run, _) = Run::start(asking(), vec![], 0);
    let mut run = run.with_good_version();
    let effects = run.at(0, violated("fair", "v3", &["back"]));
    let view = effects.iter().find_map(|e| if let Effect::Changed(view) = e { Some(view) } else { None });
    let view = view.unwrap().clone();
    assert_eq!((view.state.as_str(), view.to_version.as_deref()), ("awaiting_approval", Some("v1")));
    for policy in ["fair", "drift"] {
        let mut newer = decision(DecisionKind::Qualified, policy, "v2", &[]);
        newer.at = EventTime::from_millis(9_000);
        run.at(1, Input::Decision(newer));
    }
    let approve = |to: &str| Order::Approve {
        action_id: view.id.clone(),
        evidence: view.evidence.clone().unwrap(),
        to_version: Some(to.into()),
    };
    let why = refusal(&run.at(2, order("c1", approve("v1"))));
    assert_eq!(why.as_deref(), Some("it would go back to version v2, which was not looked at"));
    let effects = run.at(3, order("c2", approve("v2")));
    assert_eq!((refusal(&effects), called(&effects)), (None, vec!["back"]));
}

#[test]
fn what_was_approved_and_had_to_wait_is_asked_for_again_where_another_version_is_good_by_then() {
    let mut config = asking();
    // While the target is asked for one, nothing is left in the budget of the fleet for another.
    config.actions[0].abilities = Abilities { preflight: true, ..Abilities::default() };
    config.limits.fleet = crate::safety::Budget { count: 1, per: 60 * MINUTES };
    let (mut run, _) = Run::start(config, vec![], 0);
    let of = |mut decision: Decision, model: &str| {
        decision.id += model;
        decision.key.model = model.into();
        Input::Decision(decision)
    };
    let mut waiting = Vec::new();
    for model in ["loan", "credit"] {
        for policy in ["fair", "drift"] {
            run.at(0, of(decision(DecisionKind::Qualified, policy, "v1", &[]), model));
        }
        let effects = run.at(1, of(decision(DecisionKind::Violated, "fair", "v3", &["back"]), model));
        let view = effects.iter().find_map(|e| if let Effect::Changed(view) = e { Some(view) } else { None });
        waiting.push(view.unwrap().clone());
    }
    for view in &waiting {
        let approve = Order::Approve {
            action_id: view.id.clone(),
            evidence: view.evidence.clone().unwrap(),
            to_version: Some("v1".into()),
        };
        assert_eq!(refusal(&run.at(2, order(&view.id, approve))), None);
    }
    for policy in ["fair", "drift"] {
        let mut newer = decision(DecisionKind::Qualified, policy, "v2", &[]);
        newer.at = EventTime::from_millis(9_000);
        run.at(3, of(newer, "credit"));
    }
    let barred = Reply::Barred { reason: Suppression::TargetNotReady, why: "paused".into() };
    let effects = run.at(4, ended(&waiting[0].id, barred));
    assert_eq!(called(&effects), Vec::<&str>::new());
    assert!(shown(&effects).contains(&"back awaiting_approval a person has to approve it".to_owned()));
}

#[test]
fn an_approval_that_comes_too_late_is_refused() {
    let (run, _) = Run::start(asking(), vec![], 0);
    let mut run = run.with_good_version();
    run.at(0, violated("fair", "v3", &["back"]));
    let (id, task) = run.actor.tasks.iter().next().unwrap();
    let approve = Order::Approve {
        action_id: id.clone(),
        evidence: task.evidence.clone().unwrap(),
        to_version: Some("v1".into()),
    };
    let why = refusal(&run.at(30 * MINUTES, order("c1", approve)));
    assert_eq!(why.as_deref(), Some("the time to approve it is over"));
}

#[test]
fn a_process_that_may_no_longer_act_alone_sends_nothing_again() {
    let mut run = Run::new().with_good_version();
    run.at(0, violated("fair", "v2", &["back"]));
    let (_, effects) = Run::start(asking(), run.log.clone(), 1);
    assert_eq!(called(&effects), Vec::<&str>::new(), "auto became approve");
    let mut twice = config();
    twice.actions[0].idempotency = Idempotency::Unkeyed;
    let (_, effects) = Run::start(twice, run.log, 1);
    assert_eq!(called(&effects), Vec::<&str>::new(), "the target is known to act twice by now");
}

#[test]
fn that_it_is_over_is_not_told_before_that_it_began() {
    let mut run = Run::new();
    let id = calls(&run.at(0, violated("fair", "v2", &["tell"])))[0].action_id.clone();
    let effects = run.at(1, cleared("fair", "v2", &["tell"]));
    assert_eq!(called(&effects), Vec::<&str>::new(), "the first is under way");
    let busy = Reply::Retry { why: "HTTP 503".into(), doubt: false, retry_after: None };
    let effects = run.at(2, ended(&id, busy));
    assert_eq!(called(&effects), ["tell"]);
    assert_eq!(calls(&effects)[0].payload["data"]["decision"]["kind"], "cleared");
}

#[test]
fn a_breaker_is_of_a_target_and_remembers_failed_questions_over_a_restart() {
    let mut config = config();
    config.breaker.failures = 1;
    config.actions[1].target = config.actions[0].target.clone();
    config.actions[0].abilities.preflight = true;
    let (run, _) = Run::start(config.clone(), vec![], 0);
    let mut run = run.with_good_version();
    let id = calls(&run.at(0, violated("fair", "v2", &["back"])))[0].action_id.clone();
    run.at(1, ended(&id, Reply::Rejected { why: "HTTP 401".into() }));
    let effects = run.at(2, violated("drift", "v2", &["train"]));
    assert_eq!(shown(&effects), ["train suppressed breaker"]);
    run.log.truncate(run.log.len() - 4);
    let (mut run, _) = Run::start(config, run.log, 3);
    let effects = run.at(4, violated("drift", "v5", &["train"]));
    assert_eq!(shown(&effects), ["train suppressed breaker"]);
}

#[test]
fn a_version_is_not_absolved_while_its_incident_is_open() {
    let mut run = Run::new().with_good_version();
    run.at(0, violated("fair", "v2", &["back"]));
    let absolve = || {
        let model = ModelName { tenant: None, model: "credit".into() };
        Order::Absolve { model, version: "v2".into() }
    };
    assert!(refusal(&run.at(1, order("c1", absolve()))).unwrap().contains("still open"));
    run.at(2, cleared("fair", "v2", &[]));
    assert_eq!(refusal(&run.at(3, order("c2", absolve()))), None);
}

#[test]
fn what_is_asked_of_a_target_before_its_intent_counts_in_the_budget_of_the_fleet() {
    let mut config = config();
    config.limits.fleet.count = 1;
    config.actions[1].abilities.preflight = true;
    let (mut run, _) = Run::start(config, vec![], 0);
    assert_eq!(called(&run.at(0, violated("fair", "v2", &["train"]))), ["train"]);
    let mut other = decision(DecisionKind::Violated, "fair", "v2", &["train"]);
    (other.id, other.key.model) = ("another".into(), "fraud".into());
    let effects = run.at(1, Input::Decision(other));
    assert_eq!((called(&effects), shown(&effects)), (vec![], vec!["train proposed -".to_owned()]));
}

#[test]
fn a_halt_outlives_a_restart_although_what_asked_for_it_is_over() {
    let mut run = Run::new().with_good_version();
    run.at(0, violated("fair", "v2", &["back"]));
    assert_eq!(refusal(&run.at(1, order("c1", Order::Freeze))), None);
    assert_eq!(refusal(&run.at(2, order("c2", Order::Resume))), None);
    let (_, effects) = Run::start(config(), run.log, 3);
    assert_eq!(called(&effects), Vec::<&str>::new());
    assert!(shown(&effects)[0].starts_with("back needs_human"), "{:?}", shown(&effects));
}

#[test]
fn a_retraining_that_a_person_let_through_does_not_give_way_to_one_that_waits_for_a_person() {
    let (mut run, _) = Run::start(asking(), vec![], 0);
    let effects = run.at(0, violated("fair", "v2", &["train"]));
    let view = effects.iter().find_map(|e| if let Effect::Changed(view) = e { Some(view) } else { None });
    let view = view.unwrap().clone();
    run.at(1, violated("drift", "v3", &["train"]));
    let approve = Order::Approve { action_id: view.id, evidence: view.evidence.unwrap(), to_version: None };
    let effects = run.at(2, order("c1", approve));
    assert_eq!((refusal(&effects), called(&effects)), (None, vec!["train"]));
}
