//! A forest as a profile keeps it: base64 of little-endian arrays, about a third of a megabyte for
//! a hundred trees of 256 rows. Everything is checked on the way back, because a file is not to be
//! trusted: a wrong index would end the daemon in the middle of a stream.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Forest, MOST_SAMPLES, MOST_TREES, Node};

/// The arrays as text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    trees: usize,
    samples: usize,
    dimensions: usize,
    seed: u64,
    /// Features of the cuts, u16.
    features: String,
    /// Thresholds of the cuts as ordered integers, u32.
    thresholds: String,
    /// Path lengths of the leaves in units of 1/65536, u32.
    leaves: String,
}

/// Why a stored forest cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// An array is no base64.
    #[error("the forest's {array} are not base64")]
    Base64 {
        /// Which.
        array: &'static str,
    },
    /// Numbers that no forest has.
    #[error(
        "a forest of {trees} trees over {samples} rows of {dimensions} features is outside what is supported"
    )]
    Size {
        /// Trees.
        trees: usize,
        /// Rows drawn for each.
        samples: usize,
        /// Features.
        dimensions: usize,
    },
    /// An array of another length.
    #[error("the forest's {array} have {found} bytes, not {wanted}")]
    Length {
        /// Which.
        array: &'static str,
        /// Bytes there are.
        found: usize,
        /// Bytes there should be.
        wanted: usize,
    },
    /// A cut of a feature that there is not.
    #[error("the forest cuts feature {feature}, and there are {dimensions}")]
    Feature {
        /// The feature.
        feature: u16,
        /// Features.
        dimensions: usize,
    },
    /// A path that is longer than any of this depth.
    #[error("the forest has a path of {path} units, longer than its trees allow")]
    Path {
        /// In units of 1/65536.
        path: u32,
    },
}

impl From<Forest> for Stored {
    fn from(forest: Forest) -> Self {
        let features = forest.nodes.iter().flat_map(|node| (node.feature as u16).to_le_bytes());
        let thresholds = forest.nodes.iter().flat_map(|node| node.threshold.to_le_bytes());
        let leaves = forest.leaves.iter().flat_map(|leaf| leaf.to_le_bytes());
        Self {
            trees: forest.trees(),
            samples: forest.samples,
            dimensions: forest.dimensions,
            seed: forest.seed,
            features: STANDARD.encode(features.collect::<Vec<u8>>()),
            thresholds: STANDARD.encode(thresholds.collect::<Vec<u8>>()),
            leaves: STANDARD.encode(leaves.collect::<Vec<u8>>()),
        }
    }
}

impl TryFrom<Stored> for Forest {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self, Error> {
        let Stored { trees, samples, dimensions, seed, .. } = stored;
        let possible = (1..=MOST_TREES).contains(&trees)
            && (2..=MOST_SAMPLES).contains(&samples)
            && (1..=usize::from(u16::MAX)).contains(&dimensions);
        if !possible {
            return Err(Error::Size { trees, samples, dimensions });
        }
        let depth = samples.next_power_of_two().trailing_zeros();
        let cells = trees << depth;
        let features = numbers::<2>("features", &stored.features, cells)?;
        let thresholds = numbers::<4>("thresholds", &stored.thresholds, cells)?;
        let leaves = numbers::<4>("leaves", &stored.leaves, cells)?;
        let node = |(feature, threshold): ([u8; 2], [u8; 4])| {
            let feature = u16::from_le_bytes(feature);
            let known = usize::from(feature) < dimensions;
            let node = Node { threshold: u32::from_le_bytes(threshold), feature: u32::from(feature) };
            known.then_some(node).ok_or(Error::Feature { feature, dimensions })
        };
        let nodes = features.into_iter().zip(thresholds).map(node).collect::<Result<Vec<Node>, Error>>()?;
        let leaves: Vec<u32> = leaves.into_iter().map(u32::from_le_bytes).collect();
        // Longer paths could overflow the sum over the trees.
        let longest = u32::MAX / trees as u32;
        if let Some(path) = leaves.iter().find(|path| **path > longest) {
            return Err(Error::Path { path: *path });
        }
        Ok(Self { dimensions, samples, depth, seed, nodes, leaves })
    }
}

/// `cells` numbers of `N` bytes each.
fn numbers<const N: usize>(array: &'static str, text: &str, cells: usize) -> Result<Vec<[u8; N]>, Error> {
    let bytes = STANDARD.decode(text).map_err(|_| Error::Base64 { array })?;
    if bytes.len() != cells * N {
        return Err(Error::Length { array, found: bytes.len(), wanted: cells * N });
    }
    Ok(bytes.chunks_exact(N).map(|chunk| chunk.try_into().expect("the chunks have N bytes")).collect())
}
