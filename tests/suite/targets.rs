//! What targets are asked over HTTP and Kafka, what they may answer, and what is made of it: every
//! answer is one that the rules know, says no secret, and never claims more than was seen.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod airflow;
mod alertmanager;
mod faults;
mod kafka_command;
mod mlflow;
pub(crate) mod stub;

use std::sync::Arc;
use std::time::Duration;

use plimsoll::action::http::Place;
use plimsoll::action::{Clock, Target};
use plimsoll::engine::actor::Call;
use plimsoll::safety::{ActionKind, Reply, Step};
use serde_json::{Value, json};

/// 2026-11-22T10:00:00Z.
pub(crate) const NOW: i64 = 1_795_341_600_000;
/// An id as plimsoll makes them.
pub(crate) const ID: &str = "rollback-3081d052d6e65226d882bb7169b8e66aad3b806b";

/// A clock that stands still.
pub(crate) fn clock() -> Clock {
    Arc::new(|| NOW)
}

/// A place with a patience of some seconds.
pub(crate) fn place(url: &str) -> Place {
    Place { url: url.to_owned(), ca_file: None, timeout: Duration::from_secs(5) }
}

/// A call of an action of `kind` with `change` in its data.
pub(crate) fn call_with(kind: ActionKind, change: Value) -> Call {
    let event = match kind {
        ActionKind::Rollback => "plimsoll.rollback.requested",
        ActionKind::Retrain => "plimsoll.retrain.requested",
        ActionKind::Notify if change.get("escalation").is_some() => "plimsoll.escalation",
        ActionKind::Notify => "plimsoll.notification",
    };
    let mut data = json!({
        "action_id": ID, "action": "act", "model": "credit", "version": "v2", "segment": "all",
        "policy": "fair", "decision": {"id": "d1", "kind": "violated", "decide": "sequential"},
        "since": "2026-11-22T09:50:00Z", "at": "2026-11-22T09:55:00Z",
        "evidence": [{"check": "fair", "metric": "ratio", "value": 0.5, "verdict": "breach", "n": 1200}],
        "evidence_omitted": 0,
    });
    if kind == ActionKind::Rollback {
        data["to_version"] = "v1".into();
    }
    if let Value::Object(change) = change {
        data.as_object_mut().unwrap().extend(change);
    }
    let payload = json!({"id": ID, "type": event, "time": "2026-11-22T09:59:00Z", "data": data});
    Call {
        action_id: ID.into(),
        attempt: 1,
        step: Step::Submit,
        action: "act".into(),
        payload,
        deadline: i64::MAX,
    }
}

/// A call of an action of `kind`.
pub(crate) fn call(kind: ActionKind) -> Call {
    call_with(kind, json!({}))
}

/// Asks `target` the question `step`.
pub(crate) fn ask(target: &dyn Target, step: &Step, call: &Call) -> Reply {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match step {
            Step::Preflight => target.preflight(call).await,
            Step::Submit => target.submit(call).await,
            Step::Find => target.find(call).await,
            Step::Poll { reference } => target.poll(call, reference).await,
            Step::Cancel { reference } => target.cancel(call, reference).await,
        }
    })
}

/// The questions that `target` understands.
pub(crate) fn questions(target: &dyn Target) -> Vec<Step> {
    let able = target.abilities();
    let reference = || ID.to_owned();
    [
        (true, Step::Submit),
        (able.preflight, Step::Preflight),
        (able.find, Step::Find),
        (able.poll, Step::Poll { reference: reference() }),
        (able.cancel, Step::Cancel { reference: reference() }),
    ]
    .into_iter()
    .filter_map(|(able, step)| able.then_some(step))
    .collect()
}

/// Whether `reply` is an answer to `step` at all, as `Reply` says of each.
pub(crate) fn answers(step: &Step, reply: &Reply) -> bool {
    match reply {
        Reply::Rejected { .. } | Reply::Retry { .. } => true,
        Reply::Clear => matches!(step, Step::Preflight),
        Reply::Barred { .. } => matches!(step, Step::Preflight | Step::Submit),
        Reply::Accepted { .. } => matches!(step, Step::Submit | Step::Find),
        Reply::Absent => matches!(step, Step::Find),
        Reply::Running { .. } | Reply::Failed { .. } => matches!(step, Step::Poll { .. }),
        Reply::Succeeded { .. } => matches!(step, Step::Poll { .. } | Step::Cancel { .. }),
    }
}
