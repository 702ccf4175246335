//! What the log of a model shows while somebody may be waiting to know: as long as an incident is open and
//! for a while after it closed, and when a version appears or falls silent. Most models have nothing to
//! report most of the time, so that the topic of decisions stays small.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Evaluated, Evaluator};
use crate::domain::{EventTime, ModelId, Report, Segment, Standing, Tenant};
use crate::engine::model::ModelSpec;

/// For how long after the end of an incident is reported: as long as the windows of a model that have
/// to show that it is well may reach back, and this on top.
const AFTER: Duration = Duration::from_secs(3_600);

impl Evaluator {
    /// Reports what was seen since the window end before `end`, of models in `news` and those with an
    /// incident.
    pub(super) fn report(
        &self,
        end: EventTime,
        news: &BTreeSet<(Option<Tenant>, ModelId)>,
        out: &mut Evaluated,
    ) {
        let mut reports: BTreeMap<(Option<Tenant>, ModelId), Report> = BTreeMap::new();
        for (key, state) in &self.keys {
            let model = (key.tenant.clone(), key.model.clone());
            let closed = |at: EventTime| end <= at + state.spec.memory() + AFTER;
            let watched = state
                .policies
                .iter()
                .any(|machine| machine.incident().is_some() || machine.ended().is_some_and(closed));
            if watched || news.contains(&model) {
                let (tenant, model_id) = model.clone();
                reports.entry(model).or_insert_with(|| Report {
                    tenant,
                    model: model_id,
                    from: before(end, &state.spec),
                    until: end,
                    rows: BTreeMap::new(),
                    standings: Vec::new(),
                });
            }
        }
        if reports.is_empty() {
            return;
        }
        for (key, state) in &self.keys {
            let Some(report) = reports.get_mut(&(key.tenant.clone(), key.model.clone())) else { continue };
            if key.segment == Segment::All {
                // The same version under two profiles is one version.
                *report.rows.entry(key.version.clone()).or_default() += state.rows_between(report.from, end);
            }
            for (policy, machine) in state.spec.policies.iter().zip(&state.policies) {
                let Some((own, clear)) = machine.standing() else { continue };
                let checks = state.spec.checks.iter().filter(|check| policy.checks.contains(&check.name));
                let begins = checks.map(|check| end.floor(check.window.slide()) - check.window.size());
                let Some(from) = begins.min() else { continue };
                report.standings.push(Standing {
                    policy: policy.name.clone(),
                    version: key.version.clone(),
                    segment: key.segment.clone(),
                    from,
                    own,
                    clear,
                    rows: state.rows_between(from, end),
                });
            }
        }
        out.reports.extend(reports.into_values());
    }
}

/// The last window end before `end` of any window of the model.
fn before(end: EventTime, spec: &ModelSpec) -> EventTime {
    let last = end - Duration::from_millis(1);
    spec.windows().iter().map(|window| last.floor(window.slide())).max().unwrap_or(end - spec.pane)
}
