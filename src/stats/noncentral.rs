//! The noncentral chi-squared distribution: what a divergence of counts follows when the two
//! populations differ. Inverting it turns a divergence into an interval for the population value.

use super::special::{chi_squared_sf, normal_cdf, poisson_pmf};
use super::{gamma, root};

/// From this noncentrality on Sankaran's approximation serves: it is within 1e-4 of the exact
/// probability there, and costs nothing, while the mixture's cost grows with the square root.
const LARGE: f64 = 1000.0;

/// Probability that a noncentral chi-squared variable is at most `x`.
///
/// `dof > 0`, `noncentrality >= 0`, all finite, else `None`; 0 for `x <= 0`. Up to a noncentrality
/// of 1000 the Poisson mixture of central probabilities (Johnson, Kotz, Balakrishnan, Continuous
/// Univariate Distributions 2, eq. 29.3), summed outwards from its largest weight; above it the
/// third approximation of Sankaran (Biometrika 50, 1963).
pub fn cdf(x: f64, dof: f64, noncentrality: f64) -> Option<f64> {
    let valid = dof > 0.0 && dof.is_finite() && noncentrality >= 0.0 && noncentrality.is_finite();
    if !valid || !x.is_finite() {
        return None;
    }
    Some(if x <= 0.0 {
        0.0
    } else if noncentrality <= LARGE {
        mixture(x, dof, noncentrality)
    } else {
        sankaran(x, dof, noncentrality)
    })
}

fn mixture(x: f64, dof: f64, noncentrality: f64) -> f64 {
    // Weights below this cannot change the sum.
    const NEGLIGIBLE: f64 = 1e-17;
    let (y, mean) = (0.5 * x, 0.5 * noncentrality);
    let mode = mean.floor();
    let shape = 0.5 * dof + mode;
    let weight = poisson_pmf(mode, mean);
    let (probability, _) = gamma::tails(shape, y);
    let step = poisson_pmf(shape, y);
    let mut sum = weight * probability;

    // P(a+1, y) = P(a, y) - y^a e^-y / Gamma(a+1), NIST DLMF 8.8.5.
    let (mut w, mut p, mut t, mut j) = (weight, probability, step, mode);
    while w > NEGLIGIBLE && p > 0.0 {
        p = (p - t).max(0.0);
        t *= y / (0.5 * dof + j + 1.0);
        j += 1.0;
        w *= mean / j;
        sum += w * p;
    }
    let (mut w, mut p, mut t, mut j) = (weight, probability, step, mode);
    while w > NEGLIGIBLE && j > 0.0 {
        t *= (0.5 * dof + j) / y;
        p = (p + t).min(1.0);
        w *= j / mean;
        j -= 1.0;
        sum += w * p;
    }
    sum.clamp(0.0, 1.0)
}

fn sankaran(x: f64, dof: f64, noncentrality: f64) -> f64 {
    let (one, two, three) = (dof + noncentrality, dof + 2.0 * noncentrality, dof + 3.0 * noncentrality);
    let h = 1.0 - 2.0 / 3.0 * one * three / (two * two);
    let p = two / (one * one);
    let m = (h - 1.0) * (1.0 - 3.0 * h);
    let mean = 1.0 + h * p * (h - 1.0 - 0.5 * (2.0 - h) * m * p);
    let spread = h * (2.0 * p).sqrt() * (1.0 + 0.5 * m * p);
    normal_cdf(((x / one).powf(h) - mean) / spread)
}

/// The noncentrality under which a value of at most `x` has probability `probability`.
///
/// Probabilities fall as the noncentrality grows; where even 0 gives no more than `probability`,
/// the answer is 0. `None` as for [`cdf`], or unless `probability` is strictly between 0 and 1.
pub fn noncentrality(x: f64, dof: f64, probability: f64) -> Option<f64> {
    if !(probability > 0.0 && probability < 1.0 && x.is_finite()) {
        return None;
    }
    if x <= 0.0 || 1.0 - chi_squared_sf(x, dof)? <= probability {
        return Some(0.0);
    }
    let excess = |lambda: f64| cdf(x, dof, lambda).unwrap_or(0.0) - probability;
    // The variable is about (sqrt(x) +- z)^2, so the root is within a few sqrt(x) of x.
    let mut high = x + 4.0 * x.sqrt() + 4.0;
    while excess(high) > 0.0 && high < f64::MAX / 4.0 {
        high *= 2.0;
    }
    let mut low = (x - dof - 8.0 * (x + dof).sqrt()).max(0.0);
    if excess(low) < 0.0 {
        low = 0.0;
    }
    Some(root::find(low, high, excess))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_degree_of_freedom_is_the_square_of_a_shifted_normal() {
        // P((Z + d)^2 <= x) = Phi(sqrt x - d) - Phi(-sqrt x - d).
        for lambda in [0.0_f64, 0.3, 7.0, 400.0, 999.0] {
            for z in [-3.0, -1.0, 0.0, 2.0, 4.0] {
                let root = (lambda.sqrt() + z).max(0.1);
                let exact = normal_cdf(root - lambda.sqrt()) - normal_cdf(-root - lambda.sqrt());
                let found = cdf(root * root, 1.0, lambda).unwrap();
                assert!((found - exact).abs() < 1e-12, "{lambda} {z}: {found} {exact}");
            }
        }
    }

    #[test]
    fn the_approximation_meets_the_mixture() {
        for dof in [1.0, 9.0, 63.0] {
            for z in [-4.0, -2.0, 0.0, 2.0, 4.0] {
                let x = dof + LARGE + z * (2.0 * (dof + 2.0 * LARGE)).sqrt();
                let (exact, near) = (mixture(x, dof, LARGE), sankaran(x, dof, LARGE));
                assert!((exact - near).abs() < 1e-4, "{dof} {z}: {exact} {near}");
            }
        }
    }

    #[test]
    fn inverting_gives_back_the_probability() {
        for dof in [1.0, 9.0, 71.0] {
            for x in [1e-3, 5.0, 80.0, 950.0, 1e6, 1e16] {
                for probability in [0.005, 0.025, 0.975] {
                    let lambda = noncentrality(x, dof, probability).unwrap();
                    let found = cdf(x, dof, lambda).unwrap();
                    if lambda > 0.0 && lambda < 1e12 {
                        // The two forms differ by up to 1e-4 where they meet.
                        assert!((found - probability).abs() < 1e-4, "{dof} {x} {probability}: {lambda}");
                    }
                }
            }
        }
        assert_eq!(noncentrality(0.0, 9.0, 0.5), Some(0.0));
        assert_eq!(noncentrality(f64::INFINITY, 9.0, 0.5), None);
        assert_eq!(noncentrality(1.0, 0.0, 0.5), None);
    }
}
