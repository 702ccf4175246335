//! The transitions. Each state has its own function, and each of those matches every event, so that a
//! new event or state cannot be forgotten anywhere.

use std::time::Duration;

use super::super::backoff;
use super::sent::Run;
use super::{Action, Effect, Event, FIND_GRACE_MILLIS, Halt, Phase, REPLY_GRACE_MILLIS, State, Suppression};
use crate::safety::call::{Idempotency, Reply, Step};
use crate::safety::kind::ActionKind;

pub(super) fn step(mut action: Action, event: Event, now: i64) -> (Action, Vec<Effect>) {
    let state = std::mem::replace(&mut action.state, State::Proposed);
    let mut life = Life { action, effects: Vec::new(), now };
    let state = match state {
        State::Proposed => life.proposed(event),
        State::AwaitingApproval { until } => life.awaiting(until, event),
        State::Preflight { phase } => life.preflight(phase, event),
        State::Submitting { phase, doubt, halted } => life.submitting(phase, doubt, halted, event),
        State::Finding { phase, until, halted } => life.finding(phase, until, halted, event),
        State::Following { reference, phase, until, detail, stopping } => {
            life.following(Run { reference, phase, until, detail, stopping }, event)
        }
        State::Verifying { detail } => life.verifying(detail, event),
        ended @ (State::Suppressed { .. }
        | State::Denied { .. }
        | State::Expired
        | State::Applied { .. }
        | State::Verified { .. }
        | State::Failed { .. }
        | State::Cancelled { .. }
        | State::NeedsHuman { .. }) => ended,
    };
    life.action.state = state;
    (life.action, life.effects)
}

/// An action in the middle of a step.
pub(super) struct Life {
    pub(super) action: Action,
    pub(super) effects: Vec<Effect>,
    pub(super) now: i64,
}

impl Life {
    fn proposed(&mut self, event: Event) -> State {
        match event {
            Event::Suppress(reason) => self.suppress(reason, None),
            Event::Refuse(detail) => self.end(State::Failed { detail }),
            Event::Ask { until } if self.now >= until => self.end(State::Expired),
            Event::Ask { until } => State::AwaitingApproval { until },
            Event::Halt(halt) => self.halted(halt),
            Event::Deny { detail } | Event::Cancel { detail } => self.end(State::Denied { detail }),
            Event::Begin | Event::Tick if self.now >= self.action.terms.deadline => {
                self.suppress(Suppression::Stale, Some("its deadline has passed"))
            }
            Event::Begin if self.action.terms.abilities.preflight => {
                self.call(Step::Preflight);
                State::Preflight { phase: Phase::Reply }
            }
            Event::Begin => self.begin(),
            Event::Tick
            | Event::Approve { .. }
            | Event::Resume { .. }
            | Event::Finished { .. }
            | Event::Verify { .. } => State::Proposed,
        }
    }

    fn awaiting(&mut self, until: i64, event: Event) -> State {
        match event {
            Event::Suppress(reason) => self.suppress(reason, None),
            Event::Refuse(detail) => self.end(State::Failed { detail }),
            Event::Halt(halt) => self.halted(halt),
            Event::Deny { detail } | Event::Cancel { detail } => self.end(State::Denied { detail }),
            Event::Tick | Event::Approve { .. } if self.now >= until => self.end(State::Expired),
            Event::Approve { deadline } => {
                self.action.terms.deadline = deadline;
                State::Proposed
            }
            Event::Tick
            | Event::Ask { .. }
            | Event::Begin
            | Event::Resume { .. }
            | Event::Finished { .. }
            | Event::Verify { .. } => State::AwaitingApproval { until },
        }
    }

    fn preflight(&mut self, phase: Phase, event: Event) -> State {
        match (event, phase) {
            (Event::Finished { attempt, reply }, Phase::Reply) if attempt == self.action.asked => match reply
            {
                Reply::Clear if self.now >= self.action.terms.deadline => {
                    self.suppress(Suppression::Stale, Some("its deadline has passed"))
                }
                Reply::Clear => self.begin(),
                Reply::Barred { reason, why } => self.suppress(reason, Some(&why)),
                Reply::Retry { why, retry_after, .. } => match self.next(retry_after) {
                    Some(at) => State::Preflight { phase: Phase::Until(at) },
                    None => {
                        let detail = format!("{why}, and the next attempt would be after the deadline");
                        self.end(State::Failed { detail })
                    }
                },
                Reply::Rejected { why } | Reply::Failed { why } => self.end(State::Failed { detail: why }),
                Reply::Accepted { .. } | Reply::Absent | Reply::Running { .. } | Reply::Succeeded { .. } => {
                    self.end(State::Failed { detail: CONFUSED.to_owned() })
                }
            },
            (Event::Halt(halt), _) => self.halted(halt),
            (Event::Suppress(reason), _) => self.suppress(reason, None),
            (Event::Deny { detail } | Event::Cancel { detail }, _) => self.end(State::Cancelled { detail }),
            (Event::Tick, Phase::Until(_)) if self.now >= self.action.terms.deadline => {
                self.suppress(Suppression::Stale, Some("its deadline has passed"))
            }
            (Event::Tick, Phase::Until(at)) if self.now >= at => {
                self.call(Step::Preflight);
                State::Preflight { phase: Phase::Reply }
            }
            (Event::Tick, Phase::Reply)
                if self.now >= self.action.terms.deadline.saturating_add(REPLY_GRACE_MILLIS) =>
            {
                self.suppress(Suppression::Stale, Some("the target did not answer before the deadline"))
            }
            (
                Event::Tick
                | Event::Refuse(_)
                | Event::Ask { .. }
                | Event::Approve { .. }
                | Event::Begin
                | Event::Resume { .. }
                | Event::Finished { .. }
                | Event::Verify { .. },
                _,
            ) => State::Preflight { phase },
        }
    }

    fn verifying(&mut self, detail: String, event: Event) -> State {
        match event {
            Event::Verify { result, detail } => {
                self.effects.push(Effect::Verified);
                State::Verified { result, detail }
            }
            Event::Suppress(_)
            | Event::Refuse(_)
            | Event::Ask { .. }
            | Event::Approve { .. }
            | Event::Deny { .. }
            | Event::Cancel { .. }
            | Event::Begin
            | Event::Resume { .. }
            | Event::Finished { .. }
            | Event::Halt(_)
            | Event::Tick => State::Verifying { detail },
        }
    }

    /// The first request.
    pub(super) fn begin(&mut self) -> State {
        self.effects.push(Effect::Intent);
        self.call(Step::Submit);
        State::Submitting { phase: Phase::Reply, doubt: false, halted: None }
    }

    pub(super) fn call(&mut self, step: Step) {
        self.action.asked += 1;
        self.effects.push(Effect::Call { attempt: self.action.asked, step });
    }

    pub(super) fn accepted(&mut self, reference: Option<String>, detail: String, done: bool) -> State {
        match reference {
            Some(reference) if !done && self.action.terms.abilities.poll => {
                self.effects.push(Effect::Accepted);
                let until = self.now.saturating_add(self.action.terms.finish_within);
                let phase = Phase::Until(self.now.saturating_add(backoff::FIRST_MILLIS).min(until));
                let run = Run { reference, phase, until, detail, stopping: None };
                match self.action.cancelled.clone() {
                    Some(why) if self.action.terms.abilities.cancel => self.stop(run, why),
                    _ => run.into(),
                }
            }
            _ => self.applied(detail),
        }
    }

    pub(super) fn applied(&mut self, detail: String) -> State {
        self.effects.push(Effect::Outcome);
        match self.action.terms.kind {
            ActionKind::Rollback => State::Verifying { detail },
            ActionKind::Retrain | ActionKind::Notify => State::Applied { detail },
        }
    }

    pub(super) fn end(&mut self, state: State) -> State {
        self.effects.push(Effect::Outcome);
        state
    }

    pub(super) fn suppress(&mut self, reason: Suppression, detail: Option<&str>) -> State {
        self.end(State::Suppressed { reason, detail: detail.map(str::to_owned) })
    }

    /// Stopped before anything was sent.
    fn halted(&mut self, halt: Halt) -> State {
        match halt {
            // Nobody has to look at what is wanted no more.
            Halt::Withdrawn | Halt::Forbidden => self.suppress(Suppression::Stale, None),
            Halt::Condemned => self.suppress(Suppression::NoKnownGoodVersion, Some(halt.words())),
            Halt::Stopped => self.suppress(Suppression::Frozen, None),
        }
    }

    /// No further request is made for now: what may have been taken is looked up, and where that is not
    /// possible a person has to look.
    pub(super) fn lost(&mut self, doubt: bool, halted: Option<Halt>, why: &str) -> State {
        if !doubt || self.action.terms.idempotency == Idempotency::NoEffect {
            return self.not_done(why.to_owned());
        }
        if self.action.terms.abilities.find {
            return self.look(halted);
        }
        self.human(&format!("{why}; an attempt may have been taken"))
    }

    /// The target did not do it: by a person's order, where there is one.
    pub(super) fn not_done(&mut self, why: String) -> State {
        match self.action.cancelled.take() {
            Some(order) => self.end(State::Cancelled { detail: format!("{order}; {why}") }),
            None => self.end(State::Failed { detail: why }),
        }
    }

    pub(super) fn look(&mut self, halted: Option<Halt>) -> State {
        self.call(Step::Find);
        let until = self.now.saturating_add(FIND_GRACE_MILLIS);
        State::Finding { phase: Phase::Reply, until, halted }
    }

    pub(super) fn human(&mut self, why: &str) -> State {
        self.end(State::NeedsHuman { detail: format!("{why}, so a person has to look") })
    }

    /// Whether a second request has no second effect.
    pub(super) fn may_repeat(&self) -> bool {
        match self.action.terms.idempotency {
            Idempotency::NoEffect | Idempotency::Keyed => true,
            Idempotency::StateLike => self.action.terms.abilities.find,
            Idempotency::Unkeyed => false,
        }
    }

    /// When to ask again; none where that is not before the deadline.
    pub(super) fn next(&self, retry_after: Option<Duration>) -> Option<i64> {
        let wait = backoff::millis(&self.action.terms.id, self.action.asked);
        let at = self.now.saturating_add(wait).max(self.left_alone_until(retry_after));
        (at < self.action.terms.deadline).then_some(at)
    }

    /// Until when the target asks to be left alone.
    pub(super) fn left_alone_until(&self, retry_after: Option<Duration>) -> i64 {
        let wait = retry_after.map_or(0, |wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        self.now.saturating_add(wait)
    }

    /// When to look again.
    pub(super) fn soon(&self, until: i64) -> i64 {
        let wait = backoff::millis(&self.action.terms.id, self.action.asked);
        self.now.saturating_add(wait).min(until.max(self.now.saturating_add(1)))
    }
}

/// An adapter that answers another question is broken, and nothing that it says counts.
pub(super) const CONFUSED: &str = "the adapter gave an answer to another question";
