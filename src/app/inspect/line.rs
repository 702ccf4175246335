//! Messages as lines of JSON: pure functions of their bytes. Every line begins with its kind, and one
//! that cannot be read says so. Hashes are 16 hexadecimal digits, because readers of JSON lose digits
//! of large numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::domain::{Accounting, Decision, EventTime, Finding, ModelKey, Report};
use crate::engine::actor::Entry;
use crate::engine::decided::Told;
use crate::engine::message::{Message, Offsets, Progress};
use crate::engine::{Generation, decided, wire};
use crate::safety::Command;
use crate::sketch::Summary;

/// Where a message stands.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Place {
    partition: i32,
    offset: i64,
    /// When it was written, by Kafka's clock or the writer's.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<EventTime>,
}

impl Place {
    pub(super) fn new(partition: i32, offset: i64, millis: Option<i64>) -> Self {
        Self { partition, offset, written: millis.map(EventTime::from_millis) }
    }
}

/// All counts of a pane.
#[derive(Debug, Serialize)]
pub(super) struct Counts<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    /// Values in microseconds, and how often.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<Vec<(u64, u32)>>,
}

impl<'a> Counts<'a> {
    pub(super) fn of(summary: &'a Summary) -> Self {
        let latency = summary.latency.as_ref().map(|latency| latency.counts().collect());
        Self { summary, latency }
    }
}

#[derive(Serialize)]
struct SourceLine<'a> {
    source: String,
    #[serde(flatten)]
    offsets: Option<Offsets>,
    watermark: Option<EventTime>,
    idle: bool,
    finished: bool,
    #[serde(flatten)]
    counted: Accounting,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    rejected_for: BTreeMap<&'a str, u64>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line<'a> {
    Delta {
        #[serde(flatten)]
        place: Place,
        source: String,
        #[serde(flatten)]
        offsets: Offsets,
        #[serde(flatten)]
        key: &'a ModelKey,
        pane: EventTime,
        layout: String,
        rows: u64,
        bytes: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        counts: Option<Counts<'a>>,
    },
    Command {
        #[serde(flatten)]
        place: Place,
        command: Box<Command>,
    },
    Mark {
        #[serde(flatten)]
        place: Place,
        id: String,
    },
    Report {
        #[serde(flatten)]
        place: Place,
        report: Box<Report>,
    },
    Progress {
        #[serde(flatten)]
        place: Place,
        wall: EventTime,
        sources: Vec<SourceLine<'a>>,
        topics: &'a BTreeMap<Arc<str>, i32>,
    },
    Configured {
        #[serde(flatten)]
        place: Place,
        #[serde(flatten)]
        generation: &'a Generation,
    },
    Decision {
        #[serde(flatten)]
        place: Place,
        #[serde(skip_serializing_if = "Option::is_none")]
        decided_at: Option<EventTime>,
        decision: Box<Decision>,
    },
    Finding {
        #[serde(flatten)]
        place: Place,
        finding: Box<Finding>,
    },
    Entry {
        #[serde(flatten)]
        place: Place,
        entry: Value,
    },
    Control {
        #[serde(flatten)]
        place: Place,
        key: String,
        value: Option<Value>,
    },
    /// A message without a value.
    Nothing {
        #[serde(flatten)]
        place: Place,
    },
    Unreadable {
        #[serde(flatten)]
        place: Place,
        bytes: usize,
        error: String,
    },
}

/// A line of JSON, or one that says why there is none.
pub(super) fn json<T: Serialize>(line: &T) -> String {
    serde_json::to_string(line).unwrap_or_else(|error| {
        serde_json::json!({"kind": "unreadable", "error": format!("it cannot be shown as JSON: {error}")})
            .to_string()
    })
}

/// A hash.
pub(super) fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

fn unreadable(place: Place, value: &[u8], error: &impl std::fmt::Display) -> String {
    json(&Line::Unreadable { place, bytes: value.len(), error: error.to_string() })
}

/// A message of the exchange.
pub(super) fn partial(place: Place, value: Option<&[u8]>, full: bool) -> String {
    let Some(value) = value else { return json(&Line::Nothing { place }) };
    match wire::decode(value) {
        Ok(Message::Delta(delta)) => json(&Line::Delta {
            place,
            source: delta.source.to_string(),
            offsets: delta.offsets,
            key: &delta.key,
            pane: delta.pane,
            layout: hex(delta.layout),
            rows: delta.summary.rows,
            bytes: value.len(),
            counts: full.then(|| Counts::of(&delta.summary)),
        }),
        Ok(Message::Progress(progress)) => json(&progress_line(place, &progress)),
        Ok(Message::Control(generation)) => json(&Line::Configured { place, generation: &generation }),
        Err(error) => unreadable(place, value, &error),
    }
}

fn progress_line(place: Place, progress: &Progress) -> Line<'_> {
    let sources = progress.sources.iter().map(|source| SourceLine {
        source: source.source.to_string(),
        offsets: source.offsets,
        watermark: source.watermark,
        idle: source.idle,
        finished: source.finished,
        counted: source.counted,
        rejected_for: source.rejected.iter().map(|(reason, count)| (reason.name(), *count)).collect(),
    });
    let wall = EventTime::from_millis(progress.wall);
    Line::Progress { place, wall, sources: sources.collect(), topics: &progress.topics }
}

/// A message of the topic of decisions.
pub(super) fn decision(place: Place, value: Option<&[u8]>) -> String {
    let Some(value) = value else { return json(&Line::Nothing { place }) };
    match decided::read(value) {
        Ok(Told::Command(command)) => json(&Line::Command { place, command: Box::new(command) }),
        Ok(Told::Report(report)) => json(&Line::Report { place, report: Box::new(report) }),
        Ok(Told::Mark(id)) => json(&Line::Mark { place, id }),
        Ok(Told::Decided(decided)) => {
            let decided_at = decided.decided_at.map(EventTime::from_millis);
            json(&Line::Decision { place, decided_at, decision: Box::new(decided.decision) })
        }
        Err(error) => unreadable(place, value, &anyhow::Error::from(error).root_cause()),
    }
}

/// A finding.
pub(super) fn finding(place: Place, value: Option<&[u8]>) -> String {
    let Some(value) = value else { return json(&Line::Nothing { place }) };
    match serde_json::from_slice(value) {
        Ok(finding) => json(&Line::Finding { place, finding }),
        Err(error) => unreadable(place, value, &error),
    }
}

/// An entry of the audit log, as it was written, once it has proved to be one.
pub(super) fn entry(place: Place, value: Option<&[u8]>) -> String {
    let Some(value) = value else { return json(&Line::Nothing { place }) };
    let read = Entry::from_json(value).map_err(anyhow::Error::from);
    match read.and_then(|_| Ok(serde_json::from_slice(value)?)) {
        Ok(entry) => json(&Line::Entry { place, entry }),
        Err(error) => unreadable(place, value, &error.root_cause()),
    }
}

/// A message of the topic of configurations.
pub(super) fn control(place: Place, key: Option<&[u8]>, value: Option<&[u8]>) -> String {
    let key = String::from_utf8_lossy(key.unwrap_or_default()).into_owned();
    match value.map(serde_json::from_slice).transpose() {
        Ok(value) => json(&Line::Control { place, key, value }),
        Err(error) => unreadable(place, value.unwrap_or_default(), &error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::domain::{RejectReason, Segment, SourcePartition};
    use crate::engine::message::{PaneDelta, SourceProgress};
    use crate::sketch::{CellCounts, GroupOutcomes, Latency, PerformanceCounts};

    fn place() -> Place {
        Place::new(3, 41, Some(1_000))
    }

    fn shown(line: &str) -> Value {
        serde_json::from_str(line).unwrap()
    }

    fn delta() -> PaneDelta {
        let mut columns = vec![CellCounts::new(3)];
        columns[0].add(1);
        PaneDelta {
            source: SourcePartition::new("rows", 2),
            offsets: Offsets { from: 10, to: 12 },
            key: ModelKey {
                tenant: None,
                model: "credit".into(),
                version: "7".into(),
                segment: Segment::Of { name: "a=b".into(), value: "c".into() },
                profile: None,
            },
            layout: 255,
            pane: EventTime::from_millis(60_000),
            summary: Summary {
                rows: 1,
                columns,
                groups: vec![vec![GroupOutcomes::default()]],
                performance: PerformanceCounts::new(0),
                standing_out: vec![1],
                latency: Some(Latency::of_counts([(7, 1)])),
            },
        }
    }

    #[test]
    fn a_delta_says_where_it_came_from_and_its_counts_only_when_asked() {
        let bytes = wire::encode(&Message::Delta(delta()));
        let line = partial(place(), Some(&bytes), false);
        assert!(line.starts_with(r#"{"kind":"delta","partition":3,"offset":41,"#), "{line}");
        let expected = json!({
            "kind": "delta", "partition": 3, "offset": 41, "written": "1970-01-01T00:00:01Z",
            "source": "rows/2", "from": 10, "to": 12, "model": "credit", "version": "7",
            "segment": "a=b=c", "pane": "1970-01-01T00:01:00Z", "layout": "00000000000000ff",
            "rows": 1, "bytes": bytes.len(),
        });
        assert_eq!(shown(&line), expected);
        let full = shown(&partial(place(), Some(&bytes), true));
        assert_eq!(full["counts"]["columns"], json!([[0, 1, 0]]));
        assert_eq!(full["counts"]["latency"], json!([[7, 1]]));
        assert_eq!(full["counts"]["standing_out"], json!([1]));
    }

    #[test]
    fn progress_names_each_source_with_what_became_of_its_records() {
        let source = SourceProgress {
            source: SourcePartition::new("rows", 2),
            offsets: Some(Offsets { from: 10, to: 12 }),
            watermark: None,
            idle: true,
            finished: false,
            counted: Accounting { records: 2, used: 1, rejected: 1, rows: 1, ..Accounting::default() },
            rejected: BTreeMap::from([(RejectReason::InvalidJson, 1)]),
        };
        let unread =
            SourceProgress { offsets: None, source: SourcePartition::new("rows", 3), ..source.clone() };
        let topics = BTreeMap::from([("rows".into(), 4)]);
        let progress = Progress { wall: 2_000, sources: vec![source, unread], topics };
        let bytes = wire::encode(&Message::Progress(progress));
        let line = shown(&partial(place(), Some(&bytes), false));
        assert_eq!((&line["kind"], &line["wall"]), (&json!("progress"), &json!("1970-01-01T00:00:02Z")));
        let expected = json!({
            "source": "rows/2", "from": 10, "to": 12, "watermark": null, "idle": true, "finished": false,
            "records": 2, "used": 1, "late": 0, "rejected": 1, "rows": 1, "late_rows": 0, "lost": 0,
            "rejected_for": {"invalid_json": 1},
        });
        assert_eq!(line["sources"][0], expected);
        assert_eq!(line["sources"][1].get("from"), None);
        assert_eq!(line["topics"], json!({"rows": 4}));
    }

    #[test]
    fn what_cannot_be_read_is_a_line_that_says_why() {
        for (value, why) in [
            (&b""[..], "empty"),
            (&[9, 1, 0], "format version 9"),
            (&[1, 99, 0], "kind 99"),
            (&[1, 1, 200], "cannot be read"),
        ] {
            let line = shown(&partial(place(), Some(value), false));
            assert_eq!((&line["kind"], &line["offset"]), (&json!("unreadable"), &json!(41)));
            assert!(line["error"].as_str().unwrap().contains(why), "{line}");
        }
        assert_eq!(shown(&partial(place(), None, false))["kind"], "nothing");
        for function in [decision, finding, entry] {
            let line = shown(&function(place(), Some(b"{\"v\":2")));
            assert_eq!((&line["kind"], &line["bytes"]), (&json!("unreadable"), &json!(6)), "{line}");
        }
        let line = shown(&decision(place(), Some(br#"{"v":2,"type":"decision","decision":{}}"#)));
        assert!(line["error"].as_str().unwrap().contains("version 2"), "{line}");
        let line = shown(&control(place(), Some(b"credit"), Some(br#"{"v":1}"#)));
        assert_eq!((&line["key"], &line["value"]), (&json!("credit"), &json!({"v": 1})));
    }
}
