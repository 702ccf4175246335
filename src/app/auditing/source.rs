//! Where a log is read from: the topics or files of a configuration, a file of entries alone, or a folder
//! of tiles. Checkpoints are read before entries, so that what was added meanwhile is beyond them.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::ClientConfig;

use crate::app::wiring;
use crate::audit::tlog::{Checkpoint, Note, Resource, VerifierKey, bundled, notes, tiles};
use crate::config::{AuditStore, Config};
use crate::exchange::reader::{self, Event, Range, Whence};

/// How long brokers may be silent.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest line that is read into memory: far beyond the longest entry.
const LINE_BYTES: usize = 16 << 20;

/// Where the log is.
#[derive(Debug)]
pub enum Source {
    /// Where a configuration says.
    Config(Box<Config>),
    /// In a file with an entry a line; its checkpoints beside it, in a file of the same name and
    /// `.checkpoints`, if there is one.
    File(PathBuf),
    /// In a folder of tiles.
    Tiles(PathBuf),
}

/// Who must have signed.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// Keys of the log; empty: signatures are not checked.
    pub log: Vec<VerifierKey>,
    /// Keys of witnesses: a signature by one must be right.
    pub witnesses: Vec<VerifierKey>,
    /// Whether each of the witnesses must have signed.
    pub all_witnesses: bool,
}

impl Keys {
    /// These, and where none of a kind is given, those of the configuration.
    #[must_use]
    pub fn or_of(mut self, source: &Source) -> Self {
        self.all_witnesses = !self.witnesses.is_empty();
        if let Source::Config(config) = source {
            if self.log.is_empty() {
                self.log = config.audit.signing.as_ref().map(|signing| signing.known()).unwrap_or_default();
            }
            if self.witnesses.is_empty() {
                self.witnesses.clone_from(&config.audit.witnesses);
            }
        }
        self
    }
}

#[derive(Debug)]
enum Place {
    Topic { client: ClientConfig, topic: String },
    File(PathBuf),
    Tiles { folder: PathBuf, size: u64 },
}

/// A log that can be read.
#[derive(Debug)]
pub struct Log {
    /// How it is called in what is printed.
    pub name: String,
    /// Its checkpoints as notes, as they were found, oldest first.
    pub checkpoints: Vec<Vec<u8>>,
    place: Place,
}

impl Log {
    /// Finds the log and reads its checkpoints. `signed` says whether there are to be any.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn open(source: &Source, signed: bool) -> anyhow::Result<Self> {
        match source {
            Source::File(path) => {
                let mut beside = path.as_os_str().to_owned();
                beside.push(".checkpoints");
                Self::of_files(path, Path::new(&beside))
            }
            Source::Tiles(folder) => {
                let path = folder.join("checkpoint");
                let note = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                let size = Note::parse(&note)
                    .and_then(|note| Checkpoint::parse(&note.text))
                    .with_context(|| format!("{} cannot be used", path.display()))?
                    .size;
                let place = Place::Tiles { folder: folder.clone(), size };
                Ok(Self { name: folder.display().to_string(), checkpoints: vec![note], place })
            }
            Source::Config(config) => match &config.audit.store {
                AuditStore::File { path, checkpoint_path } => Self::of_files(path, checkpoint_path),
                AuditStore::Kafka { topic, checkpoint_topic } => {
                    let client = wiring::connection(config.require_kafka()?).client_config();
                    let mut checkpoints = Vec::new();
                    if signed {
                        read_topic(&client, checkpoint_topic, &mut |value| {
                            checkpoints.push(value.to_vec());
                            Ok(())
                        })?;
                    }
                    let place = Place::Topic { client, topic: topic.clone() };
                    Ok(Self { name: topic.clone(), checkpoints, place })
                }
            },
        }
    }

    fn of_files(path: &Path, checkpoints: &Path) -> anyhow::Result<Self> {
        let bytes = match std::fs::read(checkpoints) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", checkpoints.display()));
            }
        };
        let (found, whole) = notes(&bytes);
        let mut checkpoints: Vec<Vec<u8>> = found.into_iter().map(<[u8]>::to_vec).collect();
        if whole < bytes.len() {
            // For whoever reads them to judge: a crash leaves such a rest, and so does a change.
            checkpoints.push(bytes[whole..].to_vec());
        }
        Ok(Self { name: path.display().to_string(), checkpoints, place: Place::File(path.to_owned()) })
    }

    /// The folder, where it is one of tiles.
    pub(super) fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Tiles { folder, .. } => Some(folder),
            Place::Topic { .. } | Place::File(_) => None,
        }
    }

    /// Gives every entry to `take`, from the first on, with its number; and says how many bytes follow the
    /// last whole one.
    ///
    /// # Errors
    /// When the log cannot be read, or `take` says so.
    pub fn entries(&self, take: &mut dyn FnMut(u64, &[u8]) -> anyhow::Result<()>) -> anyhow::Result<u64> {
        let mut count = 0;
        let mut take = |entry: &[u8]| {
            take(count, entry)?;
            count += 1;
            Ok(())
        };
        match &self.place {
            Place::Topic { client, topic } => read_topic(client, topic, &mut take).map(|()| 0),
            Place::File(path) => read_lines(path, &mut take),
            Place::Tiles { folder, size } => read_bundles(folder, *size, &mut take).map(|()| 0),
        }
    }
}

type Take<'t> = &'t mut dyn FnMut(&[u8]) -> anyhow::Result<()>;

fn read_topic(client: &ClientConfig, topic: &str, take: Take<'_>) -> anyhow::Result<()> {
    let range =
        Range { topic, partition: Some(0), whence: Whence::Beginning, follow: false, patience: PATIENCE };
    let mut failed = None;
    let read = reader::read(client, &range, &mut |event| {
        let Event::Record(record) = event else { return ControlFlow::Continue(()) };
        match take(record.value.unwrap_or_default()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    match failed {
        Some(error) => Err(error),
        None => read.with_context(|| format!("cannot read the topic {topic}")),
    }
}

fn read_lines(path: &Path, take: Take<'_>) -> anyhow::Result<u64> {
    let context = || format!("cannot read {}", path.display());
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).with_context(context)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A file without line ends must not fill the memory.
        std::io::Read::take(&mut file, LINE_BYTES as u64)
            .read_until(b'\n', &mut line)
            .with_context(context)?;
        match line.split_last() {
            None => return Ok(0),
            Some((b'\n', entry)) => take(entry)?,
            Some(_) if line.len() == LINE_BYTES => {
                bail!("{}: a line is far too long for an entry", path.display())
            }
            Some(_) => return Ok(line.len() as u64),
        }
    }
}

fn read_bundles(folder: &Path, size: u64, take: Take<'_>) -> anyhow::Result<()> {
    for tile in tiles(0, size).into_iter().filter(|tile| tile.of == Resource::Entries) {
        let path = folder.join(tile.path());
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let entries = bundled(&bytes, tile.width)
            .map_err(|wrong| super::Inconsistent(format!("{}: {wrong}", path.display())))?;
        for entry in entries {
            take(entry)?;
        }
    }
    Ok(())
}
