//! A transparency log by the public C2SP formats: an RFC 6962 tree over the entries, checkpoints that
//! are signed notes, static tiles, and proofs that are checked offline.
//!
//! It is written by hand on SHA-256 and Ed25519 alone, though crates for it exist: this is what an
//! outsider has to trust, so it has to be short enough to be read. Tests hold it against those crates
//! and against the verifier in Python. Nothing here reads a clock, a file or randomness.
//!
//! Sources: RFC 6962 section 2.1, RFC 9162 section 2.1 (how proofs are checked), and c2sp.org:
//! signed-note, tlog-checkpoint, tlog-tiles, tlog-proof, tlog-cosignature.

mod checkpoint;
mod error;
mod key;
mod note;
mod proof;
mod strict;
mod tile;
mod tree;

pub use checkpoint::{Checkpoint, Verified, notes};
pub use error::Error;
pub use key::{Algorithm, SignerKey, VerifierKey};
pub use note::{Note, Signature};
pub use proof::Proof;
pub use tile::{ENTRY_BYTES, Resource, Tile, WIDTH, bundle, bundled, tiles};
pub use tree::{Edge, Hash, Tree, leaf, node, verify_consistency, verify_inclusion};

/// Whether `name` can name a log, and with it a key: not empty, no white space, no control character,
/// no `+`.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}
