//! Why something of the log is not accepted.

/// Why a key, a note, a checkpoint, a proof or a bundle is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a key in the note format.
    #[error("not a key: {0}")]
    Key(&'static str),
    /// Not a signed note.
    #[error("not a signed note: {0}")]
    Note(&'static str),
    /// A key that is known did not sign this text.
    #[error("the signature by {name} (key {id}) is wrong")]
    Signature {
        /// Name of the key.
        name: String,
        /// Its id, in hexadecimal.
        id: String,
    },
    /// Only unknown keys have signed.
    #[error("none of the signatures is by a known key of the log")]
    NoKnownKey,
    /// Not the text of a checkpoint.
    #[error("not a checkpoint: {0}")]
    Checkpoint(&'static str),
    /// A checkpoint of another log.
    #[error("the checkpoint is of the log {found}, and its signature by the key of {key}")]
    Origin {
        /// The log that it names.
        found: String,
        /// The log whose key has signed.
        key: String,
    },
    /// Not a proof.
    #[error("not a proof: {0}")]
    Proof(&'static str),
    /// The entry is not where the proof says.
    #[error("the entry is not number {index} of the log with the signed root")]
    NotIncluded {
        /// The number in the proof.
        index: u64,
    },
    /// Not an entry bundle.
    #[error("not an entry bundle: {0}")]
    Bundle(&'static str),
}
