//! Targets of actions, and the executor that calls them.
//!
//! Nothing is decided here. A target makes one attempt and says how it ended; whether there is
//! another is a matter of the rules (`safety`), so that it can be tested without a network and is
//! the same for every target.

pub mod airflow;
pub mod alertmanager;
pub mod argo_rollouts;
pub mod argo_workflows;
pub mod credential;
mod dry_run;
mod executor;
pub mod github;
pub mod gitlab;
pub mod http;
pub mod jenkins;
pub mod kafka_command;
pub mod kserve;
mod kubernetes;
pub mod lease;
pub mod mlflow;
pub mod pagerduty;
pub mod parameters;
pub mod request;
pub mod slack;
pub mod webhook;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::engine::actor::Call;
use crate::safety::{Abilities, Idempotency, Reply};

pub use airflow::Airflow;
pub use alertmanager::Alertmanager;
pub use argo_rollouts::ArgoRollouts;
pub use argo_workflows::ArgoWorkflows;
pub use credential::Credential;
pub use dry_run::DryRun;
pub use executor::Executor;
pub use github::Github;
pub use gitlab::Gitlab;
pub use jenkins::Jenkins;
pub use kafka_command::KafkaCommand;
pub use kserve::Kserve;
pub use lease::Lease;
pub use mlflow::Mlflow;
pub use pagerduty::Pagerduty;
pub use slack::Slack;
pub use webhook::Webhook;

/// The wall clock: milliseconds since the epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Somewhere an action goes.
///
/// Each question is one attempt: whether and when it is asked again is for the rules. Dropping a
/// future gives the attempt up, in doubt. A target that lacks an ability is never asked that question
/// (the answers below say so all the same).
pub trait Target: fmt::Debug + Send + Sync {
    /// Where that is, in words that hold no secret and that change when the place changes.
    fn name(&self) -> &str;

    /// What it makes of the same request twice.
    fn idempotency(&self) -> Idempotency;

    /// What it can be asked beside `submit`.
    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    /// Whether anything at the target stands against `call`. Changes nothing.
    fn preflight<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(std::future::ready(Reply::Clear))
    }

    /// Does it.
    fn submit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply>;

    /// Whether `call` reached the target. Changes nothing. `Absent` promises that it is not there now.
    fn find<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(std::future::ready(unable("it cannot be asked what it has taken")))
    }

    /// What has become of what the target calls `reference`. Changes nothing.
    fn poll<'a>(&'a self, _call: &'a Call, _reference: &'a str) -> BoxFuture<'a, Reply> {
        Box::pin(std::future::ready(unable("it cannot be asked what has become of an action")))
    }

    /// Stops what the target calls `reference`.
    fn cancel<'a>(&'a self, _call: &'a Call, _reference: &'a str) -> BoxFuture<'a, Reply> {
        Box::pin(std::future::ready(unable("it cannot be asked to stop an action")))
    }
}

fn unable(why: &str) -> Reply {
    Reply::Rejected { why: why.to_owned() }
}
