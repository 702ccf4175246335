//! What is done about decisions: once, under one id, never without a durable intent, never late;
//! and what a receiver of webhooks sees of it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod receiver;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plimsoll::domain::{Decision, DecisionKind, EventTime, ModelKey, Segment, open_incidents};
use plimsoll::engine::actor::entry::{Body, Ended, canonical};
use plimsoll::engine::actor::{
    ActionSpec, Actor, Call, CallFinished, Config, Effect, Entry, Input, PolicyTerms, past_decisions,
};
use plimsoll::safety::{
    Abilities, ActionKind, BreakerSpec, Budget, FleetAlarm, Idempotency, Limits, PolicyMode, Reply,
};
use proptest::prelude::*;

const DEADLINE: i64 = 60_000;

fn spec(name: &str, kind: ActionKind, target: &str, idempotency: Idempotency) -> ActionSpec {
    let deadline = Duration::from_millis(DEADLINE as u64);
    ActionSpec {
        name: name.into(),
        kind,
        deadline,
        finish_within: deadline,
        target: target.into(),
        idempotency,
        abilities: Abilities::default(),
    }
}

/// Policies `p0` and `p1` act, `p2` observes.
fn config() -> Config {
    let modes = [("p0", PolicyMode::Auto), ("p1", PolicyMode::Auto), ("p2", PolicyMode::Observe)];
    let terms = |(policy, mode): (&str, PolicyMode)| {
        (policy.to_owned(), PolicyTerms { mode, ..PolicyTerms::default() })
    };
    let free = Budget { count: u32::MAX, per: 1 };
    Config {
        policies: modes.map(terms).into(),
        limits: Limits {
            cooldown_rollback: 0,
            cooldown_retrain: 0,
            per_model: free,
            fleet: free,
            alarm: FleetAlarm { models: u32::MAX, share: 1.0, within: 1 },
        },
        breaker: BreakerSpec { failures: u32::MAX, open_for: 1 },
        actions: vec![
            spec("back", ActionKind::Rollback, "webhook", Idempotency::Keyed),
            spec("train", ActionKind::Retrain, "webhook", Idempotency::Keyed),
            spec("tell", ActionKind::Notify, "webhook", Idempotency::Unkeyed),
        ],
        ..Config::default()
    }
}

fn decision(kind: DecisionKind, policy: &str, model: &str, version: &str, incident: i64) -> Decision {
    let key = ModelKey {
        tenant: None,
        model: model.into(),
        version: version.into(),
        segment: Segment::All,
        profile: None,
    };
    Decision {
        id: format!("{}-{policy}-{model}-{version}-{incident}", kind.name()),
        kind,
        policy: policy.into(),
        decide: Default::default(),
        key,
        since: EventTime::from_millis(incident),
        at: EventTime::from_millis(incident + 1),
        actions: ["train", "back", "tell"].map(String::from).to_vec(),
        evidence: vec![],
    }
}

/// An actor, its log, and everything that has left it, with the rules checked at every step. It can
/// be stopped between any two effects.
struct World {
    config: Config,
    actor: Actor,
    now: i64,
    /// The durable log.
    log: Vec<Entry>,
    /// Decisions as the evaluator would give them out again after a restart.
    history: Vec<Decision>,
    /// Calls without a reply.
    outstanding: Vec<Call>,
    /// Ids of calls by decision and action.
    sent: BTreeMap<(String, String), BTreeSet<String>>,
    /// Bodies by id of the call.
    bodies: BTreeMap<String, String>,
    /// Effects carried out so far.
    steps: usize,
    /// The step before which the process is killed.
    kill_at: Option<usize>,
}

impl World {
    fn new(config: Config, kill_at: Option<usize>) -> Self {
        let (actor, effects) = Actor::restore(config.clone(), vec![], 0).unwrap();
        let mut world = Self {
            config,
            actor,
            now: 0,
            log: vec![],
            history: vec![],
            outstanding: vec![],
            sent: BTreeMap::new(),
            bodies: BTreeMap::new(),
            steps: 0,
            kill_at,
        };
        world.carry_out(effects);
        let effects = world.actor.begin(0);
        world.carry_out(effects);
        world
    }

    fn decide(&mut self, decision: Decision) {
        self.history.push(decision.clone());
        self.handle(Input::Decision(decision));
    }

    fn handle(&mut self, input: Input) {
        let effects = self.actor.handle(input, self.now);
        self.carry_out(effects);
    }

    fn finish(&mut self, index: usize, result: Reply) {
        let Call { action_id, attempt, .. } = self.outstanding.remove(index);
        self.handle(Input::CallFinished(CallFinished { action_id, attempt, result }));
    }

    /// Kill -9 and start: what was not durable is gone, replies are lost, decisions come again.
    fn restart(&mut self) {
        self.outstanding.clear();
        let (actor, effects) = Actor::restore(self.config.clone(), self.log.clone(), self.now).unwrap();
        self.actor = actor;
        self.carry_out(effects);
        for decision in self.history.clone() {
            self.handle(Input::Decision(decision));
        }
        let effects = self.actor.begin(self.now);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if self.kill_at == Some(self.steps) {
                self.kill_at = None;
                self.restart();
                return;
            }
            self.steps += 1;
            match effect {
                Effect::Audit(entry) => {
                    assert_eq!(entry.seq, self.log.len() as u64, "numbers of entries are contiguous");
                    let read = Entry::from_json(entry.to_json().as_bytes()).unwrap();
                    assert_eq!(read, entry, "an entry reads back as it was written");
                    self.log.push(entry);
                    self.check_one_change_a_model();
                }
                Effect::Call(call) => self.check_call(call),
                Effect::Changed(_) | Effect::Recalled(_) | Effect::Ordered(_) | Effect::RecalledOrder(_) => {}
            }
        }
    }

    /// Decision and plan of every announced action, by id.
    fn announced(&self) -> BTreeMap<&str, (&Decision, ActionKind)> {
        let plans = self.log.iter().filter_map(|entry| match &entry.body {
            Body::Decision { decision, actions, .. } => Some((decision, actions)),
            _ => None,
        });
        plans
            .flat_map(|(decision, actions)| {
                actions.iter().map(move |plan| (plan.action_id.as_str(), (decision, plan.kind)))
            })
            .collect()
    }

    /// Ids of actions with an intent and without an outcome.
    fn active(&self) -> BTreeSet<&str> {
        let mut active = BTreeSet::new();
        for entry in &self.log {
            match &entry.body {
                Body::Intent { action_id, .. } => {
                    assert!(active.insert(action_id.as_str()), "one intent for {action_id}");
                }
                Body::Outcome { action_id, .. } => {
                    active.remove(action_id.as_str());
                }
                _ => {}
            }
        }
        active
    }

    fn check_one_change_a_model(&self) {
        let announced = self.announced();
        let mut models = BTreeSet::new();
        for id in self.active() {
            let (decision, kind) = announced[id];
            if kind.changes_model() {
                assert!(models.insert(&decision.key.model), "two changes of {} at once", decision.key.model);
            }
        }
    }

    fn check_call(&mut self, call: Call) {
        assert!(self.now < call.deadline, "no call at or after its deadline");
        assert!(self.active().contains(call.action_id.as_str()), "a durable intent before the call");
        let (decision, _) = self.announced()[call.action_id.as_str()];
        assert_ne!(decision.policy, "p2", "a policy that observes calls nothing");
        let wanted = (decision.id.clone(), call.action.clone());
        let ids = self.sent.entry(wanted).or_default();
        ids.insert(call.action_id.clone());
        assert_eq!(ids.len(), 1, "one id for a decision and an action: {ids:?}");
        let body = canonical(&call.payload);
        let first = self.bodies.entry(call.action_id.clone()).or_insert_with(|| body.clone());
        assert_eq!(*first, body, "the same body under the same id");
        let same_id = |other: &Call| other.action_id == call.action_id;
        assert!(!self.outstanding.iter().any(same_id), "one attempt at a time");
        self.outstanding.push(call);
    }
}

fn accepted() -> Reply {
    Reply::Accepted { reference: None, detail: "HTTP 202".into(), done: true }
}

fn result() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(accepted()),
        Just(Reply::Rejected { why: "HTTP 400".into() }),
        (any::<bool>(), proptest::option::of(0..90_u64)).prop_map(|(doubt, wait)| Reply::Retry {
            why: "HTTP 503".into(),
            doubt,
            retry_after: wait.map(Duration::from_secs),
        }),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Decide(Decision),
    Finish(usize, Reply),
    Wait(i64),
    WaitUntilDue,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let kinds = prop_oneof![
        1 => Just(DecisionKind::Qualified),
        3 => Just(DecisionKind::Violated),
        2 => Just(DecisionKind::Cleared),
    ];
    let decided =
        (kinds, 0..3_u8, 0..2_u8, 0..3_u8, 0..3_i64).prop_map(|(kind, policy, model, version, at)| {
            Step::Decide(decision(
                kind,
                &format!("p{policy}"),
                &format!("m{model}"),
                &format!("v{version}"),
                at,
            ))
        });
    prop_oneof![
        6 => decided,
        4 => (0..4_usize, result()).prop_map(|(which, result)| Step::Finish(which, result)),
        2 => (1..40_000_i64).prop_map(Step::Wait),
        3 => Just(Step::WaitUntilDue),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_nothing_is_done_twice_late_unrecorded_or_beside_another_change(
        steps in proptest::collection::vec(step(), 1..60),
        kill_at in proptest::option::of(0..120_usize),
    ) {
        let mut world = World::new(config(), kill_at);
        world.decide(decision(DecisionKind::Qualified, "p0", "m0", "v9", 0));
        for step in steps {
            match step {
                Step::Decide(decision) => world.decide(decision),
                Step::Finish(which, result) if which < world.outstanding.len() => world.finish(which, result),
                Step::Finish(..) => {}
                Step::Wait(millis) => {
                    world.now += millis;
                    world.handle(Input::Tick);
                }
                Step::WaitUntilDue => {
                    world.now = world.actor.due().unwrap_or(world.now).max(world.now);
                    world.handle(Input::Tick);
                }
                Step::Restart => world.restart(),
            }
        }
        // Without a further reply everything comes to an end by itself, and the log says how.
        for _ in 0..200 {
            let Some(due) = world.actor.due() else { break };
            world.now = due.max(world.now);
            world.handle(Input::Tick);
        }
        prop_assert_eq!(world.actor.due(), None);
        prop_assert_eq!(world.active(), BTreeSet::new());
        let ended: BTreeSet<&str> = world.log.iter().filter_map(|entry| match &entry.body {
            Body::Outcome { action_id, .. } => Some(action_id.as_str()),
            _ => None,
        }).collect();
        prop_assert_eq!(ended, world.announced().into_keys().collect::<BTreeSet<_>>());
    }
}

/// Two models go bad, one of them in two ways, and the receiver answers at the second attempt.
fn story(kill_at: Option<usize>) -> World {
    let mut world = World::new(config(), kill_at);
    let only = |decision: Decision, action: &str| Decision { actions: vec![action.to_owned()], ..decision };
    let qualified = |policy, model| decision(DecisionKind::Qualified, policy, model, "v1", 1);
    let violated = |policy, model| decision(DecisionKind::Violated, policy, model, "v2", 2);
    for decided in [
        qualified("p0", "m0"),
        qualified("p1", "m1"),
        only(violated("p0", "m0"), "back"),
        only(violated("p1", "m1"), "back"),
        only(violated("p1", "m0"), "train"),
        only(violated("p2", "m0"), "back"),
    ] {
        world.now += 10;
        world.decide(decided);
    }
    for _ in 0..100 {
        let lost = Reply::Retry { why: "reset".into(), doubt: true, retry_after: None };
        world.now += 10;
        if let Some(call) = world.outstanding.first() {
            let reply = if call.attempt == 1 { lost } else { accepted() };
            world.finish(0, reply);
        } else if let Some(due) = world.actor.due() {
            world.now = world.now.max(due);
            world.handle(Input::Tick);
        } else {
            break;
        }
    }
    world
}

#[test]
fn a_kill_between_any_two_effects_neither_loses_an_action_nor_repeats_it_under_another_id() {
    let whole = story(None);
    let ids = |world: &World| world.sent.values().flatten().cloned().collect::<Vec<String>>();
    assert_eq!(whole.sent.len(), 3, "{:?}", whole.sent);
    assert!(whole.steps > 20, "{} steps", whole.steps);
    for kill_at in 0..=whole.steps {
        let world = story(Some(kill_at));
        assert_eq!(ids(&world), ids(&whole), "killed before step {kill_at}");
        let applied = world
            .log
            .iter()
            .filter(|entry| matches!(&entry.body, Body::Outcome { outcome: Ended::Applied { .. }, .. }));
        assert_eq!(applied.count(), 3, "killed before step {kill_at}");
        let past = past_decisions(&world.log);
        let open = open_incidents(&past);
        assert_eq!(open.len(), 4, "killed before step {kill_at}: {open:?}");
    }
}
