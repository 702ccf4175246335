//! `plimsoll calibrate`: learns from a clean stretch of traffic how far each checked rate, mean and
//! share wanders by itself, and writes the tolerances that follow, with what they follow from. The
//! records take the way of live ones, up to the panes: what is late or unreadable there is so here.

mod apply;
mod report;
mod series;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::clock::now_millis;
use super::compile::{file_limits, topics};
use super::files::{FileSource, ROW_TIME, RowTime};
use super::pipeline::{Counting, TopicSpec};
use super::wiring;
use crate::config::Config;
use crate::domain::{Accounting, EventTime, RejectReason};
use crate::engine::ModelSpec;
use crate::ingest::kafka::{Range, RangeSource};
use crate::ingest::mapping::FieldSource;
use crate::ingest::source::Source;
use crate::ingest::time::TimeUnit;
use crate::profile::Profile;
use crate::profile::calibration::{Calibration, FORMAT};

pub use apply::apply;
pub use report::Report;
use series::{Estimated, Series};

/// Events between two countings.
const EVENTS_PER_STEP: usize = 20_000;
/// How long a source may wait for something to come.
const WAIT: Duration = Duration::from_millis(200);
/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_secs(86_400);
/// Panes below which an estimate is rough: the standard error of a standard deviation is then above
/// 5 %, and several times that where panes depend on each other.
const FEW_PANES: u64 = 200;

/// Where the stretch is read from.
#[derive(Clone, Debug)]
pub enum Input {
    /// Files, in the order in which they are read.
    Files {
        /// The files.
        files: Vec<PathBuf>,
        /// Event times for rows that have none.
        row_time: Option<RowTime>,
    },
    /// The model's topics, by the times of their records.
    Kafka,
}

/// What to calibrate.
#[derive(Clone, Debug)]
pub struct Options {
    /// The model, as the configuration names it.
    pub model: String,
    /// Where from.
    pub input: Input,
    /// The topic whose mapping reads the files, or the only one to read; may be left out where the
    /// model has one, and for Kafka.
    pub topic: Option<String>,
    /// Panes that begin before are left out.
    pub from: Option<EventTime>,
    /// Panes that end later are left out.
    pub until: Option<EventTime>,
    /// Whether every hour of the week gets a tolerance of its own.
    pub hourly: bool,
    /// Where the calibration is written.
    pub output: PathBuf,
    /// Whether to show progress on standard error.
    pub progress: bool,
}

/// Reads the stretch, estimates, and writes the calibration. `profiles` gives references that are not
/// in files.
///
/// # Errors
/// When the model is not configured or has no profile, the input cannot be read, no pane has a row,
/// or the file cannot be written.
pub fn calibrate(
    config: &Config,
    options: &Options,
    profiles: &BTreeMap<String, Profile>,
) -> anyhow::Result<Report> {
    let own = only(config, options)?;
    let topics = topics(&own, profiles).map_err(|errors| super::several(&errors))?;
    let spec = topics.iter().flat_map(|topic| &topic.models).next();
    let Some(spec) = spec.cloned() else { bail!("no topic carries the model `{}`", options.model) };
    let Some(profile) = spec.profile_hash() else {
        bail!(
            "the model `{}` has no reference profile, so there is nothing to wander from; make one with `plimsoll profile`",
            options.model
        );
    };
    let checks = &spec.checks;
    let slots = apply::bare(checks, &spec.layout, spec.profile.as_deref());
    let errors: Vec<f64> = checks.iter().map(|check| check.sequential.reference_error).collect();
    let mut series = Series::new(checks, &slots);
    let read = read(&own, options, topics, &spec, &mut series)?;
    if series.rows() == 0 {
        bail!(
            "no row of `{}` fell into a whole pane of the stretch: {} records, of which {} late and {} rejected{}",
            options.model,
            read.accounting.records,
            read.accounting.late,
            read.accounting.rejected,
            read.first_rejected.map_or_else(String::new, |first| format!(", the first: {first}")),
        );
    }
    let estimated = estimate(&series, slots.len(), options);
    let whole = |value: Option<EventTime>| value.unwrap_or_default();
    let mut calibration = Calibration {
        format: FORMAT.to_owned(),
        model: spec.id.clone(),
        profile,
        pane_millis: u64::try_from(spec.pane.as_millis()).unwrap_or(u64::MAX),
        reference_error: errors.first().copied().unwrap_or_default(),
        from: whole(series.starts().min()),
        until: whole(series.starts().max()) + spec.pane,
        rows: series.rows(),
        panes: series.starts().count() as u64,
        versions: series.versions().into_keys().collect(),
        hourly: options.hourly,
        warnings: Vec::new(),
        checks: BTreeMap::new(),
    };
    calibration.warnings = warnings(&calibration, &series, &estimated, &read);
    for Estimated { check, scoped, .. } in estimated {
        if !scoped.components.is_empty() {
            calibration.checks.entry(check).or_default().push(scoped);
        }
    }
    write(&options.output, &calibration.to_text())?;
    Ok(Report { calibration, accounting: read.accounting, others: read.others, file: options.output.clone() })
}

/// The configuration of the one model. Other models need not be ready, and its own calibration need
/// not exist.
fn only(config: &Config, options: &Options) -> anyhow::Result<Config> {
    let carried = config.require_model(&options.model)?.topics.clone();
    let mut own = config.clone();
    own.models.retain(|model| model.name == options.model);
    for model in &mut own.models {
        model.calibration = None;
    }
    own.policies.retain(|policy| policy.model == options.model);
    let wanted = |name: &String| options.topic.as_ref().is_none_or(|topic| topic == name);
    own.topics.retain(|topic| carried.contains(&topic.name) && wanted(&topic.name));
    let names = || carried.join(", ");
    match (&options.input, own.topics.len()) {
        (_, 0) => bail!("the model `{}` is not read from that topic; it has {}", options.model, names()),
        (Input::Files { .. }, 2..) => {
            bail!("say with --topic which topic's mapping reads the files: {}", names())
        }
        _ => Ok(own),
    }
}

/// What became of the records.
#[derive(Debug, Default)]
struct Read {
    accounting: Accounting,
    /// Rejected because they are of other models.
    others: u64,
    first_rejected: Option<String>,
}

fn read(
    config: &Config,
    options: &Options,
    mut topics: Vec<TopicSpec>,
    spec: &ModelSpec,
    series: &mut Series<'_>,
) -> anyhow::Result<Read> {
    match &options.input {
        Input::Files { files, row_time } => {
            if row_time.is_some() {
                for model in topics.iter_mut().flat_map(|topic| &mut topic.mapping.models) {
                    model.time = (FieldSource::Header(ROW_TIME.to_owned()), TimeUnit::Millis);
                }
            }
            let Some(topic) = topics.first().map(|topic| Arc::clone(&topic.name)) else { bail!("no topic") };
            let mut source = FileSource::new(&topic, files, *row_time);
            let counting = Counting::new(topics, file_limits(config));
            let told = |source: &FileSource| {
                let file = source.current().map(|file| file.display().to_string()).unwrap_or_default();
                format!("{} rows read, now in {file}", source.read())
            };
            drain(&mut source, FileSource::finished, told, counting, options, spec, series)
        }
        Input::Kafka => {
            let range = Range { from: options.from, until: options.until };
            let mut source = RangeSource::new(&wiring::source(config.require_kafka()?, config), range)?;
            // Records of a stretch that was asked for may be as old as they like.
            let counting = Counting::new(topics, file_limits(config));
            let told = |source: &RangeSource| format!("{} offsets left to read", source.left());
            drain(&mut source, RangeSource::finished, told, counting, options, spec, series)
        }
    }
}

/// Reads a source to its end into the series.
fn drain<S: Source>(
    source: &mut S,
    finished: impl Fn(&S) -> bool,
    told: impl Fn(&S) -> String,
    mut counting: Counting,
    options: &Options,
    spec: &ModelSpec,
    series: &mut Series<'_>,
) -> anyhow::Result<Read> {
    let mut read = Read::default();
    let mut shown = Instant::now();
    let inside = |start: EventTime| {
        options.from.is_none_or(|from| start >= from)
            && options.until.is_none_or(|until| start + spec.pane <= until)
    };
    while !finished(source) {
        let now = now_millis();
        source.poll(EVENTS_PER_STEP, WAIT, &mut |event| {
            counting.handle(event, now, &mut |record, why| {
                if why.reason == RejectReason::UnknownModel {
                    read.others += 1;
                } else {
                    read.first_rejected.get_or_insert_with(|| {
                        format!(
                            "{} offset {}: {} ({})",
                            record.partition, record.offset, why.reason, why.detail
                        )
                    });
                }
            });
        })?;
        let deltas = counting.flush(now).deltas;
        counting.settle(true);
        for delta in deltas.iter().filter(|delta| delta.key.model == spec.id && inside(delta.pane)) {
            series.add(delta);
        }
        if options.progress && shown.elapsed() >= PROGRESS_EVERY {
            shown = Instant::now();
            eprintln!("{}", told(source));
        }
    }
    read.accounting = counting.accounting();
    Ok(read)
}

fn estimate(series: &Series<'_>, slots: usize, options: &Options) -> Vec<Estimated> {
    let mut shown = Instant::now();
    series.estimate(options.hourly, |done| {
        if options.progress && shown.elapsed() >= PROGRESS_EVERY {
            shown = Instant::now();
            eprintln!("{done} of {slots} estimated");
        }
        ControlFlow::Continue(())
    })
}

/// What makes the result worth less than it looks.
fn warnings(calibration: &Calibration, series: &Series<'_>, found: &[Estimated], read: &Read) -> Vec<String> {
    let mut warnings = Vec::new();
    let span = calibration.until.as_millis() - calibration.from.as_millis();
    let days = span as f64 / DAY.as_millis() as f64;
    if days < 2.0 {
        warnings.push(format!(
            "the stretch covers {days:.1} days, too few to tell a daily cycle from chance: two weeks are a good stretch"
        ));
    } else if calibration.hourly && days < 14.0 {
        warnings.push(format!(
            "the stretch covers {days:.1} days, and hours of the week need two of each: they got what their hour of the day needs"
        ));
    }
    let named = |those: Vec<&Estimated>| {
        let names: Vec<String> =
            those.iter().take(10).map(|it| format!("{} of {}", it.check, it.scoped.scope)).collect();
        let more = those.len().saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", names.join(", "))
    };
    let few: Vec<&Estimated> = found.iter().filter(|it| it.panes < FEW_PANES).collect();
    if !few.is_empty() {
        warnings.push(format!("fewer than {FEW_PANES} panes with observations, so rough: {}", named(few)));
    }
    let missing: Vec<&Estimated> = found.iter().filter(|it| it.missing > 0).collect();
    if !missing.is_empty() {
        warnings
            .push(format!("too few panes to estimate anything, so these stay in shadow: {}", named(missing)));
    }
    let versions = series.versions();
    if versions.len() > 1 {
        let counts: Vec<String> =
            versions.iter().take(10).map(|(version, panes)| format!("{version} ({panes} panes)")).collect();
        warnings.push(format!(
            "{} versions, each estimated by itself, and the widest tolerance taken: {}; was the stretch clean in all of them?",
            versions.len(),
            counts.join(", ")
        ));
    }
    let Accounting { records, rows, late_rows, rejected, .. } = read.accounting;
    if late_rows > 0 {
        warnings.push(format!("{late_rows} of {rows} rows were late and are in no pane"));
    }
    if rejected > read.others {
        let first = read.first_rejected.as_deref().unwrap_or("unknown");
        let rejected = rejected - read.others;
        warnings.push(format!("{rejected} of {records} records could not be read, the first: {first}"));
    }
    warnings
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
