//! The model that the rows belong to, configured as a user would: sixteen features, two protected
//! attributes and their intersection, every family of checks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use plimsoll::app::compile::{file_limits, topics};
use plimsoll::app::pipeline::TopicSpec;
use plimsoll::app::profiling::Freezer;
use plimsoll::config::{self, Config};
use plimsoll::domain::SourcePartition;
use plimsoll::engine::ModelSpec;
use plimsoll::ingest::decoder::{Decoder, Limits};
use plimsoll::ingest::source::RawRecord;
use plimsoll::profile::Profile;
use plimsoll::record::{BatchBuilder, InferenceBatch};

use super::rows;

/// Its name.
pub(super) const NAME: &str = "credit-risk";

/// Checks, each asked of windows of ten seconds: ten thousand rows.
const CHECKS: [&str; 17] = [
    r#"{name: psi, metric: psi, of: features, bound: "<= 0.1"}"#,
    r#"{name: ks, metric: kolmogorov_smirnov, of: NUMERIC, bound: "<= 0.1"}"#,
    r#"{name: w1, metric: wasserstein_normalized, of: NUMERIC, bound: "<= 0.1"}"#,
    r#"{name: js, metric: jensen_shannon, of: features, bound: "<= 0.1"}"#,
    r#"{name: score-psi, metric: psi, of: score, bound: "<= 0.1"}"#,
    r#"{name: nulls, metric: null_rate, of: features, bound: "<= 0.05"}"#,
    r#"{name: invalid, metric: invalid_rate, of: features, bound: "<= 0.01"}"#,
    r#"{name: range, metric: out_of_range_rate, of: NUMERIC, bound: "<= 0.01"}"#,
    r#"{name: unseen, metric: unseen_rate, of: [c0, c1, c2, c3], bound: "<= 0.01"}"#,
    r#"{name: selection, metric: selection_rate_ratio, groups: [sex, race, "sex*race"], bound: ">= 0.8", min_group: 50}"#,
    r#"{name: opportunity, metric: true_positive_rate_difference, groups: [sex, race], bound: "<= 0.1", min_group: 50}"#,
    r#"{name: odds, metric: equalized_odds_difference, groups: [sex, race], bound: "<= 0.1", min_group: 50}"#,
    r#"{name: accuracy, metric: accuracy, bound: ">= 0.6"}"#,
    r#"{name: brier, metric: brier, bound: "<= 0.25"}"#,
    r#"{name: log-loss, metric: log_loss, bound: "<= 0.7"}"#,
    r#"{name: calibration, metric: expected_calibration_error, bound: "<= 0.05"}"#,
    r#"{name: traffic, metric: traffic_volume}"#,
];

/// The configuration of the model.
pub(super) fn configuration() -> Config {
    let numeric: Vec<String> = (0..12).map(|number| format!("f{number:02}")).collect();
    let feature =
        |name: &str, kind: &str| format!("      - {{name: {name}, from: /features/{name}, type: {kind}}}\n");
    let features: String = numeric
        .iter()
        .map(|name| feature(name, "numeric"))
        .chain(["c0", "c1", "c2", "c3"].map(|name| feature(name, "categorical")))
        .collect();
    let checks: String = CHECKS
        .iter()
        .map(|check| {
            let check = check.replace("NUMERIC", &format!("[{}]", numeric.join(", ")));
            format!("      - {}, window: 10s, slide: 10s}}\n", check.trim_end_matches('}'))
        })
        .collect();
    let text = format!(
        r#"
topics:
  - {{name: inference, model: /model, allowed_lateness: 10s}}
models:
  - name: {NAME}
    topics: [inference]
    task: binary
    version: /version
    time: {{from: /ts, unit: ms}}
    id: /request_id
    prediction: {{from: /prediction, positive: "1"}}
    score: /score
    label: /label
    features:
{features}    groups:
      - {{name: sex, from: /protected/sex, values: [F, M]}}
      - {{name: race, from: /protected/race, values: [A, B, C, D, E]}}
    intersections: [[sex, race]]
    profile: given.json
    pane: 5s
    checks:
{checks}
policies:
  - name: drift
    model: {NAME}
    checks: [psi, ks]
    decide: window
    window_may_act: true
    violate: {{windows: 3, of: 4}}
    clear: {{windows: 3}}
    mode: auto
    actions: [retrain]
actions:
  - {{name: retrain, kind: retrain, target: dry_run}}
"#
    );
    config::parse(&text, Path::new("bench.yaml"), []).unwrap_or_else(|errors| panic!("{errors}"))
}

/// A reference of `lines`.
pub(super) fn reference<'a>(config: &Config, lines: impl Iterator<Item = &'a [u8]>) -> Profile {
    let mut freezer = Freezer::new(config, NAME).expect("the model is configured");
    for line in lines {
        freezer.take(line, || "a reference row".to_owned());
    }
    freezer.finish().expect("the reference has rows").profile
}

/// The topic and its model, with a reference of ten thousand generated rows.
pub(super) fn topic(config: &Config) -> TopicSpec {
    let lines = rows::lines(10_000, 1);
    let profile = reference(config, lines.iter().map(Vec::as_slice));
    let profiles = BTreeMap::from([(NAME.to_owned(), profile)]);
    topics(config, &profiles).expect("the model can run").swap_remove(0)
}

/// A decoder of the topic, as replay makes it, but for rows of any time: there is no clock here.
pub(super) fn decoder(config: &Config, topic: &TopicSpec) -> Decoder {
    Decoder::new(&topic.mapping, Limits { max_future: None, ..file_limits(config) })
}

/// The partition that everything comes from.
pub(super) fn partition() -> SourcePartition {
    SourcePartition::new("inference", 0)
}

/// A record of `partition` with this value.
pub(super) fn record<'a>(partition: &'a SourcePartition, value: &'a [u8]) -> RawRecord<'a> {
    RawRecord { partition, offset: 0, key: None, value: Some(value), headers: &[] }
}

/// The rows of `lines` as one batch.
pub(super) fn batch(decoder: &mut Decoder, model: &ModelSpec, lines: &[Vec<u8>]) -> InferenceBatch {
    let partition = partition();
    let mut builder = BatchBuilder::new(Arc::clone(&model.schema));
    for line in lines {
        let decoded = decoder.decode(&record(&partition, line), 0).expect("generated rows can be read");
        for (row, time) in decoded.times().iter().enumerate() {
            builder.append(*time, decoded.tenant(row), decoded.version(row), decoded.cells(row));
        }
    }
    builder.finish()
}
