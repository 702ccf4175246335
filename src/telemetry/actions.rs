//! What is done to models, and what is not: counted from the entries of the audit log when they are
//! durable, so that a page never says more than the log. Labels are names of the configuration and words of
//! the program; what people write, and who they are, is in the log and not on a page.
//!
//! Only the process that owns the actions knows what of them is open. All others show nothing of it,
//! which is not the same as showing none.

mod open;
mod shown;

use std::collections::BTreeMap;
use std::time::Instant;

use super::Telemetry;
use super::catalogue::Id;
use super::events::{ActionOutcome, State};
use crate::engine::actor::{Call, CallFinished, Entry};
use crate::engine::view::ActionView;
use crate::safety::{ActionKind, Reply, Suppression};
use open::{Event, Open};

/// Why people are told of an action: what it came to, where nobody meant it to.
const ESCALATED: [&str; 12] = [
    "no_known_good_version",
    "cooldown",
    "budget",
    "breaker",
    "target_not_ready",
    "stale",
    "frozen",
    "expired",
    "failed",
    "needs_human",
    "not_recovered",
    "verify_inconclusive",
];
/// A reason that this list does not have: what a log of another version may hold.
const OTHER: &str = "other";

/// The orders that people give.
const ORDERS: [&str; 8] = ["approve", "deny", "cancel", "hold", "release", "freeze", "resume", "absolve"];

/// Why an action that changes a model may be suppressed.
const SUPPRESSIONS: [Suppression; 12] = [
    Suppression::Observe,
    Suppression::Recommend,
    Suppression::NoKnownGoodVersion,
    Suppression::Stale,
    Suppression::AlreadyActive,
    Suppression::Superseded,
    Suppression::Cooldown,
    Suppression::Budget,
    Suppression::Breaker,
    Suppression::Frozen,
    Suppression::Held,
    Suppression::TargetNotReady,
];
/// And one that changes nothing.
const SUPPRESSIONS_OF_NOTES: [Suppression; 3] =
    [Suppression::Observe, Suppression::Stale, Suppression::TargetNotReady];

/// What each question is answered with.
const ANSWERS: [(&str, &[&str]); 5] = [
    ("preflight", &["clear", "barred", "rejected", "retry"]),
    ("submit", &["accepted", "barred", "rejected", "retry", "doubt"]),
    ("find", &["accepted", "absent", "rejected", "retry"]),
    ("poll", &["running", "succeeded", "failed", "rejected", "retry"]),
    ("cancel", &["succeeded", "rejected", "retry", "doubt"]),
];

/// Upper limits of the buckets of `plimsoll_action_call_duration_seconds`.
const CALL_LIMITS: [f64; 13] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, f64::INFINITY];
/// Upper limits of the buckets of `plimsoll_action_apply_duration_seconds`: from a call that is done at
/// once to a training that somebody had to approve first.
const APPLY_LIMITS: [f64; 13] =
    [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0, f64::INFINITY];
/// Upper limits of the buckets of `plimsoll_action_verify_duration_seconds`: windows are minutes to days.
const VERIFY_LIMITS: [f64; 11] =
    [15.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 28_800.0, 86_400.0, f64::INFINITY];

/// What is known of actions beside what was counted.
#[derive(Debug, Default)]
pub(super) struct Actions {
    /// The kind of each action that policies may ask for, by model and name.
    declared: BTreeMap<(String, String), ActionKind>,
    /// What has not ended; none where another process owns the actions.
    open: Option<Open>,
    /// Entries in the audit log, and those of them that are signed, where this process owns the actions.
    log: (u64, Option<u64>),
    /// Questions that are not answered yet, by action and number: their labels, and since when.
    asked: BTreeMap<(String, u32), (String, &'static str, Instant)>,
}

/// Starts what every instance counts at 0.
pub(super) fn begin(state: &mut State) {
    for order in ORDERS {
        for accepted in [true, false] {
            state.count(Id::Commands, &[order, command_outcome(accepted)], 0);
        }
    }
}

impl Telemetry {
    /// Names an action that a model's policies may ask for, so that its counters start at 0.
    pub fn declare_action(&self, model: &str, action: &str, kind: ActionKind) {
        let mut state = self.events().lock();
        state.actions.declared.insert((model.to_owned(), action.to_owned()), kind);
        for outcome in ActionOutcome::ALL {
            state.count(Id::Actions, &[model, action, outcome.name()], 0);
        }
        let reasons: &[_] = if kind.changes_model() { &SUPPRESSIONS } else { &SUPPRESSIONS_OF_NOTES };
        for reason in reasons {
            state.count(Id::ActionsSuppressed, &[model, action, reason.name()], 0);
        }
        if kind.changes_model() {
            for reason in ESCALATED {
                state.count(Id::Escalations, &[model, action, reason], 0);
            }
        }
        for (step, answers) in ANSWERS {
            for answer in answers {
                state.count(Id::ActionCalls, &[action, step, answer], 0);
            }
            state.histogram(Id::ActionCallDuration, &[action, step], &CALL_LIMITS);
        }
        state.histogram(Id::ActionApply, &[action], &APPLY_LIMITS);
        if kind == ActionKind::Rollback {
            state.histogram(Id::ActionVerify, &[action], &VERIFY_LIMITS);
        }
    }

    /// This process owns the actions from now on, and `entries` is the whole log: nothing in it is
    /// counted again, but what it leaves open is shown.
    pub fn actions_taken_up(&self, entries: &[Entry]) {
        let mut open = Open::default();
        open.take(entries, &mut |_| {});
        let mut state = self.events().lock();
        state.actions.open = Some(open);
        state.actions.asked.clear();
    }

    /// Another process owns the actions from now on.
    pub fn actions_left(&self) {
        let mut state = self.events().lock();
        state.actions.open = None;
        state.actions.asked.clear();
    }

    /// These entries of the owner are durable, in this order. Counts what they say.
    pub fn recorded(&self, entries: &[Entry]) {
        let mut state = self.events().lock();
        let Some(mut open) = state.actions.open.take() else { return };
        open.take(entries, &mut |event| count(&mut state, event));
        state.actions.open = Some(open);
    }

    /// The audit log of the owner has so many entries, and so many of them are signed; none where there
    /// is no key.
    pub fn audit_log(&self, entries: u64, signed: Option<u64>) {
        self.events().lock().actions.log = (entries, signed);
    }

    /// An action is in another state. Ends are counted by their entries; that a person is asked has none.
    pub fn action_changed(&self, view: &ActionView) {
        let mut state = self.events().lock();
        if state.actions.open.as_mut().is_some_and(|open| open.changed(view)) {
            let labels = [view.key.model.as_str(), &view.action, ActionOutcome::AwaitingApproval.name()];
            state.count(Id::Actions, &labels, 1);
        }
    }

    /// A target is asked something now.
    pub fn asked(&self, call: &Call) {
        let key = (call.action_id.clone(), call.attempt);
        let asked = (call.action.clone(), call.step.name(), Instant::now());
        self.events().lock().actions.asked.insert(key, asked);
    }

    /// And has answered, or its time is over. An answer to what nobody asked counts for nothing.
    pub fn answered(&self, finished: &CallFinished) {
        let mut state = self.events().lock();
        let key = (finished.action_id.clone(), finished.attempt);
        let Some((action, step, since)) = state.actions.asked.remove(&key) else { return };
        state.count(Id::ActionCalls, &[&action, step, answer(step, &finished.result)], 1);
        let took = since.elapsed().as_secs_f64();
        state.histogram(Id::ActionCallDuration, &[&action, step], &CALL_LIMITS).observe(took);
    }
}

fn count(state: &mut State, event: Event<'_>) {
    match event {
        Event::Outcome { model, action, outcome } => {
            state.count(Id::Actions, &[model, action, outcome.name()], 1);
        }
        Event::Suppressed { model, action, reason } => {
            state.count(Id::ActionsSuppressed, &[model, action, reason.name()], 1);
        }
        Event::Escalated { model, action, reason } => {
            let known = ESCALATED.into_iter().find(|known| *known == reason).unwrap_or(OTHER);
            state.count(Id::Escalations, &[model, action, known], 1);
        }
        Event::Applied { action, seconds } => {
            state.histogram(Id::ActionApply, &[action], &APPLY_LIMITS).observe(seconds);
        }
        Event::Verified { action, seconds } => {
            state.histogram(Id::ActionVerify, &[action], &VERIFY_LIMITS).observe(seconds);
        }
        Event::Ordered { order, accepted } => {
            state.count(Id::Commands, &[order, command_outcome(accepted)], 1);
        }
    }
}

/// The outcome of an order, as metrics spell it.
const fn command_outcome(accepted: bool) -> &'static str {
    if accepted { "accepted" } else { "refused" }
}

/// The answer to a question, as metrics spell it. Only a request that changes something leaves a doubt
/// behind when its reply is lost.
fn answer(step: &str, reply: &Reply) -> &'static str {
    match reply {
        Reply::Clear => "clear",
        Reply::Barred { .. } => "barred",
        Reply::Accepted { .. } => "accepted",
        Reply::Absent => "absent",
        Reply::Running { .. } => "running",
        Reply::Succeeded { .. } => "succeeded",
        Reply::Failed { .. } => "failed",
        Reply::Rejected { .. } => "rejected",
        Reply::Retry { doubt: true, .. } if matches!(step, "submit" | "cancel") => "doubt",
        Reply::Retry { .. } => "retry",
    }
}
