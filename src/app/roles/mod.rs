//! What an instance does: it observes, it evaluates, it acts, or several of these, each on a thread of
//! its own and joined to the others, here and on other machines, by Kafka alone.
//!
//! A role works in sessions. Whatever may be wrong with what it holds (another instance has taken its
//! name, a transaction was lost from sight), it drops all of it and begins a new session from what is
//! committed, because that is the one thing that is known to be right.

mod board;
mod ends;
pub mod evaluate;
pub mod observe;
mod settle;
pub mod telling;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::api::Readiness;
use crate::telemetry::Telemetry;

pub use board::Board;
pub use ends::{End, Ends};

/// How long a session that has failed waits before the next one, so that a fault that lasts does not
/// keep a processor busy.
const PAUSE: Duration = Duration::from_secs(1);
/// So often within `TAKEN_WITHIN` another producer of the same name may lock this one out before it
/// must be another instance, and not a transaction of our own that timed out.
const TAKEN: usize = 3;
const TAKEN_WITHIN: Duration = Duration::from_secs(120);

/// What the roles of an instance share with their surroundings.
#[derive(Clone, Debug)]
pub struct Around {
    /// Counters and the published picture.
    pub telemetry: Telemetry,
    /// What `/readyz` says.
    pub readiness: Readiness,
    /// What is shown.
    pub board: Board,
    /// Set to stop.
    pub stop: Arc<AtomicBool>,
    /// How often a transaction is committed.
    pub commit_interval: Duration,
    /// Records or messages behind which a role is not ready.
    pub max_lag: i64,
}

impl Around {
    /// Whether to stop.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits, unless it is time to stop.
    fn rest(&self, span: Duration) {
        let until = Instant::now() + span;
        while !self.stopping() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// How a session ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It was time to stop.
    Stopped,
    /// Somebody else has taken the transactional id.
    Fenced(anyhow::Error),
    /// What it holds cannot be relied on; what is committed can.
    Anew(anyhow::Error),
}

/// Runs sessions of a role until it is time to stop.
fn sessions(
    role: &'static str,
    around: &Around,
    mut session: impl FnMut() -> anyhow::Result<Ended>,
) -> anyhow::Result<()> {
    let mut taken: Vec<Instant> = Vec::new();
    loop {
        let why = match session()? {
            Ended::Stopped => return Ok(()),
            Ended::Fenced(why) => {
                taken.retain(|at| at.elapsed() < TAKEN_WITHIN);
                taken.push(Instant::now());
                if taken.len() >= TAKEN {
                    return Err(why.context(format!(
                        "{role}: locked out {TAKEN} times within {} s; another instance runs under the same \
                         name, so give each its own `kafka.instance`",
                        TAKEN_WITHIN.as_secs()
                    )));
                }
                why
            }
            Ended::Anew(why) => why,
        };
        if around.stopping() {
            return Ok(());
        }
        around.readiness.unmet(role, format!("begins again from what is committed: {why:#}"));
        tracing::warn!(role, error = format!("{why:#}"), "beginning again from what is committed");
        around.rest(PAUSE);
    }
}
