//! The logs that the stories read, the configuration that they are read with, and what one observer
//! and one evaluator that nothing disturbs make of them.
//!
//! When a silent partition is idle is decided by the clock and not by the log. So that the same must
//! come out whoever reads when, a row is written within a second and a half of its event time; and
//! where partitions wake, at `WAKE`, everything before has been read, evaluated and is idle, and
//! everybody reads that second before time goes on.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use plimsoll::app::compile::{limits, topics};
use plimsoll::app::pipeline::{Counting, models};
use plimsoll::config::Config;
use plimsoll::domain::{Accounting, SourcePartition};
use plimsoll::engine::evaluator::Evaluated;
use plimsoll::engine::{Evaluator, Message, ModelSpec, Progress};
use plimsoll::ingest::source::{Assigned, RawRecord, SourceEvent};
use plimsoll::profile::Profile;
use serde_json::{Value, json};

use crate::checks::world::{configured, frozen};
use crate::support::Stream;

/// Event time, and wall time, of second 0.
pub(crate) const START: i64 = 1_799_999_400_000;
/// Seconds in which records are written.
pub(crate) const SECONDS: usize = 36;
/// Partitions; of the last two, one sleeps for a while and one never has a record.
pub(crate) const PARTITIONS: usize = 4;
const SLEEPER: usize = 2;
const EMPTY: usize = 3;
/// The sleeper falls silent, and wakes.
const SLEEPS: usize = 10;
pub(crate) const WAKE: usize = 24;
/// Records that a partition gets in a second.
const RATE: usize = 8;
/// A pause in which all that is idle shows itself as such, in milliseconds of wall time.
pub(crate) const PAUSE: i64 = 6_000;
/// Pauses where everybody catches up.
pub(crate) const PAUSES: usize = 3;

pub(crate) const CONFIG: &str = r#"
false_alarm_budget: {count: 1, per: 1d}
topics:
  - {name: t, model: /m, allowed_lateness: 2s, idle_after: 5s}
models:
  - name: loans
    topics: [t]
    task: binary
    version: /v
    time: {from: /ts, unit: ms}
    prediction: {from: /p, positive: "yes"}
    features:
      - {name: x, from: /x, type: numeric}
    groups:
      - {name: sex, from: /sex, values: [F, M]}
    profile: given
    pane: 1s
    checks:
      - {name: nulls, metric: null_rate, of: [x], window: 5s, slide: 1s, tolerance: 0.02, direction: above}
      - {name: ratio, metric: selection_rate_ratio, window: 5s, slide: 5s, bound: ">= 0.8"}
  - name: credit
    topics: [t]
    task: binary
    version: /v
    time: {from: /ts, unit: ms}
    prediction: {from: /p, positive: "yes"}
    features:
      - {name: x, from: /x, type: numeric}
    groups:
      - {name: sex, from: /sex, values: [F, M]}
    segments:
      - {name: channel, from: /channel, values: [web]}
    pane: 1s
    checks:
      - {name: ratio, metric: selection_rate_ratio, window: 10s, slide: 5s, bound: ">= 0.8", min_samples: 20, min_group: 5, confidence: 0.9}
      - {name: volume, metric: traffic_volume, window: 5s, slide: 5s, segments: true}
  - name: cards
    topics: [t]
    task: binary
    version: /v
    time: {from: /ts, unit: ms}
    prediction: {from: /p, positive: "yes"}
    features:
      - {name: x, from: /x, type: numeric}
    pane: 1s
    checks:
      - {name: nulls, metric: null_rate, of: features, window: 5s, slide: 5s, bound: "<= 0.5"}
policies:
  - {name: complete, model: loans, checks: [nulls], decide: sequential, clear: {windows: 2}}
  - {name: level, model: loans, checks: [ratio], decide: sequential}
  - {name: fair, model: credit, checks: [ratio], decide: window, violate: {windows: 2, of: 3}, clear: {windows: 2}, qualify: {windows: 1}}
"#;

fn row(stream: &mut Stream, model: &str, version: &str, nulls: f64, women: f64) -> Value {
    let sex = if stream.uniform() < 0.5 { "F" } else { "M" };
    let rate = if sex == "F" { women } else { 0.8 };
    json!({
        "m": model, "v": version, "ts": START, "sex": sex,
        "x": (stream.uniform() >= nulls).then(|| stream.uniform()),
        "p": if stream.uniform() < rate { "yes" } else { "no" },
        "channel": if stream.uniform() < 0.6 { "web" } else { "branch" },
    })
}

/// The reference of `loans`.
fn profile() -> &'static Profile {
    static PROFILE: OnceLock<Profile> = OnceLock::new();
    PROFILE.get_or_init(|| {
        let mut stream = Stream(3);
        let rows: Vec<Value> = (0..2_000).map(|_| row(&mut stream, "loans", "v1", 0.05, 0.8)).collect();
        frozen(&configured(CONFIG), &rows)
    })
}

/// A configuration as it runs.
#[derive(Clone)]
pub(crate) struct Setup {
    config: Config,
    profiles: BTreeMap<String, Profile>,
    pub(crate) models: Vec<Arc<ModelSpec>>,
}

impl Setup {
    pub(crate) fn new(text: &str) -> Self {
        let config = configured(text);
        let profiles = BTreeMap::from([("loans".to_owned(), profile().clone())]);
        let models = models(&topics(&config, &profiles).unwrap());
        Self { config, profiles, models }
    }

    /// The one that most stories run with.
    pub(crate) fn plain() -> &'static Self {
        static PLAIN: OnceLock<Setup> = OnceLock::new();
        PLAIN.get_or_init(|| Self::new(CONFIG))
    }

    pub(crate) fn counting(&self) -> Counting {
        Counting::new(topics(&self.config, &self.profiles).unwrap(), limits(&self.config))
    }
}

pub(crate) fn partition(number: usize) -> SourcePartition {
    SourcePartition::new("t", number as i32)
}

/// Of each partition, the second in which a record was written, and its bytes.
pub(crate) type Log = Vec<Vec<(usize, String)>>;

/// Traffic of two versions of three models: `loans` loses the values of a feature for a while, `v2` of
/// `credit` treats women worse, some rows are late and some records broken.
pub(crate) fn written(seed: u64) -> Log {
    let mut stream = Stream(seed);
    let mut log: Log = vec![Vec::new(); PARTITIONS];
    for second in 0..SECONDS {
        for (number, records) in log.iter_mut().enumerate() {
            let asleep = |second: usize| number == SLEEPER && (SLEEPS..WAKE).contains(&second);
            if number == EMPTY || asleep(second) {
                continue;
            }
            for index in 0..RATE {
                let model = match stream.uniform() {
                    u if u < 0.45 => "loans",
                    u if u < 0.9 => "credit",
                    _ => "cards",
                };
                let second_version = second >= 8 && stream.uniform() < 0.5;
                let version = if second_version { "v2" } else { "v1" };
                let nulls = if model == "loans" && (12..28).contains(&second) { 0.7 } else { 0.05 };
                let women = if model == "credit" && second_version { 0.1 } else { 0.8 };
                let mut value = row(&mut stream, model, version, nulls, women);
                let waited = second > 0 && !asleep(second - 1) && second != WAKE;
                let behind =
                    if waited && stream.uniform() < 0.05 { 6_000.0 } else { stream.uniform() * 1_500.0 };
                let mut time = START + second as i64 * 1_000 - behind as i64;
                if number == SLEEPER && second == WAKE && index < 2 {
                    // From while it slept; all others have gone on without it.
                    time = START + (SLEEPS as i64 + 2) * 1_000;
                }
                value["ts"] = json!(time);
                let broken = stream.uniform() < 0.02;
                records.push((second, if broken { "broken".to_owned() } else { value.to_string() }));
            }
        }
    }
    log
}

/// What was said of each model, as JSON, in order; and what became of the records.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) findings: BTreeMap<String, Vec<String>>,
    pub(crate) decisions: BTreeMap<String, Vec<String>>,
}

impl Told {
    pub(crate) fn take(&mut self, evaluated: &Evaluated) {
        for finding in &evaluated.findings {
            let text = serde_json::to_string(&**finding).unwrap();
            self.findings.entry(finding.model.to_string()).or_default().push(text);
        }
        for decision in &evaluated.decisions {
            let text = serde_json::to_string(decision).unwrap();
            self.decisions.entry(decision.key.model.to_string()).or_default().push(text);
        }
    }

    pub(crate) fn join(&mut self, later: Self) {
        for (all, later) in [(&mut self.findings, later.findings), (&mut self.decisions, later.decisions)] {
            later.into_iter().for_each(|(model, said)| all.entry(model).or_default().extend(said));
        }
    }

    /// The first difference.
    pub(crate) fn differs(&self, expected: &Self) -> Option<String> {
        for (got, expected) in [(&self.decisions, &expected.decisions), (&self.findings, &expected.findings)]
        {
            let models = got.keys().chain(expected.keys());
            for model in models {
                let none = Vec::new();
                let (got, expected) = (got.get(model).unwrap_or(&none), expected.get(model).unwrap_or(&none));
                if let Some((got, expected)) = got.iter().zip(expected).find(|(a, b)| a != b) {
                    return Some(format!("{model}:\n got {got}\nwant {expected}"));
                }
                if got.len() != expected.len() {
                    return Some(format!("{model}: {} where {} are right", got.len(), expected.len()));
                }
            }
        }
        None
    }
}

/// One observer of all partitions, that reads each second at once.
pub(crate) struct Line<'a> {
    log: &'a Log,
    counting: Counting,
    pub(crate) next: [usize; PARTITIONS],
    pub(crate) now: i64,
}

impl<'a> Line<'a> {
    /// Begins at these offsets.
    pub(crate) fn new(setup: &Setup, log: &'a Log, next: [usize; PARTITIONS], now: i64) -> Self {
        let mut counting = setup.counting();
        let assigned = next.iter().enumerate().map(|(number, offset)| Assigned {
            partition: partition(number),
            offset: (*offset > 0).then_some(*offset as i64),
            metadata: None,
        });
        counting.handle(SourceEvent::Assigned(assigned.collect()), now, &mut |_, _| {});
        Self { log, counting, next, now }
    }

    /// The messages of a commit with everything that was written by the end of `second`.
    pub(crate) fn second(&mut self, second: usize) -> Vec<Message> {
        for (number, records) in self.log.iter().enumerate() {
            let source = partition(number);
            while let Some((_, text)) = records.get(self.next[number]).filter(|(at, _)| *at <= second) {
                feed(&mut self.counting, &source, self.next[number], text, self.now);
                self.next[number] += 1;
            }
            self.counting.handle(SourceEvent::EndOfPartition(source), self.now, &mut |_, _| {});
        }
        let flushed = self.counting.flush(self.now);
        self.counting.settle(true);
        let progress = Progress { wall: self.now, sources: flushed.sources, topics: topics_of() };
        flushed.deltas.into_iter().map(Message::Delta).chain([Message::Progress(progress)]).collect()
    }

    /// All commits, each as its messages.
    pub(crate) fn commits(mut self) -> Vec<Vec<Message>> {
        let mut commits = Vec::new();
        for second in 0..SECONDS {
            if second == WAKE {
                commits.extend(self.pauses(second - 1));
            }
            commits.push(self.second(second));
            self.now += 1_000;
        }
        commits.extend(self.pauses(SECONDS));
        commits
    }

    fn pauses(&mut self, second: usize) -> Vec<Vec<Message>> {
        let pause = |_| {
            self.now += PAUSE;
            self.second(second)
        };
        (0..PAUSES).map(pause).collect()
    }

    pub(crate) fn accounting(&self) -> Accounting {
        self.counting.accounting()
    }
}

pub(crate) fn topics_of() -> BTreeMap<Arc<str>, i32> {
    BTreeMap::from([("t".into(), PARTITIONS as i32)])
}

pub(crate) fn feed(counting: &mut Counting, source: &SourcePartition, offset: usize, text: &str, now: i64) {
    let (offset, value) = (offset as i64, Some(text.as_bytes()));
    let record = RawRecord { partition: source, offset, key: None, value, headers: &[] };
    counting.handle(SourceEvent::Record(record), now, &mut |_, _| {});
}

/// A log, and what comes of it undisturbed.
pub(crate) struct Known {
    pub(crate) log: Log,
    /// The observer's commits.
    pub(crate) commits: Vec<Vec<Message>>,
    pub(crate) told: Told,
    /// By the partitions' own clocks, and after what came too late for its pane was moved.
    pub(crate) accounting: [Accounting; 2],
}

impl Known {
    /// Logs that are made once.
    pub(crate) const LOGS: usize = 4;

    pub(crate) fn of(seed: usize) -> &'static Self {
        static KNOWN: [OnceLock<Known>; Known::LOGS] = [const { OnceLock::new() }; Known::LOGS];
        KNOWN[seed].get_or_init(|| {
            let (setup, log) = (Setup::plain(), written(seed as u64));
            let commits = Line::new(setup, &log, [0; PARTITIONS], START).commits();
            let mut line = Line::new(setup, &log, [0; PARTITIONS], START);
            line.second(SECONDS);
            let mut evaluator = Evaluator::new(setup.models.iter().cloned());
            let mut told = Told::default();
            for message in commits.iter().flatten() {
                let evaluated = evaluator.take(message.clone());
                assert_eq!(evaluated.faults, []);
                told.take(&evaluated);
            }
            let accounting = [line.accounting(), evaluator.intake().accounting()["t"]];
            Self { log, commits, told, accounting }
        })
    }
}
