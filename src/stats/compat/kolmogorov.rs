//! The p-value of the two-sample Kolmogorov-Smirnov test as `scipy.stats.ks_2samp` gives it: exact
//! where both samples have at most 10,000 values, and else that of the one-sample test of a sample
//! of `nm/(n+m)` values, rounded. The limit distribution, which
//! [`ecdf::ks_p_value`](crate::stats::ecdf::ks_p_value) uses, differs from both in the third digit.

use std::f64::consts::{E, PI, TAU};

use crate::stats::special::{deviance, stirling_error};

/// The largest sample for which scipy computes the exact p-value.
const MOST_EXACT: usize = 10_000;

/// Sample size up to which the one-sample distribution is computed by Durbin's matrix. Beyond, the
/// expansion is within 1e-8 of it.
const MOST_DURBIN: u64 = 2000;

/// From this `n d^2` on scipy takes twice the one-sided probability, for up to 140 values and for more.
/// What is counted twice there is `2 exp(-8 n d^2)` at most: 3e-14 and 5e-8.
const ONE_SIDED_FROM: (f64, f64) = (4.0, 2.2);

/// Probability of a distance of at least `d` between samples of `m` and `n` values of one continuous
/// distribution, as scipy 1.17 chooses its method; `None` where a sample is empty or `d` is NaN.
pub fn two_sample_p(d: f64, m: usize, n: usize) -> Option<f64> {
    if m == 0 || n == 0 || d.is_nan() {
        return None;
    }
    if m.max(n) <= MOST_EXACT {
        return Some(exact(d, m, n));
    }
    let (larger, smaller) = (m.max(n) as f64, m.min(n) as f64);
    Some(one_sample_p(d, (larger * smaller / (larger + smaller)).round_ties_even() as u64))
}

/// The share of lattice paths from (0, 0) to (m, n) that reach a point with `|x/m - y/n| >= d`.
///
/// Summed as probabilities of the outside, which never cancel (Viehmann, "Numerically more stable
/// computation of the p-values for the two-sample Kolmogorov-Smirnov test", 2021): of the paths to
/// (x, y), a share x / (x+y) comes from (x-1, y).
fn exact(d: f64, m: usize, n: usize) -> f64 {
    let divisor = gcd(m, n);
    // All distances are multiples of 1 / lcm; on that grid the comparison is exact.
    let (x_step, y_step) = ((n / divisor) as i64, (m / divisor) as i64);
    let reach = (d * (m / divisor) as f64 * n as f64).round_ties_even() as i64;
    if reach <= 0 {
        return 1.0;
    }
    let mut column = vec![0.0_f64; n + 1];
    for x in 0..=m {
        for y in 0..=n {
            let gap = (x as i64 * x_step - y as i64 * y_step).abs();
            column[y] = if gap >= reach {
                1.0
            } else if x == 0 {
                if y == 0 { 0.0 } else { column[y - 1] }
            } else if y == 0 {
                column[0]
            } else {
                (x as f64 * column[y] + y as f64 * column[y - 1]) / (x + y) as f64
            };
        }
    }
    column[n]
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Probability that the empirical distribution of `n` values is at least `d` away from the true one.
///
/// Twice the one-sided probability where that is enough (Simard and L'Ecuyer 2011); else Durbin's matrix for few
/// values (Marsaglia, Tsang, Wang 2003) and Pelz and Good's expansion (1976) for many. 1 for `n` 0.
pub fn one_sample_p(d: f64, n: u64) -> f64 {
    if n == 0 || d <= 0.5 / n as f64 {
        return 1.0;
    }
    if d >= 1.0 {
        return 0.0;
    }
    let one_sided_from = if n <= 140 { ONE_SIDED_FROM.0 } else { ONE_SIDED_FROM.1 };
    let p = if d >= 0.5 || n as f64 * d * d >= one_sided_from {
        2.0 * one_sided(d, n)
    } else if n <= MOST_DURBIN {
        1.0 - durbin(d, n as usize)
    } else {
        1.0 - pelz_good(d, n as f64)
    };
    p.clamp(0.0, 1.0)
}

/// Probability that the empirical distribution exceeds the true one by at least `d` somewhere:
/// `d sum_j C(n,j) (d + j/n)^(j-1) (1 - d - j/n)^(n-j)` over `j <= n (1-d)` (Birnbaum, Tingey 1951).
fn one_sided(d: f64, n: u64) -> f64 {
    let size = n as f64;
    let last = (size * (1.0 - d)).floor() as u64;
    let term = |j: u64| {
        let chance = d + j as f64 / size;
        if chance >= 1.0 { 0.0 } else { binomial(j as f64, size, chance) / chance }
    };
    d * (0..=last).map(term).sum::<f64>()
}

/// Binomial probability of `x` among `n`, by Loader's saddle point (2000).
fn binomial(x: f64, n: f64, chance: f64) -> f64 {
    if x == 0.0 {
        return (n * (-chance).ln_1p()).exp();
    }
    if x == n {
        return (n * chance.ln()).exp();
    }
    let rest = n - x;
    let log = stirling_error(n)
        - stirling_error(x)
        - stirling_error(rest)
        - deviance(x, n * chance)
        - deviance(rest, n * (1.0 - chance));
    log.exp() * (n / (TAU * x * rest)).sqrt()
}

/// Durbin's matrix formula for the distribution function (Marsaglia, Tsang and Wang, Journal of
/// Statistical Software 8(18), 2003).
fn durbin(d: f64, n: usize) -> f64 {
    let k = (n as f64 * d).ceil() as usize;
    let h = k as f64 - n as f64 * d;
    let size = 2 * k - 1;
    let mut matrix = vec![vec![0.0; size]; size];
    for (i, row) in matrix.iter_mut().enumerate() {
        for (j, cell) in row.iter_mut().enumerate() {
            *cell = if i + 1 >= j { 1.0 } else { 0.0 };
        }
    }
    for (i, row) in matrix.iter_mut().enumerate() {
        row[0] -= h.powi(i as i32 + 1);
    }
    for (i, cell) in matrix[size - 1].iter_mut().enumerate() {
        *cell -= h.powi((size - i) as i32);
    }
    matrix[size - 1][0] += if 2.0 * h > 1.0 { (2.0 * h - 1.0).powi(size as i32) } else { 0.0 };
    for (i, row) in matrix.iter_mut().enumerate() {
        for (j, cell) in row.iter_mut().enumerate() {
            for g in 1..=(i + 1).saturating_sub(j) {
                *cell /= g as f64;
            }
        }
    }
    // The middle of the n-th power times n! / n^n. The power grows like e^n, so each product takes a
    // factor e with it, and the rest of n! / n^n is what Stirling's formula says.
    let mut row = vec![0.0; size];
    row[k - 1] = 1.0;
    for _ in 0..n {
        let next = |column: usize| row.iter().zip(&matrix).map(|(a, b)| a * b[column]).sum::<f64>() / E;
        row = (0..size).map(next).collect();
    }
    row[k - 1] * (TAU * n as f64).sqrt() * stirling_error(n as f64).exp()
}

/// Pelz and Good's expansion of the distribution function in powers of `1/sqrt n` (Journal of the
/// Royal Statistical Society B 38, 1976). Checked against Durbin's matrix, which the last term meets
/// with 1/216; print also has 1/108.
fn pelz_good(d: f64, n: f64) -> f64 {
    let z = n.sqrt() * d;
    let (z2, pi2) = (z * z, PI * PI);
    let (z4, z6) = (z2 * z2, z2 * z2 * z2);
    let root = (PI / 2.0).sqrt();
    let [mut k0, mut k1, mut k2, mut k3] = [0.0_f64; 4];
    // Both series run over all integers; the terms of k and of -k are equal.
    for k in 0..40_i32 {
        let odd = (f64::from(k) + 0.5).powi(2);
        let weight = 2.0 * (-pi2 * odd / (2.0 * z2)).exp();
        k0 += weight;
        k1 += (pi2 * odd - z2) * weight;
        k2 += (6.0 * z6
            + 2.0 * z4
            + pi2 * (2.0 * z4 - 5.0 * z2) * odd
            + pi2.powi(2) * (1.0 - 2.0 * z2) * odd.powi(2))
            * weight
            / (72.0 * z6 * z);
        k3 += (pi2.powi(3) * odd.powi(3) * (5.0 - 30.0 * z2)
            + pi2.powi(2) * odd.powi(2) * (-60.0 * z2 + 212.0 * z4)
            + pi2 * odd * (135.0 * z4 - 96.0 * z6)
            - 30.0 * z6
            - 90.0 * z6 * z2)
            * weight
            / (6480.0 * z6 * z4);
        let even = f64::from(k).powi(2);
        let weight = 2.0 * (-pi2 * even / (2.0 * z2)).exp();
        k2 -= pi2 * even * weight / (36.0 * z2 * z);
        k3 += (3.0 * pi2 * even * z2 - pi2.powi(2) * even.powi(2)) * weight / (216.0 * z6);
    }
    root * (k0 / z + k1 / (6.0 * z4 * n.sqrt()) + k2 / n + k3 / n.powf(1.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_samples_have_the_p_values_that_counting_paths_gives() {
        // Of the 20 paths to (3, 3), two leave at once for a distance of 1.
        assert!((two_sample_p(1.0, 3, 3).unwrap() - 0.1).abs() < 1e-15);
        // Of the 20, eight never reach a distance of 2/3.
        assert!((two_sample_p(2.0 / 3.0, 3, 3).unwrap() - 0.6).abs() < 1e-15);
        // Two of the ten paths to (2, 3) go along an edge first.
        assert!((two_sample_p(1.0, 2, 3).unwrap() - 0.2).abs() < 1e-15);
        assert_eq!(two_sample_p(0.0, 7, 5), Some(1.0));
        assert_eq!(two_sample_p(0.3, 0, 5), None);
        assert_eq!(two_sample_p(f64::NAN, 4, 5), None);
    }

    #[test]
    fn the_one_sample_distribution_has_its_published_values() {
        // Marsaglia, Tsang, Wang (2003): K(10, .274) = .6284796154564774...
        assert!((durbin(0.274, 10) - 0.628_479_615_456_504_3).abs() < 1e-12, "{}", durbin(0.274, 10));
        assert_eq!(one_sample_p(0.05, 10), 1.0);
        assert_eq!(one_sample_p(1.0, 10), 0.0);
        assert_eq!(one_sample_p(0.3, 0), 1.0);
        // n = 1: P(D >= d) = 2 (1 - d) from 1/2 on.
        assert!((one_sample_p(0.75, 1) - 0.5).abs() < 1e-15);
    }

    #[test]
    fn the_methods_meet_where_one_takes_over_from_the_other() {
        let n = MOST_DURBIN;
        for z in [0.4_f64, 0.7, 1.0, 1.3, 1.48] {
            let d = z / (n as f64).sqrt();
            let gap = durbin(d, n as usize) - pelz_good(d, n as f64);
            assert!(gap.abs() < 1e-8, "z {z}: {gap}");
        }
        for (from, twice) in [(ONE_SIDED_FROM.0, 4e-14), (ONE_SIDED_FROM.1, 5e-8)] {
            let d = (from / 140.0).sqrt();
            let gap = 2.0 * one_sided(d, 140) - (1.0 - durbin(d, 140));
            assert!(gap.abs() < twice, "{gap}");
        }
    }

    #[test]
    fn many_values_come_near_the_limit_distribution() {
        for z in [0.6_f64, 1.0, 1.6, 3.0] {
            let n = 1_000_000_u64;
            let (found, limit) = (one_sample_p(z / 1e3, n), crate::stats::special::kolmogorov_sf(z));
            assert!((found / limit - 1.0).abs() < 5e-3, "{z}: {found} {limit}");
        }
    }
}
