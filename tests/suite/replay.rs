//! Real data through the command's own path: a configuration text, a reference frozen from files, a
//! replay into a folder, and the findings that stand in it afterwards. The figures are held against
//! what scipy, scikit-learn and fairlearn computed on the same files.
//!
//! Nothing of the reference data is kept: what a test has to cut or join goes to a temporary folder.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod drift;
mod employment;
mod fairness;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll::app::files::RowTime;
use plimsoll::app::replay::{Options, Report, read_findings, replay};
use plimsoll::app::{profiling, replay as command};
use plimsoll::config::{self, Config};
use plimsoll::domain::{EventTime, Finding, Scope, Segment};
use plimsoll::profile::Profile;
use plimsoll::query::files;
use serde_json::Value;

use super::support::shared;

/// Statistics are compared to 1e-9, p-values to 1e-8, rates of counts to 1e-12.
const STATISTIC: f64 = 1e-9;
const PROBABILITY: f64 = 1e-8;
const RATE: f64 = 1e-12;

fn golden(file: &str) -> Option<Value> {
    let text = fs::read_to_string(shared(&format!("golden/{file}"))?).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

#[track_caller]
fn near(found: Option<f64>, expected: &Value, tolerance: f64, what: &str) {
    let expected = expected.as_f64().unwrap_or_else(|| panic!("{what}: no golden number"));
    let found = found.unwrap_or_else(|| panic!("{what}: no value where {expected} was expected"));
    assert!((found - expected).abs() <= tolerance, "{what}: found {found}, expected {expected}");
}

/// The same, relative to a number that is not 0.
#[track_caller]
fn near_relative(found: Option<f64>, expected: &Value, tolerance: f64, what: &str) {
    near(found, expected, tolerance * expected.as_f64().unwrap_or(0.0).abs(), what);
}

/// The rows of a file, each as a JSON object.
fn rows(file: &Path) -> Vec<Value> {
    let mut all = Vec::new();
    let sink = &mut |_: &Path, _: u64, row: &[u8]| {
        all.push(serde_json::from_slice(row).unwrap());
        ControlFlow::Continue(())
    };
    files::rows(&[file.to_owned()], sink).unwrap();
    all
}

/// A folder that a story happens in; it goes when the story ends.
pub(super) struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn config(&self, text: &str) -> Config {
        config::parse(text, &self.path("plimsoll.yaml"), []).unwrap_or_else(|errors| panic!("{errors}"))
    }

    pub(super) fn write<'a>(&self, name: &str, rows: impl IntoIterator<Item = &'a Value>) -> PathBuf {
        let path = self.path(name);
        let mut file = BufWriter::new(fs::File::create(&path).unwrap());
        for row in rows {
            serde_json::to_writer(&mut file, row).unwrap();
            file.write_all(b"\n").unwrap();
        }
        file.flush().unwrap();
        path
    }

    /// Freezes the reference and writes it where the configuration names it, `reference.json`.
    pub(super) fn freeze(&self, config: &Config, inputs: &[PathBuf]) -> Profile {
        let frozen = profiling::freeze(config, &config.models[0].name, inputs).unwrap();
        assert_eq!((frozen.rejected, frozen.first_rejected), (0, None));
        fs::write(self.path("reference.json"), frozen.profile.to_json()).unwrap();
        frozen.profile
    }

    /// Replays `inputs`, whose rows all have to be usable.
    pub(super) fn replay(
        &self,
        config: &Config,
        inputs: &[PathBuf],
        row_time: Option<RowTime>,
    ) -> (Report, Vec<Finding>) {
        let output = self.path("out");
        let options = Options {
            inputs: inputs.to_vec(),
            topic: None,
            output: output.clone(),
            row_time,
            progress: false,
        };
        let report = replay(config, &options, &BTreeMap::new()).unwrap();
        let counts = report.accounting;
        assert_eq!((counts.rejected, counts.late, counts.used), (0, 0, counts.records), "{report}");
        let findings = read_findings(&output).unwrap();
        assert_eq!(findings.len() as u64, report.findings.values().sum::<u64>());
        for finding in &findings {
            sane(finding);
        }
        (report, findings)
    }
}

/// What holds for every finding, whatever the data: it has an answer or says why not, its numbers
/// are numbers, and it survives being written and read.
#[track_caller]
pub(super) fn sane(finding: &Finding) {
    let all = [finding.value, finding.p_value, finding.expected];
    let mut numbers = all.into_iter().flatten().chain(finding.interval.into_iter().flatten());
    assert!(numbers.all(f64::is_finite), "{finding:?}");
    assert!(finding.p_value.is_none_or(|p| (0.0..=1.0).contains(&p)), "{finding:?}");
    let text = serde_json::to_string(finding).unwrap();
    assert_eq!(serde_json::from_str::<Finding>(&text).unwrap(), *finding, "{text}");
    assert_eq!(finding.bound.is_some(), finding.verdict.is_some(), "{finding:?}");
    assert!(finding.value.is_some() || finding.reason.is_some(), "{finding:?}");
    if let (Some(value), Some([low, high])) = (finding.value, finding.interval) {
        assert!(low <= value && value <= high, "{finding:?}");
    }
}

/// A row a second from some midnight on: up to 86 400 rows are one day.
pub(super) fn by_row() -> Option<RowTime> {
    Some(RowTime { start: EventTime::from_millis(1_577_836_800_000), every: Duration::from_secs(1) })
}

fn of_feature<'a>(findings: &'a [Finding], check: &str, feature: &str) -> &'a Finding {
    let scope = Scope::Feature { feature: feature.to_owned() };
    only(findings.iter().filter(|finding| finding.check == check && finding.scope == scope), check)
}

fn of_model<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    only(findings.iter().filter(|finding| finding.check == check), check)
}

/// Findings of one check about one attribute or intersection, in all of the traffic.
fn of_group<'a>(findings: &'a [Finding], check: &str, name: &str) -> Vec<&'a Finding> {
    let about = |finding: &&Finding| {
        finding.check == check
            && finding.segment == Segment::All
            && matches!(&finding.scope, Scope::Group { group, .. } if group == name)
    };
    findings.iter().filter(about).collect()
}

#[track_caller]
fn only<'a>(mut findings: impl Iterator<Item = &'a Finding>, what: &str) -> &'a Finding {
    let first = findings.next().unwrap_or_else(|| panic!("no finding of {what}"));
    assert_eq!(findings.next(), None, "{what}: one window, one finding");
    first
}

#[test]
fn a_replay_names_what_it_cannot_start_with() {
    let stage = Stage::new();
    let text = "
topics: [{name: a, model: '=m'}, {name: b, model: '=m'}]
models: [{name: m, topics: [a, b], task: binary, version: '=1', time: /t}]
";
    let config = stage.config(text);
    let run = |topic: Option<&str>, input: &str| {
        let options = Options {
            inputs: vec![stage.path(input)],
            topic: topic.map(str::to_owned),
            output: stage.path("out"),
            row_time: None,
            progress: false,
        };
        command::replay(&config, &options, &BTreeMap::new()).unwrap_err().to_string()
    };
    assert!(run(None, "x.csv").contains("--topic"), "two topics: one has to be named");
    assert!(run(Some("c"), "x.csv").contains("a, b"));
    assert!(run(Some("a"), "x.csv").contains("x.csv"));
}
