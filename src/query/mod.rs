//! DataFusion at the edge: reading reference and replay files.

mod encode;
pub mod files;
