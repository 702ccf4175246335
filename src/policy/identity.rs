//! Ids of decisions. An id follows from what is decided and nothing else, so that the same log gives
//! the same ids whoever reads it, however often.

use sha2::{Digest, Sha256};

use crate::domain::{DecisionKind, EventTime, ModelKey};

/// The id of a decision: the first 16 bytes of a SHA-256 over its parts, as 32 hexadecimal digits.
/// Parts are separated by a zero byte, which no part contains.
pub fn decision_id(kind: DecisionKind, policy: &str, key: &ModelKey, since: EventTime) -> String {
    let mut digest = Sha256::new();
    let tenant = key.tenant.as_ref().map_or("", |tenant| tenant.as_str());
    let profile = key.profile.as_ref().map_or("", |profile| profile.as_str());
    let (segment, since) = (key.segment.to_string(), since.as_millis().to_string());
    let parts = [
        "plimsoll.decision/1",
        kind.name(),
        policy,
        tenant,
        key.model.as_str(),
        key.version.as_str(),
        &segment,
        profile,
        &since,
    ];
    for part in parts {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
