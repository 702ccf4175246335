//! `plimsoll inspect`: what stands in plimsoll's own topics, as lines of JSON, for the engineer at
//! three in the morning. It joins no consumer group, commits nothing and shows only what was
//! committed, so that looking at a running system changes nothing in it.
//!
//! What cannot be read becomes a line that says why, and the next one follows: a broken record is the
//! more interesting the more of its neighbours can be seen.

mod line;
mod state;

use std::io::{ErrorKind, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;

use super::wiring;
use crate::config::{AuditStore, Config, Kafka};
use crate::exchange::reader::{self, Event, Range, Record};
use state::Kept;

pub use crate::exchange::reader::Whence;

/// How long brokers may be silent.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whose messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Counts and progress, from observers to evaluators.
    Partials,
    /// What evaluators must not forget: the newest record of each key.
    State,
    /// What policies want, from evaluators to the actor.
    Decisions,
    /// Findings, where `kafka.findings_topic` is set.
    Findings,
    /// Configurations that were loaded while running.
    Control,
    /// The audit log, where it is kept in Kafka.
    Audit,
}

/// Parses `beginning`, an offset, or `end-N`.
pub fn whence(text: &str) -> Result<Whence, String> {
    let count = |text: &str| i64::from_str(text).ok().filter(|count| *count >= 0);
    let found = match text {
        "beginning" => Some(Whence::Beginning),
        "end" => Some(Whence::BeforeEnd(0)),
        _ => match text.strip_prefix("end-") {
            Some(before) => count(before).map(Whence::BeforeEnd),
            None => count(text).map(Whence::Offset),
        },
    };
    found.ok_or_else(|| "write an offset, `beginning`, or `end-100` for the last 100 offsets".to_owned())
}

/// What to show.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whose messages.
    pub what: What,
    /// One partition; all of them without.
    pub partition: Option<i32>,
    /// Where to begin; at the beginning without. Never given for state, which is read whole.
    pub from: Option<Whence>,
    /// Lines after which to stop.
    pub limit: Option<u64>,
    /// Whether to go on after the end, until interrupted.
    pub follow: bool,
    /// Whether counts, machines and detectors are shown too.
    pub full: bool,
}

/// Prints what `options` ask for to `out`, one JSON object a line, and remarks to `remarks`. A reader
/// that stops early, as `head` does, ends it without an error.
///
/// # Errors
/// When there is no such topic, Kafka cannot be read, or nothing can be written.
pub fn inspect(
    config: &Config,
    options: &Options,
    out: &mut dyn Write,
    remarks: &mut dyn Write,
) -> anyhow::Result<()> {
    let kafka = config.require_kafka()?;
    if options.what == What::State && options.from.is_some() {
        bail!(
            "the state is the newest record of each key, so it is read from its beginning: leave `--from` out"
        );
    }
    let topic = topic(config, kafka, options.what)?;
    let range = Range {
        topic: &topic,
        partition: options.partition,
        whence: options.from.unwrap_or_default(),
        follow: options.follow,
        patience: PATIENCE,
    };
    let mut printer = Printer { out, left: options.limit, failed: None };
    let mut kept = Kept::default();
    let client = wiring::connection(kafka).client_config();
    if printer.left == Some(0) {
        return Ok(());
    }
    let result = reader::read(&client, &range, &mut |event| match event {
        Event::Open { partition, offset, hidden } => {
            // Nothing can be done where even a remark cannot be printed.
            let _printed = writeln!(
                remarks,
                "note: {topic}/{partition} has an open transaction at offset {offset}; up to {hidden} offsets from there on are not shown"
            );
            ControlFlow::Continue(())
        }
        Event::Record(record) if options.what == What::State => {
            kept.take(record.partition, record.key, record.value);
            ControlFlow::Continue(())
        }
        Event::Record(record) => printer.print(&shown(options, &record)),
        Event::CaughtUp => {
            kept.changed(options.full).iter().try_for_each(|line| printer.print(line))?;
            printer.flush()
        }
    });
    if let Some(error) = printer.failed {
        return match error.kind() {
            ErrorKind::BrokenPipe => Ok(()),
            _ => Err(error).context("cannot write what was read"),
        };
    }
    result.with_context(|| format!("cannot inspect the topic {topic}"))
}

/// One record as a line.
fn shown(options: &Options, record: &Record<'_>) -> String {
    let place = line::Place::new(record.partition, record.offset, record.millis);
    let value = record.value;
    match options.what {
        What::Partials => line::partial(place, value, options.full),
        What::Decisions => line::decision(place, value),
        What::Findings => line::finding(place, value),
        What::Audit => line::entry(place, value),
        What::Control | What::State => line::control(place, record.key, value),
    }
}

fn topic(config: &Config, kafka: &Kafka, what: What) -> anyhow::Result<String> {
    Ok(match what {
        What::Partials => kafka.exchange.partials_topic(),
        What::State => kafka.exchange.state_topic(),
        What::Decisions => kafka.exchange.decisions_topic(),
        What::Control => kafka.exchange.control_topic(),
        What::Findings => kafka.findings_topic.clone().context(
            "findings are not written to Kafka (`kafka.findings_topic`): ask a running daemon, /api/v1/findings",
        )?,
        What::Audit => match &config.audit.store {
            AuditStore::Kafka { topic, .. } => topic.clone(),
            AuditStore::File { path, .. } => bail!("the audit log is the file {}: read it there", Path::display(path)),
        },
    })
}

/// Writes lines until there are enough, or nobody reads them.
struct Printer<'a> {
    out: &'a mut dyn Write,
    left: Option<u64>,
    failed: Option<std::io::Error>,
}

impl Printer<'_> {
    fn print(&mut self, line: &str) -> ControlFlow<()> {
        let written = writeln!(self.out, "{line}");
        self.left = self.left.map(|left| left.saturating_sub(1));
        match written {
            Ok(()) if self.left != Some(0) => ControlFlow::Continue(()),
            Ok(()) => {
                let _ended = self.flush();
                ControlFlow::Break(())
            }
            Err(error) => self.fail(error),
        }
    }

    fn flush(&mut self) -> ControlFlow<()> {
        match self.out.flush() {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: std::io::Error) -> ControlFlow<()> {
        self.failed = Some(error);
        ControlFlow::Break(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, as a pipe whose reader goes away does.
    struct Pipe(usize);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn beginnings_are_words_offsets_or_counted_from_the_end() {
        assert_eq!(whence("beginning"), Ok(Whence::Beginning));
        assert_eq!(whence("1234"), Ok(Whence::Offset(1234)));
        assert_eq!(whence("end-20"), Ok(Whence::BeforeEnd(20)));
        assert_eq!(whence("end"), Ok(Whence::BeforeEnd(0)));
        for wrong in ["-1", "end-", "end--3", "start", "", "end-x"] {
            assert!(whence(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn it_stops_after_so_many_lines_and_when_nobody_reads_any_more() {
        let mut out = Vec::new();
        let mut printer = Printer { out: &mut out, left: Some(2), failed: None };
        assert!(printer.print("a").is_continue());
        assert!(printer.print("b").is_break());
        assert_eq!(out, b"a\nb\n");
        let mut pipe = Pipe(3);
        let mut printer = Printer { out: &mut pipe, left: None, failed: None };
        assert!(printer.print("a").is_continue());
        assert!(printer.print("b").is_break());
        assert_eq!(printer.failed.map(|error| error.kind()), Some(ErrorKind::BrokenPipe));
    }
}
