//! What the divergences are when nothing has changed. None of them is 0 then: counts scatter, and
//! with few rows a "large" PSI is what no change looks like (10 cells, 100 rows against 100:
//! 0.18 on average). A value is worth showing only beside this level.
//!
//! All rest on one fact: under no change `N * PSI`, `8 N * JS divergence` and `8 N * Hellinger^2`
//! follow, for large samples, the chi-squared distribution with `B - 1` degrees of freedom, where
//! `1/N = 1/n + 1/m` (Taylor expansion of each to second order, where they equal Pearson's
//! chi-squared; Yurdakul 2018 for PSI, Menendez et al. 1997 for Jensen-Shannon). Sizes are raw
//! row counts, without the halves that smoothing adds.

use std::f64::consts::FRAC_2_PI;

use statrs::function::gamma::ln_gamma;

use crate::stats::special::chi_squared_sf;
use crate::stats::{inverse_sizes, totals};

/// Mean of the PSI under no change: `(B-1) (1/n + 1/m)`; `None` for `b < 2` or an empty side.
pub fn psi_null_mean(b: usize, n: u64, m: u64) -> Option<f64> {
    let dof = dof(b)?;
    Some(dof * inverse_sizes(n as f64, m as f64)?)
}

/// Probability of a PSI of at least `psi` under no change: chi-squared tail at `psi / (1/n + 1/m)`
/// with `B - 1` degrees of freedom; `None` for `b < 2` or an empty side.
///
/// Within a tenth of its level for 10 cells from 100 rows on; with more cells than a third of the
/// rows it is too large (no alarm where there should be one).
pub fn psi_p_value(psi: f64, b: usize, n: u64, m: u64) -> Option<f64> {
    let dof = dof(b)?;
    chi_squared_sf(psi / inverse_sizes(n as f64, m as f64)?, dof)
}

/// Mean of the Jensen-Shannon distance (base e) under no change: the mean of the chi distribution
/// with `B - 1` degrees of freedom times `sqrt((1/n + 1/m) / 8)`.
///
/// `None` for `b < 2` or an empty side.
pub fn jensen_shannon_expected(b: usize, n: u64, m: u64) -> Option<f64> {
    let dof = dof(b)?;
    // The square of a distance averages dof/(8N); its root averages less, by the chi mean.
    Some(chi_mean(dof) * (inverse_sizes(n as f64, m as f64)? / 8.0).sqrt())
}

/// Mean of the Hellinger distance under no change; the same as [`jensen_shannon_expected`], since
/// both squares agree to second order.
pub fn hellinger_expected(b: usize, n: u64, m: u64) -> Option<f64> {
    jensen_shannon_expected(b, n, m)
}

/// Mean of the chi-squared statistic under no change: its degrees of freedom, where
/// [`chi_squared`](super::chi_squared) is defined.
pub fn chi_squared_expected(reference: &[u64], current: &[u64]) -> Option<f64> {
    totals(reference, current)?;
    super::occupied_cells(reference, current).checked_sub(1).filter(|&dof| dof > 0).map(|dof| dof as f64)
}

/// Mean of the total variation distance under no change:
/// `1/2 sum sqrt(2/pi * s(1-s) (1/n + 1/m))`, `s` the pooled share of a cell.
///
/// Each `p - q` is about normal with that variance, and a centred normal variable is `sqrt(2/pi)`
/// standard deviations from 0 on average. `None` with fewer than two cells or an empty side.
pub fn total_variation_expected(reference: &[u64], current: &[u64]) -> Option<f64> {
    dof(reference.len())?;
    let (n, m) = totals(reference, current)?;
    let scale = FRAC_2_PI * inverse_sizes(n, m)?;
    let deviation = |(&p, &q): (&u64, &u64)| {
        let share = ((p as f64 + q as f64) / (n + m)).min(1.0);
        (scale * share * (1.0 - share)).sqrt()
    };
    Some((0.5 * reference.iter().zip(current).map(deviation).sum::<f64>()).min(1.0))
}

/// Mean of the chi distribution: `sqrt 2 Gamma((k+1)/2) / Gamma(k/2)`.
fn chi_mean(dof: f64) -> f64 {
    std::f64::consts::SQRT_2 * (ln_gamma(0.5 * (dof + 1.0)) - ln_gamma(0.5 * dof)).exp()
}

/// `B - 1`, where it is positive.
fn dof(b: usize) -> Option<f64> {
    b.checked_sub(1).filter(|&dof| dof > 0).map(|dof| dof as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chi_mean_is_that_of_the_known_cases() {
        assert!((chi_mean(1.0) - FRAC_2_PI.sqrt()).abs() < 1e-14);
        assert!((chi_mean(2.0) - (std::f64::consts::PI / 2.0).sqrt()).abs() < 1e-14);
        assert!((chi_mean(1e4) - 1e2 * (1.0 - 0.25e-4)).abs() < 1e-6);
    }

    #[test]
    fn two_even_cells_vary_by_half_a_normal() {
        // One free share: TV = |p - q|, standard deviation sqrt(1/4 (1/n + 1/m)).
        let found = total_variation_expected(&[200, 200], &[50, 50]).unwrap();
        assert!((found - (FRAC_2_PI * 0.25 * (1.0 / 400.0 + 0.01)).sqrt()).abs() < 1e-15);
    }
}
