//! Targets of actions.
