//! What the evaluator tells the actor, as it is written to the topic of decisions: one JSON object a
//! message, so that anybody may read along.
//!
//! ```json
//! {"v":1,"type":"decision","decided_at":1795341600123,"decision":{"id":"…","kind":"violated","policy":"…","decide":"window",
//!  "key":{"model":"…","version":"…"},"since":"…","at":"…","actions":["…"],"evidence":[…]}}
//! ```
//!
//! `v` is the version of this form and `type` says what the message carries; a reader that knows
//! another version or type says so and reads nothing into it. `decided_at` is the wall time, in milliseconds
//! since the epoch, at which the evaluator heard of what it decided on: what is asked for has to be done
//! within its deadline from then on, and not from whenever an actor comes to read it. The key of the Kafka message is the
//! decision's id. `command` and `report` messages carry people's orders and what the log of a model shows; by a `mark` a new
//! owner of the actions knows that it has read what was there before it. Which decision it is follows from the id alone: the same decision may be written
//! twice, and counts once.

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::actor::payload;
use crate::domain::{Decision, EventTime, Finding, Report, SourcePartition};
use crate::safety::Command;

/// The version of the form.
pub const VERSION: u32 = 1;
/// The evidence in a message has at most this many bytes: half of what brokers take as a message
/// unless they are told otherwise (`message.max.bytes`, 1 MiB).
pub const EVIDENCE_BYTES: usize = 524_288;

/// A message has at most this many bytes without its evidence.
const MOST_BYTES: usize = 16_384;

/// Whole numbers beyond these are not kept exactly by canonical JSON (RFC 8785), nor by most readers.
const LARGEST: u64 = 9_007_199_254_740_991;

/// Message types.
const DECISION: &str = "decision";
const COMMAND: &str = "command";
const REPORT: &str = "report";
const MARK: &str = "mark";

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON of this form.
    #[error("not a message about a decision")]
    Malformed(#[from] serde_json::Error),
    /// Written by another plimsoll.
    #[error("message has version {found}, and this plimsoll reads version {VERSION}")]
    Version {
        /// The message's version.
        found: u32,
    },
    /// What it says would not fit into an entry of the audit log, so that nobody could act on it.
    #[error("a {what} of {bytes} bytes without its evidence, and {most} are allowed")]
    Large {
        /// What it is.
        what: &'static str,
        /// How many bytes it has.
        bytes: usize,
        /// How many it may have.
        most: usize,
    },
    /// The audit log could not state it, so that its own reader would refuse the whole log.
    #[error("{what} {value} cannot be stated in the audit log")]
    Unstatable {
        /// What it is.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// It carries something else.
    #[error("message has type {found:?}, which this plimsoll does not know")]
    Type {
        /// The message's type.
        found: String,
    },
}

/// What every message has, whatever it carries.
#[derive(Deserialize)]
struct Head {
    v: u32,
    r#type: String,
}

#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_at: Option<i64>,
    #[serde(skip_serializing_if = "<[(SourcePartition, i64)]>::is_empty")]
    positions: &'a [(SourcePartition, i64)],
    decision: &'a Decision,
}

/// A decision with what was known when it was taken.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// When it was taken, wall time in milliseconds; none where the writer did not say.
    #[serde(default)]
    pub decided_at: Option<i64>,
    /// How far the source partitions had been read: the offset after the last record.
    #[serde(default)]
    pub positions: Vec<(SourcePartition, i64)>,
}

/// A message of the topic.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// What a policy wants.
    Decided(Decided),
    /// What a person orders.
    Command(Command),
    /// What the inference log shows.
    Report(Report),
    /// A new owner of the actions, of this id, wants to know when it has read what was there before.
    Mark(String),
}

/// The mark `id` as a message that `read` reads. The key of the Kafka message is the id.
pub fn encode_mark(id: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Written<'a> {
        v: u32,
        r#type: &'static str,
        id: &'a str,
    }
    let written = Written { v: VERSION, r#type: MARK, id };
    serde_json::to_vec(&written).expect("keys are text, and nothing here fails to serialize")
}

/// `report` as a message that `read` reads. The key of the Kafka message is the model's name. A report
/// says how things are, so that one that is read twice says nothing new.
pub fn encode_report(report: &Report) -> Vec<u8> {
    #[derive(Serialize)]
    struct Written<'a> {
        v: u32,
        r#type: &'static str,
        report: &'a Report,
    }
    let written = Written { v: VERSION, r#type: REPORT, report };
    serde_json::to_vec(&written).expect("keys are text, and nothing here fails to serialize")
}

/// `command` as a message that `read` reads. The key of the Kafka message is the command's id.
pub fn encode_command(command: &Command) -> Vec<u8> {
    #[derive(Serialize)]
    struct Written<'a> {
        v: u32,
        r#type: &'static str,
        command: &'a Command,
    }
    let written = Written { v: VERSION, r#type: COMMAND, command };
    serde_json::to_vec(&written).expect("keys are text, and nothing here fails to serialize")
}

/// Reads any message of the topic.
///
/// # Errors
/// When `message` is not of this form, version or type. No message does harm.
pub fn read(message: &[u8]) -> Result<Told, Error> {
    #[derive(Deserialize)]
    struct Ordered {
        command: Command,
    }
    #[derive(Deserialize)]
    struct Reported {
        report: Report,
    }
    #[derive(Deserialize)]
    struct Marked {
        id: String,
    }
    let Head { v, r#type } = serde_json::from_slice(message)?;
    if v != VERSION {
        return Err(Error::Version { found: v });
    }
    match r#type.as_str() {
        DECISION => {
            let decided: Decided = serde_json::from_slice(message)?;
            let Decided { decision, decided_at, positions } = &decided;
            statable("time", [decision.since, decision.at].into_iter().chain(decided_at.map(wall)))?;
            decision.evidence.iter().try_for_each(|finding| statable("time", times(finding)))?;
            for (source, to) in positions {
                small("source partition", source)?;
                exact(&Value::from(*to))?;
            }
            exact(&serde_json::to_value(decision)?)?;
            let bare = Decision { evidence: Vec::new(), ..decision.clone() };
            small("decision", &bare).map(|()| Told::Decided(decided))
        }
        COMMAND => {
            let command = serde_json::from_slice::<Ordered>(message)?.command;
            statable("time", [wall(command.at)])?;
            small("command", &command).map(|()| Told::Command(command))
        }
        REPORT => {
            let report = serde_json::from_slice::<Reported>(message)?.report;
            let standings = report.standings.iter().map(|standing| standing.from);
            statable("time", [report.from, report.until].into_iter().chain(standings))?;
            exact(&serde_json::to_value(&report)?)?;
            let names = (&report.tenant, &report.model);
            small("report", &names)?;
            report.rows.keys().try_for_each(|version| small("version", version))?;
            Ok(Told::Report(report))
        }
        MARK => {
            let id = serde_json::from_slice::<Marked>(message)?.id;
            small("mark", &id).map(|()| Told::Mark(id))
        }
        _ => Err(Error::Type { found: r#type }),
    }
}

/// `decision`, taken at wall time `decided_at`, as a message that `decode` reads. Evidence beyond [`EVIDENCE_BYTES`] is left out, what
/// led to the decision last; so is a finding that JSON cannot hold (a number that is not finite),
/// because what is to be done matters more than one of its reasons.
pub fn encode(decision: &Decision, decided_at: Option<i64>, positions: &[(SourcePartition, i64)]) -> Vec<u8> {
    let (mut decision, _) = payload::bounded(decision.clone(), EVIDENCE_BYTES);
    decision.evidence.retain(|finding| {
        let read = serde_json::to_value(finding).and_then(serde_json::from_value);
        read.is_ok_and(|read: crate::domain::Finding| read == *finding)
    });
    let written = Written { v: VERSION, r#type: DECISION, decided_at, positions, decision: &decision };
    serde_json::to_vec(&written).expect("keys are text, and nothing here fails to serialize")
}

/// Whether `value` leaves room in an entry of the audit log, which holds 65,535 bytes, for what goes with
/// it. Whoever may write to the topic must not be able to stop the actor with one message.
fn small(what: &'static str, value: &impl Serialize) -> Result<(), Error> {
    let bytes = serde_json::to_vec(value)?.len();
    if bytes <= MOST_BYTES { Ok(()) } else { Err(Error::Large { what, bytes, most: MOST_BYTES }) }
}

/// Wall time in the notation of event time, as entries state it.
fn wall(millis: i64) -> EventTime {
    EventTime::from_millis(millis)
}

/// All times in a finding.
fn times(finding: &Finding) -> impl Iterator<Item = EventTime> {
    let alarm = finding.sequential.as_ref().and_then(|it| it.evidence.as_deref()).map(|it| it.pane);
    [finding.window].into_iter().chain(alarm).flat_map(|window| [window.start, window.end])
}

/// That entries of the audit log can state these times as RFC 3339, and so that everybody can read them.
fn statable(what: &'static str, times: impl IntoIterator<Item = EventTime>) -> Result<(), Error> {
    match times.into_iter().find(|time| !time.has_four_digit_year()) {
        Some(time) => Err(Error::Unstatable { what, value: time.to_string() }),
        None => Ok(()),
    }
}

/// That entries keep every whole number in `value` exactly.
fn exact(value: &Value) -> Result<(), Error> {
    match inexact(value) {
        Some(number) => Err(Error::Unstatable { what: "number", value: number.to_string() }),
        None => Ok(()),
    }
}

/// A whole number in `value` that canonical JSON does not keep exactly.
pub fn inexact(value: &Value) -> Option<&Number> {
    match value {
        Value::Number(number) => {
            let whole = number.as_u64().or(number.as_i64().map(i64::unsigned_abs));
            whole.is_some_and(|whole| whole > LARGEST).then_some(number)
        }
        Value::Array(values) => values.iter().find_map(inexact),
        Value::Object(values) => values.values().find_map(inexact),
        Value::Null | Value::Bool(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        DecisionKind, EventTime, Finding, Metric, ModelKey, Scope, Segment, Verdict, Window,
    };

    fn finding(check: String, value: f64) -> Finding {
        Finding {
            tenant: None,
            model: "credit".into(),
            version: "v2".into(),
            window: Window { start: EventTime::from_millis(0), end: EventTime::from_millis(60_000) },
            check,
            metric: Metric::Psi,
            segment: Segment::All,
            scope: Scope::Feature { feature: "age".into() },
            reference: None,
            revision: 0,
            value: Some(value),
            interval: Some([0.1, 0.3]),
            p_value: None,
            expected: None,
            n: 500,
            n_reference: None,
            bound: None,
            verdict: Some(Verdict::Breach),
            reason: None,
            standing_out: Vec::new(),
            sequential: None,
        }
    }

    fn decision(evidence: Vec<Finding>) -> Decision {
        let key = ModelKey {
            tenant: Some("bank".into()),
            model: "credit".into(),
            version: "v2".into(),
            segment: Segment::All,
            profile: None,
        };
        Decision {
            id: "0123456789abcdef0123456789abcdef".into(),
            kind: DecisionKind::Violated,
            policy: "fair".into(),
            decide: Default::default(),
            key,
            since: EventTime::from_millis(1_000),
            at: EventTime::from_millis(2_000),
            actions: vec!["back".into()],
            evidence,
        }
    }

    fn decode(message: &[u8]) -> Result<Decided, Error> {
        read(message).map(|told| match told {
            Told::Decided(decided) => decided,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_decision_is_read_as_it_was_written() {
        let written = decision(vec![finding("psi".into(), 0.1 + 0.2)]);
        let read = decode(&encode(&written, Some(7), &[])).unwrap();
        assert_eq!(read, Decided { decision: written, decided_at: Some(7), positions: Vec::new() });
    }

    #[test]
    fn messages_of_the_first_version_still_read() {
        let text = br#"{"v":1,"type":"decision","later":true,"decision":{"id":"d1","kind":"violated","policy":"fair","decide":"window","key":{"model":"credit","version":"v2"},"since":"2026-11-22T09:58:00Z","at":"2026-11-22T09:59:00Z","actions":["back"],"evidence":[]}}"#;
        let read = decode(text).unwrap().decision;
        assert_eq!((read.id.as_str(), read.kind), ("d1", DecisionKind::Violated));
    }

    #[test]
    fn another_version_or_type_is_refused_by_name() {
        for (text, says) in [
            (r#"{"v":2,"type":"decision"}"#, "message has version 2, and this plimsoll reads version 1"),
            (r#"{"v":1,"type":"hold"}"#, "message has type \"hold\", which this plimsoll does not know"),
            (r#"{"v":1,"type":"decision"}"#, "not a message about a decision"),
            ("", "not a message about a decision"),
        ] {
            assert_eq!(decode(text.as_bytes()).unwrap_err().to_string(), says, "{text}");
        }
    }

    #[test]
    fn what_would_not_fit_into_an_entry_of_the_log_is_refused_by_size() {
        let mut large = decision(Vec::new());
        large.policy = "p".repeat(20_000);
        let error = read(&encode(&large, None, &[])).unwrap_err();
        assert!(error.to_string().starts_with("a decision of 20"), "{error}");
        let command = Command {
            id: "c1".into(),
            at: 0,
            who: "ann".into(),
            role: crate::safety::Role::Approver,
            reason: "r".repeat(20_000),
            order: crate::safety::Order::Freeze,
        };
        assert!(matches!(read(&encode_command(&command)), Err(Error::Large { what: "command", .. })));
        let command = Command { reason: "enough".into(), ..command };
        assert_eq!(read(&encode_command(&command)).unwrap(), Told::Command(command));
    }

    /// What one member of a good message says instead.
    fn with(message: &[u8], at: &str, value: Value) -> Vec<u8> {
        let mut changed: Value = serde_json::from_slice(message).unwrap();
        *changed.pointer_mut(at).unwrap_or_else(|| panic!("{at}")) = value;
        serde_json::to_vec(&changed).unwrap()
    }

    #[test]
    fn what_the_audit_log_cannot_state_is_refused() {
        let source = SourcePartition::new("loans", 0);
        let decided = encode(&decision(vec![finding("psi".into(), 0.5)]), Some(7), &[(source, 5)]);
        let command = encode_command(&Command {
            id: "c1".into(),
            at: 7,
            who: "ann".into(),
            role: crate::safety::Role::Approver,
            reason: "why".into(),
            order: crate::safety::Order::Freeze,
        });
        let report = encode_report(&Report {
            tenant: None,
            model: "credit".into(),
            from: EventTime::from_millis(0),
            until: EventTime::from_millis(9),
            rows: [("v2".into(), 5)].into(),
            standings: Vec::new(),
        });
        let (most, beyond) = (LARGEST, LARGEST + 1);
        let numbers: [(&[u8], &str); 4] = [
            (&decided, "/positions/0/1"),
            (&decided, "/decision/evidence/0/n"),
            (&decided, "/decision/evidence/0/n_reference"),
            (&report, "/report/rows/v2"),
        ];
        for (message, at) in numbers {
            assert!(read(&with(message, at, most.into())).is_ok(), "{at}");
            for value in [beyond, i64::MAX as u64] {
                let error = read(&with(message, at, value.into())).unwrap_err();
                assert!(matches!(error, Error::Unstatable { what: "number", .. }), "{at}: {error}");
            }
        }
        for (message, at) in [(&decided, "/decided_at"), (&command, "/command/at")] {
            for value in [i64::MIN, i64::MIN + 1, -62_167_219_200_001, 253_402_300_800_000, i64::MAX] {
                let error = read(&with(message, at, value.into())).unwrap_err();
                assert!(matches!(error, Error::Unstatable { what: "time", .. }), "{at}: {error}");
            }
        }
        let times: [(&[u8], &str); 6] = [
            (&decided, "/decision/since"),
            (&decided, "/decision/at"),
            (&decided, "/decision/evidence/0/window/start"),
            (&decided, "/decision/evidence/0/window/end"),
            (&report, "/report/from"),
            (&report, "/report/until"),
        ];
        for (message, at) in times {
            assert!(read(&with(message, at, "9999-12-31T23:59:59.999Z".into())).is_ok(), "{at}");
            for value in [
                "10000-01-01T00:00:00Z",
                "-0001-01-01T00:00:00Z",
                "end",
                "none",
                "999999999999-01-01T00:00:00Z",
            ] {
                assert!(read(&with(message, at, value.into())).is_err(), "{at}: {value}");
            }
        }
    }

    #[test]
    fn a_number_that_json_cannot_hold_costs_its_finding_and_not_the_decision() {
        let mut broken = finding("broken".into(), 0.5);
        broken.interval = Some([f64::NAN, 0.3]);
        let read =
            decode(&encode(&decision(vec![broken, finding("psi".into(), 0.5)]), None, &[])).unwrap().decision;
        assert_eq!(read, decision(vec![finding("psi".into(), 0.5)]));
    }

    #[test]
    fn a_message_stays_small_enough_for_a_broker() {
        let evidence = (0..3_000).map(|i| finding(format!("{i}-{}", "c".repeat(200)), 0.5)).collect();
        let message = encode(&decision(evidence), None, &[]);
        assert!((400_000..600_000).contains(&message.len()), "{}", message.len());
        assert!(!decode(&message).unwrap().decision.evidence.is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            at in 0..400_usize,
            byte in any::<u8>(),
        ) {
            let _refused = decode(&bytes);
            let mut message = encode(&decision(vec![finding("psi".into(), 0.5)]), None, &[]);
            let at = at % message.len();
            message[at] = byte;
            let _read_or_refused = decode(&message);
            message.truncate(at);
            prop_assert!(decode(&message).is_err());
        }
    }
}
