//! Pictures of a pipeline for those who only look: the newest finding of each kind, the recent ones,
//! and counts of verdicts, in bounded memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::{Counting, Pipeline, Topic};
use crate::domain::{Accounting, Decision, Finding, ModelKey, RejectReason, Scope, SourcePartition};
use crate::engine::Evaluator;
use crate::engine::evaluator::Evaluated;
use crate::engine::observer::PartitionState;
use crate::engine::view::{ActionView, EvaluationCounts, ModelView, PolicyView, SourceView, View};
use crate::ingest::source::Lag;

/// Findings kept for the API, newest last.
const RECENT_FINDINGS: usize = 5_000;
/// Decisions kept for the API, newest last.
const RECENT_DECISIONS: usize = 500;

/// What a finding answers: newer ones take the place of older ones.
type Question = (ModelKey, String, Scope);

/// The newest findings and decisions, and how often each check answered what.
#[derive(Debug, Default)]
pub struct Pictures {
    latest: BTreeMap<Question, Arc<Finding>>,
    recent: VecDeque<Arc<Finding>>,
    decisions: VecDeque<Arc<Decision>>,
    evaluations: EvaluationCounts,
}

impl Pictures {
    /// Takes in what was said.
    pub fn take(&mut self, evaluated: &Evaluated) {
        for finding in &evaluated.findings {
            let key = key_of(finding);
            *self.evaluations.entry((key.clone(), finding.check.clone(), finding.verdict)).or_default() += 1;
            // The two extremes of a comparison change; the comparison stays the same question.
            let scope = match &finding.scope {
                Scope::Group { group, .. } if finding.metric != crate::domain::Metric::SelectionRate => {
                    Scope::Group { group: group.clone(), values: Vec::new() }
                }
                scope => scope.clone(),
            };
            self.latest.insert((key, finding.check.clone(), scope), Arc::clone(finding));
            push(&mut self.recent, Arc::clone(finding), RECENT_FINDINGS);
        }
        for decision in &evaluated.decisions {
            push(&mut self.decisions, Arc::new(decision.clone()), RECENT_DECISIONS);
        }
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    queue.push_back(item);
    if queue.len() > most {
        queue.pop_front();
    }
}

fn key_of(finding: &Finding) -> ModelKey {
    ModelKey {
        tenant: finding.tenant.clone(),
        model: finding.model.clone(),
        version: finding.version.clone(),
        segment: finding.segment.clone(),
        profile: finding.reference.clone(),
    }
}

impl Pictures {
    /// What is shown of `evaluators`, which are all that this process has; `sources`, `accounting` and
    /// actions are left to those who know them.
    pub fn view<'a>(&mut self, evaluators: impl Iterator<Item = &'a Evaluator> + Clone) -> View {
        let models: Vec<ModelView> = evaluators
            .clone()
            .flat_map(Evaluator::keys)
            .map(|state| ModelView {
                key: state.key.clone(),
                task: state.spec.task,
                rows: state.rows,
                newest: state.newest,
                evaluated_until: state.evaluated_until,
                policies: state
                    .spec
                    .policies
                    .iter()
                    .zip(state.policies)
                    .map(|(spec, (policy, state, since))| PolicyView {
                        policy: policy.to_owned(),
                        state,
                        since,
                        decide: spec.decide,
                        checks: spec.checks.clone(),
                    })
                    .collect(),
            })
            .collect();
        // A version that is not watched any more is not shown any more.
        let live: BTreeSet<&ModelKey> = models.iter().map(|model| &model.key).collect();
        self.latest.retain(|(key, ..), _| live.contains(key));
        self.evaluations.retain(|(key, ..), _| live.contains(key));
        let held = evaluators.clone().map(Evaluator::held);
        let (panes, pane_bytes) = held.fold((0, 0), |sum, held| (sum.0 + held.0, sum.1 + held.1));
        View {
            watermark: evaluators.filter_map(Evaluator::watermark).min(),
            models,
            latest: self.latest.values().cloned().collect(),
            recent: self.recent.iter().cloned().collect(),
            decisions: self.decisions.iter().cloned().collect(),
            evaluations: self.evaluations.clone(),
            panes,
            pane_bytes,
            ..View::default()
        }
    }
}

impl Counting {
    /// Source partitions as they stand; `lags` is what the source knows of the ends of its logs.
    pub fn sources(&self, lags: &[Lag]) -> Vec<SourceView> {
        let view = |(partition, state): (&SourcePartition, PartitionState)| SourceView {
            partition: partition.clone(),
            position: state.position.unwrap_or_default(),
            lag: lags.iter().find(|lag| lag.partition == *partition).map(|lag| lag.records),
            newest: state.newest,
            watermark: state.watermark,
            idle: state.idle,
        };
        self.observer.partitions().map(view).collect()
    }

    /// Record classes by topic, since this was made.
    pub fn accountings(&self) -> BTreeMap<Arc<str>, Accounting> {
        self.topics.iter().map(|(name, topic)| (Arc::clone(name), topic.accounting)).collect()
    }

    /// Rejected records by topic and reason, since this was made.
    pub fn rejected(&self) -> BTreeMap<(Arc<str>, RejectReason), u64> {
        let of = |(name, topic): &(Arc<str>, Topic)| {
            let reasons = topic.rejected.iter();
            reasons.map(|(reason, count)| ((Arc::clone(name), *reason), *count)).collect::<Vec<_>>()
        };
        self.topics.iter().flat_map(of).collect()
    }
}

impl Pipeline {
    /// The pipeline as it stands; `now` is wall time in milliseconds, `lags` what the source knows
    /// of the ends of its logs, `actions` what became of decisions.
    pub fn view(&mut self, now: i64, lags: &[Lag], actions: Vec<ActionView>) -> View {
        let mut accounting = self.counting.accountings();
        accounting.extend(self.evaluator.intake().accounting().clone());
        View {
            taken_at: now,
            sources: self.counting.sources(lags),
            accounting,
            rejected: self.counting.rejected(),
            actions,
            ..self.pictures.view(std::iter::once(&self.evaluator))
        }
    }
}
