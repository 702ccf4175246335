//! Tails and quantiles of the gamma distribution (unit scale), hence of chi-squared and Poisson,
//! for any shape up to 2^53.

use statrs::function::gamma::{gamma_lr, gamma_ur};

use super::root;
use super::special::{deviance, normal_cdf, normal_pdf, normal_quantile_upper};

/// Above this shape the series takes thousands of steps and its factor loses digits, while the
/// asymptotic form is right to about shape^(-3/2), here 3e-8.
const LARGE: f64 = 1e5;

/// `(P(a, x), Q(a, x))`: probabilities that a gamma variable of shape `a > 0` is at most and above
/// `x`; `(0, 1)` for `x <= 0`.
///
/// Up to shape 1e5 statrs' series and continued fraction; above, the first term of Temme's uniform
/// expansion (NIST DLMF 8.12.3-8.12.8): `P = Phi(z) + phi(z) (1/z - sqrt(a)/(x-a))`,
/// `z = sign(x-a) sqrt(2 deviance(a, x))`.
pub(crate) fn tails(a: f64, x: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    if x.is_infinite() {
        return (1.0, 0.0);
    }
    if a <= LARGE {
        return (gamma_lr(a, x).clamp(0.0, 1.0), gamma_ur(a, x).clamp(0.0, 1.0));
    }
    let z = (2.0 * deviance(a, x).max(0.0)).sqrt().copysign(x - a);
    let u = (x - a) / a.sqrt();
    saddle(z, u, 1.0 / (3.0 * a.sqrt()))
}

/// `(Phi(z) + phi(z) (1/z - 1/u), its complement)`; `limit` stands for the bracket where `z` and
/// `u` are so small that it cancels.
pub(crate) fn saddle(z: f64, u: f64, limit: f64) -> (f64, f64) {
    let bracket = if z.abs() < 1e-3 || u.abs() < 1e-3 { limit } else { 1.0 / z - 1.0 / u };
    let shift = normal_pdf(z) * bracket;
    ((normal_cdf(z) + shift).clamp(0.0, 1.0), (normal_cdf(-z) - shift).clamp(0.0, 1.0))
}

/// The `x` with `P(a, x) = tail`, `0 < tail < 1`.
pub(crate) fn quantile_lower(a: f64, tail: f64) -> f64 {
    let guess = wilson_hilferty(a, normal_quantile_upper(tail).map(|z| -z));
    bracketed(a, guess, |x| tails(a, x).0 - tail)
}

/// The `x` with `Q(a, x) = tail`, `0 < tail < 1`.
pub(crate) fn quantile_upper(a: f64, tail: f64) -> f64 {
    let guess = wilson_hilferty(a, normal_quantile_upper(tail));
    bracketed(a, guess, |x| tail - tails(a, x).1)
}

/// Wilson and Hilferty's cube (PNAS 17, 1931): where a gamma quantile is, to a few percent.
fn wilson_hilferty(a: f64, z: Option<f64>) -> f64 {
    let spread = 1.0 / (9.0 * a);
    a * (1.0 - spread + z.unwrap_or(0.0) * spread.sqrt()).max(0.0).powi(3)
}

/// The root of the increasing `f`, from a bracket of one standard deviation around `guess` that
/// doubles until it holds the root.
fn bracketed(a: f64, guess: f64, f: impl Fn(f64) -> f64) -> f64 {
    // At least a step of f64, so that doubling it gets somewhere.
    let mut width = (0.05 * a.sqrt().max(guess / a.sqrt())).max(f64::EPSILON * guess);
    let (mut low, mut high) = ((guess - width).max(0.0), guess + width);
    while low > 0.0 && f(low) > 0.0 {
        high = low;
        low = (low - width).max(0.0);
        width *= 2.0;
    }
    while f(high) < 0.0 && high < f64::MAX / 4.0 {
        low = high;
        high += width;
        width *= 2.0;
    }
    root::find(low, high, f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_asymptotic_form_meets_the_series() {
        let a = LARGE;
        for z in [-5.0, -2.0, -0.5, -1e-6, 0.0, 1e-6, 0.5, 2.0, 5.0] {
            let x = a + z * a.sqrt();
            let (p, q) = tails(a, x);
            let (p_large, q_large) = tails(a * (1.0 + 1e-15), x);
            assert!((p - p_large).abs() < 3e-8 && (q - q_large).abs() < 3e-8, "{z}: {p} {p_large}");
            assert!((p_large + q_large - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn quantiles_undo_tails_at_any_shape() {
        for a in [0.5, 1.0, 4.5, 300.0, 9e4, 1e7, 9e15] {
            for tail in [1e-6, 0.025, 0.5, 0.9] {
                let (low, high) = (quantile_lower(a, tail), quantile_upper(a, tail));
                // Beyond 1e12 the spacing of f64 around `a` shows in the tail.
                let tolerance = if a > 1e12 { 1e-7 } else { 1e-9 };
                assert!((tails(a, low).0 - tail).abs() < tolerance, "lower {a} {tail}: {low}");
                assert!((tails(a, high).1 - tail).abs() < tolerance, "upper {a} {tail}: {high}");
            }
        }
    }
}
