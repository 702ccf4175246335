//! The values that the samples stand for: every field in use, every variant of every enum.

use std::collections::BTreeMap;

use plimsoll::domain::sequential::{ComponentEvidence, GroupSequence, Moved, Rule};
use plimsoll::domain::{
    Accounting, EventTime, Evidence, ModelKey, RejectReason, Segment, SourcePartition, Window,
};
use plimsoll::engine::Evaluator;
use plimsoll::engine::Generation;
use plimsoll::engine::evaluator::{KeyRecord, Marks, Record};
use plimsoll::engine::message::{Message, Offsets, PaneDelta, Progress, SourceProgress};
use plimsoll::sketch::{CellCounts, GroupOutcomes, Latency, PerformanceCounts, Summary};
use serde_json::{Value, json};

pub(super) const START: i64 = 1_800_000_000_000;

fn at(seconds: i64) -> EventTime {
    EventTime::from_millis(START + seconds * 1_000)
}

pub(super) fn key() -> ModelKey {
    ModelKey {
        tenant: Some("acme".into()),
        model: "credit".into(),
        version: "7".into(),
        segment: Segment::Of { name: "channel".into(), value: "web".into() },
        profile: Some(format!("sha256:{}", "0123456789abcdef".repeat(4)).into()),
    }
}

/// A key without anything that may be left out.
pub(super) fn bare_key() -> ModelKey {
    ModelKey { tenant: None, segment: Segment::All, profile: None, ..key() }
}

pub(super) fn cells(counts: &[u64]) -> CellCounts {
    serde_json::from_value(json!(counts)).unwrap()
}

pub(super) fn summary() -> Summary {
    let outcomes = |first: u64| GroupOutcomes {
        n: first,
        selected: first + 1,
        true_positive: first + 2,
        false_positive: first + 3,
        true_negative: first + 4,
        false_negative: first + 5,
    };
    let bins: Vec<String> = (0..10)
        .map(|bin| format!(r#"{{"n":{bin},"positives":{},"scores":{}}}"#, bin + 10, bin + 20))
        .collect();
    // As text, because a JSON value holds no integer of 128 bits.
    let performance: PerformanceCounts = serde_json::from_str(&format!(
        r#"{{"labelled":41,"correct":42,"outcomes":[43,44,45,46],"scored":47,
            "brier":{{"sum":48,"squares":340282366920938463463374607431768211455}},
            "log_loss":{{"sum":49,"squares":50}},"bins":[{}],"classes":[51,52,53,54]}}"#,
        bins.join(",")
    ))
    .unwrap();
    Summary {
        rows: 1_000,
        columns: vec![cells(&[0, 1, 127, 128, 16_384, u64::MAX]), cells(&[]), cells(&[9])],
        groups: vec![vec![outcomes(60), outcomes(70)], vec![]],
        performance,
        standing_out: vec![3, 0, 300],
        latency: Some(Latency::of_counts([(1, 2), (250_000, 3), (3_600_000_000, 1)])),
    }
}

pub(super) fn delta() -> PaneDelta {
    PaneDelta {
        source: SourcePartition::new("inference", 11),
        offsets: Offsets { from: 1_000, to: 1_500 },
        key: key(),
        layout: 0x0123_4567_89ab_cdef,
        pane: at(0),
        summary: summary(),
    }
}

fn source(partition: i32, offsets: [i64; 2], watermark: Option<EventTime>, idle: bool) -> SourceProgress {
    let [from, to] = offsets;
    let counted =
        Accounting { records: 61, used: 62, late: 63, rejected: 64, rows: 65, late_rows: 66, lost: 67 };
    SourceProgress {
        source: SourcePartition::new("inference", partition),
        offsets: Some(Offsets { from, to }),
        watermark,
        idle,
        finished: false,
        counted,
        rejected: (1..).zip(RejectReason::ALL).map(|(count, reason)| (*reason, count)).collect(),
    }
}

pub(super) fn progress() -> Progress {
    let unread = SourceProgress {
        source: SourcePartition::new("clicks", 0),
        offsets: None,
        watermark: None,
        idle: true,
        finished: true,
        counted: Accounting::default(),
        rejected: BTreeMap::new(),
    };
    let topics = BTreeMap::from([("clicks".into(), 1), ("inference".into(), 12)]);
    Progress {
        wall: START + 9,
        sources: vec![source(11, [1_000, 1_500], Some(at(60)), false), unread],
        topics,
    }
}

/// Marks of an evaluator that has seen sources of every kind and a fault of every kind.
pub(super) fn marks() -> Marks {
    let mut evaluator = Evaluator::new([]);
    let mut say = |sources: Vec<SourceProgress>| {
        let topics = BTreeMap::from([("inference".into(), 4)]);
        evaluator.take(Message::Progress(Progress { wall: START, sources, topics }));
    };
    say(vec![source(0, [0, 10], Some(at(60)), false), source(1, [5, 6], Some(at(30)), true)]);
    say(vec![source(2, [0, 1], None, true), source(0, [12, 20], Some(at(70)), false)]);
    say(vec![source(0, [15, 21], Some(at(80)), false)]);
    evaluator.take(Message::Delta(delta()));
    let Some(Record::Marks(marks)) = evaluator.changes(4_711).remove(0).record else {
        panic!("marks come first");
    };
    let faults = marks.intake.faults();
    assert_eq!((faults.gaps, faults.gap_offsets, faults.overlaps, faults.foreign_rows), (1, 2, 1, 1_000));
    Marks {
        closed: Some(at(60)),
        configured: Some(generation(6, None)),
        coming: vec![generation(7, Some(START + 60_000))],
        ..*marks
    }
}

/// A generation of the configuration that takes effect at this time, in milliseconds.
pub(super) fn generation(number: u64, from: Option<i64>) -> Generation {
    Generation {
        number,
        hash: "0123456789abcdef".repeat(4),
        effective_from: from.map(EventTime::from_millis),
    }
}

fn evidence(rule: Rule) -> Evidence {
    let group = GroupSequence {
        group: "F".into(),
        rate: "selection_rate".into(),
        n: 100,
        sum: 31,
        interval: Some([0.1, 1.0 / 3.0]),
    };
    let component = ComponentEvidence {
        name: "rate above".into(),
        n: vec![500.0],
        sum: vec![31.5],
        null: vec![0.1],
        reference: Some(0.05),
        tolerance: Some(0.05),
        lambda: vec![0.125, 0.5],
        before: vec![None, Some(-1.25)],
        after: vec![Some(0.1), Some(12.0)],
        share: 1.0,
    };
    Evidence {
        rule,
        pane: Window { start: at(0), end: at(60) },
        panes: 12,
        log_e_before: None,
        log_e_after: Some(9.3),
        log_threshold: Some(9.2),
        alpha: Some(0.001),
        limit: Some(">= 0.8".into()),
        components: vec![component],
        omitted: 2,
        groups: vec![group],
        moved: vec![Moved { scope: "income".into(), log_e: 9.3 }],
    }
}

fn slot(log_m: &[Option<f64>], sequence: &Value, alarm: Option<Rule>) -> Value {
    json!({
        "detector": {"log_m": log_m, "panes": 5},
        "sequence": sequence,
        "alarm": alarm.map(|rule| serde_json::to_string(&evidence(rule)).unwrap()),
        "fit": {"panes": 7, "mean": 0.25, "variance": 0.5, "sampling": 0.125},
    })
}

pub(super) fn key_record() -> KeyRecord {
    let sequence = json!({"rates": [{"k": 1, "n": 2}, {"k": 3, "n": 400}], "panes": 6, "paid": true});
    let record = json!({
        "layout": 0x0123_4567_89ab_cdef_u64,
        "policies": [
            {"name": "fair", "signature": u64::MAX, "decide": "sequential", "machine": {
                "history": ["pass", "breach", "insufficient"],
                "last": {"drift": ["pass", "insufficient"], "nulls": null, "ratio": ["breach", "breach"]},
                "incident": {"since": at(120)},
                "passes": 1, "clears": 2, "silent": 300, "qualified": true, "judged": false,
            }},
            {"name": "steady", "signature": 1, "decide": "window", "machine": {
                "history": [], "last": {}, "incident": null,
                "passes": 0, "clears": 0, "silent": 0, "qualified": false, "judged": true,
            }},
        ],
        "detectors": [
            [1, slot(&[None, Some(-0.5), Some(1e300)], &json!(null), Some(Rule::EDetector))],
            [u64::MAX, slot(&[], &sequence, Some(Rule::ConfidenceSequence))],
            [3, slot(&[Some(0.0)], &json!(null), None)],
        ],
        "paid": true,
        "past_rows": 123_456,
        "newest": at(180),
        "next_step": at(60),
        "rested": at(61),
        "served_until": at(62),
        "evaluated_until": at(63),
    });
    serde_json::from_value(record).unwrap()
}

pub(super) fn starts() -> Record {
    let starts = json!([[1, [at(0), at(1)]], [u64::MAX, [at(-3)]]]);
    Record::Starts(serde_json::from_value(starts).unwrap())
}

/// A delta as wide models have them: so many features on so many bins, and rows spread over them.
pub(super) fn wide_delta(features: usize, bins: usize, rows: u64) -> PaneDelta {
    // Underflow, the bins, overflow; null, NaN, invalid.
    let mut counts = vec![rows / bins as u64; bins];
    counts.insert(0, 0);
    counts.extend([0; 4]);
    let mut performance = PerformanceCounts::new(0);
    for row in 0..rows {
        performance.add(row % 10 > 0, row % 2 == 0, row % 3 == 0);
        performance.add_score((row % 100) as f64 / 100.0, row % 3 == 0);
    }
    let group = GroupOutcomes { n: rows / 2, selected: rows / 4, ..GroupOutcomes::default() };
    let latency = (0..rows).map(|row| (2_000 + 10 * (row % 40), 1));
    let summary = Summary {
        rows,
        columns: vec![cells(&counts); features],
        groups: vec![vec![group; 3]],
        performance,
        standing_out: vec![0; features],
        latency: Some(Latency::of_counts(latency)),
    };
    PaneDelta { summary, ..delta() }
}

/// A key record with so many detectors of so many bets.
pub(super) fn wide_key(detectors: u64, bets: usize) -> KeyRecord {
    let mut record = key_record();
    let state = |number: u64| {
        let log = |bet: usize| Some(bet as f64 / 7.0);
        let logs: Vec<Option<f64>> = (0..bets).map(log).collect();
        (u64::MAX - number, serde_json::from_value(slot(&logs, &json!(null), None)).unwrap())
    };
    record.detectors = (0..detectors).map(state).collect();
    record
}
