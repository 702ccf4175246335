//! The role that acts. Several processes may have it; the one that is given the only partition of the
//! decisions acts, and the others stand by.
//!
//! The owner opens the audit log, which locks the owner before it out, and goes on from what the log
//! says, once it has read what waited in the topic ([`Write`]). Each decision, its intents and the
//! offset that says it was read are durable together before the first call. The same transaction asks the group whether this process still owns the decisions;
//! only while that answer is fresh does a call begin. Wherever an owner stops, the next one finds
//! either nothing of a decision and reads it, or all of it and finishes it under the same ids.

mod mark;
mod ownership;
mod role;
mod shown;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::consumer::ConsumerGroupMetadata;

use super::acting::Acting;
use crate::action::Clock;
use crate::action::lease::Monotonic;
use crate::api::Readiness;
use crate::audit::{self, Kind};
use crate::ingest::kafka::KafkaSource;
use crate::ingest::source::Source;
use crate::telemetry::Telemetry;

pub use mark::{Write, writing};
pub use ownership::Ownership;
pub use shown::{Picture, Shown};

/// Name of the readiness condition that this process acts or stands by.
pub const ACT: &str = "act";

/// Pause before the group is joined again.
const REJOIN_PAUSE: Duration = Duration::from_secs(1);

/// A source of decisions that several processes share.
pub trait Decisions: Source {
    /// Who this process is in the group at present; none where there is no group.
    fn membership(&self) -> Option<Arc<ConsumerGroupMetadata>>;

    /// That nobody has answered for long, in words; none while somebody does.
    fn silence(&self) -> Option<String> {
        None
    }
}

impl Decisions for KafkaSource {
    fn membership(&self) -> Option<Arc<ConsumerGroupMetadata>> {
        self.group_metadata().map(Arc::new)
    }

    fn silence(&self) -> Option<String> {
        self.silence()
    }
}

/// What the role shares with the rest of the process.
#[derive(Clone)]
pub struct Surroundings {
    /// Counters.
    pub telemetry: Telemetry,
    /// What `/readyz` says; the role keeps the condition [`ACT`].
    pub readiness: Readiness,
    /// What became of actions.
    pub shown: Shown,
    /// Set to stop.
    pub stop: Arc<AtomicBool>,
    /// Marks the topic of decisions; [`writing`] outside tests.
    pub mark: Write,
    /// Wall time, for deadlines.
    pub clock: Clock,
    /// The clock of leases; [`crate::action::lease::monotonic`] outside tests.
    pub monotonic: Monotonic,
    /// The session timeout of the group that reads the decisions (`session.timeout.ms`).
    pub session_timeout: Duration,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("stop", &self.stop)
            .field("session_timeout", &self.session_timeout)
            .finish_non_exhaustive()
    }
}

/// Why a session has ended.
#[derive(Debug)]
pub enum Ended {
    /// It was asked to.
    Stopped,
    /// The ownership was lost, or the broker is away: join the group anew, with a new source.
    Lost {
        /// Why.
        why: anyhow::Error,
        /// Whether anything was made durable in this session.
        acted: bool,
    },
}

/// Acts on what `source` gives while this process owns it, until it is asked to stop or has to join
/// the group anew. `open` opens the audit log (with [`Acting::take_over`]); it is called each time the
/// decisions become ours, after the former owner was told nothing: opening locks it out.
///
/// # Errors
/// When the decisions or the log cannot be used, so that a person has to look.
pub fn serve<S: Decisions>(
    source: &mut S,
    open: &mut dyn FnMut(Ownership) -> anyhow::Result<Acting>,
    around: &Surroundings,
) -> anyhow::Result<Ended> {
    let mut role = role::Role::new(around);
    let ended = role.go_on(source, open);
    role.leave();
    ended
}

/// Serves one session after another, each with a source that `connect` makes, until asked to stop.
/// Blocks; call it on a thread of its own.
///
/// # Errors
/// As `serve`, and when no source can be made. A broker that stays away is waited for.
pub fn run<S: Decisions>(
    mut connect: impl FnMut() -> anyhow::Result<S>,
    mut open: impl FnMut(Ownership) -> anyhow::Result<Acting>,
    around: &Surroundings,
) -> anyhow::Result<()> {
    loop {
        let mut source = connect().context("the decisions cannot be read")?;
        let why = match serve(&mut source, &mut open, around)? {
            Ended::Stopped => return Ok(()),
            Ended::Lost { why, .. } => why,
        };
        // Before the pause: another instance may take over meanwhile.
        drop(source);
        tracing::warn!(error = format!("{why:#}"), "stopped acting; joining the group anew");
        around.readiness.unmet(ACT, "joining the group that reads the decisions anew");
        let until = Instant::now() + REJOIN_PAUSE;
        while Instant::now() < until && !around.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
        if around.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

/// What follows from an error of the audit log, however it was wrapped.
fn kind_of(error: &anyhow::Error) -> Kind {
    error.downcast_ref::<audit::Error>().map_or(Kind::Fault, audit::Error::kind)
}
