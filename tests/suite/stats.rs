//! The statistics against numbers that other libraries computed, against properties that must hold
//! for any counts, and, where a promise is about chance, against simulation with a fixed seed.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;

use plimsoll::stats::divergence as d;
use plimsoll::stats::{Interval, fairness::Rate, performance::CalibrationBin, performance::Confusion};
use plimsoll::stats::{ecdf, fairness, interval, performance, quantile, special};
use proptest::prelude::*;
use serde_json::Value;

use super::support::shared;

/// Statistics are compared to 1e-9, p-values and quantiles to 1e-8, fairness rates to 1e-12.
const STATISTIC: f64 = 1e-9;
const PROBABILITY: f64 = 1e-8;
const RATE: f64 = 1e-12;

fn golden(file: &str) -> Option<Value> {
    let text = fs::read_to_string(shared(&format!("golden/{file}"))?).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[track_caller]
fn near(found: Option<f64>, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().expect("a golden number");
    let found = found.expect("a defined value");
    assert!((found - expected).abs() <= tolerance, "found {found}, expected {expected}");
}

#[track_caller]
fn near_interval(found: Option<Interval>, expected: &Value, tolerance: f64) {
    near(found.map(|interval| interval.low), &expected[0], tolerance);
    near(found.map(|interval| interval.high), &expected[1], tolerance);
}

#[test]
fn divergences_are_those_of_scipy() {
    let Some(golden) = golden("statistics.json") else { return };
    let raw = &golden["counts"];
    let (r, c) = (counts(&raw["ref"]), counts(&raw["cur"]));
    near(d::psi_unsmoothed(&r, &c), &raw["psi"], STATISTIC);
    near(d::kl(&r, &c), &raw["kl_ref_cur_nats"], STATISTIC);
    near(d::kl(&c, &r), &raw["kl_cur_ref_nats"], STATISTIC);
    near(d::jensen_shannon_distance_base2(&r, &c), &raw["js_distance_base_2"], STATISTIC);
    near(d::total_variation(&r, &c), &raw["tvd"], STATISTIC);
    let chi = d::chi_squared(&r, &c).unwrap();
    near(Some(chi.statistic), &raw["chi2_contingency"]["stat"], STATISTIC);
    near(Some(chi.p_value), &raw["chi2_contingency"]["p"], PROBABILITY);
    assert_eq!(chi.dof, raw["chi2_contingency"]["dof"].as_u64().unwrap());
    near(
        d::psi_p_value(raw["psi"].as_f64().unwrap(), r.len(), 88, 88),
        &raw["psi_null"]["p_chi2_dof5"],
        PROBABILITY,
    );

    for case in golden["counts_smoothed_half"]["cases"].as_array().unwrap() {
        let (r, c) = (counts(&case["ref"]), counts(&case["cur"]));
        let (n, m) = (case["n_cur"].as_u64().unwrap(), case["n_ref"].as_u64().unwrap());
        let psi = d::psi(&r, &c);
        let mean = d::psi_null_mean(r.len(), n, m).unwrap();
        near(psi, &case["psi"], STATISTIC);
        near(Some(mean), &case["psi_null_mean"], STATISTIC);
        near(psi.map(|psi| psi - mean), &case["psi_debiased"], STATISTIC);
        near(d::psi_p_value(psi.unwrap(), r.len(), n, m), &case["psi_p_chi2"], PROBABILITY);
        near(d::jensen_shannon_distance(&r, &c), &case["js_distance_base_e"], STATISTIC);
        near(d::hellinger(&r, &c), &case["hellinger"], STATISTIC);
        let critical = special::chi_squared_quantile_upper(0.01, case["dof"].as_f64().unwrap()).unwrap();
        near(Some(critical * (1.0 / n as f64 + 1.0 / m as f64)), &case["psi_critical_1pct"], PROBABILITY);
    }

    for case in golden["counts_zero_cell"]["cases"].as_array().unwrap() {
        let (r, c) = (counts(&case["ref"]), counts(&case["cur"]));
        near(d::psi(&r, &c), &case["half_count"]["psi"], STATISTIC);
        let chi = d::chi_squared(&r, &c).unwrap();
        near(Some(chi.statistic), &case["chi2_contingency"]["stat"], STATISTIC);
        near(Some(chi.p_value), &case["chi2_contingency"]["p"], PROBABILITY);
    }
}

#[test]
fn tails_and_quantiles_are_those_of_scipy() {
    let Some(golden) = golden("statistics.json") else { return };
    let functions = &golden["special_functions"];
    let relative = functions["tol_relative"].as_f64().unwrap();
    let each = |name: &str, of: &dyn Fn(&Value) -> Option<f64>| {
        for case in functions[name].as_array().unwrap() {
            let expected = case["value"].as_f64().unwrap();
            near(of(case), &case["value"], relative * expected.abs());
        }
    };
    let of = |case: &Value, key: &str| case[key].as_f64().unwrap();
    each("chi2_sf", &|case| special::chi_squared_sf(of(case, "x"), of(case, "dof")));
    each("chi2_ppf", &|case| special::chi_squared_quantile_upper(1.0 - of(case, "p"), of(case, "dof")));
    each("normal_ppf", &|case| special::normal_quantile_upper(of(case, "p")).map(|z| -z));
    each("kolmogorov_sf", &|case| Some(special::kolmogorov_sf(of(case, "x"))));
    // scipy's beta.ppf is reached through the Clopper-Pearson ends, which are its integer cases.
    for case in golden["clopper_pearson_reference_bounds"]["cases"].as_array().unwrap() {
        let (k, m) = (case["k"].as_u64().unwrap(), case["m"].as_u64().unwrap());
        let tail = case["a"].as_f64().unwrap();
        near(interval::lower_bound(k, m, tail), &case["bounds"][0], STATISTIC);
        near(interval::upper_bound(k, m, tail), &case["bounds"][1], STATISTIC);
    }
}

#[test]
fn intervals_are_those_of_statsmodels() {
    let Some(golden) = golden("statistics.json") else { return };
    let expected = &golden["proportion_intervals"];
    let single = &expected["single_48_of_100"];
    near_interval(interval::wilson(48, 100, 0.95), &single["wilson"], PROBABILITY);
    near_interval(interval::clopper_pearson(48, 100, 0.95), &single["clopper_pearson"], PROBABILITY);
    let newcombe = interval::newcombe_difference(48, 100, 30, 90, 0.95);
    near_interval(newcombe, &expected["difference_48_of_100_minus_30_of_90"]["newcombe"], PROBABILITY);
    let ratio = &expected["ratio_48_of_100_over_30_of_90"];
    near_interval(interval::log_ratio(48, 100, 30, 90, 0.95), &ratio["log"], PROBABILITY);
    near_interval(interval::log_ratio_adjusted(48, 100, 30, 90, 0.95), &ratio["log_adjusted"], PROBABILITY);
}

/// Counts of each column on deciles, or per category, with what is expected of them.
fn drift_columns(golden: &Value) -> Vec<(String, &Value, Vec<u64>, Vec<u64>)> {
    let mut columns = Vec::new();
    for (set, content) in golden["sets"].as_object().unwrap() {
        for (column, blocks) in content["columns"].as_object().unwrap() {
            let native = &blocks["native"];
            let block = native.get("deciles").unwrap_or(native);
            let (r, c) = (counts(&block["ref_counts"]), counts(&block["cur_counts"]));
            columns.push((format!("{set}.{column}"), blocks, r, c));
        }
    }
    columns
}

#[test]
fn drift_on_real_counts_has_the_recorded_values() {
    let Some(golden) = golden("drift.json") else { return };
    let columns = drift_columns(&golden);
    assert_eq!(columns.len(), 21);
    for (name, blocks, r, c) in &columns {
        eprintln!("{name}");
        let native = &blocks["native"];
        let block = native.get("deciles").unwrap_or(native);
        let (n, m) = (c.iter().sum(), r.iter().sum());
        let psi = d::psi(r, c).unwrap();
        near(Some(psi), &block["psi_half_count"], STATISTIC);
        near(d::psi_null_mean(r.len(), n, m), &block["psi_null_mean"], STATISTIC);
        near(d::psi_p_value(psi, r.len(), n, m), &block["psi_p_chi2"], PROBABILITY);
        if native.get("deciles").is_some() {
            near(d::jensen_shannon_distance(r, c), &block["js_distance_base_e_half_count"], STATISTIC);
            near(d::hellinger(r, c), &block["hellinger_half_count"], STATISTIC);
            near(d::total_variation(r, c), &block["tvd_raw"], STATISTIC);
            let fine = &native["fine64"];
            let (r, c) = (counts(&fine["ref_counts"]), counts(&fine["cur_counts"]));
            near(ecdf::ks_binned(&r, &c), &fine["ks_binned_lower"], STATISTIC);
            near(ecdf::ks_upper_bound(&r, &c), &fine["ks_upper_bound"], STATISTIC);
            // The distance of the raw values lies between the two.
            let exact = blocks["scipy"]["ks_stat"].as_f64().unwrap();
            assert!(ecdf::ks_binned(&r, &c).unwrap() <= exact + STATISTIC);
            assert!(ecdf::ks_upper_bound(&r, &c).unwrap() >= exact - STATISTIC);
            // scipy's p-value is Kolmogorov's at a finite size; the limit is near it.
            near(ecdf::ks_p_value(exact, n, m), &blocks["scipy"]["ks_p"], 0.01);
        } else {
            let scipy = &blocks["scipy"];
            near(d::jensen_shannon_distance_base2(r, c), &scipy["js_distance_base2"], STATISTIC);
            near(d::total_variation(r, c), &scipy["tvd"], STATISTIC);
            let chi = d::chi_squared(r, c).unwrap();
            let statistic = scipy["chi2_contingency"].as_f64().unwrap();
            near(Some(chi.statistic), &scipy["chi2_contingency"], STATISTIC * statistic);
            near(Some(chi.p_value), &scipy["chi2_p"], PROBABILITY);
            assert_eq!(chi.dof, scipy["dof"].as_u64().unwrap());
        }
    }

    for (_, column) in golden["elec_constant_reference_three_cells"]["columns"].as_object().unwrap() {
        let (r, c) = (counts(&column["ref_counts"]), counts(&column["cur_counts"]));
        near(d::psi(&r, &c), &column["psi_half_count"], STATISTIC);
        near(ecdf::ks_binned(&r, &c), &column["ks_three_cells"], STATISTIC);
    }
}

/// Columns of a CSV file of numbers.
fn csv(file: &str) -> Option<impl Fn(&str) -> Vec<f64>> {
    let text = fs::read_to_string(shared(&format!("data/{file}"))?).unwrap();
    Some(move |column: &str| {
        let mut lines = text.lines();
        let at = lines.next().unwrap().split(',').position(|name| name == column).unwrap();
        lines.map(|line| line.split(',').nth(at).unwrap().parse().unwrap()).collect()
    })
}

fn count_cells(edges: &[f64], values: &[f64]) -> Vec<u64> {
    let mut cells = vec![0; edges.len() + 1];
    for value in values {
        cells[edges.partition_point(|edge| edge <= value)] += 1;
    }
    cells
}

#[test]
fn edges_and_wasserstein_distances_of_real_columns_are_those_recorded() {
    let Some(golden) = golden("drift.json") else { return };
    let (Some(elec), Some(reference), Some(analysis)) =
        (csv("elec.csv"), csv("california_housing_reference.csv"), csv("california_housing_analysis.csv"))
    else {
        return;
    };
    for set in ["elec", "california_housing"] {
        for (column, blocks) in golden["sets"][set]["columns"].as_object().unwrap() {
            eprintln!("{set}.{column}");
            let (r, c) = if set == "elec" {
                let values = elec(column);
                (values[..15_000].to_vec(), values[15_000..30_000].to_vec())
            } else {
                (reference(column), analysis(column))
            };
            let mut sorted = r.clone();
            sorted.sort_by(f64::total_cmp);
            for (denominator, block) in [(10, "deciles"), (64, "fine64")] {
                let edges = quantile::unique_quantile_edges(&sorted, &[denominator]);
                let native = &blocks["native"][block];
                assert_eq!(count_cells(&edges, &r), counts(&native["ref_counts"]));
                assert_eq!(count_cells(&edges, &c), counts(&native["cur_counts"]));
                if block == "deciles" {
                    for (edge, expected) in edges.iter().zip(numbers(&blocks["scipy"]["ref_deciles"])) {
                        assert!((edge - expected).abs() <= 1e-12 * expected.abs(), "{edge} {expected}");
                    }
                } else {
                    let (r, c) = (counts(&native["ref_counts"]), counts(&native["cur_counts"]));
                    let found = ecdf::wasserstein_binned(&edges, &r, &c);
                    let expected = native["w1_inner"].as_f64().unwrap();
                    near(found, &native["w1_inner"], STATISTIC * expected.max(1.0));
                }
            }
        }
    }
}

/// Rates of every group of an attribute, by the counts of its confusion matrix.
struct Groups {
    selection: Vec<Rate>,
    tpr: Vec<Rate>,
    fpr: Vec<Rate>,
}

fn groups(attribute: &Value) -> Groups {
    let mut groups = Groups { selection: vec![], tpr: vec![], fpr: vec![] };
    for group in attribute["by_group"].as_object().unwrap().values() {
        let of = |key: &str| group[key].as_u64().unwrap();
        let (tp, fp, tn, fn_) = (of("tp"), of("fp"), of("tn"), of("fn"));
        groups.selection.push(Rate { k: tp + fp, n: tp + fp + tn + fn_ });
        groups.tpr.push(Rate { k: tp, n: tp + fn_ });
        groups.fpr.push(Rate { k: fp, n: fp + tn });
        let confusion = Confusion { tp, fp, tn, fn_ };
        near(groups.selection.last().unwrap().value(), &group["selection_rate"], RATE);
        near(confusion.recall(), &group["tpr"], RATE);
        near(confusion.specificity(), &group["tnr"], RATE);
        near(confusion.precision(), &group["precision"], RATE);
    }
    groups
}

#[test]
fn fairness_from_counts_is_that_of_fairlearn() {
    let (Some(compas), Some(adult)) = (golden("fairness_compas.json"), golden("fairness_adult.json")) else {
        return;
    };
    let attributes = [
        &compas["all"]["race"],
        &compas["all"]["sex"],
        &compas["african_american_vs_caucasian"]["race"],
        &compas["propublica_filter"]["race"],
        &compas["propublica_filter"]["sex"],
        &adult["model"]["sex"],
        &adult["model"]["race"],
        &adult["label_base_rate_full_file"]["sex"],
        &adult["label_base_rate_full_file"]["race"],
    ];
    for expected in attributes {
        let Groups { selection, tpr, fpr } = groups(expected);
        let value = |compared: Option<fairness::Compared>| {
            let compared = compared.expect("at least two groups");
            assert!(compared.interval.contains(compared.value));
            Some(compared.value)
        };
        let parity = fairness::difference(&selection, 0.95);
        near(value(parity), &expected["demographic_parity_difference"], RATE);
        near(value(fairness::ratio(&selection, 0.95)), &expected["demographic_parity_ratio"], RATE);
        near(value(fairness::difference(&tpr, 0.95)), &expected["equal_opportunity_difference"], RATE);
        near(value(fairness::difference(&fpr, 0.95)), &expected["fpr_difference"], RATE);
        let odds = fairness::equalized_odds_difference(&tpr, &fpr, 0.95);
        near(value(odds), &expected["equalized_odds_difference"], RATE);
        // Where no group has a false positive, the ratio of false positive rates is not defined.
        if let Some(odds) = fairness::equalized_odds_ratio(&tpr, &fpr, 0.95) {
            near(Some(odds.value), &expected["equalized_odds_ratio"], RATE);
        } else {
            assert!(fpr.iter().all(|rate| rate.k == 0));
        }
    }
}

#[test]
fn a_tiny_group_widens_an_interval_and_does_not_decide() {
    // COMPAS, selection rates of all six groups and of the two large ones.
    let rate = |k, n| Rate { k, n };
    let six = [rate(2174, 3696), rate(8, 32), rate(854, 2454), rate(190, 637), rate(12, 18), rate(79, 377)];
    let all = fairness::difference(&six, 0.99).unwrap();
    assert_eq!((all.high, all.low), (4, 5));
    let large = fairness::difference(&[six[0], six[2]], 0.99).unwrap();
    assert!(all.interval.high - all.interval.low > 0.5, "{all:?}");
    assert!(large.interval.high - large.interval.low < 0.16, "{large:?}");
    // The lower end comes from large groups: 0.588 of 3696 against 0.210 of 377.
    assert!(all.interval.low > 0.25 && all.interval.low < 0.378, "{all:?}");
    // The four-fifths limit is broken whatever the tiny groups are.
    assert!(fairness::ratio(&six, 0.99).unwrap().interval.high < 0.8);
}

#[test]
fn small_fairness_vector_and_performance_are_those_of_the_libraries() {
    let (Some(small), Some(adult)) = (golden("statistics.json"), golden("fairness_adult.json")) else {
        return;
    };
    let small = &small["fairness_small"];
    let rate = |k, n| Rate { k, n };
    let (selection, tpr) = ([rate(4, 8), rate(3, 8), rate(3, 8)], [rate(3, 4), rate(2, 4), rate(2, 4)]);
    let fpr = [rate(1, 4); 3];
    let value = |compared: Option<fairness::Compared>| compared.map(|compared| compared.value);
    near(value(fairness::difference(&selection, 0.9)), &small["demographic_parity_difference"], RATE);
    near(value(fairness::ratio(&selection, 0.9)), &small["demographic_parity_ratio"], RATE);
    near(value(fairness::ratio(&tpr, 0.9)), &small["equal_opportunity_ratio"], RATE);
    near(
        value(fairness::equalized_odds_difference(&tpr, &fpr, 0.9)),
        &small["equalized_odds_difference"],
        RATE,
    );
    near(value(fairness::equalized_odds_ratio(&tpr, &fpr, 0.9)), &small["equalized_odds_ratio"], RATE);

    let expected = &adult["performance"];
    let confusion = Confusion { tp: 2365, fp: 834, tn: 11_503, fn_: 1579 };
    assert_eq!(confusion.n(), expected["n"].as_u64().unwrap());
    near(confusion.accuracy(), &expected["accuracy"], STATISTIC);
    near(confusion.precision(), &expected["precision"], STATISTIC);
    near(confusion.recall(), &expected["recall"], STATISTIC);
    near(confusion.f1(), &expected["f1"], STATISTIC);
    near(confusion.specificity(), &expected["specificity"], STATISTIC);
    assert!(confusion.f1_interval(0.95).unwrap().contains(expected["f1"].as_f64().unwrap()));

    let calibration = |bins: &Value| -> Vec<CalibrationBin> {
        let (n, positives, sums) = (counts(&bins["n"]), counts(&bins["sum_y"]), numbers(&bins["sum_score"]));
        (0..n.len())
            .map(|b| CalibrationBin { n: n[b], positives: positives[b], score_sum: sums[b] })
            .collect()
    };
    let overall = &adult["calibration_10_equal_width_bins"];
    let bins = calibration(overall);
    near(performance::calibration_error(&bins), &overall["ece"], STATISTIC);
    let interval = performance::calibration_error_interval(&bins, 0.95).unwrap();
    assert!(interval.contains(overall["ece"].as_f64().unwrap()));
    let expected = performance::calibration_error_expected(&bins).unwrap();
    assert!((0.003..0.01).contains(&expected), "{expected}");
    for sex in ["Female", "Male"] {
        let group = &adult["calibration_by_sex"][sex];
        near(performance::calibration_error(&calibration(&group["bins"])), &group["ece"], STATISTIC);
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): a fixed stream, so that a simulation is one number.
struct Stream(u64);

impl Stream {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

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

/// Counts of every size that is allowed, zeros and 2^53 among them.
fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0), 4 => 0..20_u64, 3 => 0..100_000_u64, 1 => 0..=1_u64 << 53, 1 => Just(1 << 53)]
}

/// Reference and current counts on the same one to twelve cells.
fn any_pair() -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
    (1..=12_usize).prop_flat_map(|b| {
        (proptest::collection::vec(any_count(), b), proptest::collection::vec(any_count(), b))
    })
}

fn positive_pair() -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
    (2..=12_usize).prop_flat_map(|b| {
        (proptest::collection::vec(1..50_000_u64, b), proptest::collection::vec(1..50_000_u64, b))
    })
}

/// A count of successes and trials.
fn any_rate() -> impl Strategy<Value = Rate> {
    (any_count(), any_count()).prop_map(|(a, b)| Rate { k: a.min(b), n: a.max(b) })
}

type Distance = fn(&[u64], &[u64]) -> Option<f64>;
type DistanceInterval = fn(&[u64], &[u64], f64) -> Option<Interval>;

/// Every distance with its interval and the largest value it can have.
const DISTANCES: [(&str, Distance, DistanceInterval, f64); 6] = [
    ("psi", d::psi, d::psi_interval, f64::MAX),
    ("jensen_shannon", d::jensen_shannon_distance, d::jensen_shannon_interval, 0.832_554_612),
    ("hellinger", d::hellinger, d::hellinger_interval, 1.0),
    ("total_variation", d::total_variation, d::total_variation_interval, 1.0),
    ("chi_squared", |r, c| d::chi_squared(r, c).map(|chi| chi.statistic), d::chi_squared_interval, f64::MAX),
    ("kolmogorov_smirnov", ecdf::ks_binned, ecdf::ks_interval, 1.0),
];

#[track_caller]
fn within(interval: Interval, low: f64, value: f64, high: f64) -> Result<(), TestCaseError> {
    prop_assert!(interval.low.is_finite() && interval.high.is_finite(), "{:?}", interval);
    prop_assert!(low <= interval.low && interval.high <= high, "{:?}", interval);
    prop_assert!(interval.contains(value), "{:?} without {}", interval, value);
    Ok(())
}

proptest! {
    #[test]
    fn distances_of_any_counts_are_numbers_inside_their_intervals(
        (r, c) in any_pair(),
        confidence in 0.01..0.9999_f64,
    ) {
        let filled = r.iter().any(|&count| count > 0) && c.iter().any(|&count| count > 0);
        for (name, distance, interval, largest) in DISTANCES {
            let value = distance(&r, &c);
            prop_assert!(value.is_none() || filled, "{name} of an empty side");
            prop_assert!(value.is_some() || !filled || name == "chi_squared", "{name} is undefined");
            if let Some(value) = value {
                prop_assert!((0.0..=largest).contains(&value), "{name}: {value}");
                if let Some(interval) = interval(&r, &c, confidence) {
                    within(interval, 0.0, value, largest)?;
                } else {
                    prop_assert!(r.len() == 1, "{name} has no interval");
                }
            }
        }
        let (n, m) = (c.iter().sum::<u64>(), r.iter().sum::<u64>());
        if let (Some(psi), Some(ks)) = (d::psi(&r, &c), ecdf::ks_binned(&r, &c)) {
            let upper = ecdf::ks_upper_bound(&r, &c).unwrap();
            prop_assert!(ks <= upper && upper <= 1.0);
            prop_assert!((0.0..=1.0).contains(&ecdf::ks_p_value(ks, n, m).unwrap()));
            prop_assert!(d::psi_p_value(psi, r.len(), n, m).is_none_or(|p| (0.0..=1.0).contains(&p)));
        }
        for level in [
            d::psi_null_mean(r.len(), n, m),
            d::jensen_shannon_expected(r.len(), n, m),
            d::total_variation_expected(&r, &c),
            d::chi_squared_expected(&r, &c),
            ecdf::ks_expected(n, m),
        ].into_iter().flatten() {
            prop_assert!(level.is_finite() && level >= 0.0);
        }
        let edges: Vec<f64> = (1..r.len()).map(|i| (i * i) as f64).collect();
        if let Some(value) = ecdf::wasserstein_binned(&edges, &r, &c) {
            prop_assert!(ecdf::wasserstein_expected(&edges, &r, &c).unwrap().is_finite());
            if let Some(interval) = ecdf::wasserstein_interval(&edges, &r, &c, confidence) {
                within(interval, 0.0, value, f64::MAX)?;
            }
        }
    }

    #[test]
    fn distances_are_symmetric_and_zero_for_equal_counts((r, c) in any_pair()) {
        for (name, distance, _, _) in DISTANCES {
            let (there, back) = (distance(&r, &c), distance(&c, &r));
            prop_assert_eq!(there.is_some(), back.is_some());
            if let (Some(there), Some(back)) = (there, back) {
                prop_assert!((there - back).abs() <= 1e-12 * there.max(1.0), "{name}: {there} {back}");
            }
            prop_assert!(distance(&r, &r).is_none_or(|same| same == 0.0), "{name} of equal counts");
        }
    }

    #[test]
    fn proportional_counts_are_no_change((r, _) in positive_pair(), factor in 1..1000_u64) {
        let c: Vec<u64> = r.iter().map(|count| count * factor).collect();
        prop_assert!(d::psi_unsmoothed(&r, &c).unwrap() < 1e-14);
        prop_assert!(d::jensen_shannon_distance_base2(&r, &c).unwrap() < 1e-12);
        prop_assert!(d::total_variation(&r, &c).unwrap() < 1e-14);
        prop_assert!(d::chi_squared(&r, &c).unwrap().statistic < 1e-12);
        prop_assert!(ecdf::ks_binned(&r, &c).unwrap() < 1e-14);
    }

    // Half a count per cell makes smoothed PSI depend on the number of cells, so the law of data
    // processing is about the raw shares.
    #[test]
    fn merging_two_cells_never_brings_histograms_further_apart((r, c) in positive_pair(), at in 0..11_usize) {
        let merge = |counts: &[u64]| {
            let mut merged = counts.to_vec();
            let at = at % (counts.len() - 1);
            let second = merged.remove(at + 1);
            merged[at] += second;
            merged
        };
        let raw: [Distance; 5] =
            [d::psi_unsmoothed, d::kl, d::jensen_shannon_distance_base2, d::total_variation, ecdf::ks_binned];
        for distance in raw {
            let (fine, coarse) = (distance(&r, &c).unwrap(), distance(&merge(&r), &merge(&c)).unwrap());
            prop_assert!(coarse <= fine * (1.0 + 1e-9) + 1e-12, "{coarse} {fine}");
        }
    }

    #[test]
    fn intervals_of_any_rate_contain_it_and_grow_with_confidence(
        Rate { k, n } in any_rate(),
        other in any_rate(),
        confidence in 0.01..0.99_f64,
    ) {
        let higher = 1.0 - 0.5 * (1.0 - confidence);
        type RateInterval = fn(u64, u64, f64) -> Option<Interval>;
        let of: [RateInterval; 2] = [interval::wilson, interval::clopper_pearson];
        for interval in of {
            let Some(narrow) = interval(k, n, confidence) else {
                prop_assert_eq!(n, 0);
                continue;
            };
            within(narrow, 0.0, k as f64 / n as f64, 1.0)?;
            let wide = interval(k, n, higher).unwrap();
            prop_assert!(wide.low <= narrow.low + 1e-12 && wide.high >= narrow.high - 1e-12);
        }
        if let Some(difference) = interval::newcombe_difference(k, n, other.k, other.n, confidence) {
            within(difference, -1.0, k as f64 / n as f64 - other.k as f64 / other.n as f64, 1.0)?;
        }
        if let Some(ratio) = interval::log_ratio(k, n, other.k, other.n, confidence) {
            within(ratio, 0.0, (k as f64 / n as f64) / (other.k as f64 / other.n as f64), f64::MAX)?;
        }
        if let Some(ratio) = interval::log_ratio_adjusted(k, n, other.k, other.n, confidence) {
            prop_assert!(ratio.low >= 0.0 && ratio.high.is_finite());
        }
        within(interval::poisson_exact(k, confidence).unwrap(), 0.0, k as f64, f64::MAX)?;
        if let (Some(low), Some(high)) = interval::quantile_ranks(n, 0.3, confidence) {
            prop_assert!(1 <= low && low < high && high <= n);
        }
    }

    #[test]
    fn comparisons_of_any_groups_contain_their_value_in_any_order(
        rates in proptest::collection::vec(any_rate(), 0..7),
        fpr in proptest::collection::vec(any_rate(), 0..7),
        confidence in 0.5..0.999_f64,
    ) {
        let reversed: Vec<Rate> = rates.iter().rev().copied().collect();
        type Compare = fn(&[Rate], f64) -> Option<fairness::Compared>;
        let all: [Compare; 2] = [fairness::difference, fairness::ratio];
        for compare in all {
            let (there, back) = (compare(&rates, confidence), compare(&reversed, confidence));
            prop_assert_eq!(there.map(|c| c.value), back.map(|c| c.value));
            prop_assert_eq!(there.map(|c| c.interval), back.map(|c| c.interval));
            if let Some(found) = there {
                within(found.interval, 0.0, found.value, 1.0)?;
                prop_assert!(found.high != found.low);
                prop_assert!(rates[found.high].value() >= rates[found.low].value());
            }
        }
        let odds = [
            fairness::equalized_odds_difference(&rates, &fpr, confidence),
            fairness::equalized_odds_ratio(&rates, &fpr, confidence),
        ];
        for found in odds.into_iter().flatten() {
            within(found.interval, 0.0, found.value, 1.0)?;
        }
        let levels = [
            fairness::difference_expected(&rates),
            fairness::ratio_expected(&rates),
            fairness::equalized_odds_expected(&rates, &fpr),
        ];
        for level in levels.into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&level), "{level}");
        }
    }

    #[test]
    fn performance_of_any_counts_is_inside_its_interval(
        cells in proptest::collection::vec(any_count(), 9),
        scores in proptest::collection::vec((any_rate(), 0.0..=1.0_f64), 0..10),
        confidence in 0.5..0.999_f64,
    ) {
        let confusion = Confusion { tp: cells[0], fp: cells[1], tn: cells[2], fn_: cells[3] };
        let values = [confusion.accuracy(), confusion.precision(), confusion.recall(), confusion.specificity()];
        for value in values.into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&value));
        }
        prop_assert_eq!(confusion.f1().is_some(), confusion.f1_interval(confidence).is_some());
        if let Some(f1) = confusion.f1() {
            within(confusion.f1_interval(confidence).unwrap(), 0.0, f1, 1.0)?;
        }
        if let Some(value) = performance::macro_average(&cells, 3) {
            let intervals = performance::macro_intervals(&cells, 3, confidence).unwrap();
            within(intervals.precision, 0.0, value.precision, 1.0)?;
            within(intervals.recall, 0.0, value.recall, 1.0)?;
            within(intervals.f1, 0.0, value.f1, 1.0)?;
        }
        let bin = |(rate, score): &(Rate, f64)| CalibrationBin {
            n: rate.n,
            positives: rate.k,
            score_sum: score * rate.n as f64,
        };
        let bins: Vec<CalibrationBin> = scores.iter().map(bin).collect();
        if let Some(error) = performance::calibration_error(&bins) {
            within(performance::calibration_error_interval(&bins, confidence).unwrap(), 0.0, error, 1.0)?;
            let expected = performance::calibration_error_expected(&bins).unwrap();
            prop_assert!((0.0..=1.0).contains(&expected));
        }
    }

    #[test]
    fn quantiles_lie_between_their_neighbours(
        mut values in proptest::collection::vec(-1e300..1e300_f64, 1..50),
        q in 0.0..=1.0_f64,
    ) {
        values.sort_by(f64::total_cmp);
        let found = quantile::linear(&values, q).unwrap();
        let below = (q * (values.len() - 1) as f64).floor() as usize;
        let above = (below + 1).min(values.len() - 1);
        prop_assert!(values[below] <= found && found <= values[above]);
        let edges = quantile::unique_quantile_edges(&values, &[10, 64]);
        prop_assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
