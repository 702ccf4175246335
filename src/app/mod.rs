//! Wires everything; the only place that knows everyone.

pub mod demo;
