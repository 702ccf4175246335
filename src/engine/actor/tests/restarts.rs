//! What a process that takes up the log knows, makes up for and takes note of before it asks anything.

use super::upsets::{all, asking, order, refusal};
use super::*;
use crate::safety::Order;

#[test]
fn an_order_that_waited_is_taken_before_anything_is_asked() {
    let stop = |run: &mut Run, order: Order| refusal(&run.at(6, self::order("c1", order)));
    // The intent is in the log, and nobody knows whether the request went out.
    let mut before = Run::new().with_good_version();
    let id = calls(&before.at(5, violated("fair", "v2", &["back"])))[0].action_id.clone();
    let hold = || Order::Hold(crate::safety::ModelName { tenant: None, model: "credit".into() });
    for order in [Order::Freeze, hold(), Order::Cancel { action_id: id }] {
        let mut run = Run::knows(before.log.clone(), 6);
        assert_eq!(stop(&mut run, order.clone()), None);
        let effects = run.begin(7);
        let asked: Vec<&Step> = calls(&effects).into_iter().map(|call| &call.step).collect();
        assert!(!asked.contains(&&Step::Submit), "{order:?}: {asked:?}");
        assert_eq!(run.begin(8), [], "it begins once");
    }
    let mut run = Run::knows(before.log, 6);
    let asked = run.begin(7);
    assert_eq!(calls(&asked)[0].step, Step::Submit, "without an order it goes on");
}

#[test]
fn what_is_decided_before_it_begins_is_asked_about_and_begun_when_it_does() {
    let (mut run, _) = Run::start(asking(), vec![], 0);
    run = run.with_good_version();
    let effects = run.at(5, violated("fair", "v2", &["back", "tell"]));
    assert_eq!(called(&effects), ["tell"]);
    let mut run = Run { actor: Actor::restore(asking(), run.log.clone(), 6).unwrap().0, log: run.log };
    let effects = run.at(6, violated("drift", "v2", &["tell"]));
    assert_eq!(called(&effects), [""; 0], "nothing is asked yet");
    assert_eq!(run.at(6, Input::Tick), []);
    assert_eq!((run.actor.due(), called(&run.begin(7))), (None, vec!["tell", "tell"]));
}

#[test]
fn an_end_that_people_were_not_told_of_before_the_log_was_cut_is_told_after_it() {
    let mut config = config();
    config.policies.get_mut("fair").unwrap().escalate = vec!["tell".to_owned()];
    let (run, _) = Run::start(config.clone(), vec![], 0);
    let mut run = run.with_good_version();
    let id = calls(&run.at(5, violated("fair", "v2", &["back"])))[0].action_id.clone();
    run.at(6, ended(&id, Reply::Rejected { why: "no".into() }));
    let outcome = run.log.iter().position(|entry| matches!(entry.body, Body::Outcome { .. })).unwrap();
    assert!(matches!(run.log[outcome + 1].body, Body::Escalated { .. }));
    let told = |log: &[Entry]| {
        let is =
            |entry: &&Entry| matches!(&entry.body, Body::Escalated { action_id, .. } if *action_id == id);
        log.iter().filter(is).count()
    };
    // Cut after the outcome; and once more, after what the next start wrote first.
    let (again, effects) = Run::start(config.clone(), run.log[..=outcome].to_vec(), 7);
    assert_eq!((told(&again.log), called(&effects)), (1, vec!["tell"]));
    let (again, effects) = Run::start(config.clone(), again.log[..=outcome + 1].to_vec(), 8);
    assert_eq!((told(&again.log), called(&effects)), (1, vec!["tell"]));
    // What is whole is not told again.
    let (whole, _) = Run::start(config, again.log, 9);
    assert_eq!(told(&whole.log), 1);
}

#[test]
fn what_people_ordered_is_shown_after_a_restart_and_is_no_news() {
    let mut run = Run::new();
    run.at(1, order("c1", Order::Freeze));
    run.at(2, order("c2", Order::Freeze));
    run.at(3, order("c3", Order::Release(crate::safety::ModelName { tenant: None, model: "credit".into() })));
    let (_, effects) = Run::start(config(), run.log, 4);
    let shown: Vec<(&str, bool)> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::RecalledOrder(view) => Some((view.id.as_str(), view.why.is_none())),
            Effect::Ordered(view) => panic!("{view:?} is no news"),
            _ => None,
        })
        .collect();
    assert_eq!(shown, [("c1", true), ("c2", true), ("c3", false)]);
}

#[test]
fn what_runs_is_stopped_when_it_is_taken_up_where_that_was_ordered_meanwhile() {
    let mut config = config();
    config.actions[1].abilities = all();
    let (mut run, _) = Run::start(config.clone(), vec![], 0);
    let id = calls(&run.at(0, violated("fair", "v2", &["train"])))[0].action_id.clone();
    let taken = Reply::Accepted { reference: Some("run-7".into()), detail: "running".into(), done: false };
    run.at(1, ended(&id, taken));
    let know = |log: &[Entry]| Run {
        actor: Actor::restore(config.clone(), log.to_vec(), 2).unwrap().0,
        log: log.to_vec(),
    };
    let mut stopped = know(&run.log);
    let effects = stopped.at(2, order("c1", Order::Cancel { action_id: id }));
    assert_eq!((refusal(&effects), called(&effects)), (None, vec![]));
    let mut runs = know(&run.log);
    for (run, asked) in [(&mut stopped, "cancel"), (&mut runs, "poll")] {
        let steps: Vec<&str> = calls(&run.begin(3)).into_iter().map(|call| call.step.name()).collect();
        assert_eq!(steps, [asked]);
        assert_eq!(run.begin(4), [], "it begins once");
    }
}

/// Three models that want a change at once, the third of which freezes everything.
fn frozen() -> (Config, Run) {
    let mut config = config();
    config.limits.alarm = crate::safety::FleetAlarm { models: 2, share: 0.1, within: 60_000 };
    config.watched = 10;
    config.policies.get_mut("fair").unwrap().escalate = vec!["tell".to_owned()];
    let (mut run, _) = Run::start(config.clone(), vec![], 0);
    for model in ["loan", "credit"] {
        let mut of_model = decision(DecisionKind::Violated, "fair", "v2", &["train", "back"]);
        of_model.id += model;
        of_model.key.model = model.into();
        run.at(5, Input::Decision(of_model));
    }
    (config, run)
}

#[test]
fn a_freeze_that_people_were_not_told_of_is_told_once_whatever_is_configured_by_then() {
    let (config, run) = frozen();
    let frozen = run.log.iter().position(|entry| matches!(entry.body, Body::Frozen { .. })).unwrap();
    let of_freeze =
        |entry: &Entry| matches!(&entry.body, Body::Escalated { reason, .. } if reason == "frozen");
    let told = run.log.iter().position(of_freeze).unwrap();
    let mut changed = config.clone();
    changed.limits.alarm.models = 9;
    for cut in frozen + 1..=told {
        let (again, _) = Run::start(config.clone(), run.log[..cut].to_vec(), 7);
        let escalated = again.log.iter().position(of_freeze).unwrap();
        assert!(escalated >= cut, "cut at {cut}");
        // Every further cut, and other limits at the next start.
        for cut in cut..=again.log.len() {
            for config in [&config, &changed] {
                let (whole, _) = Run::start(config.clone(), again.log[..cut].to_vec(), 8);
                assert_eq!(whole.log.iter().filter(|entry| of_freeze(entry)).count(), 1, "cut at {cut}");
                Run::start(changed.clone(), whole.log, 9);
            }
        }
    }
}

#[test]
fn who_has_to_approve_is_asked_again_after_a_restart_although_something_else_is_under_way() {
    let mut config = asking();
    config.actions[1].abilities = all();
    let (run, _) = Run::start(config.clone(), vec![], 0);
    let mut run = run.with_good_version();
    run.at(5, violated("fair", "v2", &["back", "train"]));
    let seal = |run: &Run, action: &str| {
        run.log.iter().find_map(|entry| match &entry.body {
            Body::Decision { actions, .. } => actions
                .iter()
                .find(|planned| planned.action == action)
                .map(|planned| planned.action_id.clone()),
            _ => None,
        })
    };
    let evidence = run.log.iter().find_map(|entry| match &entry.body {
        Body::Evidence { sha256, .. } => Some(sha256.clone()),
        _ => None,
    });
    let approve = |id: &str, to_version: Option<Version>| Order::Approve {
        action_id: id.to_owned(),
        evidence: evidence.clone().unwrap(),
        to_version,
    };
    let train = seal(&run, "train").unwrap();
    assert_eq!(refusal(&run.at(6, order("c1", approve(&train, None)))), None);
    let taken = Reply::Accepted { reference: Some("run-7".into()), detail: "running".into(), done: false };
    run.at(7, ended(&train, taken));
    // A restart beyond the deadline of the other, and well within the time to approve it.
    let now = 5 + 400_000;
    let (mut run, effects) = Run::start(config, run.log, now);
    let views = effects.iter().filter_map(|e| if let Effect::Changed(view) = e { Some(view) } else { None });
    let back: Vec<&str> =
        views.filter(|view| view.action == "back").map(|view| view.state.as_str()).collect();
    assert_eq!(back, ["awaiting_approval"]);
    let back = approve(&seal(&run, "back").unwrap(), Some("v1".into()));
    // It cannot be let through before the other has ended: its own deadline would pass meanwhile.
    let why = refusal(&run.at(now + 1, order("c2", back.clone()))).unwrap();
    assert!(why.starts_with(&train), "{why}");
    run.at(now + 2, ended(&train, Reply::Succeeded { detail: "success".into() }));
    let effects = run.at(now + 3, order("c3", back));
    assert_eq!((refusal(&effects), called(&effects)), (None, vec!["back"]));
}
