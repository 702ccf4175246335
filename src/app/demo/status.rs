//! What the demo knows of itself, beside what the daemon publishes: where the story is, how fast
//! it runs, where to look. Screen and plain lines both show it.

use std::time::Duration;

use super::scenario::Phase;
use crate::domain::EventTime;

/// The demo's own state at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoStatus {
    /// What is going on.
    pub phase: Phase,
    /// Where event time began.
    pub start: EventTime,
    /// The generator's clock.
    pub event_time: EventTime,
    /// Seconds of event time per second of wall time.
    pub speed: f64,
    /// Records produced per second of wall time, lately.
    pub records_per_second: f64,
    /// Address of the metrics.
    pub metrics_url: String,
    /// Address of the API.
    pub api_url: String,
    /// Wall time since the start.
    pub elapsed: Duration,
    /// Wall time until the demo ends by itself; none where it does not.
    pub ends_in: Option<Duration>,
    /// Whether colour may be used; see [`colour_wanted`].
    pub colour: bool,
}

/// Whether colour is wanted, from the value of `NO_COLOR`: any value but the empty one says no
/// (<https://no-color.org>).
pub fn colour_wanted(no_color: Option<&std::ffi::OsStr>) -> bool {
    no_color.is_none_or(std::ffi::OsStr::is_empty)
}
