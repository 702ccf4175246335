//! One model as the engine runs it: its columns, cells, pane width, checks and policies, compiled
//! from the configuration and the reference profile. It never changes; a new profile makes a new one.

use std::sync::Arc;
use std::time::Duration;

use crate::check::CheckSpec;
use crate::check::sequential::{Live, Slot};
use crate::domain::{Finding, ModelId, ProfileHash, Task};
use crate::policy::PolicySpec;
use crate::profile::Profile;
use crate::record::RecordSchema;
use crate::sketch::Layout;
use crate::sketch::code::Coder;
use crate::window::WindowSpec;

/// A model, ready to run.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// Its name.
    pub id: ModelId,
    /// What it predicts.
    pub task: Task,
    /// Columns of its records.
    pub schema: Arc<RecordSchema>,
    /// The reference that windows are compared with.
    pub profile: Option<Arc<Profile>>,
    /// What its cells mean.
    pub layout: Arc<Layout>,
    /// A hash of the layout and of the width of a pane, for messages: counts on different layouts, or of
    /// different spans, never merge.
    pub layout_id: u64,
    /// How its batches are counted on those cells.
    pub coder: Coder,
    /// Width of a pane.
    pub pane: Duration,
    /// Its checks, in the order of the configuration.
    pub checks: Vec<CheckSpec>,
    /// Its policies, likewise.
    pub policies: Vec<PolicySpec>,
    /// What may alarm, with its share of the false-alarm budget, in the order of the checks.
    pub slots: Vec<Slot>,
    /// How much of it may be live at once; what comes beyond runs in shadow.
    pub live: Live,
}

impl ModelSpec {
    /// Hash of its reference.
    pub fn profile_hash(&self) -> Option<ProfileHash> {
        self.profile.as_ref().map(|profile| profile.hash.clone())
    }

    /// Its distinct windows, ordered.
    pub fn windows(&self) -> Vec<WindowSpec> {
        let mut windows: Vec<WindowSpec> = self.checks.iter().map(|check| check.window).collect();
        windows.sort();
        windows.dedup();
        windows
    }

    /// How far back its policies look: a window, and as many more as they count. A version whose
    /// last row is further back is not asked about any more.
    pub fn memory(&self) -> Duration {
        let counted = self
            .policies
            .iter()
            .map(|policy| policy.violate.n.max(policy.clear_windows).max(policy.qualify_windows));
        let windows = counted.max().unwrap_or(1).max(1) as u32;
        let reach = |window: &WindowSpec| window.size() + window.slide() * windows;
        self.windows().iter().map(reach).max().unwrap_or(self.pane)
    }

    /// Event time that must be read again before the time up to which everything was given out, so
    /// that what comes next is as if nothing had happened. The last window may have ended a slide
    /// before that time, and a row stands for its whole pane.
    pub fn history(&self) -> Duration {
        let slide = self.windows().iter().map(WindowSpec::slide).max().unwrap_or_default();
        self.memory() + slide + self.pane
    }

    /// The slot that a finding of check number `check` belongs to.
    pub fn slot_of(&self, check: usize, finding: &Finding) -> Option<(usize, &Slot)> {
        // Slots are in the order of the checks.
        let first = self.slots.partition_point(|slot| slot.check < check);
        let mine = || self.slots[first..].iter().take_while(|slot| slot.check == check);
        mine().next()?;
        let key = Slot::key_of(finding.metric, &finding.scope);
        mine().position(|slot| slot.key == key).map(|index| (first + index, &self.slots[first + index]))
    }

    /// Whether any check looks at segments.
    pub fn segmented(&self) -> bool {
        self.checks.iter().any(|check| check.segments)
    }
}
