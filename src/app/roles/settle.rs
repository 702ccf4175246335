//! Bringing a transaction to its end without keeping the consumer waiting. While a broker is silent the
//! consumer must go on being polled, or the group takes it for dead; so its partitions are paused, and
//! it is polled in between.

use std::time::{Duration, Instant};

use crate::exchange::transaction::{self, Finish, Transactor};

/// How long one step may take before the consumer is looked after.
const STEP: Duration = Duration::from_millis(250);
/// How long a silent broker is nobody's business.
const SILENCE: Duration = Duration::from_secs(3);
/// How long the last transaction before a stop may take.
const LAST: Duration = Duration::from_secs(8);

/// How a transaction ended.
#[derive(Debug)]
pub(super) enum Settled {
    /// All of it is durable.
    Committed,
    /// None of it will ever be seen.
    Aborted(String),
    /// It was given up because it is time to stop; its fate is the broker's.
    GivenUp,
}

/// Whom to look after while a transaction is under way.
pub(super) trait Meanwhile {
    /// Serves the consumer, whose partitions are paused.
    fn serve(&mut self) -> anyhow::Result<()>;
    /// The broker has not answered for `silent`.
    fn waiting(&mut self, silent: Duration);
    /// Whether it is time to stop.
    fn stopping(&self) -> bool;
}

/// Brings the open transaction to its end.
pub(super) fn settle(
    transactor: &mut Transactor,
    meanwhile: &mut dyn Meanwhile,
) -> anyhow::Result<Result<Settled, transaction::Error>> {
    let (begun, mut said) = (Instant::now(), false);
    loop {
        let settled = match transactor.finish(STEP) {
            Ok(Finish::Committed) => Some(Ok(Settled::Committed)),
            Ok(Finish::Aborted { reason }) => Some(Ok(Settled::Aborted(reason))),
            Ok(Finish::Pending) => None,
            Err(error) => Some(Err(error)),
        };
        if let Some(settled) = settled {
            if said {
                let took = begun.elapsed().as_secs();
                tracing::info!(transaction = transactor.id(), seconds = took, "Kafka has answered");
            }
            return Ok(settled);
        }
        let silent = begun.elapsed();
        if meanwhile.stopping() && silent > LAST {
            return Ok(Ok(Settled::GivenUp));
        }
        if silent > SILENCE {
            if !said {
                tracing::warn!(
                    transaction = transactor.id(),
                    phase = transactor.phase(),
                    "Kafka has not taken a commit yet; reading is paused until it does"
                );
                said = true;
            }
            meanwhile.waiting(silent);
        }
        meanwhile.serve()?;
    }
}
