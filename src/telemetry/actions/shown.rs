//! What stands open or still, as gauges. Nothing is shown where another process owns the actions.

use std::collections::{BTreeMap, BTreeSet};

use super::Actions;
use super::open::Stage;
use crate::domain::{ModelId, Tenant};
use crate::engine::view::{SafetyView, VersionView};
use crate::safety::ActionKind;
use crate::telemetry::catalogue::Id;
use crate::telemetry::page::{Page, Value};

/// Who freezes where no person does, as views spell it, and both as metrics do.
const PLIMSOLL: &str = "plimsoll";
const PERSON: &str = "person";

impl Actions {
    /// Adds what is open, and what `safety` says, to a page.
    pub(in crate::telemetry) fn collect(&self, safety: &SafetyView, page: &mut Page) {
        let Some(open) = &self.open else { return };
        for (model, action) in self.declared.keys() {
            for stage in Stage::ALL {
                page.set(Id::ActionsOpen, &[model, action, stage.name()], Value::Count(0));
            }
        }
        let mut soonest: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for task in open.tasks() {
            let (model, action) = (task.model(), task.action.as_str());
            page.add(Id::ActionsOpen, &[model, action, task.stage.name()], 1);
            if let Some(expires) = task.expires {
                let first = soonest.entry((model, action)).or_insert(expires);
                *first = expires.min(*first);
            }
        }
        for ((model, action), expires) in soonest {
            wall_time(page, Id::ApprovalExpires, &[model, action], expires);
        }
        let (entries, signed) = self.log;
        page.set(Id::AuditEntries, &[], Value::Count(entries));
        if let Some(signed) = signed {
            page.set(Id::AuditSigned, &[], Value::Count(signed));
        }
        stops(safety, page);
        self.breakers(safety, page);
        self.known_good(safety, page);
    }

    fn breakers(&self, safety: &SafetyView, page: &mut Page) {
        for (_, action) in self.declared.keys() {
            page.set(Id::ActionBreaker, &[action], Value::Count(0));
        }
        for breaker in &safety.breakers {
            let state = match breaker.state {
                "open" => 2,
                "half_open" => 1,
                _ => 0,
            };
            page.set(Id::ActionBreaker, &[&breaker.action], Value::Count(state));
        }
    }

    /// A model that no policy would take back needs no version to go back to.
    fn known_good(&self, safety: &SafetyView, page: &mut Page) {
        let rolled_back: BTreeSet<&str> = self
            .declared
            .iter()
            .filter(|(_, kind)| **kind == ActionKind::Rollback)
            .map(|((model, _), _)| model.as_str())
            .collect();
        let mut models: BTreeMap<(Option<&Tenant>, &ModelId), Vec<&VersionView>> = BTreeMap::new();
        for version in &safety.versions {
            if rolled_back.contains(version.model.as_str()) {
                models.entry((version.tenant.as_ref(), &version.model)).or_default().push(version);
            }
        }
        for ((tenant, model), versions) in models {
            let labels = [tenant.map_or("", Tenant::as_str), model.as_str()];
            page.set(Id::KnownGood, &labels, Value::Count(u64::from(has_way_back(&versions))));
        }
    }
}

/// Whether there is a good version beside the one that a rollback would leave: of those that took traffic
/// last, the newest.
fn has_way_back(versions: &[&VersionView]) -> bool {
    let age = |version: &&VersionView| {
        let qualified = version.qualified.iter().map(|(_, at)| *at).max();
        (version.last_seen, version.first_seen, qualified)
    };
    let serves = versions.iter().copied().max_by_key(age);
    versions.iter().any(|version| {
        version.standing == "good" && serves.is_some_and(|serves| serves.version != version.version)
    })
}

fn stops(safety: &SafetyView, page: &mut Page) {
    let by = safety.frozen.as_ref().map(|stop| if stop.who == PLIMSOLL { PLIMSOLL } else { PERSON });
    for who in [PERSON, PLIMSOLL] {
        page.set(Id::Frozen, &[who], Value::Count(u64::from(by == Some(who))));
    }
    if let Some(stop) = &safety.frozen {
        wall_time(page, Id::FrozenTimestamp, &[], stop.at);
    }
    for held in &safety.held {
        let labels = [held.tenant.as_ref().map_or("", Tenant::as_str), held.model.as_str()];
        wall_time(page, Id::ModelHeld, &labels, held.stop.at);
    }
}

fn wall_time(page: &mut Page, id: Id, labels: &[&str], millis: i64) {
    page.number(id, labels, millis as f64 / 1000.0, true);
}
