//! The command line. Exit codes: 0 ok, 1 failure, 2 a batch command found a breach, or
//! evidence that does not agree with itself, 64 bad configuration or bad arguments.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use plimsoll::app::calibrate::{self, Input};
use plimsoll::app::comparing::{self, Mode};
use plimsoll::app::demo::drive;
use plimsoll::app::explaining::{self, Filter, Whence};
use plimsoll::app::files::RowTime;
use plimsoll::app::inspect::{self, What, Whence as From};
use plimsoll::app::replay::{self, replay};
use plimsoll::app::run::{Daemon, Start, stop_on_signals};
use plimsoll::app::simulate::{self, Scenario};
use plimsoll::app::{budget, compile, profiling, wiring};
use plimsoll::config::{self, Config};
use plimsoll::domain::EventTime;
use plimsoll::telemetry::logging;

/// A batch command found a breach, or an alarm that does not follow from its own numbers.
const BREACH: u8 = 2;
/// The configuration or the arguments cannot be used (EX_USAGE of sysexits.h).
const BAD_CONFIGURATION: u8 = 64;

/// Watches deployed machine-learning models and takes them back to a safe version.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the whole loop on this machine: an in-process broker, traffic that goes wrong twice,
    /// and the daemon that finds it. Needs nothing installed or configured.
    #[command(
        after_help = "Examples:\n  plimsoll demo\n  plimsoll demo --for 60s\n  plimsoll demo --plain --listen 127.0.0.1:9464"
    )]
    Demo(DemoArgs),
    /// Runs the daemon on a real Kafka until SIGINT or SIGTERM.
    #[command(
        after_help = "Examples:\n  plimsoll run --config config/plimsoll.yaml\n  PLIMSOLL__KAFKA__BROKERS=kafka:9092 plimsoll run --config config/plimsoll.yaml"
    )]
    Run(ConfigArg),
    /// Lists everything that is wrong with a configuration, with the path of each key.
    #[command(
        after_help = "Examples:\n  plimsoll validate --config config/plimsoll.yaml\n\nExit code 0: valid. 64: not valid."
    )]
    Validate(ConfigArg),
    /// Freezes a reference profile (bins, counts, shares) from files of healthy records.
    #[command(
        after_help = "Examples:\n  plimsoll profile --config plimsoll.yaml --model credit --input june.parquet --output profiles/credit.json"
    )]
    Profile(ProfileArgs),
    /// Learns from a clean stretch of traffic how far each check wanders by itself, and proposes the
    /// tolerances that keep it from raising false alarms.
    #[command(
        after_help = "Examples:\n  plimsoll calibrate --config plimsoll.yaml --model credit --input june.ndjson --output calibration/credit.yaml\n  plimsoll calibrate --config plimsoll.yaml --model credit --from 2026-06-01T00:00:00Z --until 2026-06-15T00:00:00Z --output calibration/credit.yaml"
    )]
    Calibrate(CalibrateArgs),
    /// Runs the engine over files (NDJSON, CSV, Parquet) and writes findings and decisions.
    #[command(
        after_help = "Examples:\n  plimsoll replay --config plimsoll.yaml --input july.ndjson --output out/\n  plimsoll replay --config plimsoll.yaml --input rows.csv --row-time 2026-01-01T00:00:00Z,1s --output out/\n\nExit code 0: no breach. 1: failure, or no record could be used. 2: a check found a breach."
    )]
    Replay(ReplayArgs),
    /// Compares two sets of files column by column, in plimsoll's numbers and in those of Evidently,
    /// NannyML and scipy, with the limit that each would use. Needs no configuration.
    #[command(
        after_help = "Examples:\n  plimsoll compare --reference june.parquet --current july.parquet\n  plimsoll compare --reference june.csv --current july.csv --as native,evidently --columns income,age\n  plimsoll compare --reference a.ndjson --current b.ndjson --categorical zip_code --json\n\nNames inside JSON objects are joined by a slash: features/income.\nExit code 0: compared, whatever was found. 1: failure."
    )]
    Compare(CompareArgs),
    /// Says in words why an alarm was raised, and computes it again from what the finding itself says.
    #[command(
        after_help = "Examples:\n  plimsoll explain out/decisions.ndjson\n  plimsoll explain --model credit --check nulls --scope income\n  plimsoll explain --url http://127.0.0.1:9464 --all --json\n  curl -s localhost:9464/api/v1/decisions | plimsoll explain -\n\nAn input is any file with findings: findings.ndjson, decisions.ndjson, an answer of the API, the audit log.\nExit code 0: every alarm follows from its own numbers, or there is none. 1: failure. 2: one does not."
    )]
    Explain(ExplainArgs),
    /// Checks the promise: false alarms within the budget over simulated weeks, and how soon changes
    /// are found.
    #[command(
        after_help = "Examples:\n  plimsoll simulate\n  plimsoll simulate --seeds 100 --format markdown > simulation.md\n  plimsoll simulate --only budget --only power --seeds 3\n  plimsoll simulate --only budget-real --data ../shared/data\n\nThe same seeds give the same report. Exit code 0: every promise held. 1: failure. 2: a promise did not hold."
    )]
    Simulate(SimulateArgs),
    /// Prints what stands in plimsoll's own topics as lines of JSON: committed messages only, outside any
    /// consumer group, without a commit.
    #[command(
        after_help = "Examples:\n  plimsoll inspect state --config plimsoll.yaml | jq 'select(.kind == \"key\" and .incidents > 0)'\n  plimsoll inspect partials --from end-100 --partition 3\n  plimsoll inspect decisions --follow\n  plimsoll inspect audit --limit 5\n\nWhat cannot be read is a line of kind `unreadable`. docs/exchange.md describes topics and fields.\nExit code 0: read to the end. 1: failure. 64: bad configuration."
    )]
    Inspect(InspectArgs),
    /// Prints the JSON Schema of the configuration, for editors.
    Schema,
}

#[derive(Debug, Args)]
struct ConfigArg {
    /// The configuration file (YAML).
    #[arg(long, value_name = "FILE", default_value = "config/plimsoll.yaml")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// Ends by itself after this much time, with a summary.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    length: Option<Duration>,
    /// Plain lines, also on a terminal.
    #[arg(long)]
    plain: bool,
    /// Where /metrics, the status page and the API listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Seed of the traffic; the same seed gives the same records.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

#[derive(Debug, Args)]
struct ProfileArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The model, as the configuration names it.
    #[arg(long)]
    model: String,
    /// Files of reference records: .ndjson, .csv, .parquet.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    input: Vec<PathBuf>,
    /// Where the profile is written.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Args)]
struct CalibrateArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The model, as the configuration names it.
    #[arg(long)]
    model: String,
    /// Files of clean traffic: .ndjson, .csv, .parquet. Without them the model's Kafka topics are
    /// read, outside any consumer group and without a commit.
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present_all = ["from", "until"])]
    input: Vec<PathBuf>,
    /// Only panes that begin at this time or later, such as 2026-06-01T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = event_time)]
    from: Option<EventTime>,
    /// Only panes that end at this time or earlier.
    #[arg(long, value_name = "TIME", value_parser = event_time)]
    until: Option<EventTime>,
    /// The topic whose mapping reads the files, or the only one to read, where the model has several.
    #[arg(long)]
    topic: Option<String>,
    /// Event times by row number instead of the mapped ones: that of the first row of each file, and
    /// the step to the next.
    #[arg(long, value_name = "START,STEP", value_parser = row_time, requires = "input")]
    row_time: Option<RowTime>,
    /// A tolerance for each hour of the week instead of one for all; takes two weeks or more.
    #[arg(long)]
    hourly: bool,
    /// Where the calibration is written.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

fn event_time(text: &str) -> Result<EventTime, String> {
    text.parse().map_err(|error: &str| error.to_owned())
}

#[derive(Debug, Args)]
struct ReplayArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Files to replay, each a partition of the topic: .ndjson, .csv, .parquet.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    input: Vec<PathBuf>,
    /// Folder for findings.ndjson, decisions.ndjson and dead-letters.ndjson.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// The topic whose mapping reads the files, where the configuration has several.
    #[arg(long)]
    topic: Option<String>,
    /// Event times by row number instead of the mapped ones: that of the first row of each file, and
    /// the step to the next.
    #[arg(long, value_name = "START,STEP", value_parser = row_time)]
    row_time: Option<RowTime>,
}

#[derive(Debug, Args)]
struct CompareArgs {
    /// Files of the reference: .ndjson, .csv, .parquet.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    reference: Vec<PathBuf>,
    /// Files of current data.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    current: Vec<PathBuf>,
    /// Whose numbers, with commas between or given several times; all of them unless given.
    #[arg(long = "as", value_name = "TOOL", value_delimiter = ',')]
    modes: Vec<Mode>,
    /// Columns by name, with commas between; all that can be compared unless given.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Vec<String>,
    /// Columns whose numbers are names: codes, classes.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    categorical: Vec<String>,
    /// One JSON document instead of tables.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ExplainArgs {
    /// File with findings, decisions or audit entries; `-` is standard input. Without a file a
    /// running daemon is asked.
    #[arg(value_name = "FINDING", conflicts_with = "url")]
    input: Option<PathBuf>,
    /// The daemon to ask.
    #[arg(long, value_name = "URL", default_value = explaining::DAEMON)]
    url: String,
    /// Only of this model.
    #[arg(long)]
    model: Option<String>,
    /// Only of this version.
    #[arg(long)]
    version: Option<String>,
    /// Only of this check.
    #[arg(long)]
    check: Option<String>,
    /// Only about this feature, output, group (`sex:F`) or attribute (`sex`).
    #[arg(long)]
    scope: Option<String>,
    /// Findings without an alarm too.
    #[arg(long)]
    all: bool,
    /// One JSON document instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SimulateArgs {
    /// Only this scenario; may be given several times.
    #[arg(long, value_name = "SCENARIO", value_parser = scenarios())]
    only: Vec<Scenario>,
    /// Seeds to average over: each is a fleet of its own.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seeds: u64,
    /// The first seed; the others follow it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    first_seed: u64,
    /// Threads; the report does not depend on them.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=1_024))]
    threads: u64,
    /// Folder with elec.csv, employment_MA_reference.parquet and employment_MA_analysis.parquet.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How the report is written to standard output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Args)]
struct InspectArgs {
    /// Which topic.
    what: What,
    #[command(flatten)]
    config: ConfigArg,
    /// Only this partition.
    #[arg(long, value_name = "PARTITION", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Where to begin in each partition: an offset, `beginning`, or `end-N`, N offsets before its end
    /// (marks of transactions count). The beginning unless given. Not for `state`, which is read whole.
    #[arg(long, value_name = "OFFSET", value_parser = inspect::whence)]
    from: Option<From>,
    /// Stops after so many lines.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Goes on at the end, until interrupted.
    #[arg(long)]
    follow: bool,
    /// Shows counts, policies' machines and detectors too.
    #[arg(long)]
    full: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// Aligned columns.
    Text,
    /// Tables of Markdown.
    Markdown,
    /// Everything, for programs.
    Json,
}

/// Parses the name of a scenario; `--help` lists them.
fn scenarios() -> impl TypedValueParser<Value = Scenario> {
    PossibleValuesParser::new(Scenario::ALL.map(Scenario::name))
        .map(|name| name.parse().expect("only names of scenarios are possible values"))
}

fn row_time(text: &str) -> Result<RowTime, String> {
    let (start, every) = text.split_once(',').ok_or("write START,STEP, such as 2026-01-01T00:00:00Z,1s")?;
    let start: EventTime = start.parse().map_err(|error: &str| error.to_owned())?;
    let every = humantime::parse_duration(every).map_err(|error| error.to_string())?;
    if every.is_zero() {
        return Err("the step from row to row is above zero".to_owned());
    }
    Ok(RowTime { start, every })
}

/// Parses arguments, runs the command, and says how it ended.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let usage = error.use_stderr();
            // Nothing can be done where even this cannot be printed.
            let _printed = error.print();
            return if usage { ExitCode::from(BAD_CONFIGURATION) } else { ExitCode::SUCCESS };
        }
    };
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            let bad = error.downcast_ref::<config::Errors>().is_some();
            if bad {
                eprintln!("{error}");
                ExitCode::from(BAD_CONFIGURATION)
            } else {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => demo(&args).map(|()| ExitCode::SUCCESS),
        Command::Run(args) => daemon(&args.config).map(|()| ExitCode::SUCCESS),
        Command::Validate(args) => validate(&args.config),
        Command::Profile(args) => profile(&args).map(|()| ExitCode::SUCCESS),
        Command::Calibrate(args) => calibrate(args).map(|()| ExitCode::SUCCESS),
        Command::Replay(args) => {
            let config = load(&args.config.config)?;
            let options = replay::Options {
                inputs: args.input,
                topic: args.topic,
                output: args.output,
                row_time: args.row_time,
                progress: true,
            };
            let report = replay(&config, &options, &BTreeMap::new())?;
            println!("{report}");
            Ok(match (report.used_any(), report.breached()) {
                (false, _) => ExitCode::FAILURE,
                (true, true) => ExitCode::from(BREACH),
                (true, false) => ExitCode::SUCCESS,
            })
        }
        Command::Compare(args) => {
            let found = comparing::compare(&comparing::Options {
                reference: args.reference,
                current: args.current,
                modes: args.modes,
                columns: args.columns,
                categorical: args.categorical,
            })?;
            let text = if args.json { found.to_json() } else { found.to_string().trim_end().to_owned() };
            print(&text).context("cannot write the comparison")?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Explain(args) => explain(args),
        Command::Simulate(args) => simulation(args),
        Command::Inspect(args) => {
            let InspectArgs { what, config, partition, from, limit, follow, full } = args;
            let options = inspect::Options { what, partition, from, limit, follow, full };
            let (mut out, mut remarks) = (std::io::BufWriter::new(std::io::stdout()), std::io::stderr());
            inspect::inspect(&load(&config.config)?, &options, &mut out, &mut remarks)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Schema => {
            let schema = serde_json::to_string_pretty(&config::schema())?;
            print(&schema).context("cannot write the schema")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn explain(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let whence = match args.input {
        Some(path) if path.as_os_str() == "-" => Whence::Stdin,
        Some(path) => Whence::File(path),
        None => Whence::Daemon(args.url),
    };
    let ExplainArgs { model, version, check, scope, all, .. } = args;
    let found = explaining::explain(&whence, &Filter { model, version, check, scope, all })?;
    let text = if args.json { found.to_json() } else { found.to_string().trim_end().to_owned() };
    print(&text).context("cannot write the explanation")?;
    Ok(if found.agrees() { ExitCode::SUCCESS } else { ExitCode::from(BREACH) })
}

/// Prints a text whose reader may stop early, as `head` does.
fn print(text: &str) -> std::io::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn simulation(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    let options = simulate::Options {
        only: args.only,
        seeds: args.seeds,
        first_seed: args.first_seed,
        threads: args.threads as usize,
        data: args.data,
        progress: true,
        ..simulate::Options::default()
    };
    let report = simulate::simulate(&options)?;
    let text = match args.format {
        Format::Text => report.text(),
        Format::Markdown => report.markdown(),
        Format::Json => report.json()?,
    };
    print(text.trim_end()).context("cannot write the report")?;
    Ok(if report.held() { ExitCode::SUCCESS } else { ExitCode::from(BREACH) })
}

fn load(path: &Path) -> anyhow::Result<Config> {
    let config = config::load(path, config::environment())?;
    for warning in &config.warnings {
        eprintln!("warning: {}: {}", warning.path, warning.message);
    }
    Ok(config)
}

fn demo(args: &DemoArgs) -> anyhow::Result<()> {
    let level = std::env::var("RUST_LOG").unwrap_or_else(|_| "off".to_owned());
    logging::init(&logging::Config { level, ..logging::Config::default() })?;
    drive::demo(&drive::Options {
        length: args.length,
        plain: args.plain,
        listen: args.listen,
        seed: args.seed,
    })
}

fn daemon(path: &Path) -> anyhow::Result<()> {
    let config = load(path)?;
    logging::init(&wiring::logging(&config.log))?;
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let stop = Arc::new(AtomicBool::new(false));
    let daemon = Daemon::new(Start {
        config: &config,
        profiles: BTreeMap::new(),
        started: wiring::started("run", &text),
        stop: Arc::clone(&stop),
    })?;
    stop_on_signals(daemon.runtime(), stop)?;
    std::thread::scope(|scope| {
        let engine = std::thread::Builder::new().name("plimsoll-engine".to_owned());
        let engine = engine.spawn_scoped(scope, || daemon.serve())?;
        engine.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the engine panicked")))
    })?;
    tracing::info!("stopped; offsets are committed and the audit log is closed");
    Ok(())
}

fn validate(path: &Path) -> anyhow::Result<ExitCode> {
    let config = load(path)?;
    if let Err(error) = wiring::check(&config) {
        eprintln!("{error:#}");
        return Ok(ExitCode::from(BAD_CONFIGURATION));
    }
    let topics = match compile::topics(&config, &BTreeMap::new()) {
        Ok(topics) => topics,
        Err(errors) => {
            for error in &errors {
                eprintln!("{:#}", anyhow::Error::msg(chain(error)));
            }
            return Ok(ExitCode::from(BAD_CONFIGURATION));
        }
    };
    let checks: usize = config.models.iter().map(|model| model.checks.len()).sum();
    println!(
        "{} is valid: {} topics, {} models, {checks} checks, {} policies, {} actions",
        path.display(),
        config.topics.len(),
        config.models.len(),
        config.policies.len(),
        config.actions.len(),
    );
    let mut models: Vec<_> = topics.iter().flat_map(|topic| topic.models.iter().cloned()).collect();
    models.sort_by(|a, b| a.id.cmp(&b.id));
    models.dedup_by(|a, b| a.id == b.id);
    print!("{}", budget::division(&config, &models));
    Ok(ExitCode::SUCCESS)
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        line = format!("{line}: {source}");
        cause = source.source();
    }
    line
}

fn profile(args: &ProfileArgs) -> anyhow::Result<()> {
    let config = load(&args.config.config)?;
    let frozen = profiling::freeze(&config, &args.model, &args.input)?;
    if let Some(folder) = args.output.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    std::fs::write(&args.output, frozen.profile.to_json())
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    println!("{} rows of {} frozen as {}", frozen.profile.rows, args.model, frozen.profile.hash);
    for note in &frozen.profile.notes {
        println!("note: {note}");
    }
    if frozen.others > 0 {
        println!("note: {} records of other models were left out", frozen.others);
    }
    if let Some(first) = &frozen.first_rejected {
        println!(
            "note: {} records could not be read and were left out, the first at {first}",
            frozen.rejected
        );
    }
    println!("written {}", args.output.display());
    Ok(())
}

fn calibrate(args: CalibrateArgs) -> anyhow::Result<()> {
    let config = load(&args.config.config)?;
    let input = if args.input.is_empty() {
        Input::Kafka
    } else {
        Input::Files { files: args.input, row_time: args.row_time }
    };
    let options = calibrate::Options {
        model: args.model,
        input,
        topic: args.topic,
        from: args.from,
        until: args.until,
        hourly: args.hourly,
        output: args.output,
        progress: true,
    };
    let report = calibrate::calibrate(&config, &options, &BTreeMap::new())?;
    println!("{report}");
    let folder = args.config.config.parent().unwrap_or(Path::new(""));
    println!("\nTo use it, in {}:\n{}", args.config.config.display(), report.patch(folder));
    Ok(())
}
