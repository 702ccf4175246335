//! An actor with its log and everything that leaves it, with the rules checked at every effect. It can be
//! killed between any two effects.

mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plimsoll::domain::{
    Decision, DecisionKind, EventTime, ModelKey, Report, Segment, Standing, Verdict, Version,
};
use plimsoll::engine::actor::entry::{Body, Ended};
use plimsoll::engine::actor::{
    ActionSpec, Actor, Call, CallFinished, Config, Effect, Entry, Input, PolicyTerms,
};
use plimsoll::engine::view::ActionView;
use plimsoll::safety::{
    Abilities, ActionKind, BreakerSpec, Budget, Command, FleetAlarm, Idempotency, Limits, ModelName, Order,
    PolicyMode, Reply, Role, Step, VerifySpec,
};

pub(super) const MODELS: u8 = 4;
const MINUTE: i64 = 60_000;
const DEADLINE: i64 = 5 * MINUTE;
const FLEET: Budget = Budget { count: 4, per: 60 * MINUTE };
const PER_MODEL: Budget = Budget { count: 3, per: 60 * MINUTE };
const MODES: [(&str, PolicyMode); 4] = [
    ("p0", PolicyMode::Auto),
    ("p1", PolicyMode::Approve),
    ("p2", PolicyMode::Recommend),
    ("p3", PolicyMode::Observe),
];

/// What may happen.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    Decide {
        kind: DecisionKind,
        policy: u8,
        model: u8,
        version: u8,
        at: i64,
    },
    Order {
        role: Role,
        order: u8,
        model: u8,
        action: usize,
        honest: bool,
    },
    Report {
        model: u8,
        version: u8,
        good: u64,
        bad: u64,
        verdicts: u8,
    },
    Answer(usize, Reply),
    AnswerWell(usize),
    Wait(i64),
    WaitUntilDue,
    Restart,
    /// The process is gone, and what is decided and ordered waits for the next one.
    Down,
    /// The next one comes, and needs so long to read what waits.
    Up(i64),
}

pub(super) fn model(number: u8) -> ModelName {
    ModelName { tenant: None, model: format!("m{number}").into() }
}

fn key(model: u8, version: u8) -> ModelKey {
    ModelKey {
        tenant: None,
        model: format!("m{model}").into(),
        version: format!("v{version}").into(),
        segment: Segment::All,
        profile: None,
    }
}

fn config() -> Config {
    const ALL: Abilities = Abilities { preflight: true, find: true, poll: true, cancel: true };
    let spec = |name: &str, kind, idempotency, abilities| ActionSpec {
        name: name.into(),
        kind,
        deadline: Duration::from_millis(DEADLINE as u64),
        finish_within: Duration::from_millis(10 * MINUTE as u64),
        target: name.into(),
        idempotency,
        abilities,
    };
    let terms = |(policy, mode): (&str, PolicyMode)| {
        let verify = VerifySpec { within: 10 * MINUTE, traffic: 0.9, samples: 100 };
        let escalate = vec!["tell".to_owned()];
        (policy.to_owned(), PolicyTerms { mode, verify, escalate, ..PolicyTerms::default() })
    };
    let find = Abilities { find: true, ..Abilities::default() };
    Config {
        policies: MODES.map(terms).into(),
        actions: vec![
            spec("back", ActionKind::Rollback, Idempotency::Keyed, Abilities::default()),
            spec(
                "alias",
                ActionKind::Rollback,
                Idempotency::StateLike,
                Abilities { poll: false, cancel: false, ..ALL },
            ),
            spec("train", ActionKind::Retrain, Idempotency::Keyed, ALL),
            spec("flow", ActionKind::Retrain, Idempotency::Unkeyed, find),
            spec("tell", ActionKind::Notify, Idempotency::Unkeyed, Abilities::default()),
        ],
        limits: Limits {
            cooldown_rollback: 10 * MINUTE,
            cooldown_retrain: 20 * MINUTE,
            per_model: PER_MODEL,
            fleet: FLEET,
            alarm: FleetAlarm { models: 4, share: 1.0, within: 2 * MINUTE },
        },
        breaker: BreakerSpec { failures: 3, open_for: 10 * MINUTE },
        watched: usize::from(MODELS),
        event_time_is_wall_time: false,
        ..Config::default()
    }
}

pub(super) struct World {
    actor: Actor,
    now: i64,
    log: Vec<Entry>,
    /// What the topic of decisions holds: read again after a restart.
    topic: Vec<Input>,
    outstanding: Vec<Call>,
    /// Submissions by action name.
    submissions: BTreeMap<(String, String), u32>,
    /// Actions at targets that act twice whose last submission may have been taken.
    doubtful: BTreeSet<String>,
    /// What was shown last of each action.
    shown: BTreeMap<String, ActionView>,
    commands: u64,
    event_time: i64,
    steps: usize,
    kill_at: Option<usize>,
    /// After how many more it is killed again.
    again_after: Option<usize>,
    /// Whether nobody is there.
    down: bool,
    /// How long the next restart takes to read what waits.
    reading: i64,
    /// Whether the input being handled is only a report.
    reporting: bool,
    /// Whether the actor may ask anything: it has read what waited.
    begun: bool,
}

impl World {
    pub(super) fn new(kill_at: Option<usize>) -> Self {
        Self::killed(kill_at, None)
    }

    /// One that is killed before a step, and again so many steps after that.
    pub(super) fn killed(kill_at: Option<usize>, again_after: Option<usize>) -> Self {
        let (actor, effects) = Actor::restore(config(), vec![], 0).unwrap();
        let mut world = Self {
            actor,
            now: 0,
            log: vec![],
            topic: vec![],
            outstanding: vec![],
            submissions: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            shown: BTreeMap::new(),
            commands: 0,
            event_time: 100,
            steps: 0,
            kill_at,
            again_after,
            down: false,
            reading: 0,
            reporting: false,
            begun: false,
        };
        world.carry_out(effects);
        world.begin();
        world
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Decide { kind, policy, model, version, at } => {
                let (policy, key) = (MODES[usize::from(policy)].0, key(model, version));
                self.tell(Input::Decision(Decision {
                    id: format!("{}-{policy}-{key}-{at}", kind.name()),
                    kind,
                    policy: policy.into(),
                    decide: Default::default(),
                    key,
                    since: EventTime::from_millis(at),
                    at: EventTime::from_millis(at + 1),
                    actions: ["flow", "train", "back", "alias", "tell"].map(String::from).to_vec(),
                    evidence: vec![],
                }));
            }
            Happening::Order { role, order, model: number, action, honest } => {
                let tasks = self.known_actions();
                let Some((action_id, evidence)) = tasks.get(action % tasks.len().max(1)).cloned() else {
                    return;
                };
                let to_version = self.shown_version(&action_id);
                let evidence = if honest { evidence } else { "sha256:other".to_owned() };
                let order = match order {
                    0 | 1 => Order::Approve { action_id, evidence, to_version },
                    2 => Order::Deny { action_id },
                    3 => Order::Cancel { action_id },
                    4 => Order::Hold(model(number)),
                    5 => Order::Release(model(number)),
                    6 => Order::Freeze,
                    7 => Order::Resume,
                    _ => Order::Absolve { model: model(number), version: format!("v{action}").into() },
                };
                self.order(role, order);
            }
            Happening::Report { model, version, good, bad, verdicts } => {
                self.report(model, version, good, bad, verdicts)
            }
            Happening::Answer(which, reply) if which < self.outstanding.len() => self.answer(which, reply),
            Happening::AnswerWell(which) if which < self.outstanding.len() => self.answer_well(which),
            Happening::Answer(..) | Happening::AnswerWell(_) => {}
            Happening::Wait(millis) => {
                self.now += millis;
                self.handle(Input::Tick);
            }
            Happening::WaitUntilDue if self.down => {}
            Happening::WaitUntilDue => {
                self.now = self.actor.due().unwrap_or(self.now).max(self.now);
                self.handle(Input::Tick);
            }
            Happening::Restart => {
                self.down = false;
                self.restart();
            }
            Happening::Down => self.down = true,
            Happening::Up(millis) => self.come_up(millis),
        }
    }

    fn come_up(&mut self, millis: i64) {
        if std::mem::take(&mut self.down) {
            self.reading = millis;
            self.restart();
        }
    }

    fn report(&mut self, model: u8, version: u8, good: u64, bad: u64, verdicts: u8) {
        let verdict = |of: u8| [Verdict::Pass, Verdict::Insufficient, Verdict::Breach][usize::from(of)];
        let from = self.event_time;
        self.event_time += MINUTE;
        let at = |millis| EventTime::from_millis(millis);
        let standings = MODES.iter().map(|(policy, _)| Standing {
            policy: (*policy).to_owned(),
            version: "v9".into(),
            segment: Segment::All,
            from: at(from),
            own: verdict(verdicts / 3),
            clear: verdict(verdicts % 3),
            rows: good,
        });
        let version = Version::from(format!("v{version}"));
        let report = Report {
            tenant: None,
            model: format!("m{model}").into(),
            from: at(from),
            until: at(self.event_time),
            rows: BTreeMap::from([("v9".into(), good), (version, bad)]),
            standings: standings.collect(),
        };
        self.reporting = true;
        self.handle(Input::Report(report));
        self.reporting = false;
    }

    /// Gives an order, and says why it was refused.
    pub(super) fn order(&mut self, role: Role, order: Order) -> Option<String> {
        self.commands += 1;
        let id = format!("{:032x}", self.commands);
        let reason = "because".to_owned();
        self.tell(Input::Command(Command {
            id: id.clone(),
            at: self.now,
            who: "ann".into(),
            role,
            reason,
            order,
        }));
        self.log.iter().rev().find_map(|entry| match &entry.body {
            Body::Command { command, why, .. } if command.id == id => why.clone(),
            _ => None,
        })
    }

    fn tell(&mut self, input: Input) {
        self.topic.push(input.clone());
        self.handle(input);
    }

    fn handle(&mut self, input: Input) {
        if self.down {
            return;
        }
        let effects = self.actor.handle(input, self.now);
        self.carry_out(effects);
    }

    fn answer(&mut self, which: usize, reply: Reply) {
        let Call { action_id, attempt, step, .. } = self.outstanding.remove(which);
        if step == Step::Submit {
            let certain = matches!(&reply, Reply::Retry { doubt: false, .. });
            if certain {
                self.doubtful.remove(&action_id)
            } else {
                self.doubtful.insert(action_id.clone())
            };
        }
        self.handle(Input::CallFinished(CallFinished { action_id, attempt, result: reply }));
    }

    fn answer_well(&mut self, which: usize) {
        let reply = match &self.outstanding[which].step {
            Step::Preflight => Reply::Clear,
            Step::Submit | Step::Find => {
                Reply::Accepted { reference: Some("run-1".into()), detail: "taken".into(), done: false }
            }
            Step::Poll { .. } | Step::Cancel { .. } => Reply::Succeeded { detail: "success".into() },
        };
        self.answer(which, reply);
    }

    /// Answers every question well, and those that follow.
    pub(super) fn answer_all(&mut self) {
        for _ in 0..100 {
            if self.outstanding.is_empty() {
                return;
            }
            self.answer_well(0);
        }
    }

    /// Kill -9 and start: what was not durable is gone, replies are lost, messages come again.
    fn restart(&mut self) {
        for call in std::mem::take(&mut self.outstanding) {
            if call.step == Step::Submit {
                self.doubtful.insert(call.action_id);
            }
        }
        let (actor, effects) = Actor::restore(config(), self.log.clone(), self.now).unwrap();
        (self.begun, self.actor) = (false, actor);
        self.carry_out(effects);
        for input in self.topic.clone() {
            self.handle(input);
            self.now += std::mem::take(&mut self.reading);
        }
        self.begin();
    }

    fn begin(&mut self) {
        for input in &self.topic {
            let is = |body: &Body| match (input, body) {
                (Input::Decision(told), Body::Decision { decision, .. }) => told.id == decision.id,
                (Input::Command(told), Body::Command { command, .. }) => told.id == command.id,
                _ => false,
            };
            assert!(self.log().any(is), "{input:?} waited, and is read before anything is done");
        }
        let effects = self.actor.begin(self.now);
        self.begun = true;
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if self.kill_at == Some(self.steps) {
                self.kill_at = self.again_after.take().map(|more| self.steps + more);
                self.restart();
                return;
            }
            self.steps += 1;
            match effect {
                Effect::Audit(entry) => {
                    assert_eq!(entry.seq, self.log.len() as u64, "numbers of entries are contiguous");
                    let read = Entry::from_json(entry.to_json().as_bytes()).unwrap();
                    assert_eq!(read, entry, "an entry reads back as it was written");
                    if let Body::Intent { action_id, to_version, .. } = &entry.body {
                        self.check_intent(action_id, to_version.as_ref(), entry.time);
                    }
                    self.log.push(entry);
                }
                Effect::Call(call) => {
                    assert!(self.begun, "nothing is asked before what waited was read");
                    self.check_call(call);
                }
                Effect::Changed(view) | Effect::Recalled(view) => {
                    self.shown.insert(view.id.clone(), view);
                }
                Effect::Ordered(_) | Effect::RecalledOrder(_) => {}
            }
        }
    }

    /// How the action ended, if it has.
    pub(super) fn outcome(&self, id: &str) -> Option<Ended> {
        self.log.iter().find_map(|entry| match &entry.body {
            Body::Outcome { action_id, outcome } if action_id == id => Some(outcome.clone()),
            _ => None,
        })
    }

    pub(super) fn log(&self) -> impl Iterator<Item = &Body> {
        self.log.iter().map(|entry| &entry.body)
    }

    /// Actions with the hash of their evidence, oldest first.
    fn known_actions(&self) -> Vec<(String, String)> {
        let sealed = self.log.iter().filter_map(|entry| match &entry.body {
            Body::Evidence { action_ids, sha256, .. } => Some((action_ids, sha256)),
            _ => None,
        });
        let pairs = sealed.flat_map(|(ids, hash)| ids.iter().map(move |id| (id.clone(), hash.clone())));
        pairs.filter(|(id, _)| self.outcome(id).is_none()).collect()
    }

    /// Actions that wait for a person, with the hash of their evidence.
    pub(super) fn waiting(&self) -> Vec<(String, String)> {
        self.known_actions()
            .into_iter()
            .filter(|(id, _)| {
                let of = self.announced(id);
                of.decision.policy == "p1" && of.planned.kind.changes_model()
            })
            .collect()
    }

    /// Requests that change a model, sent so far.
    pub(super) fn submitted(&self) -> u32 {
        self.submissions.iter().filter(|((action, _), _)| action != "tell").map(|(_, count)| count).sum()
    }

    pub(super) fn calls_of(&self, step: &Step, action: &str) -> u32 {
        assert_eq!(*step, Step::Submit, "only submissions are counted");
        self.submissions.iter().filter(|((of, _), _)| of == action).map(|(_, count)| count).sum()
    }

    pub(super) fn breaker_open(&self) -> bool {
        self.actor.safety(self.now).breakers.iter().any(|breaker| breaker.state == "open")
    }

    /// Without a further answer everything comes to an end by itself, and the log says how.
    pub(super) fn come_to_rest(&mut self) {
        self.come_up(0);
        for _ in 0..600 {
            let Some(due) = self.actor.due() else { break };
            self.now = due.max(self.now);
            self.handle(Input::Tick);
        }
        assert_eq!(self.actor.due(), None, "nothing waits for ever");
        self.check_ends();
    }
}
