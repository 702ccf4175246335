//! A target that calls nothing and says what would have been asked: to try a policy out, in mode
//! `auto`, before it is given anything to act on.

use futures::future::BoxFuture;

use crate::engine::actor::Call;
use crate::safety::{Idempotency, Reply};

use super::Target;
use super::request::summary;

/// Calls nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct DryRun;

impl Target for DryRun {
    fn name(&self) -> &str {
        "dry_run"
    }

    fn idempotency(&self) -> Idempotency {
        Idempotency::NoEffect
    }

    fn submit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        let detail = format!("dry run: would {}", summary(&call.payload));
        tracing::info!(action_id = call.action_id, action = call.action, "{detail}");
        let reply = Reply::Accepted { reference: None, detail, done: true };
        Box::pin(std::future::ready(reply))
    }
}
