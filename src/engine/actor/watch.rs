//! What the inference log shows: which versions serve, and whether a rollback helped.

use super::entry::Body;
use super::task::Task;
use super::{Actor, Effect};
use crate::domain::{EventTime, Report, Version};
use crate::engine::view::{BreakerView, HoldView, SafetyView, VersionView};
use crate::safety::{Event, ModelName, State, Verification, Verified};

/// How much longer than in event time a verification is waited for by the clock: records are late, and
/// windows close after them.
const WALL_FACTOR: i64 = 2;
/// And so much on top, milliseconds.
const WALL_GRACE_MILLIS: i64 = 600_000;

impl Actor {
    /// Takes what the log of a model shows.
    pub(super) fn seen_in_log(&mut self, report: &Report, now: i64, effects: &mut Vec<Effect>) {
        let model = ModelName { tenant: report.tenant.clone(), model: report.model.clone() };
        let reached = self.reached.entry(model.clone()).or_insert(report.until);
        *reached = report.until.max(*reached);
        self.note_serving(&model, report, now, effects);
        for id in self.in_order(|task| matches!(task.machine.state, State::Verifying { .. })) {
            let watch = self.tasks.get_mut(&id).and_then(|task| task.watch.as_mut());
            if let Some((result, detail)) = watch.and_then(|(watch, _)| watch.take(report)) {
                self.apply(&id, Event::Verify { result, detail }, now, effects);
            }
        }
    }

    /// Which versions served when is written down whenever that changes, for all of them together: who
    /// served last is then the same by the log as it was seen.
    fn note_serving(&mut self, model: &ModelName, report: &Report, now: i64, effects: &mut Vec<Effect>) {
        let mut changed = false;
        let mut served: Vec<&Version> = Vec::new();
        for (version, rows) in &report.rows {
            let place = (model.clone(), version.clone());
            if *rows > 0 {
                self.ledger.seen(model, version, report.from, report.until);
                served.push(version);
                changed |= self.serving.insert(place);
            } else if self.serving.remove(&place) {
                served.push(version);
                changed = true;
            }
        }
        for version in served.into_iter().filter(|_| changed) {
            let known = self.ledger.noted_until(model, version);
            let Some(until) = self.ledger.seen_until(model, version).filter(|until| known < Some(*until))
            else {
                continue;
            };
            let from = known.unwrap_or(report.from);
            self.ledger.note(model, version, from, until);
            let (model, version) = (model.clone(), version.clone());
            self.audit(Body::Served { model, version, from, until }, now, effects);
        }
    }

    /// Ends the watch over rollbacks of which the log has said nothing for too long.
    pub(super) fn give_up_watching(&mut self, now: i64, effects: &mut Vec<Effect>) {
        let over = |task: &Task| {
            matches!(task.machine.state, State::Verifying { .. })
                && task.watch.as_ref().is_none_or(|(_, until)| now >= *until)
        };
        for id in self.in_order(over) {
            let detail = "the inference log has not shown enough in time".to_owned();
            self.apply(&id, Event::Verify { result: Verified::Inconclusive, detail }, now, effects);
        }
    }

    /// Begins to watch a rollback that was applied now, and says from which event time on.
    pub(super) fn begin_watching(&mut self, id: &str, now: i64) -> Option<EventTime> {
        let task = self.tasks.get(id)?;
        if !matches!(task.machine.state, State::Verifying { .. }) {
            return None;
        }
        let reached = self.reached.get(&task.model()).copied().unwrap_or(task.decision.at);
        let wall = EventTime::from_millis(now);
        let since = if self.config.event_time_is_wall_time { reached.max(wall) } else { reached };
        self.watch_since(id, since, now);
        Some(since)
    }

    /// Watches what follows a rollback that was applied at wall time `at`.
    pub(super) fn watch_since(&mut self, id: &str, since: EventTime, at: i64) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        let Some(good) = task.to_version.clone() else { return };
        let spec = self.config.terms(&task.decision.policy).verify;
        let (policy, key) = (task.decision.policy.clone(), task.decision.key.clone());
        let until =
            at.saturating_add(spec.within.saturating_mul(WALL_FACTOR)).saturating_add(WALL_GRACE_MILLIS);
        task.watch = Some((Verification::new(spec, &policy, key, good, since), until));
    }

    /// What stands still, which versions are good, and what targets are left alone, at wall time `now`.
    pub fn safety(&self, now: i64) -> SafetyView {
        let held = self.held.iter().map(|(model, stop)| HoldView {
            tenant: model.tenant.clone(),
            model: model.model.clone(),
            stop: stop.clone(),
        });
        let versions = self.ledger.versions().map(|(model, version, standing)| {
            let key = crate::domain::ModelKey {
                tenant: model.tenant.clone(),
                model: model.model.clone(),
                // No version has an empty name, so that every one may be the good one.
                version: "".into(),
                segment: Default::default(),
                profile: None,
            };
            let vouching = self.config.vouching_all(&key);
            VersionView {
                tenant: model.tenant.clone(),
                model: model.model.clone(),
                version: version.clone(),
                standing: match (&standing.condemned, standing.is_good(&vouching)) {
                    (Some(_), _) => "condemned",
                    (None, true) => "good",
                    (None, false) => "candidate",
                },
                first_seen: standing.first_seen,
                last_seen: standing.last_seen,
                qualified: standing.qualified.iter().map(|(policy, at)| (policy.clone(), *at)).collect(),
                reason: standing.condemned.clone(),
                last_known_good: self.ledger.last_known_good(&key, &vouching) == Some(version),
            }
        });
        let breakers = self.config.actions.iter().filter_map(|spec| {
            let breaker = self.breakers.get(&spec.target)?;
            Some(BreakerView {
                action: spec.name.clone(),
                state: breaker.name(now),
                failures: breaker.failures(),
                until: breaker.until(),
            })
        });
        SafetyView {
            frozen: self.frozen.clone(),
            held: held.collect(),
            versions: versions.collect(),
            breakers: breakers.collect(),
        }
    }
}
