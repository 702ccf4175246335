//! Scoring: many rows at once, sixteen side by side through each tree.

use super::{Forest, UNIT, average_path, key};

/// Rows that go through a tree side by side: enough to hide the wait for memory, few enough for
/// their places in the tree to stay in registers and the first cache lines.
const LANES: usize = 16;

impl Forest {
    /// Score of each of `rows`, row after row with as many features as the forest has; a rest that
    /// is no whole row is left out. Between 0 and 1, higher is more anomalous.
    pub fn scores(&self, rows: &[f32]) -> Vec<f64> {
        let scale = self.scale();
        self.paths(rows).into_iter().map(|path| power_of_half(f64::from(path) * scale)).collect()
    }

    /// Sums of path lengths over all trees, per row.
    pub(super) fn paths(&self, rows: &[f32]) -> Vec<u32> {
        let count = rows.len() / self.dimensions;
        let size = 1 << self.depth;
        let mut sums = vec![0; count];
        // Feature by feature, so that the same feature of neighbouring rows is in one cache line.
        let mut block = vec![[0_u32; LANES]; self.dimensions];
        for (rows, sums) in rows.chunks(self.dimensions * LANES).zip(sums.chunks_mut(LANES)) {
            for (lane, row) in rows.chunks_exact(self.dimensions).enumerate() {
                for (values, value) in block.iter_mut().zip(row) {
                    values[lane] = key(*value);
                }
            }
            let mut totals = [0_u32; LANES];
            for (nodes, leaves) in self.each_tree() {
                let mut at = [1_usize; LANES];
                for _ in 0..self.depth {
                    for lane in 0..LANES {
                        let node = nodes[at[lane]];
                        let right = block[node.feature as usize][lane] >= node.threshold;
                        at[lane] = 2 * at[lane] + usize::from(right);
                    }
                }
                for lane in 0..LANES {
                    totals[lane] += leaves[at[lane] - size];
                }
            }
            sums.copy_from_slice(&totals[..sums.len()]);
        }
        sums
    }

    /// What turns a sum of path lengths into the exponent of its score.
    fn scale(&self) -> f64 {
        1.0 / (UNIT * self.trees() as f64 * average_path(self.samples))
    }

    /// The score that a sum of path lengths stands for.
    pub(super) fn score_of(&self, path: u32) -> f64 {
        power_of_half(f64::from(path) * self.scale())
    }
}

/// `1/1` to `1/18`: multiplying is many times faster than dividing.
const RECIPROCALS: [f64; 18] = {
    let mut reciprocals = [1.0; 18];
    let mut i = 1;
    while i < reciprocals.len() {
        reciprocals[i] = 1.0 / (i + 1) as f64;
        i += 1;
    }
    reciprocals
};

/// `2^-x` for `x` of at least 0, by additions and multiplications only: the system's function may
/// differ in the last digit between platforms, and a score must fall into the same cell everywhere.
fn power_of_half(x: f64) -> f64 {
    let whole = x.floor();
    let exponent = -(x - whole) * std::f64::consts::LN_2;
    // The exponential series; the first term that is left out is below 1e-20.
    let fraction = RECIPROCALS.iter().rev().fold(1.0, |sum, reciprocal| 1.0 + sum * exponent * reciprocal);
    (0..whole as u32).fold(fraction, |value, _| value * 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_power_is_the_libraries_to_the_last_digits() {
        for step in 0..=3_000 {
            let x = f64::from(step) / 1_000.0;
            let (ours, theirs) = (power_of_half(x), (-x).exp2());
            assert!((ours - theirs).abs() <= 4e-16 * theirs, "{x}: {ours} {theirs}");
        }
    }
}
