//! `plimsoll explain`: a breach in words, computed again from what the finding itself says.
//!
//! Whoever is woken by an alarm wants to know what was seen, what would have been no fault, how sure
//! it is and which part of the data it came from; whoever audits it wants to know that the numbers
//! follow from each other. Both read the same finding, from a file or from a running daemon, and
//! nothing else: no configuration, no reference, no traffic.

mod line;
mod read;
mod silent;
mod text;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::Serialize;

use crate::api::client;
use crate::check::sequential::{Slot, recompute};
use crate::domain::{EventTime, Finding};

pub use line::alarm_line;
pub use silent::Silent;

/// Where a daemon listens unless it is configured otherwise.
pub const DAEMON: &str = "http://127.0.0.1:9464";

/// Findings that a daemon is asked for at a time; it gives no more.
const MOST: &str = "10000";

/// Which findings.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this model.
    pub model: Option<String>,
    /// Of this version.
    pub version: Option<String>,
    /// Of this check.
    pub check: Option<String>,
    /// About this feature, output, group or attribute.
    pub scope: Option<String>,
    /// Also those without an alarm.
    pub all: bool,
}

impl Filter {
    fn takes(&self, finding: &Finding) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|it| it == found);
        let scope = |wanted: &String| {
            *wanted == finding.scope.to_string() || *wanted == Slot::key_of(finding.metric, &finding.scope)
        };
        let alarm = finding.sequential.as_ref().is_some_and(|sequential| sequential.evidence.is_some());
        (self.all || alarm)
            && is(&self.model, finding.model.as_str())
            && is(&self.version, finding.version.as_str())
            && is(&self.check, &finding.check)
            && self.scope.as_ref().is_none_or(scope)
    }
}

/// Where findings are.
#[derive(Clone, Debug)]
pub enum Whence {
    /// In a file: findings, decisions or entries of the audit log.
    File(PathBuf),
    /// On standard input, likewise.
    Stdin,
    /// At a running daemon.
    Daemon(String),
}

/// A decision that an alarm led to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decided {
    /// Its id.
    pub id: String,
    /// What the policy says.
    pub kind: String,
    /// The policy.
    pub policy: String,
}

/// What computing an alarm again gave.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Whether the alarm follows from its own numbers.
    pub agrees: bool,
    /// `ln e` as computed; none for confidence sequences, where components are left out, and where it
    /// does not agree.
    pub log_e: Option<f64>,
    /// Components that the record has left out, so that `ln e` cannot be computed from it.
    pub omitted: u64,
    /// Stored numbers that were computed again.
    pub numbers: usize,
    /// Largest distance of one of them from what was computed.
    pub largest_difference: f64,
    /// What does not follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discrepancy: Option<String>,
}

/// One finding, explained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// The decision that it is evidence of, where the input says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decided>,
    /// The finding as it was read.
    pub finding: Finding,
    /// The alarm computed again; none without one.
    pub recomputed: Option<Outcome>,
    /// What would have kept an e-detector silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_if: Option<Silent>,
}

impl Explained {
    fn new(finding: Finding, decision: Option<Decided>) -> Self {
        let recomputed = recompute::recompute_finding(&finding).map(|result| match result {
            Ok(done) => Outcome {
                agrees: true,
                log_e: done.log_e,
                omitted: done.omitted,
                numbers: done.numbers,
                largest_difference: done.largest_difference,
                discrepancy: None,
            },
            Err(error) => Outcome {
                agrees: false,
                log_e: None,
                omitted: 0,
                numbers: 0,
                largest_difference: 0.0,
                discrepancy: Some(error.to_string()),
            },
        });
        let agrees = recomputed.as_ref().is_some_and(|outcome| outcome.agrees);
        let evidence = finding.sequential.as_ref().and_then(|sequential| sequential.evidence.as_deref());
        let silent_if = evidence.filter(|_| agrees).and_then(silent::silent_if);
        Self { decision, finding, recomputed, silent_if }
    }

    /// When it happened: the pane of the alarm, else the window.
    fn at(&self) -> EventTime {
        let evidence = self.finding.sequential.as_ref().and_then(|it| it.evidence.as_deref());
        evidence.map_or(self.finding.window.end, |evidence| evidence.pane.end)
    }
}

/// All that was asked for, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Explanations {
    /// Findings that were read.
    pub findings: u64,
    /// Those that are explained.
    pub explained: Vec<Explained>,
}

impl Explanations {
    /// Whether every alarm follows from its own numbers.
    pub fn agrees(&self) -> bool {
        let mut outcomes = self.explained.iter().filter_map(|explained| explained.recomputed.as_ref());
        outcomes.all(|outcome| outcome.agrees)
    }

    /// As a JSON document.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("findings always have a JSON form")
    }
}

/// Reads findings and explains them.
///
/// # Errors
/// When the input cannot be read, or holds no finding.
pub fn explain(whence: &Whence, filter: &Filter) -> anyhow::Result<Explanations> {
    let mut all = Explanations::default();
    let mut take = |found: read::Found| {
        all.findings += 1;
        if filter.takes(&found.finding) {
            all.explained.push(Explained::new(found.finding, found.decision));
        }
    };
    let whose = match whence {
        Whence::File(path) => {
            let name = path.display().to_string();
            let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
            read::read(BufReader::new(file), &mut take).with_context(|| format!("cannot read {name}"))?;
            name
        }
        Whence::Stdin => {
            let input: &mut dyn Read = &mut std::io::stdin().lock();
            read::read(BufReader::new(input), &mut take).context("cannot read standard input")?;
            "standard input".to_owned()
        }
        Whence::Daemon(url) => {
            for answer in ask(url, filter)? {
                read::read(answer.as_bytes(), &mut take)
                    .with_context(|| format!("{url} gave no findings"))?;
            }
            url.clone()
        }
    };
    if all.findings == 0 && !matches!(whence, Whence::Daemon(_)) {
        bail!("{whose} holds no finding");
    }
    all.explained.sort_by_cached_key(|it| {
        let Finding { model, version, check, scope, segment, .. } = &it.finding;
        (it.at(), model.clone(), version.clone(), check.clone(), scope.clone(), segment.clone())
    });
    // A finding and the evidence of the decision that it led to are two records of the same.
    all.explained.dedup_by(|later, first| {
        let same = later.finding == first.finding;
        if same && first.decision.is_none() {
            first.decision = later.decision.take();
        }
        same
    });
    Ok(all)
}

/// Recent findings, and the decisions, whose evidence is kept for longer.
fn ask(url: &str, filter: &Filter) -> anyhow::Result<[String; 2]> {
    let mut parameters = vec![("limit", MOST)];
    parameters.extend(filter.model.as_deref().map(|model| ("model", model)));
    parameters.extend(filter.version.as_deref().map(|version| ("version", version)));
    let mut findings = parameters.clone();
    findings.extend(filter.check.as_deref().map(|check| ("check", check)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        Ok([
            client::get(url, "/api/v1/findings", &findings).await?,
            client::get(url, "/api/v1/decisions", &parameters).await?,
        ])
    })
}
