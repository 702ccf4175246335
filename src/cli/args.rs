//! What the command line may say, and the help that it prints. Carrying it out is elsewhere.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use super::audit::AuditCommand;
use plimsoll::app::comparing::Mode;
use plimsoll::app::explaining;
use plimsoll::app::files::RowTime;
use plimsoll::app::inspect::{self, What, Whence as From};
use plimsoll::app::simulate::Scenario;
use plimsoll::config::Role;
use plimsoll::domain::EventTime;

/// Watches deployed machine-learning models and takes them back to a safe version.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Shows the whole loop on this machine: an in-process broker, traffic that goes wrong twice,
    /// and the daemon that finds it. Needs nothing installed or configured.
    #[command(
        after_help = "Examples:\n  plimsoll demo\n  plimsoll demo --for 60s\n  plimsoll demo --plain --listen 127.0.0.1:9464"
    )]
    Demo(DemoArgs),
    /// Runs the daemon on a real Kafka until SIGINT or SIGTERM.
    #[command(
        after_help = "Examples:\n  plimsoll run --config config/plimsoll.yaml\n  PLIMSOLL__KAFKA__BROKERS=kafka:9092 plimsoll run --config config/plimsoll.yaml\n  plimsoll run --config config/plimsoll.yaml --roles observe,evaluate"
    )]
    Run(RunArgs),
    /// Makes plimsoll's own topics on Kafka, or says what they would be.
    #[command(
        subcommand,
        after_help = "Examples:\n  plimsoll topics create --config config/plimsoll.yaml --dry-run\n  plimsoll topics create --config config/plimsoll.yaml"
    )]
    Topics(TopicsCommand),
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
    #[command(flatten)]
    People(super::people::People),
    /// Checks the audit log, cuts proofs from it, shows, witnesses and publishes it, and makes its keys.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Prints the JSON Schema of the configuration, for editors.
    Schema,
}

#[derive(Debug, Args)]
pub(super) struct ConfigArg {
    /// The configuration file (YAML).
    #[arg(long, value_name = "FILE", default_value = "config/plimsoll.yaml")]
    pub(super) config: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// What this process does, with commas between; wins over `roles` of the configuration.
    #[arg(long, value_name = "ROLES", value_delimiter = ',', value_parser = roles())]
    pub(super) roles: Vec<Role>,
}

/// Parses the name of a role; `--help` lists them.
fn roles() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::name)).map(|name| {
        let named = Role::ALL.into_iter().find(|role| role.name() == name);
        named.expect("only names of roles are possible values")
    })
}

#[derive(Debug, Subcommand)]
pub(super) enum TopicsCommand {
    /// Makes those of plimsoll's own topics that are missing, and checks the others: those over which
    /// the roles join, findings, dead letters, and the audit log. Input topics are left alone.
    #[command(
        after_help = "Examples:\n  plimsoll topics create --config config/plimsoll.yaml --dry-run\n  PLIMSOLL__KAFKA__EXCHANGE__REPLICATION_FACTOR=3 plimsoll topics create --config config/plimsoll.yaml\n\nExit code 0: all are there, or would be made. 1: one cannot be made, or cannot serve as it is. 64: bad configuration."
    )]
    Create(TopicsArgs),
}

#[derive(Debug, Args)]
pub(super) struct TopicsArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// Makes nothing: prints what would be made and, where the broker answers, what is there.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Ends by itself after this much time, with a summary.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) length: Option<Duration>,
    /// Plain lines, also on a terminal.
    #[arg(long)]
    pub(super) plain: bool,
    /// Where /metrics, the status page and the API listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(super) listen: SocketAddr,
    /// Seed of the traffic; the same seed gives the same records.
    #[arg(long, default_value_t = 7)]
    pub(super) seed: u64,
}

#[derive(Debug, Args)]
pub(super) struct ProfileArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// The model, as the configuration names it.
    #[arg(long)]
    pub(super) model: String,
    /// Files of reference records: .ndjson, .csv, .parquet.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub(super) input: Vec<PathBuf>,
    /// Where the profile is written.
    #[arg(long, value_name = "FILE")]
    pub(super) output: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct CalibrateArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// The model, as the configuration names it.
    #[arg(long)]
    pub(super) model: String,
    /// Files of clean traffic: .ndjson, .csv, .parquet. Without them the model's Kafka topics are
    /// read, outside any consumer group and without a commit.
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present_all = ["from", "until"])]
    pub(super) input: Vec<PathBuf>,
    /// Only panes that begin at this time or later, such as 2026-06-01T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = event_time)]
    pub(super) from: Option<EventTime>,
    /// Only panes that end at this time or earlier.
    #[arg(long, value_name = "TIME", value_parser = event_time)]
    pub(super) until: Option<EventTime>,
    /// The topic whose mapping reads the files, or the only one to read, where the model has several.
    #[arg(long)]
    pub(super) topic: Option<String>,
    /// Event times by row number instead of the mapped ones: that of the first row of each file, and
    /// the step to the next.
    #[arg(long, value_name = "START,STEP", value_parser = row_time, requires = "input")]
    pub(super) row_time: Option<RowTime>,
    /// A tolerance for each hour of the week instead of one for all; takes two weeks or more.
    #[arg(long)]
    pub(super) hourly: bool,
    /// Where the calibration is written.
    #[arg(long, value_name = "FILE")]
    pub(super) output: PathBuf,
}

fn event_time(text: &str) -> Result<EventTime, String> {
    text.parse().map_err(|error: &str| error.to_owned())
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// Files to replay, each a partition of the topic: .ndjson, .csv, .parquet.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub(super) input: Vec<PathBuf>,
    /// Folder for findings.ndjson, decisions.ndjson and dead-letters.ndjson.
    #[arg(long, value_name = "DIR")]
    pub(super) output: PathBuf,
    /// The topic whose mapping reads the files, where the configuration has several.
    #[arg(long)]
    pub(super) topic: Option<String>,
    /// Event times by row number instead of the mapped ones: that of the first row of each file, and
    /// the step to the next.
    #[arg(long, value_name = "START,STEP", value_parser = row_time)]
    pub(super) row_time: Option<RowTime>,
}

#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// Files of the reference: .ndjson, .csv, .parquet.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub(super) reference: Vec<PathBuf>,
    /// Files of current data.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub(super) current: Vec<PathBuf>,
    /// Whose numbers, with commas between or given several times; all of them unless given.
    #[arg(long = "as", value_name = "TOOL", value_delimiter = ',')]
    pub(super) modes: Vec<Mode>,
    /// Columns by name, with commas between; all that can be compared unless given.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(super) columns: Vec<String>,
    /// Columns whose numbers are names: codes, classes.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(super) categorical: Vec<String>,
    /// One JSON document instead of tables.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// File with findings, decisions or audit entries; `-` is standard input. Without a file a
    /// running daemon is asked.
    #[arg(value_name = "FINDING", conflicts_with = "url")]
    pub(super) input: Option<PathBuf>,
    /// The daemon to ask.
    #[arg(long, value_name = "URL", default_value = explaining::DAEMON)]
    pub(super) url: String,
    /// Only of this model.
    #[arg(long)]
    pub(super) model: Option<String>,
    /// Only of this version.
    #[arg(long)]
    pub(super) version: Option<String>,
    /// Only of this check.
    #[arg(long)]
    pub(super) check: Option<String>,
    /// Only about this feature, output, group (`sex:F`) or attribute (`sex`).
    #[arg(long)]
    pub(super) scope: Option<String>,
    /// Findings without an alarm too.
    #[arg(long)]
    pub(super) all: bool,
    /// One JSON document instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Which topic.
    pub(super) what: What,
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// Only this partition.
    #[arg(long, value_name = "PARTITION", value_parser = clap::value_parser!(i32).range(0..))]
    pub(super) partition: Option<i32>,
    /// Where to begin in each partition: an offset, `beginning`, or `end-N`, N offsets before its end
    /// (marks of transactions count). The beginning unless given. Not for `state`, which is read whole.
    #[arg(long, value_name = "OFFSET", value_parser = inspect::whence)]
    pub(super) from: Option<From>,
    /// Stops after so many lines.
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    /// Goes on at the end, until interrupted.
    #[arg(long)]
    pub(super) follow: bool,
    /// Shows counts, policies' machines and detectors too.
    #[arg(long)]
    pub(super) full: bool,
}

#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// Only this scenario; may be given several times.
    #[arg(long, value_name = "SCENARIO", value_parser = scenarios())]
    pub(super) only: Vec<Scenario>,
    /// Seeds to average over: each is a fleet of its own.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(super) seeds: u64,
    /// The first seed; the others follow it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) first_seed: u64,
    /// Threads; the report does not depend on them.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=1_024))]
    pub(super) threads: u64,
    /// Folder with elec.csv, employment_MA_reference.parquet and employment_MA_analysis.parquet.
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// How the report is written to standard output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Format {
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
