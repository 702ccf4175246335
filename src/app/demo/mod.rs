//! `plimsoll demo`: a lending model whose traffic goes wrong twice by script, watched by the real
//! daemon. What happens and when is data (`scenario`), the records follow from it and a seed
//! (`traffic`, paced by `pace`), and what the daemon makes of them is shown on a terminal
//! (`screen`) or as lines (`plain`). Nothing here reads a clock, so each part can be tested alone.

mod broker;
pub mod drive;
pub mod pace;
pub mod plain;
pub mod scenario;
pub mod screen;
pub mod status;
mod text;
pub mod traffic;
mod worst;

/// The configuration that the demo runs under; the brokers' address is filled in at start.
pub const CONFIG: &str = include_str!("../../../config/demo.yaml");

/// The topic that the configuration reads.
pub const TOPIC: &str = "inference";

#[cfg(test)]
mod fixtures;
