//! The action state machine: decisions and outcomes → effects. It decides what is done; adapters do it.
