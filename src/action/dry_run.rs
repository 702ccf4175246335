//! A target that calls nothing and says what would have been asked: to try a policy out, in mode
//! `auto`, before it is given anything to act on.

use futures::future::BoxFuture;
use serde_json::Value;

use crate::engine::actor::Call;
use crate::safety::{Idempotency, Reply};

use super::Target;

/// Calls nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct DryRun;

/// What the request asks for, in one line.
fn describe(payload: &Value) -> String {
    let data = &payload["data"];
    let text = |name: &str| data[name].as_str().unwrap_or("?").to_owned();
    let (model, version) = (text("model"), text("version"));
    match payload["type"].as_str().unwrap_or_default() {
        "plimsoll.rollback.requested" => {
            format!("roll {model} back from {version} to {}", text("to_version"))
        }
        "plimsoll.retrain.requested" => format!("retrain {model} because of {version}"),
        _ => format!(
            "tell that policy {} is {} for {model} {version}",
            text("policy"),
            data["decision"]["kind"].as_str().unwrap_or("?")
        ),
    }
}

impl Target for DryRun {
    fn name(&self) -> &str {
        "dry_run"
    }

    fn idempotency(&self) -> Idempotency {
        Idempotency::NoEffect
    }

    fn submit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        let detail = format!("dry run: would {}", describe(&call.payload));
        tracing::info!(action_id = call.action_id, action = call.action, "{detail}");
        Box::pin(std::future::ready(Reply::Accepted { reference: None, detail, done: true }))
    }
}
