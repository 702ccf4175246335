//! Where a numeric column is cut. Ten equal-mass cells and 64 equal-mass cells, both exact sums of
//! the cells that are stored; values that hold a decile's mass on their own get a cell of their own,
//! because a constant or nearly constant column would otherwise hide every change above it.

use crate::stats::quantile;

/// Share of the reference from which a single value gets its own cell: one decile.
const HEAVY: f64 = 0.1;

/// Edges of one column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edges {
    /// Inner edges of the coarse cells, ascending, without duplicates.
    pub deciles: Vec<f64>,
    /// Inner edges of the fine cells, likewise.
    pub fine: Vec<f64>,
    /// All bounds that are counted on: both of the above, the minimum, and the next number above
    /// the maximum.
    pub bounds: Vec<f64>,
    /// Values that hold at least a decile of the reference each.
    pub heavy: Vec<f64>,
}

/// Edges from the finite values of a reference column, sorted ascending.
///
/// Quantiles interpolate linearly (Hyndman and Fan 1996, definition 7; numpy's default).
pub fn from_sorted(sorted: &[f64]) -> Edges {
    let (Some(min), Some(max)) = (sorted.first().copied(), sorted.last().copied()) else {
        return Edges::default();
    };
    let heavy = heavy_values(sorted);
    let mut own_cells: Vec<f64> = heavy.iter().flat_map(|value| [*value, value.next_up()]).collect();
    own_cells.retain(|edge| edge.is_finite());
    let cut = |parts: usize| {
        let quantiles = (1..parts).filter_map(|i| quantile::linear(sorted, i as f64 / parts as f64));
        ascending(quantiles.chain(own_cells.iter().copied()))
    };
    let (deciles, fine) = (cut(10), cut(64));
    let outer = [min, max.next_up()].into_iter().filter(|edge| edge.is_finite());
    let bounds = ascending(deciles.iter().chain(&fine).copied().chain(outer));
    Edges { deciles, fine, bounds, heavy }
}

fn ascending(edges: impl Iterator<Item = f64>) -> Vec<f64> {
    // Adding zero turns -0.0 into 0.0: equal as numbers, so they must be one edge.
    let mut edges: Vec<f64> = edges.map(|edge| edge + 0.0).collect();
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    edges
}

fn heavy_values(sorted: &[f64]) -> Vec<f64> {
    let least = (sorted.len() as f64 * HEAVY).ceil() as usize;
    sorted.chunk_by(|a, b| a == b).filter(|run| run.len() >= least.max(2)).map(|run| run[0] + 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_column_has_three_cells_below_equal_and_above() {
        let edges = from_sorted(&[0.25; 100]);
        assert_eq!(edges.deciles, [0.25, 0.25_f64.next_up()]);
        assert_eq!(edges.fine, edges.deciles);
        assert_eq!(edges.bounds, edges.deciles);
    }

    #[test]
    fn the_coarse_and_the_fine_edges_are_among_the_bounds() {
        let sorted: Vec<f64> = (0..10_000).map(|i| f64::from(i) / 7.0).collect();
        let edges = from_sorted(&sorted);
        assert_eq!((edges.deciles.len(), edges.fine.len()), (9, 63));
        assert_eq!(edges.bounds.len(), 71 + 2, "i/10 and i/64 share only the median");
        assert!(edges.deciles.iter().chain(&edges.fine).all(|edge| edges.bounds.contains(edge)));
    }

    #[test]
    fn zeros_that_hold_a_third_of_the_mass_have_their_own_cell() {
        let mut sorted = vec![0.0; 500];
        sorted.extend((1..=1000).map(f64::from));
        let edges = from_sorted(&sorted);
        assert_eq!(edges.heavy, [0.0]);
        assert!(edges.deciles.contains(&0.0) && edges.deciles.contains(&0.0_f64.next_up()));
    }

    #[test]
    fn an_empty_column_has_no_edges() {
        assert_eq!(from_sorted(&[]), Edges::default());
    }
}
