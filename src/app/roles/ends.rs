//! When roles end: all of them stop when one cannot go on, and an instance that is stopping says what
//! it still waits for.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Around;
use crate::config::Role;

/// How often the picture is renewed.
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// How often a stopping instance says what it waits for.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// The roles that have not ended, and why the first that failed did.
#[derive(Debug, Default)]
pub struct Ends {
    state: Mutex<(BTreeSet<Role>, Option<anyhow::Error>)>,
    changed: Condvar,
}

impl Ends {
    /// `role` is about to begin.
    pub fn begin(&self, role: Role) {
        self.lock().0.insert(role);
    }

    /// A role cannot go on.
    pub fn failed(&self, why: anyhow::Error) {
        self.lock().1.get_or_insert(why);
    }

    /// Keeps the picture fresh until every role has ended.
    pub fn watch(&self, around: &Around) {
        let mut stopping: Option<Instant> = None;
        let mut shown = Instant::now();
        let mut state = self.lock();
        while !state.0.is_empty() {
            let waited = self.changed.wait_timeout(state, Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if shown.elapsed() >= SHOW_EVERY || state.0.is_empty() {
                shown = Instant::now();
                around.board.publish();
            }
            if !around.stopping() || state.0.is_empty() {
                continue;
            }
            let said = stopping.get_or_insert_with(Instant::now);
            if said.elapsed() >= SAY_EVERY {
                *said = Instant::now();
                let names: Vec<&str> = state.0.iter().map(|role| role.name()).collect();
                tracing::info!(roles = names.join(" "), "still waiting for roles to hand over");
            }
        }
    }

    /// How all of it went.
    ///
    /// # Errors
    /// Why the first role that failed did.
    pub fn outcome(self) -> anyhow::Result<()> {
        let (_, failed) = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, (BTreeSet<Role>, Option<anyhow::Error>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes note, when it is dropped, that a role has ended, and stops the others.
#[derive(Debug)]
pub struct End<'a> {
    /// Which one.
    pub role: Role,
    /// Where that is noted.
    pub ends: &'a Ends,
    /// What all roles share.
    pub around: &'a Around,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.around.stop.store(true, Ordering::Relaxed);
        self.ends.lock().0.remove(&self.role);
        self.ends.changed.notify_all();
    }
}
