//! plimsoll watches deployed machine-learning models: it reads their inference logs from Kafka,
//! computes drift, fairness and performance over sliding event-time windows, judges them against
//! policies, and takes a model back to a safe version when it has left its bounds.
//!
//! The library is laid out in floors; a module imports only from floors below its own, and
//! `tests/suite/floors.rs` holds that. Floors 0 to 4 are pure: no I/O, no clock, no unseeded
//! randomness. Adapters (Kafka, HTTP, files) begin at floor 5.

// Floor 0: words and numbers.
pub mod domain;
pub mod stats;

// Floor 1: records and mergeable summaries.
pub mod record;
pub mod sketch;

// Floor 2: windows and the frozen reference.
pub mod profile;
pub mod window;

// Floor 3: checks, policies, safety. They meet in findings and decisions, never import each other.
pub mod check;
pub mod policy;
pub mod safety;

// Floor 4: the pure machines.
pub mod engine;

// Floor 5: adapters.
pub mod action;
pub mod api;
pub mod audit;
pub mod exchange;
pub mod ingest;
pub mod query;
pub mod telemetry;

// Floor 6: configuration and wiring.
pub mod app;
pub mod config;
