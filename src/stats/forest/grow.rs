//! Growing a forest: per tree a sample without replacement, cut at random until every row is alone
//! or the depth is reached at which an ordinary row would be.

use serde::{Deserialize, Serialize};

use super::random::Random;
use super::{Forest, MOST_SAMPLES, MOST_TREES, NO_CUT, Node, UNIT, average_path, key};

/// How a forest is grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Trees, 1 to 1000.
    pub trees: usize,
    /// Rows drawn for each, 2 to 1024.
    pub samples: usize,
    /// Where the random numbers begin.
    pub seed: u64,
}

impl Default for Options {
    /// The paper's: more of either changes little.
    fn default() -> Self {
        Self { trees: 100, samples: 256, seed: 0 }
    }
}

impl Forest {
    /// Grows a forest from `rows`, row after row with `dimensions` features each. With fewer rows
    /// than `samples`, every tree takes all of them. Values are brought between the smallest and the
    /// largest finite `f32` (infinities too); NaN counts as the smallest.
    ///
    /// None without two rows, without features, or with options outside their ranges.
    pub fn grow(rows: &[f32], dimensions: usize, options: Options) -> Option<Self> {
        let count = rows.len().checked_div(dimensions)?;
        let allowed = (1..=MOST_TREES).contains(&options.trees)
            && (2..=MOST_SAMPLES).contains(&options.samples)
            && dimensions <= usize::from(u16::MAX);
        if !allowed || count < 2 || count > u32::MAX as usize {
            return None;
        }
        let samples = options.samples.min(count);
        let depth = samples.next_power_of_two().trailing_zeros();
        let size = 1 << depth;
        let mut forest = Self {
            dimensions,
            samples,
            depth,
            seed: options.seed,
            nodes: vec![NO_CUT; options.trees * size],
            leaves: vec![0; options.trees * size],
        };
        let paths: Vec<f64> = (0..=samples).map(average_path).collect();
        let mut order: Vec<u32> = (0..count as u32).collect();
        let trees = forest.nodes.chunks_exact_mut(size).zip(forest.leaves.chunks_exact_mut(size));
        for (number, (nodes, leaves)) in trees.enumerate() {
            let mut random = Random::new(options.seed, number as u64);
            // The first draws of a Fisher-Yates shuffle; what order the last tree left is as good.
            for drawn in 0..samples {
                let other = drawn + random.below(count - drawn);
                order.swap(drawn, other);
            }
            let mut tree = Tree { rows, dimensions, depth, paths: &paths, random, nodes, leaves };
            tree.cut(&mut order[..samples], 1, 0);
        }
        Some(forest)
    }
}

struct Tree<'a> {
    rows: &'a [f32],
    dimensions: usize,
    depth: u32,
    /// `average_path` by number of rows.
    paths: &'a [f64],
    random: Random,
    nodes: &'a mut [Node],
    leaves: &'a mut [u32],
}

impl Tree<'_> {
    fn value(&self, row: u32, feature: usize) -> f32 {
        let value = self.rows[row as usize * self.dimensions + feature];
        if value.is_nan() { f32::MIN } else { value.clamp(f32::MIN, f32::MAX) }
    }

    /// Cuts `rows`, which are those of node `at` at `level`.
    fn cut(&mut self, rows: &mut [u32], at: usize, level: u32) {
        if level == self.depth || rows.len() < 2 {
            return self.leaf(rows.len(), at, level);
        }
        let Some((feature, low, high)) = self.choose(rows) else {
            return self.leaf(rows.len(), at, level);
        };
        let (low64, high64) = (f64::from(low), f64::from(high));
        // In (low, high], so that neither side is empty; rounding to f32 may reach `low`.
        let drawn = (high64 - self.random.unit() * (high64 - low64)) as f32;
        let threshold = if drawn > low { drawn } else { low.next_up() };
        self.nodes[at] = Node { threshold: key(threshold), feature: feature as u32 };
        let mut left = 0;
        for index in 0..rows.len() {
            if self.value(rows[index], feature) < threshold {
                rows.swap(left, index);
                left += 1;
            }
        }
        let (below, above) = rows.split_at_mut(left);
        self.cut(below, 2 * at, level + 1);
        self.cut(above, 2 * at + 1, level + 1);
    }

    /// Smallest and largest value of `feature` in `rows`.
    fn range(&self, rows: &[u32], feature: usize) -> (f32, f32) {
        let values = rows.iter().map(|row| self.value(*row, feature));
        values.fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)))
    }

    /// A feature drawn evenly among those that are not constant in `rows`, and its range there.
    fn choose(&mut self, rows: &[u32]) -> Option<(usize, f32, f32)> {
        // Drawing until one varies is an even draw among those that do, and most do.
        for _ in 0..self.dimensions {
            let feature = self.random.below(self.dimensions);
            let (low, high) = self.range(rows, feature);
            if low < high {
                return Some((feature, low, high));
            }
        }
        let ranges = (0..self.dimensions).map(|feature| (feature, self.range(rows, feature)));
        let varying: Vec<(usize, f32, f32)> = ranges
            .filter(|(_, (low, high))| low < high)
            .map(|(feature, (low, high))| (feature, low, high))
            .collect();
        (!varying.is_empty()).then(|| varying[self.random.below(varying.len())])
    }

    /// The leaf `at`, and its copies on the lowest level.
    fn leaf(&mut self, rows: usize, at: usize, level: u32) {
        let path = ((f64::from(level) + self.paths[rows]) * UNIT).round() as u32;
        let below = self.depth - level;
        let first = (at << below) - (1 << self.depth);
        self.leaves[first..first + (1 << below)].fill(path);
    }
}
