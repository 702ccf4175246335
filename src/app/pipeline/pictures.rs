//! Pictures of a pipeline for those who only look: the newest finding of each kind, the recent ones,
//! and counts of verdicts, in bounded memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::Pipeline;
use crate::domain::{Decision, Finding, ModelKey, Scope};
use crate::engine::evaluator::Evaluated;
use crate::engine::view::{ActionView, EvaluationCounts, ModelView, PolicyView, SourceView, View};
use crate::ingest::source::Lag;

/// Findings kept for the API, newest last.
const RECENT_FINDINGS: usize = 5_000;
/// Decisions kept for the API, newest last.
const RECENT_DECISIONS: usize = 500;

/// What a finding answers: newer ones take the place of older ones.
type Question = (ModelKey, String, Scope);

#[derive(Debug, Default)]
pub(super) struct Pictures {
    latest: BTreeMap<Question, Arc<Finding>>,
    recent: VecDeque<Arc<Finding>>,
    decisions: VecDeque<Arc<Decision>>,
    evaluations: EvaluationCounts,
}

impl Pictures {
    pub(super) fn take(&mut self, evaluated: &Evaluated) {
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

impl Pipeline {
    /// The pipeline as it stands; `now` is wall time in milliseconds, `lags` what the source knows
    /// of the ends of its logs, `actions` what became of decisions.
    pub fn view(&mut self, now: i64, lags: &[Lag], actions: Vec<ActionView>) -> View {
        let watermark = self.evaluator.watermark();
        let sources = self
            .observer
            .partitions()
            .map(|(partition, state)| SourceView {
                partition: partition.clone(),
                position: state.position.unwrap_or_default(),
                lag: lags.iter().find(|lag| lag.partition == *partition).map(|lag| lag.records),
                newest: state.newest,
                watermark: state.watermark,
                idle: state.idle,
            })
            .collect();
        let models: Vec<ModelView> = self
            .evaluator
            .keys()
            .map(|state| ModelView {
                key: state.key.clone(),
                task: state.spec.task,
                rows: state.rows,
                newest: state.newest,
                evaluated_until: state.evaluated_until,
                policies: state
                    .policies
                    .into_iter()
                    .map(|(policy, state, since)| PolicyView { policy: policy.to_owned(), state, since })
                    .collect(),
            })
            .collect();
        // A version that is not watched any more is not shown any more.
        let live: BTreeSet<&ModelKey> = models.iter().map(|model| &model.key).collect();
        self.pictures.latest.retain(|(key, ..), _| live.contains(key));
        self.pictures.evaluations.retain(|(key, ..), _| live.contains(key));
        let (panes, pane_bytes) = self.evaluator.held();
        View {
            taken_at: now,
            watermark,
            sources,
            accounting: self
                .topics
                .iter()
                .map(|(name, topic)| (Arc::clone(name), topic.accounting))
                .collect(),
            rejected: self
                .topics
                .iter()
                .flat_map(|(name, topic)| {
                    topic.rejected.iter().map(|(reason, count)| ((Arc::clone(name), *reason), *count))
                })
                .collect(),
            models,
            latest: self.pictures.latest.values().cloned().collect(),
            recent: self.pictures.recent.iter().cloned().collect(),
            decisions: self.pictures.decisions.iter().cloned().collect(),
            actions,
            evaluations: self.pictures.evaluations.clone(),
            panes,
            pane_bytes,
        }
    }
}
