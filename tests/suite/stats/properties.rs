//! What must hold of the statistics for any counts, zeros and 2^53 among them.

use plimsoll::stats::divergence as d;
use plimsoll::stats::{Interval, fairness::Rate, performance::CalibrationBin, performance::Confusion};
use plimsoll::stats::{ecdf, fairness, interval, performance, quantile};
use proptest::prelude::*;

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
