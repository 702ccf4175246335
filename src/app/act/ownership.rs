//! What it takes to own the decisions: the place in them, the membership that gives the right to
//! read them, and the proof of it, which grows old.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::ConsumerGroupMetadata;

use crate::action::Lease;
use crate::audit::Consumed;

/// Longest time for which an offset that nothing else moves stays behind.
const MOVE_EVERY: Duration = Duration::from_secs(1);

/// The ownership of the decisions, from their assignment to their revocation.
#[derive(Debug)]
pub struct Ownership {
    lease: Lease,
    /// How long a proof counts, from the start of the transaction that gave it.
    term: Duration,
    /// After how long it is renewed while calls wait.
    renew_every: Duration,
    consumed: Consumed,
    /// Whether `consumed` is ahead of the offset that is stored.
    moved: bool,
    /// Start of the newest transaction that proved the ownership, on the lease's clock.
    proved: Option<u64>,
}

impl Ownership {
    /// From `consumed` on. A member of the group that is not heard of for `session_timeout` loses its
    /// partitions: a proof counts for half of that, and is renewed after a quarter.
    pub fn new(lease: Lease, session_timeout: Duration, consumed: Consumed) -> Self {
        let (term, renew_every) = (session_timeout / 2, session_timeout / 4);
        Self { lease, term, renew_every, consumed, moved: false, proved: None }
    }

    /// The right to begin calls.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// How far the decisions were read.
    pub fn consumed(&self) -> &Consumed {
        &self.consumed
    }

    /// Takes note that decisions were read up to `next`.
    pub fn read(&mut self, next: i64) {
        self.consumed.next = next;
        self.moved = true;
    }

    /// Takes note of a newer membership.
    pub fn belongs(&mut self, membership: Option<Arc<ConsumerGroupMetadata>>) {
        self.consumed.membership = membership;
    }

    /// Takes note that a transaction begun at `begun` has stored the offset.
    pub fn proved(&mut self, begun: u64) {
        self.lease.renew(begun, self.term);
        self.proved = Some(begun);
        self.moved = false;
    }

    /// Takes note that the offset was committed without a proof.
    pub fn committed(&mut self) {
        self.moved = false;
    }

    /// Whether the offset that is stored is behind.
    pub fn moved(&self) -> bool {
        self.moved
    }

    /// Whether the proof should be renewed before a call.
    pub fn stale(&self) -> bool {
        self.older_than(self.renew_every)
    }

    /// Whether a transaction without an entry is due; `waits` says whether there are calls to make.
    pub fn due(&self, waits: bool) -> bool {
        waits && self.stale() || self.moved && self.older_than(MOVE_EVERY)
    }

    fn older_than(&self, age: Duration) -> bool {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.proved.is_none_or(|proved| self.lease.now().saturating_sub(proved) >= age)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_proof_is_renewed_after_a_quarter_of_the_session_and_counts_for_half_of_it() {
        let millis = Arc::new(AtomicU64::new(5_000));
        let lease = Lease::new({
            let millis = Arc::clone(&millis);
            Arc::new(move || millis.load(Ordering::SeqCst))
        });
        let consumed = Consumed { topic: "decisions".into(), partition: 0, next: 7, membership: None };
        let mut owned = Ownership::new(lease.clone(), Duration::from_millis(8_000), consumed);
        assert!(owned.stale() && !lease.holds(), "nothing is proved at first");
        owned.proved(5_000);
        for (now, stale, holds) in [
            (5_000, false, true),
            (6_999, false, true),
            (7_000, true, true),
            (8_999, true, true),
            (9_000, true, false),
        ] {
            millis.store(now, Ordering::SeqCst);
            assert_eq!((owned.stale(), lease.holds()), (stale, holds), "at {now}");
            assert_eq!((owned.due(true), owned.due(false)), (stale, false), "at {now}");
        }
        owned.read(8);
        assert!(owned.due(false), "an offset that moved is stored without a call too");
        owned.proved(9_000);
        assert!(!owned.moved() && !owned.due(false) && lease.holds());
    }
}
