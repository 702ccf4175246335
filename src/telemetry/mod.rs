//! The metric catalogue, /metrics, and structured logs.
