//! Questions asked of each window: (window summary, profile) → findings. One file per family. A
//! check computes a value, an interval, and what to expect under no change; the verdict then
//! follows from the interval and the bound in one place, for all metrics alike.

pub mod anomaly;
pub mod drift;
pub mod fairness;
pub mod latency;
pub mod performance;
pub mod quality;
pub mod sequential;
pub mod spec;
pub mod traffic;

pub use spec::{Asked, CheckSpec, Target};
