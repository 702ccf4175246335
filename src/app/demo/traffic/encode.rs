//! Writes records as JSON by hand: at thirty thousand a second of wall time, beside a daemon that
//! decodes as many, a serializer and a date library would cost more than the demo shows. Also the
//! only place that knows how to spoil a record.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::domain::{EventTime, RejectReason};

const DAY_MILLIS: i64 = 86_400_000;

/// How a record is spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Tombstone,
    CutOff,
    NotANumber,
    NotUtf8,
    Array,
    UnknownModel,
    NoVersion,
    VersionObject,
    NoTime,
    TimeInWords,
    FarFuture,
    /// A feature with a text in it: the record stays usable, the value counts as invalid.
    IncomeInWords,
}

impl Fault {
    const ALL: [Self; 12] = [
        Self::Tombstone,
        Self::CutOff,
        Self::NotANumber,
        Self::NotUtf8,
        Self::Array,
        Self::UnknownModel,
        Self::NoVersion,
        Self::VersionObject,
        Self::NoTime,
        Self::TimeInWords,
        Self::FarFuture,
        Self::IncomeInWords,
    ];

    pub(super) fn draw(rng: &mut ChaCha8Rng) -> Self {
        Self::ALL[rng.random_range(0..Self::ALL.len())]
    }

    /// The reason under which the record is rejected; none where it is used all the same.
    pub(super) const fn reason(self) -> Option<RejectReason> {
        Some(match self {
            Self::Tombstone => RejectReason::Tombstone,
            Self::CutOff => RejectReason::InvalidJson,
            Self::NotUtf8 => RejectReason::InvalidUtf8,
            Self::Array => RejectReason::NotAnObject,
            Self::UnknownModel => RejectReason::UnknownModel,
            Self::NoVersion => RejectReason::MissingVersion,
            Self::VersionObject => RejectReason::WrongType,
            Self::NoTime => RejectReason::MissingTime,
            Self::TimeInWords => RejectReason::InvalidTime,
            Self::FarFuture => RejectReason::FutureTimestamp,
            // Python writes bare NaN; the value counts as NaN and the record stays usable.
            Self::IncomeInWords | Self::NotANumber => return None,
        })
    }
}

/// What a record says.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) version: &'static str,
    pub(super) income: f64,
    pub(super) debt_ratio: f64,
    pub(super) credit_lines: u32,
    pub(super) age: u32,
    pub(super) savings: Option<f64>,
    pub(super) employment: &'static str,
    pub(super) region: &'static str,
    pub(super) sex: &'static str,
    pub(super) race: &'static str,
    pub(super) channel: &'static str,
    pub(super) score: f64,
    pub(super) approved: bool,
    pub(super) label: Option<bool>,
    pub(super) latency_ms: f64,
}

/// Writes records; keeps the text of the day, so that a time costs four divisions.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    day: Option<i64>,
    date: Vec<u8>,
}

impl Encoder {
    /// Replaces `out` with the record; an empty `out` stands for a record without a value.
    pub(super) fn record(
        &mut self,
        out: &mut Vec<u8>,
        number: u64,
        at: EventTime,
        row: &Row,
        fault: Option<Fault>,
    ) {
        out.clear();
        match fault {
            Some(Fault::Tombstone) => return,
            Some(Fault::Array) => return out.extend_from_slice(br#"["credit","v1",0.5]"#),
            _ => {}
        }
        let model: &[u8] = if fault == Some(Fault::UnknownModel) { b"credit-card" } else { b"credit" };
        put(out, &[br#"{"model":""#, model, br#"""#]);
        match fault {
            Some(Fault::NoVersion) => {}
            Some(Fault::VersionObject) => put(out, &[br#","version":{"major":1}"#]),
            _ => put(out, &[br#","version":""#, row.version.as_bytes(), br#"""#]),
        }
        match fault {
            Some(Fault::NoTime) => {}
            Some(Fault::TimeInWords) => put(out, &[br#","ts":"five past ten""#]),
            Some(Fault::FarFuture) => put(out, &[br#","ts":"2999-12-31T23:59:59.999Z""#]),
            _ => {
                put(out, &[br#","ts":""#]);
                self.time(out, at);
                out.push(b'"');
            }
        }
        put(out, &[br#","request_id":"credit-"#]);
        integer(out, number, 9);
        put(out, &[br#"","features":{"income":"#]);
        match fault {
            Some(Fault::IncomeInWords) => put(out, &[br#""not stated""#]),
            _ => decimal(out, row.income, 2),
        }
        put(out, &[br#","debt_ratio":"#]);
        decimal(out, row.debt_ratio, 4);
        put(out, &[br#","credit_lines":"#]);
        integer(out, u64::from(row.credit_lines), 1);
        put(out, &[br#","age":"#]);
        integer(out, u64::from(row.age), 1);
        put(out, &[br#","savings":"#]);
        match row.savings {
            Some(savings) => decimal(out, savings, 2),
            None => put(out, &[b"null"]),
        }
        put(
            out,
            &[
                br#","employment":""#,
                row.employment.as_bytes(),
                br#"","region":""#,
                row.region.as_bytes(),
                br#""},"applicant":{"sex":""#,
                row.sex.as_bytes(),
                br#"","race":""#,
                row.race.as_bytes(),
                br#""},"channel":""#,
                row.channel.as_bytes(),
                if fault == Some(Fault::NotUtf8) { b"\xff" } else { b"" },
                br#"","score":"#,
            ],
        );
        match fault {
            Some(Fault::NotANumber) => put(out, &[b"NaN"]),
            _ => decimal(out, row.score, 4),
        }
        let prediction: &[u8] = if row.approved { b"approved" } else { b"declined" };
        put(out, &[br#","prediction":""#, prediction, br#"""#]);
        match row.label {
            Some(true) => put(out, &[br#","label":true"#]),
            Some(false) => put(out, &[br#","label":false"#]),
            None => {}
        }
        put(out, &[br#","latency_ms":"#]);
        decimal(out, row.latency_ms, 2);
        out.push(b'}');
        if fault == Some(Fault::CutOff) {
            out.truncate(out.len() / 2);
        }
    }

    /// RFC 3339 in UTC, always with milliseconds.
    fn time(&mut self, out: &mut Vec<u8>, at: EventTime) {
        let day = at.as_millis().div_euclid(DAY_MILLIS);
        if self.day != Some(day) {
            let midnight = EventTime::from_millis(day * DAY_MILLIS).to_string();
            self.date = midnight.split_inclusive('T').next().unwrap_or_default().into();
            self.day = Some(day);
        }
        let millis = at.as_millis().rem_euclid(DAY_MILLIS) as u64;
        put(out, &[&self.date]);
        integer(out, millis / 3_600_000, 2);
        out.push(b':');
        integer(out, millis / 60_000 % 60, 2);
        out.push(b':');
        integer(out, millis / 1000 % 60, 2);
        out.push(b'.');
        integer(out, millis % 1000, 3);
        out.push(b'Z');
    }
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// `value` with at least `width` digits.
fn integer(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    while value > 0 || digits.len() - first < width {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[first..]);
}

/// A number of at least 0 with `places` decimals.
fn decimal(out: &mut Vec<u8>, value: f64, places: u32) {
    let unit = 10_u64.pow(places);
    let scaled = (value * unit as f64).round() as u64;
    integer(out, scaled / unit, 1);
    out.push(b'.');
    integer(out, scaled % unit, places as usize);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn times_are_written_as_the_domain_reads_them(millis in -4_000_000_000_000_i64..8_000_000_000_000) {
            let (mut out, at) = (Vec::new(), EventTime::from_millis(millis));
            Encoder::default().time(&mut out, at);
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(text.len(), 24);
            prop_assert_eq!(text.parse::<EventTime>(), Ok(at));
        }

        #[test]
        fn decimals_are_rounded_to_their_places(value in 0.0..1e9_f64, places in 1_u32..6) {
            let mut out = Vec::new();
            decimal(&mut out, value, places);
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(text.split('.').nth(1).map(str::len), Some(places as usize));
            let read: f64 = text.parse().unwrap();
            prop_assert!((read - value).abs() <= 0.5000001 * 10_f64.powi(-(places as i32)) + value * 1e-15);
        }
    }

    #[test]
    fn a_day_change_in_either_direction_changes_the_date() {
        let mut encoder = Encoder::default();
        let mut text = |millis| {
            let mut out = Vec::new();
            encoder.time(&mut out, EventTime::from_millis(millis));
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(DAY_MILLIS), "1970-01-02T00:00:00.000Z");
        assert_eq!(text(DAY_MILLIS - 1), "1970-01-01T23:59:59.999Z");
        assert_eq!(text(DAY_MILLIS + 3_723_004), "1970-01-02T01:02:03.004Z");
    }
}
