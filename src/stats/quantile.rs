//! Quantiles of a sample, and the frozen edges that come from them.

/// Quantile `q` of values in ascending order, linear between neighbours: Hyndman and Fan's type 7
/// (The American Statistician 50, 1996), numpy's default.
///
/// `sorted` is finite and ascending. `None` for an empty slice, or `q` outside 0 to 1.
pub fn linear(sorted: &[f64], q: f64) -> Option<f64> {
    debug_assert!(is_clean(sorted), "finite values in ascending order");
    interpolate(sorted, q)
}

fn is_clean(sorted: &[f64]) -> bool {
    sorted.is_sorted() && sorted.iter().all(|value| value.is_finite())
}

fn interpolate(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    if !(0.0..=1.0).contains(&q) {
        return None;
    }
    let position = q * last as f64;
    let below = (position.floor() as usize).min(last);
    let (a, b, t) = (sorted[below], sorted[(below + 1).min(last)], position - below as f64);
    let gap = b - a;
    Some(if !gap.is_finite() {
        // Two values too far apart for their difference.
        a * (1.0 - t) + b * t
    } else if t < 0.5 {
        a + gap * t
    } else {
        // From the nearer neighbour, as numpy does, so that t = 1 gives `b` exactly.
        b - gap * (1.0 - t)
    })
}

/// Inner quantiles `i/k` (`0 < i < k`) for every `k` of `denominators`, in ascending order without
/// duplicates: edges of cells that nest `k` equal-mass cells for each `k`.
///
/// `[10, 64]` gives at most 71 edges, because 64 is not a multiple of 10. Ties in the data collapse
/// edges; a constant column leaves one. Empty for an empty slice.
pub fn unique_quantile_edges(sorted: &[f64], denominators: &[u32]) -> Vec<f64> {
    debug_assert!(is_clean(sorted), "finite values in ascending order");
    let inner = denominators.iter().flat_map(|&k| (1..k).map(move |i| f64::from(i) / f64::from(k)));
    let mut edges: Vec<f64> = inner.filter_map(|q| interpolate(sorted, q)).collect();
    edges.sort_by(f64::total_cmp);
    // 0.0 and -0.0 are one edge: a value is compared, not its bits.
    edges.dedup_by(|a, b| a == b);
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_linear_between_neighbours() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(linear(&sorted, 0.0), Some(1.0));
        assert_eq!(linear(&sorted, 0.5), Some(3.0));
        assert_eq!(linear(&sorted, 1.0), Some(8.0));
        assert_eq!(linear(&[7.0], 0.3), Some(7.0));
        assert_eq!(linear(&[], 0.5), None);
        assert_eq!(linear(&sorted, 1.1), None);
        assert_eq!(linear(&sorted, f64::NAN), None);
        assert_eq!(linear(&[-f64::MAX, f64::MAX], 0.5), Some(0.0));
    }

    #[test]
    fn deciles_nest_in_the_union_with_sixty_fourths() {
        let sorted: Vec<f64> = (0..10_000).map(f64::from).collect();
        let union = unique_quantile_edges(&sorted, &[10, 64]);
        assert_eq!(union.len(), 71);
        for decile in unique_quantile_edges(&sorted, &[10]) {
            assert!(union.contains(&decile));
        }
        assert_eq!(unique_quantile_edges(&[3.0; 50], &[10, 64]), [3.0]);
        assert_eq!(unique_quantile_edges(&[], &[10]), [0.0; 0]);
    }
}
