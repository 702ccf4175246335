//! The exchange between observers and evaluators.

pub(crate) mod store;
