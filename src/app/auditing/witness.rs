//! `plimsoll audit witness`: somebody else than the writer of the log remembers its newest checkpoint, and
//! signs a newer one only when it is proven to continue it. Once one honest witness has signed, the log
//! cannot show others a different past without that being seen.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;

use super::source::{Keys, Log};
use super::{Inconsistent, open, replace};
use crate::audit::tlog::{Algorithm, Checkpoint, SignerKey, Tree, leaf, verify_consistency};

/// What the witness has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Entries that it had signed before.
    pub before: u64,
    /// Entries that it has signed now.
    pub size: u64,
    /// The note with its signature added.
    pub note: String,
}

/// Looks at `log` for the witness that signs with `key` and remembers in `state`; `time` is the time of
/// signing, seconds since the epoch. The state is durable before the signature is given away.
///
/// # Errors
/// When something cannot be read or written; with [`Inconsistent`] where the log does not continue what the
/// witness has signed. Then nothing is signed and the state stays.
pub fn witness(log: &Log, keys: &Keys, key: &SignerKey, state: &Path, time: u64) -> anyhow::Result<Seen> {
    anyhow::ensure!(!keys.log.is_empty(), "a witness needs the key of the log: give `--key`");
    anyhow::ensure!(
        key.verifier().algorithm() == Algorithm::Cosignature,
        "the key is one of a log; make one with `plimsoll audit key --witness`"
    );
    let note = log.checkpoints.last().context("the log has no checkpoint yet")?;
    let newest = open(note, keys).context("the newest checkpoint cannot be used")?;
    let before = match std::fs::read(state) {
        Ok(bytes) => {
            let own = Keys { log: keys.log.clone(), witnesses: vec![key.verifier()], all_witnesses: true };
            let kept = open(&bytes, &own).with_context(|| format!("{} cannot be used", state.display()))?;
            anyhow::ensure!(kept.by.contains(&key.verifier()), "{} is of another witness", state.display());
            Some(kept.checkpoint)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", state.display())),
    };
    if let Some(before) = &before {
        continues(log, before, &newest.checkpoint)?;
    }
    let mut signed = newest.note;
    signed.signatures.retain(|signature| signature.id != key.verifier().id() || signature.name != key.name());
    signed.signatures.push(key.sign(&signed.text, time));
    let text = signed.to_string();
    replace(state, text.as_bytes()).with_context(|| format!("cannot write {}", state.display()))?;
    Ok(Seen { before: before.map_or(0, |before| before.size), size: newest.checkpoint.size, note: text })
}

/// Demands the proof that `newest` continues `before`.
fn continues(log: &Log, before: &Checkpoint, newest: &Checkpoint) -> anyhow::Result<()> {
    let refused = |why: String| Err(Inconsistent(why).into());
    if before.origin != newest.origin {
        return refused(format!("the log calls itself {}, and was {}", newest.origin, before.origin));
    }
    if before.size > newest.size {
        return refused(format!(
            "the newest checkpoint covers {} entries, and one over {} was signed before: the log was cut short",
            newest.size, before.size
        ));
    }
    let mut tree = Tree::default();
    log.entries(&mut |_, bytes| {
        tree.push(leaf(bytes));
        Ok(())
    })?;
    let path = tree.consistency(before.size, newest.size);
    let proven = path
        .is_some_and(|path| verify_consistency(before.size, before.root, newest.size, newest.root, &path));
    if proven {
        return Ok(());
    }
    refused(format!(
        "the log does not prove that its {} entries begin with the {} that were signed before: it was rewritten",
        newest.size, before.size
    ))
}
