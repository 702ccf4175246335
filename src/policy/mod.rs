//! Rules over findings and the incident state machine: findings → decisions. Policies know no
//! checks and no sketches; they meet checks in findings only, so a new check needs no new policy.

pub mod identity;
pub mod machine;
pub mod spec;

pub use machine::{FirstForm, Incident, PolicyMachine, Step};
pub use spec::{Decide, KOfN, PolicySpec};
