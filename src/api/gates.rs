//! Gates: deployment tools ask here whether a rollout may go on. They pull, so plimsoll holds no key to
//! production, and everything that is not a conclusive verdict keeps a rollout where it is.
//!
//! Each tool reads an answer in its own way, and one of them reads it in two opposite ways:
//!
//! * Argo Rollouts (web metric) takes every status but 2xx for an error of the measurement, so a verdict
//!   is always a 200 with a word.
//! * Flagger takes 200 to 202 for yes and all else for no. Its hooks that confirm ask "may it go on", and
//!   its `rollback` hook asks "must it go back": a yes to everything would do both. They have
//!   separate paths and handlers, and share only the judgement.
//!
//! Hooks that speak of a deployment are remembered (`canaries`), and what one of them says changes what the
//! next one is told. So they need a token even where everybody may read.

mod canaries;
mod verdict;

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::access::from_elsewhere;
use super::error::ApiError;
use super::router::Shared;
use verdict::{Judged, Known, Part, Said, Subject, judge};

pub(super) use canaries::Canaries;

/// Bytes of a hook's request at most.
pub(super) const REQUEST_BYTES: usize = 64 * 1024;
/// Bytes of a name at most.
const NAME: usize = 512;

/// Parameters of the web metric.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default)]
    tenant: Option<String>,
    model: String,
    version: String,
    policy: String,
    #[serde(default)]
    part: Option<Part>,
}

impl Subject {
    /// That a name is too long, in words.
    fn too_long(&self) -> Option<String> {
        let names = [
            ("tenant", self.tenant.as_deref().unwrap_or_default()),
            ("model", &self.model),
            ("version", &self.version),
            ("policy", &self.policy),
        ];
        let long = names.into_iter().find(|(_, name)| name.len() > NAME);
        long.map(|(key, _)| format!("`{key}` has more than {NAME} bytes"))
    }
}

/// What this instance knows of `subject` now.
fn known(shared: &Shared, subject: &Subject, since: Option<i64>) -> Judged {
    let owns = shared.telemetry.owns_decisions() == Some(true);
    judge(Known { view: &shared.telemetry.view(), owns, now: (shared.clock)() }, subject, since)
}

/// Argo Rollouts: always 200, with the verdict in `result`.
pub(super) async fn argo_rollouts(
    State(shared): State<Shared>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let Judged { said, reason } = match asked {
        Ok(Query(Asked { tenant, model, version, policy, part })) => {
            let subject = Subject { tenant, model, version, policy, part };
            match subject.too_long() {
                Some(reason) => Judged { said: Said::Unknown, reason },
                None => known(&shared, &subject, None),
            }
        }
        // An error would count as a failed measurement, and in the end abort the rollout.
        Err(rejection) => Judged { said: Said::Unknown, reason: rejection.body_text() },
    };
    Json(json!({ "result": said.name(), "reason": reason })).into_response()
}

/// What Flagger sends.
#[derive(Clone, Debug, Deserialize)]
struct Hook {
    name: String,
    namespace: String,
    #[serde(default)]
    checksum: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

fn unreadable(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_hook", message)
}

fn read(body: Result<Bytes, BytesRejection>) -> Result<(Hook, Subject), ApiError> {
    let body = body.map_err(|rejection| {
        let message = format!("a hook has at most {REQUEST_BYTES} bytes");
        ApiError::new(rejection.status(), "too_large", message)
    })?;
    let hook: Hook = serde_json::from_slice(&body).map_err(|error| unreadable(error.to_string()))?;
    let named = |key: &str| {
        let value = hook.metadata.get(key).filter(|value| !value.is_empty()).cloned();
        value.ok_or_else(|| unreadable(format!("the hook's metadata has no `{key}`")))
    };
    let (model, version, policy) = (named("model")?, named("version")?, named("policy")?);
    let tenant = hook.metadata.get("tenant").cloned();
    let part = match hook.metadata.get("part").map(String::as_str) {
        None => None,
        Some("traffic") => Some(Part::Traffic),
        Some("standing") => Some(Part::Standing),
        Some(_) => return Err(unreadable("`part` in the hook's metadata is `traffic` or `standing`")),
    };
    let subject = Subject { tenant, model, version, policy, part };
    if let Some(reason) = subject.too_long() {
        return Err(unreadable(reason));
    }
    // Without it, evidence about an earlier deployment could decide about this one.
    let long = |text: &String| text.is_empty() || text.len() > NAME;
    if [&hook.checksum, &hook.name, &hook.namespace].into_iter().any(long) {
        return Err(unreadable("name, namespace and checksum are needed, as Flagger sends them"));
    }
    Ok((hook, subject))
}

/// What is known, from windows that are about the deployment that `hook` is about.
fn about(shared: &Shared, hook: &Hook, subject: &Subject) -> Judged {
    let now = (shared.clock)();
    match shared.canaries.since(&hook.namespace, &hook.name, &hook.checksum, subject, now) {
        Ok(since) => known(shared, subject, since),
        Err(canaries::Full) => Judged {
            said: Said::Inconclusive,
            reason: "more deployments were asked about than are remembered".to_owned(),
        },
    }
}

fn answer(status: StatusCode, hook: &Hook, subject: &Subject, judged: &Judged) -> Response {
    let body = json!({
        "result": judged.said.name(),
        "reason": judged.reason,
        "model": subject.model,
        "version": subject.version,
        "policy": subject.policy,
        "checksum": hook.checksum,
    });
    (status, Json(body)).into_response()
}

/// Whether something may go on: 200 where every check passed, else 403, or 404 where nothing is known.
const fn go(said: Said) -> StatusCode {
    match said {
        Said::Pass => StatusCode::OK,
        Said::Breach | Said::Inconclusive => StatusCode::FORBIDDEN,
        Said::Unknown => StatusCode::NOT_FOUND,
    }
}

/// Whether it must go back: 200 where an incident is open, else 403, or 404 where nothing is known.
const fn back(said: Said) -> StatusCode {
    match said {
        Said::Breach => StatusCode::OK,
        Said::Pass | Said::Inconclusive => StatusCode::FORBIDDEN,
        Said::Unknown => StatusCode::NOT_FOUND,
    }
}

/// `confirm-rollout`: nothing of the new version has taken traffic yet, so this is about the version
/// that the hook names, which is the one that serves, whatever deployment its windows were of.
pub(super) async fn confirm_rollout(
    State(shared): State<Shared>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let (hook, subject) = read(body)?;
    let judged = known(&shared, &subject, None);
    Ok(answer(go(judged.said), &hook, &subject, &judged))
}

/// `confirm-traffic-increase` and `confirm-promotion`: 200 lets it go on.
pub(super) async fn confirm(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    if from_elsewhere(&headers) {
        return Err(ApiError::from_elsewhere());
    }
    let (hook, subject) = read(body)?;
    let judged = about(&shared, &hook, &subject);
    Ok(answer(go(judged.said), &hook, &subject, &judged))
}

/// `rollback`: 200 rolls back.
pub(super) async fn rollback(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    if from_elsewhere(&headers) {
        return Err(ApiError::from_elsewhere());
    }
    let (hook, subject) = read(body)?;
    let judged = about(&shared, &hook, &subject);
    Ok(answer(back(judged.said), &hook, &subject, &judged))
}
