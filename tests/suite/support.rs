//! What several stories share: the reference data beside the project, and how to skip without it.

use std::path::PathBuf;

/// A file of the reference data beside the project, or `None` with a visible line where it is absent.
pub(crate) fn shared(file: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared").join(file);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: ../shared/{file} is not beside this checkout, so nothing was compared with it");
    None
}
