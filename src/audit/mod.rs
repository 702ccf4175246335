//! The audit log: durable entries, and where they are kept.
