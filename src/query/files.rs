//! Files as streams of JSON rows, in the order of the file and in bounded memory.
//!
//! Replay and reference profiles read what the daemon reads from Kafka: JSON objects. So a row of a
//! Parquet or CSV file becomes one, and a line of an NDJSON file is handed over as it stands, broken
//! or not: whether it can be used is the decoder's question, and its answer is the same as on Kafka.
//!
//! A CSV cell has no type. It becomes a number or a boolean where its text is one in JSON, and text
//! otherwise, cell by cell: so `01234` keeps its zero, and nothing depends on other rows.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionConfig, SessionContext};
use futures::StreamExt;

use super::encode;

/// The longest line of NDJSON; far beyond any record that Kafka carries.
pub const LINE_LIMIT: usize = 64 << 20;

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8192;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there or may not be read.
    #[error("could not open {}", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The name does not tell the format.
    #[error(
        "{} has none of the extensions .parquet, .csv, .ndjson, .jsonl and .json, so its format is not known",
        file.display()
    )]
    Extension {
        /// The file.
        file: PathBuf,
    },
    /// The file is compressed as a whole.
    #[error("{} is compressed; decompress it first, or use Parquet", file.display())]
    Compressed {
        /// The file.
        file: PathBuf,
    },
    /// The content is not what the extension says, or reading failed on the way.
    #[error("could not read {} after row {row}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Rows read before.
        row: u64,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A line of NDJSON is longer than any record.
    #[error("row {row} of {} is longer than {LINE_LIMIT} bytes", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Number of the row, from 0.
        row: u64,
    },
}

/// The rows of one file, pulled one at a time.
pub struct Rows {
    file: PathBuf,
    row: u64,
    line: Vec<u8>,
    format: Format,
}

enum Format {
    Lines(BufReader<File>),
    Batches(Box<Batches>),
}

/// A DataFusion scan, driven from the thread that pulls.
struct Batches {
    runtime: tokio::runtime::Runtime,
    stream: SendableRecordBatchStream,
    batch: RecordBatch,
    next: usize,
    encoder: encode::Encoder,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("file", &self.file).field("row", &self.row).finish_non_exhaustive()
    }
}

impl Rows {
    /// Opens a file; its extension tells the format: `.parquet`, `.csv` (comma, with a header), or
    /// `.ndjson`, `.jsonl`, `.json` (one JSON value a line).
    ///
    /// Rows are pulled on a plain thread: inside an async runtime this would block it, and panics.
    pub fn open(file: &Path) -> Result<Self, Error> {
        let extension = file.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
        let cells = match extension.as_str() {
            "ndjson" | "jsonl" | "json" => None,
            "csv" => Some(encode::Text::Cells),
            "parquet" => Some(encode::Text::Strings),
            "gz" | "zst" | "bz2" | "xz" | "zip" => return Err(Error::Compressed { file: file.to_owned() }),
            _ => return Err(Error::Extension { file: file.to_owned() }),
        };
        let unreadable = |source| Error::Open { file: file.to_owned(), source };
        let opened = File::open(file).map_err(unreadable)?;
        if opened.metadata().map_err(unreadable)?.is_dir() {
            return Err(unreadable(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
        }
        let format = match cells {
            None => Format::Lines(BufReader::with_capacity(1 << 16, opened)),
            Some(text) => {
                let path = file.canonicalize().map_err(unreadable)?;
                let broken = |source: DataFusionError| Error::Read {
                    file: file.to_owned(),
                    row: 0,
                    source: source.into(),
                };
                Format::Batches(Box::new(Batches::open(&path, text).map_err(broken)?))
            }
        };
        Ok(Self { file: file.to_owned(), row: 0, line: Vec::new(), format })
    }

    /// The next row as JSON, and its number in the file, from 0; none at the end.
    ///
    /// A line of NDJSON comes without its line end and otherwise as it is, empty ones too.
    pub fn next_row(&mut self) -> Result<Option<(u64, &[u8])>, Error> {
        self.line.clear();
        let (file, row) = (&self.file, self.row);
        let more =
            match &mut self.format {
                Format::Lines(reader) => next_line(reader, &mut self.line).map_err(|source| Error::Read {
                    file: file.clone(),
                    row,
                    source: source.into(),
                })?,
                Format::Batches(batches) => batches
                    .next_row(&mut self.line)
                    .map_err(|source| Error::Read { file: file.clone(), row, source: source.into() })?,
            };
        if self.line.len() > LINE_LIMIT {
            return Err(Error::Line { file: file.clone(), row });
        }
        self.row += u64::from(more);
        Ok(more.then_some((row, self.line.as_slice())))
    }
}

/// Reads one line without its end; false at the end of the file. A line over the limit is cut.
fn next_line(reader: &mut BufReader<File>, line: &mut Vec<u8>) -> std::io::Result<bool> {
    // Two bytes more than a line may have, for its end.
    let read = reader.take(LINE_LIMIT as u64 + 2).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    Ok(read > 0)
}

impl Batches {
    fn open(path: &Path, text: encode::Text) -> Result<Self, DataFusionError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // One partition, so that rows keep the order of the file.
        let mut config = SessionConfig::new().with_target_partitions(1).with_batch_size(BATCH_ROWS);
        config.options_mut().optimizer.repartition_file_scans = false;
        let context = SessionContext::new_with_config(config);
        let url = file_url(path);
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        let stream = runtime.block_on(async {
            let frame = match text {
                encode::Text::Strings => {
                    context.read_parquet(url, ParquetReadOptions::new().file_extension(extension)).await
                }
                encode::Text::Cells => {
                    // Without inference every column is text, whatever the first rows look like.
                    let options = CsvReadOptions::new()
                        .file_extension(extension)
                        .schema_infer_max_records(0)
                        .newlines_in_values(true);
                    context.read_csv(url, options).await
                }
            };
            frame?.execute_stream().await
        })?;
        let encoder = encode::Encoder::new(&stream.schema(), text);
        let batch = RecordBatch::new_empty(stream.schema());
        Ok(Self { runtime, stream, batch, next: 0, encoder })
    }

    fn next_row(&mut self, line: &mut Vec<u8>) -> Result<bool, DataFusionError> {
        while self.next == self.batch.num_rows() {
            let Some(batch) = self.runtime.block_on(self.stream.next()) else { return Ok(false) };
            (self.batch, self.next) = (batch?, 0);
        }
        self.encoder.row(&self.batch, self.next, line)?;
        self.next += 1;
        Ok(true)
    }
}

/// The file as a URL, in which no character of its name is a wildcard.
fn file_url(path: &Path) -> String {
    let mut url = "file://".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                url.push(char::from(*byte))
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

/// Takes the file, the row's number in it from 0, and the row as JSON; may break off.
pub type RowSink<'a> = dyn FnMut(&Path, u64, &[u8]) -> ControlFlow<()> + 'a;

/// Hands over all rows of the files, one file after the other, until `sink` breaks off.
pub fn rows(files: &[PathBuf], sink: &mut RowSink<'_>) -> Result<(), Error> {
    for file in files {
        let mut rows = Rows::open(file)?;
        while let Some((row, json)) = rows.next_row()? {
            if sink(file, row, json).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_of_a_name_is_special_in_the_url() {
        assert_eq!(file_url(Path::new("/a b/c[1]*?.csv")), "file:///a%20b/c%5B1%5D%2A%3F.csv");
        assert_eq!(file_url(Path::new("/é.parquet")), "file:///%C3%A9.parquet");
    }
}
