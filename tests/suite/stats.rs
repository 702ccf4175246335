//! The statistics against numbers that other libraries computed; in submodules against properties that
//! must hold for any counts and, where a promise is about chance, against simulation.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod edetector;
mod groups;
mod properties;
mod simulation;

use std::fs;

use plimsoll::stats::divergence as d;
use plimsoll::stats::{Interval, fairness::Rate, performance::CalibrationBin, performance::Confusion};
use plimsoll::stats::{ecdf, fairness, interval, performance, quantile, special};
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
