//! The audit log in a file: one canonical JSON object a line. Entries are written with one call
//! and synced before `append` returns. The file is locked as long as the store lives (an advisory
//! lock of the operating system, which a killed process gives back by itself). Checkpoints are kept in a
//! second file, one signed note after the other.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::engine::actor::Entry;

use super::head::Head;
use super::{Checkpoints, Consumed, Cut, Error, Extent, Opened, Store, lines, tlog};

/// An open file.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    file: File,
    next_seq: u64,
    broken: bool,
    head: Head,
    /// The file of the checkpoints, where they are signed.
    checkpoints: Option<(PathBuf, File)>,
}

impl FileStore {
    /// Opens the log at `path`, or begins one readable by its owner only. Its folder must exist.
    pub fn open(path: &Path) -> Result<Opened<Self>, Error> {
        Self::open_signed(path, None)
    }

    /// The same with checkpoints, without which nothing is signed.
    pub fn open_signed(
        path: &Path,
        checkpoints: Option<Checkpoints<PathBuf>>,
    ) -> Result<Opened<Self>, Error> {
        let failed = |doing| failed(path, doing);
        let mut file = open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        sync_folder(path)?;
        let signing = checkpoints.as_ref().map(|checkpoints| checkpoints.signing.clone());
        let (checkpoints, newest) = match checkpoints {
            Some(Checkpoints { place, .. }) => {
                let (file, newest) = open_checkpoints(&place)?;
                (Some((place, file)), newest)
            }
            None => (None, None),
        };
        let mut head = Head::new(path.display().to_string(), signing, newest.as_deref())?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("read"))?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let mut entries: Vec<Entry> = Vec::new();
        let mut line = 0;
        for text in bytes[..whole].split_inclusive(|&byte| byte == b'\n') {
            line += 1;
            let text = &text[..text.len() - 1];
            let entry = Entry::from_json(text)
                .and_then(|entry| entry.follows(entries.len() as u64).map(|()| entry))
                .map_err(|source| Error::Line { path: path.to_owned(), line, source })?;
            head.read(text)?;
            entries.push(entry);
        }
        head.whole()?;
        let torn = (bytes.len() - whole) as u64;
        let cut = (torn > 0).then_some(Cut { line: line + 1, bytes: torn });
        if let Some(Cut { line, bytes }) = cut {
            tracing::warn!(path = %path.display(), line, bytes, "cut an unfinished line off the audit log");
            file.set_len(whole as u64).map_err(failed("cut"))?;
            file.sync_all().map_err(failed("sync"))?;
        }
        file.seek(SeekFrom::End(0)).map_err(failed("seek in"))?;
        let next_seq = entries.len() as u64;
        let store = Self { path: path.to_owned(), file, next_seq, broken: false, head, checkpoints };
        Ok(Opened { store, entries, cut })
    }

    fn write(&mut self, lines: &[String]) -> std::io::Result<()> {
        let mut text = lines.join("\n");
        text.push('\n');
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data()
    }

    /// Signs what is not covered by a checkpoint; with `now`, where it is time.
    fn publish(&mut self, now: Option<i64>) -> Result<(), Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        let Some((checkpoint, note)) = self.head.next(now) else { return Ok(()) };
        if let Some((path, file)) = &mut self.checkpoints {
            let written = file.write_all(note.as_bytes()).and_then(|()| file.sync_data());
            if let Err(source) = written {
                self.broken = true;
                return Err(failed(path, "add a checkpoint to")(source));
            }
        }
        self.head.published(checkpoint, now);
        Ok(())
    }
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File { doing, path, source }
}

/// Opens a regular file for reading and adding, readable by its owner only where it is new.
fn open(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(failed(path, "open"))?;
    if !file.metadata().map_err(failed(path, "look at"))?.is_file() {
        return Err(failed(path, "open")(std::io::Error::other("it is not a regular file")));
    }
    Ok(file)
}

/// A file may be new: its name is durable only with its folder.
fn sync_folder(path: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed(path, "sync the folder of"))?;
    }
    Ok(())
}

/// The file of the checkpoints and the newest one in it. What a crash left unfinished is cut off: it was
/// never published.
fn open_checkpoints(path: &Path) -> Result<(File, Option<Vec<u8>>), Error> {
    let mut file = open(path)?;
    sync_folder(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed(path, "read"))?;
    let (notes, whole) = tlog::notes(&bytes);
    if whole < bytes.len() {
        let torn = bytes.len() - whole;
        tracing::warn!(path = %path.display(), bytes = torn, "cut an unfinished checkpoint off");
        file.set_len(whole as u64).map_err(failed(path, "cut"))?;
        file.sync_all().map_err(failed(path, "sync"))?;
    }
    let newest = notes.last().map(|note| note.to_vec());
    Ok((file, newest))
}

impl Drop for FileStore {
    /// What was added last is signed too.
    fn drop(&mut self) {
        if !self.broken
            && !std::thread::panicking()
            && let Err(error) = self.publish(None)
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the last checkpoint was not signed");
        }
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
        let lines = lines(entries, self.next_seq)?;
        if let Err(source) = self.write(&lines) {
            self.broken = true;
            return Err(failed(&self.path, "add an entry to")(source));
        }
        self.next_seq += lines.len() as u64;
        lines.iter().for_each(|line| self.head.add(line.as_bytes()));
        Ok(())
    }

    fn publish_due(&mut self, now: i64) -> Result<(), Error> {
        self.publish(Some(now))
    }

    fn extent(&self) -> Extent {
        self.head.extent()
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
        let head = Head::new("audit".to_owned(), None, None).unwrap();
        let mut store = FileStore { path, file, next_seq: 0, broken: false, head, checkpoints: None };
        let body = Body::Started { about: std::collections::BTreeMap::new() };
        let entry = Entry { format: FORMAT, seq: 0, time: 0, body };
        assert!(matches!(store.append(std::slice::from_ref(&entry), None), Err(Error::File { .. })));
        assert!(matches!(store.append(&[entry], None), Err(Error::Broken)));
    }
}
