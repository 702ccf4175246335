//! Whether the daemon does its job yet. Readiness is a set of named conditions, each with the
//! reason why it is not met, so that "not ready" never leaves an operator guessing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// A condition that is not met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Name of the condition.
    pub condition: &'static str,
    /// Why it is not met, in words.
    pub reason: String,
}

/// The conditions, each met or not. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    conditions: Arc<Mutex<BTreeMap<&'static str, Option<String>>>>,
}

impl Readiness {
    /// Waits for these conditions; each comes with the reason to give until it is met.
    pub fn new<const N: usize>(conditions: [(&'static str, &str); N]) -> Self {
        let conditions =
            conditions.into_iter().map(|(name, reason)| (name, Some(reason.to_owned()))).collect();
        Self { conditions: Arc::new(Mutex::new(conditions)) }
    }

    /// The condition is met.
    pub fn met(&self, condition: &'static str) {
        self.lock().insert(condition, None);
    }

    /// The condition is not, or no longer, met.
    pub fn unmet(&self, condition: &'static str, reason: impl Into<String>) {
        self.lock().insert(condition, Some(reason.into()));
    }

    /// What is not met, by name; empty when ready.
    pub fn reasons(&self) -> Vec<Reason> {
        let conditions = self.lock();
        let unmet = |(&condition, reason): (&&'static str, &Option<String>)| {
            Some(Reason { condition, reason: reason.clone()? })
        };
        conditions.iter().filter_map(unmet).collect()
    }

    /// Whether every condition is met.
    pub fn is_ready(&self) -> bool {
        self.lock().values().all(Option::is_none)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Option<String>>> {
        // The map is whole after every statement, so a panic elsewhere leaves nothing half done.
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
