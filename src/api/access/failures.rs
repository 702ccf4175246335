//! How many wrong tokens came lately. A token cannot be guessed, so this is not what keeps guessers
//! out: it keeps them from filling the log and from using up the machine. The right token is
//! taken all the same, because whoever has to freeze everything must not wait for a stranger to stop.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wrong tokens in one span of time that are answered as such.
const ALLOWED: u64 = 10;
const SPAN: Duration = Duration::from_secs(1);

/// Counts them. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    began: Option<Instant>,
    within: u64,
    total: u64,
}

/// What a wrong token is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// That it is wrong. `first` is true once in each span: that one is worth a line in the log.
    Wrong { first: bool, total: u64 },
    /// That there were too many. `first` is as above.
    TooMany { first: bool, total: u64 },
}

impl Failures {
    /// Counts a wrong token that came at `now`.
    pub(super) fn count(&self, now: Instant) -> Answer {
        // Numbers are whole after every statement, so a panic elsewhere leaves nothing half done.
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.began.is_none_or(|began| now.saturating_duration_since(began) >= SPAN) {
            (counts.began, counts.within) = (Some(now), 0);
        }
        counts.within += 1;
        counts.total += 1;
        let (within, total) = (counts.within, counts.total);
        if within <= ALLOWED {
            Answer::Wrong { first: within == 1, total }
        } else {
            Answer::TooMany { first: within == ALLOWED + 1, total }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_ten_wrong_tokens_a_second_are_too_many_and_the_next_second_begins_anew() {
        let (failures, start) = (Failures::default(), Instant::now());
        let answers: Vec<Answer> = (0..12).map(|_| failures.count(start)).collect();
        assert_eq!(answers[0], Answer::Wrong { first: true, total: 1 });
        assert_eq!(answers[9], Answer::Wrong { first: false, total: 10 });
        assert_eq!(answers[10], Answer::TooMany { first: true, total: 11 });
        assert_eq!(answers[11], Answer::TooMany { first: false, total: 12 });
        assert_eq!(failures.count(start + SPAN), Answer::Wrong { first: true, total: 13 });
    }
}
