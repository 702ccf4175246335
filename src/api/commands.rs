//! People's orders. A request becomes a command with its author's name and role, and is answered once
//! the command is durable: what becomes of it is the actor's to say, in the order in which everything
//! reaches it. Where this instance is the actor's, an order that contradicts what it shows is refused
//! at once, so that its author learns why while still looking at it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Caller, from_elsewhere, holds_token};
use super::error::ApiError;
use super::router::Shared;
use crate::domain::EventTime;
use crate::engine::view::{CommandOutcome, CommandView, View};
use crate::safety::{Command, Order};

/// Bytes of a request at most.
pub(super) const REQUEST_BYTES: usize = 16 * 1024;
/// Letters of a reason at most: it is kept for ever.
const REASON: usize = 500;
/// Orders that this process remembers to have taken, until the actor speaks of them.
const REMEMBERED: usize = 1_000;
/// The state of an action that waits for a person, as `safety::State::name` spells it.
pub(super) const WAITS: &str = "awaiting_approval";

/// The state of an action that waits for its turn.
const PROPOSED: &str = "proposed";

/// A command is not known to be durable.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotDurable(pub String);

/// Makes a command durable. It may take seconds, and is called on a thread that may wait.
pub type Deliver = Arc<dyn Fn(&Command) -> Result<(), NotDurable> + Send + Sync>;

/// Where commands go, once there is such a place. Clones share it.
#[derive(Clone, Default)]
pub struct Commands {
    deliver: Arc<OnceLock<Deliver>>,
    taken: Arc<Mutex<VecDeque<CommandView>>>,
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Commands").field(&self.deliver.get().is_some()).finish()
    }
}

impl Commands {
    /// From now on commands go to `deliver`; the first one stays.
    pub fn serve(&self, deliver: Deliver) {
        let _first = self.deliver.set(deliver);
    }

    fn remember(&self, command: &Command) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() == REMEMBERED {
            taken.pop_front();
        }
        taken.push_back(CommandView::of(command, CommandOutcome::Unknown, None));
    }

    fn taken(&self, id: &str) -> Option<CommandView> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.iter().rev().find(|command| command.id == id).cloned()
    }
}

fn unreadable(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_order", message)
}

/// What an order looks like, for those who got it wrong.
const EXAMPLE: &str = r#"write {"order": {"do": "hold", "model": "credit"}, "reason": "..."}; orders are approve (action_id, evidence, and for a rollback to_version), deny and cancel (action_id), hold and release (model), freeze, resume, absolve (model, version)"#;

/// Reads a request.
fn read(body: &[u8]) -> Result<(Order, String), ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        order: Value,
        reason: String,
    }
    if std::str::from_utf8(body).is_ok_and(holds_token) {
        return Err(unreadable("the request holds what looks like a token, and orders are kept for ever"));
    }
    let wrong = |error: serde_json::Error| unreadable(format!("{error}; {EXAMPLE}"));
    let Asked { order: asked, reason } = serde_json::from_slice(body).map_err(wrong)?;
    let order: Order = serde_json::from_value(asked.clone()).map_err(wrong)?;
    known_only(&asked, &order)?;
    let empty = |text: &str| text.trim().is_empty();
    match &order {
        Order::Approve { action_id, evidence, .. } => {
            if empty(action_id) {
                return Err(unreadable("action_id is empty"));
            }
            if !is_hash(evidence) {
                return Err(unreadable(
                    "evidence is `sha256:` and 64 hexadecimal digits, as /api/v1/actions shows it",
                ));
            }
        }
        Order::Deny { action_id } | Order::Cancel { action_id } if empty(action_id) => {
            return Err(unreadable("action_id is empty"));
        }
        Order::Hold(name) | Order::Release(name) | Order::Absolve { model: name, .. }
            if empty(name.model.as_str()) =>
        {
            return Err(unreadable("model is empty"));
        }
        Order::Absolve { version, .. } if empty(version.as_str()) => {
            return Err(unreadable("version is empty"));
        }
        _ => {}
    }
    let reason = reason.trim().to_owned();
    if reason.is_empty() {
        return Err(unreadable("a reason is needed: say why, for those who read the log later"));
    }
    if reason.chars().count() > REASON || reason.chars().any(char::is_control) {
        return Err(unreadable(format!("a reason is one line of at most {REASON} letters")));
    }
    Ok((order, reason))
}

/// A key that says nothing to this order may have been meant to say something.
fn known_only(asked: &Value, order: &Order) -> Result<(), ApiError> {
    let known = serde_json::to_value(order).map_err(|error| unreadable(error.to_string()))?;
    let keys = asked.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    match keys.map(|(key, _)| key).find(|key| known.get(key.as_str()).is_none()) {
        Some(key) => Err(unreadable(format!("`{}` takes no `{key}`; {EXAMPLE}", order.name()))),
        None => Ok(()),
    }
}

fn is_hash(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Why the order cannot be meant, by what the actor shows here.
fn contradicted(order: &Order, view: &View, now: i64) -> Result<(), ApiError> {
    let (Order::Approve { action_id, .. } | Order::Deny { action_id } | Order::Cancel { action_id }) = order
    else {
        return Ok(());
    };
    let Some(action) = view.actions.iter().find(|action| action.id == *action_id) else {
        let message = format!("there is no action `{action_id}`; /api/v1/actions lists them");
        return Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_action", message));
    };
    let conflict = |code, message: String| Err(ApiError::new(StatusCode::CONFLICT, code, message));
    if matches!(order, Order::Cancel { .. }) {
        return Ok(());
    }
    // What waits for its turn can be denied too; there is nothing to approve about it.
    let denied = matches!(order, Order::Deny { .. }) && action.state == PROPOSED;
    if action.state != WAITS && !denied {
        let message = format!("the action does not wait for approval: it is `{}`", action.state);
        return conflict("not_waiting", message);
    }
    if action.expires_at.is_some_and(|expires| expires <= now) {
        return conflict("expired", "the time in which the action could be approved is over".to_owned());
    }
    let Order::Approve { evidence, to_version, .. } = order else { return Ok(()) };
    if let Some(good) = &action.to_version
        && to_version.as_ref().is_none_or(|looked_at| looked_at.as_str() != good)
    {
        let message = format!(
            "it would go back to version `{good}`; name that as to_version, so that no other is approved"
        );
        return conflict("version_changed", message);
    }
    if action.evidence.as_ref() != Some(evidence) {
        let message = "the evidence is not that of the action; look at it again before you approve it";
        return conflict("evidence_changed", message.to_owned());
    }
    Ok(())
}

/// 32 hexadecimal digits, drawn at random.
fn draw_id() -> Result<String, ApiError> {
    let mut bytes = [0; 16];
    openssl::rand::rand_bytes(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system gives no random bytes");
        ApiError::internal()
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(super) async fn order(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    if from_elsewhere(&headers) {
        return Err(ApiError::from_elsewhere());
    }
    // Whoever let the request through has asked for a token; an order without an author must not be.
    let Caller::Holder { name: who, role } = caller else {
        return Err(ApiError::unauthorized("an order needs a token"));
    };
    let json = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !json.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        let message = "send `Content-Type: application/json`";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", message));
    }
    let body = body.map_err(|rejection| {
        let message = format!("a request has at most {REQUEST_BYTES} bytes");
        ApiError::new(rejection.status(), "too_large", message)
    })?;
    let (order, reason) = read(&body)?;
    if role < order.needs() {
        let message = format!("`{}` needs the role {}; {who} has {role}", order.name(), order.needs());
        return Err(ApiError::new(StatusCode::FORBIDDEN, "role_too_low", message));
    }
    let now = (shared.clock)();
    if shared.telemetry.owns_decisions() == Some(true) {
        contradicted(&order, &shared.telemetry.view(), now)?;
    }
    let Some(deliver) = shared.commands.deliver.get().cloned() else {
        let message = "this instance is not far enough yet to take orders";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message));
    };
    let command = Command { id: draw_id()?, at: now, who, role, reason, order };
    // Before it is sent: the actor may be quicker than the answer.
    shared.commands.remember(&command);
    let (command, delivered) = tokio::task::spawn_blocking(move || {
        let delivered = deliver(&command);
        (command, delivered)
    })
    .await
    .map_err(|error| {
        tracing::error!(%error, "an order has ended in a fault");
        ApiError::internal()
    })?;
    let Command { id, who, role, order, .. } = &command;
    let (role, order) = (role.name(), order.name());
    match delivered {
        Ok(()) => {
            tracing::info!(command_id = id, who, role, order, "an order was taken");
            let status = format!("/api/v1/commands/{id}");
            Ok((StatusCode::ACCEPTED, Json(json!({ "id": id, "status": status }))).into_response())
        }
        Err(error) => {
            tracing::error!(command_id = id, who, role, order, %error, "an order is not known to be durable");
            let message = "the order is not known to be durable, and may take effect all the same; ask for it by its id before you give it again";
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_durable", message).of_command(id))
        }
    }
}

/// What is known of the order `id`.
pub(super) async fn told(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let view = shared.telemetry.view();
    if let Some(command) = view.commands.iter().rev().find(|command| command.id == id) {
        return Ok(Json(command).into_response());
    }
    let owns = shared.telemetry.owns_decisions();
    let where_to_ask = match owns {
        Some(true) => "the actor has not read it yet",
        Some(false) | None => "another instance owns the actions; ask that one",
    };
    match shared.commands.taken(&id) {
        Some(taken) => Ok(Json(CommandView { why: Some(where_to_ask.to_owned()), ..taken }).into_response()),
        None => {
            let why = match owns {
                Some(true) => "no such order is known here",
                Some(false) | None => "no such order is known here, and another instance owns the actions",
            };
            Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_command", why))
        }
    }
}

/// The orders that are known, newest first.
pub(super) async fn list(State(shared): State<Shared>) -> Response {
    let view = shared.telemetry.view();
    let newest: Vec<&CommandView> = view.commands.iter().rev().collect();
    Json(json!({ "commands": newest })).into_response()
}

/// What stands still, which versions are good, and what the targets still allow.
pub(super) async fn safety(State(shared): State<Shared>) -> Response {
    let view = shared.telemetry.view();
    Json(json!({
        "taken_at": EventTime::from_millis(view.taken_at),
        "instance": shared.telemetry.instance(),
        "owns_decisions": shared.telemetry.owns_decisions(),
        "frozen": view.safety.frozen,
        "held": view.safety.held,
        "versions": view.safety.versions,
        "breakers": view.safety.breakers,
    }))
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_gets_wrong_is_said_in_words() {
        let hash = format!("sha256:{}", "0".repeat(64));
        let message = |text: &str| read(text.as_bytes()).map_err(|wrong| format!("{wrong:?}")).unwrap_err();
        for (text, says) in [
            ("", "write {"),
            (r#"{"order": {"do": "freeze"}}"#, "missing field `reason`"),
            (r#"{"order": {"do": "melt"}, "reason": "x"}"#, "unknown variant `melt`"),
            (r#"{"order": {"do": "freeze"}, "reason": "  "}"#, "a reason is needed"),
            (r#"{"order": {"do": "freeze"}, "reason": "a\nb"}"#, "one line"),
            (r#"{"order": {"do": "freeze"}, "reason": "x", "force": true}"#, "unknown field `force`"),
            (r#"{"order": {"do": "freeze", "model": "credit"}, "reason": "x"}"#, "takes no `model`"),
            (
                r#"{"order": {"do": "hold", "model": "credit", "version": "2"}, "reason": "x"}"#,
                "takes no `version`",
            ),
            (r#"{"order": {"do": "hold", "model": ""}, "reason": "x"}"#, "model is empty"),
            (r#"{"order": {"do": "deny", "action_id": ""}, "reason": "x"}"#, "action_id is empty"),
            (
                r#"{"order": {"do": "approve", "action_id": "a", "evidence": "x"}, "reason": "x"}"#,
                "64 hexadecimal",
            ),
        ] {
            let told = message(text).replace('\\', "");
            assert!(told.contains(says), "{text}: {told}");
        }
        let token = super::super::access::Drawn::new().unwrap();
        let told = message(&format!(r#"{{"order": {{"do": "freeze"}}, "reason": "{}"}}"#, token.expose()));
        assert!(told.contains("looks like a token") && !told.contains(token.expose()), "{told}");
        let good = format!(
            r#"{{"order": {{"do": "approve", "action_id": "a", "evidence": "{hash}"}}, "reason": " ok "}}"#
        );
        let (order, reason) = read(good.as_bytes()).unwrap();
        assert_eq!((order.name(), reason.as_str()), ("approve", "ok"));
        assert!(read(br#"{"order": {"do": "hold", "tenant": null, "model": "m"}, "reason": "x"}"#).is_ok());
    }
}
