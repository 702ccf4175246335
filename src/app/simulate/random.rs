//! Seeded draws. Every stream of a simulation has a generator of its own, found by seed, scenario
//! and number, so that results are the same however the work is spread over threads.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Binomial, Distribution, Exp1, StandardNormal};

/// A generator whose sequence is fixed across versions and machines.
pub(super) type Random = ChaCha8Rng;

/// What a stream is for; part of its number, so that no two scenarios share draws by accident.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Budget = 1,
    BudgetAr1 = 2,
    BudgetDay = 3,
    Shuffle = 4,
    Change = 5,
    Limit = 6,
    Violation = 7,
    RateWeek = 8,
    FeatureWeek = 9,
    GroupWeek = 10,
    RateChange = 11,
    FeatureChange = 12,
    GroupChange = 13,
}

/// The generator of stream `number` of `purpose`.
pub(super) fn stream(seed: u64, purpose: Purpose, number: usize) -> Random {
    let mut random = Random::seed_from_u64(seed);
    random.set_stream((purpose as u64) << 32 | number as u64);
    random
}

/// Uniform in [0, 1).
pub(super) fn uniform(random: &mut Random) -> f64 {
    random.random()
}

/// Fills `values` with independent uniform numbers in ascending order: waiting times of a Poisson
/// process, divided by that of the event after the last.
pub(super) fn sorted_uniforms(random: &mut Random, values: &mut [f64]) {
    let mut time = 0.0;
    for value in values.iter_mut() {
        let wait: f64 = Exp1.sample(random);
        time += wait;
        *value = time;
    }
    let wait: f64 = Exp1.sample(random);
    values.iter_mut().for_each(|value| *value /= time + wait);
}

/// Standard normal.
pub(super) fn normal(random: &mut Random) -> f64 {
    StandardNormal.sample(random)
}

/// Successes among `n` at probability `p`; a `p` outside 0 to 1 counts as the nearer end.
pub(super) fn binomial(random: &mut Random, n: u64, p: f64) -> u64 {
    let distribution = Binomial::new(n, p.clamp(0.0, 1.0)).expect("the probability lies in 0 to 1");
    distribution.sample(random)
}

/// `n` rows over cells of these shares, which add up to 1: each cell a binomial of what is left.
pub(super) fn multinomial(random: &mut Random, n: u64, shares: &[f64], counts: &mut [u64]) {
    let (mut rows, mut share) = (n, 1.0);
    for (count, own) in counts.iter_mut().zip(shares) {
        // Rounding may leave the last share a little off what is left, never by a row.
        *count = if share <= *own { rows } else { binomial(random, rows, own / share) };
        rows -= *count;
        share -= own;
    }
    if let Some(last) = counts.last_mut() {
        *last += rows;
    }
}

/// Puts `items` into a random order.
pub(super) fn shuffle(random: &mut Random, items: &mut [u32]) {
    for last in (1..items.len()).rev() {
        items.swap(last, random.random_range(0..=last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_each_of_their_names_and_repeat_by_all() {
        let first = |seed, purpose, number| uniform(&mut stream(seed, purpose, number));
        let one = first(1, Purpose::Budget, 0);
        assert_eq!(one, first(1, Purpose::Budget, 0));
        assert_ne!(one, first(2, Purpose::Budget, 0));
        assert_ne!(one, first(1, Purpose::BudgetDay, 0));
        assert_ne!(one, first(1, Purpose::Budget, 1));
    }

    #[test]
    fn rows_over_cells_have_the_shares_and_the_spread_of_a_multinomial() {
        let (shares, n, draws) = ([0.5, 0.2, 0.3], 500_u64, 20_000);
        let mut random = stream(1, Purpose::Budget, 0);
        let (mut sums, mut squares) = ([0.0; 3], [0.0; 3]);
        for _ in 0..draws {
            let mut counts = [0; 3];
            multinomial(&mut random, n, &shares, &mut counts);
            assert_eq!(counts.iter().sum::<u64>(), n);
            for (i, count) in counts.iter().enumerate() {
                sums[i] += *count as f64;
                squares[i] += (*count as f64).powi(2);
            }
        }
        for (i, share) in shares.iter().enumerate() {
            let (n, draws) = (n as f64, f64::from(draws));
            let (mean, variance) = (sums[i] / draws, n * share * (1.0 - share));
            assert!((mean - n * share).abs() < 5.0 * (variance / draws).sqrt(), "mean {mean}");
            let found = squares[i] / draws - mean * mean;
            assert!((found / variance - 1.0).abs() < 0.05, "variance {found}, expected {variance}");
        }
    }

    #[test]
    fn sorted_uniforms_fill_equal_cells_alike() {
        let mut random = stream(1, Purpose::Budget, 0);
        let (mut counts, mut values) = ([0.0; 10], [0.0; 500]);
        for _ in 0..400 {
            sorted_uniforms(&mut random, &mut values);
            assert!(values.is_sorted() && values[0] >= 0.0 && values[499] <= 1.0);
            values.iter().for_each(|value| counts[((value * 10.0) as usize).min(9)] += 1.0);
        }
        // Chi-squared at 9 degrees of freedom is above 34 once in ten thousand seeds.
        let chi_squared: f64 = counts.iter().map(|count: &f64| (count - 20_000.0).powi(2) / 20_000.0).sum();
        assert!(chi_squared < 34.0, "{counts:?}");
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        shuffle(&mut stream(1, Purpose::Shuffle, 0), &mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<u32>>());
    }
}
