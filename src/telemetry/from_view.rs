//! The view of the engine as samples: source partitions, accounting, models, policies, findings,
//! actions. Only whole models are shown; segments are in the JSON API, since each would multiply
//! every series of its model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::catalogue::Id;
use super::current::current;
use super::exchange;
use super::findings;
use super::page::{Page, Value};
use crate::domain::{EventTime, ModelId, ModelKey, RejectReason, Segment, Tenant, Verdict, Version};
use crate::engine::view::{ModelView, View};

/// What a check without a bound answers, in the `verdict` label.
const NOT_JUDGED: &str = "not_judged";

/// The verdict as metrics spell it.
pub(super) fn verdict_name(verdict: Option<Verdict>) -> &'static str {
    verdict.map_or(NOT_JUDGED, Verdict::name)
}

/// All values of the `verdict` label.
pub(super) fn verdicts() -> impl Iterator<Item = Option<Verdict>> {
    Verdict::ALL.into_iter().map(Some).chain([None])
}

/// Adds what the view shows to a page.
pub(super) fn collect(view: &View, page: &mut Page) {
    configuration(view, page);
    sources(view, page);
    accounting(view, page);
    engine(view, page);
    exchange::collect(view, page);
    models(view, page);
    evaluations(view, page);
    findings::collect(&current(view), page);
    actions(view, page);
}

/// Event time in seconds; nothing for the ends of time, which stand for "none yet" and "ended".
pub(super) fn instant(time: EventTime) -> Option<f64> {
    (time != EventTime::MIN && time != EventTime::MAX).then(|| time.as_secs_f64())
}

pub(super) fn show_instant(page: &mut Page, id: Id, labels: &[&str], time: Option<EventTime>) {
    if let Some(seconds) = time.and_then(instant) {
        page.number(id, labels, seconds, true);
    }
}

fn configuration(view: &View, page: &mut Page) {
    let shown = [("in_effect", &view.configuration.in_effect), ("coming", &view.configuration.coming)];
    for (state, generation) in shown {
        let Some(generation) = generation else { continue };
        let labels = [&*generation.number.to_string(), generation.hash.as_str(), state];
        page.set(Id::Configuration, &labels, Value::Count(1));
    }
}

fn sources(view: &View, page: &mut Page) {
    for source in &view.sources {
        let number = source.partition.partition.to_string();
        let labels = [&*source.partition.topic, number.as_str()];
        if let Some(lag) = source.lag {
            page.number(Id::Lag, &labels, lag.max(0) as f64, true);
        }
        show_instant(page, Id::EventTimestamp, &labels, source.newest);
        show_instant(page, Id::WatermarkTimestamp, &labels, source.watermark);
        page.set(Id::PartitionIdle, &labels, Value::Count(u64::from(source.idle)));
    }
}

fn accounting(view: &View, page: &mut Page) {
    for (topic, counts) in &view.accounting {
        for (id, count) in [
            (Id::AccountedRecords, counts.records),
            (Id::UsedRecords, counts.used),
            (Id::LateRecords, counts.late),
            (Id::Rows, counts.rows),
            (Id::LateRows, counts.late_rows),
        ] {
            page.set(id, &[topic], Value::Count(count));
        }
    }
    let rejecting = view.rejected.keys().map(|(topic, _)| topic);
    let topics: BTreeSet<&Arc<str>> = view.accounting.keys().chain(rejecting).collect();
    for topic in topics {
        for &reason in RejectReason::ALL {
            let count = view.rejected.get(&(Arc::clone(topic), reason)).copied().unwrap_or(0);
            page.set(Id::RejectedRecords, &[topic, reason.name()], Value::Count(count));
        }
    }
}

fn engine(view: &View, page: &mut Page) {
    show_instant(page, Id::EngineWatermark, &[], view.watermark);
    if view.taken_at > 0 {
        page.number(Id::ViewTimestamp, &[], view.taken_at as f64 / 1000.0, true);
    }
    page.set(Id::Panes, &[], Value::Count(view.panes as u64));
    page.set(Id::StateBytes, &["panes"], Value::Count(view.pane_bytes as u64));
}

type VersionId<'a> = (Option<&'a Tenant>, &'a ModelId, &'a Version);

fn version_id(key: &ModelKey) -> VersionId<'_> {
    (key.tenant.as_ref(), &key.model, &key.version)
}

fn labels(key: &ModelKey) -> [&str; 3] {
    [key.tenant.as_ref().map_or("", Tenant::as_str), key.model.as_str(), key.version.as_str()]
}

/// A version whose reference profile was replaced has two keys. Their rows add up; for all else
/// the key with the newest row speaks.
fn models(view: &View, page: &mut Page) {
    let mut newest: BTreeMap<VersionId<'_>, &ModelView> = BTreeMap::new();
    for model in view.models.iter().filter(|model| model.key.segment == Segment::All) {
        page.add(Id::ModelRecords, &labels(&model.key), model.rows);
        let entry = newest.entry(version_id(&model.key)).or_insert(model);
        if model.newest >= entry.newest {
            *entry = model;
        }
    }
    for model in newest.into_values() {
        let [tenant, name, version] = labels(&model.key);
        show_instant(page, Id::ModelEventTimestamp, &[tenant, name, version], Some(model.newest));
        show_instant(page, Id::EvaluationTimestamp, &[tenant, name, version], model.evaluated_until);
        for policy in &model.policies {
            let labels = [tenant, name, version, policy.policy.as_str()];
            page.number(Id::PolicyState, &labels, policy.state.code() as f64, true);
            show_instant(page, Id::IncidentStart, &labels, policy.since);
        }
    }
}

fn evaluations(view: &View, page: &mut Page) {
    for ((key, check, verdict), count) in &view.evaluations {
        if key.segment != Segment::All {
            continue;
        }
        let [tenant, model, version] = labels(key);
        for other in verdicts() {
            let more = if other == *verdict { *count } else { 0 };
            page.add(Id::Evaluations, &[tenant, model, version, check, verdict_name(other)], more);
        }
    }
}

fn actions(view: &View, page: &mut Page) {
    let mut newest: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for action in &view.actions {
        let changed = newest.entry((action.key.model.as_str(), &action.action)).or_insert(i64::MIN);
        *changed = (*changed).max(action.changed_at);
    }
    for ((model, action), changed) in newest {
        page.number(Id::ActionLast, &[model, action], changed as f64 / 1000.0, true);
    }
}
