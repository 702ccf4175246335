//! The log as files that never change (tlog-tiles): tiles of 256 hashes and bundles of 256 entries. Any
//! web server can serve them, and any client makes its proofs from them.

use super::{Error, Tree};

/// Hashes of a full tile, and entries of a full bundle.
pub const WIDTH: u64 = 256;
/// Largest entry, bytes: its length stands before it in 16 bits.
pub const ENTRY_BYTES: usize = 65_535;

/// What a tile is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Hashes of subtrees of 256^level leaves.
    Hashes {
        /// The level, 0 for leaves.
        level: u8,
    },
    /// The entries themselves.
    Entries,
}

/// One file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    /// What is in it.
    pub of: Resource,
    /// Its number within the level.
    pub index: u64,
    /// How much of it there is, 1 to 256.
    pub width: u64,
}

impl Tile {
    /// Where it lies, from the folder of the log.
    pub fn path(&self) -> String {
        let kind = match self.of {
            Resource::Hashes { level } => level.to_string(),
            Resource::Entries => "entries".to_owned(),
        };
        // In groups of three digits, of which all but the last begin with an x.
        let mut name = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            name = format!("x{:03}/{name}", rest % 1000);
            rest /= 1000;
        }
        let part = if self.width < WIDTH { format!(".p/{}", self.width) } else { String::new() };
        format!("tile/{kind}/{name}{part}")
    }

    /// The hashes in it, one after the other; none for entries, or where `tree` is too small.
    pub fn hashes(&self, tree: &Tree) -> Option<Vec<u8>> {
        let Resource::Hashes { level } = self.of else { return None };
        let first = self.index * WIDTH;
        let mut bytes = Vec::with_capacity(self.width as usize * 32);
        for index in first..first + self.width {
            bytes.extend_from_slice(&tree.subtree(8 * u32::from(level), index)?.0);
        }
        Some(bytes)
    }
}

/// The tiles of a log of `size` entries that a log of `known` entries does not have, bundles first.
pub fn tiles(known: u64, size: u64) -> Vec<Tile> {
    let mut found = Vec::new();
    let mut row = |of: Resource, known: u64, size: u64| {
        if size > known {
            for index in known / WIDTH..size.div_ceil(WIDTH) {
                found.push(Tile { of, index, width: (size - index * WIDTH).min(WIDTH) });
            }
        }
    };
    row(Resource::Entries, known, size);
    let (mut known, mut size) = (known, size);
    for level in 0..8 {
        row(Resource::Hashes { level }, known, size);
        (known, size) = (known / WIDTH, size / WIDTH);
    }
    found
}

/// Entries as a bundle: each after its length in two bytes, the larger one first.
///
/// # Errors
/// When an entry is longer than [`ENTRY_BYTES`].
pub fn bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.len()).map_err(|_| Error::Bundle("an entry is too long for it"))?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(bytes)
}

/// The `width` entries of a bundle.
///
/// # Errors
/// When it does not hold exactly so many.
pub fn bundled(bytes: &[u8], width: u64) -> Result<Vec<&[u8]>, Error> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<2>().ok_or(Error::Bundle("a length is cut off"))?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after.split_at_checked(length).ok_or(Error::Bundle("an entry is cut off"))?;
        entries.push(entry);
        rest = after;
    }
    if entries.len() as u64 == width {
        Ok(entries)
    } else {
        Err(Error::Bundle("it has not as many entries as its name says"))
    }
}
