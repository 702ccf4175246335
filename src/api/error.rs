//! What a caller is told when a request cannot be answered: a code to act on and a sentence to
//! read. Internal detail goes to the log only.

use axum::Json;
use axum::http::StatusCode;
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
}

impl ApiError {
    pub(super) fn bad_parameter(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "bad_parameter", message: message.into() }
    }

    pub(super) fn not_found() -> Self {
        let message = "no such page; see / for what there is".to_owned();
        Self { status: StatusCode::NOT_FOUND, code: "not_found", message }
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "this interface is read-only: use GET".to_owned();
        Self { status: StatusCode::METHOD_NOT_ALLOWED, code: "method_not_allowed", message }
    }

    pub(super) fn wrong_host() -> Self {
        let message =
            "this interface listens on loopback and answers only under localhost or a loopback address";
        Self { status: StatusCode::FORBIDDEN, code: "wrong_host", message: message.to_owned() }
    }

    pub(super) fn internal() -> Self {
        let message = "the daemon could not write the answer; its log says why".to_owned();
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "internal", message }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}
