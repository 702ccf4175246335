//! Mergeable summaries: update, merge, subtract, encode. Integers only (sums are fixed-point), so
//! that merging is exact, associative and commutative: any assignment of source partitions to
//! instances gives identical bytes.

pub mod anomaly;
pub mod cells;
pub mod code;
pub mod latency;
pub mod layout;
pub mod outcomes;
pub mod performance;
pub mod summary;

pub use anomaly::{AnomalyCoder, AnomalyModel};
pub use cells::CellCounts;
pub use code::CodedBatch;
pub use latency::Latency;
pub use layout::{CategoryLayout, ColumnLayout, GroupLayout, Layout, NumericLayout};
pub use outcomes::GroupOutcomes;
pub use performance::PerformanceCounts;
pub use summary::Summary;
