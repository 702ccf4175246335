//! Delays over many draws: median and spread, where some changes are never found.

use super::report::Cell;

/// Delays in panes, one per draw; none where the change was not found in time.
#[derive(Clone, Debug, Default)]
pub(super) struct Delays {
    /// In ascending order, those never found last.
    sorted: Vec<u64>,
}

/// In place of a delay that was never reached.
const NEVER: u64 = u64::MAX;

impl Delays {
    pub(super) fn new(delays: impl IntoIterator<Item = Option<u64>>) -> Self {
        let mut sorted: Vec<u64> = delays.into_iter().map(|delay| delay.unwrap_or(NEVER)).collect();
        sorted.sort_unstable();
        Self { sorted }
    }

    pub(super) fn draws(&self) -> u64 {
        self.sorted.len() as u64
    }

    /// Draws whose change was found.
    pub(super) fn found(&self) -> u64 {
        self.sorted.partition_point(|delay| *delay != NEVER) as u64
    }

    /// The delay by which the share `q` of the draws was found: the smallest that at least so many
    /// do not exceed. None where fewer were found.
    pub(super) fn quantile(&self, q: f64) -> Option<u64> {
        let rank = (q * self.sorted.len() as f64).ceil().max(1.0) as usize;
        self.sorted.get(rank - 1).copied().filter(|delay| *delay != NEVER)
    }

    /// The median, for a promise.
    pub(super) fn median(&self) -> Option<f64> {
        self.quantile(0.5).map(|delay| delay as f64)
    }

    /// A quantile, for a table.
    pub(super) fn cell(&self, q: f64) -> Cell {
        self.quantile(q).map_or(Cell::Never, Cell::Count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_reached_only_where_so_many_were_found() {
        let delays = Delays::new([Some(9), None, Some(3), Some(5)]);
        assert_eq!((delays.draws(), delays.found()), (4, 3));
        assert_eq!((delays.quantile(0.5), delays.quantile(0.75)), (Some(5), Some(9)));
        assert_eq!((delays.quantile(0.9), delays.cell(0.9)), (None, Cell::Never));
        assert_eq!(Delays::new([]).median(), None);
    }
}
