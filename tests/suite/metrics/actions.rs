//! What the page says of actions: driven by the actor itself, whose entries and changes go to the page in
//! the order in which the daemon passes them on.

use std::sync::Arc;
use std::time::Duration;

use plimsoll::domain::{Decision, DecisionKind, EventTime, Segment};
use plimsoll::engine::actor::{
    ActionSpec, Actor, Call, CallFinished, Config, Effect, Entry, Input, PolicyTerms,
};
use plimsoll::engine::view::{ActionView, BreakerView, HoldView, SafetyView, Stop, VersionView, View};
use plimsoll::safety::{
    Abilities, ActionKind, Command, Idempotency, Limits, ModelName, Order, PolicyMode, Reply, Role, Step,
};
use plimsoll::telemetry::{Format, Telemetry};

use super::{key, sample};

const NOW: i64 = 1_795_341_600_000;
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;

fn config() -> Config {
    let spec = |name: &str, kind, idempotency| ActionSpec {
        name: name.into(),
        kind,
        deadline: Duration::from_secs(300),
        finish_within: Duration::from_secs(600),
        target: name.into(),
        idempotency,
        abilities: Abilities::default(),
    };
    let terms = |(policy, mode): (&str, PolicyMode)| {
        let terms = PolicyTerms {
            mode,
            model: "credit".into(),
            rolls_back: policy != "drift",
            escalate: vec!["tell".to_owned()],
            ..PolicyTerms::default()
        };
        (policy.to_owned(), terms)
    };
    Config {
        policies: [("fair", PolicyMode::Auto)].map(terms).into(),
        actions: vec![
            spec("back", ActionKind::Rollback, Idempotency::Keyed),
            spec("build", ActionKind::Retrain, Idempotency::Unkeyed),
            spec("tell", ActionKind::Notify, Idempotency::Keyed),
        ],
        limits: Limits { cooldown_rollback: 0, cooldown_retrain: 0, ..Limits::default() },
        watched: 100,
        ..Config::default()
    }
}

fn asking() -> Config {
    let mut config = config();
    config.policies.get_mut("fair").unwrap().mode = PolicyMode::Approve;
    config
}

fn decision(kind: DecisionKind, version: &str, actions: &[&str]) -> Input {
    Input::Decision(Decision {
        id: format!("{}-{version}-{}", kind.name(), actions.join("-")),
        kind,
        policy: "fair".into(),
        decide: Default::default(),
        key: key(version, Segment::All),
        since: EventTime::from_millis(NOW - MINUTE),
        at: EventTime::from_millis(NOW),
        actions: actions.iter().map(|&name| name.to_owned()).collect(),
        evidence: Vec::new(),
    })
}

fn done() -> Reply {
    Reply::Accepted { reference: None, detail: "HTTP 202 for Ada Lovelace".into(), done: true }
}

fn lost() -> Reply {
    Reply::Retry { why: "connection reset".into(), doubt: true, retry_after: None }
}

/// An instance that declares what the configuration names.
fn instance() -> Telemetry {
    let telemetry = Telemetry::new("0.1.0", "abc1234");
    for (name, kind) in
        [("back", ActionKind::Rollback), ("build", ActionKind::Retrain), ("tell", ActionKind::Notify)]
    {
        telemetry.declare_action("credit", name, kind);
    }
    telemetry
}

/// The owner of the actions.
struct Owner {
    config: Config,
    telemetry: Telemetry,
    actor: Actor,
    log: Vec<Entry>,
    views: Vec<ActionView>,
    calls: Vec<Call>,
    now: i64,
}

impl Owner {
    fn new(config: Config) -> Self {
        Self::take_up(config, Vec::new(), NOW)
    }

    fn take_up(config: Config, log: Vec<Entry>, now: i64) -> Self {
        let telemetry = instance();
        telemetry.actions_taken_up(&log);
        let (actor, effects) = Actor::restore(config.clone(), log.clone(), now).unwrap();
        let (views, calls) = (Vec::new(), Vec::new());
        let mut owner = Self { config, telemetry, actor, log, views, calls, now };
        owner.carry_out(effects);
        let effects = owner.actor.begin(now);
        owner.carry_out(effects);
        owner
    }

    fn handle(&mut self, input: Input) {
        let effects = self.actor.handle(input, self.now);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let entries: Vec<Entry> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Audit(entry) => Some(entry.clone()),
                _ => None,
            })
            .collect();
        self.telemetry.recorded(&entries);
        self.log.extend(entries);
        for effect in effects {
            match effect {
                Effect::Call(call) => {
                    self.telemetry.asked(&call);
                    self.calls.push(call);
                }
                Effect::Changed(view) => {
                    self.telemetry.action_changed(&view);
                    self.views.push(view);
                }
                Effect::Audit(_) | Effect::Recalled(_) | Effect::Ordered(_) | Effect::RecalledOrder(_) => {}
            }
        }
    }

    /// The target answers the question that was asked first.
    fn answer(&mut self, result: Reply) {
        let call = self.calls.remove(0);
        let finished = CallFinished { action_id: call.action_id, attempt: call.attempt, result };
        self.telemetry.answered(&finished);
        self.handle(Input::CallFinished(finished));
    }

    fn order(&mut self, id: u32, order: Order) {
        self.handle(Input::Command(Command {
            id: format!("{id:032x}"),
            at: self.now,
            who: "ada.lovelace".into(),
            role: Role::Approver,
            reason: "because Grace Hopper said so".into(),
            order,
        }));
    }

    fn page(&self) -> String {
        let safety = self.actor.safety(self.now);
        self.telemetry.publish(Arc::new(View { safety, ..View::default() }));
        self.telemetry.page(Format::Prometheus).unwrap()
    }

    #[track_caller]
    fn shows(&self, wanted: &[(&str, f64)]) {
        let page = self.page();
        for (series, value) in wanted {
            assert_eq!(sample(&page, &format!("plimsoll_{series}")), *value, "{series}");
        }
        self.shows_the_same_after_a_restart(&page);
    }

    /// Whoever takes up the log shows the same to be open.
    #[track_caller]
    fn shows_the_same_after_a_restart(&self, page: &str) {
        let open = |page: &str| -> Vec<String> {
            let lines = page.lines().filter(|line| {
                ["plimsoll_actions_open{", "plimsoll_action_approval_expires"]
                    .iter()
                    .any(|name| line.starts_with(name))
            });
            lines.map(str::to_owned).collect()
        };
        let next = Self::take_up(self.config.clone(), self.log.clone(), self.now);
        assert_eq!(open(&next.page()), open(page));
    }
}

fn open(action: &str, state: &str) -> String {
    format!(r#"actions_open{{model="credit",action="{action}",state="{state}"}}"#)
}

fn outcome(action: &str, outcome: &str) -> String {
    format!(r#"actions_total{{model="credit",action="{action}",outcome="{outcome}"}}"#)
}

#[test]
fn a_rollback_is_counted_and_timed_from_its_decision_to_what_came_of_it() {
    let mut owner = Owner::new(config());
    owner.handle(decision(DecisionKind::Qualified, "v1", &[]));
    owner.handle(decision(DecisionKind::Violated, "v2", &["back"]));
    owner.shows(&[(&open("back", "under_way"), 1.0), (&outcome("back", "submitted"), 1.0)]);
    owner.now += 20 * SECOND;
    owner.answer(done());
    owner.shows(&[
        (&open("back", "under_way"), 0.0),
        (&open("back", "verifying"), 1.0),
        (&outcome("back", "applied"), 1.0),
        (r#"action_apply_duration_seconds_sum{action="back"}"#, 20.0),
        (r#"action_apply_duration_seconds_bucket{le="15.0",action="back"}"#, 0.0),
        (r#"action_apply_duration_seconds_bucket{le="30.0",action="back"}"#, 1.0),
        (r#"action_call_duration_seconds_count{action="back",step="submit"}"#, 1.0),
        (r#"action_calls_total{action="back",step="submit",answer="accepted"}"#, 1.0),
    ]);
    // Nothing is heard of the model for so long that it is given up.
    owner.now = owner.actor.due().unwrap();
    let waited = (owner.now - NOW - 20 * SECOND) as f64 / 1_000.0;
    owner.handle(Input::Tick);
    owner.shows(&[
        (&open("back", "verifying"), 0.0),
        (&outcome("back", "verify_inconclusive"), 1.0),
        (r#"action_verify_duration_seconds_sum{action="back"}"#, waited),
        (r#"escalations_total{model="credit",action="back",reason="verify_inconclusive"}"#, 1.0),
        (&open("tell", "under_way"), 1.0),
        (&outcome("tell", "submitted"), 1.0),
    ]);
    owner.now += SECOND;
    owner.answer(done());
    owner.shows(&[
        (&open("tell", "under_way"), 0.0),
        (r#"action_apply_duration_seconds_sum{action="tell"}"#, 1.0),
    ]);
}

#[test]
fn violated_and_not_acted_is_shown_with_its_reason() {
    let mut owner = Owner::new(config());
    owner.handle(decision(DecisionKind::Violated, "v2", &["back"]));
    // That people are told begins with what the actor hears next.
    owner.handle(Input::Tick);
    let suppressed =
        r#"actions_suppressed_total{model="credit",action="back",reason="no_known_good_version"}"#;
    owner.shows(&[
        (suppressed, 1.0),
        (&outcome("back", "suppressed"), 1.0),
        (r#"escalations_total{model="credit",action="back",reason="no_known_good_version"}"#, 1.0),
        (r#"actions_suppressed_total{model="credit",action="back",reason="cooldown"}"#, 0.0),
        (&open("back", "proposed"), 0.0),
    ]);
    let next = Owner::take_up(config(), owner.log.clone(), owner.now);
    next.shows(&[(suppressed, 0.0), (&outcome("back", "suppressed"), 0.0)]);
}

#[test]
fn an_action_that_waits_for_a_person_is_shown_with_its_end_until_that_person_has_said() {
    let mut owner = Owner::new(asking());
    owner.handle(decision(DecisionKind::Qualified, "v1", &[]));
    owner.handle(decision(DecisionKind::Violated, "v2", &["back"]));
    let expires = r#"action_approval_expires_timestamp_seconds{model="credit",action="back"}"#;
    let waits = owner.views.iter().rev().find(|view| view.expires_at.is_some()).unwrap().clone();
    let until = waits.expires_at.unwrap() as f64 / 1_000.0;
    assert_eq!(until, (NOW + 30 * MINUTE) as f64 / 1_000.0);
    let awaited = outcome("back", "awaiting_approval");
    owner.shows(&[(&open("back", "awaiting_approval"), 1.0), (expires, until), (&awaited, 1.0)]);
    owner.now += 10 * MINUTE;
    let evidence = "sha256:of something else".to_owned();
    let to_version = Some("v1".into());
    let order = Order::Approve { action_id: waits.id.clone(), evidence, to_version };
    owner.order(1, order);
    owner.shows(&[
        (r#"commands_total{order="approve",outcome="refused"}"#, 1.0),
        (&open("back", "awaiting_approval"), 1.0),
    ]);
    let evidence = waits.evidence.unwrap();
    let to_version = Some("v1".into());
    owner.order(2, Order::Approve { action_id: waits.id, evidence, to_version });
    owner.shows(&[
        (r#"commands_total{order="approve",outcome="accepted"}"#, 1.0),
        (&open("back", "awaiting_approval"), 0.0),
        (&open("back", "under_way"), 1.0),
        (&awaited, 1.0),
    ]);
    assert!(!owner.page().contains(&format!("plimsoll_{expires}")), "nothing waits any more");
    owner.answer(done());
    owner.shows(&[(r#"action_apply_duration_seconds_sum{action="back"}"#, 600.0)]);
}

#[test]
fn an_action_of_unknown_fate_is_open_until_its_incident_is_over() {
    let mut owner = Owner::new(config());
    owner.handle(decision(DecisionKind::Violated, "v2", &["build"]));
    owner.answer(lost());
    owner.shows(&[
        (&open("build", "needs_human"), 1.0),
        (&open("build", "under_way"), 0.0),
        (&outcome("build", "needs_human"), 1.0),
        (r#"escalations_total{model="credit",action="build",reason="needs_human"}"#, 1.0),
        (r#"action_calls_total{action="build",step="submit",answer="doubt"}"#, 1.0),
        (r#"action_calls_total{action="build",step="submit",answer="retry"}"#, 0.0),
    ]);
    owner.now += MINUTE;
    owner.handle(decision(DecisionKind::Cleared, "v2", &[]));
    owner.shows(&[(&open("build", "needs_human"), 0.0), (&outcome("build", "needs_human"), 1.0)]);
}

#[test]
fn a_process_that_does_not_own_the_actions_says_nothing_of_what_is_open() {
    let mut owner = Owner::new(asking());
    owner.handle(decision(DecisionKind::Qualified, "v1", &[]));
    owner.handle(decision(DecisionKind::Violated, "v2", &["back"]));
    owner.order(1, Order::Freeze);
    owner.telemetry.audit_log(7, Some(5));
    let page = owner.page();
    assert_eq!(
        ["entries", "signed_entries"].map(|of| sample(&page, &format!("plimsoll_audit_{of}"))),
        [7.0, 5.0]
    );
    let gauges = [
        "actions_open",
        "frozen",
        "frozen_timestamp_seconds",
        "known_good_version",
        "audit_entries",
        "audit_signed_entries",
    ];
    for name in gauges {
        assert!(page.contains(&format!("# TYPE plimsoll_{name} ")), "{name}");
    }
    owner.telemetry.actions_left();
    let page = owner.page();
    for name in
        gauges.into_iter().chain(["action_approval_expires_timestamp_seconds", "action_breaker_state"])
    {
        assert!(!page.contains(&format!("# TYPE plimsoll_{name} ")), "{name}");
    }
    assert_eq!(sample(&page, &format!("plimsoll_{}", outcome("back", "awaiting_approval"))), 1.0, "it stays");
}

#[test]
fn answers_of_targets_are_counted_by_step_and_one_to_nothing_is_not() {
    let telemetry = instance();
    let call = |attempt, step| Call {
        action_id: "a1".into(),
        attempt,
        step,
        action: "back".into(),
        payload: serde_json::Value::Null,
        deadline: NOW,
    };
    let poll = || Step::Poll { reference: "run of Ada".into() };
    let failed = || Reply::Failed { why: "Ada said no".into() };
    for (attempt, step, result) in [
        (1, Step::Preflight, Reply::Clear),
        (2, Step::Find, Reply::Absent),
        (3, Step::Find, lost()),
        (4, poll(), Reply::Running { detail: "queued".into() }),
        (5, poll(), failed()),
        (6, Step::Cancel { reference: "run".into() }, lost()),
    ] {
        telemetry.asked(&call(attempt, step));
        let finished = CallFinished { action_id: "a1".into(), attempt, result };
        telemetry.answered(&finished);
        telemetry.answered(&finished);
    }
    let page = telemetry.page(Format::Prometheus).unwrap();
    for (step, answer, count) in [
        ("preflight", "clear", 1.0),
        ("find", "absent", 1.0),
        ("find", "retry", 1.0),
        ("poll", "running", 1.0),
        ("poll", "failed", 1.0),
        ("poll", "succeeded", 0.0),
        ("cancel", "doubt", 1.0),
    ] {
        let series =
            format!(r#"plimsoll_action_calls_total{{action="back",step="{step}",answer="{answer}"}}"#);
        assert_eq!(sample(&page, &series), count, "{series}");
    }
    let lines = |page: &str| page.lines().filter(|line| line.starts_with("plimsoll_action_call")).count();
    assert_eq!(lines(&page), lines(&instance().page(Format::Prometheus).unwrap()), "none was born late");
    assert!(!page.contains("Ada"));
}

/// Stopped by a person, with one model held, one target left alone and versions of two tenants.
fn safety() -> SafetyView {
    let stop = |who: &str| Stop { who: who.into(), reason: "as Grace Hopper said".into(), at: NOW };
    let version = |tenant: Option<&str>, version: &str, standing, seen: i64| VersionView {
        tenant: tenant.map(Into::into),
        model: "credit".into(),
        version: version.into(),
        standing,
        first_seen: Some(EventTime::from_millis(NOW - 2 * MINUTE)),
        last_seen: Some(EventTime::from_millis(seen)),
        qualified: Vec::new(),
        reason: Some("condemned by Ada".into()),
        last_known_good: standing == "good",
    };
    SafetyView {
        frozen: Some(stop("ada.lovelace")),
        held: vec![HoldView { tenant: None, model: "credit".into(), stop: stop("grace.hopper") }],
        versions: vec![
            version(None, "v1", "good", NOW - MINUTE),
            version(None, "v2", "candidate", NOW),
            version(Some("north"), "v1", "candidate", NOW - MINUTE),
            version(Some("north"), "v2", "good", NOW),
        ],
        breakers: vec![BreakerView { action: "back".into(), state: "open", failures: 3, until: Some(NOW) }],
    }
}

fn page_of(safety: SafetyView) -> String {
    let telemetry = instance();
    telemetry.actions_taken_up(&[]);
    telemetry.publish(Arc::new(View { safety, ..View::default() }));
    telemetry.page(Format::Prometheus).unwrap()
}

#[test]
fn what_stands_still_and_what_there_is_to_go_back_to_is_shown_without_a_name() {
    let page = page_of(safety());
    for (series, value) in [
        (r#"plimsoll_frozen{by="person"}"#, 1.0),
        (r#"plimsoll_frozen{by="plimsoll"}"#, 0.0),
        ("plimsoll_frozen_timestamp_seconds", 1_795_341_600.0),
        (r#"plimsoll_model_held_timestamp_seconds{model="credit"}"#, 1_795_341_600.0),
        (r#"plimsoll_action_breaker_state{action="back"}"#, 2.0),
        (r#"plimsoll_action_breaker_state{action="build"}"#, 0.0),
        (r#"plimsoll_known_good_version{model="credit"}"#, 1.0),
        (r#"plimsoll_known_good_version{tenant="north",model="credit"}"#, 0.0),
    ] {
        assert_eq!(sample(&page, series), value, "{series}");
    }
    for word in ["lovelace", "Ada", "grace.hopper", "Hopper", "condemned"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn plimsoll_freezing_by_itself_is_told_from_a_person_who_does() {
    let frozen = Stop { who: "plimsoll".into(), reason: "40 of 50 models".into(), at: NOW };
    let page = page_of(SafetyView { frozen: Some(frozen), ..SafetyView::default() });
    assert_eq!(sample(&page, r#"plimsoll_frozen{by="plimsoll"}"#), 1.0);
    assert_eq!(sample(&page, r#"plimsoll_frozen{by="person"}"#), 0.0);
    let page = page_of(SafetyView::default());
    assert_eq!(sample(&page, r#"plimsoll_frozen{by="plimsoll"}"#), 0.0);
    assert!(!page.contains("plimsoll_frozen_timestamp_seconds"));
}

#[test]
fn of_versions_that_serve_beside_each_other_the_newest_is_the_one_to_go_back_from() {
    let mut view = safety();
    view.versions.truncate(2);
    for version in &mut view.versions {
        version.last_seen = Some(EventTime::from_millis(NOW));
    }
    view.versions[1].first_seen = Some(EventTime::from_millis(NOW - MINUTE));
    let series = r#"plimsoll_known_good_version{model="credit"}"#;
    assert_eq!(sample(&page_of(view.clone()), series), 1.0, "v2 came last, and v1 is good");
    view.versions[0].standing = "condemned";
    assert_eq!(sample(&page_of(view.clone()), series), 0.0);
    view.versions[1].standing = "good";
    assert_eq!(sample(&page_of(view), series), 0.0, "one is not gone back to from itself");
}

#[test]
fn a_model_that_nothing_rolls_back_needs_no_version_to_go_back_to() {
    let telemetry = Telemetry::new("0.1.0", "abc1234");
    telemetry.declare_action("credit", "build", ActionKind::Retrain);
    telemetry.actions_taken_up(&[]);
    telemetry.publish(Arc::new(View { safety: safety(), ..View::default() }));
    let page = telemetry.page(Format::Prometheus).unwrap();
    assert!(!page.contains("# TYPE plimsoll_known_good_version "));
}

#[test]
fn what_people_write_is_in_the_log_and_not_on_the_page() {
    let mut owner = Owner::new(asking());
    owner.handle(decision(DecisionKind::Qualified, "v1", &[]));
    owner.handle(decision(DecisionKind::Violated, "v2", &["back"]));
    let model = ModelName { tenant: None, model: "credit".into() };
    owner.order(1, Order::Hold(model.clone()));
    owner.order(2, Order::Release(model));
    owner.order(3, Order::Freeze);
    let log: String = owner.log.iter().map(Entry::to_json).collect();
    let page = owner.page();
    for word in ["ada.lovelace", "Hopper"] {
        assert!(log.contains(word), "the test would prove nothing");
        assert!(!page.contains(word), "{word}");
    }
    let held = r#"actions_suppressed_total{model="credit",action="back",reason="held"}"#;
    owner.shows(&[
        (held, 1.0),
        (r#"commands_total{order="hold",outcome="accepted"}"#, 1.0),
        (r#"commands_total{order="freeze",outcome="accepted"}"#, 1.0),
        (r#"frozen{by="person"}"#, 1.0),
    ]);
}
