//! E-detectors against the golden series, and the properties that the promise stands on.

use plimsoll::stats::edetector::histogram::{self, Extra};
use plimsoll::stats::edetector::null::{mean_ends, rate_ends};
use plimsoll::stats::edetector::rate::{self, Allowed};
use plimsoll::stats::edetector::{Bet, Component, Detector, Part, Reading, Side, log_sum_exp, threshold};
use proptest::prelude::*;

use super::{PROBABILITY, STATISTIC, counts, golden, near, numbers};

/// The series themselves agree to this.
const SERIES: f64 = 1e-12;

fn of_limit(side: Side, limit: f64) -> Vec<Component> {
    let allowed = Allowed { limit: Some(limit), ..Allowed::default() };
    vec![rate::component(side, &allowed).unwrap()]
}

fn near_series(found: f64, expected: f64) {
    let scale = expected.abs().max(1.0);
    assert!((found - expected).abs() <= SERIES * scale, "found {found}, expected {expected}");
}

#[test]
fn a_single_bet_follows_the_shiryaev_roberts_series() {
    let Some(golden) = golden("statistics.json") else { return };
    let golden = &golden["esr_single_lambda"];
    let bet = Bet::towards(0.1, 0.2);
    near(Some(bet.lambda), &golden["lambda"], SERIES);
    near(Some(bet.psi), &golden["psi"], SERIES);
    let mut detector = Detector::new(1);
    assert_eq!(detector.log_e(), f64::NEG_INFINITY, "nothing was seen");
    for (x, expected) in numbers(&golden["x"]).iter().zip(numbers(&golden["sr_log_m"])) {
        detector.advance([bet.lambda * x - bet.psi]);
        near_series(detector.log_e(), expected);
    }
}

#[test]
fn a_mixture_over_panes_follows_the_golden_series_and_starts_again_after_an_alarm() {
    let Some(golden) = golden("statistics.json") else { return };
    let golden = &golden["esr_mixture_panes"];
    let components = of_limit(Side::Above, 0.1);
    let lambdas: Vec<f64> = components[0].bets.iter().map(|bet| bet.lambda).collect();
    for (found, expected) in lambdas.iter().zip(numbers(&golden["grid"]["lambda"])) {
        near_series(*found, expected);
    }
    let readings: Vec<Reading> = counts(&golden["s"])
        .into_iter()
        .zip(counts(&golden["n"]))
        .map(|(k, n)| Reading::counts(k, n))
        .collect();
    let mut detector = Detector::of(&components);
    for (reading, expected) in readings.iter().zip(numbers(&golden["sr_log_m_no_reset"])) {
        detector.step(&components, &[*reading], 0);
        near_series(detector.log_e(), expected);
    }
    for (found, expected) in
        detector.logs().iter().zip(numbers(&golden["per_lambda_log_m_after_last_no_reset"]))
    {
        near_series(*found, expected);
    }

    let golden = &golden["with_threshold"];
    let log_threshold = golden["threshold_m"].as_f64().unwrap().ln();
    let (mut detector, mut alarms) = (Detector::of(&components), Vec::new());
    let expected = numbers(&golden["log_m_before_reset_check"]);
    for (index, (reading, expected)) in readings.iter().zip(expected).enumerate() {
        detector.step(&components, &[*reading], 0);
        near_series(detector.log_e(), expected);
        if detector.log_e() >= log_threshold {
            alarms.push(index as u64);
            detector.reset();
        }
    }
    assert_eq!(alarms, counts(&golden["alarm_at_index"]));
}

#[test]
fn the_lower_side_and_values_between_0_and_1_follow_their_series() {
    let Some(golden) = golden("statistics.json") else { return };
    let lower = &golden["esr_lower_side"];
    let components = of_limit(Side::Below, 0.9);
    let mut detector = Detector::of(&components);
    for ((k, n), expected) in
        counts(&lower["s"]).into_iter().zip(counts(&lower["n"])).zip(numbers(&lower["log_m"]))
    {
        detector.step(&components, &[Reading::counts(k, n).turned()], 0);
        near_series(detector.log_e(), expected);
    }
    let bounded = &golden["esr_bounded_values"];
    let components = of_limit(Side::Above, 0.15);
    let mut detector = Detector::of(&components);
    for ((n, sum), expected) in
        numbers(&bounded["panes"]).into_iter().zip(numbers(&bounded["sums"])).zip(numbers(&bounded["log_m"]))
    {
        detector.step(&components, &[Reading { n, sum }], 0);
        near_series(detector.log_e(), expected);
    }
}

#[test]
fn thresholds_and_reference_bounds_are_the_golden_ones() {
    let Some(golden) = golden("statistics.json") else { return };
    let cases = &golden["budget_thresholds"]["cases"];
    near(Some(threshold(8064.0, 1.0 / 200.0)), &cases[0]["threshold"], 1e-6);
    let weights = numbers(&cases[1]["weights"]);
    for (i, (weight, panes)) in weights.iter().zip(numbers(&cases[1]["panes_in_period"])).enumerate() {
        near(Some(threshold(panes, *weight)), &cases[1]["thresholds"][i], 1e-9);
    }
    near(Some(threshold(672.0, 0.2)), &cases[2]["threshold"], 1e-9);
    for case in golden["clopper_pearson_reference_bounds"]["cases"].as_array().unwrap() {
        let (k, m) = (case["k"].as_u64().unwrap(), case["m"].as_u64().unwrap());
        let ends = rate_ends(k, m, case["a"].as_f64().unwrap()).unwrap();
        near(Some(ends.low), &case["bounds"][0], PROBABILITY);
        near(Some(ends.high), &case["bounds"][1], PROBABILITY);
    }
}

#[test]
fn the_histogram_detector_follows_the_golden_series_family_by_family() {
    let Some(golden) = golden("statistics.json") else { return };
    let golden = &golden["histogram_detector"];
    let tail = golden["alpha_ref_per_bound"].as_f64().unwrap();
    let components =
        histogram::components(&counts(&golden["ref_counts"]), true, tail, |_, _| Extra::default());
    assert_eq!(components.iter().map(|component| component.bets.len()).sum::<usize>(), 228);
    let bounds = &golden["bounds"];
    for (name, side, cells) in [
        ("bin_upper", Side::Above, true),
        ("bin_lower", Side::Below, true),
        ("cum_upper", Side::Above, false),
        ("cum_lower", Side::Below, false),
    ] {
        let family = components
            .iter()
            .filter(|component| component.side == side && matches!(component.part, Part::Cell(_)) == cells);
        let found: Vec<f64> = family.map(|component| component.reference.unwrap()).collect();
        assert_eq!(found.len(), bounds[name].as_array().unwrap().len(), "{name}");
        for (i, found) in found.iter().enumerate() {
            near(Some(*found), &bounds[name][i], PROBABILITY);
        }
    }
    for (i, bet) in components[0].bets.iter().enumerate() {
        near(Some(bet.lambda), &golden["lambda_for_bin_up_first_bin"][i], PROBABILITY);
        near(Some(bet.psi), &golden["psi_for_bin_up_first_bin"][i], PROBABILITY);
    }
    let mut detector = Detector::of(&components);
    let mut readings = Vec::new();
    for (pane, counted) in golden["pane_counts"].as_array().unwrap().iter().enumerate() {
        histogram::readings(&components, &counts(counted), &mut readings);
        detector.step(&components, &readings, 0);
        near(Some(detector.log_e()), &golden["log_m"][pane], STATISTIC);
        for (name, from, to) in
            [("bin_up", 0, 60), ("bin_down", 60, 120), ("cum_up", 120, 174), ("cum_down", 174, 228)]
        {
            let family = log_sum_exp(&detector.logs()[from..to]);
            near(Some(family), &golden["family_logsumexp_unweighted"][name][pane], STATISTIC);
        }
    }
}

#[test]
fn a_cell_that_the_reference_fills_or_never_shows_bets_only_where_something_can_be_found() {
    let components = histogram::components(&[1_000, 0], true, 1e-6, |_, _| Extra::default());
    let looked: Vec<(Part, Side)> =
        components.iter().map(|component| (component.part, component.side)).collect();
    let expected = [(Part::Cell(1), Side::Above), (Part::Cell(0), Side::Below), (Part::UpTo(0), Side::Below)];
    assert_eq!(looked, expected, "a share of 1 cannot rise and one of 0 cannot fall");
    assert!(histogram::components(&[0, 0], true, 1e-6, |_, _| Extra::default()).is_empty());
}

#[test]
fn a_state_written_and_read_goes_on_where_it_was() {
    let components = of_limit(Side::Above, 0.1);
    let mut detector = Detector::of(&components);
    let fresh: Detector = serde_json::from_str(&serde_json::to_string(&detector).unwrap()).unwrap();
    assert_eq!(fresh, detector, "minus infinity survives");
    detector.step(&components, &[Reading::counts(13, 100)], 0);
    let mut read: Detector = serde_json::from_str(&serde_json::to_string(&detector).unwrap()).unwrap();
    detector.step(&components, &[Reading::counts(17, 100)], 0);
    read.step(&components, &[Reading::counts(17, 100)], 0);
    assert_eq!(read, detector);
}

/// `E[L]` of one pane of `n` draws of rate `p`, summed over all outcomes.
fn expectation(bet: &Bet, n: u32, p: f64) -> f64 {
    let mut log_choose = 0.0;
    (0..=n)
        .map(|k| {
            if k > 0 {
                log_choose += f64::from(n - k + 1).ln() - f64::from(k).ln();
            }
            let (k, rest) = (f64::from(k), f64::from(n - k));
            let probability = log_choose + k * p.ln() + rest * (-p).ln_1p();
            (probability + bet.lambda * k - f64::from(n) * bet.psi).exp()
        })
        .sum()
}

proptest! {
    #[test]
    fn a_pane_under_the_null_is_an_e_value(null in 0.001_f64..0.99, below in 0.0_f64..1.0, n in 1_u32..80) {
        for bet in of_limit(Side::Above, null)[0].bets.iter() {
            let at = expectation(bet, n, null);
            prop_assert!((at - 1.0).abs() < 1e-9, "at the null itself {at}");
            prop_assert!(expectation(bet, n, (null * below).max(1e-12)) <= 1.0 + 1e-9);
        }
    }

    #[test]
    fn values_between_0_and_1_never_gain_more_than_outcomes_of_the_same_mean(
        null in 0.01_f64..0.9, values in prop::collection::vec(0.0_f64..=1.0, 1..20)
    ) {
        // e^(lambda x) <= 1 - x + x e^lambda: what the value gains is at most what a coin of that mean
        // gains on average.
        for bet in of_limit(Side::Above, null)[0].bets.iter() {
            for x in &values {
                let coin = (1.0 - x) * (-bet.psi).exp() + x * (bet.lambda - bet.psi).exp();
                prop_assert!((bet.lambda * x - bet.psi).exp() <= coin * (1.0 + 1e-12));
            }
        }
    }

    #[test]
    fn panes_that_were_counted_in_parts_give_the_state_of_the_whole(
        panes in prop::collection::vec((prop::collection::vec(0_u64..60, 10), prop::collection::vec(0_u64..60, 10)), 1..12)
    ) {
        let components = histogram::components(&[100; 10], true, 1e-5, |_, _| Extra::default());
        let (mut whole, mut parts) = (Detector::of(&components), Detector::of(&components));
        let mut readings = Vec::new();
        for (left, right) in panes {
            let forth: Vec<u64> = left.iter().zip(&right).map(|(a, b)| a + b).collect();
            let back: Vec<u64> = right.iter().zip(&left).map(|(a, b)| a + b).collect();
            histogram::readings(&components, &forth, &mut readings);
            whole.step(&components, &readings, 0);
            histogram::readings(&components, &back, &mut readings);
            parts.step(&components, &readings, 0);
        }
        prop_assert_eq!(whole.log_e().to_bits(), parts.log_e().to_bits());
        prop_assert_eq!(whole, parts);
    }

    #[test]
    fn a_state_that_was_lost_is_never_above_the_one_that_was_kept(
        panes in prop::collection::vec((0_u64..40, 40_u64..80), 2..40), lost in 0_usize..40
    ) {
        let components = of_limit(Side::Above, 0.2);
        let (mut kept, mut other) = (Detector::of(&components), Detector::of(&components));
        for (index, (k, n)) in panes.into_iter().enumerate() {
            if index == lost {
                other.reset();
            }
            for detector in [&mut kept, &mut other] {
                detector.step(&components, &[Reading::counts(k, n)], 0);
            }
            prop_assert!(other.log_e() <= kept.log_e());
        }
    }

    #[test]
    fn a_wider_tolerance_never_raises_the_e_value(
        panes in prop::collection::vec(0_u64..40, 1..20), tolerance in 0.0_f64..0.2, hour in 0_usize..168
    ) {
        // The bets stay those of the narrow null, so that only the price differs.
        let narrow = of_limit(Side::Above, 0.2);
        let mut wide = narrow.clone();
        wide[0].hourly = Some(vec![0.2 + tolerance; 168]);
        let (mut first, mut second) = (Detector::of(&narrow), Detector::of(&wide));
        for k in panes {
            first.step(&narrow, &[Reading::counts(k, 40)], hour);
            second.step(&wide, &[Reading::counts(k, 40)], hour);
            prop_assert!(second.log_e() <= first.log_e() + 1e-12);
        }
    }

    #[test]
    fn the_ends_for_means_hold_the_mean(sum in 0.0_f64..1.0, m in 1_u64..100_000, tail in 1e-9_f64..0.4) {
        let ends = mean_ends(sum * m as f64, m, tail).unwrap();
        prop_assert!((0.0..=sum + 1e-12).contains(&ends.low) && (sum - 1e-12..=1.0).contains(&ends.high));
    }
}
