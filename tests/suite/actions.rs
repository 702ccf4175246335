//! What is done about decisions: once, under one id, never without a durable intent, never late;
//! and what a receiver of webhooks sees of it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll::action::webhook::{self, Secret, sign};
use plimsoll::action::{Clock, DryRun, Executor, Target, Webhook};
use plimsoll::domain::{Decision, DecisionKind, EventTime, ModelKey, Segment};
use plimsoll::engine::actor::entry::{Body, Ended, canonical};
use plimsoll::engine::actor::{
    ActionSpec, Actor, Call, CallFinished, Config, Effect, Entry, Input, open_incidents,
};
use plimsoll::safety::{ActionKind, CallResult, Idempotency, PolicyMode};
use proptest::prelude::*;

const DEADLINE: i64 = 60_000;

fn spec(name: &str, kind: ActionKind, target: &str, idempotency: Idempotency) -> ActionSpec {
    let deadline = Duration::from_millis(DEADLINE as u64);
    ActionSpec { name: name.into(), kind, deadline, target: target.into(), idempotency }
}

/// Policies `p0` and `p1` act, `p2` observes.
fn config() -> Config {
    let modes = [("p0", PolicyMode::Auto), ("p1", PolicyMode::Auto), ("p2", PolicyMode::Observe)];
    Config {
        modes: modes.map(|(policy, mode)| (policy.to_owned(), mode)).into(),
        actions: vec![
            spec("back", ActionKind::Rollback, "webhook", Idempotency::Keyed),
            spec("train", ActionKind::Retrain, "webhook", Idempotency::Keyed),
            spec("tell", ActionKind::Notify, "webhook", Idempotency::Unkeyed),
        ],
        started: BTreeMap::new(),
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

    fn finish(&mut self, index: usize, result: CallResult) {
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
                Effect::Changed(_) => {}
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
                Body::Started { .. } | Body::Decision { .. } => {}
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

fn accepted() -> CallResult {
    CallResult::Accepted { detail: "HTTP 202".into() }
}

fn result() -> impl Strategy<Value = CallResult> {
    prop_oneof![
        Just(accepted()),
        Just(CallResult::Rejected { why: "HTTP 400".into() }),
        (any::<bool>(), proptest::option::of(0..90_u64)).prop_map(|(doubt, wait)| CallResult::Retry {
            why: "HTTP 503".into(),
            doubt,
            retry_after: wait.map(Duration::from_secs),
        }),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Decide(Decision),
    Finish(usize, CallResult),
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
    let qualified = |model| decision(DecisionKind::Qualified, "p0", model, "v1", 1);
    let violated = |policy, model| decision(DecisionKind::Violated, policy, model, "v2", 2);
    for decided in [
        qualified("m0"),
        qualified("m1"),
        only(violated("p0", "m0"), "back"),
        only(violated("p1", "m1"), "back"),
        only(violated("p1", "m0"), "train"),
        only(violated("p2", "m0"), "back"),
    ] {
        world.now += 10;
        world.decide(decided);
    }
    for _ in 0..100 {
        let lost = CallResult::Retry { why: "reset".into(), doubt: true, retry_after: None };
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
        let open: Vec<String> = open_incidents(&world.log).into_iter().map(|d| d.id).collect();
        assert_eq!(open.len(), 4, "killed before step {kill_at}: {open:?}");
    }
}

/// How the stub answers one request.
enum Reply {
    /// These bytes.
    Bytes(&'static str),
    /// Nothing: it takes the request and closes.
    Lost,
    /// Nothing for this long.
    Slow(Duration),
    /// A 200 whose body does not end by itself.
    Endless,
}

const OK: Reply = Reply::Bytes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");

/// One request as the stub saw it.
#[derive(Clone, Debug)]
struct Seen {
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// A receiver on loopback that gives its replies in order and then answers no more.
struct Stub {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::clone(&seen);
        std::thread::spawn(move || {
            for reply in replies {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut headers = BTreeMap::new();
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                assert!(line.starts_with("POST /hook HTTP/1.1"), "{line}");
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    let Some((name, value)) = line.trim_end().split_once(": ") else { break };
                    headers.insert(name.to_lowercase(), value.to_owned());
                }
                let mut body = vec![0; headers["content-length"].parse().unwrap()];
                reader.read_exact(&mut body).unwrap();
                requests.lock().unwrap().push(Seen { headers, body });
                match reply {
                    Reply::Bytes(bytes) => stream.write_all(bytes.as_bytes()).unwrap(),
                    Reply::Lost => {}
                    Reply::Slow(wait) => {
                        std::thread::spawn(move || {
                            std::thread::sleep(wait);
                            drop(stream);
                        });
                    }
                    Reply::Endless => {
                        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                        while stream.write_all(&[b'x'; 4096]).is_ok() {}
                    }
                }
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

const SECRETS: [&str; 2] =
    ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"];

fn secrets() -> Vec<Secret> {
    SECRETS.map(|text| Secret::new(text).unwrap()).to_vec()
}

/// Violates a policy whose rollback goes to `address`, and runs actor and executor until the action
/// has ended. The clock jumps from one due time to the next. Returns how it ended.
fn roll_back(address: SocketAddr, timeout: Duration) -> Ended {
    let millis = Arc::new(AtomicI64::new(1_795_341_600_000));
    let clock: Clock = {
        let millis = Arc::clone(&millis);
        Arc::new(move || millis.load(Ordering::SeqCst))
    };
    let url = format!("http://{address}/hook");
    let target = Webhook::new(
        &webhook::Config { url, secrets: secrets(), ca_file: None, timeout },
        Arc::clone(&clock),
    )
    .unwrap();
    let mut config = config();
    config.actions = vec![spec("back", ActionKind::Rollback, target.name(), target.idempotency())];
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (results, mut ends) = tokio::sync::mpsc::channel(16);
    let targets: BTreeMap<String, Arc<dyn Target>> =
        BTreeMap::from([("back".to_owned(), Arc::new(target) as Arc<dyn Target>)]);
    let mut executor = Executor::new(targets, Arc::clone(&clock), runtime.handle().clone(), results);

    let mut pending = 0;
    let (mut actor, _) = Actor::restore(config, vec![], clock()).unwrap();
    let mut inputs = vec![
        Input::Decision(decision(DecisionKind::Violated, "p0", "m0", "v2", 2)),
        Input::Decision(decision(DecisionKind::Qualified, "p0", "m0", "v1", 1)),
    ];
    loop {
        let input = match inputs.pop() {
            Some(input) => input,
            None if pending > 0 => {
                pending -= 1;
                let end = runtime
                    .block_on(async { tokio::time::timeout(Duration::from_secs(20), ends.recv()).await });
                Input::CallFinished(end.expect("the call ends").expect("the executor lives"))
            }
            None => {
                millis.store(actor.due().expect("the action waits for something"), Ordering::SeqCst);
                Input::Tick
            }
        };
        for effect in actor.handle(input, clock()) {
            match effect {
                Effect::Call(call) => {
                    pending += 1;
                    executor.submit(call);
                }
                Effect::Audit(Entry { body: Body::Outcome { outcome, .. }, .. }) => return outcome,
                Effect::Audit(_) | Effect::Changed(_) => {}
            }
        }
    }
}

const PATIENT: Duration = Duration::from_secs(10);

/// That a repeated request has the same id and body, a signature of its own time, and both secrets.
fn check_signed(seen: &[Seen]) {
    for Seen { headers, body } in seen {
        assert_eq!(headers["webhook-id"], seen[0].headers["webhook-id"]);
        assert_eq!(*body, seen[0].body);
        assert_eq!(headers["content-type"], "application/json");
        assert!(headers["user-agent"].starts_with("plimsoll/"));
        let timestamp = headers["webhook-timestamp"].parse().unwrap();
        let expected: Vec<String> =
            secrets().iter().map(|secret| sign(secret, &headers["webhook-id"], timestamp, body)).collect();
        assert_eq!(headers["webhook-signature"], expected.join(" "));
        let payload: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(payload["id"], headers["webhook-id"].as_str());
        assert_eq!(payload["data"]["to_version"], "v1");
    }
}

fn time_of(seen: &Seen) -> i64 {
    seen.headers["webhook-timestamp"].parse().unwrap()
}

#[test]
fn a_receiver_gets_one_signed_request() {
    let stub = Stub::start(vec![OK]);
    let end = roll_back(stub.address, PATIENT);
    assert_eq!(end, Ended::Applied { attempts: 1, detail: "the receiver stored it: HTTP 200".into() });
    let seen = stub.seen();
    assert_eq!((seen.len(), time_of(&seen[0])), (1, 1_795_341_600));
    check_signed(&seen);
}

#[test]
fn a_lost_or_late_reply_and_a_server_error_are_followed_by_the_same_request() {
    let error = Reply::Bytes("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
    let slow = Reply::Slow(Duration::from_millis(600));
    for (first, timeout) in [(Reply::Lost, PATIENT), (error, PATIENT), (slow, Duration::from_millis(300))] {
        let stub = Stub::start(vec![first, OK]);
        let end = roll_back(stub.address, timeout);
        assert!(matches!(end, Ended::Applied { attempts: 2, .. }), "{end:?}");
        let seen = stub.seen();
        assert_eq!(seen.len(), 2);
        check_signed(&seen);
    }
}

#[test]
fn a_receiver_that_asks_for_time_is_given_it() {
    let busy = Reply::Bytes("HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n");
    let stub = Stub::start(vec![busy, OK]);
    let end = roll_back(stub.address, PATIENT);
    assert!(matches!(end, Ended::Applied { attempts: 2, .. }), "{end:?}");
    let seen = stub.seen();
    assert_eq!(time_of(&seen[1]) - time_of(&seen[0]), 7);

    let busy =
        Reply::Bytes("HTTP/1.1 429 Too Many Requests\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n");
    let stub = Stub::start(vec![busy]);
    let end = roll_back(stub.address, PATIENT);
    assert!(matches!(&end, Ended::Failed { attempts: 1, detail } if detail.contains("HTTP 429")), "{end:?}");
}

#[test]
fn a_redirect_is_a_failure_and_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let location = format!(
        "HTTP/1.1 302 Found\r\nlocation: http://{}/hook\r\ncontent-length: 0\r\n\r\n",
        elsewhere.local_addr().unwrap()
    );
    let stub = Stub::start(vec![Reply::Bytes(location.leak())]);
    let end = roll_back(stub.address, PATIENT);
    assert!(matches!(&end, Ended::Failed { attempts: 1, detail } if detail.contains("HTTP 302")), "{end:?}");
    assert_eq!(elsewhere.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_receiver_that_is_gone_says_so_at_once() {
    let stub = Stub::start(vec![Reply::Bytes("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n")]);
    let end = roll_back(stub.address, PATIENT);
    assert!(matches!(&end, Ended::Failed { attempts: 1, detail } if detail.contains("disabled")), "{end:?}");
}

#[test]
fn a_refused_connection_fails_at_the_deadline_and_leaves_no_doubt() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let end = roll_back(address, PATIENT);
    let Ended::Failed { attempts, detail } = &end else { panic!("{end:?}") };
    assert!(*attempts > 4 && detail.contains("deadline"), "{end:?}");
}

#[test]
fn replies_lost_up_to_the_deadline_are_left_to_a_person() {
    let stub = Stub::start((0..20).map(|_| Reply::Lost).collect());
    let end = roll_back(stub.address, PATIENT);
    let Ended::Unknown { attempts, detail } = &end else { panic!("{end:?}") };
    assert!(*attempts > 4 && detail.contains("a person has to look"), "{end:?}");
    let seen = stub.seen();
    assert_eq!(seen.len(), *attempts as usize);
    assert!(time_of(&seen[seen.len() - 1]) - time_of(&seen[0]) < DEADLINE / 1000);
    check_signed(&seen);
}

#[test]
fn a_reply_without_an_end_is_not_read_to_it() {
    let stub = Stub::start(vec![Reply::Endless]);
    let end = roll_back(stub.address, PATIENT);
    assert!(matches!(end, Ended::Applied { attempts: 1, .. }), "{end:?}");
}

/// A target that panics, which no adapter should.
#[derive(Debug)]
struct Broken;

impl Target for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    fn idempotency(&self) -> Idempotency {
        Idempotency::Keyed
    }

    fn submit<'a>(&'a self, call: &'a Call) -> futures::future::BoxFuture<'a, CallResult> {
        Box::pin(async move { panic!("attempt {}", call.attempt) })
    }
}

#[test]
fn every_call_is_reported_whatever_becomes_of_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (results, mut ends) = tokio::sync::mpsc::channel(16);
    let targets: BTreeMap<String, Arc<dyn Target>> = BTreeMap::from([
        ("rehearse".to_owned(), Arc::new(DryRun) as Arc<dyn Target>),
        ("broken".to_owned(), Arc::new(Broken) as Arc<dyn Target>),
    ]);
    let mut executor = Executor::new(targets, Arc::new(|| 1_000), runtime.handle().clone(), results);
    let payload = serde_json::json!({
        "type": "plimsoll.rollback.requested",
        "data": {"model": "credit", "version": "v2", "to_version": "v1"},
    });
    let mut call = |action: &str, deadline| {
        let (action_id, payload) = (format!("{action}-{deadline}"), payload.clone());
        executor.submit(Call { action_id, attempt: 1, action: action.into(), payload, deadline });
    };
    call("rehearse", 2_000);
    call("rehearse", 1_000);
    call("broken", 2_000);
    call("absent", 2_000);
    assert_eq!(runtime.block_on(executor.drain(Duration::from_secs(10))), 0);
    let mut results = BTreeMap::new();
    while let Ok(CallFinished { action_id, attempt: 1, result }) = ends.try_recv() {
        results.insert(action_id, result);
    }
    let retry = |why: &str, doubt| CallResult::Retry { why: why.into(), doubt, retry_after: None };
    let expected = [
        ("absent-2000", CallResult::Rejected { why: "no target is configured for the action".into() }),
        ("broken-2000", retry("the adapter of the target panicked", true)),
        ("rehearse-1000", retry("the deadline had passed before the call began", false)),
        (
            "rehearse-2000",
            CallResult::Accepted { detail: "dry run: would roll credit back from v2 to v1".into() },
        ),
    ];
    assert_eq!(results, expected.map(|(id, result)| (id.to_owned(), result)).into());
}
