//! The audit log in a file: one canonical JSON object a line. Entries are written with one call
//! and synced before `append` returns. The file is locked as long as the store lives (an advisory
//! lock of the operating system, which a killed process gives back by itself).

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::engine::actor::Entry;

use super::{Consumed, Cut, Error, Opened, Store, in_order};

/// An open file.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    file: File,
    next_seq: u64,
    broken: bool,
}

impl FileStore {
    /// Opens the log at `path`, or begins one readable by its owner only. Its folder must exist.
    pub fn open(path: &Path) -> Result<Opened<Self>, Error> {
        let failed = |doing| {
            let path = path.to_owned();
            move |source| Error::File { doing, path, source }
        };
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed("open"))?;
        if !file.metadata().map_err(failed("look at"))?.is_file() {
            return Err(failed("open")(std::io::Error::other("it is not a regular file")));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        // The file itself may be new: its name is durable only with its folder.
        #[cfg(unix)]
        if let Some(folder) = path.parent() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync the folder of"))?;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("read"))?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let mut entries: Vec<Entry> = Vec::new();
        let mut line = 0;
        for text in bytes[..whole].split_inclusive(|&byte| byte == b'\n') {
            line += 1;
            let entry = Entry::from_json(&text[..text.len() - 1])
                .and_then(|entry| entry.follows(entries.len() as u64).map(|()| entry))
                .map_err(|source| Error::Line { path: path.to_owned(), line, source })?;
            entries.push(entry);
        }
        let torn = (bytes.len() - whole) as u64;
        let cut = (torn > 0).then_some(Cut { line: line + 1, bytes: torn });
        if let Some(Cut { line, bytes }) = cut {
            tracing::warn!(path = %path.display(), line, bytes, "cut an unfinished line off the audit log");
            file.set_len(whole as u64).map_err(failed("cut"))?;
            file.sync_all().map_err(failed("sync"))?;
        }
        file.seek(SeekFrom::End(0)).map_err(failed("seek in"))?;
        let next_seq = entries.len() as u64;
        Ok(Opened { store: Self { path: path.to_owned(), file, next_seq, broken: false }, entries, cut })
    }

    fn write(&mut self, entries: &[Entry]) -> std::io::Result<()> {
        let mut lines = String::new();
        for entry in entries {
            lines.push_str(&entry.to_json());
            lines.push('\n');
        }
        self.file.write_all(lines.as_bytes())?;
        self.file.sync_data()
    }
}

impl Store for FileStore {
    /// Of what was consumed nothing is kept.
    fn append(&mut self, entries: &[Entry], _: Option<&Consumed>) -> Result<(), Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        if entries.is_empty() {
            return Ok(());
        }
        let next_seq = in_order(entries, self.next_seq)?;
        if let Err(source) = self.write(entries) {
            self.broken = true;
            return Err(Error::File { doing: "add an entry to", path: self.path.clone(), source });
        }
        self.next_seq = next_seq;
        Ok(())
    }

    fn stores_offsets(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::actor::entry::{Body, FORMAT};

    #[test]
    fn after_a_failed_write_the_file_takes_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.ndjson");
        std::fs::write(&path, "").unwrap();
        let file = File::open(&path).unwrap(); // for reading only, so that writing fails
        let mut store = FileStore { path, file, next_seq: 0, broken: false };
        let body = Body::Started { about: std::collections::BTreeMap::new() };
        let entry = Entry { format: FORMAT, seq: 0, time: 0, body };
        assert!(matches!(store.append(std::slice::from_ref(&entry), None), Err(Error::File { .. })));
        assert!(matches!(store.append(&[entry], None), Err(Error::Broken)));
    }
}
