//! A pane of a model with two hundred numeric features that a sequential policy follows: the step of
//! their detectors, 228 bets each, and the whole evaluation around it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use plimsoll::app::compile::topics;
use plimsoll::check::sequential::{Detectors, PaneOf, Starts};
use plimsoll::config::{self, Config};
use plimsoll::domain::{Accounting, EventTime, ModelKey, Segment};
use plimsoll::engine::{Evaluator, Offsets, PaneDelta, Progress, SourceProgress};
use plimsoll::sketch::Summary;

use super::model;

const FEATURES: usize = 200;
const PANE: Duration = Duration::from_secs(300);
/// Rows of the reference, and of the pane.
const REFERENCE: usize = 2_000;
const ROWS: usize = 500;

fn configuration() -> Config {
    let mut features = String::new();
    for number in 0..FEATURES {
        let _ = writeln!(features, "      - {{name: f{number:03}, from: /f{number:03}, type: numeric}}");
    }
    let text = format!(
        r#"
topics: [{{name: inference, model: /model}}]
models:
  - name: {name}
    topics: [inference]
    task: binary
    version: /version
    time: {{from: /ts, unit: ms}}
    prediction: {{from: /prediction, positive: "1"}}
    features:
{features}
    profile: given.json
    pane: 5m
    checks:
      - {{name: psi, metric: psi, of: features, window: 5m, slide: 5m, tolerance: 0.01}}
policies:
  - {{name: drift, model: {name}, checks: [psi], decide: sequential}}
"#,
        name = model::NAME
    );
    config::parse(&text, Path::new("bench.yaml"), []).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Rows whose features take every value equally often.
fn lines(count: usize, offset: usize) -> Vec<Vec<u8>> {
    let line = |row: usize| {
        let mut text = format!(r#"{{"model":"{}","version":"v3","ts":1000,"prediction":"1""#, model::NAME);
        for feature in 0..FEATURES {
            let value = (row * 7919 + feature * 31 + offset) % 1_000;
            let _ = write!(text, r#","f{feature:03}":0.{value:03}"#);
        }
        text.push('}');
        text.into_bytes()
    };
    (0..count).map(line).collect()
}

pub(super) fn benches(criterion: &mut Criterion) {
    let config = configuration();
    let reference = lines(REFERENCE, 0);
    let profile = model::reference(&config, reference.iter().map(Vec::as_slice));
    let profiles = BTreeMap::from([(model::NAME.to_owned(), profile)]);
    let topic = topics(&config, &profiles).expect("the model can run").swap_remove(0);
    let spec = &topic.models[0];
    let batch = model::batch(&mut model::decoder(&config, &topic), spec, &lines(ROWS, 17));
    let mut summary = Summary::new(&spec.layout);
    summary.update(&spec.coder.code(&batch), &(0..ROWS as u32).collect::<Vec<u32>>());

    let mut group = criterion.benchmark_group("sequential");
    group.bench_function("step_200_features", |bencher| {
        let mut detectors = Detectors::new(&spec.slots);
        let mut starts = vec![Starts::default(); spec.slots.len()];
        let mut start = EventTime::from_millis(0);
        bencher.iter(|| {
            detectors.step(&spec.slots, PaneOf::new(start, PANE), &summary, &mut starts, true);
            start = start + PANE;
        });
    });
    group.bench_function("pane_200_features", |bencher| {
        let key = ModelKey {
            tenant: None,
            model: spec.id.clone(),
            version: "v3".into(),
            segment: Segment::All,
            profile: spec.profile_hash(),
        };
        let source = model::partition();
        let mut evaluator = Evaluator::new([Arc::clone(spec)]);
        evaluator.expect(source.clone());
        let (mut pane, mut next) = (EventTime::from_millis(0), 0);
        bencher.iter(|| {
            let offsets = Offsets { from: next, to: next + ROWS as i64 };
            next = offsets.to;
            evaluator.merge(PaneDelta {
                source: source.clone(),
                offsets,
                key: key.clone(),
                layout: spec.layout_id,
                pane,
                summary: summary.clone(),
            });
            pane = pane + PANE;
            let reached = SourceProgress {
                source: source.clone(),
                offsets: Some(offsets),
                watermark: Some(pane),
                idle: false,
                finished: false,
                counted: Accounting::default(),
                rejected: BTreeMap::new(),
            };
            evaluator.advance(&Progress { sources: vec![reached], ..Progress::default() }).findings.len()
        });
    });
    group.finish();
}
