//! The life of one action, from what a policy wants to what became of it.
//!
//! ```text
//! Proposed ─► Suppressed{why}
//!     │
//!     └─(intent durable)─► Submitting ─► Applied | Failed | Unknown
//! ```
//!
//! * An intent comes before the first call. Effects are carried out in the order in which they are
//!   returned, and an intent must be durable before the effect after it is begun.
//! * All attempts carry the same id. They end at the deadline: a rollback is stale within minutes.
//! * `Failed` says that the target did not do it. Where an attempt may have reached it and no reply
//!   says otherwise, the end is `Unknown`, and only a person can tell.
//! * `Applied` says that the target took the request (or that a dry run was made), not that the
//!   model has recovered.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::backoff;
use super::call::{Idempotency, Reply};

/// How long after the deadline a reply may still come in; a call is itself cut at the deadline.
pub const REPLY_GRACE_MILLIS: i64 = 5_000;

/// Why nothing was done although a policy wanted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suppression {
    /// The policy only observes.
    Observe,
    /// There is no version to go back to.
    NoKnownGoodVersion,
    /// Its deadline has passed, its incident is over, or it is configured no more.
    Stale,
    /// The same is already under way or done for this version.
    AlreadyActive,
    /// A newer decision asks for the same while this one was waiting.
    Superseded,
    /// The policy only recommends.
    Recommend,
    /// The same was done for this model not long ago.
    Cooldown,
    /// As much as may be done in the time was done.
    Budget,
    /// The target has failed too often of late.
    Breaker,
    /// A person, or too many models at once, froze everything.
    Frozen,
    /// A person holds the model.
    Held,
    /// The target says that it would not be carried out: a paused pipeline, a sick scheduler.
    TargetNotReady,
}

impl Suppression {
    /// The reason as the API, the audit log and metrics spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::NoKnownGoodVersion => "no_known_good_version",
            Self::Stale => "stale",
            Self::AlreadyActive => "already_active",
            Self::Superseded => "superseded",
            Self::Recommend => "recommend",
            Self::Cooldown => "cooldown",
            Self::Budget => "budget",
            Self::Breaker => "breaker",
            Self::Frozen => "frozen",
            Self::Held => "held",
            Self::TargetNotReady => "target_not_ready",
        }
    }
}

impl fmt::Display for Suppression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an action keeps to, fixed when it is proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Its id, the same in every attempt.
    pub id: String,
    /// What the target makes of a repetition.
    pub idempotency: Idempotency,
    /// No attempt begins at or after this wall time, milliseconds since the epoch.
    pub deadline: i64,
}

/// What a submitted action waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The reply to the attempt that is under way.
    Reply,
    /// The next attempt, at this wall time in milliseconds since the epoch.
    Until(i64),
}

/// Where an action is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// A policy wants it; nothing was done yet.
    Proposed,
    /// It will not be done.
    Suppressed {
        /// Why not.
        reason: Suppression,
    },
    /// Its intent is recorded, and attempts are made.
    Submitting {
        /// Number of the newest attempt since the start of this process, 1 for the first.
        attempt: u32,
        /// What it waits for.
        phase: Phase,
        /// Whether an earlier attempt may have been taken without our knowing.
        doubt: bool,
        /// Whether the incident is over, so that no further attempt is made.
        withdrawn: bool,
    },
    /// The target took it.
    Applied {
        /// Attempts made.
        attempts: u32,
        /// What the target said.
        detail: String,
    },
    /// The target did not do it.
    Failed {
        /// Attempts made.
        attempts: u32,
        /// Why.
        detail: String,
    },
    /// It may or may not have been done: a person has to look.
    Unknown {
        /// Attempts made.
        attempts: u32,
        /// What is known.
        detail: String,
    },
}

impl State {
    /// The state as the API, the audit log and metrics spell it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Suppressed { .. } => "suppressed",
            Self::Submitting { .. } => "submitting",
            Self::Applied { .. } => "applied",
            Self::Failed { .. } => "failed",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// The state of an action whose intent is recorded and whose outcome is not, found at start.
    pub const fn interrupted() -> Self {
        Self::Submitting { attempt: 0, phase: Phase::Reply, doubt: true, withdrawn: false }
    }
}

/// What happens to an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A rule forbids it.
    Suppress(Suppression),
    /// The request cannot be made, with the reason.
    Refuse(String),
    /// Nothing stands against it.
    Begin,
    /// The process has started again with the action interrupted.
    Resume {
        /// Whether the configuration still allows the same call to the same target.
        allowed: bool,
    },
    /// An attempt has ended.
    Finished {
        /// Which.
        attempt: u32,
        /// How.
        result: Reply,
    },
    /// The incident that asked for it is over.
    Withdraw,
    /// Time has passed.
    Tick,
}

/// What is to be done next, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Record the intent; the next effect waits until it is durable.
    Intent,
    /// Make this attempt.
    Submit {
        /// Its number.
        attempt: u32,
    },
    /// Record what became of the action.
    Outcome,
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What it keeps to.
    pub terms: Terms,
    /// Where it is.
    pub state: State,
}

impl Action {
    /// An action that a policy wants.
    pub const fn proposed(terms: Terms) -> Self {
        Self { terms, state: State::Proposed }
    }

    /// When time alone will change the action: milliseconds since the epoch.
    pub const fn due(&self) -> Option<i64> {
        match &self.state {
            State::Proposed => Some(self.terms.deadline),
            State::Submitting { phase: Phase::Reply, .. } => {
                Some(self.terms.deadline.saturating_add(REPLY_GRACE_MILLIS))
            }
            State::Submitting { phase: Phase::Until(at), .. } => Some(*at),
            State::Suppressed { .. }
            | State::Applied { .. }
            | State::Failed { .. }
            | State::Unknown { .. } => None,
        }
    }

    /// The action after `event` at wall time `now` (milliseconds since the epoch), and what is to
    /// be done. An event that does not concern the state changes nothing.
    #[must_use]
    pub fn step(self, event: Event, now: i64) -> (Self, Vec<Effect>) {
        let Self { terms, state } = self;
        let (state, effects) = match state {
            State::Proposed => proposed(&terms, event, now),
            State::Submitting { attempt, phase, doubt, withdrawn } => {
                Submitting { terms: &terms, attempt, phase, doubt, withdrawn }.step(event, now)
            }
            State::Unknown { attempts, detail } => unknown(attempts, detail, event),
            ended @ (State::Suppressed { .. } | State::Applied { .. } | State::Failed { .. }) => {
                (ended, Vec::new())
            }
        };
        (Self { terms, state }, effects)
    }
}

fn proposed(terms: &Terms, event: Event, now: i64) -> (State, Vec<Effect>) {
    let suppressed = |reason| (State::Suppressed { reason }, vec![Effect::Outcome]);
    match event {
        Event::Suppress(reason) => suppressed(reason),
        Event::Refuse(detail) => (State::Failed { attempts: 0, detail }, vec![Effect::Outcome]),
        Event::Withdraw => suppressed(Suppression::Stale),
        Event::Begin | Event::Tick if now >= terms.deadline => suppressed(Suppression::Stale),
        Event::Begin => (
            State::Submitting { attempt: 1, phase: Phase::Reply, doubt: false, withdrawn: false },
            vec![Effect::Intent, Effect::Submit { attempt: 1 }],
        ),
        Event::Tick | Event::Resume { .. } | Event::Finished { .. } => (State::Proposed, Vec::new()),
    }
}

/// A reply that comes after the end was declared unknown still says what happened.
fn unknown(attempts: u32, detail: String, event: Event) -> (State, Vec<Effect>) {
    match event {
        Event::Finished { attempt, result: Reply::Accepted { detail, .. } } if attempt == attempts => {
            (State::Applied { attempts, detail }, vec![Effect::Outcome])
        }
        Event::Finished { .. }
        | Event::Suppress(_)
        | Event::Refuse(_)
        | Event::Begin
        | Event::Resume { .. }
        | Event::Withdraw
        | Event::Tick => (State::Unknown { attempts, detail }, Vec::new()),
    }
}

/// The fields of `State::Submitting`, with the terms beside them.
struct Submitting<'a> {
    terms: &'a Terms,
    attempt: u32,
    phase: Phase,
    doubt: bool,
    withdrawn: bool,
}

impl Submitting<'_> {
    fn step(mut self, event: Event, now: i64) -> (State, Vec<Effect>) {
        match (event, self.phase) {
            (Event::Finished { attempt, result }, Phase::Reply) if attempt == self.attempt => {
                self.finished(result, now)
            }
            (Event::Resume { allowed }, Phase::Reply) if self.attempt == 0 => self.resume(allowed, now),
            (Event::Withdraw, Phase::Until(_)) => self.end("the incident ended before the next attempt"),
            (Event::Withdraw, Phase::Reply) => {
                self.withdrawn = true;
                self.stay()
            }
            (Event::Tick, Phase::Until(_)) if now >= self.terms.deadline => {
                self.end("the deadline has passed")
            }
            (Event::Tick, Phase::Until(at)) if now >= at => self.submit(),
            (Event::Tick, Phase::Reply) if now >= self.terms.deadline.saturating_add(REPLY_GRACE_MILLIS) => {
                self.doubt = true;
                self.end("no reply came before the deadline")
            }
            (
                Event::Finished { .. }
                | Event::Resume { .. }
                | Event::Tick
                | Event::Suppress(_)
                | Event::Refuse(_)
                | Event::Begin,
                Phase::Reply | Phase::Until(_),
            ) => self.stay(),
        }
    }

    fn finished(mut self, result: Reply, now: i64) -> (State, Vec<Effect>) {
        match result {
            Reply::Accepted { detail, .. } => {
                (State::Applied { attempts: self.attempt, detail }, vec![Effect::Outcome])
            }
            Reply::Succeeded { .. } | Reply::Clear | Reply::Absent | Reply::Running { .. } => {
                self.end("an answer to another question")
            }
            Reply::Rejected { why } | Reply::Barred { why, .. } | Reply::Failed { why } => self.end(&why),
            Reply::Retry { why, doubt, retry_after } => {
                self.doubt |= doubt;
                if self.doubt && self.terms.idempotency == Idempotency::Unkeyed {
                    return self.end(&why);
                }
                if self.withdrawn {
                    return self.end(&format!("{why}, and the incident has ended"));
                }
                let asked = retry_after.map_or(0, |wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
                let wait = backoff::millis(&self.terms.id, self.attempt).max(asked);
                let at = now.saturating_add(wait);
                if at >= self.terms.deadline {
                    return self.end(&format!("{why}, and the next attempt would be after the deadline"));
                }
                self.phase = Phase::Until(at);
                self.stay()
            }
        }
    }

    fn resume(self, allowed: bool, now: i64) -> (State, Vec<Effect>) {
        match self.terms.idempotency {
            Idempotency::NoEffect => {
                let detail = "dry run: nothing was called; completed after a restart".to_owned();
                (State::Applied { attempts: self.attempt, detail }, vec![Effect::Outcome])
            }
            Idempotency::Keyed if !allowed => {
                self.end("interrupted, and the configuration no longer allows the same call")
            }
            Idempotency::Keyed if now >= self.terms.deadline => {
                self.end("interrupted, and the deadline has passed")
            }
            Idempotency::Keyed => self.submit(),
            Idempotency::StateLike => self.end("interrupted"),
            Idempotency::Unkeyed => self.end("interrupted, and the target cannot be asked twice"),
        }
    }

    fn submit(mut self) -> (State, Vec<Effect>) {
        self.attempt += 1;
        self.phase = Phase::Reply;
        let attempt = self.attempt;
        (self.stay().0, vec![Effect::Submit { attempt }])
    }

    fn end(self, why: &str) -> (State, Vec<Effect>) {
        let attempts = self.attempt;
        let state = if self.doubt {
            let detail = format!("{why}; an attempt may have been taken, so a person has to look");
            State::Unknown { attempts, detail }
        } else {
            State::Failed { attempts, detail: why.to_owned() }
        };
        (state, vec![Effect::Outcome])
    }

    fn stay(self) -> (State, Vec<Effect>) {
        let Self { attempt, phase, doubt, withdrawn, .. } = self;
        (State::Submitting { attempt, phase, doubt, withdrawn }, Vec::new())
    }
}

#[cfg(test)]
mod tests;
