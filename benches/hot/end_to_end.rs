//! A million records from a file to findings in a file, by the very function behind `plimsoll
//! replay`, and the same records through ever longer parts of the way, so that the shares of the
//! stages can be told. CPU time counts, not wall time: it bears a busy machine better.
//!
//! `HOT_LOG=FILE.ndjson` takes a log of the same shape instead of the generated one, its first
//! fifty thousand rows as the reference.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plimsoll::app::compile::topics;
use plimsoll::app::replay::{Options, Report, replay};
use plimsoll::config::Config;
use plimsoll::profile::Profile;
use plimsoll::query::files::Rows;
use plimsoll::record::BatchBuilder;

use super::{model, process, rows};

/// What to ask for on the command line.
pub(super) const NAME: &str = "end_to_end";

/// Rows of the reference.
const REFERENCE: usize = 50_000;
/// Rows of a batch, as the pipeline collects them.
const BATCH_ROWS: usize = 8_192;

/// Replays `rows` records and prints what that took.
pub(super) fn run(rows: usize) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let config = model::configuration();
    let given = std::env::var_os("HOT_LOG").map(PathBuf::from);
    let log = given.clone().unwrap_or_else(|| folder.path().join("log.ndjson"));
    if given.is_none() {
        write(&log, rows);
    }
    let profile = reference(&config, &log, given.is_some());
    let profiles = BTreeMap::from([(model::NAME.to_owned(), profile)]);
    let bytes = log.metadata().map_or(0, |metadata| metadata.len());

    println!("\nend to end: {}, load average {}", log.display(), process::load());
    let mut before = 0.0;
    let stages: [(&str, &dyn Fn() -> usize); 3] = [
        ("read lines", &|| read(&log)),
        ("+ decode", &|| decode(&config, &profiles, &log, false)),
        ("+ build batches", &|| decode(&config, &profiles, &log, true)),
    ];
    println!("{:<26} {:>12} {:>12}", "stage", "CPU s", "ns/record");
    let mut line = |name: &str, records: usize, seconds: f64| {
        let ns = 1e9 / records.max(1) as f64;
        println!("{name:<26} {:>12.2} {:>12.0}", seconds - before, (seconds - before) * ns);
        before = seconds;
    };
    for (name, stage) in stages {
        let (records, seconds) = timed(stage);
        line(name, records, seconds);
    }
    process::forget_peak();
    let (report, seconds) = timed(&|| whole(&config, &profiles, &log, folder.path()));
    let records = report.accounting.records as usize;
    line("+ count, evaluate, write", records, seconds);
    let peak = process::peak_mib().unwrap_or(f64::NAN);
    println!(
        "records {records} of {} bytes, CPU seconds {seconds:.2}, records per CPU second {:.0}, peak MiB {peak:.1}",
        bytes / (records as u64).max(1),
        records as f64 / seconds,
    );
    println!("{report}");
}

/// What `work` gives, and the CPU seconds that it took.
fn timed<T>(work: &dyn Fn() -> T) -> (T, f64) {
    let start = process::cpu_seconds();
    let result = work();
    let taken = process::cpu_seconds().zip(start).map(|(end, start)| end - start);
    (result, taken.unwrap_or(f64::NAN))
}

fn write(log: &Path, rows: usize) {
    let file = std::fs::File::create(log).expect("the temporary folder can be written to");
    let mut out = BufWriter::new(file);
    rows::write(&mut out, rows, 7, true).and_then(|()| out.flush()).expect("there is room for the log");
}

/// A reference of generated rows, or of the first rows of a given log.
fn reference(config: &Config, log: &Path, given: bool) -> Profile {
    if !given {
        let lines = rows::lines(REFERENCE, 1);
        return model::reference(config, lines.iter().map(Vec::as_slice));
    }
    let mut rows = Rows::open(log).expect("the log can be read");
    let mut lines = Vec::new();
    while let Some((_, line)) = rows.next_row().expect("the log can be read") {
        lines.push(line.to_vec());
        if lines.len() == REFERENCE {
            break;
        }
    }
    model::reference(config, lines.iter().map(Vec::as_slice))
}

fn read(log: &Path) -> usize {
    let mut rows = Rows::open(log).expect("the log can be read");
    let mut count = 0;
    while rows.next_row().expect("the log can be read").is_some() {
        count += 1;
    }
    count
}

fn decode(config: &Config, profiles: &BTreeMap<String, Profile>, log: &Path, build: bool) -> usize {
    let topic = topics(config, profiles).expect("the model can run").swap_remove(0);
    let mut decoder = model::decoder(config, &topic);
    let mut builder = BatchBuilder::new(Arc::clone(&topic.models[0].schema));
    let partition = model::partition();
    let mut rows = Rows::open(log).expect("the log can be read");
    let mut count = 0;
    while let Some((_, line)) = rows.next_row().expect("the log can be read") {
        let Ok(decoded) = decoder.decode(&model::record(&partition, line), 0) else {
            continue;
        };
        count += 1;
        if !build {
            continue;
        }
        for (row, time) in decoded.times().iter().enumerate() {
            builder.append(*time, decoded.tenant(row), decoded.version(row), decoded.cells(row));
        }
        if builder.rows() >= BATCH_ROWS {
            builder.finish();
        }
    }
    count
}

fn whole(config: &Config, profiles: &BTreeMap<String, Profile>, log: &Path, folder: &Path) -> Report {
    let options = Options {
        inputs: vec![log.to_owned()],
        topic: None,
        output: folder.join("out"),
        row_time: None,
        progress: false,
    };
    replay(config, &options, profiles).expect("the replay runs")
}
