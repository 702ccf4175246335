//! Runs the demo: broker and traffic on one thread, the daemon of `plimsoll run` on another, and
//! here the terminal, or plain lines where there is none.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::CONFIG;
use super::broker::{Stage, play};
use super::plain::{self, Plain};
use super::scenario::{Outcome, Scenario};
use super::screen::{Key, Terminal};
use super::status::{DemoStatus, colour_wanted};
use super::traffic::reference_rows;
use crate::app::clock::now_millis;
use crate::app::profiling::Freezer;
use crate::app::run::{Daemon, Start, stop_on_signals};
use crate::app::wiring;
use crate::config::{self, Config};
use crate::domain::EventTime;
use crate::engine::view::View;
use crate::profile::Profile;

/// Reference rows that the profile is frozen from.
const REFERENCE_ROWS: usize = 50_000;
/// How often the terminal is drawn.
const FRAME: Duration = Duration::from_millis(200);
/// How long the daemon may take to read what is left when the traffic has ended.
const LAST_READ: Duration = Duration::from_secs(2);

/// How the demo is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Ends by itself after this much wall time; else on `q` or Ctrl-C.
    pub length: Option<Duration>,
    /// Plain lines even on a terminal.
    pub plain: bool,
    /// Where the HTTP interface listens.
    pub listen: SocketAddr,
    /// Seed of the traffic.
    pub seed: u64,
}

/// The demo's configuration, towards the broker at `brokers`.
///
/// # Errors
/// Never with the configuration that is built in, which a test holds.
pub fn configuration(brokers: &str) -> anyhow::Result<Config> {
    let brokers = ("PLIMSOLL__KAFKA__BROKERS".to_owned(), brokers.to_owned());
    Ok(config::parse(CONFIG, Path::new("demo.yaml"), [brokers])?)
}

/// The reference profile that the demo's model is held against.
///
/// # Errors
/// Never with the traffic that is built in, which a test holds.
pub fn reference(
    config: &Config,
    scenario: &Scenario,
    seed: u64,
    start: EventTime,
    rows: usize,
) -> anyhow::Result<Profile> {
    let mut freezer = Freezer::new(config, "credit")?;
    // Another seed than the traffic's, or the reference would be its first records.
    for line in reference_rows(scenario, seed ^ 0x5eed, start, rows).split(|byte| *byte == b'\n') {
        if !line.is_empty() {
            freezer.take(line, || "the demo's reference".to_owned());
        }
    }
    Ok(freezer.finish()?.profile)
}

/// Runs the demo to its end and prints a summary.
///
/// # Errors
/// When the port is taken, or a part of the demo fails.
pub fn demo(options: &Options) -> anyhow::Result<()> {
    let scenario =
        options.length.map_or_else(Scenario::default, |length| Scenario::default().fitted_to(length));
    let minute = Duration::from_secs(60);
    let start = (EventTime::from_millis(now_millis()) - scenario.length).floor(minute);
    let phase = scenario.phase(Duration::ZERO, None);
    let stage = Stage::new(start, phase);
    let (address, brokers) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        // Whatever happens here, the two threads must end, or the scope would wait for ever.
        let _end = EndAll { stage: &stage, stop: &stop };
        let broker = std::thread::Builder::new().name("demo-traffic".to_owned());
        let broker = broker.spawn_scoped(scope, || play(&scenario, options.seed, start, &stage, &address))?;
        let Ok(brokers) = brokers.recv_timeout(Duration::from_secs(10)) else {
            stage.end.store(true, Ordering::Relaxed);
            return Err(joined(broker.join()).err().unwrap_or_else(|| anyhow!("the broker did not start")));
        };
        let mut config = configuration(&brokers)?;
        config.http.listen = options.listen;
        let profile = reference(&config, &scenario, options.seed, start, REFERENCE_ROWS)?;
        let daemon = Daemon::new(Start {
            load: None,
            config: &config,
            profiles: BTreeMap::from([("credit".to_owned(), profile)]),
            started: wiring::started("demo", CONFIG.as_bytes()),
            stop: Arc::clone(&stop),
        })?;
        stop_on_signals(daemon.runtime(), Arc::clone(&stop))?;
        let shown = show(options, &scenario, start, &stage, &stop, &daemon);
        stage.end.store(true, Ordering::Relaxed);
        shown.and(joined(broker.join()))
    })
}

/// Runs the engine and shows what it does, until the demo is over.
fn show(
    options: &Options,
    scenario: &Scenario,
    start: EventTime,
    stage: &Stage,
    stop: &AtomicBool,
    daemon: &Daemon<'_>,
) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let _end = EndAll { stage, stop };
        let engine = std::thread::Builder::new().name("plimsoll-engine".to_owned());
        let engine = engine.spawn_scoped(scope, || daemon.serve_alone())?;
        let mut watcher = Watcher::new(options, scenario, start, daemon)?;
        watcher.wait_for_input(daemon, stop, || engine.is_finished())?;
        stage.begin.store(true, Ordering::Relaxed);
        watcher.began = Some(Instant::now());
        while !stop.load(Ordering::Relaxed) && !engine.is_finished() && !watcher.over() {
            watcher.look(daemon, stage, stop)?;
        }
        stage.curtain.store(true, Ordering::Relaxed);
        watcher.last_read(daemon, stage, || engine.is_finished());
        stop.store(true, Ordering::Relaxed);
        let served = joined(engine.join());
        let (view, status) = (daemon.telemetry.view(), watcher.status(stage));
        // The terminal is given back before anything is printed.
        drop(watcher);
        let outcome: Outcome = scenario.outcome(start, &view.decisions);
        println!("{}", plain::summary(&view, &status, &outcome));
        served
    })
}

/// Ends both threads when the demo leaves its scope, however it does.
struct EndAll<'a> {
    stage: &'a Stage,
    stop: &'a AtomicBool,
}

impl Drop for EndAll<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.stage.curtain.store(true, Ordering::Relaxed);
        self.stage.end.store(true, Ordering::Relaxed);
    }
}

fn joined(result: std::thread::Result<anyhow::Result<()>>) -> anyhow::Result<()> {
    result.unwrap_or_else(|_| Err(anyhow!("a thread of the demo panicked")))
}

/// Shows the demo.
struct Watcher {
    terminal: Option<Terminal>,
    plain: Plain,
    start: EventTime,
    speed: f64,
    length: Option<Duration>,
    began: Option<Instant>,
    base: String,
    rate: Rate,
}

/// Records a second, over the last second or so.
struct Rate {
    at: Instant,
    records: u64,
    per_second: f64,
}

impl Watcher {
    fn new(
        options: &Options,
        scenario: &Scenario,
        start: EventTime,
        daemon: &Daemon<'_>,
    ) -> anyhow::Result<Self> {
        let screen = !options.plain && std::io::stdout().is_terminal();
        let terminal = if screen { Some(Terminal::open().context("cannot use the terminal")?) } else { None };
        let base = format!("http://{}", daemon.address);
        if terminal.is_none() {
            println!(
                "plimsoll demo: metrics on {base}/metrics, status page on {base}/, API on {base}/api/v1/"
            );
            println!("waiting for the in-process broker to form the consumer group (about 3 s)");
        }
        Ok(Self {
            terminal,
            plain: Plain::default(),
            start,
            speed: scenario.speed,
            length: options.length,
            began: None,
            base,
            rate: Rate { at: Instant::now(), records: 0, per_second: 0.0 },
        })
    }

    fn wait_for_input(
        &mut self,
        daemon: &Daemon<'_>,
        stop: &AtomicBool,
        ended: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        while !daemon.ready() && !stop.load(Ordering::Relaxed) && !ended() {
            self.keys(stop)?;
            std::thread::sleep(FRAME / 4);
        }
        Ok(())
    }

    fn over(&self) -> bool {
        matches!((self.began, self.length), (Some(began), Some(length)) if began.elapsed() >= length)
    }

    fn keys(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        if let Some(terminal) = &mut self.terminal
            && terminal.key().context("cannot read the keyboard")? == Some(Key::Quit)
        {
            stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// One frame: passes on what the daemon has read and decided, and shows it.
    fn look(&mut self, daemon: &Daemon<'_>, stage: &Stage, stop: &AtomicBool) -> anyhow::Result<()> {
        let view = daemon.telemetry.view();
        obey(&view, stage);
        let produced = stage.produced.load(Ordering::Relaxed);
        let since = self.rate.at.elapsed();
        if since >= Duration::from_secs(1) {
            self.rate.per_second = (produced - self.rate.records) as f64 / since.as_secs_f64();
            (self.rate.at, self.rate.records) = (Instant::now(), produced);
        }
        let status = self.status(stage);
        match &mut self.terminal {
            Some(terminal) => terminal.draw(&view, &status).context("cannot draw on the terminal")?,
            None => {
                let mut out = std::io::stdout().lock();
                for line in self.plain.lines(&view, &status) {
                    writeln!(out, "{line}").context("cannot write to standard output")?;
                }
            }
        }
        self.keys(stop)?;
        std::thread::sleep(FRAME);
        Ok(())
    }

    fn status(&self, stage: &Stage) -> DemoStatus {
        let elapsed = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        DemoStatus {
            phase: stage.phase(),
            start: self.start,
            event_time: EventTime::from_millis(stage.clock.load(Ordering::Relaxed)),
            speed: self.speed,
            records_per_second: self.rate.per_second,
            metrics_url: format!("{}/metrics", self.base),
            api_url: format!("{}/api/v1/", self.base),
            elapsed,
            ends_in: self.length.map(|length| length.saturating_sub(elapsed)),
            colour: colour_wanted(std::env::var_os("NO_COLOR").as_deref()),
        }
    }

    /// Lets the daemon read what was produced before the traffic ended.
    fn last_read(&mut self, daemon: &Daemon<'_>, stage: &Stage, ended: impl Fn() -> bool) {
        let until = Instant::now() + LAST_READ;
        while Instant::now() < until && !ended() {
            obey(&daemon.telemetry.view(), stage);
            if stage.consumed.load(Ordering::Relaxed) >= stage.produced.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(FRAME / 4);
        }
    }
}

/// Passes on how much was read, and a rollback that was decided: dry run or not, the demo's
/// generator stands for the system that would carry it out.
fn obey(view: &View, stage: &Stage) {
    let consumed: u64 = view.accounting.values().map(|topic| topic.records).sum();
    stage.consumed.store(consumed, Ordering::Relaxed);
    let done = |state: &str| {
        ["applied", "verifying", "recovered", "not_recovered", "verify_inconclusive"].contains(&state)
    };
    let rollback = view.actions.iter().rev().find(|action| action.kind == "rollback" && done(&action.state));
    if let Some(version) = rollback.and_then(|action| action.to_version.clone()) {
        *stage.rollback.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(version);
    }
}
