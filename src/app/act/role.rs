//! One session of the role: the loop, and what it holds between its steps.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::consumer::ConsumerGroupMetadata;

use super::mark::Mark;
use super::{ACT, Decisions, Ended, Ownership, Picture, Surroundings, kind_of};
use crate::action::Lease;
use crate::app::acting::Acting;
use crate::audit::{Consumed, Kind};
use crate::domain::SourcePartition;
use crate::engine::decided::{self, Told};
use crate::ingest::source::{Commit, SourceEvent};
use crate::telemetry::Rebalance;

/// Events that are taken from the source at a time. Each may cost a transaction, and the group has
/// to be served in between.
const EVENTS: usize = 64;
/// How long to wait for the first of them.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long to wait for calls that are under way when the process stops.
const STOP_PATIENCE: Duration = Duration::from_millis(1_500);

/// A message that was read and not yet taken.
struct Message {
    offset: i64,
    told: Result<Box<Told>, decided::Error>,
}

/// The decisions while they are ours.
struct Owned {
    partition: SourcePartition,
    /// The next message.
    next: i64,
    messages: VecDeque<Message>,
    /// Whether the group was asked who we are, and brought no revocation since, after it gave us the decisions.
    confirmed: bool,
    /// With the audit log open: what says that no order to stop which was there before is unread.
    acting: Option<(Acting, Mark)>,
}

pub(super) struct Role<'a> {
    around: &'a Surroundings,
    owned: Option<Owned>,
    membership: Option<Arc<ConsumerGroupMetadata>>,
    /// Since when the group has not confirmed the ownership.
    doubted: Option<Instant>,
    /// Whether anything was made durable.
    acted: bool,
}

impl<'a> Role<'a> {
    pub(super) fn new(around: &'a Surroundings) -> Self {
        Self { around, owned: None, membership: None, doubted: None, acted: false }
    }

    pub(super) fn go_on<S: Decisions>(
        &mut self,
        source: &mut S,
        open: &mut dyn FnMut(Ownership) -> anyhow::Result<Acting>,
    ) -> anyhow::Result<Ended> {
        while !self.around.stop.load(Ordering::Relaxed) {
            self.take(source)?;
            if let Err(error) = self.work(source, open)
                && let Some(why) = self.judge(error)?
            {
                return Ok(Ended::Lost { why, acted: self.acted });
            }
            self.show();
        }
        if let Err(error) = self.finish(source) {
            // Whatever it is, the next owner finds it out from the log.
            tracing::warn!(error = format!("{error:#}"), "stopped without recording the last ends of calls");
        }
        self.show();
        Ok(Ended::Stopped)
    }

    /// Drops what came from the log, and leaves calls under way to their end.
    pub(super) fn leave(&mut self) {
        if let Some((acting, _)) = self.owned.take().and_then(|owned| owned.acting) {
            acting.leave();
        }
        self.around.shown.owns(false);
        self.around.shown.show(Picture::default());
    }

    /// Takes what the source has.
    ///
    /// Who we are in the group is asked before the poll. A member that was thrown out forgets who it was,
    /// and the broker takes offsets of one who says nothing; but then the revocation is already waiting
    /// to be polled. So a membership counts only once a poll has emptied the queue without a revocation.
    fn take<S: Decisions>(&mut self, source: &mut S) -> anyhow::Result<()> {
        let membership = source.membership();
        let patience = match &self.owned {
            Some(Owned { acting: None, .. }) => Duration::ZERO,
            Some(_) | None => PATIENCE,
        };
        let (mut wrong, mut changed) = (None, false);
        let taken = source
            .poll(EVENTS, patience, &mut |event| match event {
                SourceEvent::Record(record) => {
                    let Some(owned) = &mut self.owned else { return };
                    let message = record.value.unwrap_or_default();
                    let told = decided::read(message).map(Box::new);
                    owned.messages.push_back(Message { offset: record.offset, told });
                }
                SourceEvent::Assigned(partitions) => {
                    changed = true;
                    self.around.telemetry.rebalance(Rebalance::Assign);
                    for assigned in partitions {
                        if assigned.partition.partition != 0 {
                            wrong = Some(assigned.partition);
                            continue;
                        }
                        tracing::info!(partition = %assigned.partition, "the decisions are ours");
                        self.owned = Some(Owned {
                            partition: assigned.partition,
                            // Nothing was read before, so nothing lies before the first message.
                            next: assigned.offset.unwrap_or(0),
                            messages: VecDeque::new(),
                            confirmed: false,
                            acting: None,
                        });
                    }
                }
                SourceEvent::Revoked(partitions) => {
                    changed = true;
                    self.around.telemetry.rebalance(Rebalance::Revoke);
                    let lost = |owned: &Owned| partitions.contains(&owned.partition);
                    if self.owned.as_ref().is_some_and(lost) {
                        tracing::warn!("the decisions were given to another instance; standing by");
                        self.doubted = None;
                        self.leave();
                    }
                }
                SourceEvent::Lost { partition, from, to } => {
                    self.around.telemetry.lost_records(&partition.topic, to.saturating_sub(from));
                    tracing::error!(
                        partition = %partition,
                        from,
                        to,
                        "decisions were removed before they were read; raise kafka.exchange.retention"
                    );
                }
                SourceEvent::EndOfPartition(_) | SourceEvent::Finished(_) => {}
            })
            .context("the decisions cannot be read")?;
        if let Some(partition) = wrong {
            bail!("the topic of the decisions has a partition {partition}, and must have one partition only");
        }
        if taken < EVENTS && !changed {
            self.membership = membership;
            if let Some(owned) = &mut self.owned {
                owned.confirmed = true;
            }
        }
        Ok(())
    }

    fn work<S: Decisions>(
        &mut self,
        source: &mut S,
        open: &mut dyn FnMut(Ownership) -> anyhow::Result<Acting>,
    ) -> anyhow::Result<()> {
        let around = self.around;
        let Some(owned) = &mut self.owned else {
            ready(around, source);
            return Ok(());
        };
        let Some((acting, mark)) = &mut owned.acting else {
            around.readiness.unmet(ACT, "the audit log is not read yet");
            if owned.confirmed {
                let lease = Lease::new(Arc::clone(&around.monotonic));
                let consumed = Consumed {
                    topic: Arc::clone(&owned.partition.topic),
                    partition: owned.partition.partition,
                    next: owned.next,
                    membership: self.membership.clone(),
                };
                let acting = open(Ownership::new(lease, around.session_timeout, consumed))?;
                owned.acting = Some((acting, Mark::draw()?));
            }
            return Ok(());
        };
        if let Some(ownership) = acting.ownership() {
            ownership.belongs(self.membership.clone());
        }
        acting.settle()?;
        self.acted = true;
        if !around.shown.owner() {
            // Nobody is to see an owner that knows of no version that was left.
            around.shown.show(acting.picture((around.clock)()));
            around.shown.owns(true);
        }
        mark.keep_up(&around.mark);
        while let Some(Message { offset, told }) = owned.messages.pop_front() {
            owned.next = offset + 1;
            if let Some(ownership) = acting.ownership() {
                ownership.read(owned.next);
            }
            match told {
                Ok(told) => match *told {
                    Told::Mark(id) if mark.is(&id) => mark.read(),
                    told => acting.told(told, (around.clock)())?,
                },
                Err(error) => {
                    around.shown.count_unreadable();
                    tracing::error!(
                        topic = &*owned.partition.topic,
                        partition = owned.partition.partition,
                        offset,
                        error = &error as &dyn std::error::Error,
                        "a message cannot be read as a decision, command or report, and is passed over"
                    );
                }
            }
        }
        if mark.is_read() {
            if !acting.has_begun() {
                // Where the group does not confirm us now, what is read until it does comes first.
                acting.account()?;
                acting.begin((around.clock)())?;
            }
            ready(around, source);
        } else {
            around.readiness.unmet(ACT, "what waits among the decisions is not read yet");
        }
        acting.tick((around.clock)())?;
        commit(source, acting)?;
        self.doubted = None;
        Ok(())
    }

    /// What an error means: nothing yet, the end of the session with its reason, or the end of the role.
    fn judge(&mut self, error: anyhow::Error) -> anyhow::Result<Option<anyhow::Error>> {
        match kind_of(&error) {
            Kind::NotOwner => {
                let since = *self.doubted.get_or_insert_with(|| {
                    tracing::info!(
                        error = format!("{error:#}"),
                        "waiting for the group to confirm the ownership"
                    );
                    Instant::now()
                });
                Ok((since.elapsed() >= self.around.session_timeout).then_some(error))
            }
            Kind::Fenced | Kind::Away => Ok(Some(error)),
            Kind::Fault => Err(error),
        }
    }

    fn show(&self) {
        if let Some((acting, _)) = self.owned.as_ref().and_then(|owned| owned.acting.as_ref()) {
            self.around.shown.show(acting.picture((self.around.clock)()));
        }
    }

    /// Waits a little for calls that are under way, so that their ends are in the log. One that takes
    /// longer is looked up, or repeated under its id, by the next owner.
    fn finish<S: Decisions>(&mut self, source: &mut S) -> anyhow::Result<()> {
        let Some((acting, _)) = self.owned.as_mut().and_then(|owned| owned.acting.as_mut()) else {
            return Ok(());
        };
        let until = Instant::now() + STOP_PATIENCE;
        while acting.in_flight() > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
            acting.tick((self.around.clock)())?;
        }
        acting.tick((self.around.clock)())?;
        acting.account()?;
        commit(source, acting)
    }
}

/// Nothing is left to be done, unless nobody has answered for long: then there may be, and nobody knows.
fn ready<S: Decisions>(around: &Surroundings, source: &S) {
    match source.silence() {
        Some(silence) => around.readiness.unmet(ACT, silence),
        None => around.readiness.met(ACT),
    }
}

/// Commits the offset where the log does not store it.
fn commit<S: Decisions>(source: &mut S, acting: &mut Acting) -> anyhow::Result<()> {
    let Some(Consumed { topic, partition, next, .. }) = acting.to_commit() else { return Ok(()) };
    let partition = SourcePartition { topic, partition };
    let commits = [Commit { partition, offset: next, metadata: String::new() }];
    match source.commit(&commits) {
        Ok(()) => {
            if let Some(ownership) = acting.ownership() {
                ownership.committed();
            }
        }
        // A decision that is read again is known by its id.
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the offset of the decisions could not be committed; trying again"
        ),
    }
    Ok(())
}
