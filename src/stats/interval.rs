//! Intervals for rates, their differences and ratios, counts, means and quantiles.
//!
//! `k` successes of `n` trials, `k <= n`. Everything is `None` for `n = 0`, `k > n`, or a
//! confidence outside (0, 1).

use super::special::normal_quantile_upper;
use super::{Interval, beta, error_rate, gamma};

/// The normal quantile `z` of a two-sided interval.
fn two_sided(confidence: f64) -> Option<f64> {
    normal_quantile_upper(0.5 * error_rate(confidence)?)
}

/// `(k, n)` as numbers, where they are a rate.
fn rate(k: u64, n: u64) -> Option<(f64, f64)> {
    (n > 0 && k <= n).then_some((k as f64, n as f64))
}

/// Wilson's score interval for a rate (JASA 22, 1927): all rates that a normal test does not reject.
///
/// Within 0 to 1, never empty or a point; on average it covers what it says, for some rates less.
pub fn wilson(k: u64, n: u64, confidence: f64) -> Option<Interval> {
    let z = two_sided(confidence)?;
    let (k, n) = rate(k, n)?;
    let share = k / n;
    let centre = share + z * z / (2.0 * n);
    let reach = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let shrink = 1.0 + z * z / n;
    let interval = Interval { low: (centre - reach) / shrink, high: (centre + reach) / shrink };
    // At k = 0 and k = n one end is 0 or 1 exactly, which rounding may miss.
    Some(interval.clamp(0.0, 1.0).including(share))
}

/// Clopper and Pearson's interval for a rate (Biometrika 26, 1934): covers at least what it says,
/// for every rate and sample size. Each end is the one-sided bound at half the error.
pub fn clopper_pearson(k: u64, n: u64, confidence: f64) -> Option<Interval> {
    let tail = 0.5 * error_rate(confidence)?;
    Some(Interval { low: lower_bound(k, n, tail)?, high: upper_bound(k, n, tail)? })
}

/// One-sided Clopper-Pearson lower bound at `confidence`: `BetaInv(1 - confidence; k, n-k+1)`, 0 at
/// `k = 0`. `None` also for a confidence below 1/2.
pub fn clopper_pearson_lower(k: u64, n: u64, confidence: f64) -> Option<f64> {
    lower_bound(k, n, error_rate(confidence)?)
}

/// One-sided Clopper-Pearson upper bound at `confidence`: `BetaInv(confidence; k+1, n-k)`, 1 at
/// `k = n`. `None` also for a confidence below 1/2.
pub fn clopper_pearson_upper(k: u64, n: u64, confidence: f64) -> Option<f64> {
    upper_bound(k, n, error_rate(confidence)?)
}

/// The rate at which `k` or more of `n` have probability `tail`: the one-sided lower bound, from its
/// error so that tiny errors keep their digits. `None` also unless `0 < tail <= 1/2`.
pub fn lower_bound(k: u64, n: u64, tail: f64) -> Option<f64> {
    let (successes, trials) = rate(k, n)?;
    if !(tail > 0.0 && tail <= 0.5) {
        return None;
    }
    // Where the spacing of f64 is coarser than the bound is tight, it must not pass the rate.
    let bound = || beta::quantile_lower(successes, (n - k) as f64 + 1.0, tail).min(successes / trials);
    Some(if k == 0 { 0.0 } else { bound() })
}

/// The rate at which `k` or fewer of `n` have probability `tail`; see [`lower_bound`].
pub fn upper_bound(k: u64, n: u64, tail: f64) -> Option<f64> {
    let (successes, trials) = rate(k, n)?;
    if !(tail > 0.0 && tail <= 0.5) {
        return None;
    }
    let bound = || beta::quantile_upper(successes + 1.0, (n - k) as f64, tail).max(successes / trials);
    Some(if k == n { 1.0 } else { bound() })
}

/// Newcombe's interval for the difference `k1/n1 - k2/n2` from two Wilson intervals (Statistics in
/// Medicine 17, 1998, method 10), within -1 to 1.
pub fn newcombe_difference(k1: u64, n1: u64, k2: u64, n2: u64, confidence: f64) -> Option<Interval> {
    let (first, second) = (wilson(k1, n1, confidence)?, wilson(k2, n2, confidence)?);
    let (p1, p2) = (k1 as f64 / n1 as f64, k2 as f64 / n2 as f64);
    let difference = p1 - p2;
    let low = difference - (p1 - first.low).hypot(second.high - p2);
    let high = difference + (first.high - p1).hypot(p2 - second.low);
    Some(Interval { low, high }.clamp(-1.0, 1.0))
}

/// Katz' log interval for the ratio `(k1/n1) / (k2/n2)` (Biometrics 34, 1978):
/// `ln ratio +- z sqrt(1/k1 - 1/n1 + 1/k2 - 1/n2)`.
///
/// `None` also where a count is 0 (the ratio is 0, infinite or undefined) or both rates are 1 (the
/// formula gives no width): [`log_ratio_adjusted`] serves there.
pub fn log_ratio(k1: u64, n1: u64, k2: u64, n2: u64, confidence: f64) -> Option<Interval> {
    let ((k1, n1), (k2, n2)) = (rate(k1, n1)?, rate(k2, n2)?);
    if k1 == 0.0 || k2 == 0.0 || (k1 == n1 && k2 == n2) {
        return None;
    }
    around_log(k1, n1, k2, n2, confidence)
}

/// The log interval with half a count added to all four (Walter 1975), defined for any counts.
///
/// It is centred on the adjusted ratio, so it may not contain the raw one when counts are tiny.
pub fn log_ratio_adjusted(k1: u64, n1: u64, k2: u64, n2: u64, confidence: f64) -> Option<Interval> {
    let ((k1, n1), (k2, n2)) = (rate(k1, n1)?, rate(k2, n2)?);
    around_log(k1 + 0.5, n1 + 0.5, k2 + 0.5, n2 + 0.5, confidence)
}

fn around_log(k1: f64, n1: f64, k2: f64, n2: f64, confidence: f64) -> Option<Interval> {
    let ratio = (k1 / n1) / (k2 / n2);
    // 1/k - 1/n, written so that it does not cancel for k near n.
    let variance = (n1 - k1) / n1 / k1 + (n2 - k2) / n2 / k2;
    let factor = (two_sided(confidence)? * variance.sqrt()).exp();
    Interval::checked(ratio / factor, ratio * factor)
}

/// Exact interval for the mean of a Poisson count (Garwood, Biometrika 28, 1936):
/// `GammaInv(alpha/2; count)` to `GammaInv(1 - alpha/2; count + 1)`, 0 at the lower end of 0.
pub fn poisson_exact(count: u64, confidence: f64) -> Option<Interval> {
    let tail = 0.5 * error_rate(confidence)?;
    let seen = count as f64;
    let low = if count == 0 { 0.0 } else { gamma::quantile_lower(seen, tail) };
    Interval::checked(low, gamma::quantile_upper(seen + 1.0, tail)).map(|interval| interval.including(seen))
}

/// Normal interval for a mean from `n` values with the given sum and sum of squares:
/// `mean +- z s / sqrt n`, `s` with `n - 1`.
///
/// Good for a few hundred values or more without extreme outliers. `None` also for fewer than two
/// values or sums that are not finite. Sums of squares cancel when the mean is much larger than the
/// spread; a variance that comes out negative counts as 0.
pub fn mean_normal(n: u64, sum: f64, sum_of_squares: f64, confidence: f64) -> Option<Interval> {
    let z = two_sided(confidence)?;
    if n < 2 {
        return None;
    }
    let count = n as f64;
    let mean = sum / count;
    let variance = ((sum_of_squares - sum * mean) / (count - 1.0)).max(0.0);
    let reach = z * (variance / count).sqrt();
    Interval::checked(mean - reach, mean + reach)
}

/// 1-based ranks of the values between which quantile `q` (0 < q < 1) of the population lies, for
/// `n` independent values in ascending order, whatever their distribution.
///
/// Each side misses with probability at most `(1 - confidence)/2`: the lower rank is the largest
/// `r` with `P(X <= r-1)` at most that, the upper the smallest `r` with `P(X >= r)` at most that,
/// `X` binomial (David and Nagaraja, Order Statistics, section 7.1). `None` on a side where even
/// the extreme value is not extreme enough, such as the upper side of q = 0.99 with 100 values:
/// the data give no bound there.
pub fn quantile_ranks(n: u64, q: f64, confidence: f64) -> (Option<u64>, Option<u64>) {
    let Some(alpha) = error_rate(confidence).filter(|_| n > 0 && q > 0.0 && q < 1.0) else {
        return (None, None);
    };
    let tail = 0.5 * alpha;
    // Both conditions are monotone in the rank, so the ranks are found by halving.
    let at_most = |rank: u64| beta::binomial_cdf(rank - 1, n, q);
    let at_least = |rank: u64| beta::binomial_sf(rank, n, q);
    let low = last_rank(n, |rank| at_most(rank) <= tail);
    let high = last_rank(n, |rank| at_least(rank) > tail).map_or(1, |rank| rank + 1);
    (low, (high <= n).then_some(high))
}

/// The largest rank in `1..=n` for which `holds`, where it holds up to some rank and not after.
fn last_rank(n: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut known, mut beyond) = (0, n + 1);
    while beyond - known > 1 {
        let middle = known + (beyond - known) / 2;
        if holds(middle) { known = middle } else { beyond = middle }
    }
    (known > 0).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_trials_there_is_no_interval() {
        assert_eq!(wilson(0, 0, 0.95), None);
        assert_eq!(wilson(3, 2, 0.95), None);
        assert_eq!(clopper_pearson(0, 0, 0.95), None);
        assert_eq!(clopper_pearson(1, 2, 1.0), None);
        assert_eq!(clopper_pearson(1, 2, f64::NAN), None);
        assert_eq!(newcombe_difference(1, 2, 0, 0, 0.95), None);
        assert_eq!(log_ratio(0, 5, 2, 5, 0.95), None);
        assert_eq!(log_ratio(5, 5, 5, 5, 0.95), None);
        assert_eq!(mean_normal(1, 3.0, 9.0, 0.95), None);
        assert_eq!(mean_normal(5, f64::INFINITY, 9.0, 0.95), None);
        assert_eq!(quantile_ranks(0, 0.5, 0.95), (None, None));
    }

    #[test]
    fn one_failure_in_a_huge_number_still_has_bounds() {
        // As numbers, successes and trials are equal here.
        let interval = clopper_pearson(u64::MAX - 1, u64::MAX, 0.95).unwrap();
        assert!(interval.contains(1.0) && interval.low > 0.999_999_999);
    }

    #[test]
    fn one_sided_bounds_are_the_ends_of_the_two_sided_interval() {
        let both = clopper_pearson(48, 100, 0.9).unwrap();
        assert!((clopper_pearson_lower(48, 100, 0.95).unwrap() - both.low).abs() < 1e-14);
        assert!((clopper_pearson_upper(48, 100, 0.95).unwrap() - both.high).abs() < 1e-14);
    }

    #[test]
    fn garwoods_interval_of_ten_events() {
        // Published in many tables: 4.795 to 18.390 at 95 %; and -ln(0.025) for none.
        let ten = poisson_exact(10, 0.95).unwrap();
        assert!((ten.low - 4.795).abs() < 5e-4 && (ten.high - 18.390).abs() < 5e-4, "{ten:?}");
        let none = poisson_exact(0, 0.95).unwrap();
        assert_eq!(none.low, 0.0);
        assert!((none.high + 0.025_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn ranks_of_a_median_are_those_of_the_sign_test() {
        // n = 10: P(X <= 1) = 11/1024 <= .025 < P(X <= 2) = 56/1024, so ranks 2 and 9.
        assert_eq!(quantile_ranks(10, 0.5, 0.95), (Some(2), Some(9)));
        assert_eq!(quantile_ranks(5, 0.5, 0.95), (None, None));
        // P(all 100 below the 0.99 quantile) = 0.366: the largest value is no upper bound.
        assert_eq!(quantile_ranks(100, 0.99, 0.95).1, None);
        assert!(quantile_ranks(1 << 53, 0.99, 0.95).1.is_some());
    }

    #[test]
    fn the_mean_interval_is_the_textbook_one() {
        // 1..=9: mean 5, s^2 = 7.5, z = 1.959964.
        let interval = mean_normal(9, 45.0, 285.0, 0.95).unwrap();
        assert!((interval.high - 5.0 - 1.959_963_984_540_054 * (7.5_f64 / 9.0).sqrt()).abs() < 1e-12);
        assert!((interval.low + interval.high - 10.0).abs() < 1e-12);
    }
}
