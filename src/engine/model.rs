//! One model as the engine runs it: its columns, cells, pane width, checks and policies, compiled
//! from the configuration and the reference profile. It never changes; a new profile makes a new one.

use std::sync::Arc;
use std::time::Duration;

use crate::check::CheckSpec;
use crate::domain::{ModelId, ProfileHash, Task};
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
    /// How its batches are counted on those cells.
    pub coder: Coder,
    /// Width of a pane.
    pub pane: Duration,
    /// Its checks, in the order of the configuration.
    pub checks: Vec<CheckSpec>,
    /// Its policies, likewise.
    pub policies: Vec<PolicySpec>,
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

    /// Event time that must be read again before a window end so that every window, and the `n`
    /// windows that its policies remember, can be computed.
    pub fn history(&self) -> Duration {
        let remembered = self.policies.iter().map(|policy| policy.violate.n.max(policy.clear_windows));
        let windows = remembered.max().unwrap_or(1).max(1) as u32;
        self.windows()
            .iter()
            .map(|window| window.size() + window.slide() * windows)
            .max()
            .unwrap_or(self.pane)
            + self.pane
    }

    /// Whether any check looks at segments.
    pub fn segmented(&self) -> bool {
        self.checks.iter().any(|check| check.segments)
    }
}
