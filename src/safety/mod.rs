//! The rules under which something may be done to a model: what an action may go through, when it
//! may be repeated, and which version is safe to go back to. Decisions and outcomes come in,
//! effects come out; nothing here calls, stores or waits.
//!
//! The rules are kept apart from the actor that applies them to a fleet, so that each can be read
//! and tested alone: [`action`] is the life of one action, [`ledger`] knows the good versions,
//! [`limits`] and [`breaker`] say when enough was done, [`verify`] whether it helped, [`command`] what
//! people may order; [`backoff`] and [`id`] are plain functions.

pub mod action;
pub mod backoff;
pub mod breaker;
pub mod call;
pub mod command;
pub mod id;
pub mod kind;
pub mod ledger;
pub mod limits;
pub mod verify;

pub use action::{Action, Effect, Event, Halt, Phase, State, Suppression, Terms, Verified};
pub use breaker::{Breaker, BreakerSpec};
pub use call::{Abilities, Idempotency, Reply, Step};
pub use command::{Command, ModelName, Order, Role};
pub use kind::{ActionKind, PolicyMode};
pub use ledger::{Ledger, Standing};
pub use limits::{Budget, FleetAlarm, Limits, Spent};
pub use verify::{Verification, VerifySpec};
