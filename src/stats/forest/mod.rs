//! Isolation forest: how few random cuts separate a record from the others (Liu, Ting and Zhou
//! 2008, "Isolation forest", ICDM). Few cuts mean that it lies apart.
//!
//! Score `2^(-E[h] / c(n))`, between 0 and 1: `E[h]` is the mean number of cuts over the trees, plus
//! `c(size)` where a leaf holds `size` rows, and `c(n) = 2 H(n-1) - 2 (n-1)/n` the mean number of cuts
//! of an unsuccessful search in a binary search tree of `n` rows. `H` is the exact harmonic number
//! (scikit-learn uses its logarithmic approximation: c(256) is 10.2487 here and 10.2448 there). About
//! 0.5 is ordinary; the score says nothing about harm, and no share of real anomalies that it finds
//! can be promised: see `docs/anomalies.md` for what it found on named data.
//!
//! Every tree is a complete binary tree in flat arrays: a leaf that comes early is repeated below
//! itself, so that each row takes the same number of steps, without a branch, and sixteen rows can
//! go through a tree side by side while each waits for memory.
//!
//! The same seed and rows give the same forest and the same scores to the last bit, on every
//! platform whose `f64` is IEEE 754 binary64 with one rounding per operation (not 32-bit x87):
//! drawing uses integers, path lengths are summed as integers, and no function of the system's
//! mathematical library is called.

mod explain;
mod grow;
mod random;
mod score;
mod stored;

pub use grow::Options;
use serde::{Deserialize, Serialize};

/// Units of a path length: sums over trees are exact, whatever the order.
const UNIT: f64 = 65_536.0;
/// Most trees, and most rows drawn for one: a path is at most 26 long, so sums fit 32 bits.
pub const MOST_TREES: usize = 1_000;
/// Most rows drawn for one tree.
pub const MOST_SAMPLES: usize = 1_024;

/// A cut: rows whose value of the feature is at least the threshold go right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    /// The threshold's `key`.
    threshold: u32,
    feature: u32,
}

/// Below an early leaf there are no cuts: nothing is at or above this threshold.
const NO_CUT: Node = Node { threshold: u32::MAX, feature: 0 };

/// Trees over rows of a fixed number of features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "stored::Stored", into = "stored::Stored")]
pub struct Forest {
    dimensions: usize,
    /// Rows drawn for each tree.
    samples: usize,
    /// Cuts on every path, `ceil(log2(samples))`.
    depth: u32,
    seed: u64,
    /// Per tree `2^depth` nodes in heap order: the root is 1, the children of `i` are `2i` and
    /// `2i + 1`, and 0 is unused.
    nodes: Vec<Node>,
    /// Per tree `2^depth` path lengths, in units of 1/65536.
    leaves: Vec<u32>,
}

impl Forest {
    /// Features of a row.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Trees.
    pub fn trees(&self) -> usize {
        self.leaves.len() >> self.depth
    }

    /// Rows that each tree was grown from.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The seed that it was grown with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Each tree's nodes and leaves.
    fn each_tree(&self) -> impl Iterator<Item = (&[Node], &[u32])> {
        let size = 1 << self.depth;
        self.nodes.chunks_exact(size).zip(self.leaves.chunks_exact(size))
    }
}

/// A value as an integer in the same order; -0.0 equals 0.0. Infinities count as the largest finite
/// values, and NaN as the smallest: whoever has a better replacement puts it in before.
pub fn key(value: f32) -> u32 {
    let value = if value.is_nan() { f32::MIN } else { value.clamp(f32::MIN, f32::MAX) + 0.0 };
    let bits = value.to_bits();
    // Negative numbers descend in their bits, positive ones ascend.
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// Mean number of cuts that isolate one of `n` rows: `2 H(n-1) - 2 (n-1)/n`, 0 for one row or none.
pub fn average_path(n: usize) -> f64 {
    if n < 2 {
        return 0.0;
    }
    // From the smallest term on, which loses least.
    let harmonic: f64 = (1..n).rev().map(|i| 1.0 / i as f64).sum();
    2.0 * harmonic - 2.0 * (n - 1) as f64 / n as f64
}

#[cfg(test)]
mod tests;
