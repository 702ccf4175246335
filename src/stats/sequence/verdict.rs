//! Whether groups keep to a limit: for certain, certainly not, or not known yet.
//!
//! Each group gets a confidence sequence at the error divided by the number of sequences, so by the
//! union bound all of them hold at all times at once with chance at least `1 - alpha`, however
//! dependent the groups are. A limit is broken for certain where even the ends that favour it most
//! break it, for one pair; it is kept for certain where the ends that favour it least keep it, for
//! all pairs. So a wrong certain verdict, at any look since the start, has chance at most `alpha`.
//! There is no minimum size of a group: the interval of a small one is wide, and decides nothing.
//!
//! The verdict is about rates that stayed the same since the start; `sequence` lists what else it
//! rests on. It is evidence about a limit, not a legal conclusion.

use super::super::Interval;
use super::super::fairness::Rate;
use super::super::limit::Limit;
use super::{Tuning, interval};

/// What the intervals say about a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Some pair of groups breaks the limit for certain.
    Violation,
    /// Every pair keeps the limit for certain.
    Compliant,
    /// Neither is certain yet.
    Insufficient,
}

/// A verdict with what it follows from.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// What the intervals say.
    pub verdict: Verdict,
    /// Index of the group with the lower rate in the pair that decides: the one that breaks the
    /// limit by most, or, where none does for certain, the one that is farthest from keeping it.
    pub low: usize,
    /// Index of the other group of that pair.
    pub high: usize,
    /// The confidence sequence of each group, in the order of the groups.
    pub intervals: Vec<Interval>,
}

/// Judges the rates of the groups since the start against `limit`, at error `alpha` over all groups
/// and all looks.
///
/// Every group given takes its share of `alpha`, and one without rows keeps the verdict from being
/// compliant: give all groups that are watched, the same ones at every look. `None` with fewer than
/// two groups, `k > n` in one, `alpha` outside (0, 1), or a limit or tuning outside its range.
pub fn judge(rates: &[Rate], limit: Limit, alpha: f64, tuning: Tuning) -> Option<Judged> {
    let (slope, slack) = limit.line()?;
    if !(alpha > 0.0 && alpha < 1.0) {
        return None;
    }
    let each = alpha / rates.len() as f64;
    let intervals = rates
        .iter()
        .map(|rate| interval(rate.n, rate.k as f64, each, tuning))
        .collect::<Option<Vec<Interval>>>()?;
    // By how much the low rate keeps the limit, at the ends that favour it most and least.
    let at_best = |low: usize, high: usize| intervals[low].high - (slope * intervals[high].low - slack);
    let at_worst = |low: usize, high: usize| intervals[low].low - (slope * intervals[high].high - slack);
    let (low, high) = least(rates.len(), at_best)?;
    if at_best(low, high) < 0.0 {
        return Some(Judged { verdict: Verdict::Violation, low, high, intervals });
    }
    let (low, high) = least(rates.len(), at_worst)?;
    let certain = at_worst(low, high) >= 0.0;
    let verdict = if certain { Verdict::Compliant } else { Verdict::Insufficient };
    Some(Judged { verdict, low, high, intervals })
}

/// Judges two rates of every group, true and false positive rate for equalized odds, each at half
/// of `alpha`: a violation of either is one, and compliance takes both.
///
/// `None` where [`judge`] is, for either.
pub fn judge_both(
    first: &[Rate],
    second: &[Rate],
    limit: Limit,
    alpha: f64,
    tuning: Tuning,
) -> Option<(Verdict, [Judged; 2])> {
    let both = [judge(first, limit, 0.5 * alpha, tuning)?, judge(second, limit, 0.5 * alpha, tuning)?];
    let verdict = match (both[0].verdict, both[1].verdict) {
        (Verdict::Violation, _) | (_, Verdict::Violation) => Verdict::Violation,
        (Verdict::Compliant, Verdict::Compliant) => Verdict::Compliant,
        _ => Verdict::Insufficient,
    };
    Some((verdict, both))
}

/// The ordered pair of different groups with the least margin, the first of equal ones.
fn least(groups: usize, margin: impl Fn(usize, usize) -> f64) -> Option<(usize, usize)> {
    let pairs = (0..groups).flat_map(|low| (0..groups).map(move |high| (low, high)));
    pairs.filter(|(low, high)| low != high).min_by(|x, y| margin(x.0, x.1).total_cmp(&margin(y.0, y.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUR_FIFTHS: Limit = Limit::Ratio(0.8);

    fn rate(k: u64, n: u64) -> Rate {
        Rate { k, n }
    }

    fn verdict(rates: &[Rate], limit: Limit) -> Verdict {
        judge(rates, limit, 0.05, Tuning::default()).unwrap().verdict
    }

    #[test]
    fn a_pair_is_judged_whichever_group_is_the_lower() {
        let (low, high) = (rate(1_500, 10_000), rate(3_000, 10_000));
        for (rates, expected) in [([low, high], (0, 1)), ([high, low], (1, 0))] {
            let judged = judge(&rates, FOUR_FIFTHS, 0.05, Tuning::default()).unwrap();
            assert_eq!((judged.verdict, (judged.low, judged.high)), (Verdict::Violation, expected));
            let judged = judge(&rates, Limit::Difference(0.1), 0.05, Tuning::default()).unwrap();
            assert_eq!((judged.verdict, (judged.low, judged.high)), (Verdict::Violation, expected));
            assert_eq!(verdict(&rates, Limit::Difference(0.2)), Verdict::Compliant);
            assert_eq!(verdict(&rates, Limit::Difference(0.15)), Verdict::Insufficient);
        }
    }

    #[test]
    fn equal_rates_comply_once_there_are_enough_rows() {
        assert_eq!(verdict(&[rate(30, 100); 3], FOUR_FIFTHS), Verdict::Insufficient);
        assert_eq!(verdict(&[rate(30_000, 100_000); 3], FOUR_FIFTHS), Verdict::Compliant);
    }

    #[test]
    fn a_group_without_rows_is_not_compliant_and_hides_no_violation() {
        let even = [rate(30_000, 100_000), rate(30_000, 100_000), rate(0, 0)];
        let judged = judge(&even, FOUR_FIFTHS, 0.05, Tuning::default()).unwrap();
        assert_eq!(judged.verdict, Verdict::Insufficient);
        assert!(judged.low == 2 || judged.high == 2, "{judged:?}");
        assert_eq!(verdict(&[even[0], rate(10_000, 100_000), rate(0, 0)], FOUR_FIFTHS), Verdict::Violation);
    }

    #[test]
    fn rates_of_zero_never_break_a_ratio() {
        assert_eq!(verdict(&[rate(0, 100_000), rate(0, 50)], FOUR_FIFTHS), Verdict::Insufficient);
        assert_eq!(
            verdict(&[rate(0, 100_000), rate(0, 100_000)], Limit::Difference(0.1)),
            Verdict::Compliant
        );
    }

    #[test]
    fn two_rates_share_the_error_and_one_violation_is_enough() {
        let fair = [rate(40_000, 50_000); 2];
        let unfair = [rate(100, 1_000), rate(400, 1_000)];
        let odds = |tpr: &[Rate], fpr: &[Rate]| {
            judge_both(tpr, fpr, Limit::Difference(0.1), 0.05, Tuning::default()).unwrap()
        };
        assert_eq!(odds(&fair, &fair).0, Verdict::Compliant);
        assert_eq!(odds(&fair, &unfair).0, Verdict::Violation);
        assert_eq!(odds(&fair, &[rate(1, 3); 2]).0, Verdict::Insufficient);
        let each = interval(50_000, 40_000.0, 0.05 / 4.0, Tuning::default());
        assert_eq!(odds(&fair, &fair).1[1].intervals[0], each.unwrap());
    }

    #[test]
    fn what_cannot_be_judged_is_none() {
        let tuning = Tuning::default();
        let two = [rate(1, 2), rate(1, 2)];
        assert_eq!(judge(&two[..1], FOUR_FIFTHS, 0.05, tuning), None);
        assert_eq!(judge(&[], FOUR_FIFTHS, 0.05, tuning), None);
        assert_eq!(judge(&[rate(3, 2), rate(1, 2)], FOUR_FIFTHS, 0.05, tuning), None);
        for limit in
            [Limit::Ratio(0.0), Limit::Ratio(1.1), Limit::Difference(1.0), Limit::Difference(f64::NAN)]
        {
            assert_eq!(judge(&two, limit, 0.05, tuning), None);
        }
        for alpha in [0.0, 1.0, 2.5, f64::NAN] {
            assert_eq!(judge(&two, FOUR_FIFTHS, alpha, tuning), None);
        }
    }
}
