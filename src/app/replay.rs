//! `plimsoll replay`: the engine of the daemon over files. It back-tests a policy on data that is
//! there already, and is the harness that the figures of this project are held with. No action is
//! called; what would have been decided is written down.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::clock::now_millis;
use super::compile::{file_limits, topics};
use super::files::{FileSource, ROW_TIME, RowTime};
use super::pipeline::{Pipeline, TopicSpec};
use crate::config::Config;
use crate::domain::{Accounting, DecisionKind, Verdict};
use crate::exchange::lines::Lines;
use crate::exchange::{Keep, RejectedRecord, Sink};
use crate::ingest::mapping::FieldSource;
use crate::ingest::source::Source;
use crate::ingest::time::TimeUnit;
use crate::profile::Profile;
use crate::query::files::Rows;

/// Rows between two evaluations: panes close as they would in a stream, and memory stays bounded.
const ROWS_PER_STEP: usize = 20_000;
/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// What to replay.
#[derive(Clone, Debug)]
pub struct Options {
    /// Files, in the order in which they are read.
    pub inputs: Vec<PathBuf>,
    /// The topic whose mapping reads them; may be left out where there is one.
    pub topic: Option<String>,
    /// Folder for what comes out; made if it is not there.
    pub output: PathBuf,
    /// Event times for rows that have none.
    pub row_time: Option<RowTime>,
    /// Whether to show progress on standard error.
    pub progress: bool,
}

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Record classes.
    pub accounting: Accounting,
    /// Rejected records by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Findings by verdict; those without a bound under `shown`.
    pub findings: BTreeMap<&'static str, u64>,
    /// Decisions by kind.
    pub decisions: BTreeMap<&'static str, u64>,
    /// Files written.
    pub files: Vec<PathBuf>,
}

impl Report {
    /// What makes the result worth less than it looks.
    pub fn warnings(&self) -> Vec<String> {
        let Accounting { rows, late_rows, used, records, .. } = self.accounting;
        let mut warnings = Vec::new();
        if used == 0 {
            warnings.push(format!("none of {records} records could be used; nothing was judged"));
        } else if !self.findings.keys().any(|verdict| ["pass", "breach"].contains(verdict)) {
            warnings.push("no check had enough data to pass or to breach".to_owned());
        }
        if late_rows * 20 > rows {
            warnings.push(format!(
                "{late_rows} of {rows} rows were late: sort the file by event time, or raise the topic's `allowed_lateness`"
            ));
        }
        warnings
    }

    /// Whether any record could be used at all.
    pub fn used_any(&self) -> bool {
        self.accounting.used > 0
    }

    /// Whether any check answered `breach`.
    pub fn breached(&self) -> bool {
        self.findings.get(Verdict::Breach.name()).is_some_and(|count| *count > 0)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |counts: &mut dyn Iterator<Item = (String, u64)>| {
            let parts: Vec<String> = counts.map(|(name, count)| format!("{count} {name}")).collect();
            if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
        };
        let named = |counts: &BTreeMap<&'static str, u64>| {
            list(&mut counts.iter().map(|(name, count)| ((*name).to_owned(), *count)))
        };
        let Accounting { records, used, late, rejected, rows, late_rows, lost: _ } = self.accounting;
        writeln!(f, "records    {records} in = {used} used + {late} late + {rejected} rejected")?;
        writeln!(f, "rows       {rows}, of which {late_rows} late")?;
        if rejected > 0 {
            let reasons = list(&mut self.rejected.iter().map(|(name, count)| (name.clone(), *count)));
            writeln!(f, "rejected   {reasons}")?;
        }
        writeln!(f, "findings   {}", named(&self.findings))?;
        write!(f, "decisions  {}", named(&self.decisions))?;
        for warning in self.warnings() {
            write!(f, "\nwarning    {warning}")?;
        }
        for file in &self.files {
            write!(f, "\nwritten    {}", file.display())?;
        }
        Ok(())
    }
}

/// Replays files through the engine. `profiles` gives references that are not in files.
///
/// # Errors
/// When a file cannot be read or written, or a model cannot run as it is configured.
pub fn replay(
    config: &Config,
    options: &Options,
    profiles: &BTreeMap<String, Profile>,
) -> anyhow::Result<Report> {
    let topic = topic(config, options, profiles)?;
    for input in &options.inputs {
        // Before anything is written: a replay that cannot begin must leave the last one's results.
        Rows::open(input)?;
    }
    let now = now_millis();
    std::fs::create_dir_all(&options.output)
        .with_context(|| format!("cannot make the folder {}", options.output.display()))?;
    let create = |name: &str| -> anyhow::Result<(PathBuf, BufWriter<File>)> {
        let path = options.output.join(format!("{name}.part"));
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok((path, BufWriter::new(file)))
    };
    let (findings_path, findings) = create("findings.ndjson")?;
    let (letters_path, letters) = create("dead-letters.ndjson")?;
    let (decisions_path, mut decisions) = create("decisions.ndjson")?;
    let value_bytes = config.kafka.as_ref().map_or(0, |kafka| kafka.dead_letter_value_bytes);
    let mut sink = Lines::new(findings, letters, Keep { key: false, value_bytes });

    let mut source = FileSource::new(&topic.name, &options.inputs, options.row_time);
    let mut pipeline = Pipeline::new(vec![topic], file_limits(config));
    let mut report = Report { files: vec![findings_path, decisions_path, letters_path], ..Report::default() };
    let mut failed = None;
    let mut shown = Instant::now();
    while !source.finished() {
        source.poll(ROWS_PER_STEP, Duration::ZERO, &mut |event| {
            pipeline.handle(event, now, &mut |record, why| {
                *report.rejected.entry(why.reason.name().to_owned()).or_default() += 1;
                let letter = RejectedRecord {
                    partition: record.partition,
                    offset: record.offset,
                    reason: why.reason,
                    detail: Some(&why.detail),
                    key: record.key,
                    value: record.value,
                };
                if let Err(error) = sink.dead_letter(&letter) {
                    failed = Some(error);
                }
            });
        })?;
        if let Some(error) = failed.take() {
            return Err(error).context("cannot write dead letters");
        }
        let evaluated = pipeline.evaluate(now);
        for finding in &evaluated.findings {
            let verdict = finding.verdict.map_or("shown", Verdict::name);
            *report.findings.entry(verdict).or_default() += 1;
            sink.finding(finding.model.as_str(), &serde_json::to_string(&**finding)?)?;
        }
        for decision in &evaluated.decisions {
            *report.decisions.entry(DecisionKind::name(decision.kind)).or_default() += 1;
            serde_json::to_writer(&mut decisions, decision)?;
            decisions.write_all(b"\n")?;
        }
        if options.progress && shown.elapsed() >= PROGRESS_EVERY {
            shown = Instant::now();
            let file = source.current().map(|file| file.display().to_string()).unwrap_or_default();
            eprintln!("{} rows read, now in {file}", source.read());
        }
    }
    decisions.flush().context("cannot write decisions")?;
    sink.flush(Duration::ZERO)?;
    report.accounting = pipeline.accounting();
    for path in &mut report.files {
        let finished = path.with_extension("");
        std::fs::rename(&*path, &finished).with_context(|| format!("cannot write {}", finished.display()))?;
        *path = finished;
    }
    Ok(report)
}

fn topic(
    config: &Config,
    options: &Options,
    profiles: &BTreeMap<String, Profile>,
) -> anyhow::Result<TopicSpec> {
    let mut topics = topics(config, profiles).map_err(|errors| super::several(&errors))?;
    let names = || config.topics.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>().join(", ");
    let index = match &options.topic {
        Some(name) => topics.iter().position(|topic| *topic.name == **name),
        None if topics.len() == 1 => Some(0),
        None => bail!("say with --topic which topic's mapping reads the files: {}", names()),
    };
    let Some(index) = index else {
        bail!("there is no such topic in the configuration; it has {}", names());
    };
    let mut topic = topics.swap_remove(index);
    if options.row_time.is_some() {
        for model in &mut topic.mapping.models {
            model.time = (FieldSource::Header(ROW_TIME.to_owned()), TimeUnit::Millis);
        }
    }
    topic.models = topic.models.iter().map(Arc::clone).collect();
    Ok(topic)
}

/// Reads the findings of a finished replay.
///
/// # Errors
/// When the file cannot be read.
pub fn read_findings(output: &Path) -> anyhow::Result<Vec<crate::domain::Finding>> {
    let path = output.join("findings.ndjson");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines().map(|line| serde_json::from_str(line).context("a line is no finding")).collect()
}
