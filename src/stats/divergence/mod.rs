//! How far two histograms on the same cells are apart: PSI, Jensen-Shannon, Hellinger, total
//! variation, chi-squared. `reference` has `m` rows, `current` has `n`, on `B` cells frozen in the
//! reference profile; `p` and `q` are their shares.
//!
//! PSI, Jensen-Shannon and Hellinger are computed from shares with half a count added to every cell
//! of both sides, `(count + 1/2) / (total + B/2)`, always: an empty cell would else make PSI
//! infinite, and floors such as 1e-4 make the value depend on the floor. With it, two equal
//! histograms are at distance 0, while merely proportional ones are a little apart. Total variation
//! and chi-squared need no smoothing and have none.
//!
//! All functions give `None` where the slices differ in length or a side has no rows. With one
//! cell every distance is 0; expected levels, p-values and intervals are then `None`, because the
//! data can say nothing. The `*_expected` functions and [`psi_null_mean`] give the level under no
//! change, the `*_interval` functions an interval for the population value.

mod null;
mod population;

pub use null::{
    chi_squared_expected, hellinger_expected, jensen_shannon_expected, psi_null_mean, psi_p_value,
    total_variation_expected,
};
pub use population::{
    chi_squared_interval, hellinger_interval, jensen_shannon_interval, psi_interval, total_variation_interval,
};

use super::special::chi_squared_sf;
use super::totals;

/// Shares with half a count added to every cell: `(count + 1/2) / (total + B/2)`, all positive.
fn smoothed(counts: &[u64], total: f64) -> impl Iterator<Item = f64> {
    let denominator = total + 0.5 * counts.len() as f64;
    counts.iter().map(move |&count| (count as f64 + 0.5) / denominator)
}

/// `(p, q)` of every cell, smoothed; `None` where a side has no rows.
fn smoothed_pairs(reference: &[u64], current: &[u64]) -> Option<impl Iterator<Item = (f64, f64)>> {
    let (n, m) = totals(reference, current)?;
    Some(smoothed(reference, m).zip(smoothed(current, n)))
}

/// `(p, q)` of every cell as counted; `None` where a side has no rows.
fn raw_pairs(reference: &[u64], current: &[u64]) -> Option<impl Iterator<Item = (f64, f64)>> {
    let (n, m) = totals(reference, current)?;
    Some(reference.iter().zip(current).map(move |(&p, &q)| (p as f64 / m, q as f64 / n)))
}

/// Population stability index, nats: `sum (q-p) ln(q/p)` over shares with half a count added.
///
/// Also called Jeffreys divergence (Jeffreys 1946); symmetric, 0 or more, unbounded. Source of its
/// distribution: Yurdakul, "Statistical properties of population stability index" (2018).
pub fn psi(reference: &[u64], current: &[u64]) -> Option<f64> {
    Some(smoothed_pairs(reference, current)?.map(|(p, q)| (q - p) * (q / p).ln()).sum())
}

/// PSI of the raw shares, for comparison with tools that do not smooth.
///
/// Cells that are empty on both sides are left out; `None` also where a cell is empty on one side
/// only, because the value is infinite then.
pub fn psi_unsmoothed(reference: &[u64], current: &[u64]) -> Option<f64> {
    // (q-p) ln(q/p) cell by cell never goes below 0, which the sum of two KL divergences might.
    let mut sum = 0.0;
    for (p, q) in raw_pairs(reference, current)? {
        match (p > 0.0, q > 0.0) {
            (true, true) => sum += (q - p) * (q / p).ln(),
            (false, false) => {}
            _ => return None,
        }
    }
    Some(sum)
}

/// Kullback-Leibler divergence of the raw shares, nats: `sum p ln(p/q)`, `p` from `from`, `q` from
/// `to`; 0 or more, not symmetric.
///
/// `None` also where a cell of `to` is empty and the same cell of `from` is not.
pub fn kl(from: &[u64], to: &[u64]) -> Option<f64> {
    let mut sum = 0.0;
    for (p, q) in raw_pairs(from, to)? {
        if p > 0.0 {
            if q == 0.0 {
                return None;
            }
            // q - p adds up to 0 over all cells and makes every term 0 or more.
            sum += p * (p / q).ln() + (q - p);
        } else {
            sum += q;
        }
    }
    Some(sum.max(0.0))
}

/// Jensen-Shannon distance, base e, from shares with half a count added: the square root of
/// `1/2 KL(p||a) + 1/2 KL(q||a)`, `a = (p+q)/2`. A metric, 0 to `sqrt(ln 2)` = 0.8326.
///
/// Lin, IEEE Transactions on Information Theory 37 (1991); Endres and Schindelin, same journal 49
/// (2003), for the square root.
pub fn jensen_shannon_distance(reference: &[u64], current: &[u64]) -> Option<f64> {
    Some(jensen_shannon(smoothed_pairs(reference, current)?).sqrt())
}

/// Jensen-Shannon distance, base 2, of the raw shares, 0 to 1: the number that scipy and NannyML
/// give, for comparison.
pub fn jensen_shannon_distance_base2(reference: &[u64], current: &[u64]) -> Option<f64> {
    Some((jensen_shannon(raw_pairs(reference, current)?) / std::f64::consts::LN_2).sqrt())
}

/// The divergence in nats. A cell gives `a/2 ((1+d) ln(1+d) + (1-d) ln(1-d))`, `d = (q-p)/(q+p)`,
/// written so that it neither cancels for small `d` nor overflows at `d = 1`.
fn jensen_shannon(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let term = |(p, q): (f64, f64)| {
        let sum = p + q;
        if sum == 0.0 {
            return 0.0;
        }
        let d = ((q - p) / sum).abs();
        let both = if d < 0.5 {
            2.0 * d * d.atanh() + (-d * d).ln_1p()
        } else if d < 1.0 {
            (1.0 + d) * d.ln_1p() + (1.0 - d) * (-d).ln_1p()
        } else {
            2.0 * std::f64::consts::LN_2
        };
        0.25 * sum * both.max(0.0)
    };
    pairs.map(term).sum::<f64>().min(std::f64::consts::LN_2)
}

/// Hellinger distance from shares with half a count added:
/// `sqrt(1/2 sum (sqrt p - sqrt q)^2) = sqrt(1 - sum sqrt(p q))`, 0 to 1, a metric.
pub fn hellinger(reference: &[u64], current: &[u64]) -> Option<f64> {
    let sum: f64 = smoothed_pairs(reference, current)?.map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2)).sum();
    Some((0.5 * sum).sqrt().min(1.0))
}

/// Total variation distance of the raw shares: `1/2 sum |p - q|`, 0 to 1, a metric. The largest
/// difference in probability that any set of cells shows.
pub fn total_variation(reference: &[u64], current: &[u64]) -> Option<f64> {
    let sum: f64 = raw_pairs(reference, current)?.map(|(p, q)| (p - q).abs()).sum();
    Some((0.5 * sum).min(1.0))
}

/// The two-sample chi-squared test of homogeneity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChiSquared {
    /// Pearson's statistic, 0 or more; with Yates' correction at one degree of freedom.
    pub statistic: f64,
    /// Probability of a statistic at least this large where both sides follow the same shares.
    pub p_value: f64,
    /// Cells that are not empty on both sides, less 1.
    pub dof: u64,
}

/// Pearson's chi-squared statistic of the 2 x B table of counts, its p-value and its degrees of
/// freedom: `sum (O-E)^2 / E`, `E` = row total times column total over all rows.
///
/// Cells empty on both sides are dropped. At one degree of freedom each `|O-E|` is first brought
/// nearer to 0 by at most 1/2 (Yates, 1934), as `scipy.stats.chi2_contingency` does. The p-value
/// is good where most expected counts are 5 or more. `None` also with fewer than two cells left.
pub fn chi_squared(reference: &[u64], current: &[u64]) -> Option<ChiSquared> {
    let (n, m) = totals(reference, current)?;
    let dof = occupied_cells(reference, current).checked_sub(1).filter(|&dof| dof > 0)?;
    let statistic = pearson(reference, current, n, m, if dof == 1 { 0.5 } else { 0.0 });
    Some(ChiSquared { statistic, p_value: chi_squared_sf(statistic, dof as f64)?, dof })
}

/// Cells that hold a row of either side.
fn occupied_cells(reference: &[u64], current: &[u64]) -> u64 {
    reference.iter().zip(current).filter(|&(&p, &q)| p > 0 || q > 0).count() as u64
}

/// The statistic with each deviation brought nearer to 0 by at most `correction`.
fn pearson(reference: &[u64], current: &[u64], n: f64, m: f64, correction: f64) -> f64 {
    let term = |(&p, &q): (&u64, &u64)| {
        let (p, q) = (p as f64, q as f64);
        let column = p + q;
        if column == 0.0 {
            return 0.0;
        }
        let cell = |observed: f64, row: f64| {
            let expected = column * (row / (n + m));
            ((observed - expected).abs() - correction).max(0.0).powi(2) / expected
        };
        cell(p, m) + cell(q, n)
    };
    reference.iter().zip(current).map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_without_rows_or_other_cells_is_undefined() {
        for (reference, current) in
            [(&[][..], &[][..]), (&[0, 0][..], &[1, 2][..]), (&[1, 2][..], &[0, 0][..])]
        {
            assert_eq!(psi(reference, current), None);
            assert_eq!(psi_unsmoothed(reference, current), None);
            assert_eq!(kl(reference, current), None);
            assert_eq!(jensen_shannon_distance(reference, current), None);
            assert_eq!(hellinger(reference, current), None);
            assert_eq!(total_variation(reference, current), None);
            assert_eq!(chi_squared(reference, current), None);
            assert_eq!(total_variation_expected(reference, current), None);
            assert_eq!(psi_interval(reference, current, 0.95), None);
            assert_eq!(total_variation_interval(reference, current, 0.95), None);
        }
    }

    #[test]
    fn one_cell_is_at_distance_zero_and_says_nothing() {
        let (reference, current) = (&[70][..], &[3][..]);
        assert_eq!(psi(reference, current), Some(0.0));
        assert_eq!(jensen_shannon_distance(reference, current), Some(0.0));
        assert_eq!(total_variation(reference, current), Some(0.0));
        assert_eq!(chi_squared(reference, current), None);
        assert_eq!(psi_p_value(0.0, 1, 3, 70), None);
        assert_eq!(psi_null_mean(1, 3, 70), None);
        assert_eq!(psi_interval(reference, current, 0.95), None);
        assert_eq!(jensen_shannon_interval(reference, current, 0.95), None);
        assert_eq!(hellinger_interval(reference, current, 0.95), None);
        assert_eq!(chi_squared_interval(reference, current, 0.95), None);
        assert_eq!(total_variation_interval(reference, current, 0.95), None);
    }

    #[test]
    fn disjoint_histograms_reach_the_upper_ends() {
        let (reference, current) = (&[1 << 53, 0][..], &[0, 1 << 53][..]);
        assert_eq!(total_variation(reference, current), Some(1.0));
        assert_eq!(jensen_shannon_distance_base2(reference, current), Some(1.0));
        assert!(hellinger(reference, current).unwrap() > 0.999_999);
        assert_eq!(kl(reference, current), None);
        assert_eq!(psi_unsmoothed(reference, current), None);
    }
}
