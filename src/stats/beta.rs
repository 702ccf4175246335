//! Tails and quantiles of the beta distribution, hence of binomial counts, for any parameters up
//! to 2^53. See `special` for why this is not statrs'.

use std::f64::consts::TAU;

use super::gamma::saddle;
use super::root;
use super::special::{deviance, normal_quantile_upper, stirling_error};

/// Above this, for both parameters, the continued fraction takes thousands of steps, while the
/// asymptotic form is right to about parameter^(-3/2), here 3e-8 of a probability and, because the
/// distribution is that narrow, 1e-11 of a quantile.
const LARGE: f64 = 1e5;

/// `(I_x(a,b), I_{1-x}(b,a))`: probabilities that a beta variable is at most and above `x`.
///
/// A continued fraction times `x^a (1-x)^b / B(a,b)`, which comes from Loader's binomial
/// probability, because log gammas cancel; for large `a` and `b` the first term of Temme's uniform expansion (NIST DLMF 8.18.9):
/// `Phi(z) + phi(z) (1/z - 1/u)`, `z` from the deviance, `u` the distance in standard deviations.
/// `a`, `b` positive; `x` is brought into `0..=1`.
pub(crate) fn tails(a: f64, b: f64, x: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    if x >= 1.0 {
        return (1.0, 0.0);
    }
    let sum = a + b;
    if a.min(b) > LARGE {
        let mean = a / sum;
        let spread = (mean * (b / sum)).sqrt();
        let z = (2.0 * (deviance(a, sum * x) + deviance(b, sum * (1.0 - x))).max(0.0)).sqrt();
        let u = sum.sqrt() * (x - mean) / spread;
        let limit = (b - a) / sum / (3.0 * spread * sum.sqrt());
        return saddle(z.copysign(u), u, limit);
    }
    let density = kernel(a, b, x);
    let y = 1.0 - x;
    // From the smaller of the two shares, which carries more digits.
    let excess = if a > b { sum * y - b } else { a - sum * x };
    if excess >= 0.0 {
        let lower = (density * fraction(a, b, x, y, excess)).clamp(0.0, 1.0);
        (lower, 1.0 - lower)
    } else {
        let upper = (density * fraction(b, a, y, x, -excess)).clamp(0.0, 1.0);
        (1.0 - upper, upper)
    }
}

/// `x^a (1-x)^b / B(a,b)` (Loader 2000, extended to real parameters).
fn kernel(a: f64, b: f64, x: f64) -> f64 {
    let sum = a + b;
    let log = stirling_error(sum)
        - stirling_error(a)
        - stirling_error(b)
        - deviance(a, sum * x)
        - deviance(b, sum * (1.0 - x));
    log.exp() * (a * (b / sum) / TAU).sqrt()
}

/// `B(a,b) I_x(a,b) / (x^a y^b)` for `y = 1 - x` and `excess = a - (a+b) x >= 0`.
///
/// Function BFRAC of DiDonato and Morris (ACM TOMS 18, algorithm 708, 1992): every term of it is
/// positive, so nothing cancels even where `b` exceeds `a` by a factor of 10^15.
fn fraction(a: f64, b: f64, x: f64, y: f64, excess: f64) -> f64 {
    // It converges in a few times sqrt(LARGE) steps; the cap only keeps the loop finite.
    const STEPS: u32 = 20_000;
    let c = excess + 1.0;
    let c0 = b / a;
    let c1 = 1.0 / a + 1.0;
    let (mut p, mut s) = (1.0, a + 1.0);
    let (mut numerator, mut denominator) = (0.0, 1.0);
    let (mut next_numerator, mut next_denominator) = (1.0, c / c1);
    let mut ratio = c1 / c;
    for n in 1..STEPS {
        let n = f64::from(n);
        let t = n / a;
        let w = n * (b - n) * x;
        let e = a / s;
        let alpha = p * (p + c0) * e * e * (w * x);
        let e = (t + 1.0) / (c1 + t + t);
        let beta = n + w / s + e * (c + n * (y + 1.0));
        p = t + 1.0;
        s += 2.0;
        (numerator, next_numerator) = (next_numerator, alpha * numerator + beta * next_numerator);
        (denominator, next_denominator) = (next_denominator, alpha * denominator + beta * next_denominator);
        let last = ratio;
        ratio = next_numerator / next_denominator;
        if (ratio - last).abs() <= 1e-15 * ratio {
            break;
        }
        numerator /= next_denominator;
        denominator /= next_denominator;
        next_numerator = ratio;
        next_denominator = 1.0;
    }
    ratio
}

/// The `x` with `I_x(a,b) = tail`, `0 < tail < 1`.
pub(crate) fn quantile_lower(a: f64, b: f64, tail: f64) -> f64 {
    bracketed(a, b, -normal_quantile_upper(tail).unwrap_or(0.0), |x| tails(a, b, x).0 - tail)
}

/// The `x` that a beta variable exceeds with probability `tail`, `0 < tail < 1`.
pub(crate) fn quantile_upper(a: f64, b: f64, tail: f64) -> f64 {
    bracketed(a, b, normal_quantile_upper(tail).unwrap_or(0.0), |x| tail - tails(a, b, x).1)
}

/// The root of the increasing `f`, from a bracket around the normal approximation that doubles
/// until it holds the root.
fn bracketed(a: f64, b: f64, z: f64, f: impl Fn(f64) -> f64) -> f64 {
    let sum = a + b;
    let spread = (a / sum * (b / sum) / (sum + 1.0)).sqrt();
    let guess = (a / sum + z * spread).clamp(0.0, 1.0);
    // At least a step of f64, so that doubling it gets somewhere.
    let mut width = (0.1 * spread).max(f64::EPSILON * guess).max(f64::MIN_POSITIVE);
    let (mut low, mut high) = ((guess - width).max(0.0), (guess + width).min(1.0));
    while low > 0.0 && f(low) > 0.0 {
        high = low;
        low = (low - width).max(0.0);
        width *= 2.0;
    }
    while high < 1.0 && f(high) < 0.0 {
        low = high;
        high = (high + width).min(1.0);
        width *= 2.0;
    }
    root::find(low, high, f)
}

/// Probability that a binomial count of `n` trials with chance `q` is at most `k`.
///
/// `I_{1-q}(n-k, k+1)`, NIST DLMF 8.17.5. 1 for `k >= n`.
pub(crate) fn binomial_cdf(k: u64, n: u64, q: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    tails(k as f64 + 1.0, (n - k) as f64, q).1
}

/// Probability that a binomial count of `n` trials with chance `q` is at least `k`; the complement
/// of [`binomial_cdf`] without cancellation. 1 for `k = 0`.
pub(crate) fn binomial_sf(k: u64, n: u64, q: f64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if k > n {
        return 0.0;
    }
    tails(k as f64, (n - k) as f64 + 1.0, q).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_forms_hold() {
        // I_x(1, b) = 1 - (1-x)^b and I_x(a, 1) = x^a.
        for x in [1e-9_f64, 0.2, 0.7, 1.0 - 1e-9] {
            let expected = -(7.0 * (-x).ln_1p()).exp_m1();
            assert!((tails(1.0, 7.0, x).0 - expected).abs() < 1e-14 * expected);
            assert!((tails(7.0, 1.0, x).0 / x.powi(7) - 1.0).abs() < 1e-12);
        }
        // 3 or fewer heads of 10 fair tosses: 176 of 1024.
        assert!((binomial_cdf(3, 10, 0.5) - 176.0 / 1024.0).abs() < 1e-15);
        assert!((binomial_sf(4, 10, 0.5) - 848.0 / 1024.0).abs() < 1e-15);
        assert_eq!((binomial_cdf(10, 10, 0.5), binomial_sf(11, 10, 0.5)), (1.0, 0.0));
    }

    #[test]
    fn the_asymptotic_form_meets_the_continued_fraction() {
        let (a, b) = (LARGE, 4.0 * LARGE);
        let spread = (0.16 / (a + b)).sqrt();
        for z in [-5.0, -2.0, -0.5, -1e-6, 0.0, 1e-6, 0.5, 2.0, 5.0] {
            let x = 0.2 + z * spread;
            let exact = tails(a, b, x);
            let large = tails(a * (1.0 + 1e-15), b, x);
            assert!((exact.0 - large.0).abs() < 3e-8 && (exact.1 - large.1).abs() < 3e-8, "{z}");
        }
    }

    #[test]
    fn quantiles_undo_tails_for_any_parameters() {
        for (a, b) in [(0.5, 100.5), (1.0, 9e15), (4.0, 9e15), (3e3, 9e15), (2e6, 3e6), (4.5e15, 4.5e15)] {
            for tail in [1e-6, 0.025, 0.4] {
                let (low, high) = (quantile_lower(a, b, tail), quantile_upper(a, b, tail));
                assert!(low <= high);
                // Where the distribution is narrower than the spacing of f64, the tail is coarse.
                let tolerance = if a.min(b) > 1e12 { 1e-2 } else { 1e-9 };
                assert!((tails(a, b, low).0 - tail).abs() < tolerance, "{a} {b} {tail} {low}");
                assert!((tails(a, b, high).1 - tail).abs() < tolerance, "{a} {b} {tail} {high}");
            }
        }
    }
}
