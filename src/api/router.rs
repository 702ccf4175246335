//! The pages and what they answer.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Serialize;
use serde_json::json;

use super::access::{Guard, authenticate};
use super::commands::{self, Commands};
use super::error::ApiError;
use super::filter::{Events, Findings};
use super::gates::{self, Canaries};
use super::readiness::Readiness;
use super::{Clock, Services, reload, status_page};
use crate::domain::{Accounting, EventTime, SourcePartition};
use crate::engine::evaluator::{FaultCounts, TurnedLate};
use crate::engine::view::{ConfigurationView, ExchangeView, ModelView, SourceView};
use crate::telemetry::{Format, Telemetry};

#[derive(Clone)]
pub(super) struct Shared {
    pub(super) telemetry: Telemetry,
    readiness: Readiness,
    pub(super) commands: Commands,
    pub(super) canaries: Canaries,
    pub(super) clock: Clock,
}

/// All pages. With `loopback_only`, requests that name another host are refused: a web page that
/// lets its own name point to 127.0.0.1 (DNS rebinding) could otherwise read the API through a
/// visitor's browser.
pub(super) fn router(
    telemetry: Telemetry,
    readiness: Readiness,
    services: Services,
    loopback_only: bool,
) -> Router {
    let Services { access, tls, reload, commands, clock } = services;
    let guard = Guard::new(access, loopback_only, tls.is_some());
    let order = post(commands::order).layer(DefaultBodyLimit::max(commands::REQUEST_BYTES));
    let hook = DefaultBodyLimit::max(gates::REQUEST_BYTES);
    let allowed = reload::Allowed { loopback: loopback_only, anybody: guard.is_open() };
    let router = Router::new()
        .route("/", get(status))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/api/v1/models", get(models))
        .route("/api/v1/findings", get(findings))
        .route("/api/v1/decisions", get(decisions))
        .route("/api/v1/actions", get(actions))
        .route("/api/v1/safety", get(commands::safety))
        .route("/api/v1/commands", order.get(commands::list))
        .route("/api/v1/commands/{id}", get(commands::told))
        .route("/api/v1/exchange", get(exchange))
        .route("/api/v1/status", get(api_status))
        .route("/gate/v1/argo-rollouts", get(gates::argo_rollouts))
        .route("/gate/v1/flagger/confirm-rollout", post(gates::confirm_rollout).layer(hook))
        .route("/gate/v1/flagger/confirm-traffic-increase", post(gates::confirm).layer(hook))
        .route("/gate/v1/flagger/confirm-promotion", post(gates::confirm).layer(hook))
        .route("/gate/v1/flagger/rollback", post(gates::rollback).layer(hook))
        .route("/-/reload", post(reload::reload).layer(Extension(allowed)))
        .fallback(async || ApiError::not_found())
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .with_state(Shared { telemetry, readiness, commands, canaries: Canaries::default(), clock })
        .layer(Extension(reload))
        .layer(middleware::from_fn_with_state(guard, authenticate));
    let router =
        if loopback_only { router.layer(middleware::from_fn(require_loopback_host)) } else { router };
    router.layer(middleware::map_response(secure))
}

async fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

async fn require_loopback_host(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    if is_loopback(host) { next.run(request).await } else { ApiError::wrong_host().into_response() }
}

/// Whether the value of a `Host` header names this machine's loopback.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, _)) => name,
        None => host.split(':').next().unwrap_or(""),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Result<Response, ApiError> {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::accepted(accept);
    let page = shared.telemetry.page(format).map_err(|error| {
        tracing::error!(%error, "the metrics page cannot be written");
        ApiError::internal()
    })?;
    let headers = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "Accept")];
    Ok((headers, page).into_response())
}

/// The process answers, which is all that a liveness probe may ask: a restart heals nothing that
/// lies outside of it.
async fn healthz() -> Response {
    Json(json!({ "status": "alive" })).into_response()
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let reasons = shared.readiness.reasons();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": reasons.is_empty(), "reasons": reasons }))).into_response()
}

async fn models(State(shared): State<Shared>) -> Response {
    #[derive(Serialize)]
    struct Models<'a> {
        taken_at: EventTime,
        models: &'a [ModelView],
    }
    let view = shared.telemetry.view();
    Json(Models { taken_at: EventTime::from_millis(view.taken_at), models: &view.models }).into_response()
}

type Asked<T> = Result<Query<T>, QueryRejection>;

fn parameters<T>(asked: Asked<T>) -> Result<T, ApiError> {
    asked.map(|Query(asked)| asked).map_err(|rejection| ApiError::bad_parameter(rejection.body_text()))
}

async fn findings(State(shared): State<Shared>, asked: Asked<Findings>) -> Result<Response, ApiError> {
    let findings = parameters(asked)?.select(&shared.telemetry.view());
    Ok(Json(json!({ "findings": findings })).into_response())
}

async fn decisions(State(shared): State<Shared>, asked: Asked<Events>) -> Result<Response, ApiError> {
    let decisions = parameters(asked)?.decisions(&shared.telemetry.view());
    Ok(Json(json!({ "decisions": decisions })).into_response())
}

async fn actions(State(shared): State<Shared>, asked: Asked<Events>) -> Result<Response, ApiError> {
    let actions = parameters(asked)?.actions(&shared.telemetry.view());
    Ok(Json(json!({ "actions": actions })).into_response())
}

/// One partition of the exchange, as its evaluator here sees it.
#[derive(Serialize)]
struct Held<'a> {
    partition: i32,
    position: i64,
    watermark: Option<EventTime>,
    wall: Option<EventTime>,
    /// Why no window closes: source partitions that have not been heard of, or are the least in time.
    holding: &'a [SourcePartition],
    accounting: &'a BTreeMap<Arc<str>, Accounting>,
    turned_late: &'a BTreeMap<Arc<str>, TurnedLate>,
    faults: FaultCounts,
}

impl<'a> Held<'a> {
    fn of(held: &'a ExchangeView) -> Self {
        Self {
            partition: held.partition,
            position: held.position,
            watermark: held.watermark,
            wall: (held.wall > 0).then(|| EventTime::from_millis(held.wall)),
            holding: &held.holding,
            accounting: &held.accounting,
            turned_late: &held.turned_late,
            faults: held.faults,
        }
    }
}

async fn exchange(State(shared): State<Shared>) -> Response {
    let view = shared.telemetry.view();
    let partitions: Vec<Held<'_>> = view.exchange.iter().map(Held::of).collect();
    let taken_at = EventTime::from_millis(view.taken_at);
    let instance = shared.telemetry.instance();
    Json(json!({ "taken_at": taken_at, "instance": instance, "partitions": partitions })).into_response()
}

/// A topic's accounting, its reasons, and whether it adds up.
#[derive(Serialize)]
struct Topic<'a> {
    #[serde(flatten)]
    counts: &'a Accounting,
    rejected_by_reason: BTreeMap<&'static str, u64>,
    adds_up: bool,
}

async fn api_status(State(shared): State<Shared>) -> Response {
    #[derive(Serialize)]
    struct Status<'a> {
        version: &'a str,
        revision: &'a str,
        instance: Option<String>,
        roles: Vec<String>,
        owns_decisions: Option<bool>,
        exchange_partitions: Vec<i32>,
        taken_at: EventTime,
        watermark: Option<EventTime>,
        ready: bool,
        configuration: &'a ConfigurationView,
        sources: &'a [SourceView],
        topics: BTreeMap<Arc<str>, Topic<'a>>,
        panes: usize,
        pane_bytes: usize,
    }
    let view = shared.telemetry.view();
    let topics = view.accounting.iter().map(|(topic, counts)| {
        let mine = view.rejected.iter().filter(|((of, _), _)| of == topic);
        let rejected_by_reason = mine.map(|((_, reason), count)| (reason.name(), *count)).collect();
        (Arc::clone(topic), Topic { counts, rejected_by_reason, adds_up: counts.adds_up() })
    });
    Json(Status {
        version: shared.telemetry.version(),
        revision: shared.telemetry.revision(),
        instance: shared.telemetry.instance(),
        roles: shared.telemetry.roles(),
        owns_decisions: shared.telemetry.owns_decisions(),
        exchange_partitions: view.exchange.iter().map(|held| held.partition).collect(),
        taken_at: EventTime::from_millis(view.taken_at),
        watermark: view.watermark,
        ready: shared.readiness.is_ready(),
        configuration: &view.configuration,
        sources: &view.sources,
        topics: topics.collect(),
        panes: view.panes,
        pane_bytes: view.pane_bytes,
    })
    .into_response()
}

async fn status(State(shared): State<Shared>) -> Html<String> {
    let view = shared.telemetry.view();
    let decides = |model: &str, policy: &str| shared.telemetry.decides(model, policy);
    let about = status_page::About {
        version: shared.telemetry.version(),
        instance: shared.telemetry.instance(),
        roles: shared.telemetry.roles(),
        owns_decisions: shared.telemetry.owns_decisions(),
    };
    Html(status_page::render(&view, &about, &shared.readiness.reasons(), &decides))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback_hosts() {
        for host in ["localhost", "LocalHost:9464", "127.0.0.1:9464", "127.8.0.1", "[::1]:9464", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example:9464", "10.0.0.1", "127.0.0.1.evil.example"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
