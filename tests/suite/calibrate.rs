//! Calibration as a user meets it: a reference and three clean days in files, the command, and its
//! file put to use. The rate of nulls follows the day, so that without a tolerance healthy traffic
//! alarms.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use plimsoll::app::calibrate::{Input, Options, Report, apply, calibrate};
use plimsoll::app::compile::{file_limits, topics};
use plimsoll::app::pipeline::{Counting, Pipeline};
use plimsoll::check::sequential::{Slot, slots};
use plimsoll::config::Config;
use plimsoll::domain::{EventTime, Metric, SourcePartition};
use plimsoll::engine::ModelSpec;
use plimsoll::ingest::source::{Assigned, RawRecord, SourceEvent};
use plimsoll::profile::{Calibration, Profile};
use plimsoll::sketch::Summary;
use plimsoll::stats::edetector::{Detector, Part, Side, threshold};
use serde_json::{Value, json};

use super::replay::Stage;
use crate::support::Stream;

/// A Monday, 00:00 UTC.
pub(super) const START: i64 = 1_704_067_200_000;
pub(super) const MINUTE: i64 = 60_000;
const DAY: i64 = 1_440 * MINUTE;
/// Panes of a quarter of an hour, and rows in each.
const PANE: i64 = 15 * MINUTE;
const ROWS: i64 = 120;

pub(super) const MODEL: &str = r#"
topics: [{name: t, model: /model, allowed_lateness: 0s}]
models:
  - name: credit
    topics: [t]
    task: binary
    version: /v
    time: {from: /at, unit: ms}
    prediction: {from: /p, positive: "yes"}
    features: [{name: income, from: /income, type: numeric}]
    groups: [{name: sex, from: /sex, values: [F, M]}]
    profile: reference.json
    calibration: nowhere/yet.yaml
    pane: 15m
    checks:
      - {name: nulls, metric: null_rate, of: [income], window: 1h}
      - {name: drift, metric: psi, of: [income], window: 1h}
      - {name: level, metric: selection_rate, window: 1h}
      - {name: ratio, metric: selection_rate_ratio, window: 1h, bound: ">= 0.8"}
      - {name: volume, metric: traffic_volume, window: 1h}
"#;

/// A healthy row at `at`: 10 % nulls on average, 4 % more or less with the hour.
pub(super) fn row(stream: &mut Stream, at: i64, version: &str) -> Value {
    let phase = std::f64::consts::TAU * (at.rem_euclid(DAY)) as f64 / DAY as f64;
    let null = stream.uniform() < 0.1 + 0.04 * phase.sin();
    let income = stream.uniform();
    json!({
        "model": "credit",
        "v": version,
        "at": at,
        "p": if stream.uniform() < 0.4 { "yes" } else { "no" },
        "income": if null { Value::Null } else { json!(income) },
        "sex": if stream.uniform() < 0.5 { "F" } else { "M" },
    })
}

/// The rows of `days` days from day `first` on.
pub(super) fn days(seed: u64, first: i64, days: i64, version: &str) -> Vec<Value> {
    let stream = &mut Stream(seed);
    let step = PANE / ROWS;
    (0..days * DAY / step).map(|i| row(stream, START + first * DAY + i * step, version)).collect()
}

/// A stage with a reference in it: 20 000 rows over four days.
pub(super) fn stage(text: &str) -> (Stage, Config, Profile) {
    let stage = Stage::new();
    let config = stage.config(text);
    let stream = &mut Stream(1);
    let rows: Vec<Value> =
        (0..20_000).map(|i| row(stream, START - 4 * DAY + i * 4 * DAY / 20_000, "v0")).collect();
    let file = stage.write("reference.ndjson", &rows);
    let profile = stage.freeze(&config, &[file]);
    (stage, config, profile)
}

fn options(stage: &Stage, files: Vec<PathBuf>) -> Options {
    Options {
        model: "credit".to_owned(),
        input: Input::Files { files, row_time: None },
        topic: None,
        from: None,
        until: None,
        hourly: false,
        output: stage.path("calibration/credit.yaml"),
        progress: false,
    }
}

fn run(stage: &Stage, config: &Config, files: Vec<PathBuf>) -> Report {
    calibrate(config, &options(stage, files), &BTreeMap::new()).unwrap()
}

/// The model as it is compiled without its calibration.
fn compiled(config: &Config) -> ModelSpec {
    let mut config = config.clone();
    config.models[0].calibration = None;
    let topics = topics(&config, &BTreeMap::new()).unwrap();
    ModelSpec::clone(&topics[0].models[0])
}

/// Its slots with the tolerances of a calibration.
fn calibrated(spec: &ModelSpec, calibration: &Calibration, pane: Duration) -> Vec<Slot> {
    let mut checks = spec.checks.clone();
    let profile = spec.profile.as_deref().unwrap();
    apply(calibration, &spec.id, pane, &mut checks, &spec.layout, profile);
    slots(&checks, &spec.layout, Some(profile), false)
}

/// Alarms of each slot over `rows`, at a threshold of one false alarm in a thousand panes.
fn alarms(config: &Config, slots: &[Slot], rows: &[Value]) -> BTreeMap<String, usize> {
    let mut without = config.clone();
    without.models[0].calibration = None;
    let mut counting = Counting::new(topics(&without, &BTreeMap::new()).unwrap(), file_limits(config));
    let partition = SourcePartition::new("t", 0);
    let assigned = Assigned { partition: partition.clone(), offset: None, metadata: None };
    counting.handle(SourceEvent::Assigned(vec![assigned]), START, &mut |_, why| panic!("{why:?}"));
    for (offset, row) in rows.iter().enumerate() {
        let value = row.to_string();
        let record = RawRecord {
            partition: &partition,
            offset: offset as i64,
            key: None,
            value: Some(value.as_bytes()),
            headers: &[],
        };
        let now = row["at"].as_i64().unwrap();
        counting.handle(SourceEvent::Record(record), now, &mut |_, why| panic!("{why:?}"));
    }
    let mut panes: BTreeMap<EventTime, Summary> = BTreeMap::new();
    for delta in counting.flush(START).deltas {
        match panes.get_mut(&delta.pane) {
            Some(summary) => summary.merge(&delta.summary),
            None => drop(panes.insert(delta.pane, delta.summary)),
        }
    }
    let limit = threshold(1_000.0, 1.0).ln();
    let mut found = BTreeMap::new();
    for slot in slots.iter().filter(|slot| !slot.components().is_empty()) {
        let mut detector = Detector::of(slot.components());
        let mut readings = Vec::new();
        for (start, summary) in &panes {
            slot.read(summary, &mut readings);
            detector.step(slot.components(), &readings, start.hour_of_week());
            if detector.log_e() >= limit {
                *found.entry(format!("{} {}", slot.name, slot.scope)).or_default() += 1;
                detector.reset();
            }
        }
    }
    found
}

#[test]
fn three_clean_days_give_tolerances_with_which_healthy_traffic_raises_no_alarm() {
    let (stage, config, profile) = stage(MODEL);
    let rows = days(2, 0, 3, "v1");
    let report = run(&stage, &config, vec![stage.write("clean.ndjson", &rows)]);
    let made = &report.calibration;
    assert_eq!(
        (made.panes, made.rows, made.versions.as_slice()),
        (288, 34_560, ["v1".to_owned()].as_slice())
    );
    assert_eq!(made.warnings, Vec::<String>::new());
    assert_eq!(
        (made.from, made.until),
        (EventTime::from_millis(START), EventTime::from_millis(START + 3 * DAY))
    );
    assert_eq!(made.profile, profile.hash);
    let checks: Vec<&str> = made.checks.keys().map(String::as_str).collect();
    assert_eq!(checks, ["drift", "level", "nulls"], "a limit and a count need no calibration");
    assert_eq!(made.checks["drift"][0].components.len(), 38);
    assert_eq!(made.checks["level"].len(), 2, "a group, a scope");

    // 14 % at the peak, less what the bound of 20 000 reference rows allows: about 10.8 %.
    let above = made.checks["nulls"][0].components.iter().find(|it| it.side == Side::Above).unwrap();
    assert!((above.cycle + above.reference - 0.14).abs() < 0.012, "{above:?}");
    assert!(above.sd < 0.012 && (above.mean - 0.1).abs() < 0.005, "{above:?}");

    let bytes = fs::read(stage.path("calibration/credit.yaml")).unwrap();
    let read = Calibration::read(&bytes).unwrap();
    assert_eq!(read, *made);
    let spec = compiled(&config);
    let slots = calibrated(&spec, &read, spec.pane);
    for slot in &slots {
        assert_eq!(slot.shadow, None, "{} {}", slot.name, slot.scope);
    }
    let later = days(3, 3, 4, "v2");
    assert_eq!(alarms(&config, &slots, &later), BTreeMap::new());
    let mut bare = spec.checks.clone();
    for check in &mut bare {
        check.sequential.tolerances.everywhere = Some(0.0);
    }
    let bare = plimsoll::check::sequential::slots(&bare, &spec.layout, Some(&profile), false);
    assert!(alarms(&config, &bare, &later)["nulls income"] >= 4, "without a tolerance every day alarms");
}

#[test]
fn however_the_rows_are_spread_over_files_the_tolerances_are_the_same() {
    let (stage, config, _) = stage(MODEL);
    let rows = days(4, 0, 3, "v1");
    let whole = run(&stage, &config, vec![stage.write("all.ndjson", &rows)]);
    let odd = stage.write("odd.ndjson", rows.iter().skip(1).step_by(2));
    let even = stage.write("even.ndjson", rows.iter().step_by(2));
    let parts = run(&stage, &config, vec![odd, even]);
    assert_eq!(parts.calibration, whole.calibration);
    assert_eq!(parts.calibration.to_text(), whole.calibration.to_text());
}

#[test]
fn what_no_longer_fits_runs_in_shadow_and_says_why() {
    let (stage, config, _) = stage(MODEL);
    let made = run(&stage, &config, vec![stage.write("clean.ndjson", &days(5, 0, 2, "v1"))]).calibration;
    let spec = compiled(&config);
    let shadow = |slots: &[Slot], name: &str| {
        let slot = slots.iter().find(|slot| slot.name == name).unwrap();
        slot.shadow.clone().unwrap_or_default()
    };
    let minutes = calibrated(&spec, &made, Duration::from_secs(60));
    assert!(shadow(&minutes, "drift").contains("does not fit: it was made for panes of 900s"));

    let other = Calibration { profile: "sha256:0".into(), ..made.clone() };
    assert!(shadow(&calibrated(&spec, &other, spec.pane), "nulls").contains("reference sha256:0"));

    let renamed = config_with(&stage, "name: drift, metric: psi", "name: shift, metric: psi");
    let slots = calibrated(&compiled(&renamed), &made, spec.pane);
    assert!(shadow(&slots, "shift").contains("there was no check `shift`"));
    assert_eq!(shadow(&slots, "nulls"), "");

    let metric = config_with(&stage, "metric: psi", "metric: hellinger");
    let slots = calibrated(&compiled(&metric), &made, spec.pane);
    assert!(shadow(&slots, "drift").contains("`drift` was psi when it was made, and is hellinger now"));
    let error = made.tolerances("drift", Metric::Hellinger).unwrap_err().to_string();
    assert!(error.contains("hellinger"), "{error}");
    let all = made.tolerances("nulls", Metric::NullRate).unwrap();
    assert!(all.contains_key(&("income".to_owned(), Part::Whole, Side::Above)), "{all:?}");
}

#[test]
fn traffic_that_varies_much_more_than_the_calibrated_stretch_is_said_to_and_other_traffic_is_not() {
    let policies = "policies:\n  - {name: complete, model: credit, checks: [nulls], decide: sequential}\n";
    let text = MODEL.replace("nowhere/yet.yaml", "calibration/credit.yaml") + policies;
    let (stage, config, _) = stage(&text);
    run(&stage, &config, vec![stage.write("clean.ndjson", &days(2, 0, 3, "v1"))]);
    let reason = |nulls: &dyn Fn(i64) -> f64| {
        let mut pipeline = Pipeline::new(topics(&config, &BTreeMap::new()).unwrap(), file_limits(&config));
        let partition = SourcePartition::new("t", 0);
        let assigned = Assigned { partition: partition.clone(), offset: None, metadata: None };
        pipeline.handle(SourceEvent::Assigned(vec![assigned]), START, &mut |_, why| panic!("{why:?}"));
        let stream = &mut Stream(9);
        let (mut last, step) = (None, PANE / ROWS);
        for i in 0..3 * DAY / step {
            let at = START + 3 * DAY + i * step;
            let mut row = row(stream, at, "v1");
            row["income"] = if stream.uniform() < nulls(at) { Value::Null } else { json!(0.5) };
            let value = row.to_string();
            let value = Some(value.as_bytes());
            let record = RawRecord { partition: &partition, offset: i, key: None, value, headers: &[] };
            pipeline.handle(SourceEvent::Record(record), at, &mut |_, why| panic!("{why:?}"));
            if i % (4 * ROWS) == 0 {
                let findings = pipeline.evaluate(at).findings;
                last = findings.iter().rfind(|it| it.check == "nulls").cloned().or(last);
            }
        }
        last.unwrap().sequential.clone().unwrap().reason.unwrap_or_default()
    };
    let day = |at: i64| std::f64::consts::TAU * at.rem_euclid(DAY) as f64 / DAY as f64;
    let same = reason(&|at| 0.1 + 0.04 * day(at).sin());
    assert!(!same.contains("no longer fits"), "{same}");
    let wild = reason(&|at| if (at / PANE) % 8 < 4 { 0.0 } else { 0.3 });
    assert!(wild.contains("its calibration no longer fits: panes vary by 0.1"), "{wild}");
}

fn config_with(stage: &Stage, from: &str, to: &str) -> Config {
    let text = MODEL.replace(from, to);
    assert_ne!(text, MODEL);
    stage.config(&text)
}

#[test]
fn a_poor_stretch_is_said_to_be_one() {
    let (stage, config, _) = stage(MODEL);
    let mut rows: Vec<Value> = days(6, 0, 1, "v1").into_iter().take(40 * ROWS as usize).collect();
    rows.extend(days(7, 0, 1, "v2").into_iter().skip(40 * ROWS as usize));
    rows.push(json!({"model": "credit", "v": "v2", "at": "when"}));
    rows.push(row(&mut Stream(8), START, "v2"));
    rows.push(json!({"model": "other"}));
    let report = run(&stage, &config, vec![stage.write("poor.ndjson", &rows)]);
    let all = report.calibration.warnings.join("\n");
    for words in [
        "1.0 days, too few to tell a daily cycle",
        "fewer than 200 panes",
        "2 versions",
        "v1 (40 panes), v2 (56 panes)",
        "1 of 11521 rows were late",
        "1 of 11523 records could not be read, the first: t/0 offset 11520",
    ] {
        assert!(all.contains(words), "{words}: {all}");
    }
    assert_eq!(report.others, 1);
    let text = report.to_string();
    assert!(text.contains("nulls") && text.contains("rate above") || text.contains("rate below"), "{text}");
    let patch = report.patch(&stage.path(""));
    assert!(patch.contains(r#"+    calibration: "calibration/credit.yaml""#), "{patch}");
}

#[test]
fn only_whole_panes_between_the_times_count_and_hours_of_the_week_get_their_own() {
    let (stage, config, _) = stage(MODEL);
    let file = stage.write("clean.ndjson", &days(9, 0, 3, "v1"));
    let from = EventTime::from_millis(START + MINUTE);
    let until = EventTime::from_millis(START + 2 * DAY + 20 * MINUTE);
    let options =
        Options { from: Some(from), until: Some(until), hourly: true, ..options(&stage, vec![file]) };
    let made = calibrate(&config, &options, &BTreeMap::new()).unwrap().calibration;
    assert_eq!(made.panes, 192);
    assert_eq!(made.from, EventTime::from_millis(START + PANE));
    assert_eq!(made.until, EventTime::from_millis(START + 2 * DAY + PANE));
    let above = made.checks["nulls"][0].components.iter().find(|it| it.side == Side::Above).unwrap();
    let hours = above.hourly.as_ref().unwrap();
    // Monday 06:00, the peak, and 18:00, the trough.
    assert!(hours[6] > hours[18] + 0.04, "{} {}", hours[6], hours[18]);
    assert!(made.warnings.iter().any(|warning| warning.contains("hours of the week")), "{:?}", made.warnings);
}

#[test]
fn what_cannot_be_calibrated_is_named() {
    let (stage, config, _) = stage(MODEL);
    let file = stage.write("clean.ndjson", &days(10, 0, 1, "v1"));
    let error = |options: Options, config: &Config| {
        format!("{:#}", calibrate(config, &options, &BTreeMap::new()).unwrap_err())
    };
    let base = options(&stage, vec![file]);
    let unknown = error(Options { model: "kredit".to_owned(), ..base.clone() }, &config);
    assert!(unknown.contains("credit"), "{unknown}");
    let topic = error(Options { topic: Some("u".to_owned()), ..base.clone() }, &config);
    assert!(topic.contains("not read from that topic"), "{topic}");
    let empty =
        error(Options { from: Some(EventTime::from_millis(START + 9 * DAY)), ..base.clone() }, &config);
    assert!(empty.contains("no row of `credit`"), "{empty}");
    assert!(!stage.path("calibration/credit.yaml").exists(), "nothing is written for nothing");
    let kafka = error(Options { input: Input::Kafka, ..base.clone() }, &config);
    assert!(kafka.contains("kafka.brokers"), "{kafka}");
    let mut bare = config;
    bare.models[0].profile = None;
    bare.models[0].checks.clear();
    let error = error(base, &bare);
    assert!(error.contains("no reference profile"), "{error}");
}
