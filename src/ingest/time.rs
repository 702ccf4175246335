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
            (unit, Scalar::Integer(value)) => unit.of_integer(value),
            (unit, Scalar::Float(value)) => unit.of_float(value),
            // Files and headers carry numbers as text.
            (unit, Scalar::Text) => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(value), _) => unit.of_integer(value),
                (_, Ok(value)) => unit.of_float(value),
                _ => return Err(RejectReason::WrongType),
            },
        };
        millis.filter(|millis| *millis > 0).map(EventTime::from_millis).ok_or(RejectReason::InvalidTime)
    }

    fn of_integer(self, value: i64) -> Option<i64> {
        match self {
            Self::Seconds => value.checked_mul(1000),
            Self::Micros => Some(value.div_euclid(1000)),
            Self::Nanos => Some(value.div_euclid(1_000_000)),
            Self::Millis | Self::Rfc3339 => Some(value),
        }
    }

    fn of_float(self, value: f64) -> Option<i64> {
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
