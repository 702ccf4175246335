//! Which deployment a hook of Flagger is about. Its `checksum` changes with every deployment of a canary,
//! while the version that the inference log states may not, where somebody deploys again under the same
//! name. What was known of that name before is then not evidence about what is deployed now.
//!
//! This is kept in memory: after a restart the names in the log are all there is to go by. Names are kept
//! as hashes, so that what is kept has a largest size whatever is sent: about 5 MB. Where there is no room
//! nothing is guessed, and the gate holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::verdict::Subject;

/// Canaries that are remembered.
const CANARIES: usize = 1_000;
/// Subjects that are remembered for each, of the deployment at hand and of earlier ones.
const SUBJECTS: usize = 64;
/// A canary of which nothing was heard for so long makes room for another, milliseconds: nothing that was
/// known of it then is recent enough for a verdict now.
const SILENT: i64 = 7 * 86_400_000;

/// The hash of some names.
type Mark = [u8; 32];

/// `names` as one hash; which name ends where is part of it.
fn mark(names: &[&str]) -> Mark {
    let mut hash = Sha256::new();
    for name in names {
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name);
    }
    hash.finalize().into()
}

impl Subject {
    fn mark(&self) -> Mark {
        let tenant = self.tenant.as_deref();
        let known = if tenant.is_some() { "of" } else { "" };
        mark(&[known, tenant.unwrap_or(""), &self.model, &self.version, &self.policy])
    }
}

#[derive(Debug)]
struct Canary {
    checksum: Mark,
    /// Wall time at which the checksum was first heard of, milliseconds.
    since: i64,
    asked: Vec<Mark>,
    /// What was asked about under earlier checksums, oldest first.
    past: Vec<Mark>,
    touched: i64,
}

/// There is no room for another deployment, so that nobody can tell which windows are about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// The deployments that hooks have spoken of. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Canaries(Arc<Mutex<BTreeMap<Mark, Canary>>>);

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
    ) -> Result<Option<i64>, Full> {
        // Every entry is whole after every statement, so a panic elsewhere leaves nothing half done.
        let mut canaries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (place, checksum, subject) = (mark(&[namespace, name]), mark(&[checksum]), subject.mark());
        if canaries.len() >= CANARIES && !canaries.contains_key(&place) {
            canaries.retain(|_, canary| now.saturating_sub(canary.touched) < SILENT);
            if canaries.len() >= CANARIES {
                return Err(Full);
            }
        }
        let canary = canaries.entry(place).or_insert_with(|| Canary {
            checksum,
            since: now,
            asked: Vec::new(),
            past: Vec::new(),
            touched: now,
        });
        canary.touched = now;
        if canary.checksum != checksum {
            (canary.checksum, canary.since) = (checksum, now);
            for asked in std::mem::take(&mut canary.asked) {
                if !canary.past.contains(&asked) {
                    canary.past.push(asked);
                }
            }
            let over = canary.past.len().saturating_sub(SUBJECTS);
            canary.past.drain(..over);
        }
        if !canary.asked.contains(&subject) {
            if canary.asked.len() >= SUBJECTS {
                return Err(Full);
            }
            canary.asked.push(subject);
        }
        Ok(canary.past.contains(&subject).then_some(canary.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(version: &str) -> Subject {
        Subject {
            tenant: None,
            model: "credit".into(),
            version: version.into(),
            policy: "fair".into(),
            part: None,
        }
    }

    #[test]
    fn a_name_that_is_deployed_again_counts_from_then_on() {
        let canaries = Canaries::default();
        let since = |checksum, version, now| {
            canaries.since("ml", "credit", checksum, &subject(version), now).unwrap()
        };
        assert_eq!(since("c1", "2", 10), None);
        assert_eq!(since("c1", "2", 20), None, "the same deployment");
        assert_eq!(since("c2", "3", 30), None, "another deployment under a name of its own");
        assert_eq!(since("c3", "3", 40), Some(40), "a deployment under the name of the one before");
        assert_eq!(since("c3", "3", 50), Some(40));
        assert_eq!(since("c1", "2", 60), Some(60), "back to the first one, which is deployed anew");
        assert_eq!(canaries.since("ml", "other", "c9", &subject("2"), 70), Ok(None), "another canary");
    }

    #[test]
    fn names_that_are_cut_elsewhere_are_other_names() {
        let of = |tenant: Option<&str>, model: &str| Subject {
            tenant: tenant.map(str::to_owned),
            model: model.into(),
            ..subject("2")
        };
        let subjects = [of(None, "ab"), of(Some(""), "ab"), of(Some("a"), "b"), of(Some("ab"), "")];
        for (at, one) in subjects.iter().enumerate() {
            assert!(subjects[at + 1..].iter().all(|other| one.mark() != other.mark()), "{one:?}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_without_room_nothing_is_guessed() {
        let canaries = Canaries::default();
        let long = "x".repeat(500);
        let ask = |name: &str, checksum: &str, version: &str, now| {
            canaries.since("ml", &format!("{name}{long}"), checksum, &subject(version), now)
        };
        for number in 0..CANARIES {
            assert_eq!(ask(&number.to_string(), "c1", "2", number as i64), Ok(None));
        }
        assert_eq!(ask("one more", "c1", "2", 2_000), Err(Full));
        for number in 0..2_000 {
            let (checksum, version) = (format!("c{number}"), format!("v{number}"));
            assert_eq!(ask("0", &checksum, &version, 3_000 + number), Ok(None), "one that is known");
        }
        for number in 0..200 {
            let asked = ask("1", "c2", &format!("v{number}"), 6_000);
            assert_eq!(asked.is_ok(), number < SUBJECTS, "{number}");
        }
        let kept = |canaries: &Canaries| {
            let kept = canaries.0.lock().unwrap();
            assert!(kept.values().all(|canary| canary.past.len().max(canary.asked.len()) <= SUBJECTS));
            kept.len()
        };
        assert_eq!(kept(&canaries), CANARIES);
        // A week later those that were not heard of make room.
        assert_eq!(ask("one more", "c1", "2", SILENT + 4_000), Ok(None));
        assert_eq!(kept(&canaries), 3);
    }
}
