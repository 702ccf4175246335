//! Observer, evaluator and actor as pure machines: messages in, messages out. Time is an argument.
//! In `replay`, in the demo and in tests the messages pass through a queue in memory and nothing
//! else changes.

pub mod actor;
pub mod decided;
pub mod evaluator;
pub mod generation;
pub mod message;
pub mod model;
pub mod observer;
pub mod view;
pub mod wire;

pub use evaluator::Evaluator;
pub use generation::Generation;
pub use message::{Message, Offsets, PaneDelta, Progress, ResumePoint, SourceProgress};
pub use model::ModelSpec;
pub use observer::Observer;
