//! What detectors cost with two hundred features: bytes of state, and processor time of a pane.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll::check::sequential::{Detectors, PaneOf, Starts};
use plimsoll::domain::{Accounting, EventTime, SourcePartition};
use plimsoll::engine::{Evaluator, Offsets, PaneDelta, Progress, SourceProgress};
use serde_json::{Value, json};

use crate::checks::world::World;

const FEATURES: usize = 200;
const PANE: Duration = Duration::from_secs(300);

fn world() -> World {
    let names: Vec<String> = (0..FEATURES).map(|number| format!("feature_{number:03}")).collect();
    let features: String = names
        .iter()
        .map(|name| format!("      - {{name: {name}, from: /{name}, type: numeric}}\n"))
        .collect();
    let text = format!(
        r#"
topics: [{{name: rows, model: /m}}]
models:
  - name: wide
    topics: [rows]
    task: binary
    version: /v
    time: {{from: /ts, unit: ms}}
    prediction: {{from: /p, positive: "yes"}}
    features:
{features}
    profile: given
    pane: 5m
    checks:
      - {{name: drift, metric: psi, of: features, window: 5m, slide: 5m, tolerance: 0.01}}
policies:
  - {{name: steady, model: wide, checks: [drift], decide: sequential}}
"#
    );
    World::new(&text, &rows(1_000, 0))
}

/// Rows whose features take every value equally often.
fn rows(count: usize, offset: usize) -> Vec<Value> {
    let row = |index: usize| {
        let mut row = json!({"m": "wide", "v": "1", "ts": 1_000, "p": "yes"});
        for feature in 0..FEATURES {
            let value = (index * 7919 + feature * 31 + offset) % 1_000;
            row[format!("feature_{feature:03}")] = json!(value as f64 / 1_000.0);
        }
        row
    };
    (0..count).map(row).collect()
}

/// Processor time of this thread, where the system tells it.
fn thread_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

#[test]
fn two_hundred_features_take_two_kilobytes_each_and_a_pane_a_few_milliseconds() {
    let world = world();
    let spec = &world.spec;
    assert_eq!(spec.slots.len(), FEATURES);
    assert!(spec.slots.iter().all(|slot| slot.bets() == 228 && slot.shadow.is_none()));
    let mut detectors = Detectors::new(&spec.slots);
    let bytes = detectors.size() / FEATURES;
    assert!((1_824..2_200).contains(&bytes), "{bytes} bytes a feature");

    let pane = world.count(&rows(500, 17));
    let mut starts = vec![Starts::default(); FEATURES];
    let mut start = EventTime::from_millis(0);
    let mut least = Duration::MAX;
    for _ in 0..5 {
        let Some(before) = thread_time() else {
            eprintln!("SKIPPED: this system does not tell the processor time of a thread");
            return;
        };
        for _ in 0..10 {
            detectors.step(&spec.slots, PaneOf::new(start, PANE), &pane, &mut starts, true);
            start = start + PANE;
        }
        least = least.min((thread_time().unwrap() - before) / 10);
    }
    println!("{bytes} bytes of state a feature, {least:?} a pane of {FEATURES} features");
    assert!(least < Duration::from_millis(10), "a pane takes {least:?}");

    // The same with everything around it: windows, the numbers for eyes, answers, policies.
    let mut evaluator = Evaluator::new([std::sync::Arc::clone(spec)]);
    let source = SourcePartition::new("rows", 0);
    evaluator.expect(source.clone());
    let mut findings = 0;
    let before = thread_time().unwrap();
    for number in 0..20 {
        let offsets = Offsets { from: i64::from(number) * 500, to: i64::from(number + 1) * 500 };
        let pane_start = EventTime::from_millis(0) + PANE * number;
        let delta = PaneDelta {
            source: source.clone(),
            offsets,
            key: world.key(),
            layout: spec.layout_id,
            pane: pane_start,
            summary: pane.clone(),
        };
        evaluator.merge(delta);
        let reached = SourceProgress {
            source: source.clone(),
            offsets: Some(offsets),
            watermark: Some(pane_start + PANE),
            idle: false,
            finished: false,
            counted: Accounting::default(),
            rejected: BTreeMap::new(),
        };
        let progress = Progress { sources: vec![reached], ..Progress::default() };
        findings += evaluator.advance(&progress).findings.len();
    }
    println!("{:?} a pane with its windows and findings", (thread_time().unwrap() - before) / 20);
    assert_eq!(findings, 20 * FEATURES);
}
