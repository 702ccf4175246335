//! Targets of actions, and the executor that calls them.
//!
//! Nothing is decided here. A target makes one attempt and says how it ended; whether there is
//! another is a matter of the rules (`safety`), so that it can be tested without a network and is
//! the same for every target.

mod dry_run;
mod executor;
pub mod lease;
pub mod webhook;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::engine::actor::Call;
use crate::safety::{CallResult, Idempotency};

pub use dry_run::DryRun;
pub use executor::Executor;
pub use lease::Lease;
pub use webhook::Webhook;

/// The wall clock: milliseconds since the epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Somewhere an action goes.
pub trait Target: fmt::Debug + Send + Sync {
    /// Where that is, in words that hold no secret and that change when the place changes.
    fn name(&self) -> &str;

    /// What it makes of the same request twice.
    fn idempotency(&self) -> Idempotency;

    /// Makes one attempt. Dropping the future gives the attempt up, in doubt.
    fn submit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, CallResult>;
}
