//! The life of one action, from what a policy wants to what became of it.
//!
//! ```text
//! Proposed ─► Suppressed{why}
//!   │  ▲
//!   ▼  └─ approved
//! AwaitingApproval ─► Denied | Expired
//!   │
//! Proposed ─► Preflight ─(intent durable)─► Submitting ─► Following ─► Applied ─► Verifying ─► Recovered
//!                 │                           │    ▲         │                        │          NotRecovered
//!             Suppressed                      ▼    │         ▼                        └────────► Inconclusive
//!                                           Finding ┘      Failed, Cancelled
//!                                             └─► NeedsHuman
//! ```
//!
//! * An intent is durable before the first request that can change anything: effects are carried out in
//!   the order in which they are returned. A preflight changes nothing, so it comes before the intent,
//!   and a process that stops there has nothing to look up.
//! * All requests carry the same id. None begins at or after the deadline: a rollback is stale within
//!   minutes.
//! * After a lost reply the action is looked up where the target can be asked, and sent again only where
//!   the second request is known to have no second effect (see [`Idempotency`]).
//! * `Failed` says that the target did not do it. Where that is not certain the end is `NeedsHuman`.
//! * A person's order to stop holds until the action has ended: what turns out to have been taken after
//!   all is stopped then.
//! * `Applied` says that the target has done it (or that a dry run was made); that the model is well
//!   again is for the verification to say.

mod sent;
mod step;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::call::{Abilities, Idempotency, Reply, Step};
use super::kind::ActionKind;

/// How long after the deadline a reply may still come in; a call is itself cut at the deadline.
pub const REPLY_GRACE_MILLIS: i64 = 5_000;
/// How long an action that may have reached its target is looked for after it was last sent. A request
/// that was on its way may be taken a little later than its reply was given up.
pub const FIND_GRACE_MILLIS: i64 = 30_000;

/// Why nothing was done although a policy wanted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suppression {
    /// The policy only observes.
    Observe,
    /// The policy only recommends.
    Recommend,
    /// There is no version to go back to.
    NoKnownGoodVersion,
    /// Its deadline has passed, its incident is over, it is configured no more, or the target is not in
    /// the state that the decision was about: somebody else has changed it.
    Stale,
    /// The same is already under way or done for this version.
    AlreadyActive,
    /// A newer decision asks for the same while this one was waiting.
    Superseded,
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
            Self::Recommend => "recommend",
            Self::NoKnownGoodVersion => "no_known_good_version",
            Self::Stale => "stale",
            Self::AlreadyActive => "already_active",
            Self::Superseded => "superseded",
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

/// What an action keeps to, fixed when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Its id, the same in every request.
    pub id: String,
    /// What it is for.
    pub kind: ActionKind,
    /// What the target makes of a repetition.
    pub idempotency: Idempotency,
    /// What the target can be asked.
    pub abilities: Abilities,
    /// No request that changes anything begins at or after this wall time, milliseconds since the epoch.
    pub deadline: i64,
    /// How long what the target has taken may run, milliseconds.
    pub finish_within: i64,
}

/// What an action waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The answer to the newest question.
    Reply,
    /// The next question, at this wall time in milliseconds since the epoch.
    Until(i64),
}

/// What the inference log has shown since an action was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    /// The traffic is on the good version, and its metric is inside the clear bounds.
    Recovered,
    /// It is not, although there was enough data to tell.
    NotRecovered,
    /// There was too little data to tell.
    Inconclusive,
}

impl Verified {
    /// The result as the API, the audit log and metrics spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::NotRecovered => "not_recovered",
            Self::Inconclusive => "verify_inconclusive",
        }
    }
}

/// Where an action is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// A policy wants it; nothing was done yet.
    Proposed,
    /// A person is asked.
    AwaitingApproval {
        /// Wall time at which the question expires.
        until: i64,
    },
    /// It will not be done.
    Suppressed {
        /// Why not.
        reason: Suppression,
        /// In words, where there is more to say.
        detail: Option<String>,
    },
    /// A person said no.
    Denied {
        /// Who, and why.
        detail: String,
    },
    /// Nobody said yes in time.
    Expired,
    /// The target is asked whether anything stands against it.
    Preflight {
        /// What it waits for.
        phase: Phase,
    },
    /// Its intent is recorded, and requests are made.
    Submitting {
        /// What it waits for.
        phase: Phase,
        /// Whether an earlier request may have been taken without our knowing.
        doubt: bool,
        /// Why no further request is made.
        halted: Option<Halt>,
    },
    /// It may have been taken, and the target is asked.
    Finding {
        /// What it waits for.
        phase: Phase,
        /// Wall time until which it is looked for.
        until: i64,
        /// Why no further request is made.
        halted: Option<Halt>,
    },
    /// The target took it and is at it.
    Following {
        /// What the target calls it.
        reference: String,
        /// What it waits for.
        phase: Phase,
        /// Wall time by which it must have succeeded.
        until: i64,
        /// What the target said last.
        detail: String,
        /// That it is being stopped, and why.
        stopping: Option<String>,
    },
    /// The target has done it, and nothing is left to be seen.
    Applied {
        /// What the target said.
        detail: String,
    },
    /// The target has done it; the inference log has to show it.
    Verifying {
        /// What the target said.
        detail: String,
    },
    /// What the inference log has shown.
    Verified {
        /// The result.
        result: Verified,
        /// In words.
        detail: String,
    },
    /// The target did not do it.
    Failed {
        /// Why.
        detail: String,
    },
    /// A person stopped it.
    Cancelled {
        /// Who, and what the target said.
        detail: String,
    },
    /// It may or may not have been done: a person has to look.
    NeedsHuman {
        /// What is known.
        detail: String,
    },
}

/// Why no further request is made although the action has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The incident that asked for it is over.
    Withdrawn,
    /// Everything was frozen, or the model is held.
    Stopped,
    /// The configuration does not allow it any more.
    Forbidden,
    /// The version to go back to is known to be bad by now.
    Condemned,
}

impl Halt {
    const fn words(self) -> &'static str {
        match self {
            Self::Withdrawn => "the incident has ended",
            Self::Stopped => "a person stopped all changes",
            Self::Forbidden => "the configuration no longer allows the same call",
            Self::Condemned => "the version to go back to has left its bounds too",
        }
    }
}

impl State {
    /// The state as the API, the audit log and metrics spell it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::AwaitingApproval { .. } => "awaiting_approval",
            Self::Suppressed { .. } => "suppressed",
            Self::Denied { .. } => "denied",
            Self::Expired => "expired",
            Self::Preflight { .. } => "preflight",
            Self::Submitting { .. } => "submitting",
            Self::Finding { .. } => "finding",
            Self::Following { .. } => "running",
            Self::Applied { .. } => "applied",
            Self::Verifying { .. } => "verifying",
            Self::Verified { result, .. } => result.name(),
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::NeedsHuman { .. } => "needs_human",
        }
    }

    /// The state of an action whose intent is recorded and whose outcome is not, found at start.
    pub const fn interrupted() -> Self {
        Self::Submitting { phase: Phase::Reply, doubt: true, halted: None }
    }

    /// Whether requests are being made, or may be from one moment to the next.
    pub const fn is_active(&self) -> bool {
        matches!(
            self,
            Self::Preflight { .. } | Self::Submitting { .. } | Self::Finding { .. } | Self::Following { .. }
        )
    }

    /// Whether nothing was sent yet, so that it can still be dropped without a trace at the target.
    pub const fn is_waiting(&self) -> bool {
        matches!(self, Self::Proposed | Self::AwaitingApproval { .. })
    }

    /// Whether the target has done it.
    pub const fn was_applied(&self) -> bool {
        matches!(self, Self::Applied { .. } | Self::Verifying { .. } | Self::Verified { .. })
    }
}

/// What happens to an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A rule forbids it.
    Suppress(Suppression),
    /// The request cannot be made, with the reason.
    Refuse(String),
    /// A person has to be asked, until this wall time.
    Ask {
        /// Milliseconds since the epoch.
        until: i64,
    },
    /// A person said yes; requests may begin until the deadline.
    Approve {
        /// Milliseconds since the epoch.
        deadline: i64,
    },
    /// A person said no.
    Deny {
        /// Who, and why.
        detail: String,
    },
    /// A person wants it stopped.
    Cancel {
        /// Who, and why.
        detail: String,
    },
    /// Nothing stands against it.
    Begin,
    /// The process has started again with the action interrupted.
    Resume {
        /// Whether the configuration still allows the same call to the same target.
        allowed: bool,
        /// Whether the target is still the same, so that it can be asked.
        same_target: bool,
    },
    /// A question was answered.
    Finished {
        /// Which.
        attempt: u32,
        /// How.
        reply: Reply,
    },
    /// No further request may be made.
    Halt(Halt),
    /// The inference log has shown what became of the model.
    Verify {
        /// The result.
        result: Verified,
        /// In words.
        detail: String,
    },
    /// Time has passed.
    Tick,
}

/// What is to be done next, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Record the intent; the next effect waits until it is durable.
    Intent,
    /// Ask the target.
    Call {
        /// Number of the question.
        attempt: u32,
        /// What is asked.
        step: Step,
    },
    /// Record that the target took it, and what it calls it.
    Accepted,
    /// Record what became of the action.
    Outcome,
    /// Record what the inference log has shown.
    Verified,
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What it keeps to.
    pub terms: Terms,
    /// Where it is.
    pub state: State,
    /// Questions asked since the start of this process; the number of the newest.
    pub asked: u32,
    /// That a person wants it stopped: who, and why. It holds however long it takes to find out whether
    /// there is something to stop.
    pub cancelled: Option<String>,
}

impl Action {
    /// An action that a policy wants.
    pub const fn proposed(terms: Terms) -> Self {
        Self { terms, state: State::Proposed, asked: 0, cancelled: None }
    }

    /// When time alone will change the action: milliseconds since the epoch.
    pub fn due(&self) -> Option<i64> {
        let reply = self.terms.deadline.saturating_add(REPLY_GRACE_MILLIS);
        let of = |phase: &Phase, reply: i64| match phase {
            Phase::Reply => reply,
            Phase::Until(at) => *at,
        };
        match &self.state {
            State::Proposed => Some(self.terms.deadline),
            State::AwaitingApproval { until } => Some(*until),
            State::Preflight { phase } | State::Submitting { phase, .. } => Some(of(phase, reply)),
            State::Finding { phase, until, .. } | State::Following { phase, until, .. } => {
                Some(of(phase, until.saturating_add(REPLY_GRACE_MILLIS)))
            }
            State::Verifying { .. }
            | State::Verified { .. }
            | State::Suppressed { .. }
            | State::Denied { .. }
            | State::Expired
            | State::Applied { .. }
            | State::Failed { .. }
            | State::Cancelled { .. }
            | State::NeedsHuman { .. } => None,
        }
    }

    /// The action after `event` at wall time `now` (milliseconds since the epoch), and what is to
    /// be done. An event that does not concern the state changes nothing.
    #[must_use]
    pub fn step(self, event: Event, now: i64) -> (Self, Vec<Effect>) {
        step::step(self, event, now)
    }
}

#[cfg(test)]
mod tests;
