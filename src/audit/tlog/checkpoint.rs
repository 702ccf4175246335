//! A checkpoint: the size and root of a log, as a note that the log signed. Whoever keeps one can tell
//! whether a log shown later still begins with what the checkpoint was signed over.

use std::fmt;

use super::strict::decimal;
use super::{Error, Hash, Note, SignerKey, VerifierKey, is_name};

/// Size and root of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the name of its key.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

/// A checkpoint that the log has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The note itself, with all its signatures.
    pub note: Note,
    /// The known keys that signed it: one of the log, and witnesses.
    pub by: Vec<VerifierKey>,
}

impl Checkpoint {
    /// Reads the text of a note. Lines beyond the third are refused: nobody who follows the log could
    /// tell whether they are true.
    ///
    /// # Errors
    /// When it is not the text of a checkpoint.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let body = text.strip_suffix('\n').ok_or(Error::Checkpoint("its last line has no end"))?;
        let lines: Vec<&str> = body.split('\n').collect();
        let [origin, size, root] = lines[..] else {
            return Err(Error::Checkpoint("it does not have three lines"));
        };
        if !is_name(origin) {
            return Err(Error::Checkpoint("its first line names no log"));
        }
        let size = decimal(size).ok_or(Error::Checkpoint("its size is not a decimal number"))?;
        let root = Hash::from_base64(root).ok_or(Error::Checkpoint("its root is not a hash in base64"))?;
        if size == 0 && root != Hash::empty() {
            return Err(Error::Checkpoint("it says that nothing has the root of something"));
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// The checkpoint as a note signed by `key`.
    pub fn sign(&self, key: &SignerKey) -> Note {
        let text = self.to_string();
        // The signature of a log does not hold the time.
        let signature = key.sign(&text, 0);
        Note { text, signatures: vec![signature] }
    }

    /// Reads a note, and accepts it only when one of `log` signed it whose name is the checkpoint's origin.
    /// Signatures by any of `log` and `witnesses` must be right; what others signed says nothing.
    ///
    /// # Errors
    /// When it is no checkpoint, or not signed by the log.
    pub fn open(note: &[u8], log: &[VerifierKey], witnesses: &[VerifierKey]) -> Result<Verified, Error> {
        let note = Note::parse(note)?;
        let checkpoint = Self::parse(&note.text)?;
        let by_log = note.verify(log)?;
        let by_witnesses = note.verify(witnesses)?;
        if by_log.is_empty() {
            return Err(Error::NoKnownKey);
        }
        if let Some(other) = by_log.iter().find(|key| key.name() != checkpoint.origin) {
            return Err(Error::Origin { found: checkpoint.origin, key: other.name().to_owned() });
        }
        let by = by_log.into_iter().chain(by_witnesses).cloned().collect();
        Ok(Verified { checkpoint, note, by })
    }
}

impl fmt::Display for Checkpoint {
    /// The text of the note.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root)
    }
}

/// The notes that stand one after the other in `bytes`, each as it is, and how many bytes they take: a
/// note ends where, after a blank line, lines that begin as signatures do have ended. What a crash left
/// unfinished at the end is in none of them.
pub fn notes(bytes: &[u8]) -> (Vec<&[u8]>, usize) {
    let mut found = Vec::new();
    let (mut begin, mut at, mut signatures) = (0, 0, false);
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let is_signature = line.starts_with("\u{2014} ".as_bytes());
        if signatures && !is_signature {
            found.push(&bytes[begin..at]);
            begin = at;
        }
        at += line.len();
        signatures = is_signature && line.ends_with(b"\n");
    }
    if signatures {
        found.push(&bytes[begin..at]);
        begin = at;
    }
    (found, begin)
}
