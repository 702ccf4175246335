//! Why a record stands out: for each feature, how much more ordinary the record would be if only
//! that feature had its neutral value.
//!
//! One feature at a time: where two features are ordinary alone and odd together, replacing either
//! may change little or point at only one; and features that say the same share the blame or hide
//! each other. It names where to look, not a cause.

use super::{Forest, NO_CUT, key};

impl Forest {
    /// By how much the score of `row` falls when each feature alone is replaced by its `neutral`
    /// value; negative where the replacement makes the row odder.
    pub fn score_drops(&self, row: &[f32], neutral: &[f32]) -> Vec<f64> {
        let (path, gains) = self.gains(row, neutral);
        let score = self.score_of(path);
        let replaced = |gain: &i64| self.score_of(u32::try_from(i64::from(path) + gain).unwrap_or(0));
        gains.iter().map(|gain| score - replaced(gain)).collect()
    }

    /// The feature whose replacement lets the score of `row` fall most, the first of equals; none
    /// where no single replacement lets it fall.
    pub fn strongest(&self, row: &[f32], neutral: &[f32]) -> Option<usize> {
        let (_, gains) = self.gains(row, neutral);
        let (feature, gain) =
            gains.into_iter().enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        (gain > 0).then_some(feature)
    }

    /// Sum of path lengths of `row`, and what each replacement adds to it. A replacement changes
    /// only trees that ask for the feature on the row's own path, so the cost is bounded by the
    /// depth and not by the number of features.
    fn gains(&self, row: &[f32], neutral: &[f32]) -> (u32, Vec<i64>) {
        debug_assert!(row.len() == self.dimensions && neutral.len() == self.dimensions);
        let row: Vec<u32> = row.iter().map(|value| key(*value)).collect();
        let neutral: Vec<u32> = neutral.iter().map(|value| key(*value)).collect();
        let (mut total, mut gains) = (0, vec![0_i64; self.dimensions]);
        let size = 1_usize << self.depth;
        let mut asked: Vec<u32> = Vec::with_capacity(self.depth as usize);
        for (nodes, leaves) in self.each_tree() {
            asked.clear();
            let mut at = 1;
            while at < size {
                let node = nodes[at];
                if node != NO_CUT && !asked.contains(&node.feature) {
                    asked.push(node.feature);
                }
                at = 2 * at + usize::from(row[node.feature as usize] >= node.threshold);
            }
            let path = leaves[at - size];
            total += path;
            for feature in &asked {
                let mut at = 1;
                while at < size {
                    let node = nodes[at];
                    let values = if node.feature == *feature { &neutral } else { &row };
                    at = 2 * at + usize::from(values[node.feature as usize] >= node.threshold);
                }
                gains[*feature as usize] += i64::from(leaves[at - size]) - i64::from(path);
            }
        }
        (total, gains)
    }
}
