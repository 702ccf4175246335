//! One entry of the audit log: what was decided, what was about to be done, what came of it. The
//! actor makes entries and reads them back after a restart; where they are kept is not its concern.
//!
//! An entry is stored as canonical JSON (RFC 8785): one object without white space, the keys of every
//! object in ascending order of their UTF-16 units, numbers in the shortest form that reads back the
//! same, no number that is not finite. Equal entries are therefore equal bytes, in any language. Entries hold no personal
//! data (counts, rates and names of groups only) and no secrets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{Decision, EventTime, Version};
use crate::safety::{Action, ActionKind, Command, Idempotency, ModelName, State, Suppression, Verified};

/// The version of the stored form.
pub const FORMAT: u32 = 1;

/// Why entries cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON of this form.
    #[error("not an entry of the audit log")]
    Malformed(#[from] serde_json::Error),
    /// Written by another plimsoll.
    #[error("entry has format {found}, and this plimsoll reads format {FORMAT}")]
    Format {
        /// The entry's format.
        found: u32,
    },
    /// An entry is missing, or there twice.
    #[error("expected entry {expected} and found {found}: entries are missing, repeated or out of order")]
    Gap {
        /// Number that should come next.
        expected: u64,
        /// Number that came.
        found: u64,
    },
    /// An entry about an action that no decision before it asked for.
    #[error("entry {seq} is about action {action_id}, which no entry before it announced")]
    UnknownAction {
        /// Number of the entry.
        seq: u64,
        /// The action.
        action_id: String,
    },
}

/// An action that a decision asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Its id.
    pub action_id: String,
    /// Its configured name.
    pub action: String,
    /// What it is for.
    pub kind: ActionKind,
    /// No attempt begins at or after this wall time.
    #[serde(with = "wall_time")]
    pub deadline: i64,
}

/// What became of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Ended {
    /// It was not done.
    Suppressed {
        /// Why not.
        reason: Suppression,
        /// In words, where there is more to say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// A person said no.
    Denied {
        /// Who, and why.
        detail: String,
    },
    /// Nobody said yes in time.
    Expired,
    /// The target has done it.
    Applied {
        /// Questions asked since the start of the process.
        attempts: u32,
        /// What the target said.
        detail: String,
        /// Rollbacks: event time from which on the inference log has to show it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<EventTime>,
    },
    /// The target did not do it.
    Failed {
        /// Questions asked since the start of the process.
        attempts: u32,
        /// Why.
        detail: String,
    },
    /// A person stopped it.
    Cancelled {
        /// Questions asked since the start of the process.
        attempts: u32,
        /// Who, and what the target said.
        detail: String,
    },
    /// It may or may not have been done.
    NeedsHuman {
        /// Questions asked since the start of the process.
        attempts: u32,
        /// What is known.
        detail: String,
    },
}

impl Ended {
    /// The end that `action` has come to, if it has; `since` is from when on its effect has to show.
    pub fn of(action: &Action, since: Option<EventTime>) -> Option<Self> {
        let attempts = action.asked;
        Some(match action.state.clone() {
            State::Proposed
            | State::AwaitingApproval { .. }
            | State::Preflight { .. }
            | State::Submitting { .. }
            | State::Finding { .. }
            | State::Following { .. }
            | State::Verified { .. } => return None,
            State::Suppressed { reason, detail } => Self::Suppressed { reason, detail },
            State::Denied { detail } => Self::Denied { detail },
            State::Expired => Self::Expired,
            State::Applied { detail } | State::Verifying { detail } => {
                Self::Applied { attempts, detail, since }
            }
            State::Failed { detail } => Self::Failed { attempts, detail },
            State::Cancelled { detail } => Self::Cancelled { attempts, detail },
            State::NeedsHuman { detail } => Self::NeedsHuman { attempts, detail },
        })
    }

    /// Questions asked since the start of the process that saw the end; 0 of ends that no target knows of.
    pub fn attempts(&self) -> u32 {
        match self {
            Self::Suppressed { .. } | Self::Denied { .. } | Self::Expired => 0,
            Self::Applied { attempts, .. }
            | Self::Failed { attempts, .. }
            | Self::Cancelled { attempts, .. }
            | Self::NeedsHuman { attempts, .. } => *attempts,
        }
    }

    /// The state that it was.
    pub fn into_state(self) -> State {
        match self {
            Self::Suppressed { reason, detail } => State::Suppressed { reason, detail },
            Self::Denied { detail } => State::Denied { detail },
            Self::Expired => State::Expired,
            Self::Applied { detail, since: Some(_), .. } => State::Verifying { detail },
            Self::Applied { detail, since: None, .. } => State::Applied { detail },
            Self::Failed { detail, .. } => State::Failed { detail },
            Self::Cancelled { detail, .. } => State::Cancelled { detail },
            Self::NeedsHuman { detail, .. } => State::NeedsHuman { detail },
        }
    }
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// A process took up the log.
    Started {
        /// What it says of itself.
        about: BTreeMap<String, String>,
    },
    /// A policy decided.
    Decision {
        /// What it wants, with as much of the evidence as an entry may hold.
        decision: Decision,
        /// Findings left out of the evidence.
        omitted: u64,
        /// The actions that follow from it.
        actions: Vec<Planned>,
    },
    /// The evidence for the actions of a decision, sealed before any of them begins.
    Evidence {
        /// The decision.
        decision: String,
        /// The actions that stand on it.
        action_ids: Vec<String>,
        /// What was known: the entry of the decision by number and hash (it holds the findings with their
        /// counts), the configuration, policy and profile by their hashes, how far the logs were read, the
        /// model's digest where it is logged.
        snapshot: Value,
        /// `sha256:` and the hash of `snapshot` as canonical JSON; an approval names it.
        sha256: String,
    },
    /// A person ordered something.
    Command {
        /// Who, why and what.
        command: Command,
        /// Whether it was carried out.
        accepted: bool,
        /// Why not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// Approvals: the wall time by which requests must have begun.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_wall_time")]
        deadline: Option<i64>,
    },
    /// Too many models wanted a change at once, so that nothing may be changed.
    Frozen {
        /// How many.
        models: u64,
        /// In words.
        reason: String,
    },
    /// A call is about to be made for the first time.
    Intent {
        /// Id of the action.
        action_id: String,
        /// Where the call goes.
        target: String,
        /// What the target makes of a repetition.
        idempotency: Idempotency,
        /// The version to go back to, for a rollback.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to_version: Option<Version>,
        /// What will be sent, the same in every attempt.
        payload: Value,
    },
    /// The target took an action, and is at it.
    Accepted {
        /// Id of the action.
        action_id: String,
        /// What the target calls it.
        reference: String,
        /// What the target said.
        detail: String,
        /// Wall time by which it must have succeeded.
        #[serde(with = "wall_time")]
        until: i64,
    },
    /// What became of the call of an action.
    Outcome {
        /// Id of the action.
        action_id: String,
        /// How it ended.
        outcome: Ended,
    },
    /// What the inference log has shown of a rollback that was applied.
    Verified {
        /// Id of the action.
        action_id: String,
        /// The result.
        result: Verified,
        /// In words.
        detail: String,
    },
    /// An action needs a person.
    Escalated {
        /// Id of the action.
        action_id: String,
        /// Why: the name of the state or of the suppression.
        reason: String,
        /// In words.
        detail: String,
        /// The notifications that follow.
        actions: Vec<Planned>,
    },
    /// A version was seen to take traffic.
    Served {
        /// The model.
        #[serde(flatten)]
        model: ModelName,
        /// Its version.
        version: Version,
        /// Event time from which on it did.
        from: EventTime,
        /// Event time until which it did.
        until: EventTime,
    },
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Version of the stored form.
    pub format: u32,
    /// Its number; the first is 0, and none is left out.
    pub seq: u64,
    /// Wall time, milliseconds since the epoch; stored as RFC 3339 in UTC.
    #[serde(with = "wall_time")]
    pub time: i64,
    /// What it says.
    #[serde(flatten)]
    pub body: Body,
}

impl Entry {
    /// The entry as canonical JSON, without a line end.
    pub fn to_json(&self) -> String {
        canonical(&to_value(self))
    }

    /// Reads what `to_json` writes.
    pub fn from_json(text: &[u8]) -> Result<Self, Error> {
        let entry: Self = serde_json::from_slice(text)?;
        if entry.format != FORMAT {
            return Err(Error::Format { found: entry.format });
        }
        Ok(entry)
    }

    /// Whether the entry is the one numbered `expected`.
    pub fn follows(&self, expected: u64) -> Result<(), Error> {
        if self.seq == expected { Ok(()) } else { Err(Error::Gap { expected, found: self.seq }) }
    }
}

/// `value` as a JSON value; numbers that are not finite become null.
pub(super) fn to_value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("keys are text, and nothing here fails to serialize")
}

/// `value` as canonical JSON (RFC 8785): keys in the order of their UTF-16 units, numbers as ECMAScript
/// writes doubles. Whole numbers beyond 2^53 are therefore not kept exactly.
pub fn canonical(value: &Value) -> String {
    serde_json_canonicalizer::to_string(value)
        .expect("keys are text, and a value holds no number that is not finite")
}

/// The same where there may be none.
mod maybe_wall_time {
    use super::EventTime;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "the form that serde asks for")]
    pub(super) fn serialize<S: Serializer>(millis: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        millis.map(EventTime::from_millis).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        Ok(Option::<EventTime>::deserialize(deserializer)?.map(EventTime::as_millis))
    }
}

/// Wall time as RFC 3339; the notation is that of event time, the clock is not.
mod wall_time {
    use super::EventTime;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(millis: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        EventTime::from_millis(*millis).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        EventTime::deserialize(deserializer).map(EventTime::as_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Entry {
        Entry::from_json(text.as_bytes()).unwrap()
    }

    #[test]
    fn entries_of_the_first_format_still_read_and_write_the_same_bytes() {
        for text in [
            r#"{"about":{"version":"0.1.0"},"format":1,"kind":"started","seq":0,"time":"2026-11-22T10:00:00Z"}"#,
            r#"{"actions":[{"action":"back","action_id":"rollback-1","deadline":"2026-11-22T10:05:00.001Z","kind":"rollback"}],"decision":{"actions":["back"],"at":"2026-11-22T09:59:00Z","decide":"window","evidence":[],"id":"d1","key":{"model":"credit","segment":"channel=web","version":"v2"},"kind":"violated","policy":"fair","since":"2026-11-22T09:58:00Z"},"format":1,"kind":"decision","omitted":2,"seq":1,"time":"2026-11-22T10:00:00.001Z"}"#,
            r#"{"action_id":"rollback-1","format":1,"idempotency":"keyed","kind":"intent","payload":{"data":{"n":1.5}},"seq":2,"target":"webhook","time":"2026-11-22T10:00:00.001Z","to_version":"v1"}"#,
            r#"{"action_id":"rollback-1","format":1,"kind":"outcome","outcome":{"attempts":2,"detail":"HTTP 202","state":"applied"},"seq":3,"time":"2026-11-22T10:00:01Z"}"#,
            r#"{"action_id":"rollback-2","format":1,"kind":"outcome","outcome":{"reason":"no_known_good_version","state":"suppressed"},"seq":4,"time":"2026-11-22T10:00:01Z"}"#,
        ] {
            assert_eq!(read(text).to_json(), text);
        }
    }

    #[test]
    fn another_format_is_refused_by_name() {
        let text = r#"{"about":{},"format":2,"kind":"started","seq":0,"time":"2026-11-22T10:00:00Z"}"#;
        let error = Entry::from_json(text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "entry has format 2, and this plimsoll reads format 1");
    }

    #[test]
    fn canonical_json_sorts_at_every_depth_and_escapes_names() {
        let value: Value =
            serde_json::from_str(r#"{"b": [ {"z":1, "a":"\u00e9\n"} ], "a\"": null, "B": 1e-7}"#).unwrap();
        assert_eq!(canonical(&value), r#"{"B":1e-7,"a\"":null,"b":[{"a":"é\n","z":1}]}"#);
    }

    /// The examples of RFC 8785: sections 3.2.2, 3.2.3 and appendix B.
    #[test]
    fn canonical_json_is_that_of_rfc_8785() {
        let value: Value = serde_json::from_str(
            r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#,
        )
        .unwrap();
        assert_eq!(
            canonical(&value),
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
        let value: Value = serde_json::from_str(
            r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#,
        )
        .unwrap();
        // By UTF-16 units the smiling face comes before the Hebrew letter; by UTF-8 bytes after it.
        assert_eq!(
            canonical(&value),
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
        );
        for (bits, text) in [
            (0x8000_0000_0000_0000_u64, "0"),
            (1, "5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x3ff0_0000_0000_0000, "1"),
        ] {
            assert_eq!(canonical(&Value::from(f64::from_bits(bits))), text);
        }
    }
}
