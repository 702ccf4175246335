//! The numbers that other tools give for the same data, for people who compare: [`evidently`] 0.7.23,
//! [`nannyml`] 0.13.1, and [`scipy`] 1.17 on reference deciles with a floor.
//!
//! They take raw values and not counts, and none of them is a check on windows. Evidently cuts its
//! bins from reference and current data together, so two windows have different bins and their
//! counts do not add up; nannyml's exact distances and its limit, which comes from chunks of the
//! reference, need the reference's rows. A frozen reference has neither.
//!
//! What the tools do with awkward data is kept where it is a number: a floor that depends on the
//! data, a leftover cell that rounding made. Where a tool raises an error or gives NaN, the value is
//! `None`. Numbers are finite unless a function says otherwise; absent values are taken out before,
//! as all three do.

pub mod evidently;
pub mod kolmogorov;
pub mod nannyml;
pub mod numpy;
pub mod samples;
pub mod scipy;

use std::collections::BTreeMap;

/// Counts of both sides on the same categories: all that either side has, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Reference rows per category.
    pub reference: Vec<u64>,
    /// Current rows per category.
    pub current: Vec<u64>,
}

/// Counts both sides on the categories of either.
pub fn tally<K: Ord>(reference: impl IntoIterator<Item = K>, current: impl IntoIterator<Item = K>) -> Tally {
    let mut counts: BTreeMap<K, (u64, u64)> = BTreeMap::new();
    for key in reference {
        counts.entry(key).or_default().0 += 1;
    }
    for key in current {
        counts.entry(key).or_default().1 += 1;
    }
    let (reference, current) = counts.into_values().unzip();
    Tally { reference, current }
}

/// [`tally`] of finite numbers, each a category; -0.0 is 0.0.
pub fn tally_numbers(reference: &[f64], current: &[f64]) -> Tally {
    // Adding zero turns -0.0 into 0.0; the flip of bits makes their order that of the numbers.
    let key = |value: &f64| {
        let bits = (value + 0.0).to_bits() as i64;
        bits ^ (((bits >> 63) as u64) >> 1) as i64
    };
    tally(reference.iter().map(key), current.iter().map(key))
}

/// Shares of `counts` in `rows`.
fn shares(counts: &[u64], rows: f64) -> Vec<f64> {
    counts.iter().map(|&count| count as f64 / rows).collect()
}

/// Jensen-Shannon distance of two lists of shares as `scipy.spatial.distance.jensenshannon` computes
/// it: each list first brought to sum 1, natural logarithm. `None` where a list has no mass.
fn jensen_shannon(p: &[f64], q: &[f64]) -> Option<f64> {
    let (p_sum, q_sum) = (numpy::sum(p), numpy::sum(q));
    if !(p_sum > 0.0 && q_sum > 0.0) {
        return None;
    }
    let entropy = |x: f64, mean: f64| if x > 0.0 { x * (x / mean).ln() } else { 0.0 };
    let (mut left, mut right) = (Vec::with_capacity(p.len()), Vec::with_capacity(p.len()));
    for (p, q) in p.iter().zip(q) {
        let (p, q) = (p / p_sum, q / q_sum);
        let mean = (p + q) / 2.0;
        left.push(entropy(p, mean));
        right.push(entropy(q, mean));
    }
    // Equal lists may come out a rounding below 0.
    Some(((numpy::sum(&left) + numpy::sum(&right)).max(0.0) / 2.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_of_either_side_are_counted_on_both() {
        let tally = tally(["b", "a", "b"], ["c", "b"]);
        assert_eq!(tally, Tally { reference: vec![1, 2, 0], current: vec![0, 1, 1] });
    }

    #[test]
    fn numbers_as_categories_are_in_their_order_and_both_zeros_are_one() {
        let tally = tally_numbers(&[2.0, -0.0, -1.5], &[0.0, -3.0]);
        assert_eq!(tally, Tally { reference: vec![0, 1, 1, 1], current: vec![1, 0, 1, 0] });
    }

    #[test]
    fn the_distance_is_nothing_for_equal_and_the_root_of_ln_two_for_disjoint_shares() {
        assert_eq!(jensen_shannon(&[0.3, 0.7], &[0.3, 0.7]), Some(0.0));
        let apart = jensen_shannon(&[1.0, 0.0], &[0.0, 0.2]).unwrap();
        assert!((apart - std::f64::consts::LN_2.sqrt()).abs() < 1e-15);
        assert_eq!(jensen_shannon(&[0.0], &[1.0]), None);
    }
}
