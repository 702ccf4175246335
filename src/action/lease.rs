//! For how long this process may begin calls. Who reads the decisions owns the actions, and an owner
//! that was paused does not notice that another has taken its place. So the right to begin a call
//! is lent for a short time, counted from the start of the transaction that proved it, on a clock
//! that goes on while a process is stopped; what comes too late is not begun.
//!
//! This is no fence: between the last look and the first byte a process can still be paused. What
//! happens then is settled by the id of the call, which the next owner repeats.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A clock that never goes back and goes on while the process is stopped: milliseconds since some
/// moment.
pub type Monotonic = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The operating system's monotonic clock (`CLOCK_MONOTONIC` on Linux, which stands still only while
/// the machine sleeps).
pub fn monotonic() -> Monotonic {
    let start = Instant::now();
    Arc::new(move || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// Over for good.
const ENDED: u64 = 0;
/// Without an end.
const FOR_EVER: u64 = u64::MAX;

/// The right to begin calls, until some moment. Clones share it.
#[derive(Clone)]
pub struct Lease {
    clock: Monotonic,
    /// The moment at which it lapses.
    until: Arc<AtomicU64>,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("holds", &self.holds()).finish_non_exhaustive()
    }
}

impl Lease {
    /// One that has to be renewed before it holds.
    pub fn new(clock: Monotonic) -> Self {
        Self { clock, until: Arc::new(AtomicU64::new(1)) }
    }

    /// One that holds until it is ended: for a process that shares its decisions with nobody.
    pub fn unlimited() -> Self {
        let lease = Self::new(monotonic());
        lease.lift();
        lease
    }

    /// The present moment of its clock.
    pub fn now(&self) -> u64 {
        (self.clock)()
    }

    /// Makes it hold for `term` from `begun` on, a moment of its clock, unless it holds longer or
    /// was ended.
    pub fn renew(&self, begun: u64, term: Duration) {
        let term = u64::try_from(term.as_millis()).unwrap_or(u64::MAX);
        self.extend(begun.saturating_add(term).max(1));
    }

    /// Lets it hold until it is ended.
    pub fn lift(&self) {
        self.extend(FOR_EVER);
    }

    /// Ends it for good.
    pub fn end(&self) {
        self.until.store(ENDED, Ordering::SeqCst);
    }

    /// Whether a call may begin now.
    pub fn holds(&self) -> bool {
        let until = self.until.load(Ordering::SeqCst);
        until == FOR_EVER || self.now() < until
    }

    fn extend(&self, until: u64) {
        let longer = |old| (old != ENDED && old < until).then_some(until);
        // Where nothing is longer there is nothing to do.
        let _unchanged = self.until.fetch_update(Ordering::SeqCst, Ordering::SeqCst, longer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Duration = Duration::from_millis(100);

    fn lease() -> (Lease, Arc<AtomicU64>) {
        let millis = Arc::new(AtomicU64::new(1_000));
        let clock = Arc::clone(&millis);
        (Lease::new(Arc::new(move || clock.load(Ordering::SeqCst))), millis)
    }

    #[test]
    fn it_holds_for_its_term_from_the_start_of_what_renewed_it() {
        let (lease, clock) = lease();
        assert!(!lease.holds(), "nothing has proved it yet");
        lease.renew(950, TERM);
        for (now, holds) in [(1_000, true), (1_049, true), (1_050, false), (9_000, false)] {
            clock.store(now, Ordering::SeqCst);
            assert_eq!(lease.holds(), holds, "at {now}");
        }
        lease.renew(9_000, TERM);
        lease.renew(950, TERM);
        assert!(lease.holds(), "what began earlier does not shorten it");
    }

    #[test]
    fn a_transaction_that_outlasts_the_term_renews_nothing() {
        let (lease, clock) = lease();
        clock.store(2_000, Ordering::SeqCst);
        lease.renew(1_000, TERM);
        assert!(!lease.holds());
    }

    #[test]
    fn once_ended_it_never_holds_again() {
        for mut ended in [lease().0, Lease::unlimited()] {
            ended.end();
            ended.renew(ended.now(), TERM);
            ended.lift();
            assert!(!ended.holds());
            ended = ended.clone();
            assert!(!ended.holds());
        }
    }
}
