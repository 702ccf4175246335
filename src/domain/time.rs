//! Event time: when a prediction was made, in milliseconds since 1970-01-01T00:00:00Z. Wall time
//! is a different thing and never stands in for it.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in event time, in milliseconds since the Unix epoch; may lie before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(i64);

impl EventTime {
    /// Later than every record: the watermark of an input that has ended.
    pub const MAX: Self = Self(i64::MAX);
    /// Earlier than every record: the watermark of a partition that has shown none.
    pub const MIN: Self = Self(i64::MIN);

    /// The point `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch, as metrics state it.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The last multiple of `width` that is not after this point.
    ///
    /// `width` is at least one millisecond.
    pub fn floor(self, width: Duration) -> Self {
        let width = (width.as_millis() as i64).max(1);
        Self(self.0.div_euclid(width).saturating_mul(width))
    }

    /// Hour of the week in UTC: 0 is Monday 00:00, 167 Sunday 23:00.
    pub fn hour_of_week(self) -> usize {
        // 1970-01-01 was a Thursday.
        (self.0.div_euclid(3_600_000) + 72).rem_euclid(168) as usize
    }
}

impl Add<Duration> for EventTime {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for EventTime {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// Days since the epoch to year, month, day (H. Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// Year, month, day to days since the epoch (the same source, `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

impl fmt::Display for EventTime {
    /// RFC 3339 in UTC, with milliseconds only where there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MAX => return f.write_str("end"),
            Self::MIN => return f.write_str("none"),
            _ => {}
        }
        let (secs, millis) = (self.0.div_euclid(1000), self.0.rem_euclid(1000));
        let (days, second) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}")?;
        if millis != 0 {
            write!(f, ".{millis:03}")?;
        }
        f.write_str("Z")
    }
}

impl FromStr for EventTime {
    type Err = &'static str;

    /// Reads what `Display` writes: RFC 3339 in UTC with at most three decimals.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "not a time such as 2026-11-22T10:00:00Z";
        let body = text.strip_suffix('Z').ok_or(WRONG)?;
        let (date, time) = body.split_once('T').ok_or(WRONG)?;
        let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>());
        let mut next = || date.next().and_then(Result::ok).ok_or(WRONG);
        let (year, month, day) = (next()?, next()?, next()?);
        let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let mut clock = clock.splitn(3, ':').map(|part| part.parse::<i64>());
        let mut next = || clock.next().and_then(Result::ok).ok_or(WRONG);
        let (h, m, s) = (next()?, next()?, next()?);
        if fraction.len() > 3 {
            return Err(WRONG);
        }
        let millis: i64 = format!("{fraction:0<3}").parse().map_err(|_| WRONG)?;
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || h > 23 || m > 59 || s > 60 {
            return Err(WRONG);
        }
        let seconds = days_from_civil(year, month, day) * 86_400 + h * 3600 + m * 60 + s;
        Ok(Self(seconds * 1000 + millis))
    }
}

/// As text where people may read it, and as milliseconds in binary messages.
impl Serialize for EventTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for EventTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Self);
        }
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_795_341_600_123, "2026-11-22T10:00:00.123Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(EventTime::from_millis(millis).to_string(), text);
            assert_eq!(text.parse::<EventTime>(), Ok(EventTime::from_millis(millis)));
        }
    }

    #[test]
    fn floors_towards_the_past_on_both_sides_of_the_epoch() {
        let minute = Duration::from_secs(60);
        assert_eq!(EventTime::from_millis(61_000).floor(minute).as_millis(), 60_000);
        assert_eq!(EventTime::from_millis(-1).floor(minute).as_millis(), -60_000);
    }
}
