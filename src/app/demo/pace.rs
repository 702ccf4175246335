//! How fast event time runs. It follows the clock at the scenario's speed, but waits for a daemon
//! that has fallen behind: on a slow machine the demo gets slower instead of filling memory with
//! records nobody has read.

use std::time::Duration;

/// A longer gap between two looks at the clock (a suspended laptop, a stopped process) counts as
/// this much, so that no burst of records follows it.
const LONGEST_STEP: Duration = Duration::from_millis(250);

/// Turns elapsed wall time into event time that is due.
#[derive(Clone, Debug)]
pub struct Pace {
    speed: f64,
    backlog_limit: u64,
    last: Duration,
    due: Duration,
}

impl Pace {
    /// Event time runs `speed` times as fast as the clock while fewer than `backlog_limit` records
    /// wait to be read.
    pub fn new(speed: f64, backlog_limit: u64) -> Self {
        Self { speed, backlog_limit, last: Duration::ZERO, due: Duration::ZERO }
    }

    /// Event time since the start for which records are to exist now. `elapsed` is wall time since
    /// the start, `backlog` the records produced and not yet read.
    pub fn due(&mut self, elapsed: Duration, backlog: u64) -> Duration {
        let step = elapsed.saturating_sub(self.last).min(LONGEST_STEP);
        self.last = self.last.max(elapsed);
        if backlog < self.backlog_limit {
            self.due += step.mul_f64(self.speed);
        }
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn event_time_follows_the_clock_and_waits_for_a_daemon_that_is_behind() {
        let mut pace = Pace::new(30.0, 1000);
        assert_eq!(pace.due(ms(100), 0), ms(3_000));
        assert_eq!(pace.due(ms(200), 1000), ms(3_000));
        assert_eq!(pace.due(ms(300), 999), ms(6_000));
    }

    #[test]
    fn a_long_pause_or_a_clock_that_steps_back_gives_no_burst() {
        let mut pace = Pace::new(10.0, 1000);
        assert_eq!(pace.due(ms(60_000), 0), ms(2_500));
        assert_eq!(pace.due(ms(10), 0), ms(2_500));
        assert_eq!(pace.due(ms(60_100), 0), ms(3_500));
    }
}
