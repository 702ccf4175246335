//! The transitions of an action that was sent: its request is under way, it is looked for after a lost
//! reply, or the target is at it.

use super::step::{CONFUSED, Life};
use super::{Event, FIND_GRACE_MILLIS, Halt, Phase, REPLY_GRACE_MILLIS, State};
use crate::safety::backoff;
use crate::safety::call::{Idempotency, Reply, Step};

/// Longest wait between two looks at what is running.
const POLL_MILLIS: i64 = 10_000;

/// Marks why it is being stopped: its time is over, and nobody has asked for it.
const OVERDUE: &str = "overdue: ";

/// What a target is at.
pub(super) struct Run {
    pub(super) reference: String,
    pub(super) phase: Phase,
    pub(super) until: i64,
    pub(super) detail: String,
    pub(super) stopping: Option<String>,
}

impl From<Run> for State {
    fn from(run: Run) -> Self {
        let Run { reference, phase, until, detail, stopping } = run;
        Self::Following { reference, phase, until, detail, stopping }
    }
}

impl Life {
    pub(super) fn submitting(
        &mut self,
        phase: Phase,
        doubt: bool,
        halted: Option<Halt>,
        event: Event,
    ) -> State {
        let deadline = self.action.terms.deadline;
        match (event, phase) {
            (Event::Finished { attempt, reply }, Phase::Reply) if attempt == self.action.asked => {
                self.submitted(reply, doubt, halted)
            }
            (Event::Resume { allowed, same_target }, Phase::Reply) if self.action.asked == 0 => {
                self.resume(allowed && halted.is_none() && self.action.cancelled.is_none(), same_target)
            }
            (Event::Halt(halt), Phase::Until(_)) => self.lost(doubt, Some(halt), halt.words()),
            (Event::Halt(halt), Phase::Reply) => {
                State::Submitting { phase, doubt, halted: halted.or(Some(halt)) }
            }
            (Event::Cancel { detail }, Phase::Until(_)) => {
                self.action.cancelled = Some(detail);
                self.lost(doubt, Some(Halt::Stopped), "no request is under way")
            }
            (Event::Cancel { detail }, Phase::Reply) => {
                self.action.cancelled = Some(detail);
                State::Submitting { phase, doubt, halted: halted.or(Some(Halt::Stopped)) }
            }
            (Event::Tick, Phase::Until(_)) if self.now >= deadline => {
                self.lost(doubt, halted, "the deadline has passed")
            }
            (Event::Tick, Phase::Until(at)) if self.now >= at => {
                self.call(Step::Submit);
                State::Submitting { phase: Phase::Reply, doubt, halted }
            }
            (Event::Tick, Phase::Reply) if self.now >= deadline.saturating_add(REPLY_GRACE_MILLIS) => {
                self.lost(true, halted, "no reply came before the deadline")
            }
            (
                Event::Tick
                | Event::Suppress(_)
                | Event::Refuse(_)
                | Event::Ask { .. }
                | Event::Approve { .. }
                | Event::Deny { .. }
                | Event::Begin
                | Event::Resume { .. }
                | Event::Finished { .. }
                | Event::Verify { .. },
                _,
            ) => State::Submitting { phase, doubt, halted },
        }
    }

    /// The answer to a submission.
    fn submitted(&mut self, reply: Reply, doubt: bool, halted: Option<Halt>) -> State {
        match reply {
            Reply::Accepted { reference, detail, done } => self.accepted(reference, detail, done),
            Reply::Succeeded { detail } => self.applied(detail),
            Reply::Retry { why, doubt: lost, retry_after } => {
                let doubt = doubt || lost;
                if doubt && !self.may_repeat() {
                    return self.lost(true, halted, &why);
                }
                if let Some(halt) = halted {
                    return self.lost(doubt, halted, &format!("{why}, and {}", halt.words()));
                }
                // What may have been taken is looked up before it is sent again.
                if doubt && self.action.terms.abilities.find {
                    return self.lost(true, halted, &why);
                }
                match self.next(retry_after) {
                    Some(at) => State::Submitting { phase: Phase::Until(at), doubt, halted },
                    None => {
                        let why = format!("{why}, and the next attempt would be after the deadline");
                        self.lost(doubt, halted, &why)
                    }
                }
            }
            Reply::Barred { reason, why } if !doubt => self.suppress(reason, Some(&why)),
            Reply::Barred { why, .. } | Reply::Rejected { why } | Reply::Failed { why } => {
                self.lost(doubt, halted.or(Some(Halt::Forbidden)), &why)
            }
            Reply::Clear | Reply::Absent | Reply::Running { .. } => self.lost(true, halted, CONFUSED),
        }
    }

    fn resume(&mut self, allowed: bool, same_target: bool) -> State {
        let terms = &self.action.terms;
        let halted = (!allowed).then_some(Halt::Forbidden);
        match terms.idempotency {
            Idempotency::NoEffect => {
                self.applied("dry run: nothing was called; completed after a restart".to_owned())
            }
            _ if same_target && terms.abilities.find => self.look(halted),
            Idempotency::Keyed if allowed && same_target && self.now < terms.deadline => {
                self.call(Step::Submit);
                State::Submitting { phase: Phase::Reply, doubt: true, halted: None }
            }
            Idempotency::Keyed if !allowed || !same_target => {
                self.human("interrupted, and the configuration no longer allows the same call")
            }
            Idempotency::Keyed => self.human("interrupted, and the deadline has passed"),
            Idempotency::StateLike | Idempotency::Unkeyed => {
                self.human("interrupted, and the target cannot be asked whether it took it")
            }
        }
    }

    pub(super) fn finding(&mut self, phase: Phase, until: i64, halted: Option<Halt>, event: Event) -> State {
        match (event, phase) {
            (Event::Finished { attempt, reply }, Phase::Reply) if attempt == self.action.asked => {
                self.found(reply, until, halted)
            }
            (Event::Halt(halt), _) => State::Finding { phase, until, halted: halted.or(Some(halt)) },
            (Event::Cancel { detail }, _) => {
                self.action.cancelled = Some(detail);
                State::Finding { phase, until, halted: halted.or(Some(Halt::Stopped)) }
            }
            (Event::Tick, Phase::Until(at)) if self.now >= at => {
                self.call(Step::Find);
                State::Finding { phase: Phase::Reply, until, halted }
            }
            (Event::Tick, Phase::Reply) if self.now >= until.saturating_add(REPLY_GRACE_MILLIS) => {
                self.human("it could not be looked up")
            }
            (
                Event::Tick
                | Event::Suppress(_)
                | Event::Refuse(_)
                | Event::Ask { .. }
                | Event::Approve { .. }
                | Event::Deny { .. }
                | Event::Begin
                | Event::Resume { .. }
                | Event::Finished { .. }
                | Event::Verify { .. },
                _,
            ) => State::Finding { phase, until, halted },
        }
    }

    /// The answer to a look for what may have been taken.
    fn found(&mut self, reply: Reply, until: i64, halted: Option<Halt>) -> State {
        match reply {
            Reply::Accepted { reference, detail, done } => self.accepted(reference, detail, done),
            Reply::Succeeded { detail } => self.applied(detail),
            Reply::Absent => {
                let may = self.may_repeat() && halted.is_none();
                if let Some(at) = self.next(None).filter(|_| may) {
                    return State::Submitting { phase: Phase::Until(at), doubt: true, halted };
                }
                if self.now < until {
                    return State::Finding { phase: Phase::Until(self.soon(until)), until, halted };
                }
                if self.may_repeat() {
                    let why = halted.map_or("the deadline has passed", Halt::words);
                    return self.not_done(format!("looked up at the target, which does not have it; {why}"));
                }
                self.human("it was not found at the target, and may not be sent twice")
            }
            Reply::Barred { reason, why } => self.suppress(reason, Some(&why)),
            Reply::Rejected { why } | Reply::Failed { why } => self.human(&why),
            Reply::Retry { why, retry_after, .. } => {
                let at = self.soon(until).max(self.left_alone_until(retry_after));
                if self.now >= until || at > until {
                    return self.human(&format!("{why}, so it could not be looked up"));
                }
                State::Finding { phase: Phase::Until(at), until, halted }
            }
            Reply::Clear | Reply::Running { .. } => self.human(CONFUSED),
        }
    }

    pub(super) fn following(&mut self, mut run: Run, event: Event) -> State {
        match (event, run.phase) {
            (Event::Finished { attempt, reply }, Phase::Reply) if attempt == self.action.asked => {
                if let Some(why) = run.stopping.clone() {
                    return self.stopped(run, reply, &why);
                }
                match reply {
                    Reply::Succeeded { detail } => self.applied(detail),
                    Reply::Failed { why } => self.end(State::Failed { detail: why }),
                    Reply::Running { detail } => {
                        run.detail = detail;
                        self.later(run)
                    }
                    Reply::Retry { .. } | Reply::Absent => self.later(run),
                    Reply::Rejected { why } | Reply::Barred { why, .. } => self
                        .human(&format!("it was taken as {}, and cannot be followed: {why}", run.reference)),
                    Reply::Accepted { .. } | Reply::Clear => self.human(CONFUSED),
                }
            }
            (Event::Resume { same_target: false, .. }, _) => self
                .human(&format!("it was taken as {}, and its target is configured no more", run.reference)),
            (Event::Resume { .. }, _) => match self.action.cancelled.clone() {
                Some(why) if self.action.terms.abilities.cancel => self.stop(run, why),
                _ => {
                    self.call(Step::Poll { reference: run.reference.clone() });
                    run.phase = Phase::Reply;
                    // It may have succeeded in time, and nobody was there to ask.
                    run.until = run.until.max(self.now.saturating_add(FIND_GRACE_MILLIS));
                    run.into()
                }
            },
            (Event::Cancel { detail }, _) if self.action.terms.abilities.cancel => {
                self.action.cancelled = Some(detail.clone());
                self.stop(run, detail)
            }
            (Event::Tick, Phase::Until(_)) if self.now >= run.until && run.stopping.is_some() => {
                self.human("it was to be stopped, and that did not work in time")
            }
            (Event::Tick, Phase::Until(_)) if self.now >= run.until => self.overdue(run),
            (Event::Tick, Phase::Until(at)) if self.now >= at && run.stopping.is_some() => {
                self.call(Step::Cancel { reference: run.reference.clone() });
                run.phase = Phase::Reply;
                run.into()
            }
            (Event::Tick, Phase::Until(at)) if self.now >= at => {
                self.call(Step::Poll { reference: run.reference.clone() });
                run.phase = Phase::Reply;
                run.into()
            }
            (Event::Tick, Phase::Reply) if self.now >= run.until.saturating_add(REPLY_GRACE_MILLIS) => {
                if run.stopping.is_some() {
                    return self.human("it was to be stopped, and the target did not answer");
                }
                self.overdue(run)
            }
            (
                Event::Tick
                | Event::Halt(_)
                | Event::Suppress(_)
                | Event::Refuse(_)
                | Event::Ask { .. }
                | Event::Approve { .. }
                | Event::Deny { .. }
                | Event::Cancel { .. }
                | Event::Begin
                | Event::Finished { .. }
                | Event::Verify { .. },
                _,
            ) => run.into(),
        }
    }

    /// It did not succeed in time. What still waits at the target must not start hours later.
    fn overdue(&mut self, mut run: Run) -> State {
        let why = format!("it has not succeeded in time; the target last said: {}", run.detail);
        if !self.action.terms.abilities.cancel {
            // It may still succeed an hour from now.
            return self.human(&why);
        }
        run.until = self.now.saturating_add(FIND_GRACE_MILLIS);
        self.stop(run, OVERDUE.to_owned() + &why)
    }

    /// Asks the target to stop it.
    pub(super) fn stop(&mut self, mut run: Run, why: String) -> State {
        self.call(Step::Cancel { reference: run.reference.clone() });
        run.phase = Phase::Reply;
        // Also where its own time is nearly over, there is some to stop it in.
        run.until = run.until.max(self.now.saturating_add(FIND_GRACE_MILLIS));
        run.stopping = Some(why);
        run.into()
    }

    /// The answer to a request to stop.
    fn stopped(&mut self, mut run: Run, reply: Reply, why: &str) -> State {
        let overdue = why.strip_prefix(OVERDUE);
        match reply {
            Reply::Retry { retry_after, .. } if self.now < run.until => {
                let at = self.soon(run.until).max(self.left_alone_until(retry_after)).min(run.until);
                run.phase = Phase::Until(at);
                run.into()
            }
            Reply::Succeeded { detail } | Reply::Accepted { detail, .. } | Reply::Running { detail } => {
                match overdue {
                    Some(why) => self.end(State::Failed { detail: format!("{why}; stopped: {detail}") }),
                    None => self.end(State::Cancelled { detail: format!("{why}; {detail}") }),
                }
            }
            Reply::Failed { why: said }
            | Reply::Rejected { why: said }
            | Reply::Barred { why: said, .. }
            | Reply::Retry { why: said, .. } => {
                let why = overdue.unwrap_or(why);
                self.human(&format!("{why}; it could not be stopped: {said}"))
            }
            Reply::Clear | Reply::Absent => self.human(CONFUSED),
        }
    }

    fn later(&mut self, mut run: Run) -> State {
        if self.now >= run.until {
            return self.overdue(run);
        }
        let wait = backoff::millis(&self.action.terms.id, self.action.asked).min(POLL_MILLIS);
        run.phase = Phase::Until(self.now.saturating_add(wait).min(run.until));
        run.into()
    }
}
