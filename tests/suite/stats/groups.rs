//! Decisions between groups: confidence sequences and verdicts against recorded values, and what
//! sequences and e-values promise about chance, against draws of a fixed stream.

use plimsoll::stats::fairness::Rate;
use plimsoll::stats::limit::Limit;
use plimsoll::stats::pair;
use plimsoll::stats::sequence::{self, Tuning, Verdict};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Binomial, Distribution};
use serde_json::Value;

use super::{STATISTIC, golden, groups, near, near_interval};

const FOUR_FIFTHS: Limit = Limit::Ratio(0.8);

/// Log threshold of one of 200 equal checks under one false alarm in 28 days of 5-minute panes.
const LOG_THRESHOLD: f64 = 14.293_482;

/// Panes of 5 minutes in 28 days.
const MONTH: usize = 8064;

fn tuning(case: &Value) -> Tuning {
    Tuning { t_opt: case["t_opt"].as_f64().unwrap(), alpha_opt: case["alpha_opt"].as_f64().unwrap() }
}

#[test]
fn confidence_sequences_are_the_published_ones() {
    let Some(golden) = golden("statistics.json") else { return };
    let expected = &golden["confidence_sequence_rate"];
    let mut compared = 0;
    for block in ["published", "computed"] {
        let block = &expected[block];
        let tolerance = block["tol"].as_f64().unwrap();
        for case in block["cases"].as_array().unwrap() {
            let alpha = case.get("alpha").unwrap_or(&block["alpha"]).as_f64().unwrap();
            let tuning = Tuning {
                t_opt: case["t_opt"].as_f64().unwrap(),
                alpha_opt: block["alpha_opt"].as_f64().unwrap(),
            };
            let (n, sum) = (case["n"].as_u64().unwrap(), case["s"].as_f64().unwrap());
            near_interval(sequence::interval(n, sum, alpha, tuning), &case["interval"], tolerance);
            compared += 1;
        }
    }
    assert_eq!(compared, 19);
    for case in expected["log_m_values"].as_array().unwrap() {
        let (p, sum) = (case["p"].as_f64().unwrap(), case["s"].as_f64().unwrap());
        let found = sequence::log_mixture(p, case["n"].as_u64().unwrap(), sum, tuning(case));
        near(found, &case["log_m"], STATISTIC);
    }
}

#[test]
fn verdicts_on_compas_and_adult_are_the_recorded_ones() {
    let mut compared = 0;
    for file in ["fairness_compas.json", "fairness_adult.json"] {
        let Some(golden) = golden(file) else { return };
        for (groups, metrics) in golden["verdicts"]["cases"].as_object().unwrap() {
            for (metric, cases) in metrics.as_object().unwrap() {
                for case in cases.as_array().unwrap() {
                    eprintln!("{file} {groups} {metric} {}", case["alpha"]);
                    is_judged_as_recorded(case);
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, 30);
}

fn is_judged_as_recorded(case: &Value) {
    let names: Vec<&String> = case["groups"].as_object().unwrap().keys().collect();
    let group = |name: &str| &case["groups"][name];
    let rates: Vec<Rate> = names
        .iter()
        .map(|name| Rate { k: group(name)["s"].as_u64().unwrap(), n: group(name)["n"].as_u64().unwrap() })
        .collect();
    let limit = case["limit"].as_f64().unwrap();
    let alpha = case["alpha"].as_f64().unwrap();
    let judged = sequence::judge(&rates, Limit::Ratio(limit), alpha, tuning(case)).unwrap();
    for (name, interval) in names.iter().zip(&judged.intervals) {
        near_interval(Some(*interval), &group(name)["interval"], STATISTIC);
    }
    let verdict = match judged.verdict {
        Verdict::Violation => "violation",
        Verdict::Compliant => "compliant",
        Verdict::Insufficient => "insufficient_evidence",
    };
    assert_eq!(verdict, case["verdict"].as_str().unwrap());
    // The recorded pairs come with the one that breaks the limit by most first.
    let pairs = case["violating_pairs_upper_a_over_lower_b"].as_array().unwrap();
    assert_eq!(pairs.is_empty(), judged.verdict != Verdict::Violation);
    if let Some(pair) = pairs.first() {
        assert_eq!((names[judged.low].as_str(), names[judged.high].as_str()), {
            (pair[0].as_str().unwrap(), pair[1].as_str().unwrap())
        });
        near(
            Some(judged.intervals[judged.low].high / judged.intervals[judged.high].low),
            &pair[2],
            STATISTIC,
        );
    }
}

#[test]
fn equalized_odds_on_compas_are_violated_by_the_false_positive_rate() {
    let Some(golden) = golden("fairness_compas.json") else { return };
    let two = groups(&golden["african_american_vs_caucasian"]["race"]);
    let odds = |limit| sequence::judge_both(&two.tpr, &two.fpr, limit, 0.01, Tuning::default()).unwrap();
    let (verdict, [tpr, fpr]) = odds(FOUR_FIFTHS);
    assert_eq!(verdict, Verdict::Violation);
    assert_eq!((tpr.verdict, fpr.verdict), (Verdict::Insufficient, Verdict::Violation));
    assert_eq!((fpr.low, fpr.high), (1, 0));
    assert_eq!(odds(Limit::Difference(0.1)).0, Verdict::Violation);
    assert_eq!(odds(Limit::Difference(0.2)).0, Verdict::Insufficient);
    assert_eq!(odds(Limit::Difference(0.4)).0, Verdict::Compliant);
}

/// Draws of `k` of `n` at a fixed rate.
struct Draws {
    n: u64,
    binomial: Binomial,
}

impl Draws {
    fn new(n: u64, p: f64) -> Self {
        Self { n, binomial: Binomial::new(n, p).unwrap() }
    }

    fn next(&self, stream: &mut ChaCha8Rng) -> Rate {
        Rate { k: self.binomial.sample(stream), n: self.n }
    }
}

fn stream(seed: u64) -> ChaCha8Rng {
    eprintln!("seed {seed}");
    ChaCha8Rng::seed_from_u64(seed)
}

fn median(mut values: Vec<usize>) -> usize {
    values.sort_unstable();
    values[values.len() / 2]
}

#[test]
fn a_sequence_misses_its_rate_at_any_of_500_looks_no_more_often_than_it_says() {
    const RUNS: usize = 1000;
    let mut stream = stream(1);
    for p in [0.02, 0.1, 0.5] {
        let draws = Draws::new(20, p);
        let mut missed = [0; 2];
        for _ in 0..RUNS {
            let (mut n, mut sum, mut largest) = (0, 0, f64::NEG_INFINITY);
            for _ in 0..500 {
                let Rate { k, n: rows } = draws.next(&mut stream);
                (n, sum) = (n + rows, sum + k);
                largest = largest.max(sequence::log_mixture(p, n, sum as f64, Tuning::default()).unwrap());
            }
            for (missed, alpha) in missed.iter_mut().zip([0.05_f64, 0.01]) {
                *missed += usize::from(largest >= -alpha.ln());
            }
        }
        let share = missed.map(|missed| missed as f64 / RUNS as f64);
        eprintln!("rate {p}: missed {share:?}");
        // Recorded: .030 to .032 and .004 to .006 of 4000 runs.
        assert!((0.015..=0.05).contains(&share[0]), "{p}: {share:?}");
        assert!(share[1] <= 0.012, "{p}: {share:?}");
    }
}

/// Windows until the verdict is a violation, of 150 at most.
fn windows_to_a_violation(ratio: f64, stream: &mut ChaCha8Rng) -> Option<usize> {
    let draws = [Draws::new(100, 0.3 * ratio), Draws::new(100, 0.3)];
    let mut since_start = [Rate::default(); 2];
    (1..=150).find(|_| {
        for (total, draws) in since_start.iter_mut().zip(&draws) {
            let Rate { k, n } = draws.next(stream);
            *total = Rate { k: total.k + k, n: total.n + n };
        }
        let judged = sequence::judge(&since_start, FOUR_FIFTHS, 0.01, Tuning::default()).unwrap();
        judged.verdict == Verdict::Violation
    })
}

#[test]
fn verdicts_find_broken_limits_soon_and_kept_ones_never() {
    let mut stream = stream(2);
    for (ratio, within) in [(0.6, 30), (0.5, 15)] {
        let found = (0..21).map(|_| windows_to_a_violation(ratio, &mut stream).unwrap_or(151)).collect();
        let found = median(found);
        eprintln!("ratio {ratio}: {found} windows");
        assert!(found <= within, "{ratio}: {found}");
    }
    for ratio in [1.0, 0.83] {
        let violations = (0..20).filter(|_| windows_to_a_violation(ratio, &mut stream).is_some()).count();
        assert_eq!(violations, 0, "{ratio}");
    }
}

/// Shiryaev and Roberts' sum of the products since every start, mixed uniformly over components.
struct Detector {
    logs: Vec<f64>,
}

impl Detector {
    fn new() -> Self {
        Self { logs: vec![f64::NEG_INFINITY; pair::components(2).count()] }
    }

    /// Takes one pane; whether the mixture has reached the threshold.
    fn step(&mut self, rates: &[Rate], limit: Limit) -> bool {
        for (log, increment) in self.logs.iter_mut().zip(pair::increments(rates, limit).unwrap()) {
            *log = log.max(0.0) + (-log.abs()).exp().ln_1p() + increment;
        }
        let largest = self.logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = self.logs.iter().map(|log| (log - largest).exp()).sum();
        largest + (sum / self.logs.len() as f64).ln() >= LOG_THRESHOLD
    }

    /// Panes until the alarm, of `most` at most.
    fn run(
        &mut self,
        most: usize,
        draws: &[Draws; 2],
        limit: Limit,
        stream: &mut ChaCha8Rng,
    ) -> Option<usize> {
        (1..=most).find(|_| self.step(&[draws[0].next(stream), draws[1].next(stream)], limit))
    }
}

fn draws(low: f64, high: f64) -> [Draws; 2] {
    [Draws::new(100, low), Draws::new(100, high)]
}

#[test]
fn a_kept_limit_raises_no_alarm_in_a_month() {
    for (low, high, limit) in [
        (0.3, 0.3, FOUR_FIFTHS),
        (0.249, 0.3, FOUR_FIFTHS),
        // On the border itself, where the promise is one alarm in 200 months.
        (0.24, 0.3, FOUR_FIFTHS),
        (0.2, 0.3, Limit::Difference(0.1)),
    ] {
        let draws = draws(low, high);
        for seed in 10..15 {
            let alarm = Detector::new().run(MONTH, &draws, limit, &mut stream(seed));
            assert_eq!(alarm, None, "{low} {high} {limit:?}");
        }
    }
}

#[test]
fn half_the_rate_of_the_other_group_is_found_within_15_windows() {
    for draws in [draws(0.15, 0.3), draws(0.3, 0.15)] {
        let mut stream = stream(3);
        let delays =
            (0..101).map(|_| Detector::new().run(1000, &draws, FOUR_FIFTHS, &mut stream).unwrap()).collect();
        let delay = median(delays);
        eprintln!("median delay {delay}");
        assert!(delay <= 15, "{delay}");
    }
}

#[test]
fn a_fair_month_does_not_hide_a_new_fault() {
    let mut delays = Vec::new();
    for seed in 20..31 {
        let mut stream = stream(seed);
        let mut detector = Detector::new();
        assert_eq!(detector.run(MONTH, &draws(0.3, 0.3), FOUR_FIFTHS, &mut stream), None);
        delays.push(detector.run(1000, &draws(0.15, 0.3), FOUR_FIFTHS, &mut stream).unwrap());
    }
    let delay = median(delays);
    eprintln!("median delay after a month {delay}");
    assert!(delay <= 40, "{delay}");

    // What the detector is for: the verdict since the start would not see it in that time.
    let past = Rate { k: 30 * MONTH as u64, n: 100 * MONTH as u64 };
    let since_start = [
        Rate { k: past.k + 15 * 40, n: past.n + 100 * 40 },
        Rate { k: past.k + 30 * 40, n: past.n + 100 * 40 },
    ];
    let judged = sequence::judge(&since_start, FOUR_FIFTHS, 0.01, Tuning::default()).unwrap();
    assert_eq!(judged.verdict, Verdict::Compliant);
}

#[test]
fn a_limit_on_the_difference_is_watched_as_well() {
    let mut stream = stream(4);
    let draws = draws(0.1, 0.3);
    let delays = (0..101)
        .map(|_| Detector::new().run(1000, &draws, Limit::Difference(0.1), &mut stream).unwrap())
        .collect();
    let delay = median(delays);
    eprintln!("median delay {delay}");
    assert!(delay <= 15, "{delay}");
}
