//! The words that every part of plimsoll uses: models and versions, event time, findings, verdicts,
//! decisions. Nothing here depends on more than `std` and `serde`, so that a reader can learn the
//! vocabulary without learning Arrow, Kafka or statistics first.

pub mod accounting;
pub mod bound;
pub mod decision;
pub mod finding;
pub mod key;
pub mod metric;
pub mod position;
pub mod reject;
pub mod report;
pub mod sequential;
pub mod time;

pub use accounting::Accounting;
pub use bound::Bound;
pub use decision::{Decide, Decision, DecisionKind, open_incidents};
pub use finding::{Finding, Scope, StandingOut, Verdict, Window};
pub use key::{ModelId, ModelKey, ProfileHash, Segment, Tenant, Version};
pub use metric::{Detector, Metric, Task};
pub use position::{Positions, SourcePartition};
pub use reject::RejectReason;
pub use report::{Report, Standing};
pub use sequential::{Evidence, Sequential};
pub use time::EventTime;
