//! Evidently 0.7.23 at its default settings: `legacy/calculations/stattests`. Nulls and infinities
//! are taken out first, as it does.
//!
//! Bins come from reference **and** current data: one value far out in the current window makes a bin
//! so wide that a shift of a whole standard deviation disappears in it (PSI 0.99 becomes 0.00007).
//! The number of bins that its functions take is not used there, nor here.

use super::kolmogorov::two_sample_p;
use super::{Tally, jensen_shannon as distance, numpy, samples, shares, tally_numbers};
use crate::stats::special::{chi_squared_sf, normal_cdf};

/// Distances from here on are drift.
pub const DISTANCE_LIMIT: f64 = 0.1;

/// P-values below are drift (for Kolmogorov-Smirnov: up to here).
pub const P_LIMIT: f64 = 0.05;

/// Distinct reference values up to which a numeric column is compared value by value.
pub const MOST_VALUES: usize = 20;

/// Reference rows up to which the default is a test, and beyond which it is a distance.
const MOST_TESTED: usize = 1000;

/// Distinct values of both sides up to which a numeric column's default is that of a categorical one.
const FEW_VALUES: usize = 5;

/// The least standard deviation by which a distance is divided.
const LEAST_STD: f64 = 0.001;

/// What an empty cell is filled with, unless cells as rare as this hold rows.
const FILL: f64 = 1e-4;

/// How a column's drift is measured where the user chose nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// P-value of the two-sample Kolmogorov-Smirnov test.
    Ks,
    /// P-value of the one-sample chi-squared test.
    ChiSquared,
    /// P-value of the two-sample test of a share.
    Z,
    /// Wasserstein distance over the reference's standard deviation.
    Wasserstein,
    /// Jensen-Shannon distance, natural logarithm.
    JensenShannon,
}

/// The default test: `reference_rows` not null, `distinct` values over both sides.
pub fn default_test(numeric: bool, reference_rows: usize, distinct: usize) -> Test {
    let by_value = !numeric || distinct <= FEW_VALUES;
    match (reference_rows <= MOST_TESTED, by_value) {
        (true, true) if distinct > 2 => Test::ChiSquared,
        (true, true) => Test::Z,
        (true, false) => Test::Ks,
        (false, true) => Test::JensenShannon,
        (false, false) => Test::Wasserstein,
    }
}

/// A numeric column. Both sides finite and in ascending order; `integers` where pandas holds both as
/// integers, which no column with nulls is.
#[derive(Clone, Debug)]
pub struct Numeric<'a> {
    reference: &'a [f64],
    current: &'a [f64],
    cells: Tally,
}

impl<'a> Numeric<'a> {
    /// `None` where a side has no values, or the bins have no finite width: Evidently raises an error.
    pub fn new(reference: &'a [f64], current: &'a [f64], integers: bool) -> Option<Self> {
        if reference.is_empty() || current.is_empty() {
            return None;
        }
        let distinct = reference.chunk_by(|a, b| a == b).take(MOST_VALUES + 1).count();
        let cells = if distinct > MOST_VALUES {
            let both = [reference, current].concat();
            let edges = numpy::sturges_edges(&both, integers)?;
            let count = |values: &[f64]| numpy::histogram(values, &edges);
            Tally { reference: count(reference), current: count(current) }
        } else {
            tally_numbers(reference, current)
        };
        Some(Self { reference, current, cells })
    }

    /// PSI on the bins.
    pub fn psi(&self) -> Option<f64> {
        psi(&self.cells)
    }

    /// Jensen-Shannon distance on the bins, natural logarithm.
    pub fn jensen_shannon(&self) -> Option<f64> {
        jensen_shannon(&self.cells)
    }

    /// Wasserstein distance of the raw values over the reference's standard deviation, which is taken
    /// as .001 at least: a constant reference gives a thousand times the distance.
    pub fn wasserstein_normed(&self) -> Option<f64> {
        let norm = numpy::std(self.reference)?.max(LEAST_STD);
        Some(samples::wasserstein(self.reference, self.current)? / norm)
    }

    /// P-value of `ks_2samp`.
    pub fn ks_p(&self) -> Option<f64> {
        let d = samples::ks_statistic(self.reference, self.current)?;
        two_sample_p(d, self.reference.len(), self.current.len())
    }
}

/// PSI with empty cells filled, `sum (p-q) ln(p/q)`; `None` where a side has no rows.
pub fn psi(cells: &Tally) -> Option<f64> {
    let (p, q) = sides(cells)?;
    let terms: Vec<f64> = filled(p).iter().zip(&filled(q)).map(|(p, q)| (p - q) * (p / q).ln()).collect();
    Some(numpy::sum(&terms))
}

/// Jensen-Shannon distance without filling, natural logarithm; `None` where a side has no rows.
pub fn jensen_shannon(cells: &Tally) -> Option<f64> {
    let (p, q) = sides(cells)?;
    distance(&p, &q)
}

/// P-value of `scipy.stats.chisquare`: the current counts against the reference's shares, which are
/// taken as known. The reference's own sampling error is left out, and a category that it never had
/// gives 0. `None` where a side has no rows, or with one category.
pub fn chi_squared_p(cells: &Tally) -> Option<f64> {
    let (n, m) = crate::stats::totals(&cells.reference, &cells.current)?;
    let statistic: f64 = cells
        .reference
        .iter()
        .zip(&cells.current)
        .map(|(&p, &q)| {
            let expected = p as f64 * (n / m);
            (q as f64 - expected).powi(2) / expected
        })
        .sum();
    chi_squared_sf(statistic, cells.reference.len() as f64 - 1.0)
}

/// P-value of the two-sided z-test that the share of the first category is the same; 1 where there
/// is no other. `None` where a side has no rows.
pub fn z_p(cells: &Tally) -> Option<f64> {
    let (n, m) = crate::stats::totals(&cells.reference, &cells.current)?;
    if cells.reference.len() == 1 {
        return Some(1.0);
    }
    let (p, q) = (1.0 - cells.reference[0] as f64 / m, 1.0 - cells.current[0] as f64 / n);
    let pooled = (p * m + q * n) / (m + n);
    let z = (p - q) / (pooled * (1.0 - pooled) * (1.0 / m + 1.0 / n)).sqrt();
    z.is_finite().then(|| 2.0 * normal_cdf(-z.abs()))
}

/// Shares of both sides.
fn sides(cells: &Tally) -> Option<(Vec<f64>, Vec<f64>)> {
    let (n, m) = crate::stats::totals(&cells.reference, &cells.current)?;
    Some((shares(&cells.reference, m), shares(&cells.current, n)))
}

/// Empty cells get 1e-4, or a millionth of the smallest share where that is no larger than 1e-4.
fn filled(mut shares: Vec<f64>) -> Vec<f64> {
    let least = shares.iter().copied().filter(|share| *share > 0.0).fold(f64::INFINITY, f64::min);
    let fill = if least <= FILL { least / 1e6 } else { FILL };
    shares.iter_mut().filter(|share| **share == 0.0).for_each(|share| *share = fill);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ascending(count: i32, by: f64) -> Vec<f64> {
        (0..count).map(|i| f64::from(i) * by).collect()
    }

    #[test]
    fn up_to_twenty_distinct_values_are_compared_one_by_one() {
        let (twenty, more) = (ascending(20, 1.0), ascending(21, 1.0));
        assert_eq!(Numeric::new(&twenty, &[0.5], false).unwrap().cells.reference.len(), 21);
        // 22 values: log2 = 4.46, so 6 bins.
        assert_eq!(Numeric::new(&more, &[0.5], false).unwrap().cells.reference.len(), 6);
    }

    #[test]
    fn a_value_far_out_makes_one_bin_of_all_the_others() {
        let reference = ascending(1000, 0.01);
        let mut current = ascending(1000, 0.012);
        let before = Numeric::new(&reference, &current, false).unwrap().psi().unwrap();
        current.push(1e6);
        let numeric = Numeric::new(&reference, &current, false).unwrap();
        assert_eq!(numeric.cells.reference.iter().filter(|count| **count > 0).count(), 1);
        assert!(before > 0.1 && numeric.psi().unwrap() < 0.01);
        assert!(numeric.wasserstein_normed().unwrap() > 100.0, "and a distance sees nothing else");
    }

    #[test]
    fn a_constant_reference_is_divided_by_a_thousandth() {
        let numeric = Numeric::new(&[2.0; 40], &[2.5; 40], false).unwrap();
        assert!((numeric.wasserstein_normed().unwrap() - 500.0).abs() < 1e-9);
        // All mass moves from one value to another: two cells, each filled with 1e-4.
        let expected = 2.0 * (1.0 - 1e-4) * 1e4_f64.ln();
        assert!((numeric.psi().unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn empty_cells_are_filled_by_the_rarest_share_where_that_is_rare() {
        assert_eq!(filled(vec![0.0, 0.4, 0.6]), [1e-4, 0.4, 0.6]);
        assert_eq!(filled(vec![0.0, 1e-4, 0.9999]), [1e-10, 1e-4, 0.9999]);
    }

    #[test]
    fn one_new_category_in_ten_thousand_rows_is_impossible_to_the_one_sample_test() {
        let cells = Tally { reference: vec![5_000, 5_000, 0], current: vec![5_000, 4_999, 1] };
        assert_eq!(chi_squared_p(&cells), Some(0.0));
        assert_eq!(chi_squared_p(&Tally { reference: vec![5], current: vec![7] }), None);
    }

    #[test]
    fn the_share_of_one_of_two_categories_is_tested_by_its_normal_limit() {
        // 50 of 100 against 60 of 100: z = .1 / sqrt(.55 * .45 * .02) = 1.4213381.
        let cells = Tally { reference: vec![50, 50], current: vec![40, 60] };
        assert!((z_p(&cells).unwrap() - 0.155_218_487).abs() < 1e-8, "{:?}", z_p(&cells));
        assert_eq!(z_p(&Tally { reference: vec![5], current: vec![7] }), Some(1.0));
        assert!(z_p(&Tally { reference: vec![50, 0], current: vec![0, 50] }).unwrap() < 1e-20);
    }

    #[test]
    fn the_default_depends_on_the_size_of_the_reference_and_on_how_many_values_there_are() {
        assert_eq!(default_test(true, 1000, 6), Test::Ks);
        assert_eq!(default_test(true, 1000, 5), Test::ChiSquared);
        assert_eq!(default_test(false, 1000, 2), Test::Z);
        assert_eq!(default_test(true, 1001, 6), Test::Wasserstein);
        assert_eq!(default_test(true, 1001, 5), Test::JensenShannon);
        assert_eq!(default_test(false, 1001, 50), Test::JensenShannon);
    }

    #[test]
    fn a_side_without_values_has_no_numbers() {
        assert!(Numeric::new(&[], &[1.0], false).is_none());
        assert!(Numeric::new(&[1.0], &[], false).is_none());
        let empty = Tally { reference: vec![0], current: vec![4] };
        assert_eq!((psi(&empty), jensen_shannon(&empty), z_p(&empty)), (None, None, None));
    }
}
