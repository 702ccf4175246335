//! Distances between two samples of raw values: Kolmogorov-Smirnov and the first Wasserstein
//! distance, without cells. Both samples ascend and are finite.

/// `F(x) - G(x)` behind every distinct value of either sample, with the value; `F` of `reference`.
fn gaps<'a>(reference: &'a [f64], current: &'a [f64]) -> impl Iterator<Item = (f64, f64)> + 'a {
    debug_assert!(reference.is_sorted() && current.is_sorted(), "values in ascending order");
    let (m, n) = (reference.len() as f64, current.len() as f64);
    let (mut i, mut j) = (0, 0);
    std::iter::from_fn(move || {
        let at = match (reference.get(i), current.get(j)) {
            (Some(a), Some(b)) => a.min(*b),
            (Some(a), None) => *a,
            (None, Some(b)) => *b,
            (None, None) => return None,
        };
        while reference.get(i).is_some_and(|value| *value <= at) {
            i += 1;
        }
        while current.get(j).is_some_and(|value| *value <= at) {
            j += 1;
        }
        Some((at, i as f64 / m - j as f64 / n))
    })
}

/// Kolmogorov-Smirnov distance `max |F - G|`, 0 to 1; `None` where a side has no values.
pub fn ks_statistic(reference: &[f64], current: &[f64]) -> Option<f64> {
    let both = !reference.is_empty() && !current.is_empty();
    both.then(|| gaps(reference, current).fold(0.0, |most: f64, (_, gap)| most.max(gap.abs())))
}

/// First Wasserstein distance `integral |F - G|`, in the unit of the values; `None` where a side has
/// no values or the distance is not finite.
pub fn wasserstein(reference: &[f64], current: &[f64]) -> Option<f64> {
    if reference.is_empty() || current.is_empty() {
        return None;
    }
    let mut distance = 0.0;
    let mut before: Option<(f64, f64)> = None;
    for (at, gap) in gaps(reference, current) {
        if let Some((from, gap)) = before {
            distance += gap.abs() * (at - from);
        }
        before = Some((at, gap));
    }
    distance.is_finite().then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_by_one_is_a_distance_of_one() {
        let (reference, current) = ([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]);
        assert_eq!(wasserstein(&reference, &current), Some(1.0));
        assert!((ks_statistic(&reference, &current).unwrap() - 1.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn samples_of_different_sizes_and_ties_are_compared_by_their_distributions() {
        assert_eq!(wasserstein(&[1.0, 1.0, 5.0, 5.0], &[1.0, 5.0]), Some(0.0));
        assert_eq!(ks_statistic(&[1.0, 1.0, 5.0, 5.0], &[1.0, 5.0]), Some(0.0));
        assert_eq!(ks_statistic(&[1.0], &[2.0, 2.0]), Some(1.0));
        assert_eq!(ks_statistic(&[], &[2.0]), None);
        assert_eq!(wasserstein(&[1.0], &[]), None);
    }
}
