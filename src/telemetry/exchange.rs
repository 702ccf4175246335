//! What joins instances, and what happens between them: transactions, ownership, the exchange and
//! what its log says of all records. Events are counted as they happen; the rest is in the view.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Telemetry;
use super::catalogue::Id;
use super::events::State;
use super::from_view::show_instant;
use super::page::{Page, Value};
use crate::domain::{EventTime, ModelId};
use crate::engine::evaluator::Fault;
use crate::engine::view::{ExchangeView, View};

/// The role that owns partitions of the exchange, and the one that owns the decisions, in labels.
const EVALUATE: &str = "evaluate";
const ACT: &str = "act";
/// How a transaction ended.
const COMMITTED: &str = "committed";
const ABORTED: &str = "aborted";
/// Kinds of faults.
const GAP: &str = "gap";
const OVERLAP: &str = "overlap";
const FOREIGN: &str = "foreign";
/// The partition of the exchange whose owner shows what every partition knows alike.
const SPEAKS: i32 = 0;

/// Upper limits of the buckets of `plimsoll_transaction_duration_seconds`.
const TRANSACTION_LIMITS: [f64; 13] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, f64::INFINITY];
/// Upper limits of the buckets of `plimsoll_restore_duration_seconds`.
const RESTORE_LIMITS: [f64; 11] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, f64::INFINITY];

/// Starts what every instance counts at 0.
pub(super) fn begin(state: &mut State) {
    for kind in [GAP, OVERLAP, FOREIGN] {
        state.count(Id::ExchangeFaults, &[kind], 0);
    }
    for id in [Id::ExchangeGapOffsets, Id::ExchangeForeignRows, Id::UnreadableDecisions, Id::RestoredBytes] {
        state.count(id, &[], 0);
    }
    state.histogram(Id::RestoreDuration, &[], &RESTORE_LIMITS);
}

impl Telemetry {
    /// Names the roles of this instance, so that their counters start at 0.
    pub fn declare_roles<'a>(&self, roles: impl IntoIterator<Item = &'a str>) {
        let mut state = self.events().lock();
        for role in roles {
            state.set(Id::Role, &[role], Value::Count(1));
            for outcome in [COMMITTED, ABORTED] {
                state.count(Id::Transactions, &[role, outcome], 0);
            }
            state.histogram(Id::TransactionDuration, &[role], &TRANSACTION_LIMITS);
            if role == ACT {
                state.set(Id::Owner, &[ACT, "0"], Value::Count(0));
            }
        }
    }

    /// Says how this instance is called, how many partitions the exchange has, and which topics it
    /// reads and writes there, so that their counters start at 0.
    pub fn declare_exchange<'a>(
        &self,
        instance: &str,
        partitions: i32,
        topics: impl IntoIterator<Item = &'a str>,
    ) {
        let mut state = self.events().lock();
        state.instance = Some(instance.to_owned());
        let partitions = u64::try_from(partitions).unwrap_or(0);
        state.set(Id::ExchangePartitions, &[], Value::Count(partitions));
        for topic in topics {
            for id in [Id::LostRecords, Id::ProducedMessages, Id::ProducedBytes] {
                state.count(id, &[topic], 0);
            }
        }
    }

    /// How this instance is called; none where nothing joins it to others.
    pub fn instance(&self) -> Option<String> {
        self.events().lock().instance.clone()
    }

    /// The roles that were declared.
    pub fn roles(&self) -> Vec<String> {
        let state = self.events().lock();
        let roles = state.values.get(&Id::Role).into_iter().flat_map(BTreeMap::keys);
        roles.filter_map(|labels| labels.first().cloned()).collect()
    }

    /// Whether this instance owns the decisions; none where acting is not among the declared roles.
    pub fn owns_decisions(&self) -> Option<bool> {
        let state = self.events().lock();
        let owner = state.values.get(&Id::Owner)?.get([ACT.to_owned(), "0".to_owned()].as_slice())?;
        Some(*owner == Value::Count(1))
    }

    /// A transaction of `role` ended at wall time `unix_seconds`, after `took`, committed or not.
    pub fn transaction(&self, role: &str, committed: bool, took: Duration, unix_seconds: f64) {
        let mut state = self.events().lock();
        state.count(Id::Transactions, &[role, if committed { COMMITTED } else { ABORTED }], 1);
        state.histogram(Id::TransactionDuration, &[role], &TRANSACTION_LIMITS).observe(took.as_secs_f64());
        if committed && unix_seconds.is_finite() {
            state.set(Id::TransactionLastCommit, &[role], Value::Number(unix_seconds));
        }
    }

    /// Everything taken until wall time `unix_seconds` was evaluated, and what came of it is durable.
    pub fn evaluated(&self, unix_seconds: f64) {
        if unix_seconds.is_finite() {
            self.events().lock().set(Id::LastEvaluation, &[], Value::Number(unix_seconds));
        }
    }

    /// Messages and bytes were committed to `topic`.
    pub fn produced(&self, topic: &str, messages: u64, bytes: u64) {
        let mut state = self.events().lock();
        state.count(Id::ProducedMessages, &[topic], messages);
        state.count(Id::ProducedBytes, &[topic], bytes);
    }

    /// So many offsets of a topic were gone before they were read.
    pub fn lost_records(&self, topic: &str, offsets: i64) {
        self.events().count(Id::LostRecords, &[topic], u64::try_from(offsets).unwrap_or(0));
    }

    /// A message of so many bytes was taken from the exchange.
    pub fn exchange_message(&self, bytes: u64) {
        let [messages, sum] = &self.events().taken;
        messages.fetch_add(1, Ordering::Relaxed);
        sum.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Something was wrong with a message of the exchange.
    pub fn exchange_fault(&self, fault: &Fault) {
        let mut state = self.events().lock();
        match fault {
            Fault::Gap { offsets, .. } => {
                state.count(Id::ExchangeFaults, &[GAP], 1);
                let missing = u64::try_from(offsets.to - offsets.from).unwrap_or(0);
                state.count(Id::ExchangeGapOffsets, &[], missing);
            }
            Fault::Overlap { .. } => state.count(Id::ExchangeFaults, &[OVERLAP], 1),
            Fault::Foreign { rows, .. } => {
                state.count(Id::ExchangeFaults, &[FOREIGN], 1);
                state.count(Id::ExchangeForeignRows, &[], *rows);
            }
        }
    }

    /// A partition of the exchange was restored from so many bytes.
    pub fn restored(&self, took: Duration, bytes: u64) {
        let mut state = self.events().lock();
        state.histogram(Id::RestoreDuration, &[], &RESTORE_LIMITS).observe(took.as_secs_f64());
        state.count(Id::RestoredBytes, &[], bytes);
    }

    /// Whether this instance owns the decisions, and how many of them could not be read since it
    /// started. Says nothing where acting is not among the declared roles.
    pub fn acting(&self, owner: bool, unreadable: u64) {
        let mut state = self.events().lock();
        let acts = |roles: &BTreeMap<_, _>| roles.contains_key([ACT.to_owned()].as_slice());
        if state.values.get(&Id::Role).is_some_and(acts) {
            state.set(Id::Owner, &[ACT, "0"], Value::Count(u64::from(owner)));
            state.set(Id::UnreadableDecisions, &[], Value::Count(unreadable));
        }
    }
}

/// Adds what the view knows of the exchange to a page.
pub(super) fn collect(view: &View, page: &mut Page) {
    for held in &view.exchange {
        let number = held.partition.to_string();
        let labels = [number.as_str()];
        page.set(Id::Owner, &[EVALUATE, &number], Value::Count(1));
        page.number(Id::ExchangePosition, &labels, held.position as f64, true);
        show_instant(page, Id::ExchangeWatermark, &labels, held.watermark);
        if held.wall > 0 {
            show_instant(page, Id::ExchangeWall, &labels, Some(EventTime::from_millis(held.wall)));
        }
        page.set(Id::ExchangeHolding, &labels, Value::Count(held.holding.len() as u64));
        for (topic, turned) in &held.turned_late {
            page.add(Id::LogTurnedLate, &[topic], turned.records);
        }
    }
    if let Some(held) = view.exchange.iter().find(|held| held.partition == SPEAKS) {
        log(held, page);
    }
    model_bytes(view, page);
}

/// What observers said of all records.
fn log(held: &ExchangeView, page: &mut Page) {
    for (topic, counts) in held.committed() {
        for (class, count) in [
            ("used", counts.used),
            ("late", counts.late),
            ("rejected", counts.rejected),
            ("lost", counts.lost),
        ] {
            page.set(Id::LogRecords, &[&topic, class], Value::Count(count));
        }
    }
}

/// Models that are shown have a series each; what is kept for those at rest is one sum.
fn model_bytes(view: &View, page: &mut Page) {
    let live: BTreeSet<&ModelId> = view.models.iter().map(|model| &model.key.model).collect();
    let mut resting = 0;
    for (model, bytes) in &view.model_bytes {
        if live.contains(model) {
            page.set(Id::ModelStateBytes, &[model.as_str()], Value::Count(*bytes as u64));
        } else {
            resting += *bytes as u64;
        }
    }
    page.set(Id::StateBytes, &["resting"], Value::Count(resting));
}
