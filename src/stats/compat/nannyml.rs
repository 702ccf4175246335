//! NannyML 0.13.1 at its default settings: `drift/univariate/methods.py`, `thresholds.py`. Missing
//! values are taken out first, as it does; a chunk with nothing else has no value.
//!
//! Its limit is drawn from the reference: mean plus three standard deviations of the method over
//! tenths of the reference, each against the whole. A tenth is noisier than a longer period and
//! shares its own rows with the reference; the limit fits current data of about that size only.

use std::collections::BTreeMap;

use super::{Tally, jensen_shannon as distance, numpy, samples, shares};
use crate::stats::divergence::chi_squared;

/// Reference values from which Kolmogorov-Smirnov and Wasserstein are taken on bins.
const BINNED_FROM: usize = 10_000;

/// Those bins.
const BINS: usize = 10_000;

/// Chunks of the reference that the limit comes from; what is left over is one more.
const CHUNKS: usize = 10;

/// The p-value of the contingency table below which it alerts.
pub const P_LIMIT: f64 = 0.05;

/// A method for numeric columns, or one of the distances between categories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Jensen-Shannon distance, base 2.
    JensenShannon,
    /// Hellinger distance.
    Hellinger,
    /// Kolmogorov-Smirnov distance; numeric columns only.
    KolmogorovSmirnov,
    /// Wasserstein distance in the unit of the values; numeric columns only.
    Wasserstein,
    /// The largest difference of a share; categorical columns only.
    LInfinity,
}

/// The limit above which `values`, one for each chunk, would make it alert: mean plus three standard
/// deviations (ddof 0), and no more than a Kolmogorov-Smirnov distance can be. `None` without values.
fn limit(method: Method, values: &[f64]) -> Option<f64> {
    let limit = numpy::mean(values)? + 3.0 * numpy::std(values)?;
    Some(if method == Method::KolmogorovSmirnov { limit.min(1.0) } else { limit })
}

/// Chunks of rows: ten of equal size and the rest; none for fewer than ten rows, where it fails.
fn chunks<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let size = rows.len() / CHUNKS;
    rows.chunks(size.max(1)).take(if size == 0 { 0 } else { usize::MAX })
}

/// A numeric column, fitted to its reference.
#[derive(Clone, Debug)]
pub struct Numeric {
    rows: Vec<Option<f64>>,
    sorted: Vec<f64>,
    doane: Vec<f64>,
    shares: Vec<f64>,
}

impl Numeric {
    /// Fits to reference rows in their order, none for a missing value.
    ///
    /// `None` without values, or where one is infinite or NaN: numpy finds no bins then.
    pub fn fit(rows: Vec<Option<f64>>) -> Option<Self> {
        let values: Vec<f64> = rows.iter().copied().flatten().collect();
        let doane = numpy::doane_edges(&values)?;
        let sorted = ascending(values);
        let shares = shares(&numpy::histogram(&sorted, &doane), sorted.len() as f64);
        Some(Self { rows, sorted, doane, shares })
    }

    /// The method's value for current values in any order; `None` without any, for a method of
    /// categories, or where it is not finite.
    pub fn value(&self, method: Method, current: impl IntoIterator<Item = f64>) -> Option<f64> {
        let current = ascending(current.into_iter().collect());
        if current.is_empty() || current.iter().any(|value| value.is_nan()) {
            return None;
        }
        let exact = self.sorted.len() < BINNED_FROM;
        let value = match method {
            Method::JensenShannon | Method::Hellinger => {
                let counts = numpy::histogram(&current, &self.doane);
                return on_shares(method, &self.shares, shares(&counts, current.len() as f64));
            }
            Method::KolmogorovSmirnov if exact => samples::ks_statistic(&self.sorted, &current)?,
            Method::Wasserstein if exact => samples::wasserstein(&self.sorted, &current)?,
            Method::KolmogorovSmirnov => self.ks_on_bins(&current)?,
            Method::Wasserstein => self.wasserstein_on_bins(&current)?,
            Method::LInfinity => return None,
        };
        value.is_finite().then_some(value)
    }

    /// The limit above which it alerts.
    pub fn limit(&self, method: Method) -> Option<f64> {
        let values: Vec<f64> = chunks(&self.rows)
            .filter_map(|chunk| self.value(method, chunk.iter().copied().flatten()))
            .collect();
        limit(method, &values)
    }

    /// The largest gap of the distribution functions at the right ends of 10,000 equal bins between
    /// the reference's ends.
    fn ks_on_bins(&self, current: &[f64]) -> Option<f64> {
        let (first, last) = (*self.sorted.first()?, *self.sorted.last()?);
        let edges = numpy::linspace(first, last, BINS);
        let n = current.len() as f64;
        let below = current.partition_point(|value| *value < first) as f64 / n;
        let reference = cumulated(&numpy::histogram(&self.sorted, &edges), self.sorted.len() as f64);
        let current = cumulated(&numpy::histogram(current, &edges), n);
        let gaps = reference.iter().zip(&current).map(|(p, q)| (p - (below + q)).abs());
        Some(gaps.fold(0.0, f64::max))
    }

    /// The area between the distribution functions on 10,000 equal bins, and beyond the reference's
    /// ends that of the current values, in whose share one row too many is counted on either side.
    fn wasserstein_on_bins(&self, current: &[f64]) -> Option<f64> {
        let edges = numpy::equal_width_edges(&self.sorted, BINS)?;
        let (first, last) = (edges[0], edges[BINS]);
        let n = current.len() as f64;
        let smaller = &current[..current.partition_point(|value| *value < first)];
        let bigger = &current[current.partition_point(|value| *value <= last)..];
        let amount = |beyond: &[f64]| {
            if beyond.is_empty() { 0.0 } else { (beyond.len() as f64 + 1.0) / n }
        };
        let left = area(&[smaller, &[first]].concat(), |share| share) * amount(smaller);
        let right = area(&[&[last], bigger].concat(), |share| 1.0 - share) * amount(bigger);
        let reference = cumulated(&numpy::histogram(&self.sorted, &edges), self.sorted.len() as f64);
        let current = cumulated(&numpy::histogram(current, &edges), n);
        let width = edges[1] - edges[0];
        let gaps: Vec<f64> =
            reference.iter().zip(&current).map(|(p, q)| (p - (q + amount(smaller))).abs() * width).collect();
        Some(numpy::sum(&gaps) + left + right)
    }
}

/// Area under `height` of the empirical distribution function of ascending values.
fn area(sorted: &[f64], height: impl Fn(f64) -> f64) -> f64 {
    let steps = sorted.windows(2).enumerate();
    steps.map(|(i, pair)| height((i + 1) as f64 / sorted.len() as f64) * (pair[1] - pair[0])).sum()
}

/// Shares in `rows`, each with all before it.
fn cumulated(counts: &[u64], rows: f64) -> Vec<f64> {
    let mut sum = 0.0;
    let add = |count: &u64| {
        sum += *count as f64 / rows;
        sum
    };
    counts.iter().map(add).collect()
}

fn ascending(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// A distance between shares. What the current shares lack to 1, by values that the reference's cells
/// do not hold or by rounding, is a cell of its own.
fn on_shares(method: Method, reference: &[f64], mut current: Vec<f64>) -> Option<f64> {
    let mut reference = reference.to_vec();
    let leftover = 1.0 - numpy::sum(&current);
    if leftover > 0.0 {
        current.push(leftover);
        reference.push(0.0);
    }
    if method == Method::JensenShannon {
        return Some(distance(&reference, &current)? / std::f64::consts::LN_2.sqrt());
    }
    let squares: Vec<f64> =
        reference.iter().zip(&current).map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2)).collect();
    Some(numpy::sum(&squares).sqrt() / 2.0_f64.sqrt())
}

/// A categorical column, fitted to its reference. Categories are compared in the order of `K`.
#[derive(Clone, Debug)]
pub struct Categorical<K> {
    rows: Vec<Option<K>>,
    counts: BTreeMap<K, u64>,
}

impl<K: Ord + Clone> Categorical<K> {
    /// Fits to reference rows in their order; `None` without values.
    pub fn fit(rows: Vec<Option<K>>) -> Option<Self> {
        let counts = counted(rows.iter().flatten());
        (!counts.is_empty()).then_some(Self { rows, counts })
    }

    /// The distance for current values; `None` without any, or for a method of numbers.
    pub fn value<'a>(&self, method: Method, current: impl IntoIterator<Item = &'a K>) -> Option<f64>
    where
        K: 'a,
    {
        let current = counted(current);
        let (m, n) = (self.counts.values().sum::<u64>() as f64, current.values().sum::<u64>() as f64);
        if n == 0.0 {
            return None;
        }
        let of = |counts: &BTreeMap<K, u64>, key: &K| counts.get(key).copied().unwrap_or_default() as f64;
        match method {
            Method::JensenShannon | Method::Hellinger => {
                let (reference, current) =
                    self.counts.iter().map(|(key, count)| (*count as f64 / m, of(&current, key) / n)).unzip();
                let reference: Vec<f64> = reference;
                on_shares(method, &reference, current)
            }
            Method::LInfinity => {
                let keys = self.counts.keys().chain(current.keys());
                Some(
                    keys.map(|key| (of(&self.counts, key) / m - of(&current, key) / n).abs())
                        .fold(0.0, f64::max),
                )
            }
            Method::KolmogorovSmirnov | Method::Wasserstein => None,
        }
    }

    /// The limit above which it alerts.
    pub fn limit(&self, method: Method) -> Option<f64> {
        let values: Vec<f64> =
            chunks(&self.rows).filter_map(|chunk| self.value(method, chunk.iter().flatten())).collect();
        limit(method, &values)
    }
}

fn counted<'a, K: Ord + Clone + 'a>(values: impl IntoIterator<Item = &'a K>) -> BTreeMap<K, u64> {
    let mut counts = BTreeMap::new();
    for value in values {
        match counts.get_mut(value) {
            Some(count) => *count += 1,
            None => {
                counts.insert(value.clone(), 1);
            }
        }
    }
    counts
}

/// Statistic and p-value of `chi2_contingency` on all categories, with Yates' correction at one
/// degree of freedom; one category gives 0 and 1. `None` where a side has no rows. It alerts on the
/// p-value, below [`P_LIMIT`], and has no other limit.
pub fn chi_squared_test(cells: &Tally) -> Option<(f64, f64)> {
    crate::stats::totals(&cells.reference, &cells.current)?;
    Some(
        chi_squared(&cells.reference, &cells.current)
            .map_or((0.0, 1.0), |test| (test.statistic, test.p_value)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: i32) -> Vec<Option<f64>> {
        (0..count).map(|i| Some(f64::from(i))).collect()
    }

    #[test]
    fn values_outside_the_reference_share_one_cell() {
        let numeric = Numeric::fit(rows(100)).unwrap();
        let inside = numeric.value(Method::JensenShannon, (0..100).map(f64::from)).unwrap();
        assert!(inside < 1e-7, "{inside}");
        let outside = numeric.value(Method::JensenShannon, [-1.0, 1e9]).unwrap();
        assert!((outside - 1.0).abs() < 1e-12);
        assert_eq!(numeric.value(Method::JensenShannon, []), None);
    }

    #[test]
    fn a_constant_reference_hides_what_stays_within_half_a_unit() {
        let numeric = Numeric::fit(vec![Some(0.42); 200]).unwrap();
        assert_eq!(numeric.value(Method::JensenShannon, [0.1, 0.8]), Some(0.0));
        assert_eq!(numeric.value(Method::KolmogorovSmirnov, [0.1, 0.8]), Some(0.5));
    }

    #[test]
    fn from_ten_thousand_reference_values_on_the_distances_are_binned_and_stay_close() {
        let exact = Numeric::fit(rows(9_999)).unwrap();
        let binned = Numeric::fit(rows(10_000)).unwrap();
        let current: Vec<f64> = (0..3_000).map(|i| f64::from(i) * 3.1 + 200.0).collect();
        for method in [Method::KolmogorovSmirnov, Method::Wasserstein] {
            let a = exact.value(method, current.iter().copied()).unwrap();
            let b = binned.value(method, current.iter().copied()).unwrap();
            assert!(a != b && (a / b - 1.0).abs() < 0.01, "{method:?}: {a} {b}");
        }
    }

    #[test]
    fn far_beyond_the_reference_the_binned_distance_is_how_far_apart_they_are() {
        let binned = Numeric::fit(rows(10_000)).unwrap();
        let far = binned.value(Method::Wasserstein, (0..5_000).map(|i| f64::from(i) + 1e6)).unwrap();
        assert!((far / (1e6 + 2_500.0 - 5_000.0) - 1.0).abs() < 1e-3, "{far}");
        let constant = Numeric::fit(vec![Some(3.0); 10_000]).unwrap();
        assert_eq!(constant.value(Method::KolmogorovSmirnov, [1.0, 3.0]), Some(0.5));
        assert!(constant.value(Method::Wasserstein, [1.0, 3.0]).unwrap() > 0.9);
    }

    #[test]
    fn the_limit_is_three_deviations_above_the_mean_of_the_reference_chunks() {
        // Ten chunks of a constant: the distance of each is 0.
        assert_eq!(Numeric::fit(vec![Some(1.0); 100]).unwrap().limit(Method::KolmogorovSmirnov), Some(0.0));
        // A trend: every chunk is far from the whole, and the limit stops at 1.
        let trend = Numeric::fit(rows(100)).unwrap();
        assert_eq!(trend.limit(Method::KolmogorovSmirnov), Some(1.0));
        // 25 rows: ten chunks of two and one, missing rows and all.
        let mut odd = rows(25);
        odd[24] = None;
        let chunks: Vec<_> = chunks(&odd).map(<[_]>::len).collect();
        assert_eq!(chunks, [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1]);
        assert!(Numeric::fit(odd).unwrap().limit(Method::Wasserstein).is_some());
        assert_eq!(Numeric::fit(rows(9)).unwrap().limit(Method::JensenShannon), None);
    }

    #[test]
    fn an_unseen_category_is_left_over_and_counts_by_its_share() {
        let reference = vec![Some("a"), Some("b"), None, Some("a"), Some("b")];
        let column = Categorical::fit(reference).unwrap();
        assert_eq!(column.value(Method::LInfinity, &["a", "c"]), Some(0.5));
        let js = column.value(Method::JensenShannon, &["a", "b", "a", "c"]).unwrap();
        // p = (.5, .5, 0), q = (.5, .25, .25), base 2, by hand.
        let divergence: f64 =
            0.5 * (0.5 * (0.5_f64 / 0.375).log2()) + 0.5 * (0.25 * (0.25_f64 / 0.375).log2() + 0.25);
        assert!((js - divergence.sqrt()).abs() < 1e-15, "{js}");
        assert_eq!(column.value(Method::Hellinger, &["c"]), Some(1.0));
        assert_eq!(column.value(Method::JensenShannon, &[]), None);
        assert!(Categorical::<&str>::fit(vec![None, None]).is_none());
    }

    #[test]
    fn one_category_on_both_sides_is_no_drift() {
        assert_eq!(chi_squared_test(&Tally { reference: vec![5], current: vec![7] }), Some((0.0, 1.0)));
        assert_eq!(chi_squared_test(&Tally { reference: vec![5], current: vec![0] }), None);
    }
}
