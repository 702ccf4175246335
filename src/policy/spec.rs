//! What a policy asks for: which checks, how many breaches of how many windows make an incident,
//! what closes it again, and what is to be done.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::Bound;
pub use crate::domain::Decide;

/// `k` of the last `n` windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KOfN {
    /// Windows with a breach.
    pub k: usize,
    /// Windows looked at; at least `k`.
    pub n: usize,
}

/// A policy as it is configured for one model.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySpec {
    /// Its configured name.
    pub name: String,
    /// Names of the checks it follows. Each has a bound where the policy decides by windows.
    pub checks: Vec<String>,
    /// By what it decides.
    pub decide: Decide,
    /// When an incident opens; one of one where the policy decides sequentially.
    pub violate: KOfN,
    /// Consecutive windows inside the clear bounds after which an incident closes.
    pub clear_windows: usize,
    /// Clear bounds that differ from the check's own, by check.
    pub clear_bounds: BTreeMap<String, Bound>,
    /// Consecutive windows with every check `pass` after which a version is one to go back to.
    pub qualify_windows: usize,
    /// Event time between the first and the last of them that this takes at least.
    pub qualify_for: Duration,
    /// Rows that they must have seen.
    pub qualify_samples: u64,
    /// Names of the actions that a violation asks for.
    pub actions: Vec<String>,
}
