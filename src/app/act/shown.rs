//! What the role lets others see: what became of actions and commands, what stands still, whether this
//! process owns the actions, and how many messages could not be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::engine::view::{ActionView, CommandView, SafetyView};

/// What the owner of the actions knows; empty where another process owns them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// What became of actions, oldest first.
    pub actions: Vec<ActionView>,
    /// What became of commands, oldest first.
    pub commands: Vec<CommandView>,
    /// What stands still, and what is good.
    pub safety: SafetyView,
}

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    picture: ArcSwap<Picture>,
    owner: AtomicBool,
    unreadable: AtomicU64,
}

impl Shown {
    /// The newest picture.
    pub fn look(&self) -> Arc<Picture> {
        self.inner.picture.load_full()
    }

    /// What became of actions, oldest first; nothing where another process owns them.
    pub fn views(&self) -> Vec<ActionView> {
        self.look().actions.clone()
    }

    /// Whether this process owns the actions.
    pub fn owner(&self) -> bool {
        self.inner.owner.load(Ordering::Relaxed)
    }

    /// Messages that could not be read, since the process started.
    pub fn unreadable(&self) -> u64 {
        self.inner.unreadable.load(Ordering::Relaxed)
    }

    pub(super) fn show(&self, picture: Picture) {
        if **self.inner.picture.load() != picture {
            self.inner.picture.store(Arc::new(picture));
        }
    }

    pub(super) fn owns(&self, owner: bool) {
        self.inner.owner.store(owner, Ordering::Relaxed);
    }

    pub(super) fn count_unreadable(&self) {
        self.inner.unreadable.fetch_add(1, Ordering::Relaxed);
    }
}
