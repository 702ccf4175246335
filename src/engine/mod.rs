//! Observer, evaluator and actor as pure machines. Time is an argument.

pub mod actor;
pub mod view;
