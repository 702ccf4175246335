//! What a notebook with scipy gives: PSI and Jensen-Shannon distance on the reference's deciles with
//! shares floored at 1e-4, and scipy's distances and tests on the raw values.
//!
//! scipy has no PSI and no limits; 0.1 for PSI (0.25 for "major") is a custom of credit scoring,
//! and .05 for a p-value that of textbooks.

use super::kolmogorov::two_sample_p;
use super::{Tally, jensen_shannon as distance, numpy, samples, shares};
use crate::stats::divergence::{ChiSquared, chi_squared};
use crate::stats::quantile;

/// What an empty cell's share is raised to, and every share below it.
pub const FLOOR: f64 = 1e-4;

/// The customary limit of PSI.
pub const PSI_LIMIT: f64 = 0.1;

/// The customary limit of a p-value.
pub const P_LIMIT: f64 = 0.05;

/// A numeric column: deciles are those of the reference (numpy's linear quantiles, without
/// duplicates), and a value's cell is the number of deciles that are not above it.
#[derive(Clone, Debug)]
pub struct Numeric<'a> {
    reference: &'a [f64],
    current: &'a [f64],
    cells: Tally,
}

impl<'a> Numeric<'a> {
    /// Both sides in ascending order, finite; `None` where one has no values.
    pub fn new(reference: &'a [f64], current: &'a [f64]) -> Option<Self> {
        if reference.is_empty() || current.is_empty() {
            return None;
        }
        let edges = quantile::unique_quantile_edges(reference, &[10]);
        let count = |sorted: &[f64]| {
            let mut below: Vec<usize> =
                edges.iter().map(|edge| sorted.partition_point(|value| value < edge)).collect();
            below.insert(0, 0);
            below.push(sorted.len());
            below.windows(2).map(|pair| (pair[1] - pair[0]) as u64).collect()
        };
        let cells = Tally { reference: count(reference), current: count(current) };
        Some(Self { reference, current, cells })
    }

    /// PSI on the deciles.
    pub fn psi(&self) -> Option<f64> {
        psi(&self.cells)
    }

    /// Jensen-Shannon distance on the deciles, base 2.
    pub fn jensen_shannon(&self) -> Option<f64> {
        jensen_shannon(&self.cells)
    }

    /// `ks_2samp`: distance and p-value.
    pub fn ks(&self) -> Option<(f64, f64)> {
        let d = samples::ks_statistic(self.reference, self.current)?;
        Some((d, two_sample_p(d, self.reference.len(), self.current.len())?))
    }

    /// `wasserstein_distance`, in the unit of the values.
    pub fn wasserstein(&self) -> Option<f64> {
        samples::wasserstein(self.reference, self.current)
    }

    /// The same over the reference's standard deviation (ddof 0); `None` for a constant reference.
    pub fn wasserstein_over_std(&self) -> Option<f64> {
        let varies = self.reference.first() != self.reference.last();
        Some(self.wasserstein()? / numpy::std(self.reference).filter(|_| varies)?)
    }
}

/// Both totals, where neither side is empty.
fn totals(cells: &Tally) -> Option<(f64, f64)> {
    crate::stats::totals(&cells.reference, &cells.current).map(|(n, m)| (m, n))
}

/// PSI of shares, each at least [`FLOOR`]; `None` where a side has no rows.
pub fn psi(cells: &Tally) -> Option<f64> {
    let (m, n) = totals(cells)?;
    let (p, q) = (shares(&cells.reference, m), shares(&cells.current, n));
    Some(
        p.iter()
            .zip(&q)
            .map(|(p, q)| (p.max(FLOOR), q.max(FLOOR)))
            .map(|(p, q)| (q - p) * (q / p).ln())
            .sum(),
    )
}

/// Jensen-Shannon distance of the shares as they are, base 2; `None` where a side has no rows.
pub fn jensen_shannon(cells: &Tally) -> Option<f64> {
    let (m, n) = totals(cells)?;
    let natural = distance(&shares(&cells.reference, m), &shares(&cells.current, n))?;
    Some(natural / std::f64::consts::LN_2.sqrt())
}

/// `chi2_contingency`, with Yates' correction at one degree of freedom; `None` with one category.
pub fn chi_squared_contingency(cells: &Tally) -> Option<ChiSquared> {
    chi_squared(&cells.reference, &cells.current)
}

/// The largest difference of a share.
pub fn l_infinity(cells: &Tally) -> Option<f64> {
    let (m, n) = totals(cells)?;
    let shares = cells.reference.iter().zip(&cells.current);
    Some(shares.map(|(&p, &q)| (p as f64 / m - q as f64 / n).abs()).fold(0.0, f64::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_below_the_floor_are_raised_to_it() {
        // (.0001 - .5) ln(.0001/.5) + (1 - .5) ln(1/.5), by hand.
        let cells = Tally { reference: vec![10, 10], current: vec![0, 20] };
        let expected = (1e-4_f64 - 0.5) * (2e-4_f64).ln() + 0.5 * 2.0_f64.ln();
        assert!((psi(&cells).unwrap() - expected).abs() < 1e-15);
        assert_eq!(psi(&Tally { reference: vec![0], current: vec![3] }), None);
    }

    #[test]
    fn a_constant_reference_has_no_standard_deviation_to_divide_by() {
        let numeric = Numeric::new(&[0.1; 30], &[0.1, 0.2]).unwrap();
        assert_eq!(numeric.wasserstein_over_std(), None);
        assert!(numeric.wasserstein().is_some());
        assert!(Numeric::new(&[], &[1.0]).is_none());
    }
}
