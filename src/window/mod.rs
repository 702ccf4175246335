//! Panes of event time, watermarks, and sliding windows of whole panes.

pub mod sliding;
pub mod spec;
pub mod watermark;

pub use sliding::SlidingWindow;
pub use spec::WindowSpec;
pub use watermark::{PartitionClock, Standing, Watermarks};
