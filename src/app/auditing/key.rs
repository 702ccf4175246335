//! `plimsoll audit key`: a new signing key in a file that nobody else can read, and the public key to give
//! away.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use rand::TryRng;

use crate::audit::tlog::{Algorithm, SignerKey, VerifierKey};

/// A key that was made.
#[derive(Debug)]
pub struct Made {
    /// What others verify with.
    pub verifier: VerifierKey,
}

/// Makes a key of the log, or the witness, called `name`, in a new file.
///
/// # Errors
/// When the name cannot be one, or the file is there already or cannot be written.
pub fn make_key(name: &str, witness: bool, output: &Path) -> anyhow::Result<Made> {
    let mut seed = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut seed).context("the system gives no randomness")?;
    let algorithm = if witness { Algorithm::Cosignature } else { Algorithm::Ed25519 };
    let key = SignerKey::new(name, algorithm, &seed)?;
    let mut options = OpenOptions::new();
    // Never over a key that is there: what it signed could not be continued.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let failed = || format!("cannot write {}", output.display());
    let mut file = options.open(output).with_context(failed)?;
    writeln!(file, "{}", key.expose()).and_then(|()| file.sync_all()).with_context(failed)?;
    Ok(Made { verifier: key.verifier() })
}
