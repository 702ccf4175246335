//! What the role lets others see: what became of actions, whether this process owns them, and how many
//! messages could not be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::engine::view::ActionView;

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    views: ArcSwap<Vec<ActionView>>,
    owner: AtomicBool,
    unreadable: AtomicU64,
}

impl Shown {
    /// What became of actions, oldest first; nothing where another process owns them.
    pub fn views(&self) -> Arc<Vec<ActionView>> {
        self.inner.views.load_full()
    }

    /// Whether this process owns the actions.
    pub fn owner(&self) -> bool {
        self.inner.owner.load(Ordering::Relaxed)
    }

    /// Messages that could not be read as a decision, since the process started.
    pub fn unreadable(&self) -> u64 {
        self.inner.unreadable.load(Ordering::Relaxed)
    }

    pub(super) fn show(&self, views: Vec<ActionView>) {
        if **self.inner.views.load() != views {
            self.inner.views.store(Arc::new(views));
        }
    }

    pub(super) fn owns(&self, owner: bool) {
        self.inner.owner.store(owner, Ordering::Relaxed);
    }

    pub(super) fn count_unreadable(&self) {
        self.inner.unreadable.fetch_add(1, Ordering::Relaxed);
    }
}
