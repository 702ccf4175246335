//! Promises about chance, held against draws of a fixed stream: coverage of intervals, levels under
//! no change, rates of false alarms.

use crate::support::Stream;
use plimsoll::stats::divergence as d;
use plimsoll::stats::fairness::Rate;
use plimsoll::stats::{ecdf, fairness, special};

impl Stream {
    fn multinomial(&mut self, n: u64, shares: &[f64]) -> Vec<u64> {
        let mut below = 0.0;
        let ends: Vec<f64> = shares
            .iter()
            .map(|share| {
                below += share;
                below
            })
            .collect();
        let mut cells = vec![0; shares.len()];
        for _ in 0..n {
            let u = self.uniform();
            cells[ends.partition_point(|end| *end <= u).min(shares.len() - 1)] += 1;
        }
        cells
    }
}

/// Shares of a normal variable moved by `shift` on the deciles of the standard normal one.
fn shifted_deciles(shift: f64) -> Vec<f64> {
    let edge = |i: usize| -special::normal_quantile_upper(i as f64 / 10.0).unwrap();
    let below: Vec<f64> = (1..10).map(|i| special::normal_cdf(edge(i) - shift)).collect();
    (0..10).map(|i| below.get(i).copied().unwrap_or(1.0) - if i == 0 { 0.0 } else { below[i - 1] }).collect()
}

#[test]
fn intervals_cover_the_population_value_with_and_without_drift() {
    const DRAWS: u32 = 1000;
    let p = vec![0.1; 10];
    let mut stream = Stream(1);
    for (n, m) in [(200, 200), (1000, 5000), (4000, 4000)] {
        for shift in [0.0, 0.1, 0.3, 1.0, 1.5] {
            let q = shifted_deciles(shift);
            let pairs = || p.iter().zip(&q);
            let psi: f64 = pairs().map(|(p, q)| (q - p) * (q / p).ln()).sum();
            let js = pairs()
                .map(|(p, q)| 0.5 * p * (2.0 * p / (p + q)).ln() + 0.5 * q * (2.0 * q / (p + q)).ln())
                .sum::<f64>()
                .max(0.0)
                .sqrt();
            let hellinger = (0.5 * pairs().map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2)).sum::<f64>()).sqrt();
            let tv: f64 = 0.5 * pairs().map(|(p, q)| (p - q).abs()).sum::<f64>();
            let (rows, effective) = ((n + m) as f64, (n * m) as f64 / (n + m) as f64);
            let chi = pairs()
                .map(|(p, q)| effective * (q - p).powi(2) / ((p * m as f64 + q * n as f64) / rows))
                .sum();
            let mut covered = [0; 5];
            for _ in 0..DRAWS {
                let (r, c) = (stream.multinomial(m, &p), stream.multinomial(n, &q));
                let found = [
                    (d::psi_interval(&r, &c, 0.95), psi),
                    (d::jensen_shannon_interval(&r, &c, 0.95), js),
                    (d::hellinger_interval(&r, &c, 0.95), hellinger),
                    (d::chi_squared_interval(&r, &c, 0.95), chi),
                    (d::total_variation_interval(&r, &c, 0.95), tv),
                ];
                for (covered, (interval, value)) in covered.iter_mut().zip(found) {
                    *covered += u32::from(interval.unwrap().contains(value));
                }
            }
            let shares = covered.map(|count| f64::from(count) / f64::from(DRAWS));
            eprintln!("n={n} m={m} shift={shift}: psi js hellinger chi2 tv {shares:?}");
            assert!(shares.iter().all(|share| *share >= 0.93), "n={n} m={m} shift={shift}: {shares:?}");
        }
    }
}

#[test]
fn without_drift_every_statistic_averages_its_expected_level() {
    const DRAWS: u32 = 2000;
    let (n, m) = (1000, 10_000);
    let edges: Vec<f64> = (1..10).map(f64::from).collect();
    let p = vec![0.1; 10];
    let mut stream = Stream(2);
    let mut sums = [0.0; 7];
    let mut expected = [0.0; 7];
    for _ in 0..DRAWS {
        let (r, c) = (stream.multinomial(m, &p), stream.multinomial(n, &p));
        let found = [
            d::psi(&r, &c),
            d::jensen_shannon_distance(&r, &c),
            d::hellinger(&r, &c),
            d::total_variation(&r, &c),
            d::chi_squared(&r, &c).map(|chi| chi.statistic),
            ecdf::wasserstein_binned(&edges, &r, &c),
            ecdf::ks_binned(&r, &c),
        ];
        let levels = [
            d::psi_null_mean(10, n, m),
            d::jensen_shannon_expected(10, n, m),
            d::hellinger_expected(10, n, m),
            d::total_variation_expected(&r, &c),
            d::chi_squared_expected(&r, &c),
            ecdf::wasserstein_expected(&edges, &r, &c),
            ecdf::ks_expected(n, m),
        ];
        for i in 0..sums.len() {
            sums[i] += found[i].unwrap() / f64::from(DRAWS);
            expected[i] += levels[i].unwrap() / f64::from(DRAWS);
        }
    }
    eprintln!("mean {sums:?}\nexpected {expected:?}");
    assert!((sums[0] - 0.0099).abs() < 0.0003);
    for i in 0..6 {
        assert!((sums[i] / expected[i] - 1.0).abs() < 0.03, "statistic {i}");
    }
    // Ten cells miss part of the Kolmogorov-Smirnov distance, never add to it.
    assert!(sums[6] < expected[6] && sums[6] > 0.75 * expected[6]);
}

#[test]
fn without_drift_one_psi_in_a_hundred_has_a_p_value_below_one_percent() {
    const DRAWS: u32 = 20_000;
    let p = vec![0.1; 10];
    let mut stream = Stream(3);
    let mut below = 0;
    for _ in 0..DRAWS {
        let (r, c) = (stream.multinomial(1000, &p), stream.multinomial(100, &p));
        let p_value = d::psi_p_value(d::psi(&r, &c).unwrap(), 10, 100, 1000).unwrap();
        below += u32::from(p_value < 0.01);
    }
    let share = f64::from(below) / f64::from(DRAWS);
    assert!((0.008..=0.012).contains(&share), "{share}");
}

#[test]
fn intervals_between_groups_cover_however_small_the_groups() {
    const DRAWS: u32 = 1000;
    let mut stream = Stream(4);
    let mut binomial = |n: u64, share: f64| (0..n).filter(|_| stream.uniform() < share).count() as u64;
    let cases = [
        vec![(40, 0.3), (40, 0.3)],
        vec![(500, 0.6), (300, 0.35), (5, 0.5), (18, 0.4), (60, 0.2), (100, 0.3)],
        vec![(20, 0.2); 12],
    ];
    for groups in cases {
        let shares = || groups.iter().map(|&(_, share)| share);
        let (largest, smallest) = (shares().fold(0.0, f64::max), shares().fold(1.0, f64::min));
        let mut covered = [0, 0];
        let mut defined = 0;
        let (mut mean, mut expected) = (0.0, 0.0);
        for _ in 0..DRAWS {
            let rates: Vec<Rate> =
                groups.iter().map(|&(n, share)| Rate { k: binomial(n, share), n }).collect();
            let difference = fairness::difference(&rates, 0.9).unwrap();
            covered[0] += u32::from(difference.interval.contains(largest - smallest));
            mean += difference.value;
            expected += fairness::difference_expected(&rates).unwrap();
            if let Some(ratio) = fairness::ratio(&rates, 0.9) {
                defined += 1;
                covered[1] += u32::from(ratio.interval.contains(smallest / largest));
            }
        }
        assert!(f64::from(covered[0]) >= 0.9 * f64::from(DRAWS), "{groups:?} {covered:?}");
        assert!(f64::from(covered[1]) >= 0.9 * f64::from(defined), "{groups:?} {covered:?}");
        if largest == smallest {
            assert!((mean / expected - 1.0).abs() < 0.1, "{groups:?}: {mean} {expected}");
        }
    }
}
