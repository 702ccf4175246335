//! What a target can be asked, and what it may answer. The rules choose the question from the class
//! of the target; the adapters turn status codes and bodies into these few answers, so that what
//! follows from "HTTP 409" is decided in one place for each target and nowhere twice.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::Suppression;

/// One question to a target. Only `Submit` and `Cancel` may change anything there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Does anything at the target stand against the action?
    Preflight,
    /// Do it.
    Submit,
    /// Was it done, or begun, under this id? Asked after a reply was lost.
    Find,
    /// What has become of it?
    Poll {
        /// What the target calls it: a run's id, a build's address.
        reference: String,
    },
    /// Stop it.
    Cancel {
        /// What the target calls it.
        reference: String,
    },
}

impl Step {
    /// The step as logs and metrics spell it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Submit => "submit",
            Self::Find => "find",
            Self::Poll { .. } => "poll",
            Self::Cancel { .. } => "cancel",
        }
    }
}

/// Which questions a target understands beside `Submit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// It can be asked whether something stands against an action.
    pub preflight: bool,
    /// It can be asked whether an action reached it.
    pub find: bool,
    /// It can be asked what has become of an action. Where it cannot, having taken the request is all
    /// that is ever known.
    pub poll: bool,
    /// It can be asked to stop.
    pub cancel: bool,
}

/// The answer to one question. `detail` and `why` are words for people; they hold no secret and no
/// personal data, and at most some hundred characters of what a target said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `Preflight`: nothing stands against it.
    Clear,
    /// `Preflight`, or `Submit` before anything was changed: it must not be done now.
    Barred {
        /// The rule.
        reason: Suppression,
        /// In words.
        why: String,
    },
    /// `Submit`: the target took it. `Find`: the target has it, and it is ours.
    Accepted {
        /// What the target calls it, for `Poll` and `Cancel`.
        reference: Option<String>,
        /// What it said.
        detail: String,
        /// Whether that is all: the target has done it, or will never say more.
        done: bool,
    },
    /// `Find`: it is certainly not there (yet).
    Absent,
    /// `Poll`: it is on its way.
    Running {
        /// `queued`, `running`, or the target's own word.
        detail: String,
    },
    /// `Poll`: it has succeeded. `Cancel`: it is stopped, or will stop.
    Succeeded {
        /// What the target said.
        detail: String,
    },
    /// `Poll`: it has ended without success, or is gone.
    Failed {
        /// Why.
        why: String,
    },
    /// Any: refused, and would be refused again. Nothing was changed.
    Rejected {
        /// Why.
        why: String,
    },
    /// Any: it did not work this time.
    Retry {
        /// Why.
        why: String,
        /// `Submit`, `Cancel`: whether it may have been done all the same.
        doubt: bool,
        /// How long the target asks to be left alone.
        retry_after: Option<Duration>,
    },
}

/// What a target makes of a request that reaches it twice, from the one that minds least on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Idempotency {
    /// Nothing happens however often it is asked (a dry run).
    NoEffect,
    /// The second is recognised by its id: after a lost reply it is looked up where that is possible,
    /// and asked again under the same id.
    Keyed,
    /// It asks for a state and not for a deed (an alias, a share of traffic): after a lost reply the
    /// state is read, and written again only if it is still the bad one.
    StateLike,
    /// It would act twice: after a lost reply it is looked up, and never sent again.
    Unkeyed,
}
