//! The state of evaluators as it stands in its topic: the newest record of every key, put together of
//! its parts, and the lines that say what is in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::line::{Counts, hex, json};
use crate::domain::{Accounting, Decide, EventTime, ModelId, ModelKey, Segment, Verdict};
use crate::engine::Generation;
use crate::engine::evaluator::{FaultCounts, KeyRecord, Marks, Record, StateKey};
use crate::engine::wire::{self, parts};
use crate::policy::PolicyMachine;
use crate::window::Standing;

/// The newest value of every key, by partition, and the records that changed since they were shown.
#[derive(Debug, Default)]
pub(super) struct Kept {
    values: BTreeMap<i32, BTreeMap<Vec<u8>, Vec<u8>>>,
    changed: BTreeSet<(i32, Vec<u8>)>,
    /// Whether all of it was shown once; what is gone is told only after that.
    shown: bool,
}

/// The key of the record that `key` is a part of.
fn record_key(key: &[u8]) -> &[u8] {
    match key.iter().rposition(|byte| *byte == b']') {
        Some(end) => &key[..=end],
        None => key,
    }
}

impl Kept {
    /// Takes note of a record.
    pub(super) fn take(&mut self, partition: i32, key: Option<&[u8]>, value: Option<&[u8]>) {
        let key = key.unwrap_or_default();
        let values = self.values.entry(partition).or_default();
        match value {
            Some(value) => drop(values.insert(key.to_vec(), value.to_vec())),
            None => drop(values.remove(key)),
        }
        self.changed.insert((partition, record_key(key).to_vec()));
    }

    /// Lines about all records that changed since the last call.
    pub(super) fn changed(&mut self, full: bool) -> Vec<String> {
        let first = !std::mem::replace(&mut self.shown, true);
        let changed = std::mem::take(&mut self.changed);
        let lines = changed.into_iter().map(|(partition, key)| self.line(partition, &key, full));
        // What was gone before anybody looked was never there.
        lines.filter_map(|line| line.map_or_else(|gone| (!first).then_some(gone), Some)).collect()
    }

    /// A line about one record; an error is one that it is gone.
    fn line(&self, partition: i32, key: &[u8], full: bool) -> Result<String, String> {
        let unreadable = |bytes: usize, error: String| {
            let key = String::from_utf8_lossy(key).into_owned();
            Ok(json(&Line::Unreadable { partition, key, bytes, error }))
        };
        let parts = self.values.get(&partition).map(|values| {
            let mine = values.range(key.to_vec()..).take_while(|(other, _)| other.starts_with(key));
            mine.filter(|(other, _)| record_key(other) == key)
        });
        let parts: BTreeMap<Vec<u8>, Vec<u8>> =
            parts.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
        let bytes = parts.values().map(Vec::len).sum();
        if parts.is_empty() {
            let key = String::from_utf8_lossy(key).into_owned();
            return Err(json(&Line::Gone { partition, key }));
        }
        let whole = match parts::join(parts).map(|mut wholes| wholes.pop()) {
            Ok(Some(whole)) => whole,
            Ok(None) => return unreadable(bytes, "its first part is not there".to_owned()),
            Err(error) => return unreadable(bytes, error.to_string()),
        };
        let read = wire::decode_key(key)
            .and_then(|key| wire::decode_record(&key, &whole.value).map(|record| (key, record)));
        match read {
            Ok((key, record)) => Ok(record_line(partition, &key, &record, whole.value.len(), full)),
            Err(error) => unreadable(bytes, error.to_string()),
        }
    }
}

#[derive(Serialize)]
struct Source {
    source: String,
    watermark: Option<EventTime>,
    idle: bool,
    known: bool,
}

#[derive(Serialize)]
struct Policy<'a> {
    policy: &'a str,
    decide: Decide,
    /// The last verdict; none before a window with enough data.
    latest: Option<Verdict>,
    /// Since when an incident is open.
    incident: Option<EventTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<&'a PolicyMachine>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line<'a> {
    Marks {
        partition: i32,
        position: i64,
        closed: Option<EventTime>,
        event_time: Option<EventTime>,
        wall: EventTime,
        watermarks: Vec<Source>,
        accounting: BTreeMap<&'a str, Accounting>,
        rejected: BTreeMap<&'a str, BTreeMap<&'a str, u64>>,
        faults: FaultCounts,
        seen: BTreeMap<String, i64>,
        /// The generation of the configuration that is in effect, and those that are to follow.
        configured: Option<&'a Generation>,
        coming: &'a [Generation],
        bytes: usize,
    },
    Key {
        partition: i32,
        #[serde(flatten)]
        key: &'a ModelKey,
        layout: String,
        policies: Vec<Policy<'a>>,
        incidents: usize,
        detectors: usize,
        /// Alarms that no window has told yet.
        alarms: usize,
        paid: bool,
        /// Rows of panes that are not held any more.
        past_rows: u64,
        newest: EventTime,
        next_step: Option<EventTime>,
        rested: Option<EventTime>,
        served_until: Option<EventTime>,
        evaluated_until: Option<EventTime>,
        bytes: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        slots: Option<BTreeMap<String, serde_json::Value>>,
    },
    Pane {
        partition: i32,
        #[serde(flatten)]
        key: &'a ModelKey,
        start: EventTime,
        layout: String,
        rows: u64,
        bytes: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        counts: Option<Counts<'a>>,
    },
    Starts {
        partition: i32,
        model: &'a ModelId,
        segment: &'a Segment,
        starts: BTreeMap<String, serde_json::Value>,
        bytes: usize,
    },
    Gone {
        partition: i32,
        key: String,
    },
    Unreadable {
        partition: i32,
        key: String,
        bytes: usize,
        error: String,
    },
}

/// What a type shows of itself as JSON; in words where it cannot.
fn value(of: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(of).unwrap_or_else(|error| error.to_string().into())
}

/// A state record of `bytes` bytes as a line.
fn record_line(partition: i32, key: &StateKey, record: &Record, bytes: usize, full: bool) -> String {
    match (key, record) {
        (StateKey::Key(key), Record::Key(record)) => json(&key_line(partition, key, record, bytes, full)),
        (StateKey::Pane(key, start), Record::Pane(layout, summary)) => json(&Line::Pane {
            partition,
            key,
            start: *start,
            layout: hex(*layout),
            rows: summary.rows,
            bytes,
            counts: full.then(|| Counts::of(summary)),
        }),
        (StateKey::Starts(model, segment), Record::Starts(starts)) => {
            let starts = starts.iter().map(|(slot, starts)| (hex(*slot), value(starts))).collect();
            json(&Line::Starts { partition, model, segment, starts, bytes })
        }
        (_, Record::Marks(marks)) => json(&marks_line(partition, marks, bytes)),
        // Decoding has held key and record together.
        (key, _) => json(&Line::Unreadable {
            partition,
            key: format!("{key:?}"),
            bytes,
            error: "the record is not of its key's kind".to_owned(),
        }),
    }
}

fn marks_line(partition: i32, marks: &Marks, bytes: usize) -> Line<'_> {
    let watermarks = marks.watermarks.partitions().map(|(source, watermark, standing)| Source {
        source: source.to_string(),
        watermark,
        idle: standing == Standing::Idle,
        known: standing != Standing::Unknown,
    });
    let mut rejected: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for ((topic, reason), count) in marks.intake.rejected() {
        rejected.entry(topic).or_default().insert(reason.name(), *count);
    }
    Line::Marks {
        partition,
        position: marks.position,
        closed: marks.closed,
        event_time: marks.watermarks.reached(),
        wall: EventTime::from_millis(marks.watermarks.wall()),
        watermarks: watermarks.collect(),
        accounting: marks.intake.accounting().iter().map(|(topic, counts)| (&**topic, *counts)).collect(),
        rejected,
        faults: marks.intake.faults(),
        seen: marks.intake.seen().iter().map(|(source, offset)| (source.to_string(), *offset)).collect(),
        configured: marks.configured.as_ref(),
        coming: &marks.coming,
        bytes,
    }
}

fn key_line<'a>(
    partition: i32,
    key: &'a ModelKey,
    record: &'a KeyRecord,
    bytes: usize,
    full: bool,
) -> Line<'a> {
    let policies: Vec<Policy<'_>> = record
        .policies
        .iter()
        .map(|policy| Policy {
            policy: &policy.name,
            decide: policy.decide,
            latest: policy.machine.latest(),
            incident: policy.machine.incident().map(|incident| incident.since),
            machine: full.then_some(&policy.machine),
        })
        .collect();
    let slots: BTreeMap<String, serde_json::Value> =
        record.detectors.iter().map(|(slot, state)| (hex(*slot), value(state))).collect();
    Line::Key {
        partition,
        key,
        layout: hex(record.layout),
        incidents: policies.iter().filter(|policy| policy.incident.is_some()).count(),
        policies,
        detectors: slots.len(),
        alarms: slots.values().filter(|slot| !slot["alarm"].is_null()).count(),
        paid: record.paid,
        past_rows: record.past_rows,
        newest: record.newest,
        next_step: record.next_step,
        rested: record.rested,
        served_until: record.served_until,
        evaluated_until: record.evaluated_until,
        bytes,
        slots: full.then_some(slots),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{RejectReason, SourcePartition};
    use crate::engine::Evaluator;
    use crate::engine::message::{Message, Offsets, Progress, SourceProgress};

    fn put(kept: &mut Kept, key: &StateKey, record: &Record) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        parts::cut(&wire::encode_key(key), &wire::encode_record(record), 64, &mut |key, part| {
            kept.take(5, Some(key), Some(part));
            keys.push(key.to_vec());
        });
        keys
    }

    fn lines(kept: &mut Kept) -> Vec<Value> {
        kept.changed(false).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn credit() -> ModelKey {
        let (model, version) = ("credit".into(), "7".into());
        ModelKey { tenant: None, model, version, segment: Segment::All, profile: None }
    }

    fn key_record() -> Record {
        let record = json!({
            "layout": 10, "policies": [{"name": "fair", "signature": 3, "decide": "sequential", "machine": {
                "history": ["breach"], "last": {"ratio": ["breach", "breach"]},
                "incident": {"since": "1970-01-01T00:01:00Z"}, "passes": 0, "clears": 0, "silent": 0,
                "qualified": false, "judged": true,
            }}],
            "detectors": [[11, {
                "detector": {"log_m": [null, 0.5], "panes": 2}, "sequence": null, "alarm": null,
                "fit": {"panes": 0, "mean": 0.0, "variance": 0.0, "sampling": 0.0},
            }]],
            "paid": true, "past_rows": 12, "newest": "1970-01-01T00:02:00Z", "next_step": null,
            "rested": null, "served_until": null, "evaluated_until": "1970-01-01T00:01:00Z",
        });
        Record::Key(Box::new(serde_json::from_value(record).unwrap()))
    }

    #[test]
    fn marks_say_how_far_every_source_has_come_and_what_became_of_its_records() {
        let mut evaluator = Evaluator::new([]);
        let source = |partition: i32, from: i64, watermark: Option<i64>, idle: bool| SourceProgress {
            source: SourcePartition::new("t", partition),
            offsets: Some(Offsets { from, to: from + 3 }),
            watermark: watermark.map(EventTime::from_millis),
            idle,
            finished: false,
            counted: Accounting { records: 3, used: 2, rejected: 1, rows: 2, ..Accounting::default() },
            rejected: BTreeMap::from([(RejectReason::InvalidJson, 1)]),
        };
        let topics = BTreeMap::from([("t".into(), 3)]);
        let sources = vec![source(0, 120, Some(60_000), false), source(1, 0, None, true)];
        evaluator.take(Message::Progress(Progress { wall: 1_000, sources, topics }));
        let marks = evaluator.changes(99).remove(0).record.unwrap();
        let mut kept = Kept::default();
        put(&mut kept, &StateKey::Marks, &marks);
        let lines = lines(&mut kept);
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!(
            (&line["kind"], &line["partition"], &line["position"]),
            (&json!("marks"), &json!(5), &json!(99))
        );
        let watermarks = json!([
            {"source": "t/0", "watermark": "1970-01-01T00:01:00Z", "idle": false, "known": true},
            {"source": "t/1", "watermark": null, "idle": true, "known": true},
            {"source": "t/2", "watermark": null, "idle": false, "known": false},
        ]);
        assert_eq!(line["watermarks"], watermarks);
        assert_eq!(line["accounting"]["t"]["records"], 6);
        assert_eq!(line["rejected"], json!({"t": {"invalid_json": 2}}));
        assert_eq!(line["faults"], json!({"gaps": 0, "gap_offsets": 0, "overlaps": 0, "foreign_rows": 0}));
        assert_eq!(line["seen"], json!({"t/0": 123, "t/1": 3}));
    }

    #[test]
    fn the_newest_record_of_a_key_is_shown_and_then_what_changes() {
        let mut kept = Kept::default();
        let key = StateKey::Key(credit());
        let keys = put(&mut kept, &key, &key_record());
        kept.take(5, Some(b"[\"starts\",\"old\",null]"), None);
        let found = lines(&mut kept);
        assert_eq!(found.len(), 1, "what is gone is not told at first");
        let line = &found[0];
        assert_eq!(
            (&line["kind"], &line["model"], &line["segment"]),
            (&json!("key"), &json!("credit"), &json!("all"))
        );
        let policy = json!({
            "policy": "fair", "decide": "sequential", "latest": "breach", "incident": "1970-01-01T00:01:00Z",
        });
        assert_eq!(line["policies"], json!([policy]));
        assert_eq!(
            (&line["incidents"], &line["detectors"], &line["alarms"]),
            (&json!(1), &json!(1), &json!(0))
        );
        assert_eq!(line.get("slots"), None);

        assert!(lines(&mut kept).is_empty(), "nothing changed");
        keys.iter().for_each(|key| kept.take(5, Some(key), None));
        let gone = lines(&mut kept);
        assert_eq!((gone.len(), &gone[0]["kind"]), (1, &json!("gone")));
        put(&mut kept, &key, &key_record());
        let full: Value = serde_json::from_str(&kept.changed(true)[0]).unwrap();
        assert_eq!(full["slots"]["000000000000000b"]["detector"]["panes"], 2);
        assert_eq!(full["policies"][0]["machine"]["judged"], true);
    }

    #[test]
    fn a_broken_record_is_a_line_of_its_own_and_hides_no_other() {
        let mut kept = Kept::default();
        let keys = put(&mut kept, &StateKey::Key(credit()), &key_record());
        kept.take(5, Some(&keys[1]), None);
        kept.take(5, Some(b"not a key"), Some(b"whatever"));
        kept.take(5, Some(b"[\"pane\",1]#1"), Some(b"tail"));
        kept.take(5, Some(b"[\"marks\"]"), Some(b"\x00\x01\x07\x10"));
        kept.take(5, None, Some(b""));
        put(&mut kept, &StateKey::Starts("credit".into(), Segment::All), &Record::Starts(Vec::new()));
        let found = lines(&mut kept);
        let errors: Vec<&str> = found.iter().filter_map(|line| line["error"].as_str()).collect();
        assert_eq!(found.len(), 6);
        assert_eq!(errors.len(), 5, "{errors:?}");
        for why in ["parts has only 1", "first part is not there", "format version 7"] {
            assert!(errors.iter().any(|error| error.contains(why)), "{why}: {errors:?}");
        }
        assert!(found.iter().any(|line| line["kind"] == "starts" && line["model"] == "credit"));
    }
}
