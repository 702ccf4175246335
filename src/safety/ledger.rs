//! Which version of a model served when, and which are known to be good. "The version before" is not
//! one of them by itself: it may be the one that failed last week. A version is good because every policy
//! that may go back from the model's versions watched its traffic, for as long and over as many rows as it
//! asks, and every check passed; it stays condemned once a policy has wanted to leave it, until a person
//! says otherwise.

use std::collections::{BTreeMap, BTreeSet};

use super::command::ModelName;
use crate::domain::{EventTime, ModelKey, Segment, Version};

/// What is known of one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Event time at which it last qualified, by policy.
    pub qualified: BTreeMap<String, EventTime>,
    /// Why a policy wanted to leave it.
    pub condemned: Option<String>,
    /// Event time at which it was first seen to take traffic.
    pub first_seen: Option<EventTime>,
    /// Event time at which it was last seen to take traffic.
    pub last_seen: Option<EventTime>,
    /// The same as far as the audit log says it. Which version is gone back to follows from this one, so
    /// that a restart cannot change it.
    pub noted: Option<EventTime>,
}

impl Standing {
    /// Whether it may be gone back to by the word of all of `policies`.
    pub fn is_good(&self, policies: &BTreeSet<String>) -> bool {
        self.condemned.is_none()
            && !policies.is_empty()
            && policies.iter().all(|policy| self.qualified.contains_key(policy))
    }

    /// When it was last known to serve well.
    fn newest(&self) -> Option<EventTime> {
        self.qualified.values().copied().max().max(self.noted)
    }
}

/// The versions of all models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    models: BTreeMap<ModelName, BTreeMap<Version, Standing>>,
}

/// The model of a key.
pub fn model_of(key: &ModelKey) -> ModelName {
    ModelName { tenant: key.tenant.clone(), model: key.model.clone() }
}

impl Ledger {
    fn standing(&mut self, key: &ModelKey) -> &mut Standing {
        self.models.entry(model_of(key)).or_default().entry(key.version.clone()).or_default()
    }

    /// Every check of `policy` passed on the version until `at`. A version counts as good only by
    /// all of its traffic: one segment that does well says nothing of the others.
    pub fn qualify(&mut self, key: &ModelKey, policy: &str, at: EventTime) {
        if key.segment == Segment::All {
            let newest = self.standing(key).qualified.entry(policy.to_owned()).or_insert(at);
            *newest = at.max(*newest);
        }
    }

    /// `policy` wants to leave the version, because of all its traffic or one segment.
    pub fn condemn(&mut self, key: &ModelKey, policy: &str, reason: &str) {
        let standing = self.standing(key);
        standing.condemned.get_or_insert_with(|| reason.to_owned());
        // Whatever was good about it was so before; if it is ever absolved it has to show it again. The
        // others have said their word once, and do not say it again while it holds.
        if key.segment == Segment::All {
            standing.qualified.remove(policy);
        }
    }

    /// A person says that it may be gone back to again, once it qualifies. Says whether it was condemned.
    pub fn absolve(&mut self, model: &ModelName, version: &Version) -> bool {
        let standing = self.models.get_mut(model).and_then(|versions| versions.get_mut(version));
        standing.is_some_and(|standing| standing.condemned.take().is_some())
    }

    /// The audit log says that the version took traffic until `at`, from `from` on.
    pub fn note(&mut self, model: &ModelName, version: &Version, from: EventTime, at: EventTime) {
        self.seen(model, version, from, at);
        let standing = self.models.entry(model.clone()).or_default().entry(version.clone()).or_default();
        standing.noted = standing.noted.max(Some(at));
    }

    /// Event time until which the audit log says that the version took traffic.
    pub fn noted_until(&self, model: &ModelName, version: &Version) -> Option<EventTime> {
        self.models.get(model)?.get(version)?.noted
    }

    /// Whether anything is known of the model.
    pub fn knows(&self, model: &ModelName) -> bool {
        self.models.contains_key(model)
    }

    /// The version took traffic until `at`, from `from` on.
    pub fn seen(&mut self, model: &ModelName, version: &Version, from: EventTime, at: EventTime) {
        let standing = self.models.entry(model.clone()).or_default().entry(version.clone()).or_default();
        standing.first_seen = Some(standing.first_seen.map_or(from, |first| first.min(from)));
        standing.last_seen = standing.last_seen.max(Some(at));
    }

    /// Event time until which the version was seen to take traffic.
    pub fn seen_until(&self, model: &ModelName, version: &Version) -> Option<EventTime> {
        self.models.get(model)?.get(version)?.last_seen
    }

    /// Whether a policy wanted to leave the version.
    pub fn is_condemned(&self, model: &ModelName, version: &Version) -> bool {
        let standing = self.models.get(model).and_then(|versions| versions.get(version));
        standing.is_some_and(|standing| standing.condemned.is_some())
    }

    /// The version to go back to from `key`: of the same tenant and model, another one that every one of
    /// `policies` has qualified and none has condemned, and that was known to serve well most lately.
    pub fn last_known_good(&self, key: &ModelKey, policies: &BTreeSet<String>) -> Option<&Version> {
        self.models
            .get(&model_of(key))?
            .iter()
            .filter(|(version, standing)| **version != key.version && standing.is_good(policies))
            .filter_map(|(version, standing)| Some((standing.newest()?, version)))
            .max()
            .map(|(_, version)| version)
    }

    /// All versions, ordered.
    pub fn versions(&self) -> impl Iterator<Item = (&ModelName, &Version, &Standing)> {
        self.models.iter().flat_map(|(model, versions)| {
            versions.iter().map(move |(version, standing)| (model, version, standing))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Tenant;

    fn key(tenant: Option<&str>, version: &str) -> ModelKey {
        ModelKey {
            tenant: tenant.map(Tenant::from),
            model: "credit".into(),
            version: version.into(),
            segment: Segment::All,
            profile: None,
        }
    }

    fn at(millis: i64) -> EventTime {
        EventTime::from_millis(millis)
    }

    fn fair() -> BTreeSet<String> {
        BTreeSet::from(["fair".to_owned()])
    }

    #[test]
    fn the_version_that_served_well_most_lately_is_gone_back_to_not_the_one_before() {
        let mut ledger = Ledger::default();
        ledger.qualify(&key(None, "v1"), "fair", at(10));
        ledger.qualify(&key(None, "v2"), "fair", at(20));
        ledger.condemn(&key(None, "v3"), "fair", "drift");
        assert_eq!(ledger.last_known_good(&key(None, "v4"), &fair()), Some(&"v2".into()));
        ledger.qualify(&key(None, "v1"), "fair", at(30));
        assert_eq!(ledger.last_known_good(&key(None, "v4"), &fair()), Some(&"v1".into()));
        ledger.seen(&model_of(&key(None, "v2")), &"v2".into(), at(5), at(40));
        assert_eq!(ledger.last_known_good(&key(None, "v4"), &fair()), Some(&"v1".into()), "not in the log");
        ledger.note(&model_of(&key(None, "v2")), &"v2".into(), at(5), at(40));
        assert_eq!(ledger.last_known_good(&key(None, "v4"), &fair()), Some(&"v2".into()));
    }

    #[test]
    fn neither_the_bad_version_itself_nor_a_condemned_or_unproven_one_is_good() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.last_known_good(&key(None, "v2"), &fair()), None);
        ledger.qualify(&key(None, "v2"), "fair", at(20));
        assert_eq!(ledger.last_known_good(&key(None, "v2"), &fair()), None);
        ledger.qualify(&key(None, "v1"), "fair", at(10));
        ledger.condemn(&key(None, "v1"), "fair", "drift");
        ledger.qualify(&key(None, "v1"), "fair", at(30));
        assert_eq!(ledger.last_known_good(&key(None, "v2"), &fair()), None);
        ledger.seen(&model_of(&key(None, "v0")), &"v0".into(), at(1), at(99));
        assert_eq!(ledger.last_known_good(&key(None, "v2"), &fair()), None, "seen is not good");
    }

    #[test]
    fn an_absolved_version_has_to_qualify_again() {
        let mut ledger = Ledger::default();
        ledger.qualify(&key(None, "v1"), "fair", at(10));
        ledger.condemn(&key(None, "v1"), "fair", "drift");
        assert!(ledger.absolve(&model_of(&key(None, "v1")), &"v1".into()));
        assert!(!ledger.absolve(&model_of(&key(None, "v1")), &"v1".into()), "once");
        assert_eq!(ledger.last_known_good(&key(None, "v2"), &fair()), None);
        ledger.qualify(&key(None, "v1"), "fair", at(50));
        assert_eq!(ledger.last_known_good(&key(None, "v2"), &fair()), Some(&"v1".into()));
    }

    #[test]
    fn what_other_policies_said_of_a_condemned_version_holds_once_it_is_absolved() {
        let mut ledger = Ledger::default();
        let both = BTreeSet::from(["fair".to_owned(), "sound".to_owned()]);
        ledger.qualify(&key(None, "v1"), "fair", at(10));
        ledger.qualify(&key(None, "v1"), "sound", at(10));
        ledger.condemn(&key(None, "v1"), "fair", "drift");
        ledger.qualify(&key(None, "v1"), "fair", at(30));
        assert_eq!(ledger.last_known_good(&key(None, "v2"), &both), None);
        assert!(ledger.absolve(&model_of(&key(None, "v1")), &"v1".into()));
        assert_eq!(ledger.last_known_good(&key(None, "v2"), &both), Some(&"v1".into()));
    }

    #[test]
    fn every_policy_that_may_go_back_has_to_vouch_for_it() {
        let mut ledger = Ledger::default();
        let both = BTreeSet::from(["fair".to_owned(), "sound".to_owned()]);
        ledger.qualify(&key(None, "v1"), "fair", at(10));
        assert_eq!(ledger.last_known_good(&key(None, "v2"), &both), None);
        ledger.qualify(&key(None, "v1"), "sound", at(11));
        assert_eq!(ledger.last_known_good(&key(None, "v2"), &both), Some(&"v1".into()));
        assert_eq!(ledger.last_known_good(&key(None, "v2"), &BTreeSet::new()), None, "nobody vouches");
    }

    #[test]
    fn tenants_and_segments_do_not_vouch_for_each_other() {
        let mut ledger = Ledger::default();
        ledger.qualify(&key(Some("north"), "v1"), "fair", at(10));
        assert_eq!(ledger.last_known_good(&key(Some("south"), "v2"), &fair()), None);
        let web = Segment::Of { name: "channel".into(), value: "web".into() };
        ledger.qualify(&ModelKey { segment: web.clone(), ..key(None, "v1") }, "fair", at(10));
        assert_eq!(ledger.last_known_good(&key(None, "v2"), &fair()), None);
        ledger.qualify(&key(None, "v1"), "fair", at(10));
        ledger.condemn(&ModelKey { segment: web, ..key(None, "v1") }, "fair", "drift");
        assert_eq!(ledger.last_known_good(&key(None, "v2"), &fair()), None);
    }
}
