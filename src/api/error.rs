//! What a caller is told when a request cannot be answered: a code to act on and a sentence to
//! read. Internal detail goes to the log only, and no token anywhere.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An answer other than success.
#[derive(Debug, Serialize)]
pub(super) struct ApiError {
    #[serde(skip)]
    status: StatusCode,
    /// Stable, for programs.
    code: &'static str,
    /// For people.
    message: String,
    /// The order that this is about, where it has an id already.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The scheme that a browser asks its user for.
    #[serde(skip)]
    scheme: &'static str,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), id: None, scheme: "Bearer realm=\"plimsoll\"" }
    }

    pub(super) fn bad_parameter(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_parameter", message)
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "no such page; see / for what there is")
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "this page does not take this method; docs/people.md says what can be sent";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    pub(super) fn wrong_host() -> Self {
        let message =
            "this interface listens on loopback and answers only under localhost or a loopback address";
        Self::new(StatusCode::FORBIDDEN, "wrong_host", message)
    }

    pub(super) fn internal() -> Self {
        let message = "the daemon could not write the answer; its log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(super) fn too_many() -> Self {
        let message = "too many requests with tokens that are not known; wait a second";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", message)
    }

    pub(super) fn token_in_address() -> Self {
        let message = "a token does not belong in an address, which ends up in logs: take that one for known to others, draw a new one, and send it as `Authorization: Bearer TOKEN`";
        Self::new(StatusCode::BAD_REQUEST, "token_in_address", message)
    }

    pub(super) fn not_encrypted() -> Self {
        let message = "tokens are not taken here, as others can read them on their way: this address is neither loopback nor TLS (`http.tls`)";
        Self::new(StatusCode::FORBIDDEN, "not_encrypted", message)
    }

    pub(super) fn from_elsewhere() -> Self {
        Self::new(StatusCode::FORBIDDEN, "from_a_page", "no page of another site may order anything")
    }

    /// About the order `id`.
    pub(super) fn of_command(self, id: &str) -> Self {
        Self { id: Some(id.to_owned()), ..self }
    }

    /// So that a browser asks its user for a password, which is the token.
    pub(super) fn asking_a_browser(self) -> Self {
        Self { scheme: "Basic realm=\"plimsoll\"", ..self }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, scheme) = (self.status, self.scheme);
        let mut response = (status, Json(self)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
