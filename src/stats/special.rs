//! Normal, chi-squared and Kolmogorov tails, and the parts of Stirling's formula that keep beta and
//! gamma tails accurate for large counts.
//!
//! The normal quantile and the incomplete gamma function of moderate shape are statrs' and agree
//! with scipy to 1e-12. The rest is here and in `beta`, `gamma`, because in statrs `erfc` is wrong
//! from the tenth digit on (5e-11 at 0.5), the beta function's continued fraction is cut at 140
//! terms, too few from about 10^4 counts on, its factor comes from three log gammas that cancel
//! (10^6 counts lose nine digits), and there is no Kolmogorov distribution.

use statrs::function::erf::erfc_inv;
use std::f64::consts::{PI, SQRT_2, TAU};

use super::gamma;

/// Density of the standard normal distribution at `z`.
pub fn normal_pdf(z: f64) -> f64 {
    (-0.5 * z * z).exp() / TAU.sqrt()
}

/// Probability that a standard normal variable is at most `z`; accurate in the lower tail.
///
/// `Q(1/2, z^2/2) / 2` for negative `z` (NIST DLMF 7.11.2), 1 less that of `-z` otherwise.
pub fn normal_cdf(z: f64) -> f64 {
    let (inside, outside) = gamma::tails(0.5, 0.5 * z * z);
    0.5 * if z < 0.0 { outside } else { 1.0 + inside }
}

/// The `z` that a standard normal variable exceeds with probability `tail`.
///
/// `None` unless `tail` is strictly between 0 and 1. Taking the tail and not `1 - tail` keeps
/// every digit of small error rates.
pub fn normal_quantile_upper(tail: f64) -> Option<f64> {
    (tail > 0.0 && tail < 1.0).then(|| SQRT_2 * erfc_inv(2.0 * tail))
}

/// Probability that a chi-squared variable with `dof > 0` degrees of freedom exceeds `x`.
///
/// `Q(dof/2, x/2)`, NIST DLMF 8.2.4. 1 for `x <= 0`; `None` unless `dof` is positive and finite.
pub fn chi_squared_sf(x: f64, dof: f64) -> Option<f64> {
    let valid = dof > 0.0 && dof.is_finite() && !x.is_nan();
    valid.then(|| gamma::tails(0.5 * dof, 0.5 * x).1)
}

/// The value that a chi-squared variable with `dof > 0` degrees of freedom exceeds with
/// probability `tail`; `None` unless `tail` is strictly between 0 and 1.
pub fn chi_squared_quantile_upper(tail: f64, dof: f64) -> Option<f64> {
    let valid = dof > 0.0 && dof.is_finite() && tail > 0.0 && tail < 1.0;
    valid.then(|| 2.0 * gamma::quantile_upper(0.5 * dof, tail))
}

/// Probability that the supremum of a Brownian bridge exceeds `x` (the limit of `sqrt(n) D_n`).
///
/// `2 sum (-1)^(k-1) exp(-2 k^2 x^2)` (Kolmogorov 1933) for large `x`; for small `x`, where that
/// alternates slowly, `1 - sqrt(2 pi)/x sum exp(-(2k-1)^2 pi^2 / (8 x^2))` (Marsaglia, Tsang, Wang,
/// Journal of Statistical Software 8(18), 2003). 1 for `x <= 0`.
pub fn kolmogorov_sf(x: f64) -> f64 {
    // Below, every term of the second series is under exp(-700) and the answer is 1 exactly.
    if x < 0.042 {
        return 1.0;
    }
    if x < 1.0 {
        let sum: f64 =
            (1..=4).map(|k| (2 * k - 1) as f64).map(|odd| (-(odd * PI / x).powi(2) / 8.0).exp()).sum();
        return (1.0 - TAU.sqrt() / x * sum).clamp(0.0, 1.0);
    }
    let term = |k: i32| (-2.0 * f64::from(k * k) * x * x).exp();
    (2.0 * (term(1) - term(2) + term(3) - term(4) + term(5))).clamp(0.0, 1.0)
}

/// `ln(Gamma(x+1)) - (x + 1/2) ln x + x - ln(2 pi)/2`: what Stirling's formula leaves out.
///
/// Loader, "Fast and accurate computation of binomial probabilities" (2000). `x > 0`. The series
/// is asymptotic (NIST DLMF 5.11.1); small `x` climb to where it is exact by
/// `error(x) = error(x+1) + (x + 1/2) ln(1 + 1/x) - 1`, which follows from the definition.
pub(crate) fn stirling_error(x: f64) -> f64 {
    let (mut x, mut climbed) = (x, 0.0);
    while x < 16.0 {
        climbed += (x + 0.5) * (1.0 / x).ln_1p() - 1.0;
        x += 1.0;
    }
    let s = 1.0 / (x * x);
    climbed + (1.0 / 12.0 - s * (1.0 / 360.0 - s * (1.0 / 1260.0 - s * (1.0 / 1680.0 - s / 1188.0)))) / x
}

/// Deviance term `x ln(x/mean) + mean - x`, without cancellation near `x = mean`.
///
/// Loader (2000). `x >= 0`, `mean > 0`.
pub(crate) fn deviance(x: f64, mean: f64) -> f64 {
    if x == 0.0 {
        return mean;
    }
    let difference = x - mean;
    if difference.abs() >= 0.1 * (x + mean) {
        return x * (x / mean).ln() - difference;
    }
    let v = difference / (x + mean);
    let mut sum = difference * v;
    let mut power = 2.0 * x * v;
    for j in 1..100 {
        power *= v * v;
        let next = sum + power / f64::from(2 * j + 1);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

/// Poisson probability `mean^x e^-mean / Gamma(x+1)` for any real `x >= 0` (Loader 2000).
pub(crate) fn poisson_pmf(x: f64, mean: f64) -> f64 {
    if mean <= 0.0 {
        return if x == 0.0 { 1.0 } else { 0.0 };
    }
    if x == 0.0 {
        return (-mean).exp();
    }
    (-stirling_error(x) - deviance(x, mean)).exp() / (TAU * x).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_series_of_the_kolmogorov_tail_meet() {
        let below = kolmogorov_sf(1.0 - 1e-15);
        let above = kolmogorov_sf(1.0);
        assert!((below - above).abs() < 1e-13, "{below} {above}");
        assert_eq!(kolmogorov_sf(0.0), 1.0);
        assert_eq!(kolmogorov_sf(1e9), 0.0);
        assert!(kolmogorov_sf(0.05) <= 1.0);
    }

    #[test]
    fn poisson_probabilities_are_accurate_at_any_size() {
        // exp(-2) 2^3 / 3!
        assert!((poisson_pmf(3.0, 2.0) - (-2.0_f64).exp() * 8.0 / 6.0).abs() < 1e-15);
        // At its mean a large Poisson probability is 1/sqrt(2 pi mean) (1 - 1/(12 mean) + ...).
        let mean = 1e12;
        let expected = (1.0 - 1.0 / (12.0 * mean)) / (TAU * mean).sqrt();
        assert!((poisson_pmf(mean, mean) / expected - 1.0).abs() < 1e-12);
    }

    #[test]
    fn normal_probabilities_have_all_their_digits() {
        // Python 3.11, math.erfc(-z / sqrt 2) / 2.
        for (z, expected) in [
            (-8.0, 6.220960574271785e-16),
            (-3.0, 0.001349898031630095),
            (-0.5, 0.308537538725987),
            (0.0, 0.5),
            (1.0, 0.8413447460685429),
        ] {
            assert!((normal_cdf(z) / expected - 1.0).abs() < 1e-13, "{z}: {}", normal_cdf(z));
        }
    }

    #[test]
    fn undefined_tails_are_none() {
        assert_eq!(normal_quantile_upper(0.0), None);
        assert_eq!(normal_quantile_upper(1.0), None);
        assert_eq!(normal_quantile_upper(f64::NAN), None);
        assert_eq!(chi_squared_sf(1.0, 0.0), None);
        assert_eq!(chi_squared_sf(f64::NAN, 3.0), None);
        assert_eq!(chi_squared_sf(f64::INFINITY, 3.0), Some(0.0));
        assert_eq!(chi_squared_quantile_upper(1.5, 3.0), None);
    }
}
