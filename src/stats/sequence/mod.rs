//! Confidence sequences for a rate: an interval that may be looked at after every row.
//!
//! An ordinary 95 % interval is right at one look; whoever looks until it excludes the truth always
//! gets there. Here the chance that the interval misses the rate at **any** time since the start,
//! however often it is looked at, is at most `alpha`. Only the count `n` and the sum `S` are needed,
//! so what was counted apart merges by adding.
//!
//! # Formula
//!
//! Robbins' mixture with a beta prior of mean `p` for the rate (Howard, Ramdas, McAuliffe, Sekhon,
//! Annals of Statistics 49, 2021; `bernoulli_confidence_interval` of gostevehoward/confseq):
//!
//! `log M(p) = -S ln p - F ln(1-p) + ln B(a+F, b+S) - ln B(a, b)`, with `F = n - S`,
//! `a = r/p`, `b = r/(1-p)`, `r = max(rho - p(1-p), p(1-p)/1000)`, `rho = p(1-p) t_opt / (L + ln(1+L))`,
//! `L = 2 ln(1/alpha_opt)`. The sequence is all `p` with `log M(p) < ln(1/alpha)`.
//!
//! `a + b = max(t_opt / (L + ln(1+L)) - 1, 1/1000)` does not depend on `p`; call it the weight of the
//! prior, in rows. The logarithm is not taken from log gammas, which at 10^12 rows are 10^13 and
//! leave three digits of their difference: with `w = a + b + n` and Loader's parts of Stirling's
//! formula (see `special`) it is
//!
//! `D(a+F; (1-p)w) + D(b+S; pw) + ln(a b w / ((a+b)(a+F)(b+S))) / 2`
//! `+ e(a+F) + e(b+S) - e(w) - e(a) - e(b) + e(a+b)`,
//!
//! two deviances that are both positive and a remainder of moderate size. What is left is the
//! rounding of `S - np`: of `log M` about `|S - np| / (p(1-p))` times 1e-16, which near the ends of
//! an interval is under 1e-12 for 10^6 rows and under 1e-8 for 2^40; ends are as exact as `f64` is.
//!
//! # Why bisection is enough
//!
//! `M(S/n) <= 1`, because a mixture of likelihoods is at most the largest. For `S >= 1` and `F >= 1`
//! `log M` is convex in `p` (the trigamma function is convex, so
//! `trigamma(b) - trigamma(b+S) <= S/b^2`), and each side has at most one crossing. For `S <= 1` it
//! rises from the left end on (the digamma function is concave), so the lower end is exactly 0;
//! likewise 1 is the upper end for `F <= 1`.
//!
//! # What is promised, and what breaks it
//!
//! `M` of the true rate is a nonnegative supermartingale that starts at 1, so it ever reaches
//! `1/alpha` with chance at most `alpha` (Ville 1939). This holds for values in `[0, 1]`, not only 0
//! and 1, of which each has mean `p` given all before: `(q/p)^x ((1-q)/(1-p))^(1-x)` is at most
//! `x q/p + (1-x)(1-q)/(1-p)`, whose mean is 1. It breaks where
//! - the rate moves: the sequence is about one rate since the start, and a long past outweighs a new
//!   fault (`pair` watches for that);
//! - the tuning is chosen after looking at the data; it must be fixed before;
//! - a row is counted twice, or counted or left out because of its value;
//! - a new start is not counted: each start, of a new version or after lost state, spends `alpha` again.

mod verdict;

pub use verdict::{Judged, Verdict, judge, judge_both};

use super::Interval;
use super::root;
use super::special::{deviance, stirling_error};

/// Where the sequence is at its narrowest. Any tuning is valid if it was fixed before the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// Number of rows at which the interval is about as narrow as one for that number alone.
    /// Positive and finite.
    pub t_opt: f64,
    /// The error that this holds for, strictly between 0 and 1. Not the error of the interval: that
    /// is `alpha`, and both may differ.
    pub alpha_opt: f64,
}

impl Default for Tuning {
    /// 1000 rows and 0.05.
    fn default() -> Self {
        Self { t_opt: 1000.0, alpha_opt: 0.05 }
    }
}

impl Tuning {
    /// Weight of the prior in rows, `a + b`.
    fn weight(self) -> Option<f64> {
        let Self { t_opt, alpha_opt } = self;
        let valid = t_opt > 0.0 && t_opt.is_finite() && alpha_opt > 0.0 && alpha_opt < 1.0;
        let l = -2.0 * alpha_opt.ln();
        valid.then(|| (t_opt / (l + l.ln_1p()) - 1.0).max(1e-3))
    }
}

/// `log M(p)`, the log of the evidence against the rate `p` after `n` values in `[0, 1]` with this sum.
///
/// `None` unless `0 < p < 1`, `0 <= sum <= n`, and the tuning is valid.
pub fn log_mixture(p: f64, n: u64, sum: f64, tuning: Tuning) -> Option<f64> {
    let counts = Counts::new(n, sum, tuning)?;
    (p > 0.0 && p < 1.0).then(|| counts.log_mixture(p))
}

/// All rates that are not excluded at error `alpha` after `n` values in `[0, 1]` with this sum: the
/// interval holds at every time at once with chance at least `1 - alpha`.
///
/// Contains `sum/n`; it is 0 to 1 without values. `None` unless `0 <= sum <= n`, `alpha` lies
/// strictly between 0 and 1, and the tuning is valid. Takes a few microseconds.
pub fn interval(n: u64, sum: f64, alpha: f64, tuning: Tuning) -> Option<Interval> {
    let counts = Counts::new(n, sum, tuning)?;
    if !(alpha > 0.0 && alpha < 1.0) {
        return None;
    }
    let limit = -alpha.ln();
    let ends = Interval { low: counts.lower(limit), high: counts.upper(limit) };
    Some(if n == 0 { ends } else { ends.including(counts.mean()) })
}

/// The data, with the weight of the prior.
struct Counts {
    n: f64,
    successes: f64,
    failures: f64,
    weight: f64,
}

impl Counts {
    fn new(n: u64, sum: f64, tuning: Tuning) -> Option<Self> {
        let weight = tuning.weight()?;
        let n = n as f64;
        (0.0..=n).contains(&sum).then_some(Self { n, successes: sum, failures: n - sum, weight })
    }

    fn mean(&self) -> f64 {
        self.successes / self.n
    }

    /// At 0 and 1 the limit, where there are no values against it; infinite otherwise, which is
    /// asked for only with more than one.
    fn log_mixture(&self, p: f64) -> f64 {
        let against = if p <= 0.0 { self.successes } else { self.failures };
        if p <= 0.0 || p >= 1.0 {
            return if against == 0.0 { 0.0 } else { f64::INFINITY };
        }
        let q = 1.0 - p;
        let (a, b) = (q * self.weight, p * self.weight);
        let (failed, succeeded, all) = (a + self.failures, b + self.successes, self.weight + self.n);
        let deviances = deviance(failed, q * all) + deviance(succeeded, p * all);
        // Divided pairwise, so that no product leaves the range of f64.
        let spread = 0.5 * ((a / failed).ln() + (b / succeeded).ln() + (all / self.weight).ln());
        let after = stirling_error(failed) + stirling_error(succeeded) - stirling_error(all);
        let before = stirling_error(a) + stirling_error(b) - stirling_error(self.weight);
        deviances + spread + after - before
    }

    fn lower(&self, limit: f64) -> f64 {
        // Ends below this are 0: `log_mixture` needs `1/p`.
        const SMALLEST: f64 = 1e-290;
        if self.successes <= 1.0 {
            return 0.0;
        }
        let excess = |p: f64| self.log_mixture(p) - limit;
        let mut inside = self.mean();
        loop {
            let next = inside / 16.0;
            if next < SMALLEST {
                return 0.0;
            }
            if excess(next) > 0.0 {
                return root::find(next, inside, excess);
            }
            inside = next;
        }
    }

    fn upper(&self, limit: f64) -> f64 {
        if self.failures <= 1.0 {
            return 1.0;
        }
        let excess = |p: f64| self.log_mixture(p) - limit;
        let mut inside = self.mean();
        loop {
            // From tiny rates upwards by factors; from there the distance to 1 shrinks by factors.
            let next = if inside < 1.0 / 32.0 {
                (16.0 * inside).max(1.0 / self.n)
            } else {
                1.0 - (1.0 - inside) / 16.0
            };
            if next >= 1.0 {
                return 1.0;
            }
            if excess(next) > 0.0 {
                return root::find(inside, next, excess);
            }
            inside = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuned(t_opt: f64) -> Tuning {
        Tuning { t_opt, alpha_opt: 0.05 }
    }

    #[test]
    fn the_logarithm_keeps_its_digits_at_any_count() {
        // Python's decimal with 70 digits, log gammas by Stirling's series from 80 on.
        const ROWS: u64 = 1 << 40;
        for (p, n, sum, t_opt, expected, tolerance) in [
            (0.3, 1_000_000, 300_000.0, 1000.0, -4.496_145_925_690_12, 1e-12),
            (0.3025, 1_000_000, 300_000.0, 1000.0, 10.338_471_294_202_95, 1e-12),
            (0.300_002_5, ROWS, 329_853_488_332.0, 1000.0, 4.910_468_079_034_74, 1e-8),
            (0.299_997_5, ROWS, 329_853_488_332.0, 1000.0, 4.910_548_123_889_734, 1e-8),
            (0.500_004, ROWS, 549_755_813_888.0, 1e6, 27.193_459_290_755_71, 1e-8),
            (0.5, ROWS, 549_755_813_888.0, 1e6, -7.990_908_767_093_514, 1e-12),
            (1e-11, ROWS, 3.0, 1000.0, -16.004_167_575_432_443, 1e-12),
            (1e-9, ROWS, 1.25, 100.0, 1_072.387_867_086_883_2, 1e-11),
            (1.0 - 1e-11, ROWS, 1_099_511_627_773.0, 1000.0, -16.004_166_831_173_18, 1e-12),
            (1e-6, 1_000_000_000, 500.5, 1.0, 130.168_245_428_951_66, 1e-11),
            (0.25, 7, 0.5, 1.0, -6.363_993_816_263_737, 1e-12),
            (1e-200, 1000, 1.01, 1000.0, 2.332_942_424_640_467, 1e-11),
        ] {
            let found = log_mixture(p, n, sum, tuned(t_opt)).unwrap();
            assert!((found - expected).abs() < tolerance, "{p} {n} {sum}: {found} {expected}");
        }
    }

    #[test]
    fn what_is_no_rate_or_no_tuning_is_none() {
        let tuning = Tuning::default();
        for p in [0.0, 1.0, -0.1, f64::NAN] {
            assert_eq!(log_mixture(p, 10, 3.0, tuning), None);
        }
        for sum in [-1e-9, 10.1, f64::NAN, f64::INFINITY] {
            assert_eq!(interval(10, sum, 0.05, tuning), None);
        }
        for alpha in [0.0, 1.0, f64::NAN] {
            assert_eq!(interval(10, 3.0, alpha, tuning), None);
        }
        for (t_opt, alpha_opt) in
            [(0.0, 0.05), (f64::INFINITY, 0.05), (f64::NAN, 0.05), (10.0, 0.0), (10.0, 1.0)]
        {
            assert_eq!(interval(10, 3.0, 0.05, Tuning { t_opt, alpha_opt }), None);
        }
    }

    #[test]
    fn nothing_is_excluded_without_values() {
        assert_eq!(interval(0, 0.0, 0.05, Tuning::default()), Some(Interval { low: 0.0, high: 1.0 }));
    }

    #[test]
    fn up_to_one_success_never_excludes_a_rate_near_zero() {
        for sum in [0.0, 0.3, 1.0] {
            let of_few = interval(50, sum, 0.05, tuned(50.0)).unwrap();
            assert_eq!(of_few.low, 0.0, "{sum}");
            assert!(of_few.high < 0.14, "{of_few:?}");
            let of_many = interval(50, 50.0 - sum, 0.05, tuned(50.0)).unwrap();
            assert_eq!(of_many.high, 1.0, "{sum}");
        }
        // A little more than one does, at a rate that is tiny and not zero.
        let low = interval(50, 1.05, 0.05, tuned(50.0)).unwrap().low;
        assert!(low > 0.0 && low < 1e-10, "{low}");
        // And where even that is below every f64, the end is 0.
        assert_eq!(interval(50, 1.001, 0.05, tuned(50.0)).unwrap().low, 0.0);
    }

    #[test]
    fn ends_are_where_the_evidence_reaches_the_threshold() {
        for n in [40, 5_000, 1 << 20, 1 << 30, 1_u64 << 40] {
            for share in [0.001, 0.2, 0.5, 0.97] {
                let sum = (n as f64 * share).round();
                for alpha in [0.05, 1e-6] {
                    let tuning = Tuning::default();
                    let Interval { low, high } = interval(n, sum, alpha, tuning).unwrap();
                    let at = |p: f64| log_mixture(p, n, sum, tuning).unwrap();
                    // An end is right to the last bits of `p`; this is what they are worth.
                    let tolerance = 1e-10 + 1e-14 * (n as f64).sqrt();
                    for end in [low, high].into_iter().filter(|p| *p > 0.0 && *p < 1.0) {
                        assert!((at(end) + alpha.ln()).abs() < tolerance, "{n} {share} {alpha}: {}", at(end));
                    }
                }
            }
        }
    }
}
