//! Detectors that go on with their state, detectors that lose it, and records that are counted twice.
//! With its records an evaluator goes on as if nothing had happened. Losing them is safe: whatever the
//! moment, less evidence is left than there was, so no more alarms follow. Counting twice is not, and
//! the last story measures by how much.

#![expect(clippy::unwrap_used, reason = "a test may stop at a surprise, also in its helpers")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll::app::compile::{limits, topics};
use plimsoll::app::pipeline::{Counting, models};
use plimsoll::config::Config;
use plimsoll::domain::{Decision, EventTime, Finding, Sequential, SourcePartition};
use plimsoll::engine::evaluator::Evaluated;
use plimsoll::engine::{Evaluator, Message, ModelSpec, Progress, wire};
use plimsoll::ingest::source::{Assigned, RawRecord, SourceEvent};
use plimsoll::profile::Profile;
use plimsoll::stats::edetector::rate::{self, Allowed};
use plimsoll::stats::edetector::{Component, Detector, Part, Reading, Side, cell_bets, histogram, threshold};
use plimsoll::stats::fairness::Rate;
use plimsoll::stats::limit::Limit;
use plimsoll::stats::pair;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::checks::world::{configured, frozen};
use crate::exchange::store::{Store, encoded};
use crate::support::Stream;

const NOW: i64 = 1_800_000_000_000;
const START: i64 = 1_799_999_400_000;
const PARTITIONS: usize = 2;
/// Records of each partition, forty milliseconds apart.
const RECORDS: usize = 1_200;
/// Records of a pane in each partition; those that are behind are late.
const PANE_RECORDS: usize = 25;

const CONFIG: &str = r#"
topics:
  - {name: t, model: /m, allowed_lateness: 1s, idle_after: 30s}
models:
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
    profile: given
    pane: 1s
    checks:
      - {name: nulls, metric: null_rate, of: [x], window: 5s, slide: 1s, tolerance: 0.02}
      - {name: drift, metric: psi, of: [x], window: 5s, slide: 5s, tolerance: 0.01}
      - {name: ratio, metric: selection_rate_ratio, window: 5s, slide: 1s, bound: ">= 0.8"}
      - {name: rate, metric: selection_rate, window: 5s, slide: 1s, tolerance: 0.02}
policies:
  - {name: all, model: credit, checks: [nulls, drift, ratio, rate], decide: sequential}
"#;

impl Stream {
    /// A draw from a distribution on 0, 1, ... with these cumulative probabilities.
    fn draw(&mut self, cumulative: &[f64]) -> u64 {
        let u = self.uniform();
        cumulative.partition_point(|below| *below <= u).min(cumulative.len() - 1) as u64
    }
}

/// A row as the reference has them.
fn row(stream: &mut Stream, time: i64) -> Value {
    json!({
        "m": "credit", "v": "v1", "ts": time,
        "x": (stream.uniform() >= 0.05).then(|| stream.uniform()),
        "p": if stream.uniform() < 0.5 { "yes" } else { "no" },
        "sex": if stream.uniform() < 0.5 { "F" } else { "M" },
    })
}

fn model() -> (Config, Profile) {
    let config = configured(CONFIG);
    let mut stream = Stream(3);
    let reference: Vec<Value> = (0..5_000).map(|_| row(&mut stream, START)).collect();
    let profile = frozen(&config, &reference);
    (config, profile)
}

fn log(seed: u64) -> Vec<Vec<String>> {
    let mut stream = Stream(seed);
    let mut record = |index: usize| {
        let late = if stream.uniform() < 0.01 { 3_000 } else { 0 };
        row(&mut stream, START + index as i64 * 40 - late).to_string()
    };
    (0..PARTITIONS).map(|_| (0..RECORDS).map(&mut record).collect()).collect()
}

/// What a detector said, by check, scope and window end, oldest first.
type Said = BTreeMap<(String, String), Vec<(EventTime, Sequential)>>;

/// What becomes of an evaluator's state when it stops.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Its records are gone: the next begins with nothing at the offset that this one committed.
    Lost,
    /// The next is made of its records.
    Kept,
}

/// An observer that reads on, and the evaluators that follow each other behind it.
struct Run {
    models: Vec<Arc<ModelSpec>>,
    counting: Counting,
    evaluator: Evaluator,
    store: Store,
    /// By evaluator.
    said: Vec<Said>,
    findings: Vec<String>,
    decisions: Vec<Decision>,
}

impl Run {
    fn new((config, profile): &(Config, Profile)) -> Self {
        let profiles = BTreeMap::from([("credit".to_owned(), profile.clone())]);
        let topics = topics(config, &profiles).unwrap();
        let models = models(&topics);
        let mut counting = Counting::new(topics, limits(config));
        let assigned = (0..PARTITIONS).map(|number| Assigned {
            partition: SourcePartition::new("t", number as i32),
            offset: None,
            metadata: None,
        });
        let assigned = assigned.collect();
        counting.handle(SourceEvent::Assigned(assigned), NOW, &mut |_, why| panic!("{why:?}"));
        Self {
            evaluator: Evaluator::new(models.iter().cloned()),
            models,
            counting,
            store: Store::default(),
            said: vec![Said::new()],
            findings: Vec::new(),
            decisions: Vec::new(),
        }
    }

    fn feed(&mut self, number: usize, offset: usize, text: &str) {
        let partition = SourcePartition::new("t", number as i32);
        let (offset, value) = (offset as i64, Some(text.as_bytes()));
        let record = RawRecord { partition: &partition, offset, key: None, value, headers: &[] };
        self.counting.handle(SourceEvent::Record(record), NOW, &mut |_, why| panic!("{why:?}"));
    }

    /// A commit of the observer, taken at once.
    fn commit(&mut self) {
        let flushed = self.counting.flush(NOW);
        self.counting.settle(true);
        let topics = BTreeMap::from([("t".into(), PARTITIONS as i32)]);
        let progress = Progress { wall: NOW, sources: flushed.sources, topics };
        let deltas = flushed.deltas.into_iter().map(Message::Delta);
        for message in deltas.chain([Message::Progress(progress)]) {
            let message = wire::decode(&wire::encode(&message)).unwrap();
            let evaluated = self.evaluator.take(message);
            assert_eq!(evaluated.faults, []);
            self.say(evaluated);
        }
    }

    fn say(&mut self, evaluated: Evaluated) {
        for finding in &evaluated.findings {
            self.findings.push(serde_json::to_string(&**finding).unwrap());
            let Finding { check, scope, window, sequential: Some(sequential), .. } = &**finding else {
                continue;
            };
            // Which groups are the extremes changes from window to window; the detector is one.
            let scope = if check == "ratio" { "sex".to_owned() } else { scope.to_string() };
            let said = self.said.last_mut().unwrap().entry((check.clone(), scope)).or_default();
            said.push((window.end, sequential.clone()));
        }
        self.decisions.extend(evaluated.decisions);
    }

    fn stop(&mut self, state: State) {
        if state == State::Kept {
            self.store.write(encoded(&self.evaluator.changes(0)));
        }
        (self.evaluator, _) = self.store.restore(&self.models);
        self.said.push(Said::new());
    }
}

/// Reads the log, with a new evaluator after each of `stops`.
fn run(model: &(Config, Profile), log: &[Vec<String>], stops: &[usize], state: State) -> Run {
    let mut run = Run::new(model);
    for offset in 0..RECORDS {
        if stops.contains(&offset) {
            run.commit();
            run.stop(state);
        }
        for (number, records) in log.iter().enumerate() {
            run.feed(number, offset, &records[offset]);
        }
        if offset % 10 == 9 {
            run.commit();
        }
    }
    run
}

fn rows(sequential: &Sequential) -> u64 {
    sequential.groups.iter().map(|group| group.n).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn an_evaluator_without_its_records_has_no_more_evidence_and_steps_on_no_pane_twice(
        seed in 0_u64..1_000,
        stops in proptest::collection::btree_set(100_usize..1_150, 1..5),
        between_panes in any::<bool>(),
    ) {
        let (model, log) = (model(), log(seed));
        let undisturbed = run(&model, &log, &[], State::Lost).said.remove(0);
        // Where an evaluator begins in the middle of a pane, it steps on the rest of it alone. That is
        // less than the whole, but not a part of the evidence that can be compared.
        let between = |stop: usize| if between_panes { stop / PANE_RECORDS * PANE_RECORDS } else { stop };
        let stops: BTreeSet<usize> = stops.into_iter().map(between).collect();
        let stops: Vec<usize> = stops.into_iter().collect();
        let restarted = run(&model, &log, &stops, State::Lost).said;
        for (slot, expected) in &undisturbed {
            prop_assert!(expected.iter().all(|(_, it)| it.evidence.is_none()), "an alarm under the null");
            let known: BTreeMap<EventTime, &Sequential> =
                expected.iter().map(|(end, it)| (*end, it)).collect();
            let mut stepped = 0;
            let mut last = None;
            for (end, it) in restarted.iter().filter_map(|said| said.get(slot)).flatten() {
                prop_assert!(last < Some(*end), "{:?} said {} twice", slot, end);
                last = Some(*end);
                let kept = known[end];
                prop_assert!(it.evidence.is_none(), "{:?} alarmed", slot);
                prop_assert!(it.panes <= kept.panes && rows(it) <= rows(kept), "{:?} at {}", slot, end);
                if between_panes {
                    let (left, whole) = (it.log_e.unwrap_or(f64::NEG_INFINITY), kept.log_e.unwrap());
                    prop_assert!(left <= whole + 1e-9, "{:?} at {}: {} is above {}", slot, end, left, whole);
                }
            }
            for said in restarted.iter().filter_map(|said| said.get(slot)) {
                stepped += said.last().map_or(0, |(_, it)| it.panes);
            }
            let all = expected.last().unwrap().1.panes;
            prop_assert!(stepped <= all, "{:?} stepped {} times on {} panes", slot, stepped, all);
            // What is lost is at most the panes that were open, at each restart, on the way to a slide.
            prop_assert!(stepped + 6 * stops.len() as u64 >= all, "{:?}: {} of {}", slot, stepped, all);
        }
    }

    #[test]
    fn an_evaluator_with_its_records_goes_on_as_if_nothing_had_happened(
        seed in 0_u64..1_000,
        stops in proptest::collection::btree_set(1_usize..1_150, 1..8),
    ) {
        let (model, log) = (model(), log(seed));
        let stops: Vec<usize> = stops.into_iter().collect();
        let mut undisturbed = run(&model, &log, &[], State::Kept);
        let mut restarted = run(&model, &log, &stops, State::Kept);
        prop_assert!(!undisturbed.findings.is_empty());
        prop_assert_eq!(&restarted.findings, &undisturbed.findings);
        prop_assert_eq!(&restarted.decisions, &undisturbed.decisions);
        // Detectors and the beginnings of sequences included.
        prop_assert_eq!(restarted.evaluator.keys().count(), 1);
        for run in [&mut undisturbed, &mut restarted] {
            run.store.write(encoded(&run.evaluator.changes(0)));
        }
        prop_assert_eq!(restarted.store.records(), undisturbed.store.records());
    }
}

/// Cumulative probabilities of the binomial distribution.
fn binomial(n: u64, p: f64) -> Vec<f64> {
    let (mut log_choose, mut below) = (0.0, 0.0);
    (0..=n)
        .map(|k| {
            if k > 0 {
                log_choose += ((n - k + 1) as f64).ln() - (k as f64).ln();
            }
            below += (log_choose + k as f64 * p.ln() + (n - k) as f64 * (-p).ln_1p()).exp();
            below
        })
        .collect()
}

/// Alarms of a detector over panes of increments, restarted after a pane with the given chance.
fn alarms(
    detector: &mut Detector,
    panes: usize,
    log_threshold: f64,
    restarts: (f64, &mut Stream),
    mut pane: impl FnMut(&mut Detector),
) -> f64 {
    let (chance, chances) = restarts;
    let mut alarms = 0.0;
    for _ in 0..panes {
        pane(detector);
        if detector.log_e() >= log_threshold {
            alarms += 1.0;
            detector.reset();
        }
        if chances.uniform() < chance {
            detector.reset();
        }
    }
    alarms
}

/// Mean and its standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// Restarts after one pane of so many, on average; never, and ever more often.
const EVERY: [f64; 4] = [0.0, 0.001, 0.01, 0.1];
/// Runs of a simulation.
const RUNS: u64 = 200;

/// Runs a detector exactly at its null, where false alarms are most frequent, with the same panes for
/// every frequency of restarts. The budget is chosen so that the undisturbed one has about one.
fn hold(name: &str, budget: f64, panes: usize, bets: usize, pane: impl Fn(&mut Stream, &mut Detector)) {
    let log_threshold = threshold(panes as f64, budget).ln();
    let mut undisturbed = (0.0, 0.0);
    for chance in EVERY {
        let counted: Vec<f64> = (0..RUNS)
            .map(|seed| {
                let (mut stream, mut chances) = (Stream(seed), Stream(seed + 1_000_000));
                let mut detector = Detector::new(bets);
                let restarts = (chance, &mut chances);
                alarms(&mut detector, panes, log_threshold, restarts, |detector| pane(&mut stream, detector))
            })
            .collect();
        let (mean, error) = mean(&counted);
        println!(
            "{name}, budget {budget}, restarts {chance} a pane, seeds 0 to {}: {mean:.3} +- {error:.3}",
            RUNS - 1
        );
        assert!(mean <= budget, "{name}: {mean} false alarms of {budget}");
        if chance == 0.0 {
            undisturbed = (mean, error);
            assert!(mean > 0.5, "{name}: a budget that is hardly used shows nothing, {mean}");
        }
        let (kept, kept_error) = undisturbed;
        assert!(mean <= kept + 3.0 * kept_error.hypot(error), "{name}: {mean} with restarts, {kept} without");
    }
}

#[test]
fn restarts_never_raise_the_false_alarms_of_a_rate_above_the_budget() {
    let component =
        rate::component(Side::Above, &Allowed { limit: Some(0.1), ..Allowed::default() }).unwrap();
    let cumulative = binomial(500, 0.1);
    let bets = component.bets.len();
    let components = [component];
    hold("rate", 4.0, 1_000, bets, |stream, detector| {
        detector.step(&components, &[Reading::counts(stream.draw(&cumulative), 500)], 0);
    });
}

/// Ten equal cells whose shares are known, every part at its null.
fn ten_cells() -> Vec<Component> {
    let component = |(part, side)| {
        let share = match part {
            Part::UpTo(cell) => (cell + 1) as f64 / 10.0,
            _ => 0.1,
        };
        let null = if side == Side::Above { share } else { 1.0 - share };
        Component { part, side, reference: None, tolerance: 0.0, null, hourly: None, bets: cell_bets(null) }
    };
    histogram::parts(10, true).into_iter().map(component).collect()
}

#[test]
fn restarts_never_raise_the_false_alarms_of_a_histogram_above_the_budget() {
    let components = ten_cells();
    let bets = components.iter().map(|component| component.bets.len()).sum();
    hold("histogram", 4.0, 250, bets, |stream, detector| {
        let mut counts = [0; 10];
        (0..200).for_each(|_| counts[(stream.uniform() * 10.0) as usize] += 1);
        let mut readings = Vec::new();
        histogram::readings(&components, &counts, &mut readings);
        detector.step(&components, &readings, 0);
    });
}

#[test]
fn restarts_never_raise_the_false_alarms_of_a_limit_between_groups_above_the_budget() {
    let limit = Limit::Ratio(0.8);
    let (low, high) = (binomial(100, 0.4), binomial(100, 0.5));
    hold("limit", 9.0, 1_000, pair::components(2).count(), |stream, detector| {
        let rates = [Rate { k: stream.draw(&low), n: 100 }, Rate { k: stream.draw(&high), n: 100 }];
        detector.advance(pair::increments(&rates, limit).unwrap());
    });
}

#[test]
fn records_that_are_counted_twice_break_the_promise_the_more_of_them_there_are() {
    const ROWS: u64 = 500;
    const PANES: usize = 8_064;
    let component =
        rate::component(Side::Above, &Allowed { limit: Some(0.1), ..Allowed::default() }).unwrap();
    let components = [component];
    let log_threshold = threshold(PANES as f64, 1.0).ln();
    let cumulative = binomial(ROWS, 0.1);
    let mut means = Vec::new();
    for share in [0.0, 0.01, 0.1, 0.3, 1.0] {
        let again: Vec<Vec<f64>> = (0..=ROWS).map(|n| binomial(n, f64::min(share, 1.0 - 1e-15))).collect();
        let counted: Vec<f64> = (0..RUNS)
            .map(|seed| {
                let mut stream = Stream(seed);
                let mut detector = Detector::of(&components);
                let mut never = Stream(0);
                alarms(&mut detector, PANES, log_threshold, (0.0, &mut never), |detector| {
                    let k = stream.draw(&cumulative);
                    let (twice, others) = match share {
                        0.0 => (0, 0),
                        1.0 => (k, ROWS - k),
                        _ => (stream.draw(&again[k as usize]), stream.draw(&again[(ROWS - k) as usize])),
                    };
                    detector.step(&components, &[Reading::counts(k + twice, ROWS + twice + others)], 0);
                })
            })
            .collect();
        let (mean, error) = mean(&counted);
        println!("{share} of the records twice, budget 1, seeds 0 to {}: {mean:.2} +- {error:.2}", RUNS - 1);
        means.push(mean);
    }
    assert!(means[0] <= 1.0, "{means:?}");
    assert!(means[1] < 1.0, "one in a hundred is within what the bound leaves unused: {means:?}");
    assert!(means[1] < means[2] && means[2] < means[3] && means[3] < means[4], "{means:?}");
    assert!(means[3] > 1.0 && means[4] > 10.0, "many are not: {means:?}");
}
