//! The way of a record through decode, observe and evaluate, told through the pipeline that `run`,
//! `replay` and the demo share: what is counted where, what is late, when windows close, and that
//! the order in which partitions are read changes nothing about what is said. What restarts, moves
//! and crashes do is told in `exchange`.

#![expect(clippy::unwrap_used, reason = "a test may stop at a surprise, also in its helpers")]

use std::collections::BTreeMap;
use std::path::Path;

use plimsoll::app::compile::{limits, topics};
use plimsoll::app::pipeline::Pipeline;
use plimsoll::config::{self, Config};
use plimsoll::domain::{Accounting, Decision, DecisionKind, Finding, RejectReason, SourcePartition, Verdict};
use plimsoll::engine::evaluator::Fault;
use plimsoll::ingest::source::{Assigned, RawRecord, SourceEvent};
use proptest::prelude::*;

/// Wall time of the tests: all event times lie within `max_age` and `max_future` of it.
const NOW: i64 = 1_800_000_000_000;
/// First event time, a multiple of every window's slide.
const START: i64 = 1_799_999_400_000;

const CONFIG: &str = r#"
topics:
  - {name: t, model: /m, allowed_lateness: 5s, idle_after: 30s}
models:
  - name: credit
    topics: [t]
    task: binary
    version: /v
    time: {from: /ts, unit: ms}
    prediction: {from: /p, positive: "yes"}
    features:
      - {name: x, from: /x, type: numeric}
    groups:
      - {name: sex, from: /sex, values: [F, M]}
    segments:
      - {name: channel, from: /channel, values: [web]}
    pane: 1s
    checks:
      - {name: ratio, metric: selection_rate_ratio, window: 10s, slide: 5s, bound: ">= 0.8", min_samples: 20, min_group: 5, confidence: 0.9}
      - {name: nulls, metric: null_rate, of: features, window: 20s, slide: 10s, bound: "<= 0.5"}
      - {name: volume, metric: traffic_volume, window: 10s, slide: 5s, segments: true}
policies:
  - name: fair
    model: credit
    checks: [ratio]
    violate: {windows: 2, of: 3}
    clear: {windows: 2}
    qualify: {windows: 1}
"#;

fn config() -> Config {
    config::parse(CONFIG, Path::new("test.yaml"), []).unwrap()
}

fn pipeline() -> Pipeline {
    let config = config();
    Pipeline::new(topics(&config, &BTreeMap::new()).unwrap(), limits(&config))
}

fn partition(number: i32) -> SourcePartition {
    SourcePartition::new("t", number)
}

fn record(time: i64, version: &str, sex: &str, approved: bool) -> String {
    let answer = if approved { "yes" } else { "no" };
    format!(
        r#"{{"m":"credit","v":"{version}","ts":{time},"p":"{answer}","x":1.5,"sex":"{sex}","channel":"web"}}"#
    )
}

/// A pipeline with what it said so far.
struct Run {
    pipeline: Pipeline,
    findings: Vec<Finding>,
    decisions: Vec<Decision>,
    rejected: Vec<RejectReason>,
    faults: Vec<Fault>,
    now: i64,
}

impl Run {
    fn fresh(partitions: i32) -> Self {
        let mut run = Self {
            pipeline: pipeline(),
            findings: Vec::new(),
            decisions: Vec::new(),
            rejected: Vec::new(),
            faults: Vec::new(),
            now: NOW,
        };
        let none = |number| Assigned { partition: partition(number), offset: None, metadata: None };
        run.event(SourceEvent::Assigned((0..partitions).map(none).collect()));
        run
    }

    fn event(&mut self, event: SourceEvent<'_>) {
        let rejected = &mut self.rejected;
        self.pipeline.handle(event, self.now, &mut |_, why| rejected.push(why.reason));
    }

    fn feed(&mut self, number: i32, offset: i64, value: &str) {
        let partition = partition(number);
        let value = Some(value.as_bytes());
        self.event(SourceEvent::Record(RawRecord {
            partition: &partition,
            offset,
            key: None,
            value,
            headers: &[],
        }));
    }

    fn evaluate(&mut self) {
        let evaluated = self.pipeline.evaluate(self.now);
        self.findings.extend(evaluated.findings.iter().map(|finding| (**finding).clone()));
        self.decisions.extend(evaluated.decisions);
        self.faults.extend(evaluated.faults);
    }

    fn finish(&mut self, partitions: i32) {
        for number in 0..partitions {
            self.event(SourceEvent::Finished(partition(number)));
        }
        self.evaluate();
    }

    fn accounting(&self) -> Accounting {
        let accounting = self.pipeline.accounting();
        assert!(accounting.adds_up(), "{accounting:?}");
        accounting
    }

    fn volumes(&self) -> Vec<(String, String, f64)> {
        let volume = |finding: &&Finding| finding.check == "volume" && finding.segment.to_string() == "all";
        self.findings
            .iter()
            .filter(volume)
            .map(|f| (f.version.to_string(), f.window.end.to_string(), f.value.unwrap()))
            .collect()
    }
}

/// Byte for byte the same, with the first difference and not the whole lists where they are not.
fn same<T: serde::Serialize>(got: &[T], expected: &[T]) -> Result<(), TestCaseError> {
    let lines =
        |items: &[T]| -> Vec<String> { items.iter().map(|i| serde_json::to_string(i).unwrap()).collect() };
    let (got, expected) = (lines(got), lines(expected));
    let first = got.iter().zip(&expected).find(|(a, b)| a != b);
    prop_assert!(first.is_none(), "first difference:\n got {}\nwant {}", first.unwrap().0, first.unwrap().1);
    prop_assert_eq!(got.len(), expected.len(), "one has more");
    Ok(())
}

/// A log of several partitions: v1 is fair; from the middle on, v2 is not; some rows are late, some
/// records broken.
fn log(seed: u64, partitions: i32) -> Vec<Vec<String>> {
    let mut state = seed;
    let mut random = move |below: u64| {
        // Steele et al. 2014, SplitMix64: enough for a test log, and its stream never changes.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    };
    (0..partitions)
        .map(|_| {
            (0..400_i64)
                .map(|i| {
                    let late = if random(20) == 0 { 12_000 } else { random(3_000) as i64 };
                    let time = START + i * 150 - late;
                    let version = if i > 200 { "v2" } else { "v1" };
                    let sex = if random(2) == 0 { "F" } else { "M" };
                    let rate = if version == "v2" && sex == "F" { 20 } else { 80 };
                    let approved = random(100) < rate;
                    match random(80) {
                        0 => "broken".to_owned(),
                        // Its clock is an hour ahead.
                        1 => record(NOW + 3_600_000, version, sex, approved),
                        _ => record(time, version, sex, approved),
                    }
                })
                .collect()
        })
        .collect()
}

/// Everything in one go, one partition after the other.
fn undisturbed(log: &[Vec<String>]) -> Run {
    let mut run = Run::fresh(log.len() as i32);
    for (number, records) in log.iter().enumerate() {
        for (offset, value) in records.iter().enumerate() {
            run.feed(number as i32, offset as i64, value);
        }
    }
    run.finish(log.len() as i32);
    run
}

#[test]
fn an_unfair_version_is_found_and_the_fair_one_qualifies() {
    let run = undisturbed(&log(1, 3));
    let said: Vec<(DecisionKind, &str)> =
        run.decisions.iter().map(|decision| (decision.kind, decision.key.version.as_str())).collect();
    assert_eq!(said[..2], [(DecisionKind::Qualified, "v1"), (DecisionKind::Violated, "v2")]);
    assert!(!said.contains(&(DecisionKind::Violated, "v1")));
    let violated = &run.decisions[1];
    assert!(
        !violated.evidence.is_empty() && violated.evidence.iter().any(|f| f.verdict == Some(Verdict::Breach))
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_partitions_and_the_times_of_evaluation_change_nothing(
        seed in 0_u64..1_000,
        order in proptest::collection::vec((0_usize..3, 1_usize..60), 0..60),
    ) {
        let log = log(seed, 3);
        let expected = undisturbed(&log);
        let mut run = Run::fresh(3);
        let mut next = [0_usize; 3];
        let rest = (0..3).map(|number| (number, log[number].len()));
        for (number, count) in order.into_iter().chain(rest) {
            for (offset, value) in log[number].iter().enumerate().skip(next[number]).take(count) {
                run.feed(number as i32, offset as i64, value);
                next[number] = offset + 1;
            }
            run.evaluate();
        }
        run.finish(3);
        same(&run.findings, &expected.findings)?;
        same(&run.decisions, &expected.decisions)?;
        prop_assert_eq!(run.accounting(), expected.accounting());
    }

    #[test]
    fn every_record_is_in_exactly_one_class(
        kinds in proptest::collection::vec((0_u8..5, 0_i64..60_000), 0..200),
    ) {
        let mut run = Run::fresh(1);
        for (offset, (kind, time)) in kinds.iter().enumerate() {
            let value = match kind {
                0 => "{".to_owned(),
                1 => record(START + time, "v1", "F", true).replace("credit", "unknown"),
                _ => record(START + time, "v1", "F", true),
            };
            run.feed(0, offset as i64, &value);
        }
        run.evaluate();
        let accounting = run.accounting();
        prop_assert_eq!(accounting.records, kinds.len() as u64);
        prop_assert_eq!(accounting.rejected, run.rejected.len() as u64);
        run.finish(1);
        // Tumbling parts of the sliding windows: every used row is in exactly one of them.
        let used: f64 = run.volumes().iter().filter(|(_, end, _)| !end.ends_with("5Z")).map(|(.., n)| n).sum();
        prop_assert_eq!(used as u64, accounting.rows - accounting.late_rows);
    }
}

#[test]
fn a_window_closes_when_every_partition_has_passed_its_end_and_not_before() {
    let mut run = Run::fresh(2);
    run.feed(0, 0, &record(START + 1_000, "v1", "F", true));
    run.feed(0, 1, &record(START + 30_000, "v1", "F", true));
    run.evaluate();
    assert!(run.findings.is_empty(), "the other partition has shown nothing yet");
    run.feed(1, 0, &record(START + 2_000, "v1", "M", true));
    run.feed(1, 1, &record(START + 14_000, "v1", "M", true));
    run.evaluate();
    // Partition 1 stands at 14 s less 5 s of lateness: only windows that end up to 9 s have closed.
    assert_eq!(run.volumes(), [("v1".to_owned(), "2027-01-15T07:50:05Z".to_owned(), 2.0)]);
    run.feed(1, 2, &record(START + 15_000, "v1", "M", true));
    run.evaluate();
    assert_eq!(run.volumes().len(), 2, "{:?}", run.volumes());
}

#[test]
fn a_window_is_told_though_its_only_pane_had_passed_when_it_was_first_looked_for() {
    let (first, second) = (record(START + 45_000, "v1", "F", true), record(START + 51_000, "v1", "F", true));
    let mut whole = Run::fresh(1);
    whole.feed(0, 0, &first);
    whole.feed(0, 1, &second);
    whole.finish(1);
    let mut halting = Run::fresh(1);
    halting.feed(0, 0, &first);
    halting.feed(0, 1, &second);
    halting.evaluate();
    halting.finish(1);
    assert_eq!(halting.volumes(), whole.volumes());
    assert_eq!(whole.volumes()[0].1, "2027-01-15T07:50:50Z", "{:?}", whole.volumes());
}

#[test]
fn a_record_behind_its_own_partition_is_late_and_enters_no_window() {
    let mut run = Run::fresh(1);
    run.feed(0, 0, &record(START + 20_000, "v1", "F", true));
    run.feed(0, 1, &record(START + 15_000, "v1", "F", true));
    run.feed(0, 2, &record(START + 14_999, "v1", "F", true));
    run.finish(1);
    let accounting = run.accounting();
    assert_eq!((accounting.used, accounting.late, accounting.late_rows), (2, 1, 1));
    assert!(run.volumes().iter().all(|(.., rows)| *rows <= 2.0));
}

#[test]
fn an_idle_partition_holds_nothing_back_and_what_it_brings_later_from_before_is_late() {
    let mut run = Run::fresh(2);
    run.feed(0, 0, &record(START + 1_000, "v1", "F", true));
    run.event(SourceEvent::EndOfPartition(partition(1)));
    run.now += 29_000;
    run.feed(0, 1, &record(START + 30_000, "v1", "F", true));
    run.evaluate();
    assert!(run.findings.is_empty(), "silent for 29 s of 30 is not idle");
    run.now += 1_000;
    run.feed(0, 2, &record(START + 31_000, "v1", "F", true));
    run.evaluate();
    let closed = run.volumes().len();
    assert!(closed > 0);
    run.feed(1, 0, &record(START + 2_000, "v1", "M", true));
    run.feed(1, 1, &record(START + 40_000, "v1", "M", true));
    run.finish(2);
    let accounting = run.accounting();
    assert_eq!((accounting.used, accounting.late), (4, 1));
}

#[test]
fn a_clock_ten_years_ahead_is_rejected_and_moves_nothing() {
    let mut run = Run::fresh(1);
    run.feed(0, 0, &record(START + 1_000, "v1", "F", true));
    run.feed(0, 1, &record(START + 315_360_000_000, "v1", "F", true));
    run.feed(0, 2, &record(START + 2_000, "v1", "F", true));
    run.evaluate();
    assert_eq!(run.rejected, [RejectReason::FutureTimestamp]);
    assert!(run.findings.is_empty());
    assert_eq!(run.accounting().used, 2);
}

#[test]
fn two_versions_side_by_side_and_their_segments_are_counted_apart() {
    let mut run = Run::fresh(1);
    for i in 0..20_i64 {
        let version = if i % 4 == 0 { "v2" } else { "v1" };
        let value = record(START + i * 100, version, "F", true);
        let value = if i % 2 == 0 { value } else { value.replace("\"web\"", "\"branch\"") };
        run.feed(0, i, &value);
    }
    run.finish(1);
    let mut rows: BTreeMap<(String, String), f64> = BTreeMap::new();
    for finding in run.findings.iter().filter(|finding| finding.check == "volume") {
        rows.entry((finding.version.to_string(), finding.segment.to_string()))
            .or_insert(finding.value.unwrap());
    }
    let rows: Vec<(&str, &str, f64)> = rows.iter().map(|((v, s), n)| (v.as_str(), s.as_str(), *n)).collect();
    assert_eq!(
        rows,
        [
            ("v1", "all", 15.0),
            ("v1", "channel=other", 10.0),
            ("v1", "channel=web", 5.0),
            ("v2", "all", 5.0),
            ("v2", "channel=web", 5.0),
        ]
    );
    let ratio = run.findings.iter().find(|finding| finding.check == "ratio").unwrap();
    assert_eq!(ratio.verdict, Some(Verdict::Insufficient), "one group alone compares with nothing");
}

#[test]
fn what_was_counted_from_a_partition_that_is_taken_away_is_dropped_and_counted_from_its_offset_again() {
    let mut run = Run::fresh(2);
    run.feed(0, 0, &record(START + 1_000, "v1", "F", true));
    run.feed(1, 0, &record(START + 1_000, "v1", "M", true));
    run.evaluate();
    run.feed(0, 1, &record(START + 1_500, "v1", "F", true));
    run.feed(1, 1, &record(START + 1_500, "v1", "M", true));
    run.event(SourceEvent::Revoked(vec![partition(1)]));
    run.evaluate();
    assert_eq!(run.accounting().used, 3, "the second record of the partition is not counted here");
    run.event(SourceEvent::Assigned(vec![Assigned {
        partition: partition(1),
        offset: Some(1),
        metadata: None,
    }]));
    run.feed(1, 1, &record(START + 1_500, "v1", "M", true));
    run.finish(2);
    assert_eq!(run.accounting().used, 4);
    assert_eq!(run.faults, [], "offsets follow each other");
}
