//! The one place that asks what time it is. Everywhere else, time is an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// Wall time, in milliseconds since the Unix epoch.
#[allow(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
pub fn now_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
