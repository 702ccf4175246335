//! Wires everything; the only place that knows everyone.

pub mod clock;
pub mod compile;
pub mod demo;
pub mod pipeline;
