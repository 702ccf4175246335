//! Event time as logs write it.

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use super::json::Scalar;
use crate::domain::{EventTime, RejectReason};

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// RFC 3339 text. A text without an offset is UTC; a date, a month or a year alone stand for
    /// their first instant (ISO 8601 reduced precision).
    Rfc3339,
    /// A number of seconds since the Unix epoch, fractions allowed.
    Seconds,
    /// A number of milliseconds since the Unix epoch.
    Millis,
    /// A number of microseconds since the Unix epoch.
    Micros,
    /// A number of nanoseconds since the Unix epoch.
    Nanos,
}

impl TimeUnit {
    /// The time that a scalar states. Times at or before the epoch are no event times: they come
    /// from clocks and fields that were never set.
    pub(super) fn read(self, scalar: Scalar, text: &str) -> Result<EventTime, RejectReason> {
        let millis = match (self, scalar) {
            (_, Scalar::Absent | Scalar::Null) => return Err(RejectReason::MissingTime),
            (_, Scalar::Bool | Scalar::Nested) => return Err(RejectReason::WrongType),
            (Self::Rfc3339, Scalar::Text | Scalar::Integer(_)) => text_millis(text),
            (Self::Rfc3339, Scalar::Float(_)) => return Err(RejectReason::WrongType),
            (unit, Scalar::Integer(value)) => unit.integer_millis(value),
            (unit, Scalar::Float(value)) => unit.float_millis(value),
            // Files and headers carry numbers as text.
            (unit, Scalar::Text) => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(value), _) => unit.integer_millis(value),
                (_, Ok(value)) => unit.float_millis(value),
                _ => return Err(RejectReason::WrongType),
            },
        };
        millis.filter(|millis| *millis > 0).map(EventTime::from_millis).ok_or(RejectReason::InvalidTime)
    }

    fn integer_millis(self, value: i64) -> Option<i64> {
        match self {
            Self::Seconds => value.checked_mul(1000),
            Self::Micros => Some(value.div_euclid(1000)),
            Self::Nanos => Some(value.div_euclid(1_000_000)),
            Self::Millis | Self::Rfc3339 => Some(value),
        }
    }

    fn float_millis(self, value: f64) -> Option<i64> {
        let millis = match self {
            Self::Seconds => value * 1e3,
            Self::Micros => value / 1e3,
            Self::Nanos => value / 1e6,
            Self::Millis | Self::Rfc3339 => value,
        };
        // Beyond the year 9999 it is no time but a mistake in the unit.
        (millis.is_finite() && millis.abs() < 2.6e14).then(|| millis.floor() as i64)
    }
}

fn text_millis(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Some(millis) = utc_millis(text.as_bytes()) {
        return Some(millis);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return Some(time.and_utc().timestamp_millis());
        }
    }
    let date = match text.len() {
        4 => format!("{text}-01-01"),
        7 => format!("{text}-01"),
        _ => text.to_owned(),
    };
    let date = NaiveDate::parse_from_str(&date, "%Y-%m-%d").ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis())
}

/// The form that most logs write, `2026-11-22T10:00:00.123Z` with any decimals: read here because
/// it is read once a record. None for every other form, and for what is no time.
fn utc_millis(text: &[u8]) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| {
        text.get(range)?
            .iter()
            .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
    };
    let (body, [b'Z']) = text.split_last_chunk()? else {
        return None;
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !separators.iter().all(|(at, separator)| body.get(*at) == Some(separator)) {
        return None;
    }
    let millis = match body.get(19..)? {
        [] => 0,
        [b'.', decimals @ ..] if !decimals.is_empty() && decimals.iter().all(u8::is_ascii_digit) => {
            let digit = |at: usize| decimals.get(at).map_or(0, |digit| u32::from(digit - b'0'));
            digit(0) * 100 + digit(1) * 10 + digit(2)
        }
        _ => return None,
    };
    let date = NaiveDate::from_ymd_opt(number(0..4)?.try_into().ok()?, number(5..7)?, number(8..10)?)?;
    let time = date.and_hms_milli_opt(number(11..13)?, number(14..16)?, number(17..19)?, millis)?;
    Some(time.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Result<i64, RejectReason> {
        TimeUnit::Rfc3339.read(Scalar::Text, text).map(EventTime::as_millis)
    }

    #[test]
    fn reads_rfc_3339_with_offsets_fractions_and_reduced_precision() {
        assert_eq!(text("2026-11-22T10:00:00.123456Z"), Ok(1_795_341_600_123));
        assert_eq!(text("2026-11-22T11:00:00+01:00"), Ok(1_795_341_600_000));
        assert_eq!(text("2026-11-22 10:00:00"), Ok(1_795_341_600_000));
        assert_eq!(text("2016"), Ok(1_451_606_400_000));
        assert_eq!(text("2016-02"), Ok(1_454_284_800_000));
        assert_eq!(text("yesterday"), Err(RejectReason::InvalidTime));
        assert_eq!(text("1969-01-01T00:00:00Z"), Err(RejectReason::InvalidTime));
    }

    #[test]
    fn the_common_form_is_read_as_any_other_form_of_the_same_instant() {
        for (common, other) in [
            ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00+00:00"),
            ("2026-11-22T10:00:00.5Z", "2026-11-22 10:00:00.500"),
            ("2024-02-29T23:59:59.999999999Z", "2024-02-29T23:59:59.999999999+00:00"),
            ("1970-01-01T00:00:00.001Z", "1970-01-01T01:00:00.001+01:00"),
        ] {
            assert!(utc_millis(common.as_bytes()).is_some(), "{common}");
            assert_eq!(text(common), text(other));
        }
        for wrong in
            ["2026-02-29T10:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T10:00:00.Z", "2026-11-22T10:00:0+Z"]
        {
            assert_eq!(text(wrong), Err(RejectReason::InvalidTime), "{wrong}");
        }
    }

    #[test]
    fn one_instant_in_every_unit_is_one_event_time() {
        let second = 1_795_341_600_i64;
        for (unit, scalar) in [
            (TimeUnit::Seconds, Scalar::Integer(second)),
            (TimeUnit::Seconds, Scalar::Float(second as f64)),
            (TimeUnit::Millis, Scalar::Integer(second * 1_000)),
            (TimeUnit::Micros, Scalar::Integer(second * 1_000_000)),
            (TimeUnit::Nanos, Scalar::Integer(second * 1_000_000_000)),
        ] {
            assert_eq!(unit.read(scalar, ""), Ok(EventTime::from_millis(second * 1000)), "{unit:?}");
        }
        assert_eq!(TimeUnit::Seconds.read(Scalar::Float(1e300), ""), Err(RejectReason::InvalidTime));
        assert_eq!(TimeUnit::Seconds.read(Scalar::Integer(i64::MAX), ""), Err(RejectReason::InvalidTime));
        assert_eq!(TimeUnit::Millis.read(Scalar::Null, ""), Err(RejectReason::MissingTime));
        assert_eq!(TimeUnit::Millis.read(Scalar::Bool, ""), Err(RejectReason::WrongType));
    }
}
