//! The Arrow schema of an inference record, and batches of them. Every source format ends here, so
//! that counting knows one shape only.

pub mod batch;
pub mod builder;
pub mod schema;

pub use batch::InferenceBatch;
pub use builder::{BatchBuilder, Cell};
pub use schema::{Column, Kind, RecordSchema, Role};
