//! A hash that is the same in every build, on every machine and in every process: it decides which
//! records are in a sample, and every instance must decide alike. The standard library's hashers
//! promise neither. It is no defence against people who choose what is hashed.

/// The increment of SplitMix64: 2^64 over the golden ratio, odd.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
/// generators"): a bijection in which every input bit moves every output bit.
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Folds values into 64 bits, in their order.
#[derive(Clone, Copy, Debug)]
pub struct StableHash(u64);

impl StableHash {
    /// An empty hash; different seeds give unrelated hashes.
    pub const fn new(seed: u64) -> Self {
        Self(mix(seed ^ GOLDEN))
    }

    /// Folds in a word.
    #[must_use]
    pub const fn word(self, word: u64) -> Self {
        let folded = (self.0 ^ word).wrapping_mul(GOLDEN);
        Self(folded ^ (folded >> 32))
    }

    /// Folds in bytes and their number, so that neighbouring texts cannot run into each other.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let mut chunks = bytes.chunks_exact(8);
        let mut hash = self.word(bytes.len() as u64);
        for chunk in &mut chunks {
            hash = hash.word(u64::from_le_bytes(chunk.try_into().expect("the chunks have eight bytes")));
        }
        let mut last = [0; 8];
        last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        hash.word(u64::from_le_bytes(last))
    }

    /// The hash.
    pub const fn finish(self) -> u64 {
        mix(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes_between_versions() {
        // A changed hash would change which records are in every sample.
        assert_eq!(mix(GOLDEN), 0xe220_a839_7b1d_cdaf, "the first output of SplitMix64 with seed 0");
        assert_eq!(StableHash::new(0).bytes(b"request-17").finish(), 8_924_230_878_861_428_588);
    }

    #[test]
    fn neighbouring_texts_do_not_run_into_each_other() {
        let hash = |a: &str, b: &str| StableHash::new(7).bytes(a.as_bytes()).bytes(b.as_bytes()).finish();
        assert_ne!(hash("ab", "c"), hash("a", "bc"));
        assert_ne!(hash("", "a"), hash("a", ""));
        assert_ne!(hash("a\0", ""), hash("a", "\0"));
    }

    #[test]
    fn one_in_ten_of_running_numbers_is_one_in_ten() {
        let hit = |number: &u32| {
            StableHash::new(0).bytes(format!("credit-{number:08}").as_bytes()).finish().is_multiple_of(10)
        };
        let hits = (0..100_000).filter(hit).count();
        // Five standard deviations of a binomial count.
        assert!((9_525..10_475).contains(&hits), "{hits}");
    }
}
