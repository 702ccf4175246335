//! Calibration on simulated traffic whose wandering is known: what is recovered, and that no detector
//! alarms on more of the same.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution, StandardNormal};

use super::*;
use crate::stats::edetector::{Component, Detector, Reading, Side, histogram, null, rate, threshold};

/// Five-minute panes of a day, of two weeks, of four.
const DAILY: usize = 288;
const TWO_WEEKS: usize = 14 * DAILY;
const FOUR_WEEKS: usize = 28 * DAILY;
const ROWS: u64 = 500;

fn hour(pane: usize) -> usize {
    pane / 12 % WEEK
}

/// A first-order autoregression with mean 0 and standard deviation `sd`.
struct Wandering {
    phi: f64,
    sd: f64,
    at: f64,
}

impl Wandering {
    fn new(phi: f64, sd: f64, rng: &mut impl Rng) -> Self {
        let first: f64 = StandardNormal.sample(rng);
        Self { phi, sd, at: sd * first }
    }

    fn step(&mut self, rng: &mut impl Rng) -> f64 {
        let shock: f64 = StandardNormal.sample(rng);
        self.at = self.phi * self.at + self.sd * (1.0 - self.phi * self.phi).sqrt() * shock;
        self.at
    }
}

fn day_sine(pane: usize, amplitude: f64) -> f64 {
    amplitude * (std::f64::consts::TAU * pane as f64 / DAILY as f64).sin()
}

fn binomial(n: u64, p: f64, rng: &mut impl Rng) -> u64 {
    Binomial::new(n, p.clamp(0.0, 1.0)).unwrap().sample(rng)
}

/// Panes of a rate that wanders around `p` and follows the day.
fn rates(panes: usize, p: f64, (phi, sd): (f64, f64), amplitude: f64, rng: &mut ChaCha8Rng) -> Vec<Pane> {
    let mut wandering = Wandering::new(phi, sd, rng);
    let pane = |t: usize| {
        let rate = p + wandering.step(rng) + day_sine(t, amplitude);
        Pane { n: ROWS as f64, sum: binomial(ROWS, rate, rng) as f64, hour: hour(t) }
    };
    (0..panes).map(pane).collect()
}

fn turned(panes: &[Pane]) -> Vec<Pane> {
    panes.iter().map(|pane| Pane { sum: pane.n - pane.sum, ..*pane }).collect()
}

#[test]
fn sampling_alone_needs_almost_no_tolerance() {
    let mut tolerances = Vec::new();
    for seed in 0..10 {
        let panes = rates(TWO_WEEKS, 0.1, (0.0, 0.0), 0.0, &mut ChaCha8Rng::seed_from_u64(seed));
        let found = estimate(&panes, 0.1, false).unwrap();
        assert!((found.mean - 0.1).abs() < 0.001, "seed {seed}: {found:?}");
        assert_eq!(found.panes, TWO_WEEKS as u64);
        tolerances.push(found.tolerance);
    }
    tolerances.sort_by(f64::total_cmp);
    // The sampling error of one pane is .0134, and three of them would be .04.
    assert!(tolerances[5] < 0.005 && tolerances[9] < 0.012, "{tolerances:?}");
}

#[test]
fn wandering_is_told_from_sampling_and_from_a_cycle() {
    for seed in 0..10 {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let panes = rates(TWO_WEEKS, 0.1, (0.9, 0.01), 0.0, rng);
        let found = estimate(&panes, 0.1, false).unwrap();
        assert!((found.sd / 0.01 - 1.0).abs() < 0.15, "seed {seed}: {found:?}");
        assert!(found.cycle < 0.004, "seed {seed}: {found:?}");
        let hourly = estimate(&panes, 0.1, true).unwrap();
        assert!((hourly.sd / 0.01 - 1.0).abs() < 0.15, "seed {seed}: {hourly:?}");
        let hours = hourly.hourly.unwrap();
        assert!(hours.iter().all(|hour| (0.02..0.045).contains(hour)), "seed {seed}: {hours:?}");
    }
}

#[test]
fn a_daily_cycle_is_found_at_its_peak_also_under_wandering() {
    for seed in 0..10 {
        for (sd, most) in [(0.0, 0.002), (0.01, 0.005)] {
            let rng = &mut ChaCha8Rng::seed_from_u64(seed);
            let panes = rates(TWO_WEEKS, 0.1, (0.9, sd), 0.02, rng);
            let found = estimate(&panes, 0.1, false).unwrap();
            assert!((found.cycle - 0.02).abs() < most, "seed {seed}, sd {sd}: {found:?}");
            assert!((found.sd - sd).abs() < 0.0035, "seed {seed}, sd {sd}: {found:?}");
            let hourly = estimate(&panes, 0.1, true).unwrap();
            let hours = hourly.hourly.unwrap();
            let at = |pane: usize| hours[hour(pane)] - SPREAD * hourly.sd;
            let (peak, trough) = (at(DAILY / 4), at(3 * DAILY / 4));
            assert!((peak - 0.02).abs() < 0.008 + 2.0 * most, "seed {seed}, sd {sd}: {peak}");
            assert!((trough + 0.02).abs() < 0.008 + 2.0 * most, "seed {seed}, sd {sd}: {trough}");
        }
    }
}

#[test]
fn what_the_bound_already_allows_is_no_cycle() {
    let panes = rates(TWO_WEEKS, 0.1, (0.0, 0.0), 0.02, &mut ChaCha8Rng::seed_from_u64(1));
    let found = estimate(&panes, 0.115, false).unwrap();
    assert!((found.cycle - 0.005).abs() < 0.001, "{found:?}");
    assert_eq!(estimate(&panes, 0.13, false).unwrap().cycle, 0.0);
    // Seen from below the trough counts.
    let below = estimate(&turned(&panes), 0.9, false).unwrap();
    assert!((below.cycle - 0.02).abs() < 0.001 && (below.mean - 0.9).abs() < 0.001, "{below:?}");
}

#[test]
fn small_panes_do_not_look_like_wandering() {
    let rng = &mut ChaCha8Rng::seed_from_u64(3);
    let panes: Vec<Pane> = (0..TWO_WEEKS)
        .map(|t| {
            let n = [3, 40, 2_000][t % 3];
            Pane { n: n as f64, sum: binomial(n, 0.1, rng) as f64, hour: hour(t) }
        })
        .collect();
    let found = estimate(&panes, 0.1, false).unwrap();
    assert!(found.tolerance < 0.008, "{found:?}");
    let mut wandering = Wandering::new(0.9, 0.01, rng);
    let wandered: Vec<Pane> = panes
        .iter()
        .map(|pane| {
            let rate = 0.1 + wandering.step(rng);
            Pane { sum: binomial(pane.n as u64, rate, rng) as f64, ..*pane }
        })
        .collect();
    let found = estimate(&wandered, 0.1, false).unwrap();
    assert!((found.sd / 0.01 - 1.0).abs() < 0.2, "{found:?}");
}

#[test]
fn a_mean_of_values_with_little_spread_of_their_own_keeps_its_wandering() {
    let rng = &mut ChaCha8Rng::seed_from_u64(4);
    let mut wandering = Wandering::new(0.9, 0.01, rng);
    let mean = |t: usize| Pane { n: 500.0, sum: 500.0 * (0.3 + wandering.step(rng)), hour: hour(t) };
    let panes: Vec<Pane> = (0..TWO_WEEKS).map(mean).collect();
    let found = estimate_for(Sampling::Values, &panes, 0.3, false).unwrap();
    assert!((found.sd / 0.01 - 1.0).abs() < 0.15, "{found:?}");
    // Held for outcomes, sampling would explain it all away.
    assert_eq!(estimate(&panes, 0.3, false).unwrap().sd, 0.0);
}

#[test]
fn one_day_gives_the_plain_mean_and_hours_without_rows_the_worst_tolerance() {
    let rng = &mut ChaCha8Rng::seed_from_u64(5);
    let panes = rates(DAILY, 0.1, (0.0, 0.0), 0.02, rng);
    let found = estimate(&panes, 0.09, false).unwrap();
    assert!((found.cycle - 0.01).abs() < 0.003, "{found:?}");
    // The cycle is then part of the wandering: its standard deviation is the amplitude over root 2.
    assert!((found.sd - 0.0141).abs() < 0.003, "{found:?}");

    let weekdays: Vec<Pane> =
        rates(TWO_WEEKS, 0.1, (0.0, 0.0), 0.02, rng).into_iter().filter(|pane| pane.hour < 120).collect();
    let found = estimate(&weekdays, 0.1, true).unwrap();
    let hourly = found.hourly.unwrap();
    assert!(hourly[120..].iter().all(|value| *value == found.tolerance), "{hourly:?}");
    assert_eq!(hourly.len(), WEEK);
}

#[test]
fn nothing_is_estimated_from_nothing() {
    let pane = Pane { n: 10.0, sum: 3.0, hour: 0 };
    assert_eq!(estimate(&[], 0.1, false), None);
    assert_eq!(estimate(&[pane, Pane { n: 0.0, sum: 0.0, hour: 1 }], 0.1, false), None);
    assert_eq!(estimate(&[pane, pane], f64::NAN, false), None);
    assert_eq!(estimate(&[pane, Pane { sum: 11.0, ..pane }], 0.1, false), None);
    assert_eq!(estimate(&[pane, Pane { hour: WEEK, ..pane }], 0.1, false), None);
    let found = estimate(&[pane, pane], 0.1, true).unwrap();
    assert!(found.sd >= 0.0 && found.tolerance.is_finite(), "{found:?}");
    for sum in [0.0, 10.0] {
        let found = estimate(&[Pane { sum, ..pane }; 300], 0.5, true).unwrap();
        assert!(found.mean == sum / 10.0 && found.sd == 0.0, "{found:?}");
    }
}

/// Alarms of one detector over `panes`, each with the readings of all components.
fn alarms(components: &[Component], panes: impl Iterator<Item = Vec<Reading>>) -> usize {
    let limit = threshold(FOUR_WEEKS as f64, 1.0 / 200.0).ln();
    let mut detector = Detector::of(components);
    let mut alarms = 0;
    for (t, readings) in panes.enumerate() {
        detector.step(components, &readings, hour(t));
        if detector.log_e() >= limit {
            alarms += 1;
            detector.reset();
        }
    }
    alarms
}

/// Alarms in four weeks of a rate after calibration on two clean ones, with a reference so large
/// that only the tolerance keeps them away.
fn alarms_of_a_rate(seed: u64, wandering: (f64, f64), amplitude: f64, hourly: bool, tolerant: bool) -> usize {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let clean = rates(TWO_WEEKS, 0.1, wandering, amplitude, rng);
    let ends = null::rate_ends(100_000, 1_000_000, 5e-5).unwrap();
    let side = |side, end: f64| {
        let (panes, bound) = match side {
            Side::Above => (clean.clone(), end),
            Side::Below => (turned(&clean), 1.0 - end),
        };
        let found = estimate(&panes, bound, hourly).unwrap();
        let mut allowed = rate::Allowed { reference: Some(end), ..rate::Allowed::default() };
        if tolerant {
            (allowed.tolerance, allowed.hourly) = (found.tolerance, found.hourly);
        }
        rate::component(side, &allowed).unwrap()
    };
    let components = [side(Side::Above, ends.high), side(Side::Below, ends.low)];
    let later = rates(FOUR_WEEKS, 0.1, wandering, amplitude, rng);
    let reading = |pane: &Pane| {
        let reading = Reading { n: pane.n, sum: pane.sum };
        vec![reading, reading.turned()]
    };
    alarms(&components, later.iter().map(reading))
}

#[test]
fn a_calibrated_rate_raises_no_alarm_in_four_weeks_like_those_it_was_calibrated_on() {
    for (wandering, amplitude) in
        [((0.0, 0.0), 0.0), ((0.9, 0.01), 0.0), ((0.0, 0.0), 0.02), ((0.9, 0.01), 0.02)]
    {
        for seed in 0..10 {
            for hourly in [false, true] {
                let found = alarms_of_a_rate(seed, wandering, amplitude, hourly, true);
                assert_eq!(found, 0, "seed {seed}, {wandering:?}, day {amplitude}, hourly {hourly}");
            }
        }
        if amplitude > 0.0 || wandering.1 > 0.0 {
            let without = alarms_of_a_rate(0, wandering, amplitude, false, false);
            assert!(without > 10, "{wandering:?}, day {amplitude}: only {without} without a tolerance");
        }
    }
}

/// Counts of ten cells whose shares wander, each by itself.
fn histograms(panes: usize, sd: f64, rng: &mut ChaCha8Rng) -> Vec<Vec<u64>> {
    let mut wandering: Vec<Wandering> = (0..10).map(|_| Wandering::new(0.9, sd, rng)).collect();
    let pane = |_| {
        let raw: Vec<f64> = wandering.iter_mut().map(|cell| (0.1 + cell.step(rng)).max(0.0)).collect();
        let total: f64 = raw.iter().sum();
        let (mut left, mut share) = (ROWS, 1.0);
        raw.iter()
            .map(|raw| {
                let p = raw / total;
                let count = binomial(left, (p / share).min(1.0), rng);
                left -= count;
                share = (share - p).max(f64::MIN_POSITIVE);
                count
            })
            .collect()
    };
    (0..panes).map(pane).collect()
}

#[test]
fn a_calibrated_histogram_whose_shares_wander_raises_no_alarm() {
    for seed in 0..3 {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let clean = histograms(TWO_WEEKS, 0.01, rng);
        let reference = [100_000_u64; 10];
        let bare = histogram::components(&reference, true, 5e-5, |_, _| histogram::Extra::default());
        let mut readings = Vec::new();
        let mut panes = vec![Vec::new(); bare.len()];
        for (t, counts) in clean.iter().enumerate() {
            histogram::readings(&bare, counts, &mut readings);
            for (panes, reading) in panes.iter_mut().zip(&readings) {
                panes.push(Pane { n: reading.n, sum: reading.sum, hour: hour(t) });
            }
        }
        let find = |part, side| {
            let at =
                bare.iter().position(|component| (component.part, component.side) == (part, side)).unwrap();
            let found = estimate(&panes[at], bare[at].null, false).unwrap();
            histogram::Extra { tolerance: found.tolerance, hourly: found.hourly }
        };
        let calibrated = histogram::components(&reference, true, 5e-5, find);
        assert_eq!(calibrated.len(), 38);
        let later = histograms(FOUR_WEEKS, 0.01, rng);
        let read = |counts: &Vec<u64>| {
            let mut readings = Vec::new();
            histogram::readings(&bare, counts, &mut readings);
            readings
        };
        assert_eq!(alarms(&calibrated, later.iter().map(read)), 0, "seed {seed}");
        assert!(alarms(&bare, later.iter().take(500).map(read)) > 5, "seed {seed}");
    }
}

#[test]
fn the_result_is_a_function_of_the_panes() {
    let rng = &mut ChaCha8Rng::seed_from_u64(9);
    let mut panes = rates(TWO_WEEKS, 0.1, (0.9, 0.01), 0.02, rng);
    for pane in &mut panes {
        if rng.random::<f64>() < 0.05 {
            (pane.n, pane.sum) = (0.0, 0.0);
        }
    }
    let first = estimate(&panes, 0.1, true);
    assert_eq!(first, estimate(&panes, 0.1, true));
    // Panes without a row say nothing.
    panes.retain(|pane| pane.n > 0.0);
    assert_eq!(first, estimate(&panes, 0.1, true));
}
