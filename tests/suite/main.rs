//! The one integration test binary. Each module is a story about one part, told through public seams.

mod actions;
mod anomalies;
mod audit_log;
mod calibrate;
mod checks;
mod compat;
mod config_file;
mod dashboards;
mod decode;
mod demo;
mod demo_story;
mod engine;
mod explain;
mod files;
mod files_profile;
mod floors;
mod http;
mod kafka_mock;
mod kafka_real;
mod metrics;
mod policies;
mod replay;
mod sequential;
mod stats;
mod support;
