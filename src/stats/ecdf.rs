//! Distances between distribution functions on frozen cells: Kolmogorov-Smirnov and Wasserstein.
//!
//! Cells are in the order of the values. With `B` cells the two distribution functions are known at
//! the `B - 1` inner edges; between them nothing is known, which [`ks_upper_bound`] puts a figure
//! on. `None` where the slices differ in length or a side has no rows.

use std::f64::consts::FRAC_2_PI;

use super::special::kolmogorov_sf;
use super::{Interval, error_rate, inverse_sizes, totals};

/// `P(edge) - Q(edge)` at every inner edge: reference less current, from the first edge on.
fn gaps(reference: &[u64], current: &[u64]) -> Option<impl Iterator<Item = f64>> {
    let (n, m) = totals(reference, current)?;
    let inner = reference.len() - 1;
    let (mut below_p, mut below_q) = (0_u128, 0_u128);
    Some(reference.iter().zip(current).take(inner).map(move |(&p, &q)| {
        below_p += u128::from(p);
        below_q += u128::from(q);
        below_p as f64 / m - below_q as f64 / n
    }))
}

/// Kolmogorov-Smirnov distance on cells: the largest `|P - Q|` over the inner edges, 0 to 1.
///
/// A lower bound of the distance of the raw values, equal to it where the largest gap is at an
/// edge. 0 with one cell.
pub fn ks_binned(reference: &[u64], current: &[u64]) -> Option<f64> {
    Some(gaps(reference, current)?.fold(0.0, |largest: f64, gap| largest.max(gap.abs())))
}

/// Upper bound of the Kolmogorov-Smirnov distance of the raw values: [`ks_binned`] plus the largest
/// `min(p, q)` over the cells, at most 1.
///
/// Inside a cell the gap can grow by at most what one side holds while the other holds none yet;
/// starting from the gap at one end or shrinking back to the gap at the other, by the smaller share.
pub fn ks_upper_bound(reference: &[u64], current: &[u64]) -> Option<f64> {
    let (n, m) = totals(reference, current)?;
    let within = reference.iter().zip(current).map(|(&p, &q)| (p as f64 / m).min(q as f64 / n));
    Some((ks_binned(reference, current)? + within.fold(0.0, f64::max)).min(1.0))
}

/// Probability of a distance of at least `d` where both samples follow one distribution:
/// Kolmogorov's limit at `d sqrt(nm/(n+m))`; `None` where a sample is empty.
///
/// For a distance on cells it is conservative (too large): the largest gap over some points is at
/// most that over all.
pub fn ks_p_value(d: f64, n: u64, m: u64) -> Option<f64> {
    let sizes = inverse_sizes(n as f64, m as f64)?;
    (!d.is_nan()).then(|| kolmogorov_sf(d / sizes.sqrt()))
}

/// Mean of the distance of raw values under no change: `0.8687 sqrt(1/n + 1/m)`, at most 1.
///
/// The mean of Kolmogorov's distribution, `integral 2 sum (-1)^(k-1) exp(-2 k^2 x^2) dx =
/// sqrt(pi/2) sum (-1)^(k-1)/k = sqrt(pi/2) ln 2` (Marsaglia, Tsang, Wang 2003). On cells the mean
/// is somewhat lower. `None` where a sample is empty.
pub fn ks_expected(n: u64, m: u64) -> Option<f64> {
    let mean = std::f64::consts::FRAC_PI_2.sqrt() * std::f64::consts::LN_2;
    Some((mean * inverse_sizes(n as f64, m as f64)?.sqrt()).min(1.0))
}

/// Half-width that holds for the gap at every point at once with probability `confidence`:
/// Dvoretzky-Kiefer-Wolfowitz with Massart's constant (Annals of Probability 18, 1990) on each
/// sample at half the error, `sqrt(ln(4/alpha)/(2n)) + sqrt(ln(4/alpha)/(2m))`.
fn dkw(n: f64, m: f64, confidence: f64) -> Option<f64> {
    let half = 0.5 * (4.0 / error_rate(confidence)?).ln();
    Some((half / n).sqrt() + (half / m).sqrt())
}

/// Interval for the population distance on the same cells, within 0 to 1; holds its confidence for
/// every sample size. `None` also for a confidence outside (0, 1), or with one cell.
pub fn ks_interval(reference: &[u64], current: &[u64], confidence: f64) -> Option<Interval> {
    let (n, m) = totals(reference, current)?;
    let reach = dkw(n, m, confidence)?;
    let value = ks_binned(reference, current).filter(|_| reference.len() > 1)?;
    Some(Interval { low: value - reach, high: value + reach }.clamp(0.0, 1.0))
}

/// First Wasserstein distance between the first and the last edge, in the unit of the edges:
/// `sum |P - Q| * (distance to the next edge)`.
///
/// `edges` are finite and increasing, one fewer than the cells (else `None`). Mass moved outside
/// the edges adds nothing, so it is a lower bound of the distance of raw values when they leave the
/// edges; between edges it takes the distribution function as constant. 0 with one edge, where
/// there is no distance to measure; `None` without any.
pub fn wasserstein_binned(edges: &[f64], reference: &[u64], current: &[u64]) -> Option<f64> {
    let widths = widths(edges, reference)?;
    finite(gaps(reference, current)?.zip(widths).map(|(gap, width)| gap.abs() * width).sum())
}

/// Mean of [`wasserstein_binned`] under no change:
/// `sum sqrt(2/pi * S(1-S) (1/n + 1/m)) * (distance to the next edge)`, `S` the pooled
/// distribution function at the edge. `None` as for [`wasserstein_binned`].
pub fn wasserstein_expected(edges: &[f64], reference: &[u64], current: &[u64]) -> Option<f64> {
    let widths = widths(edges, reference)?;
    let (n, m) = totals(reference, current)?;
    let scale = FRAC_2_PI * inverse_sizes(n, m)?;
    let mut below = 0_u128;
    let deviation = |((&p, &q), width): ((&u64, &u64), f64)| {
        below += u128::from(p) + u128::from(q);
        let share = (below as f64 / (n + m)).min(1.0);
        (scale * share * (1.0 - share)).sqrt() * width
    };
    finite(reference.iter().zip(current).zip(widths).map(deviation).sum())
}

/// Interval for the population value of [`wasserstein_binned`] on the same edges, 0 or more: the
/// value plus and minus the half-width of [`ks_interval`] times the distance between the outer
/// edges, and no more than that distance. Holds for every sample size; wide.
///
/// `None` as for [`wasserstein_binned`], with one edge, or for a confidence outside (0, 1).
pub fn wasserstein_interval(
    edges: &[f64],
    reference: &[u64],
    current: &[u64],
    confidence: f64,
) -> Option<Interval> {
    let (n, m) = totals(reference, current)?;
    let value = wasserstein_binned(edges, reference, current).filter(|_| edges.len() > 1)?;
    let span = finite(edges.last()? - edges.first()?)?;
    let reach = dkw(n, m, confidence)? * span;
    Interval::checked((value - reach).max(0.0), (value + reach).min(span))
        .map(|interval| interval.including(value))
}

/// Distances from each edge to the next; `None` where the edges do not fit the cells.
fn widths<'a>(edges: &'a [f64], cells: &[u64]) -> Option<impl Iterator<Item = f64> + 'a> {
    let increasing =
        edges.windows(2).all(|pair| pair[0] < pair[1]) && edges.iter().all(|edge| edge.is_finite());
    debug_assert!(increasing, "edges are finite and increasing");
    let fits = !edges.is_empty() && edges.len() + 1 == cells.len();
    (increasing && fits).then(|| edges.windows(2).map(|pair| pair[1] - pair[0]))
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_by_one_cell_has_the_distances_of_the_definition() {
        let (edges, reference, current) = ([0.0, 2.0, 5.0], [1, 1, 1, 1], [0, 1, 1, 2]);
        assert_eq!(ks_binned(&reference, &current), Some(0.25));
        assert_eq!(ks_upper_bound(&reference, &current), Some(0.5));
        // A quarter of the mass is ahead at each of the edges 0 and 2: 0.25 (2 + 3).
        assert_eq!(wasserstein_binned(&edges, &reference, &current), Some(1.25));
    }

    #[test]
    fn what_cannot_be_computed_is_none() {
        assert_eq!(ks_binned(&[], &[]), None);
        assert_eq!(ks_binned(&[0, 0], &[1, 1]), None);
        assert_eq!(ks_binned(&[5], &[7]), Some(0.0));
        assert_eq!(ks_interval(&[5], &[7], 0.95), None);
        assert_eq!(ks_interval(&[5, 1], &[7, 2], 1.0), None);
        assert_eq!(ks_p_value(0.1, 0, 5), None);
        assert_eq!(ks_p_value(f64::NAN, 5, 5), None);
        assert_eq!(ks_expected(0, 5), None);
        assert_eq!(wasserstein_binned(&[], &[5], &[7]), None);
        assert_eq!(wasserstein_binned(&[1.0], &[5, 1], &[7, 2]), Some(0.0));
        assert_eq!(wasserstein_interval(&[1.0], &[5, 1], &[7, 2], 0.95), None);
        assert_eq!(wasserstein_binned(&[1.0, 2.0], &[5, 1], &[7, 2]), None);
        assert_eq!(wasserstein_binned(&[-1e308, 1e308], &[9, 0, 0], &[0, 0, 9]), None);
    }
}
