//! Decisions with a stated error rate: which detectors a model's checks have, what each pane says to
//! them, and when they alarm. The window statistics beside them are for eyes; only these may act.
//!
//! A **slot** is one thing that may alarm: one check on one column, group, or the model. It is
//! compiled once, from the check, the layout and the reference profile, and never changes; its state
//! is a few kilobytes per model version, steps once per pane, and can be lost without ever raising
//! the rate of false alarms.

mod evidence;
mod fit;
mod limit;
pub mod recompute;
mod settings;
mod slot;
mod source;
mod state;
mod verdict;

pub use settings::{Direction, FalseAlarmBudget, Live, Settings, Tolerances};
pub use slot::{Budget, Slot, slots};
pub use state::{Detectors, PaneOf, SlotState, Starts};
