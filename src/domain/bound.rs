//! A bound on a value, written as people write it: `<= 0.2`, `>= 0.8`, `between 0.8 and 1.25`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::finding::Verdict;

/// The values that a policy allows. Limits themselves are allowed (`<=`, not `<`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Allowed up to this value.
    AtMost(f64),
    /// Allowed from this value on.
    AtLeast(f64),
    /// Allowed between two values.
    Between(f64, f64),
}

impl Bound {
    /// Whether `value` is allowed.
    pub fn allows(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
            Self::Between(low, high) => (low..=high).contains(&value),
        }
    }

    /// Three-valued answer for a value known only to lie in `low..=high`: `Pass` when every value
    /// of the interval is allowed, `Breach` when none is, else `Insufficient`.
    pub fn judge(self, low: f64, high: f64) -> Verdict {
        let outside = match self {
            Self::AtMost(limit) => low > limit,
            Self::AtLeast(limit) => high < limit,
            Self::Between(least, most) => low > most || high < least,
        };
        if self.allows(low) && self.allows(high) {
            Verdict::Pass
        } else if outside {
            Verdict::Breach
        } else {
            Verdict::Insufficient
        }
    }

    /// How far `value` is beyond the bound, in the value's own unit; 0 where it is allowed.
    pub fn excess(self, value: f64) -> f64 {
        match self {
            Self::AtMost(limit) => (value - limit).max(0.0),
            Self::AtLeast(limit) => (limit - value).max(0.0),
            Self::Between(low, high) => (value - high).max(low - value).max(0.0),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<= {limit}"),
            Self::AtLeast(limit) => write!(f, ">= {limit}"),
            Self::Between(low, high) => write!(f, "between {low} and {high}"),
        }
    }
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |part: &str| {
            part.trim().parse::<f64>().ok().filter(|value| value.is_finite()).ok_or_else(|| {
                format!("`{text}` is not a bound: write `<= 0.2`, `>= 0.8` or `between 0.8 and 1.25`")
            })
        };
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("<=") {
            return Ok(Self::AtMost(number(rest)?));
        }
        if let Some(rest) = text.strip_prefix(">=") {
            return Ok(Self::AtLeast(number(rest)?));
        }
        if let Some((low, high)) = text.strip_prefix("between ").and_then(|rest| rest.split_once(" and ")) {
            let (low, high) = (number(low)?, number(high)?);
            if low > high {
                return Err(format!("`{text}` allows nothing: {low} is above {high}"));
            }
            return Ok(Self::Between(low, high));
        }
        if text.starts_with(['<', '>']) {
            return Err(format!("`{text}`: a limit is itself allowed, so write `<=` or `>=`"));
        }
        Err(number("").expect_err("an empty text is no number"))
    }
}

impl Serialize for Bound {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        for text in ["<= 0.2", ">= 0.8", "between 0.8 and 1.25"] {
            assert_eq!(text.parse::<Bound>().map(|bound| bound.to_string()), Ok(text.to_owned()));
        }
        for text in ["0.2", "< 0.2", "<= x", "<= NaN", "between 2 and 1"] {
            assert!(text.parse::<Bound>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_interval_that_straddles_the_limit_decides_nothing() {
        let bound = Bound::AtLeast(0.8);
        assert_eq!(bound.judge(0.85, 0.95), Verdict::Pass);
        assert_eq!(bound.judge(0.5, 0.7), Verdict::Breach);
        assert_eq!(bound.judge(0.7, 0.9), Verdict::Insufficient);
    }
}
