//! `plimsoll audit prove`: for one entry, or for all entries about one action, a proof that is checked
//! offline with the entry and the public key of the log.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::order::{self, Read};
use super::source::{Keys, Log};
use super::{Inconsistent, open};
use crate::audit::tlog::{Hash, Proof, Tree, leaf, verify_inclusion};

/// What is to be proven.
#[derive(Clone, Debug)]
pub enum Subject {
    /// The entry of this number.
    Entry(u64),
    /// Decision, evidence, intent and outcome of the action of this id.
    Action(String),
}

impl Subject {
    fn is(&self, index: u64, read: &Read) -> bool {
        match self {
            Self::Entry(seq) => *seq == index,
            Self::Action(id) => read.actions().contains(&id.as_str()),
        }
    }
}

/// What was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Files of the proofs, in the order of the entries.
    pub files: Vec<PathBuf>,
    /// Number and kind of each entry.
    pub entries: Vec<(u64, String)>,
}

impl Proven {
    /// Numbers of the entries that make the order of one action: its sealed evidence, its intent and its
    /// outcome, as far as there are such.
    pub fn order(&self) -> [Option<u64>; 3] {
        let of = |kind: &str| self.entries.iter().find(|(_, it)| it == kind).map(|(index, _)| *index);
        [of("evidence"), of("intent"), of("outcome")]
    }
}

/// Writes into `folder`, for each entry, `N-kind.json` with its exact bytes and `N-kind.tlog-proof`.
///
/// # Errors
/// When nothing is found, no checkpoint covers it yet, or something cannot be read or written; with
/// [`Inconsistent`] where the log is not what its checkpoint was signed over.
pub fn prove(log: &Log, keys: &Keys, subject: &Subject, folder: &Path) -> anyhow::Result<Proven> {
    let note = log.checkpoints.last().context("the log has no checkpoint yet, so nothing can be proven")?;
    let checkpoint = open(note, keys).context("the newest checkpoint cannot be used")?.checkpoint;
    let mut tree = Tree::default();
    let mut found: Vec<(u64, String, Vec<u8>)> = Vec::new();
    log.entries(&mut |index, bytes| {
        tree.push(leaf(bytes));
        // One that is no entry can be proven to be there all the same.
        let read = order::read(index, bytes).unwrap_or(Read { value: serde_json::Value::Null });
        if subject.is(index, &read) {
            found.push((index, read.kind().to_owned(), bytes.to_vec()));
        }
        Ok(())
    })?;
    if tree.root_at(checkpoint.size) != Some(checkpoint.root) {
        let wrong =
            "the log is not what its newest checkpoint was signed over; `plimsoll audit verify` says more";
        return Err(Inconsistent(wrong.to_owned()).into());
    }
    match (subject, found.last()) {
        (Subject::Entry(seq), None) => bail!("there is no entry {seq}: the log has {} entries", tree.size()),
        (Subject::Action(id), None) => bail!("no entry is about the action {id}"),
        (_, Some((last, ..))) if *last >= checkpoint.size => {
            bail!("entry {last} is not covered by a checkpoint yet: the newest covers {}", checkpoint.size);
        }
        _ => {}
    }
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut proven = Proven { files: Vec::new(), entries: Vec::new() };
    for (index, kind, bytes) in found {
        let path: Vec<Hash> = tree.inclusion(index, checkpoint.size).context("the tree lacks a hash")?;
        if !verify_inclusion(leaf(&bytes), index, checkpoint.size, &path, checkpoint.root) {
            return Err(Inconsistent(format!("the proof of entry {index} does not hold")).into());
        }
        let note = String::from_utf8(note.clone()).context("the checkpoint is not UTF-8")?;
        let proof = Proof { extra: None, index, path, checkpoint: note };
        let plain = kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !kind.is_empty();
        let name = format!("{index}-{}", if plain { &kind } else { "entry" });
        let (entry_file, proof_file) =
            (folder.join(format!("{name}.json")), folder.join(format!("{name}.tlog-proof")));
        for (path, bytes) in [(&entry_file, bytes), (&proof_file, proof.to_string().into_bytes())] {
            std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
        proven.files.push(proof_file);
        proven.entries.push((index, kind));
    }
    Ok(proven)
}
