//! A proof that one entry is in the log (`c2sp.org/tlog-proof@v1`): it is checked offline, with the
//! entry and the public key of the log.

use std::fmt;

use super::strict::{decimal, from_base64, to_base64};
use super::tree::{Hash, leaf, verify_inclusion};
use super::{Checkpoint, Error, Verified, VerifierKey};

/// The first line.
const FIRST: &str = "c2sp.org/tlog-proof@v1";
/// A tree has fewer levels.
const LEVELS: usize = 64;

/// A proof, of which nothing is known yet but its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Anything; no proof says that it is true.
    pub extra: Option<Vec<u8>>,
    /// Number of the entry, from 0.
    pub index: u64,
    /// Hashes from the leaf to the root.
    pub path: Vec<Hash>,
    /// The signed checkpoint, as it was published.
    pub checkpoint: String,
}

impl Proof {
    /// Reads a proof.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(bytes).map_err(|_| Error::Proof("it is not UTF-8"))?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(Error::Proof("it has no checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST) {
            return Err(Error::Proof("its first line is not `c2sp.org/tlog-proof@v1`"));
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(data) => {
                let extra = from_base64(data).ok_or(Error::Proof("its extra data is not base64"))?;
                lines.next();
                Some(extra)
            }
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.ok_or(Error::Proof("it does not say `index` and a decimal number"))?;
        let path: Option<Vec<Hash>> = lines.map(Hash::from_base64).collect();
        let path = path.ok_or(Error::Proof("its path holds what is not a hash in base64"))?;
        if path.len() > LEVELS {
            return Err(Error::Proof("its path is longer than any tree is high"));
        }
        Ok(Self { extra, index, path, checkpoint: checkpoint.to_owned() })
    }

    /// Whether it proves that `entry` is in the log whose keys are `log`. Says which checkpoint it leads to.
    ///
    /// # Errors
    /// Why it does not.
    pub fn verify(
        &self,
        entry: &[u8],
        log: &[VerifierKey],
        witnesses: &[VerifierKey],
    ) -> Result<Verified, Error> {
        let verified = Checkpoint::open(self.checkpoint.as_bytes(), log, witnesses)?;
        let Checkpoint { size, root, .. } = verified.checkpoint;
        if !verify_inclusion(leaf(entry), self.index, size, &self.path, root) {
            return Err(Error::NotIncluded { index: self.index });
        }
        Ok(verified)
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", to_base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}
