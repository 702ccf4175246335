//! The command line. Exit codes: 0 ok, 1 failure, 2 a batch command found a breach, or
//! evidence that does not agree with itself, 64 bad configuration or bad arguments.

mod args;
mod audit;
mod people;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use clap::Parser;

use plimsoll::app::calibrate::{self, Input};
use plimsoll::app::comparing;
use plimsoll::app::demo::drive;
use plimsoll::app::explaining::{self, Filter, Whence};
use plimsoll::app::inspect;
use plimsoll::app::reload::Load;
use plimsoll::app::replay::{self, replay};
use plimsoll::app::run::{Daemon, Start, stop_on_signals};
use plimsoll::app::simulate;
use plimsoll::app::{budget, compile, profiling, topics, wiring};
use plimsoll::config::{self, Config};
use plimsoll::telemetry::logging;

use args::{
    CalibrateArgs, Cli, Command, DemoArgs, ExplainArgs, Format, InspectArgs, ProfileArgs, RunArgs,
    SimulateArgs, TopicsArgs, TopicsCommand,
};

/// A batch command found a breach, or an alarm that does not follow from its own numbers.
const BREACH: u8 = 2;
/// The configuration or the arguments cannot be used (EX_USAGE of sysexits.h).
const BAD_CONFIGURATION: u8 = 64;

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
        Command::Run(args) => daemon(&args).map(|()| ExitCode::SUCCESS),
        Command::Topics(TopicsCommand::Create(args)) => create_topics(&args),
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
        Command::Audit(command) => audit::run(command),
        Command::Explain(args) => explain(args),
        Command::Simulate(args) => simulation(args),
        Command::Inspect(args) => {
            let InspectArgs { what, config, partition, from, limit, follow, full } = args;
            let options = inspect::Options { what, partition, from, limit, follow, full };
            let (mut out, mut remarks) = (std::io::BufWriter::new(std::io::stdout()), std::io::stderr());
            inspect::inspect(&load(&config.config)?, &options, &mut out, &mut remarks)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::People(command) => people::run(command),
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

fn daemon(args: &RunArgs) -> anyhow::Result<()> {
    let path = &args.config.config;
    let mut config = load(path)?;
    if !args.roles.is_empty() {
        config.roles = args.roles.iter().copied().collect();
    }
    logging::init(&wiring::logging(&config.log))?;
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let stop = Arc::new(AtomicBool::new(false));
    let (file, roles) = (path.clone(), args.roles.clone());
    let load = move || {
        let mut config = config::load(&file, config::environment())?;
        if !roles.is_empty() {
            config.roles = roles.iter().copied().collect();
        }
        Ok(config)
    };
    let daemon = Daemon::new(Start {
        load: Some(Load::new(load)),
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

fn create_topics(args: &TopicsArgs) -> anyhow::Result<ExitCode> {
    let config = load(&args.config.config)?;
    let report = topics::create(&config, args.dry_run)?;
    print(report.to_string().trim_end()).context("cannot write the list of topics")?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
