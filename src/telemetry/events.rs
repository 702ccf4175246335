//! What adapters and the wiring count as it happens. Callers report batches, not records, so one
//! short lock is enough. Every label set that can be known beforehand starts at 0: a counter that
//! is born at 1 is invisible to `increase()`, and the alert on it would stay silent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Telemetry;
use super::actions::{self, Actions};
use super::catalogue::{Id, Series};
use super::page::{Buckets, Labels, Page, Value};
use crate::domain::sequential::Rule;
use crate::domain::{DecisionKind, Finding, RejectReason, SourcePartition};
use crate::policy::Decide;

macro_rules! label_values {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $type {
            /// All values, in the order in which metrics list them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value as metrics spell it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

label_values! {
    /// A change of which partitions are ours.
    Rebalance {
        /// Partitions were added.
        Assign = "assign",
        /// Partitions were taken away in good order.
        Revoke = "revoke",
        /// Partitions were lost without a chance to commit.
        Lost = "lost",
    }
}

label_values! {
    /// A stage of the pipeline.
    Stage {
        /// Bytes to rows.
        Decode = "decode",
        /// Rows to panes.
        Observe = "observe",
        /// Panes to findings and decisions.
        Evaluate = "evaluate",
        /// Decisions to actions.
        Act = "act",
    }
}

label_values! {
    /// What became of an action.
    ActionOutcome {
        /// It was not called, on purpose.
        Suppressed = "suppressed",
        /// A person is asked.
        AwaitingApproval = "awaiting_approval",
        /// A person said no.
        Denied = "denied",
        /// Nobody said yes in time.
        Expired = "expired",
        /// Its intent is recorded; it is handed to its target, once or, after a lost reply, again.
        Submitted = "submitted",
        /// The target has it under way.
        Running = "running",
        /// The target has done it.
        Applied = "applied",
        /// The inference log shows that the model is well again.
        Recovered = "recovered",
        /// The inference log shows that it is not.
        NotRecovered = "not_recovered",
        /// The inference log shows too little.
        VerifyInconclusive = "verify_inconclusive",
        /// The target refused it, or the deadline passed.
        Failed = "failed",
        /// A person stopped it.
        Cancelled = "cancelled",
        /// Whether the target did it cannot be known.
        NeedsHuman = "needs_human",
    }
}

impl ActionOutcome {
    /// The outcome that the state of an action, as views spell it, is; none for those on the way.
    pub fn of(state: &str) -> Option<Self> {
        match state {
            // A rollback that was applied is watched from then on.
            "verifying" => Some(Self::Applied),
            // Counted by its intent.
            "submitting" => None,
            _ => Self::ALL.iter().copied().find(|outcome| outcome.name() == state),
        }
    }

    /// Whether somebody has to look.
    pub const fn needs_a_person(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::NeedsHuman | Self::NotRecovered | Self::VerifyInconclusive | Self::Expired
        )
    }
}

label_values! {
    /// Something that plimsoll writes to.
    Sink {
        /// The topic of findings.
        Findings = "findings",
        /// The topic of rejected records.
        DeadLetters = "dead_letters",
        /// The audit log.
        Audit = "audit",
        /// The target of an action.
        Action = "action",
    }
}

label_values! {
    /// Why a write failed.
    SinkError {
        /// No answer in time.
        Timeout = "timeout",
        /// The other side could not be reached, or had a fault of its own.
        Unavailable = "unavailable",
        /// The other side said no.
        Refused = "refused",
        /// The payload was too large or could not be written.
        Payload = "payload",
        /// Anything else.
        Other = "other",
    }
}

/// What becomes of a reload.
pub(super) const RELOADS: [&str; 5] = ["published", "unchanged", "invalid", "needs_restart", "failed"];

/// An alarm that policies see, in the `mode` label.
const LIVE: &str = "live";
/// And one that is only shown.
const SHADOW: &str = "shadow";

fn rule_name(rule: Rule) -> &'static str {
    match rule {
        Rule::EDetector => "e_detector",
        Rule::ConfidenceSequence => "confidence_sequence",
    }
}

/// Upper limits of the buckets of `plimsoll_evaluation_duration_seconds`.
const EVALUATION_LIMITS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, f64::INFINITY];

/// Counters by metric and labels.
#[derive(Debug)]
pub(super) struct Events {
    state: Mutex<State>,
    /// Messages taken from the exchange, and their bytes: reported one by one, so without the lock.
    pub(super) taken: [AtomicU64; 2],
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) values: BTreeMap<Id, BTreeMap<Labels, Value>>,
    histograms: BTreeMap<Id, BTreeMap<Labels, Buckets>>,
    /// The name of this instance.
    pub(super) instance: Option<String>,
    /// What of the actions has not ended.
    pub(super) actions: Actions,
}

impl State {
    /// The histogram of these labels, made with `limits` where it is not there yet.
    pub(super) fn histogram(&mut self, id: Id, labels: &[&str], limits: &'static [f64]) -> &mut Buckets {
        let key = labels.iter().map(|value| (*value).to_owned()).collect();
        self.histograms.entry(id).or_default().entry(key).or_insert_with(|| Buckets::new(limits))
    }

    /// Sets a value that is not counted up.
    pub(super) fn set(&mut self, id: Id, labels: &[&str], value: Value) {
        *self.slot(id, labels, value) = value;
    }

    fn slot(&mut self, id: Id, labels: &[&str], zero: Value) -> &mut Value {
        let key = labels.iter().map(|value| (*value).to_owned()).collect();
        self.values.entry(id).or_default().entry(key).or_insert(zero)
    }

    pub(super) fn count(&mut self, id: Id, labels: &[&str], more: u64) {
        if let Value::Count(count) = self.slot(id, labels, Value::Count(0)) {
            *count += more;
        }
    }
}

impl Events {
    pub(super) fn new(version: &str, revision: &str) -> Self {
        let mut state = State::default();
        state.histogram(Id::EvaluationDuration, &[], &EVALUATION_LIMITS);
        state.count(Id::Build, &[version, revision], 1);
        super::exchange::begin(&mut state);
        actions::begin(&mut state);
        for id in [Id::Commits, Id::CommitFailures, Id::Findings, Id::ConfigurationLate] {
            state.count(id, &[], 0);
        }
        for outcome in RELOADS {
            state.count(Id::Reloads, &[outcome], 0);
        }
        for kind in Rebalance::ALL {
            state.count(Id::Rebalances, &[kind.name()], 0);
        }
        for stage in Stage::ALL {
            state.slot(Id::StageBusy, &[stage.name()], Value::Number(0.0));
        }
        for sink in Sink::ALL {
            for error in SinkError::ALL {
                state.count(Id::SinkErrors, &[sink.name(), error.name()], 0);
            }
        }
        for id in Id::ALL {
            if !matches!(id.spec().series, Series::One | Series::Fixed(_)) {
                state.count(Id::MetricSeriesDropped, &[id.spec().name], 0);
            }
        }
        Self { state: Mutex::new(state), taken: Default::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Counters are whole after every statement, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, id: Id, labels: &[&str], more: u64) {
        self.lock().count(id, labels, more);
    }

    /// Adds everything counted so far to a page.
    pub(super) fn collect(&self, page: &mut Page) {
        let state = self.lock();
        for (&id, values) in &state.values {
            for (labels, value) in values {
                let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                page.set(id, &labels, *value);
            }
        }
        for (&id, histograms) in &state.histograms {
            for (labels, buckets) in histograms {
                let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                page.histogram(id, &labels, buckets.clone());
            }
        }
        for (id, taken) in [Id::ExchangeMessages, Id::ExchangeBytes].into_iter().zip(&self.taken) {
            page.set(id, &[], Value::Count(taken.load(Ordering::Relaxed)));
        }
    }
}

impl Telemetry {
    /// Names the source topics, so that their counters start at 0.
    pub fn declare_topics<'a>(&self, topics: impl IntoIterator<Item = &'a str>) {
        let mut state = self.events().lock();
        for topic in topics {
            for id in [
                Id::AccountedRecords,
                Id::UsedRecords,
                Id::LateRecords,
                Id::Rows,
                Id::LateRows,
                Id::DeadLetters,
                Id::LostRecords,
            ] {
                state.count(id, &[topic], 0);
            }
            for reason in RejectReason::ALL {
                state.count(Id::RejectedRecords, &[topic, reason.name()], 0);
            }
        }
    }

    /// Names a policy of a model, so that its counters start at 0, and says by what it decides.
    pub fn declare_policy(&self, model: &str, policy: &str, decide: Decide) {
        let mut state = self.events().lock();
        state.set(Id::Policy, &[model, policy, decide.name()], Value::Count(1));
        drop(state);
        for kind in
            [DecisionKind::Qualified, DecisionKind::Violated, DecisionKind::Cleared, DecisionKind::Withdrawn]
        {
            self.events().count(Id::Decisions, &[model, policy, kind.name()], 0);
        }
    }

    /// By what the declared policy of a model decides; none where no such policy was declared.
    pub fn decides(&self, model: &str, policy: &str) -> Option<Decide> {
        let state = self.events().lock();
        let policies = state.values.get(&Id::Policy)?;
        let declared = |decide: &Decide| {
            let labels = [model, policy, decide.name()].map(str::to_owned);
            policies.contains_key(labels.as_slice())
        };
        [Decide::Sequential, Decide::Window].into_iter().find(declared)
    }

    /// Names a check of a model that a policy follows sequentially, so that its counters start at 0.
    pub fn declare_detectors(&self, model: &str, check: &str) {
        for rule in [Rule::EDetector, Rule::ConfidenceSequence] {
            for mode in [LIVE, SHADOW] {
                self.events().count(Id::Alarms, &[model, check, rule_name(rule), mode], 0);
            }
        }
    }

    /// A finding was given out: counts its alarm, where it carries one.
    pub fn alarm(&self, finding: &Finding) {
        let Some(sequential) = &finding.sequential else { return };
        let Some(evidence) = &sequential.evidence else { return };
        let mode = if sequential.shadow.is_some() { SHADOW } else { LIVE };
        let labels = [finding.model.as_str(), &finding.check, rule_name(evidence.rule), mode];
        self.events().count(Id::Alarms, &labels, 1);
    }

    /// `records` records with `bytes` bytes of keys and values were read from `partition`.
    pub fn records_consumed(&self, partition: &SourcePartition, records: u64, bytes: u64) {
        let number = partition.partition.to_string();
        let labels = [&*partition.topic, number.as_str()];
        let mut state = self.events().lock();
        state.count(Id::ConsumedRecords, &labels, records);
        state.count(Id::ConsumedBytes, &labels, bytes);
    }

    /// Partitions came or went.
    pub fn rebalance(&self, kind: Rebalance) {
        self.events().count(Id::Rebalances, &[kind.name()], 1);
    }

    /// `records` rejected records of `topic` were handed to the dead-letter topic.
    pub fn dead_letters(&self, topic: &str, records: u64) {
        self.events().count(Id::DeadLetters, &[topic], records);
    }

    /// An offset commit ended at wall time `unix_seconds`, confirmed or not.
    pub fn commit(&self, ok: bool, unix_seconds: f64) {
        let mut state = self.events().lock();
        if !ok {
            state.count(Id::CommitFailures, &[], 1);
            return;
        }
        state.count(Id::Commits, &[], 1);
        if unix_seconds.is_finite() {
            state.set(Id::CommitTimestamp, &[], Value::Number(unix_seconds));
        }
    }

    /// Rejected records of these topics were handed to the dead-letter topic, one each.
    pub fn dead_letters_of(&self, topics: impl Iterator<Item = std::sync::Arc<str>>) {
        for topic in topics {
            self.dead_letters(&topic, 1);
        }
    }

    /// A reload of the configuration ended: `published`, `unchanged`, `invalid`, `needs_restart` or `failed`.
    pub fn reloaded(&self, outcome: &'static str) {
        self.events().count(Id::Reloads, &[outcome], 1);
    }

    /// The observer heard of a generation when it had read rows of it already.
    pub fn configured_late(&self) {
        self.events().count(Id::ConfigurationLate, &[], 1);
    }

    /// A stage worked for this long.
    pub fn stage_busy(&self, stage: Stage, busy: Duration) {
        let mut state = self.events().lock();
        if let Value::Number(seconds) = state.slot(Id::StageBusy, &[stage.name()], Value::Number(0.0)) {
            *seconds += busy.as_secs_f64();
        }
    }

    /// One evaluation of all windows that were due took this long.
    pub fn evaluation(&self, took: Duration) {
        let mut state = self.events().lock();
        state.histogram(Id::EvaluationDuration, &[], &EVALUATION_LIMITS).observe(took.as_secs_f64());
    }

    /// `count` findings were given out.
    pub fn finding_given_out(&self, count: u64) {
        self.events().count(Id::Findings, &[], count);
    }

    /// A policy of a model decided.
    pub fn decision(&self, model: &str, policy: &str, kind: DecisionKind) {
        self.events().count(Id::Decisions, &[model, policy, kind.name()], 1);
    }

    /// Something that plimsoll writes to did not take what it was given.
    pub fn sink_error(&self, sink: Sink, error: SinkError) {
        self.events().count(Id::SinkErrors, &[sink.name(), error.name()], 1);
    }
}
