//! Ids of actions follow from what they are about, so that the same decision asks under the same
//! id before and after a restart, and a target that remembers ids does the thing once.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::domain::ModelKey;

use super::kind::ActionKind;

/// The id of the action `action` of kind `kind` that `policy` wants for `key` because of
/// `decision`: the kind, a hyphen and 40 hexadecimal digits, so `[a-z0-9-]` and fewer than 64
/// characters, which every target accepts (a Kubernetes object name is the narrowest).
pub fn action_id(policy: &str, action: &str, key: &ModelKey, decision: &str, kind: ActionKind) -> String {
    let tenant = key.tenant.as_ref().map_or("", |tenant| tenant.as_str());
    let profile = key.profile.as_ref().map_or("", |profile| profile.as_str());
    let segment = key.segment.to_string();
    let mut digest = Sha256::new();
    digest.update(b"plimsoll action 1");
    let parts =
        [policy, action, tenant, key.model.as_str(), key.version.as_str(), &segment, profile, decision];
    for part in parts {
        // The length goes first, so that no two lists of names read the same.
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.update(kind.name().as_bytes());
    let mut id = format!("{}-", kind.name());
    for byte in &digest.finalize()[..20] {
        write!(id, "{byte:02x}").expect("writing to a string cannot fail");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Segment;

    fn key(model: &str, version: &str) -> ModelKey {
        ModelKey {
            tenant: None,
            model: model.into(),
            version: version.into(),
            segment: Segment::All,
            profile: None,
        }
    }

    #[test]
    fn the_same_decision_gives_the_same_id_and_any_other_a_different_one() {
        let base = || action_id("fair", "back", &key("credit", "v2"), "d1", ActionKind::Rollback);
        assert_eq!(base(), base());
        let others = [
            action_id("fai", "rback", &key("credit", "v2"), "d1", ActionKind::Rollback),
            action_id("fair", "back", &key("creditv", "2"), "d1", ActionKind::Rollback),
            action_id("fair", "back", &key("credit", "v3"), "d1", ActionKind::Rollback),
            action_id("fair", "back", &key("credit", "v2"), "d2", ActionKind::Rollback),
            action_id("fair", "back", &key("credit", "v2"), "d1", ActionKind::Retrain),
        ];
        for other in others {
            assert_ne!(base(), other);
        }
    }

    #[test]
    fn an_id_keeps_to_the_alphabet_of_the_narrowest_target() {
        let id = action_id("Ünïcode.policy", "a b", &key("m/..", "v 2.0"), "d", ActionKind::Retrain);
        assert!(id.len() < 64, "{id}");
        assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{id}");
    }

    #[test]
    fn the_form_of_ids_is_fixed_because_targets_remember_them() {
        assert_eq!(
            action_id("fair", "back", &key("credit", "v2"), "d1", ActionKind::Rollback),
            "rollback-3081d052d6e65226d882bb7169b8e66aad3b806b"
        );
    }
}
