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

    /// First and last instant that RFC 3339 can state, with years of four digits.
    const STATED: [i64; 2] = [-62_167_219_200_000, 253_402_300_799_999];

    /// Whether RFC 3339 can state it: it lies in the years 0 to 9999.
    pub const fn has_four_digit_year(self) -> bool {
        Self::STATED[0] <= self.0 && self.0 <= Self::STATED[1]
    }

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
        if year < 0 {
            f.write_str("-")?;
        }
        write!(f, "{:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}", year.abs())?;
        if millis != 0 {
            write!(f, ".{millis:03}")?;
        }
        f.write_str("Z")
    }
}

impl FromStr for EventTime {
    type Err = &'static str;

    /// Reads what `Display` writes of every time but `MIN` and `MAX`: RFC 3339 in UTC with at most three
    /// decimals. Years beyond 0 to 9999, which RFC 3339 does not know, are read with a sign or more digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "not a time such as 2026-11-22T10:00:00Z";
        parse(text).ok_or(WRONG)
    }
}

fn parse(text: &str) -> Option<EventTime> {
    let body = text.strip_suffix('Z')?;
    let (before, body) = body.strip_prefix('-').map_or((false, body), |body| (true, body));
    let (date, time) = body.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [h, m, s] = numbers(clock, ':')?;
    if fraction.len() > 3 {
        return None;
    }
    let millis = number(&format!("{fraction:0<3}"))?;
    let year = if before { -year } else { year };
    if !(1..=12).contains(&month) || h > 23 || m > 59 || s > 60 {
        return None;
    }
    let days = days_from_civil(year, month, day);
    // The 31st of June is no day.
    if civil_from_days(days) != (year, month, day) {
        return None;
    }
    let seconds = days * 86_400 + h * 3600 + m * 60 + s;
    let time = i64::try_from(i128::from(seconds) * 1000 + i128::from(millis)).ok().map(EventTime)?;
    // These two mark that there is no time.
    (time != EventTime::MIN && time != EventTime::MAX).then_some(time)
}

/// Three numbers with `between` between them.
fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let mut parts = text.splitn(3, between).map(number);
    Some([parts.next()??, parts.next()??, parts.next()??])
}

/// A number of at most nine digits, so that nothing that is computed of it as a year is too large.
fn number(digits: &str) -> Option<i64> {
    let plain = (1..=9).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_time_that_is_written_is_read_again(millis in any::<i64>(), near in -400_000_000_000_000..400_000_000_000_000_i64) {
            for millis in [millis, near] {
                let time = EventTime::from_millis(millis);
                if ![EventTime::MIN, EventTime::MAX].contains(&time) {
                    prop_assert_eq!(time.to_string().parse::<EventTime>(), Ok(time), "{}", time);
                }
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "-?[0-9]{0,20}-[0-9]{1,20}-[0-9]{1,20}T[0-9]{1,20}:[0-9]{1,2}:[0-9]{1,2}(\\.[0-9]{0,4})?Z?") {
            if let Ok(time) = text.parse::<EventTime>() {
                prop_assert_eq!(time.to_string().parse::<EventTime>(), Ok(time));
            }
        }
    }

    #[test]
    fn what_is_no_time_or_beyond_all_times_is_refused_and_nothing_overflows() {
        for text in [
            "9223372036854775807-01-01T00:00:00Z",
            "-9223372036854775808-01-01T00:00:00Z",
            "999999999-01-01T00:00:00Z",
            "292278994-08-17T07:12:55.808Z",
            // `MAX` itself, which is no time.
            "292278994-08-17T07:12:55.807Z",
            "2026-9223372036854775807-01T00:00:00Z",
            "2026-01-01T9223372036854775807:00:00Z",
            "2026-01-01T-1:00:00Z",
            "+2026-01-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-06-31T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-01T00:00:00.é Z",
            "--26-01-01T00:00:00Z",
            "end",
            "none",
            "",
            "Z",
        ] {
            assert!(text.parse::<EventTime>().is_err(), "{text}");
        }
        for millis in [i64::MIN + 1, i64::MIN + 900, i64::MAX - 1] {
            let time = EventTime::from_millis(millis);
            assert_eq!(time.to_string().parse::<EventTime>(), Ok(time));
        }
        assert_eq!(
            "2024-02-29T00:00:00Z".parse::<EventTime>().map(|time| time.to_string()).as_deref(),
            Ok("2024-02-29T00:00:00Z")
        );
    }

    #[test]
    fn rfc_3339_states_the_years_0_to_9999() {
        for (text, stated) in [
            ("0000-01-01T00:00:00Z", true),
            ("-0001-12-31T23:59:59.999Z", false),
            ("9999-12-31T23:59:59.999Z", true),
            ("10000-01-01T00:00:00Z", false),
        ] {
            let time = text.parse::<EventTime>().unwrap();
            assert_eq!((time.to_string().as_str(), time.has_four_digit_year()), (text, stated));
        }
        assert!(!EventTime::MAX.has_four_digit_year() && !EventTime::MIN.has_four_digit_year());
    }

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
