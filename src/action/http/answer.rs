//! A reply of a target over HTTP, and what a status says where an adapter knows nothing better.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::safety::Reply;

/// A reply: its status, and of its body what was read.
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    now: i64,
    body: Vec<u8>,
    whole: bool,
    words: String,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither headers nor body: both may repeat a secret. The words do not.
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("words", &self.words)
            .finish_non_exhaustive()
    }
}

impl Answer {
    pub(super) const fn new(
        status: StatusCode,
        headers: HeaderMap,
        now: i64,
        body: Vec<u8>,
        whole: bool,
        words: String,
    ) -> Self {
        Self { status, headers, now, body, whole, words }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// Whether the status is a 2xx.
    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text and as it came, where all of it did. It may repeat secrets.
    pub fn text(&self) -> Option<&str> {
        if self.whole { std::str::from_utf8(&self.body).ok() } else { None }
    }

    /// The body as JSON, where all of it came and it is. It may repeat secrets.
    pub fn json(&self) -> Option<Value> {
        if self.whole { serde_json::from_slice(&self.body).ok() } else { None }
    }

    /// The status and what was said with it, as it may be shown.
    pub fn said(&self) -> String {
        if self.words.is_empty() {
            format!("HTTP {}", self.status.as_u16())
        } else {
            format!("HTTP {}: {}", self.status.as_u16(), self.words)
        }
    }

    /// How long the target asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers, self.now)
    }

    /// What the status says to any question where the adapter expected another. A 2xx is one that could
    /// not be made use of.
    pub fn unexpected(&self) -> Reply {
        judge(self.status, self.retry_after(), self.said())
    }

    /// The same without a word of the target.
    pub fn bare(&self) -> Reply {
        judge(self.status, self.retry_after(), format!("HTTP {}", self.status.as_u16()))
    }

    /// A success whose body says nothing that can be used: what was asked for may have been done.
    pub fn unreadable(&self, what: &str) -> Reply {
        let why = format!("HTTP {} without {what}", self.status.as_u16());
        Reply::Retry { why, doubt: true, retry_after: None }
    }
}

/// What `status` says by itself.
///
/// 425 and 429 are refused for now, before anything was done. A 4xx is permanent: a mistake in the
/// configuration, or a state that does not allow it. Of 408, of the 5xx and of what is no status of
/// RFC 9110 nobody can say whether something was done before.
pub(super) fn judge(status: StatusCode, retry_after: Option<Duration>, why: String) -> Reply {
    match status.as_u16() {
        300..=399 => Reply::Rejected { why: format!("{why}: redirects are not followed") },
        425 | 429 => Reply::Retry { why, doubt: false, retry_after },
        408 => Reply::Retry { why, doubt: true, retry_after },
        400..=499 => Reply::Rejected { why },
        _ => Reply::Retry { why, doubt: true, retry_after },
    }
}

fn retry_after(headers: &HeaderMap, now: i64) -> Option<Duration> {
    wait_of(headers.get(RETRY_AFTER)?.to_str().ok()?, now)
}

/// How long `retry-after` asks to wait: seconds, or the time left until a date (RFC 9110, 10.2.3).
fn wait_of(text: &str, now: i64) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(text.trim()).ok()?;
    let millis = date.timestamp_millis().saturating_sub(now);
    Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        assert_eq!(wait_of("120", 0), Some(Duration::from_secs(120)));
        let now = 1_445_412_420_000; // 2015-10-21T07:27:00Z
        assert_eq!(wait_of("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(wait_of("Wed, 21 Oct 2015 07:26:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(wait_of("soon", now), None);
    }

    #[test]
    fn each_status_has_its_meaning() {
        let of = |code| judge(StatusCode::from_u16(code).unwrap(), None, String::new());
        for code in [301, 302, 307, 400, 401, 403, 404, 409, 410, 415, 422] {
            assert!(matches!(of(code), Reply::Rejected { .. }), "{code}");
        }
        for (code, doubtful) in [
            (101, true),
            (200, true),
            (408, true),
            (425, false),
            (429, false),
            (500, true),
            (502, true),
            (503, true),
            (504, true),
            (999, true),
        ] {
            assert!(matches!(of(code), Reply::Retry { doubt, .. } if doubt == doubtful), "{code}");
        }
    }
}
