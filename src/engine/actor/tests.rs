//! What the actor does with decisions, ends of calls, and its own log.

mod bodies;
mod restarts;
mod stale;
mod upsets;

use std::time::Duration;

use super::*;
use crate::domain::DecisionKind;
use crate::domain::{EventTime, Segment, open_incidents};
use crate::safety::{Abilities, Idempotency, Limits, PolicyMode};

const MINUTES: i64 = 60_000;

fn spec(name: &str, kind: ActionKind, idempotency: Idempotency) -> ActionSpec {
    ActionSpec {
        name: name.into(),
        kind,
        deadline: Duration::from_secs(300),
        finish_within: Duration::from_secs(600),
        target: format!("target of {name}"),
        idempotency,
        abilities: Abilities::default(),
    }
}

fn config() -> Config {
    let auto = || PolicyTerms { mode: PolicyMode::Auto, ..PolicyTerms::default() };
    let limits = Limits { cooldown_rollback: 0, cooldown_retrain: 0, ..Limits::default() };
    Config {
        policies: ["fair", "drift"].map(|policy| (policy.to_owned(), auto())).into(),
        limits,
        watched: 10,
        actions: vec![
            spec("back", ActionKind::Rollback, Idempotency::Keyed),
            spec("train", ActionKind::Retrain, Idempotency::Keyed),
            spec("tell", ActionKind::Notify, Idempotency::Keyed),
            spec("rehearse", ActionKind::Rollback, Idempotency::NoEffect),
        ],
        ..Config::default()
    }
}

fn key(version: &str) -> ModelKey {
    ModelKey {
        tenant: None,
        model: "credit".into(),
        version: version.into(),
        segment: Segment::All,
        profile: None,
    }
}

fn decision(kind: DecisionKind, policy: &str, version: &str, actions: &[&str]) -> Decision {
    Decision {
        id: format!("{}-{policy}-{version}", kind.name()),
        kind,
        policy: policy.into(),
        decide: Default::default(),
        key: key(version),
        since: EventTime::from_millis(1_000),
        at: EventTime::from_millis(2_000),
        actions: actions.iter().map(|&name| name.to_owned()).collect(),
        evidence: vec![],
    }
}

fn violated(policy: &str, version: &str, actions: &[&str]) -> Input {
    Input::Decision(decision(DecisionKind::Violated, policy, version, actions))
}

fn cleared(policy: &str, version: &str, actions: &[&str]) -> Input {
    Input::Decision(decision(DecisionKind::Cleared, policy, version, actions))
}

fn qualified(policy: &str, version: &str) -> Input {
    Input::Decision(decision(DecisionKind::Qualified, policy, version, &[]))
}

fn ended(action_id: &str, result: Reply) -> Input {
    Input::CallFinished(CallFinished { action_id: action_id.into(), attempt: 1, result })
}

fn accepted() -> Reply {
    Reply::Accepted { reference: None, detail: "HTTP 202".into(), done: true }
}

/// An actor whose log is kept, so that it can be stopped and started.
struct Run {
    actor: Actor,
    log: Vec<Entry>,
}

impl Run {
    fn new() -> Self {
        Self::start(config(), vec![], 0).0
    }

    fn start(config: Config, log: Vec<Entry>, now: i64) -> (Self, Vec<Effect>) {
        let (actor, effects) = Actor::restore(config, log.clone(), now).unwrap();
        let mut run = Self { actor, log };
        run.keep(&effects);
        let begun = run.begin(now);
        (run, [effects, begun].concat())
    }

    /// One that knows what `log` says, and has not begun.
    fn knows(log: Vec<Entry>, now: i64) -> Self {
        let (actor, effects) = Actor::restore(config(), log.clone(), now).unwrap();
        assert_eq!(calls(&effects), [] as [&Call; 0]);
        let mut run = Self { actor, log };
        run.keep(&effects);
        run
    }

    fn begin(&mut self, now: i64) -> Vec<Effect> {
        let effects = self.actor.begin(now);
        self.keep(&effects);
        effects
    }

    fn keep(&mut self, effects: &[Effect]) {
        self.log.extend(effects.iter().filter_map(|effect| match effect {
            Effect::Audit(entry) => Some(entry.clone()),
            _ => None,
        }));
    }

    fn at(&mut self, now: i64, input: Input) -> Vec<Effect> {
        let effects = self.actor.handle(input, now);
        self.keep(&effects);
        effects
    }

    fn with_good_version(mut self) -> Self {
        self.at(0, qualified("fair", "v1"));
        self.at(0, qualified("drift", "v1"));
        self
    }
}

fn calls(effects: &[Effect]) -> Vec<&Call> {
    effects.iter().filter_map(|e| if let Effect::Call(call) = e { Some(call) } else { None }).collect()
}

/// Names of called actions.
fn called(effects: &[Effect]) -> Vec<&str> {
    calls(effects).into_iter().map(|call| call.action.as_str()).collect()
}

/// `action state detail` of each change shown.
fn shown(effects: &[Effect]) -> Vec<String> {
    let text = |view: &ActionView| {
        format!("{} {} {}", view.action, view.state, view.detail.as_deref().unwrap_or("-"))
    };
    effects
        .iter()
        .filter_map(|e| if let Effect::Changed(view) = e { Some(text(view)) } else { None })
        .collect()
}

/// `action state` of what is shown again.
fn recalled(effects: &[Effect]) -> Vec<String> {
    let text = |view: &ActionView| format!("{} {}", view.action, view.state);
    effects
        .iter()
        .filter_map(|e| if let Effect::Recalled(view) = e { Some(text(view)) } else { None })
        .collect()
}

fn kinds(effects: &[Effect]) -> Vec<&'static str> {
    let name = |effect: &Effect| match effect {
        Effect::Call(_) => "call",
        Effect::Changed(_) => "changed",
        Effect::Recalled(_) => "recalled",
        Effect::Ordered(_) => "ordered",
        Effect::RecalledOrder(_) => "recalled order",
        Effect::Audit(entry) => match entry.body {
            Body::Started { .. } => "started",
            Body::Decision { .. } => "decision",
            Body::Evidence { .. } => "evidence",
            Body::Command { .. } => "command",
            Body::Frozen { .. } => "frozen",
            Body::Intent { .. } => "intent",
            Body::Accepted { .. } => "accepted",
            Body::Outcome { .. } => "outcome",
            Body::Verified { .. } => "verified",
            Body::Escalated { .. } => "escalated",
            Body::Served { .. } => "served",
        },
    };
    // What is only shown again is no news.
    effects.iter().filter(|effect| !matches!(effect, Effect::Recalled(_))).map(name).collect()
}

#[test]
fn a_violation_is_recorded_then_its_intent_and_only_then_the_call_goes_out() {
    let mut run = Run::new().with_good_version();
    let effects = run.at(5_000, violated("fair", "v2", &["back"]));
    assert_eq!(kinds(&effects), ["decision", "evidence", "intent", "call", "changed"]);
    let call = calls(&effects)[0];
    assert_eq!((call.attempt, call.deadline), (1, 5_000 + 5 * MINUTES));
    let payload = &call.payload;
    assert_eq!(payload["id"], call.action_id.as_str());
    assert_eq!(payload["type"], "plimsoll.rollback.requested");
    assert_eq!(payload["time"], "1970-01-01T00:00:05Z");
    for (name, value) in [
        ("action_id", call.action_id.as_str()),
        ("action", "back"),
        ("policy", "fair"),
        ("model", "credit"),
        ("version", "v2"),
        ("segment", "all"),
        ("to_version", "v1"),
        ("since", "1970-01-01T00:00:01Z"),
        ("at", "1970-01-01T00:00:02Z"),
    ] {
        assert_eq!(payload["data"][name], value, "{name}");
    }
    assert_eq!(payload["data"]["decision"]["id"], "violated-fair-v2");
    assert!(payload["data"].get("tenant").is_none());

    let effects = run.at(6_000, ended(&call.action_id.clone(), accepted()));
    assert_eq!(kinds(&effects), ["outcome", "changed"]);
    assert_eq!(shown(&effects), ["back verifying HTTP 202"]);
    assert_eq!(
        run.log.iter().map(|entry| entry.seq).collect::<Vec<_>>(),
        (0..run.log.len() as u64).collect::<Vec<_>>()
    );
}

#[test]
fn a_policy_that_is_not_set_to_auto_calls_nothing_and_says_so() {
    let mut run = Run::new().with_good_version();
    let effects = run.at(0, violated("unlisted", "v2", &["back", "tell"]));
    assert_eq!(kinds(&effects), ["decision", "evidence", "outcome", "changed", "outcome", "changed"]);
    assert_eq!(shown(&effects), ["back suppressed observe", "tell suppressed observe"]);
}

#[test]
fn the_same_decision_counts_once() {
    let mut run = Run::new().with_good_version();
    assert_eq!(called(&run.at(0, violated("fair", "v2", &["back"]))), ["back"]);
    assert_eq!(run.at(1, violated("fair", "v2", &["back"])), []);
}

#[test]
fn without_a_known_good_version_nothing_is_rolled_back() {
    let mut run = Run::new();
    let effects = run.at(0, violated("fair", "v2", &["back"]));
    assert_eq!(shown(&effects), ["back suppressed no_known_good_version"]);
    // The version that was left is not a version to go back to either.
    run.at(0, qualified("fair", "v2"));
    let effects = run.at(0, violated("fair", "v3", &["back"]));
    assert_eq!(shown(&effects), ["back suppressed no_known_good_version"]);
}

#[test]
fn a_policy_that_never_goes_back_blames_the_data_and_not_the_version() {
    let mut run = Run::new().with_good_version();
    run.at(0, violated("drift", "v1", &["tell"]));
    assert_eq!(called(&run.at(1, violated("fair", "v2", &["back"]))), ["back"]);
}

#[test]
fn a_rollback_goes_before_a_retraining_which_waits_for_its_end() {
    let mut run = Run::new().with_good_version();
    let effects = run.at(0, violated("fair", "v2", &["train", "tell", "back"]));
    assert_eq!(called(&effects), ["back", "tell"]);
    assert_eq!(
        shown(&effects),
        ["back submitting question 1", "train proposed -", "tell submitting question 1"]
    );
    let back = calls(&effects)[0].action_id.clone();
    let effects = run.at(1_000, ended(&back, accepted()));
    assert_eq!(called(&effects), ["train"]);
    assert_eq!(calls(&effects)[0].payload["type"], "plimsoll.retrain.requested");
}

#[test]
fn what_waits_past_its_deadline_or_its_incident_is_stale() {
    let late = "train suppressed stale: its deadline has passed";
    for (now, input, says) in
        [(5 * MINUTES, Input::Tick, late), (1_000, cleared("fair", "v2", &[]), "train suppressed stale")]
    {
        let mut run = Run::new().with_good_version();
        run.at(0, violated("fair", "v2", &["back", "train"]));
        let effects = run.at(now, input);
        assert_eq!(shown(&effects), [says]);
        assert_eq!(called(&effects), [""; 0]);
    }
}

#[test]
fn two_policies_do_not_roll_the_same_version_back_twice_while_the_incident_is_open() {
    let mut run = Run::new().with_good_version();
    let effects = run.at(0, violated("fair", "v2", &["back"]));
    let id = calls(&effects)[0].action_id.clone();
    let effects = run.at(1, violated("drift", "v2", &["back"]));
    assert_eq!(shown(&effects), ["back suppressed already_active"]);
    run.at(2, ended(&id, accepted()));
    let again = Input::Decision(Decision {
        id: "again".into(),
        ..decision(DecisionKind::Violated, "drift", "v2", &["back"])
    });
    assert_eq!(shown(&run.at(3, again)), ["back suppressed already_active"]);
    run.at(4, cleared("fair", "v2", &[]));
    let anew = Input::Decision(Decision {
        id: "anew".into(),
        ..decision(DecisionKind::Violated, "drift", "v2", &["back"])
    });
    assert_eq!(called(&run.at(5, anew)), ["back"]);
}

#[test]
fn after_an_unknown_end_that_version_is_left_alone_but_a_new_one_is_not() {
    let mut run = Run::new().with_good_version();
    run.at(0, violated("fair", "v2", &["back"]));
    let effects = run.at(6 * MINUTES, Input::Tick);
    assert!(shown(&effects)[0].starts_with("back needs_human no reply"), "{:?}", shown(&effects));
    let effects = run.at(6 * MINUTES, violated("drift", "v2", &["train"]));
    assert_eq!(shown(&effects), ["train suppressed already_active"]);
    assert_eq!(called(&run.at(6 * MINUTES, violated("fair", "v3", &["back"]))), ["back"]);
}

#[test]
fn a_waiting_retraining_gives_way_to_a_newer_one_but_not_to_one_that_may_not_act() {
    let mut run = Run::new().with_good_version();
    run.at(0, violated("fair", "v2", &["back"]));
    assert_eq!(shown(&run.at(1, violated("drift", "v2", &["train"]))), ["train proposed -"]);
    let effects = run.at(2, violated("unlisted", "v3", &["train"]));
    assert_eq!(shown(&effects), ["train suppressed observe"]);
    let effects = run.at(3, violated("drift", "v3", &["train"]));
    assert_eq!(shown(&effects), ["train suppressed superseded", "train proposed -"]);
}

#[test]
fn the_end_of_an_incident_is_told_and_changes_nothing_else() {
    let mut run = Run::new().with_good_version();
    run.at(0, violated("fair", "v2", &[]));
    let effects = run.at(1, cleared("fair", "v2", &["back", "train", "tell"]));
    assert_eq!(called(&effects), ["tell"]);
    assert_eq!(calls(&effects)[0].payload["data"]["decision"]["kind"], "cleared");
}

#[test]
fn an_interrupted_call_is_repeated_under_the_same_id_with_the_same_body() {
    let mut run = Run::new().with_good_version();
    let before = run.at(0, violated("fair", "v2", &["back"]));
    let (mut run, after) = Run::start(config(), run.log, MINUTES);
    assert_eq!(calls(&before), calls(&after));
    assert_eq!(kinds(&after), ["started", "call", "changed"]);
    assert_eq!(run.at(MINUTES, violated("fair", "v2", &["back"])), []);
    let effects = run.at(MINUTES, ended(&calls(&after)[0].action_id, accepted()));
    assert_eq!(shown(&effects), ["back verifying HTTP 202"]);
    // A further start finds it settled.
    let (_, effects) = Run::start(config(), run.log, 2 * MINUTES);
    assert_eq!((kinds(&effects), recalled(&effects)), (vec!["started"], vec!["back verifying".to_owned()]));
}

#[test]
fn an_interrupted_call_is_left_to_a_person_where_repeating_it_is_not_safe() {
    let mut elsewhere = config();
    elsewhere.actions[0].target = "another target".into();
    let mut observing = config();
    observing.policies.clear();
    let mut gone = config();
    gone.actions.clear();
    for (config, now) in [(elsewhere, 1), (observing, 1), (gone, 1), (config(), 5 * MINUTES)] {
        let mut run = Run::new().with_good_version();
        run.at(0, violated("fair", "v2", &["back"]));
        let (_, effects) = Run::start(config, run.log, now);
        assert_eq!(kinds(&effects), ["started", "outcome", "escalated", "changed"]);
        assert!(shown(&effects)[0].starts_with("back needs_human interrupted"), "{:?}", shown(&effects));
    }
}

#[test]
fn an_interrupted_dry_run_completes_without_a_call() {
    let mut run = Run::new().with_good_version();
    assert_eq!(called(&run.at(0, violated("fair", "v2", &["rehearse"]))), ["rehearse"]);
    let (_, effects) = Run::start(config(), run.log, 10 * MINUTES);
    assert_eq!(kinds(&effects), ["started", "outcome", "changed"]);
    assert!(shown(&effects)[0].starts_with("rehearse verifying dry run"));
}

#[test]
fn a_decision_whose_intent_did_not_reach_the_log_is_acted_on_after_the_restart_unless_it_is_late() {
    let mut run = Run::new().with_good_version();
    let before = run.at(0, violated("fair", "v2", &["back"]));
    run.log.pop();
    let (_, effects) = Run::start(config(), run.log.clone(), 1_000);
    assert_eq!(kinds(&effects), ["started", "intent", "call", "changed"]);
    assert_eq!(calls(&effects)[0].action_id, calls(&before)[0].action_id);
    let (_, effects) = Run::start(config(), run.log, 5 * MINUTES);
    assert_eq!(shown(&effects), ["back suppressed stale: its deadline has passed"]);
    assert!(kinds(&effects).contains(&"escalated"), "people hear of it");
}

#[test]
fn open_incidents_are_those_violated_and_not_cleared() {
    let mut run = Run::new();
    for input in [
        violated("fair", "v2", &[]),
        violated("drift", "v2", &[]),
        cleared("fair", "v2", &[]),
        qualified("fair", "v1"),
    ] {
        run.at(0, input);
    }
    let past = past_decisions(&run.log);
    let open: Vec<&str> = open_incidents(&past).into_iter().map(|decision| decision.id.as_str()).collect();
    assert_eq!(open, ["violated-drift-v2"]);
}

#[test]
fn a_log_with_a_gap_or_an_outcome_of_nothing_is_refused() {
    let mut run = Run::new();
    run.at(0, violated("fair", "v2", &["back"]));
    let mut gap = run.log.clone();
    gap.remove(1);
    let error = Actor::restore(config(), gap, 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected entry 1 and found 2: entries are missing, repeated or out of order"
    );
    let mut orphan = run.log.clone();
    orphan.remove(1);
    orphan[1].seq = 1;
    let error = Actor::restore(config(), orphan, 0).unwrap_err();
    assert!(matches!(error, entry::Error::UnknownAction { seq: 1, .. }), "{error}");
}

#[test]
fn people_are_told_at_once_of_what_was_suppressed() {
    let mut config = config();
    config.policies.get_mut("fair").unwrap().escalate = vec!["tell".to_owned()];
    let (mut run, _) = Run::start(config, Vec::new(), 5_000);
    let effects = run.at(5_000, violated("fair", "2", &["back"]));
    let asked: Vec<&str> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Call(call) => Some(call.action.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(asked, ["tell"]);
}
