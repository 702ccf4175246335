//! `POST /-/reload`: the configuration file is read again, as SIGHUP asks for it. The request that
//! changes how plimsoll judges, so it is taken on loopback only, and from no web page; and where not
//! everybody may read, from holders of an operator's token only.

use std::fmt;
use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::access::Caller;
use crate::domain::EventTime;
use crate::safety::Role;

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ReloadAnswer {
    /// It is published, and takes effect at an event time.
    Published {
        /// Its number.
        generation: u64,
        /// SHA-256 of what it holds.
        hash: String,
        /// The first event time that it is for; none: all of them.
        effective_from: Option<EventTime>,
    },
    /// It is the newest already.
    Unchanged {
        /// Its number.
        generation: u64,
        /// SHA-256 of what it holds.
        hash: String,
        /// The first event time that it is for; none: all of them.
        effective_from: Option<EventTime>,
    },
    /// It is wrong; the old one runs on.
    Invalid {
        /// Everything that is wrong with it.
        errors: Vec<String>,
    },
    /// Parts of it have changed that are read at start only; the old one runs on.
    NeedsRestart {
        /// Which ones.
        changed: Vec<String>,
    },
    /// It is good and could not be published; the old one runs on.
    Failed {
        /// Why.
        error: String,
    },
}

impl ReloadAnswer {
    /// What became of it in a word, as metrics spell it.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Published { .. } => "published",
            Self::Unchanged { .. } => "unchanged",
            Self::Invalid { .. } => "invalid",
            Self::NeedsRestart { .. } => "needs_restart",
            Self::Failed { .. } => "failed",
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Published { .. } | Self::Unchanged { .. } => StatusCode::OK,
            Self::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NeedsRestart { .. } => StatusCode::CONFLICT,
            Self::Failed { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Does it. It may take long, and is called on a thread that may wait.
pub type Handler = Arc<dyn Fn() -> ReloadAnswer + Send + Sync>;

/// Where the one that reloads is to be found once there is one. Clones share it.
#[derive(Clone, Default)]
pub struct Reload(Arc<OnceLock<Handler>>);

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reload").field(&self.0.get().is_some()).finish()
    }
}

impl Reload {
    /// From now on `handler` does it; the first one stays.
    pub fn serve(&self, handler: Handler) {
        let _first = self.0.set(handler);
    }

    /// Does it; none where nobody can, or not yet.
    pub fn call(&self) -> Option<ReloadAnswer> {
        self.0.get().map(|handler| handler())
    }
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({ "code": code, "message": message }))).into_response()
}

/// Who may.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allowed {
    /// Whether the address that is listened on is loopback.
    pub(super) loopback: bool,
    /// Whether no token is needed.
    pub(super) anybody: bool,
}

pub(super) async fn reload(request: Request) -> Response {
    let allowed = request.extensions().get::<Allowed>().copied().unwrap_or_default();
    if !allowed.loopback {
        let message = "reloading is for loopback addresses only: send SIGHUP instead";
        return refuse(StatusCode::FORBIDDEN, "not_loopback", message);
    }
    // Browsers name the page that a POST comes from; programs do not.
    if request.headers().contains_key(header::ORIGIN) {
        return refuse(StatusCode::FORBIDDEN, "from_a_page", "no web page may reload the configuration");
    }
    let operator = matches!(
        request.extensions().get::<Caller>(),
        Some(Caller::Holder { role, .. }) if *role >= Role::Operator
    );
    if !allowed.anybody && !operator {
        let message = "reloading needs the role operator where not everybody may read";
        return refuse(StatusCode::FORBIDDEN, "role_too_low", message);
    }
    let handler = request.extensions().get::<Reload>().cloned().unwrap_or_default();
    match tokio::task::spawn_blocking(move || handler.call()).await {
        Ok(Some(answer)) => (answer.status(), Json(&answer)).into_response(),
        Ok(None) => {
            let message = "this instance is not far enough yet, or runs without a configuration file";
            refuse(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message)
        }
        Err(error) => {
            tracing::error!(%error, "reloading has ended in a fault");
            super::error::ApiError::internal().into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn asked(answer: ReloadAnswer, loopback: bool, anybody: bool, origin: bool) -> StatusCode {
        by(answer, Allowed { loopback, anybody }, origin, Caller::Anonymous).await
    }

    async fn by(answer: ReloadAnswer, allowed: Allowed, origin: bool, caller: Caller) -> StatusCode {
        let reloads = Reload::default();
        reloads.serve(Arc::new(move || answer.clone()));
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(reloads);
        request.extensions_mut().insert(allowed);
        request.extensions_mut().insert(caller);
        if origin {
            request.headers_mut().insert(header::ORIGIN, "https://example.org".parse().unwrap());
        }
        reload(request).await.status()
    }

    #[tokio::test]
    async fn the_answer_says_whether_the_file_is_wrong_or_needs_a_restart() {
        let published = ReloadAnswer::Published { generation: 2, hash: "ab".into(), effective_from: None };
        assert_eq!(asked(published.clone(), true, true, false).await, StatusCode::OK);
        let invalid = ReloadAnswer::Invalid { errors: vec!["models[0]: wrong".into()] };
        assert_eq!(asked(invalid, true, true, false).await, StatusCode::UNPROCESSABLE_ENTITY);
        let restart = ReloadAnswer::NeedsRestart { changed: vec!["kafka".into()] };
        assert_eq!(asked(restart, true, true, false).await, StatusCode::CONFLICT);
        assert_eq!(
            asked(published.clone(), false, true, false).await,
            StatusCode::FORBIDDEN,
            "from elsewhere"
        );
        assert_eq!(asked(published, true, true, true).await, StatusCode::FORBIDDEN, "from a web page");
    }

    #[tokio::test]
    async fn where_not_everybody_may_read_an_operator_may_reload() {
        let published = ReloadAnswer::Published { generation: 2, hash: "ab".into(), effective_from: None };
        let closed = Allowed { loopback: true, anybody: false };
        let holder = |role| Caller::Holder { name: "alice".into(), role };
        for (caller, status) in [
            (Caller::Anonymous, StatusCode::FORBIDDEN),
            (holder(Role::Viewer), StatusCode::FORBIDDEN),
            (holder(Role::Operator), StatusCode::OK),
            (holder(Role::Approver), StatusCode::OK),
        ] {
            assert_eq!(by(published.clone(), closed, false, caller.clone()).await, status, "{caller:?}");
        }
    }
}
