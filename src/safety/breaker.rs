//! A circuit breaker for each target: one that fails again and again is left alone for a while, so that
//! an automatism does not hammer on what is already broken. After that one action may try; how that ends
//! decides. A rollback after which the model did not recover opens it at once: whatever is wrong, doing
//! the same to the next model is not the answer.

/// When a breaker opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSpec {
    /// Failures in a row that open it; at least 1.
    pub failures: u32,
    /// For how long, milliseconds.
    pub open_for: i64,
}

impl Default for BreakerSpec {
    fn default() -> Self {
        Self { failures: 3, open_for: 30 * 60_000 }
    }
}

/// One target's breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row.
    failures: u32,
    /// Wall time until which it is open.
    until: Option<i64>,
}

impl Breaker {
    /// An action failed at wall time `at`.
    pub fn failed(&mut self, spec: BreakerSpec, at: i64) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= spec.failures {
            self.until = Some(at.saturating_add(spec.open_for));
        }
    }

    /// Opens it whatever was before.
    pub fn open(&mut self, spec: BreakerSpec, at: i64) {
        self.failures = self.failures.saturating_add(1).max(spec.failures);
        self.until = Some(at.saturating_add(spec.open_for));
    }

    /// An action was carried out, which ended at wall time `at`. It closes a breaker whose time is over; one
    /// that opened while the action was under way stays open, for what opened it is not undone.
    pub fn succeeded(&mut self, at: i64) {
        if self.until.is_none_or(|until| at >= until) {
            *self = Self::default();
        }
    }

    /// Whether actions are kept from the target at wall time `now`. `busy` says whether one is under way
    /// there: of those that wait for the end of a breaker's time only one may try.
    pub fn holds(&self, now: i64, busy: bool) -> bool {
        self.until.is_some_and(|until| now < until || busy)
    }

    /// `closed`, `open` or `half_open` at wall time `now`.
    pub fn name(&self, now: i64) -> &'static str {
        match self.until {
            None => "closed",
            Some(until) if now < until => "open",
            Some(_) => "half_open",
        }
    }

    /// Failures in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Wall time until which it is open.
    pub const fn until(&self) -> Option<i64> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: BreakerSpec = BreakerSpec { failures: 2, open_for: 100 };

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_try_after_its_time() {
        let mut breaker = Breaker::default();
        breaker.failed(SPEC, 0);
        assert!(!breaker.holds(1, false));
        breaker.succeeded(2);
        breaker.failed(SPEC, 10);
        breaker.failed(SPEC, 20);
        assert!(breaker.holds(119, false));
        assert_eq!((breaker.name(119), breaker.name(120)), ("open", "half_open"));
        assert!(!breaker.holds(120, false), "one may try");
        assert!(breaker.holds(120, true), "while it does, no other");
        breaker.failed(SPEC, 130);
        assert!(breaker.holds(229, false), "it failed again");
        breaker.succeeded(131);
        assert!(breaker.holds(132, false), "what was under way meanwhile does not close it");
        breaker.succeeded(230);
        assert!(!breaker.holds(231, true));
    }

    #[test]
    fn a_model_that_did_not_recover_opens_it_at_once() {
        let mut breaker = Breaker::default();
        breaker.open(SPEC, 5);
        assert!(breaker.holds(104, false));
    }
}
