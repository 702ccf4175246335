//! numpy's histograms, to the last bit of an edge: a value that lies on an edge changes its bin
//! otherwise, and with it every number that other tools compute.
//!
//! Facts from numpy 2: `lib/_histograms_impl.py` for the widths ("sturges" and "doane"), the ends
//! and the bins closed on the left, the last on both sides; `_core/function_base.py` for
//! `linspace`; `_core/src/umath` for the order in which `sum` adds.

/// Elements that numpy adds with eight accumulators, before it halves an array.
const BLOCK: usize = 128;

/// `np.sum`: pairwise summation over blocks of eight accumulators.
pub fn sum(values: &[f64]) -> f64 {
    let n = values.len();
    if n < 8 {
        return values.iter().sum();
    }
    if n > BLOCK {
        let half = n / 2;
        let (left, right) = values.split_at(half - half % 8);
        return sum(left) + sum(right);
    }
    let mut lanes = [0.0; 8];
    lanes.copy_from_slice(&values[..8]);
    let blocks = values[8..].chunks_exact(8);
    let rest = blocks.remainder();
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane += value;
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    rest.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |total, value| total + value)
}

/// `np.mean`; `None` without values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| sum(values) / values.len() as f64)
}

/// `np.std`, ddof 0; `None` without values.
pub fn std(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let squares: Vec<f64> = values.iter().map(|value| (value - mean) * (value - mean)).collect();
    Some((sum(&squares) / values.len() as f64).sqrt())
}

/// Smallest and largest value; `None` without values, or where one is NaN or infinite.
pub fn ends(values: &[f64]) -> Option<(f64, f64)> {
    let all = values.iter().all(|value| value.is_finite());
    let fold = |pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick);
    if all { Some((fold(f64::min)?, fold(f64::max)?)) } else { None }
}

/// `np.linspace(first, last, bins + 1)`: the last edge is `last` itself.
pub fn linspace(first: f64, last: f64, bins: usize) -> Vec<f64> {
    let step = (last - first) / bins as f64;
    let mut edges: Vec<f64> = (0..=bins).map(|i| i as f64 * step + first).collect();
    if step == 0.0 {
        edges = (0..=bins).map(|i| i as f64 / bins as f64 * (last - first) + first).collect();
    }
    edges[bins] = last;
    edges
}

/// Edges of `bins` bins of equal width over the values, as `np.histogram` makes them from a number
/// of bins: values that are all the same get half a unit on either side.
pub fn equal_width_edges(values: &[f64], bins: usize) -> Option<Vec<f64>> {
    let (first, last) = ends(values)?;
    Some(if first == last { linspace(first - 0.5, last + 0.5, bins) } else { linspace(first, last, bins) })
}

/// `np.histogram_bin_edges(values, "sturges")`: width range / (log2 n + 1) (Sturges 1926).
///
/// `integers` says that numpy holds the values as integers; then no bin is narrower than 1.
pub fn sturges_edges(values: &[f64], integers: bool) -> Option<Vec<f64>> {
    let (first, last) = ends(values)?;
    let width = (last - first) / ((values.len() as f64).log2() + 1.0);
    edges_of_width(values, if integers && width > 0.0 { width.max(1.0) } else { width })
}

/// `np.histogram_bin_edges(values, "doane")`: width range / (1 + log2 n + log2(1 + |g| / s)), `g` the
/// skewness of the values and `s = sqrt(6 (n - 2) / ((n + 1) (n + 3)))` (Doane 1976).
///
/// One bin for two values or fewer, and for values that are all the same.
pub fn doane_edges(values: &[f64]) -> Option<Vec<f64>> {
    let (first, last) = ends(values)?;
    let n = values.len() as f64;
    let (mean, sigma) = (mean(values)?, std(values)?);
    let mut width = 0.0;
    if values.len() > 2 && sigma > 0.0 {
        let cubes: Vec<f64> = values.iter().map(|value| ((value - mean) / sigma).powi(3)).collect();
        let skewness = sum(&cubes) / n;
        let spread = (6.0 * (n - 2.0) / ((n + 1.0) * (n + 3.0))).sqrt();
        width = (last - first) / (1.0 + n.log2() + (1.0 + skewness.abs() / spread).log2());
    }
    edges_of_width(values, width)
}

/// Bins of at most `width`, a whole number of them; a width of 0 gives one bin.
fn edges_of_width(values: &[f64], width: f64) -> Option<Vec<f64>> {
    let (first, last) = ends(values)?;
    let bins = if width > 0.0 { ((last - first) / width).ceil() } else { 1.0 };
    // A range that is not finite has no bins: numpy raises an error.
    bins.is_finite().then(|| equal_width_edges(values, (bins as usize).max(1)))?
}

/// `np.histogram(values, edges)[0]`: bins are closed on the left, the last one on both sides; values
/// outside are not counted. `edges` ascend, and may be equal. `sorted` ascends.
pub fn histogram(sorted: &[f64], edges: &[f64]) -> Vec<u64> {
    debug_assert!(sorted.is_sorted(), "values in ascending order");
    let Some((last, inner)) = edges.split_last() else { return Vec::new() };
    let mut below: Vec<usize> =
        inner.iter().map(|edge| sorted.partition_point(|value| value < edge)).collect();
    below.push(sorted.partition_point(|value| value <= last));
    below.windows(2).map(|pair| (pair[1] - pair[0]) as u64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_adds_pairwise_in_blocks_and_exactly_where_it_can() {
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!(sum(&values), 500_500.0);
        assert_eq!(sum(&values[..7]), 28.0);
        assert_eq!(sum(&[]), 0.0);
        // Eight lanes meet pairwise: ((a+b)+(c+d))+((e+f)+(g+h)), so 1 is not lost beside 1e16 here,
        // while a plain loop from the left loses it.
        let values = [1e16, -1e16, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(sum(&values), 1.0);
        let late = [1e16, 1.0, -1e16, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(sum(&late), 0.0);
    }

    #[test]
    fn the_last_bin_is_closed_and_the_others_are_open_on_the_right() {
        assert_eq!(histogram(&[0.0, 1.0, 1.0, 2.0, 2.5], &[0.0, 1.0, 2.0]), [1, 3]);
        assert_eq!(histogram(&[-1.0, 3.0], &[0.0, 1.0, 2.0]), [0, 0]);
        assert_eq!(histogram(&[5.0, 5.0], &[5.0, 5.0, 5.0]), [0, 2]);
        assert_eq!(histogram(&[1.0], &[]), [0; 0]);
    }

    #[test]
    fn sturges_takes_one_more_bin_than_the_log_of_the_size_rounded_up() {
        // 1000 values: log2 = 9.97, so 11 bins; 1024 values: exactly 11.
        let values: Vec<f64> = (0..1000).map(f64::from).collect();
        let edges = sturges_edges(&values, false).unwrap();
        assert_eq!((edges.len(), edges[0], edges[11]), (12, 0.0, 999.0));
        let values: Vec<f64> = (0..1024).map(f64::from).collect();
        assert_eq!(sturges_edges(&values, false).unwrap().len(), 12);
    }

    #[test]
    fn integers_have_no_bin_narrower_than_one() {
        let values: Vec<f64> = (0..4096).map(|i| f64::from(i % 4)).collect();
        assert_eq!(sturges_edges(&values, false).unwrap().len(), 14);
        assert_eq!(sturges_edges(&values, true).unwrap(), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(sturges_edges(&[4.0; 9], true).unwrap(), [3.5, 4.5]);
    }

    #[test]
    fn values_that_are_all_the_same_have_one_bin_of_width_one() {
        assert_eq!(doane_edges(&[7.0; 50]).unwrap(), [6.5, 7.5]);
        assert_eq!(sturges_edges(&[7.0; 50], false).unwrap(), [6.5, 7.5]);
        assert_eq!(equal_width_edges(&[7.0], 2).unwrap(), [6.5, 7.0, 7.5]);
    }

    #[test]
    fn doane_adds_bins_for_skewness() {
        let even: Vec<f64> = (0..1000).map(f64::from).collect();
        let skewed: Vec<f64> = even.iter().map(|value| (value / 100.0).exp()).collect();
        // No skewness: sturges' 11 bins. 2.54 of skewness at a spread of 0.0772: log2(33.9) = 5.08 more.
        assert_eq!(doane_edges(&even).unwrap().len(), 12);
        assert_eq!(doane_edges(&skewed).unwrap().len(), 18);
        assert_eq!(doane_edges(&[1.0, 2.0]).unwrap(), [1.0, 2.0]);
    }

    #[test]
    fn what_numpy_refuses_has_no_edges() {
        assert_eq!(sturges_edges(&[], false), None);
        assert_eq!(doane_edges(&[]), None);
        assert_eq!(doane_edges(&[1.0, f64::NAN, 2.0]), None);
        assert_eq!(sturges_edges(&[1.0, f64::INFINITY], false), None);
        assert_eq!(sturges_edges(&[-f64::MAX, f64::MAX], false), None);
    }

    proptest::proptest! {
        #[test]
        fn every_value_between_its_own_edges_is_counted_once_in_the_bin_that_holds_it(
            mut values in proptest::collection::vec(-1e3..1e3_f64, 1..300),
            integers: bool,
        ) {
            if integers {
                values.iter_mut().for_each(|value| *value = value.round());
            }
            values.sort_by(f64::total_cmp);
            for edges in [sturges_edges(&values, integers).unwrap(), doane_edges(&values).unwrap()] {
                let counts = histogram(&values, &edges);
                let last = counts.len() - 1;
                for (bin, pair) in edges.windows(2).enumerate() {
                    let inside = |value: &&f64| {
                        **value >= pair[0] && (**value < pair[1] || (bin == last && **value == pair[1]))
                    };
                    proptest::prop_assert_eq!(counts[bin], values.iter().filter(inside).count() as u64);
                }
                proptest::prop_assert_eq!(counts.iter().sum::<u64>(), values.len() as u64);
            }
        }
    }
}
