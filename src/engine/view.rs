//! An immutable picture of what the engine knows, published after each evaluation. Metrics, the
//! API and the terminal read it and never touch the engine itself.

mod commands;
mod safety;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::evaluator::{FaultCounts, TurnedLate};
use super::generation::Generation;
use crate::domain::{
    Accounting, Decide, Decision, EventTime, Finding, ModelId, ModelKey, RejectReason, SourcePartition, Task,
    Verdict,
};

pub use commands::{CommandOutcome, CommandView};
pub use safety::{BreakerView, HoldView, SafetyView, Stop, VersionView};

/// The state of one policy for one model version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyState {
    /// No window with enough data has been judged yet.
    Unknown,
    /// The last judged window breached nothing.
    Ok,
    /// The last judged window breached, but not often enough for an incident.
    Warn,
    /// An incident is open.
    Violated,
}

impl PolicyState {
    /// The number that `plimsoll_policy_state` shows: 0 unknown, 1 ok, 2 warn, 3 violated.
    pub const fn code(self) -> i64 {
        match self {
            Self::Unknown => 0,
            Self::Ok => 1,
            Self::Warn => 2,
            Self::Violated => 3,
        }
    }
}

/// One policy on one model version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyView {
    /// The policy's name.
    pub policy: String,
    /// Its state.
    pub state: PolicyState,
    /// End of the window in which the open incident began.
    pub since: Option<EventTime>,
    /// By what it decides.
    pub decide: Decide,
    /// Names of the checks that it follows.
    pub checks: Vec<String>,
}

/// One model version (and segment) that has been seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelView {
    /// Which one.
    pub key: ModelKey,
    /// What it predicts.
    pub task: Task,
    /// Rows that entered panes since the daemon started.
    pub rows: u64,
    /// Event time of its newest row.
    pub newest: EventTime,
    /// End of the newest window that was evaluated for it.
    pub evaluated_until: Option<EventTime>,
    /// Its policies.
    pub policies: Vec<PolicyView>,
}

/// One source partition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceView {
    /// Which one.
    pub partition: SourcePartition,
    /// Next offset to read.
    pub position: i64,
    /// Records behind the end of the log, where the end is known.
    pub lag: Option<i64>,
    /// Largest event time read.
    pub newest: Option<EventTime>,
    /// Largest event time less the allowed lateness; never goes back.
    pub watermark: Option<EventTime>,
    /// Caught up to the end, and silent for the idle time.
    pub idle: bool,
}

/// What became of one action.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActionView {
    /// Id of the action; the idempotency key of its call.
    pub id: String,
    /// Configured name of the action.
    pub action: String,
    /// `rollback`, `retrain` or `notify`.
    pub kind: String,
    /// The decision that asked for it.
    pub decision: String,
    /// The policy that decided.
    pub policy: String,
    /// The model version it is about.
    pub key: ModelKey,
    /// The version to go back to, for a rollback.
    pub to_version: Option<String>,
    /// The state of the action's machine, as `safety::State::name` spells it.
    pub state: String,
    /// Why it is in that state, in words.
    pub detail: Option<String>,
    /// Wall time of the last change, milliseconds since the epoch.
    pub changed_at: i64,
    /// Hash of the sealed evidence, which an approval has to name; none before it is sealed.
    pub evidence: Option<String>,
    /// Wall time until which it may be approved, where it waits for that, milliseconds since the epoch.
    pub expires_at: Option<i64>,
}

impl ActionView {
    /// Whether it has not come to its end.
    pub fn goes_on(&self) -> bool {
        const ON: [&str; 7] =
            ["proposed", "awaiting_approval", "preflight", "submitting", "finding", "running", "verifying"];
        ON.contains(&self.state.as_str())
    }
}

/// How often a check answered what, since the daemon started.
pub type EvaluationCounts = BTreeMap<(ModelKey, String, Option<Verdict>), u64>;

/// What the engine knows.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Wall time of the picture, milliseconds since the epoch.
    pub taken_at: i64,
    /// The least watermark over all source partitions that are not idle.
    pub watermark: Option<EventTime>,
    /// Source partitions, ordered.
    pub sources: Vec<SourceView>,
    /// Record classes per topic.
    pub accounting: BTreeMap<Arc<str>, Accounting>,
    /// Rejected records per topic and reason.
    pub rejected: BTreeMap<(Arc<str>, RejectReason), u64>,
    /// Model versions, ordered by key.
    pub models: Vec<ModelView>,
    /// The newest finding per key, check and scope, ordered.
    pub latest: Vec<Arc<Finding>>,
    /// Recent findings, oldest first, bounded.
    pub recent: Vec<Arc<Finding>>,
    /// Recent decisions, oldest first, bounded.
    pub decisions: Vec<Arc<Decision>>,
    /// Recent actions, oldest first, bounded.
    pub actions: Vec<ActionView>,
    /// Recent commands of people, oldest first, bounded; empty where another process owns the actions.
    pub commands: Vec<CommandView>,
    /// What stands still, and what is good; empty where another process owns the actions.
    pub safety: SafetyView,
    /// How often each check answered what.
    pub evaluations: EvaluationCounts,
    /// Panes held in memory, open and closed.
    pub panes: usize,
    /// Bytes of counts held in those panes.
    pub pane_bytes: usize,
    /// Partitions of the exchange that are held here, ordered.
    pub exchange: Vec<ExchangeView>,
    /// Generations of the configuration.
    pub configuration: ConfigurationView,
    /// Bytes held for each model that is evaluated here: counts, windows and detectors.
    pub model_bytes: BTreeMap<ModelId, usize>,
}

/// Generations of the configuration, as this instance knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConfigurationView {
    /// The one that windows are judged by now.
    pub in_effect: Option<Generation>,
    /// The newest one, where it is to take effect yet.
    pub coming: Option<Generation>,
}

/// One partition of the exchange, as its evaluator sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeView {
    /// Its number.
    pub partition: i32,
    /// The next offset to be taken.
    pub position: i64,
    /// How far event time has come.
    pub watermark: Option<EventTime>,
    /// Source partitions that hold it back.
    pub holding: Vec<SourcePartition>,
    /// What became of all records since the beginning of the log, by topic; every partition of the
    /// exchange hears of all of them, but only of its own models' rows which came too late.
    pub accounting: BTreeMap<Arc<str>, Accounting>,
    /// What this partition's evaluator moved from the used ones to the late ones among them, by topic.
    pub turned_late: BTreeMap<Arc<str>, TurnedLate>,
    /// What was wrong with messages since the beginning of the log.
    pub faults: FaultCounts,
    /// The latest wall time of any observer, milliseconds since the epoch; 0 before the first.
    pub wall: i64,
}

impl ExchangeView {
    /// What observers said became of all records: the same in every partition of the exchange.
    pub fn committed(&self) -> BTreeMap<Arc<str>, Accounting> {
        let mut committed = self.accounting.clone();
        for (topic, turned) in &self.turned_late {
            let counts = committed.entry(Arc::clone(topic)).or_default();
            counts.used += turned.records;
            counts.late = counts.late.saturating_sub(turned.records);
            counts.late_rows = counts.late_rows.saturating_sub(turned.rows);
        }
        committed
    }
}
