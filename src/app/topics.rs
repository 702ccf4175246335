//! `plimsoll topics create`: plimsoll's own topics, made by somebody who may, before any daemon runs;
//! and what they are or would be, as a table.

use std::fmt;
use std::time::Duration;

use anyhow::Context;

use super::wiring;
use crate::config::Config;
use crate::exchange::topics::{Outcome, Retention, Status, Topic, inspect};

/// How long the broker may take for each answer, where something is to be made.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same where nothing is, and the broker need not be there.
const CURIOSITY: Duration = Duration::from_secs(3);

/// What became of the topics.
#[derive(Debug)]
pub struct Report {
    dry_run: bool,
    topics: Vec<Topic>,
    /// What was found of each, or why the broker was not to be asked.
    found: Result<Vec<Outcome>, String>,
}

/// Makes plimsoll's own topics where they are missing, or, in a `dry_run`, only looks.
///
/// # Errors
/// When the configuration names no brokers, or, unless it is a dry run, they do not answer.
pub fn create(config: &Config, dry_run: bool) -> anyhow::Result<Report> {
    let kafka = config.require_kafka()?;
    let topics = wiring::own_topics(config);
    let client = wiring::connection(kafka).client_config();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start what waits for the broker")?;
    let timeout = if dry_run { CURIOSITY } else { PATIENCE };
    let found = match runtime.block_on(inspect(&client, &topics, !dry_run, timeout)) {
        Ok(found) => Ok(found),
        Err(error) if dry_run => Err(error.to_string()),
        Err(error) => return Err(error).context(format!("{} cannot be asked for topics", kafka.brokers)),
    };
    Ok(Report { dry_run, topics, found })
}

impl Report {
    /// Whether every topic is there, or would be made, and can serve.
    pub fn is_good(&self) -> bool {
        let Ok(found) = &self.found else { return true };
        found
            .iter()
            .all(|outcome| outcome.faults.is_empty() && (self.dry_run || outcome.status != Status::Missing))
    }

    fn rows(&self) -> impl Iterator<Item = [String; 5]> {
        let heads = ["topic", "partitions", "copies", "kept", "state"].map(str::to_owned);
        let rows = self.topics.iter().enumerate().map(|(at, topic)| {
            let outcome = self.found.as_ref().ok().and_then(|found| found.get(at));
            let (partitions, copies) = match outcome.map(|outcome| &outcome.status) {
                Some(Status::Exists { partitions, replication_factor }) => {
                    (Some(*partitions), Some(*replication_factor))
                }
                _ => (topic.partitions, topic.replication_factor),
            };
            let number =
                |number: Option<i32>| number.map_or("broker's".to_owned(), |number| number.to_string());
            let state = outcome.map_or("not asked", |outcome| self.state(outcome));
            [topic.name.clone(), number(partitions), number(copies), kept(topic.retention), state.to_owned()]
        });
        std::iter::once(heads).chain(rows)
    }

    fn state(&self, outcome: &Outcome) -> &'static str {
        match &outcome.status {
            Status::Created => "created",
            Status::Missing if self.dry_run => "would be created",
            Status::Missing => "missing",
            Status::Exists { .. } if !outcome.faults.is_empty() => "exists, cannot serve",
            Status::Exists { .. } if !outcome.differences.is_empty() => "exists, differs",
            Status::Exists { .. } => "exists",
            Status::Unknown => "unknown",
        }
    }
}

/// What becomes of old messages, as the topic is made.
fn kept(retention: Retention) -> String {
    match retention {
        Retention::Delete => "broker's".to_owned(),
        Retention::For(span) => humantime::format_duration(span).to_string(),
        Retention::Forever => "for ever".to_owned(),
        Retention::Compact => "newest of a key".to_owned(),
    }
}

impl fmt::Display for Report {
    /// A table, then what differs and what is wrong, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 5]> = self.rows().collect();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3].map(width);
        for [topic, partitions, copies, kept, state] in &rows {
            let [a, b, c, d] = widths;
            writeln!(f, "{topic:a$}  {partitions:>b$}  {copies:>c$}  {kept:d$}  {state}")?;
        }
        match &self.found {
            Err(reason) => writeln!(f, "note: the broker did not say what exists: {reason}")?,
            Ok(found) => {
                for outcome in found {
                    for difference in &outcome.differences {
                        writeln!(f, "note: {}: {difference}", outcome.topic)?;
                    }
                }
                for fault in found.iter().flat_map(|outcome| &outcome.faults) {
                    writeln!(f, "error: {fault}")?;
                }
            }
        }
        if self.dry_run { writeln!(f, "dry run: nothing was made") } else { Ok(()) }
    }
}
