//! What the reference allows: its rate with its own sampling error. A plug-in estimate instead
//! would raise hundreds of false alarms a week, because the reference is itself a sample.

use crate::stats::interval;

/// A bound below and above, on the scale of the rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ends {
    /// The true rate is not below this; 0 where nothing can be said.
    pub low: f64,
    /// The true rate is not above this; 1 where nothing can be said.
    pub high: f64,
}

/// Clopper and Pearson's ends for a rate of which the reference showed `k` of `m`, each wrong with
/// probability at most `tail` over the drawing of the reference. None for an empty reference.
pub fn rate_ends(k: u64, m: u64, tail: f64) -> Option<Ends> {
    Some(Ends { low: interval::lower_bound(k, m, tail)?, high: interval::upper_bound(k, m, tail)? })
}

/// The same for the mean of `m` independent values in [0, 1] with the given `sum`: the means `u`
/// with `m KL(sum/m || u) <= ln(1/tail)` (Chernoff; Hoeffding, JASA 58, 1963, theorem 1). Valid for
/// any values in [0, 1], and for 0/1 values a little wider than Clopper and Pearson.
pub fn mean_ends(sum: f64, m: u64, tail: f64) -> Option<Ends> {
    if m == 0 || !(tail > 0.0 && tail < 1.0) || !sum.is_finite() {
        return None;
    }
    let mean = (sum / m as f64).clamp(0.0, 1.0);
    let most = (1.0 / tail).ln() / m as f64;
    // Bisection keeps `inside` allowed and `outside` not, until they are neighbours.
    let search = |mut inside: f64, mut outside: f64| {
        for _ in 0..200 {
            let middle = 0.5 * (inside + outside);
            if divergence(mean, middle) <= most {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        outside
    };
    Some(Ends { low: search(mean, 0.0), high: search(mean, 1.0) })
}

/// Kullback-Leibler divergence of Bernoulli distributions, nats.
fn divergence(p: f64, q: f64) -> f64 {
    let term = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * (p / q).ln() };
    term(p, q) + term(1.0 - p, 1.0 - q)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_for_means_hold_those_for_rates() {
        for (k, m) in [(0, 50), (3, 50), (1_000, 10_000), (10_000, 10_000)] {
            for tail in [1e-6, 5e-5, 0.01] {
                let (rate, mean) = (rate_ends(k, m, tail), mean_ends(k as f64, m, tail));
                let (rate, mean) = (rate.expect("m > 0"), mean.expect("m > 0"));
                // At 0 and m of m both are the same bound, up to rounding.
                let inside = mean.low <= rate.low + 1e-12 && rate.high <= mean.high + 1e-12;
                assert!(inside, "{k} of {m}: {mean:?} {rate:?}");
                assert!(mean.high - mean.low < 1.5 * (rate.high - rate.low), "{k} of {m}: {mean:?} {rate:?}");
            }
        }
        assert_eq!(rate_ends(0, 0, 0.01), None);
        assert_eq!(mean_ends(0.0, 0, 0.01), None);
    }
}
