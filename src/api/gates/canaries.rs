//! Which deployment a hook of Flagger is about. Its `checksum` changes with every deployment of a canary,
//! while the version that the inference log states may not, where somebody deploys again under the same
//! name. What was known of that name before is then not evidence about what is deployed now.
//!
//! This is kept in memory: after a restart the names in the log are all there is to go by.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::verdict::Subject;

/// Canaries that are remembered; beyond them the one that has been silent longest is forgotten.
const CANARIES: usize = 1_000;
/// Subjects of earlier deployments that are remembered for each.
const PAST: usize = 64;

#[derive(Debug)]
struct Canary {
    checksum: String,
    /// Wall time at which the checksum was first heard of, milliseconds.
    since: i64,
    asked: Vec<Subject>,
    /// What was asked about under earlier checksums, oldest first.
    past: Vec<Subject>,
    touched: i64,
}

/// The deployments that hooks have spoken of. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Canaries(Arc<Mutex<BTreeMap<(String, String), Canary>>>);

impl Canaries {
    /// The wall time from which on windows are about this deployment of `subject`; none where its name was
    /// never used for an earlier one.
    pub(super) fn since(
        &self,
        namespace: &str,
        name: &str,
        checksum: &str,
        subject: &Subject,
        now: i64,
    ) -> Option<i64> {
        // Every entry is whole after every statement, so a panic elsewhere leaves nothing half done.
        let mut canaries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (namespace.to_owned(), name.to_owned());
        if canaries.len() >= CANARIES && !canaries.contains_key(&place) {
            let silent =
                canaries.iter().min_by_key(|(_, canary)| canary.touched).map(|(place, _)| place.clone());
            silent.and_then(|place| canaries.remove(&place));
        }
        let canary = canaries.entry(place).or_insert_with(|| Canary {
            checksum: checksum.to_owned(),
            since: now,
            asked: Vec::new(),
            past: Vec::new(),
            touched: now,
        });
        canary.touched = now;
        if canary.checksum != checksum {
            (canary.checksum, canary.since) = (checksum.to_owned(), now);
            for asked in std::mem::take(&mut canary.asked) {
                if !canary.past.contains(&asked) {
                    canary.past.push(asked);
                }
            }
            let over = canary.past.len().saturating_sub(PAST);
            canary.past.drain(..over);
        }
        if !canary.asked.contains(subject) && canary.asked.len() < PAST {
            canary.asked.push(subject.clone());
        }
        canary.past.contains(subject).then_some(canary.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(version: &str) -> Subject {
        Subject { tenant: None, model: "credit".into(), version: version.into(), policy: "fair".into() }
    }

    #[test]
    fn a_name_that_is_deployed_again_counts_from_then_on() {
        let canaries = Canaries::default();
        let since = |checksum, version, now| canaries.since("ml", "credit", checksum, &subject(version), now);
        assert_eq!(since("c1", "2", 10), None);
        assert_eq!(since("c1", "2", 20), None, "the same deployment");
        assert_eq!(since("c2", "3", 30), None, "another deployment under a name of its own");
        assert_eq!(since("c3", "3", 40), Some(40), "a deployment under the name of the one before");
        assert_eq!(since("c3", "3", 50), Some(40));
        assert_eq!(since("c1", "2", 60), Some(60), "back to the first one, which is deployed anew");
        assert_eq!(canaries.since("ml", "other", "c9", &subject("2"), 70), None, "another canary");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let canaries = Canaries::default();
        for number in 0..2_000 {
            canaries.since("ml", &format!("c{number}"), "c1", &subject("2"), number);
            canaries.since("ml", "same", &format!("c{number}"), &subject(&number.to_string()), number);
        }
        let kept = canaries.0.lock().unwrap();
        assert_eq!(kept.len(), CANARIES);
        assert!(kept.contains_key(&("ml".into(), "same".into())), "the one that was asked about last");
        assert!(kept.values().all(|canary| canary.past.len() <= PAST));
    }
}
