//! How many versions of a model are watched at once. Whoever writes to a topic names the versions,
//! and each costs panes, windows and findings: with a request id mapped as the version, memory would
//! be gone in minutes. Beyond the limit a new version's records are rejected, with a reason of their
//! own; when an old version has fallen silent and was forgotten, there is room again.

use std::collections::{HashMap, HashSet};

use crate::domain::{ModelId, ModelKey};

/// Versions of one model, each of each tenant, that are watched at once.
pub(super) const MOST: usize = 1_000;

/// The live versions of all models.
#[derive(Debug, Default)]
pub(super) struct Versions {
    live: HashMap<ModelId, HashSet<String>>,
    /// Those seen since the last rotation, where nobody says which are live.
    seen: HashMap<ModelId, HashSet<String>>,
    /// The last one that was let in: neighbours are mostly of one version.
    last: (Option<ModelId>, String, String),
}

impl Versions {
    /// Whether rows of `version` of `tenant`'s `model` may come in.
    pub(super) fn admit(&mut self, model: &ModelId, tenant: Option<&str>, version: &str) -> bool {
        let tenant = tenant.unwrap_or_default();
        let (known, last_tenant, last_version) = &self.last;
        if last_version == version && last_tenant == tenant && known.as_ref() == Some(model) {
            return true;
        }
        let live = self.live.entry(model.clone()).or_default();
        let name = name(tenant, version);
        if live.len() >= MOST && !live.contains(&name) {
            return false;
        }
        self.seen.entry(model.clone()).or_default().insert(name.clone());
        live.insert(name);
        self.last = (Some(model.clone()), tenant.to_owned(), version.to_owned());
        true
    }

    /// Forgets the versions that have not been seen since the last call.
    pub(super) fn rotate(&mut self) {
        self.live = std::mem::take(&mut self.seen);
        self.last = Default::default();
    }

    /// Forgets all versions but those of `keys`.
    pub(super) fn renew<'a>(&mut self, keys: impl Iterator<Item = &'a ModelKey>) {
        self.live.values_mut().for_each(HashSet::clear);
        self.seen.clear();
        self.last = Default::default();
        for key in keys {
            let tenant = key.tenant.as_ref().map_or("", |tenant| tenant.as_str());
            let live = self.live.entry(key.model.clone()).or_default();
            live.insert(name(tenant, key.version.as_str()));
        }
    }
}

/// Names hold no control characters, so no two pairs share a name.
fn name(tenant: &str, version: &str) -> String {
    format!("{tenant}\0{version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_only_known_versions_come_in_until_one_is_forgotten() {
        let mut versions = Versions::default();
        let model = ModelId::from("credit");
        for number in 0..MOST {
            assert!(versions.admit(&model, None, &format!("v{number}")));
        }
        assert!(!versions.admit(&model, None, "one more"));
        assert!(!versions.admit(&model, Some("bank"), "v1"), "another tenant's is another version");
        assert!(versions.admit(&model, None, "v1"));
        assert!(versions.admit(&ModelId::from("other"), None, "one more"), "each model has its own room");
        versions.renew(std::iter::empty());
        assert!(versions.admit(&model, None, "one more"));
    }
}
