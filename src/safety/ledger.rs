//! Which versions of a model are known to be good. "The version before" is not one of them by
//! itself: it may be the one that failed last week. A version is good because a policy watched its
//! traffic and every check passed, and it stays condemned once a policy has wanted to leave it.

use std::collections::BTreeMap;

use crate::domain::{EventTime, ModelId, ModelKey, Segment, Tenant, Version};

/// What is known of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    /// Event time at which it last qualified.
    qualified: Option<EventTime>,
    /// Whether a policy wanted to leave it.
    condemned: bool,
}

/// The versions of all models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    models: BTreeMap<(Option<Tenant>, ModelId), BTreeMap<Version, Standing>>,
}

impl Ledger {
    fn standing(&mut self, key: &ModelKey) -> &mut Standing {
        let model = (key.tenant.clone(), key.model.clone());
        self.models.entry(model).or_default().entry(key.version.clone()).or_default()
    }

    /// Every check of a policy passed on the version until `at`. A version counts as good only by
    /// all of its traffic: one segment that does well says nothing of the others.
    pub fn qualify(&mut self, key: &ModelKey, at: EventTime) {
        if key.segment == Segment::All {
            let standing = self.standing(key);
            standing.qualified = standing.qualified.max(Some(at));
        }
    }

    /// A policy wants to leave the version, because of all its traffic or one segment. Nothing
    /// here lifts that again.
    pub fn condemn(&mut self, key: &ModelKey) {
        self.standing(key).condemned = true;
    }

    /// The version to go back to from `key`: of the same tenant and model, the one that qualified
    /// last in event time, is not condemned, and is another.
    pub fn last_known_good(&self, key: &ModelKey) -> Option<&Version> {
        self.models
            .get(&(key.tenant.clone(), key.model.clone()))?
            .iter()
            .filter(|(version, standing)| **version != key.version && !standing.condemned)
            .filter_map(|(version, standing)| Some((standing.qualified?, version)))
            .max()
            .map(|(_, version)| version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_newest_qualified_version_is_gone_back_to_not_the_one_before() {
        let mut ledger = Ledger::default();
        ledger.qualify(&key(None, "v1"), at(10));
        ledger.qualify(&key(None, "v2"), at(20));
        ledger.condemn(&key(None, "v3"));
        assert_eq!(ledger.last_known_good(&key(None, "v4")), Some(&"v2".into()));
        ledger.qualify(&key(None, "v1"), at(30));
        assert_eq!(ledger.last_known_good(&key(None, "v4")), Some(&"v1".into()));
    }

    #[test]
    fn neither_the_bad_version_itself_nor_a_condemned_or_unproven_one_is_good() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.last_known_good(&key(None, "v2")), None);
        ledger.qualify(&key(None, "v2"), at(20));
        assert_eq!(ledger.last_known_good(&key(None, "v2")), None);
        ledger.qualify(&key(None, "v1"), at(10));
        ledger.condemn(&key(None, "v1"));
        ledger.qualify(&key(None, "v1"), at(30));
        assert_eq!(ledger.last_known_good(&key(None, "v2")), None);
    }

    #[test]
    fn tenants_and_segments_do_not_vouch_for_each_other() {
        let mut ledger = Ledger::default();
        ledger.qualify(&key(Some("north"), "v1"), at(10));
        assert_eq!(ledger.last_known_good(&key(Some("south"), "v2")), None);
        let web = Segment::Of { name: "channel".into(), value: "web".into() };
        ledger.qualify(&ModelKey { segment: web.clone(), ..key(None, "v1") }, at(10));
        assert_eq!(ledger.last_known_good(&key(None, "v2")), None);
        ledger.qualify(&key(None, "v1"), at(10));
        ledger.condemn(&ModelKey { segment: web, ..key(None, "v1") });
        assert_eq!(ledger.last_known_good(&key(None, "v2")), None);
    }
}
