//! `plimsoll audit tiles`: the log as files that never change, for any web server, up to its newest
//! checkpoint. What was laid out before is kept, and must be the beginning of what is laid out now.

use std::path::Path;

use anyhow::Context;

use super::source::{Keys, Log};
use super::{Inconsistent, open, replace};
use crate::audit::tlog::{Resource, Tree, WIDTH, bundle, leaf, tiles, verify_consistency};

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Laid {
    /// Entries that the folder held before.
    pub before: u64,
    /// Entries that it holds now.
    pub size: u64,
    /// Files written, with the checkpoint.
    pub files: usize,
}

/// Lays out `log` in `folder`.
///
/// # Errors
/// When there is no checkpoint, or something cannot be read or written; with [`Inconsistent`] where the log
/// does not continue what is there, or is not what its checkpoint was signed over.
pub fn lay_tiles(log: &Log, keys: &Keys, folder: &Path) -> anyhow::Result<Laid> {
    let newest =
        log.checkpoints.last().context("the log has no checkpoint yet, so there is nothing to publish")?;
    let opened = open(newest, keys).context("the newest checkpoint cannot be used")?.checkpoint;
    let place = folder.join("checkpoint");
    let before = match std::fs::read(&place) {
        Ok(note) => {
            Some(open(&note, keys).with_context(|| format!("{} cannot be used", place.display()))?.checkpoint)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", place.display())),
    };
    let known = before.as_ref().map_or(0, |before| before.size);
    let first = known / WIDTH * WIDTH;
    let mut tree = Tree::default();
    let mut entries: Vec<Vec<u8>> = Vec::new();
    log.entries(&mut |index, bytes| {
        if index < opened.size {
            tree.push(leaf(bytes));
            if index >= first {
                entries.push(bytes.to_vec());
            }
        }
        Ok(())
    })?;
    if tree.root_at(opened.size) != Some(opened.root) {
        let wrong =
            "the log is not what its newest checkpoint was signed over; `plimsoll audit verify` says more";
        return Err(Inconsistent(wrong.to_owned()).into());
    }
    if let Some(before) = &before {
        let path = tree.consistency(before.size, opened.size);
        let continues = before.origin == opened.origin
            && path.is_some_and(|path| {
                verify_consistency(before.size, before.root, opened.size, opened.root, &path)
            });
        if !continues {
            let wrong =
                format!("{} holds {known} entries that are not the first ones of this log", folder.display());
            return Err(Inconsistent(wrong).into());
        }
    }
    let mut files = 0;
    for tile in tiles(known, opened.size) {
        let bytes = match tile.of {
            Resource::Hashes { .. } => tile.hashes(&tree).context("the tree lacks a hash")?,
            Resource::Entries => {
                let from = (tile.index * WIDTH - first) as usize;
                bundle(entries[from..from + tile.width as usize].iter().map(Vec::as_slice))?
            }
        };
        let path = folder.join(tile.path());
        let failed = || format!("cannot write {}", path.display());
        std::fs::create_dir_all(path.parent().unwrap_or(folder)).with_context(failed)?;
        replace(&path, &bytes).with_context(failed)?;
        files += 1;
        if tile.width == WIDTH {
            // What is whole takes the place of its parts.
            let mut parts = path.into_os_string();
            parts.push(".p");
            match std::fs::remove_dir_all(&parts) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).context("cannot remove the parts of a tile that is whole now");
                }
                _ => {}
            }
        }
    }
    // Last, so that nobody sees a checkpoint before its tiles.
    replace(&place, newest).with_context(|| format!("cannot write {}", place.display()))?;
    Ok(Laid { before: known, size: opened.size, files: files + 1 })
}

/// What is wrong with the hashes in `folder`, whose entries have the tree `tree`.
pub(super) fn check(folder: &Path, tree: &Tree) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for tile in tiles(0, tree.size()).into_iter().filter(|tile| tile.of != Resource::Entries) {
        let path = folder.join(tile.path());
        match std::fs::read(&path) {
            Ok(bytes) if Some(&bytes) == tile.hashes(tree).as_ref() => {}
            Ok(_) => wrong.push(format!("{} does not hold the hashes of the entries", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                wrong.push(format!("{} is missing", path.display()));
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
    Ok(wrong)
}
