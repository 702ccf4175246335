//! Counts of passing broker faults, and the rule by which they are logged: each kind once when it
//! begins, and once when all is well again. A broker that is away for an hour fills no log.

use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::error::advice;

/// How long nothing may go wrong, while records come, before the fault counts as over. Longer than
/// librdkafka's pause between attempts to connect (10 s), so that one broker of many that stays
/// away is not announced again at each attempt.
const QUIET: Duration = Duration::from_secs(30);

/// What went wrong since the source was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Passing faults that librdkafka reported: lost connections, unknown topics, refusals.
    pub passing: u64,
    /// Commits that were not made.
    pub commits: u64,
    /// How often a partition's offset was not in its log any more, so that reading went on elsewhere.
    pub offset_resets: u64,
    /// Offsets that were skipped by those resets: records that retention took before they were read.
    pub lost_offsets: u64,
}

/// The counts, and what has been logged of the present fault.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) counts: Faults,
    announced: Vec<RDKafkaErrorCode>,
    last: Option<Instant>,
}

impl Recorder {
    /// Counts one passing fault; returns whether it was news.
    pub(super) fn passing(&mut self, code: RDKafkaErrorCode, reason: &str) -> bool {
        self.counts.passing += 1;
        self.last = Some(Instant::now());
        if self.announced.contains(&code) {
            return false;
        }
        self.announced.push(code);
        match advice(code) {
            Some(advice) => {
                tracing::warn!(%code, reason, advice, "kafka fault; reading goes on when it is over")
            }
            None => tracing::warn!(%code, reason, "kafka fault; reading goes on when it is over"),
        }
        true
    }

    /// Notes that Kafka answered.
    #[inline]
    pub(super) fn answered(&mut self) {
        if self.last.is_some() {
            self.calm();
        }
    }

    #[cold]
    fn calm(&mut self) {
        if self.last.is_some_and(|last| last.elapsed() >= QUIET) {
            tracing::info!(faults = self.counts.passing, "kafka answers without faults again");
            self.announced.clear();
            self.last = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_announced_once_however_often_it_returns_and_again_after_a_calm() {
        let mut recorder = Recorder::default();
        assert!(recorder.passing(RDKafkaErrorCode::BrokerTransportFailure, "refused"));
        recorder.answered();
        assert!(!recorder.passing(RDKafkaErrorCode::BrokerTransportFailure, "refused"));
        assert!(recorder.passing(RDKafkaErrorCode::AllBrokersDown, "1/1 down"));
        assert_eq!(recorder.counts.passing, 3);
        recorder.last = Instant::now().checked_sub(QUIET);
        recorder.answered();
        assert!(recorder.passing(RDKafkaErrorCode::BrokerTransportFailure, "refused"));
    }
}
