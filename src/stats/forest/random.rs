//! The numbers that trees are drawn with: SplitMix64, ten lines whose stream no update of a
//! dependency can change, since a forest must come out the same from the same seed for years.

use crate::stats::stable_hash::{GOLDEN, mix};

/// A seeded stream of numbers.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    /// Stream number `stream` of `seed`.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed ^ mix(stream.wrapping_add(GOLDEN))))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number below `n`, which is at least 1 (Lemire 2019, "Fast random integer generation in an
    /// interval", without the rejection: the bias is below n / 2^64).
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// A number in `[0, 1)`, a multiple of 2^-53.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }
}
