//! The root of a monotone function inside a bracket. Quantiles and interval ends are all found this
//! way, because a bracket cannot diverge where Newton's method can.

/// The `x` in `low..=high` at which `f` changes sign, to the last bits of `x`.
///
/// `f(low)` and `f(high)` have opposite signs, or one of them is 0; else the end with the smaller
/// absolute value comes back, which for a monotone function is the nearest point of the bracket.
/// Method: Chandrupatla, "A new hybrid quadratic/bisection algorithm for finding the zero of a
/// nonlinear function without using derivatives", Advances in Engineering Software 28 (1997).
pub(crate) fn find(low: f64, high: f64, f: impl Fn(f64) -> f64) -> f64 {
    // Bisection alone needs 53 halvings for a root near the middle of the bracket and as many
    // again for each 1e-16 by which the root is smaller than the bracket.
    const STEPS: usize = 200;
    let (mut a, mut b) = (low, high);
    let (mut fa, mut fb) = (f(a), f(b));
    if fa == 0.0 || fb == 0.0 || (fa > 0.0) == (fb > 0.0) {
        return if fa.abs() <= fb.abs() { a } else { b };
    }
    let mut t = 0.5;
    for _ in 0..STEPS {
        let x = a + t * (b - a);
        let fx = f(x);
        let (c, fc);
        if (fx > 0.0) == (fa > 0.0) {
            (c, fc) = (a, fa);
        } else {
            (c, fc) = (b, fb);
            (b, fb) = (a, fa);
        }
        (a, fa) = (x, fx);
        let (best, f_best) = if fa.abs() < fb.abs() { (a, fa) } else { (b, fb) };
        let tolerance = 2.0 * f64::EPSILON * best.abs() + f64::MIN_POSITIVE;
        let share = tolerance / (b - a).abs();
        if share > 0.5 || f_best == 0.0 {
            return best;
        }
        let xi = (a - b) / (c - b);
        let phi = (fa - fb) / (fc - fb);
        // Inverse quadratic interpolation only where it provably lands inside the bracket.
        t = if phi * phi < xi && (1.0 - phi) * (1.0 - phi) < 1.0 - xi {
            fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        } else {
            0.5
        };
        t = if t.is_finite() { t.clamp(share, 1.0 - share) } else { 0.5 };
    }
    if fa.abs() < fb.abs() { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn finds_roots_of_every_scale_in_one_bracket() {
        for root in [1e-30, 1e-15, 0.3, 1.0 - 1e-12] {
            let found = find(0.0, 1.0, |x| x - root);
            assert!((found - root).abs() <= 1e-15 * root, "{root}: {found}");
        }
        let found = find(0.0, 10.0, |x| x.exp() - 7.0);
        assert!((found - 7.0_f64.ln()).abs() < 1e-14);
    }

    #[test]
    fn a_bracket_without_a_root_gives_its_nearer_end() {
        assert_eq!(find(1.0, 2.0, |x| x), 1.0);
        assert_eq!(find(1.0, 2.0, |x| 3.0 - x), 2.0);
    }
}
