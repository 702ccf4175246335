//! E-values for the limit between groups, one per pane: what finds a fault after a long fair past.
//!
//! A confidence sequence since deployment is about all rows so far, so four fair weeks hide the
//! unfair hour after them. An e-value is a number whose mean is at most 1 as long as the limit is
//! kept; one from every pane feeds a detector that may start afresh at any pane.
//!
//! # The increment
//!
//! For an ordered pair, `a` with the lower rate and `b` with the higher one, the limit is
//! `p_a >= l p_b - d` (a ratio has `d = 0`, a difference `l = 1`). Take any point `(u, t)` of rates
//! `a`, `b` on the border, `u = l t - d`. Each row stakes a part of the capital on its group: a row
//! of `b` with outcome `x` multiplies it by `1 + h_b (x - t)`, a row of `a` by `1 - h_a (x - u)`, with
//! `h_a = g n_b / (n_a + n_b)` and `h_b = l g n_a / (n_a + n_b)`. So a pane with `S_a` of `n_a` and
//! `S_b` of `n_b` has
//!
//! `log L = S_b ln(1 + h_b (1-t)) + (n_b - S_b) ln(1 - h_b t)`
//! `+ S_a ln(1 - h_a (1-u)) + (n_a - S_a) ln(1 + h_a u)`,
//!
//! a likelihood ratio between the border point and rates further apart. The scale `g` is how
//! large an excess is looked for, the centre `t` is the rate at which it is looked for. Without rows
//! in one of the groups `h` of the other is 0, and so is `log L`.
//!
//! # Why its mean is at most 1
//!
//! Let `p_i` be the mean of a row's outcome given all rows before it and the sizes of the pane. For
//! outcomes 0 and 1 the row's factor has mean `1 + h_b (p_i - t) <= exp(h_b (p_i - t))`, in group `a`
//! `1 - h_a (p_i - u) <= exp(-h_a (p_i - u))`. So the capital divided by the product of these
//! exponentials is a supermartingale, and at the end of the pane the exponents add up to
//! `g n_a n_b / (n_a + n_b) * (l (mean_b p - t) - (mean_a p - u))`, which is that factor times
//! `l mean_b p - d - mean_a p <= 0`. For values in `[0, 1]` with sums in place of counts it holds as
//! well: the logarithm is concave, so `x ln(1 + h(1-t)) + (1-x) ln(1 - ht) <= ln(1 + h(x-t))`.
//!
//! The bound holds for every `(u, t)`, so no worst case over the base rate is taken. The form
//! `exp(lambda (l S_b/n_b - S_a/n_a))` divided by its largest mean on the border is of the same
//! family, with the centre where that mean is largest, near 0.56 for four fifths; at lower base
//! rates it needs up to several times as many panes (see [`GRID`]).
//!
//! # When it holds, and what breaks it
//!
//! - The limit is kept by the pane's averages of the conditional means. Rates may move from row to
//!   row and pane to pane, and groups may depend on each other.
//! - The sizes of a pane say nothing about its outcomes: which group a row belongs to, and whether it
//!   is counted, may depend on earlier rows, not on its own outcome. For labels that arrive late it
//!   follows that a label's delay must not depend on its value within a group.
//! - The order of the groups, the limit and the grid are fixed before the data; a pane is closed by
//!   a rule that does not look at outcomes, and enters once.

use super::fairness::Rate;
use super::limit::Limit;

/// What a component looks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bet {
    /// `g`: how large an excess over the limit. Positive; panes of unequal groups may lower it (see
    /// [`log_increment`]).
    pub scale: f64,
    /// Which base rate it looks at: the share of the way from the smallest rate of `b` for which the
    /// limit says anything (`d/l`) to 1. Strictly between 0 and 1.
    pub centre: f64,
}

const fn bet(scale: f64, centre: f64) -> Bet {
    Bet { scale, centre }
}

/// The frozen grid. Changing it makes a detector start again.
///
/// Measured as the median number of panes until the uniform mixture over both orders reaches log
/// 14.3, limit 0.8, ratio 0.5 / 0.6 / 0.7:
///
/// | base rate | 30 rows per group | 100 | 1000 |
/// |---|---|---|---|
/// | 0.1 | 127 / 307 / 1067 | 42 / 89 / 277 | 5 / 12 / 38 |
/// | 0.3 | 38 / 71 / 288 | 14 / 28 / 106 | 2 / 4 / 12 |
/// | 0.5 | 24 / 38 / 154 | 7 / 14 / 54 | 1 / 2 / 6 |
///
/// Finer grids (5 x 4, 6 x 4, 8 x 6) changed no delay by more than a fifth, three scales cost up to
/// a quarter. The worst-case form with eight scales from 0.05 to 4 needs, at 100 rows,
/// 126 / 268 / 976, 19 / 35 / 126 and 7 / 13 / 50.
pub const GRID: [Bet; 12] = [
    bet(0.08, 0.06),
    bet(0.08, 0.25),
    bet(0.08, 0.6),
    bet(0.2, 0.06),
    bet(0.2, 0.25),
    bet(0.2, 0.6),
    bet(0.5, 0.06),
    bet(0.5, 0.25),
    bet(0.5, 0.6),
    bet(1.2, 0.06),
    bet(1.2, 0.25),
    bet(1.2, 0.6),
];

/// One ordered pair of groups with one bet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Component {
    /// Index of the group whose rate may be too low.
    pub low: usize,
    /// Index of the group whose rate may be too high.
    pub high: usize,
    /// What is looked for.
    pub bet: Bet,
}

/// All components of this many groups, `groups (groups - 1) 12` of them, in the order of
/// [`increments`]: by `low`, then `high`, then the grid.
pub fn components(groups: usize) -> impl Iterator<Item = Component> {
    let pairs = (0..groups).flat_map(move |low| (0..groups).map(move |high| (low, high)));
    let ordered = pairs.filter(|(low, high)| low != high);
    ordered.flat_map(|(low, high)| GRID.into_iter().map(move |bet| Component { low, high, bet }))
}

/// `log L` of one pane for every component, without allocating.
///
/// Give the same groups in the same order for every pane; one without rows gives 0 for its pairs.
/// `None` where `k > n` in a group or the limit is outside its range; nothing comes from fewer than
/// two groups.
pub fn increments(rates: &[Rate], limit: Limit) -> Option<impl Iterator<Item = f64>> {
    let line = limit.line()?;
    let valid = rates.iter().all(|rate| rate.k <= rate.n);
    valid.then(|| components(rates.len()).map(move |c| along(rates[c.low], rates[c.high], line, c.bet)))
}

/// `log L` of one pane for one ordered pair and bet, as the module describes.
///
/// Where the sizes are so unequal that a single row could take more than nine tenths of the capital
/// (`h_a (1-u)` or `h_b t` above 0.9), the scale is lowered to where it cannot; that depends on sizes
/// alone. Counts may be any up to 2^53; the result is right to about 1e-16 times the number of rows.
/// `None` where `k > n`, or the limit or the bet is outside its range.
pub fn log_increment(low: Rate, high: Rate, limit: Limit, bet: Bet) -> Option<f64> {
    let line = limit.line()?;
    let valid = low.k <= low.n && high.k <= high.n;
    let bet_valid = bet.scale > 0.0 && bet.scale.is_finite() && bet.centre > 0.0 && bet.centre < 1.0;
    (valid && bet_valid).then(|| along(low, high, line, bet))
}

/// [`log_increment`] for what has been checked.
fn along(low: Rate, high: Rate, (slope, slack): (f64, f64), bet: Bet) -> f64 {
    const LARGEST_LOSS: f64 = 0.9;
    if low.n == 0 || high.n == 0 {
        return 0.0;
    }
    let (low_n, high_n) = (low.n as f64, high.n as f64);
    let (low_share, high_share) = (low_n / (low_n + high_n), high_n / (low_n + high_n));
    // `slope * high_centre - slack`, written so that it cannot be negative.
    let low_centre = bet.centre * (slope - slack);
    let high_centre = slack / slope + bet.centre * (1.0 - slack / slope);
    let loss = (high_share * (1.0 - low_centre)).max(slope * low_share * high_centre);
    let scale = bet.scale.min(LARGEST_LOSS / loss);
    let (low_stake, high_stake) = (scale * high_share, slope * scale * low_share);
    let (low_k, high_k) = (low.k as f64, high.k as f64);
    high_k * (high_stake * (1.0 - high_centre)).ln_1p()
        + (high.n - high.k) as f64 * (-high_stake * high_centre).ln_1p()
        + low_k * (-low_stake * (1.0 - low_centre)).ln_1p()
        + (low.n - low.k) as f64 * (low_stake * low_centre).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(k: u64, n: u64) -> Rate {
        Rate { k, n }
    }

    /// Binomial probabilities of 0 to `n`.
    fn binomial(n: u64, p: f64) -> Vec<f64> {
        let mut shares = vec![1.0];
        for _ in 0..n {
            let mut next = vec![0.0; shares.len() + 1];
            for (k, share) in shares.iter().enumerate() {
                next[k] += share * (1.0 - p);
                next[k + 1] += share * p;
            }
            shares = next;
        }
        shares
    }

    /// `E[L]`, summed over all outcomes of both groups.
    fn mean((low_n, low_p): (u64, f64), (high_n, high_p): (u64, f64), limit: Limit, bet: Bet) -> f64 {
        let (low_shares, high_shares) = (binomial(low_n, low_p), binomial(high_n, high_p));
        let mut sum = 0.0;
        for (low_k, low_share) in (0..).zip(&low_shares) {
            for (high_k, high_share) in (0..).zip(&high_shares) {
                let log = log_increment(rate(low_k, low_n), rate(high_k, high_n), limit, bet).unwrap();
                sum += low_share * high_share * log.exp();
            }
        }
        sum
    }

    fn any_limit() -> impl Strategy<Value = Limit> {
        prop_oneof![
            (0.01..=1.0).prop_map(Limit::Ratio),
            Just(Limit::Ratio(0.8)),
            (0.0..0.99).prop_map(Limit::Difference),
            Just(Limit::Difference(0.0))
        ]
    }

    fn any_bet() -> impl Strategy<Value = Bet> {
        prop_oneof![
            proptest::sample::select(GRID.to_vec()),
            (0.01..10.0, 0.001..0.999).prop_map(|(scale, centre)| Bet { scale, centre })
        ]
    }

    /// A rate of `b`, and how far above the limit `a` is: 0 is the border.
    fn any_rates(limit: Limit) -> impl Strategy<Value = (f64, f64)> {
        let (slope, slack) = limit.line().unwrap();
        (0.0..=1.0, prop_oneof![Just(0.0), 0.0..=1.0]).prop_map(move |(high, above): (f64, f64)| {
            let border = (slope * high - slack).max(0.0);
            (border + above * (1.0 - border), high)
        })
    }

    fn any_null() -> impl Strategy<Value = (Limit, f64, f64)> {
        any_limit().prop_flat_map(|limit| any_rates(limit).prop_map(move |(low, high)| (limit, low, high)))
    }

    proptest! {
        #[test]
        fn the_mean_is_at_most_one_as_long_as_the_limit_is_kept(
            (limit, low_p, high_p) in any_null(),
            low_n in 0..40_u64,
            high_n in 0..40_u64,
            bet in any_bet(),
        ) {
            let mean = mean((low_n, low_p), (high_n, high_p), limit, bet);
            prop_assert!(mean <= 1.0 + 1e-9, "{mean}");
        }

        #[test]
        fn the_mean_is_one_at_the_centre_and_more_beyond_the_limit(
            limit in any_limit(),
            low_n in 1..40_u64,
            high_n in 1..40_u64,
            bet in any_bet(),
        ) {
            let (slope, slack) = limit.line().unwrap();
            let low_p = bet.centre * (slope - slack);
            let high_p = (low_p + slack) / slope;
            let at_centre = mean((low_n, low_p), (high_n, high_p), limit, bet);
            prop_assert!((at_centre - 1.0).abs() < 1e-9, "{at_centre}");
            let beyond = mean((low_n, 0.9 * low_p), (high_n, high_p), limit, bet);
            prop_assert!(beyond > at_centre, "{beyond}");
        }

        #[test]
        fn rates_may_move_inside_a_pane_while_their_averages_keep_the_limit(
            steps in proptest::collection::vec(-1.0..1.0_f64, 10),
            high_p in 0.0..=1.0_f64,
            bet in any_bet(),
        ) {
            // Five rows each; the means of the rows differ and their averages are on the border.
            let around = |mean: f64, steps: &[f64]| -> Vec<f64> {
                let middle = steps.iter().sum::<f64>() / 5.0;
                let reach = steps.iter().map(|s| (s - middle).abs()).fold(1e-9, f64::max);
                steps.iter().map(|s| mean + (s - middle) / reach * mean.min(1.0 - mean)).collect()
            };
            let means = [around(0.8 * high_p, &steps[..5]), around(high_p, &steps[5..])].concat();
            let mut sum = 0.0;
            for outcomes in 0..1_u32 << 10 {
                let came = |i: usize| outcomes >> i & 1 == 1;
                let chance: f64 = (0..10).map(|i| if came(i) { means[i] } else { 1.0 - means[i] }).product();
                let count = |rows: std::ops::Range<usize>| rows.filter(|i| came(*i)).count() as u64;
                let (low, high) = (rate(count(0..5), 5), rate(count(5..10), 5));
                sum += chance * log_increment(low, high, Limit::Ratio(0.8), bet).unwrap().exp();
            }
            prop_assert!(sum <= 1.0 + 1e-9, "{sum}");
        }

        #[test]
        fn evidence_grows_with_the_higher_rate_and_falls_with_the_lower(
            limit in any_limit(),
            bet in any_bet(),
            sizes in (1..1_000_000_000_u64, 1..1_000_000_000_u64),
            shares in (0.0..1.0_f64, 0.0..1.0_f64),
        ) {
            let (low_n, high_n) = sizes;
            let (low_k, high_k) = ((low_n as f64 * shares.0) as u64, (high_n as f64 * shares.1) as u64);
            let log = |low_k, high_k| log_increment(rate(low_k, low_n), rate(high_k, high_n), limit, bet).unwrap();
            // One row among 10^9 is worth less than the rounding, a tenth of the group is not.
            let (low_step, high_step) = ((low_n - low_k).div_ceil(10), (high_n - high_k).div_ceil(10));
            prop_assert!(log(low_k, high_k).is_finite());
            prop_assert!(log(low_k, high_k + high_step) >= log(low_k, high_k));
            prop_assert!(log(low_k + low_step, high_k) <= log(low_k, high_k));
        }
    }

    #[test]
    fn a_pane_without_one_of_the_groups_says_nothing() {
        for bet in GRID {
            let limit = Limit::Ratio(0.8);
            assert_eq!(log_increment(rate(0, 0), rate(9, 9), limit, bet), Some(0.0));
            assert_eq!(log_increment(rate(0, 9), rate(0, 0), limit, bet), Some(0.0));
        }
    }

    #[test]
    fn the_largest_panes_have_finite_evidence() {
        let many = 1_u64 << 53;
        for bet in GRID {
            for limit in
                [Limit::Ratio(0.8), Limit::Ratio(1e-9), Limit::Difference(0.1), Limit::Difference(0.999)]
            {
                for (low, high) in [
                    (rate(0, many), rate(many, many)),
                    (rate(many, many), rate(0, many)),
                    (rate(0, 1), rate(many, many)),
                    (rate(0, many), rate(1, 1)),
                ] {
                    assert!(log_increment(low, high, limit, bet).unwrap().is_finite());
                }
            }
        }
    }

    #[test]
    fn increments_come_in_the_order_of_the_components() {
        let rates = [rate(30, 100), rate(10, 80), rate(0, 0)];
        let limit = Limit::Ratio(0.8);
        let logs: Vec<f64> = increments(&rates, limit).unwrap().collect();
        assert_eq!(logs.len(), 3 * 2 * GRID.len());
        assert_eq!(components(3).count(), logs.len());
        for (component, log) in components(3).zip(&logs) {
            let Component { low, high, bet } = component;
            assert_eq!(log_increment(rates[low], rates[high], limit, bet), Some(*log));
            assert_eq!(low == 2 || high == 2, *log == 0.0, "{component:?}");
        }
        assert_eq!(increments(&rates[..1], limit).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_rate_no_limit_or_no_bet_is_none() {
        let (fine, limit) = (rate(1, 2), Limit::Ratio(0.8));
        assert_eq!(log_increment(rate(3, 2), fine, limit, GRID[0]), None);
        assert!(increments(&[fine, rate(3, 2)], limit).is_none());
        assert!(increments(&[fine, fine], Limit::Ratio(0.0)).is_none());
        assert_eq!(log_increment(fine, fine, Limit::Difference(1.0), GRID[0]), None);
        for (scale, centre) in [(0.0, 0.5), (f64::INFINITY, 0.5), (f64::NAN, 0.5), (1.0, 0.0), (1.0, 1.0)] {
            assert_eq!(log_increment(fine, fine, limit, Bet { scale, centre }), None);
        }
    }
}
