//! `plimsoll audit`: whoever can read the log, on whatever machine, can check it, cut proofs from it, watch
//! it as a witness and lay it out as static files. None of it writes to the log, and none but `key` and
//! `witness` touches a secret: the one who signs the log is its one writer.

mod key;
mod order;
mod prove;
mod show;
mod source;
mod tiles;
mod verify;
mod witness;

pub use key::{Made, make_key};
pub use prove::{Proven, Subject, prove};
pub use show::{Filter, show};
pub use source::{Keys, Log, Source};
pub use tiles::{Laid, lay_tiles};
pub use verify::{Report, verify, verify_proof};
pub use witness::{Seen, witness};

use crate::audit::tlog::{Checkpoint, Note, Verified};

/// The log is not the continuation of what was signed before. It is no failure of a command, but what
/// the command is there to find.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Inconsistent(pub String);

/// Reads a checkpoint; without keys of the log only its form is judged.
fn open(note: &[u8], keys: &Keys) -> Result<Verified, crate::audit::tlog::Error> {
    if keys.log.is_empty() {
        let note = Note::parse(note)?;
        let checkpoint = Checkpoint::parse(&note.text)?;
        let by = note.verify(&keys.witnesses)?.into_iter().cloned().collect();
        return Ok(Verified { checkpoint, note, by });
    }
    Checkpoint::open(note, &keys.log, &keys.witnesses)
}

/// Writes a file so that it is there whole or not at all, after a crash too.
fn replace(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let beside = std::path::PathBuf::from(name);
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(std::path::Path::new(".")))?.sync_all()
}
