//! How long to wait before asking again: exponential, with jitter so that many instances that
//! failed together do not come back together. The jitter follows from the action's id, because
//! rules must give the same answer whenever they are asked.
//!
//! "Equal jitter" of M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015:
//! half of the wait is fixed, half is drawn.

use sha2::{Digest, Sha256};

/// Wait before the second attempt, without jitter. A rollback is urgent, and one second is enough
/// for a receiver that was only being restarted behind a load balancer.
pub const FIRST_MILLIS: i64 = 1_000;
/// No wait is longer, so that a deadline of some minutes still holds several attempts.
pub const MOST_MILLIS: i64 = 30_000;

/// Milliseconds to wait after attempt `attempt` (1 for the first) of the action `id`: between half
/// of and the whole of `FIRST_MILLIS * 2^(attempt - 1)`, at most `MOST_MILLIS`.
pub fn millis(id: &str, attempt: u32) -> i64 {
    let doublings = attempt.saturating_sub(1).min(16);
    let whole = (FIRST_MILLIS << doublings).min(MOST_MILLIS);
    let digest = Sha256::new().chain_update(id.as_bytes()).chain_update(attempt.to_be_bytes()).finalize();
    let drawn = u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"));
    let half = whole / 2;
    half + (drawn % (whole - half + 1) as u64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_differ_between_actions() {
        for attempt in 1..100 {
            let whole = (1_000_i64 << (attempt - 1).min(16)).min(MOST_MILLIS);
            let wait = millis("rollback-1", attempt);
            assert!((whole / 2..=whole).contains(&wait), "attempt {attempt}: {wait}");
            assert_eq!(wait, millis("rollback-1", attempt));
        }
        assert_ne!(millis("rollback-1", 6), millis("rollback-2", 6));
    }
}
