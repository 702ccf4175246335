//! What several stories share: the reference data beside the project and how to skip without it, and a
//! generator whose stream is fixed, so that a simulation is one number.

use std::path::PathBuf;

/// A file of the reference data beside the project, or `None` with a visible line where it is absent.
pub(crate) fn shared(file: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared").join(file);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: ../shared/{file} is not beside this checkout, so nothing was compared with it");
    None
}

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Stream(pub(crate) u64);

impl Stream {
    /// A number in [0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
