//! An alert of PagerDuty, by its Events API v2.
//!
//! `dedup_key` is the id of the incident: while an alert is open under it, a second trigger is counted
//! with the first, and a resolve under it closes it. After that the same key would open a new alert, so
//! it is never one that a later incident has too. What needs a person is an alert of its own, which does
//! not go away with the incident: a person resolves it.

use std::fmt;

use futures::future::BoxFuture;
use reqwest::Method;
use serde_json::{Value, json};

use crate::engine::actor::Call;
use crate::safety::{Idempotency, Reply};

use super::http::{self, Auth, Client, Error, Place, Token};
use super::request::Request;
use super::{Clock, Target};

/// A summary has at most so many characters.
const SUMMARY: usize = 1_024;

/// How bad an alert is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Severity {
    /// Critical.
    Critical,
    /// Error.
    #[default]
    Error,
    /// Warning.
    Warning,
    /// Info.
    Info,
}

impl Severity {
    /// The severity as PagerDuty spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// A service of PagerDuty to be told of incidents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What takes events, `https://events.pagerduty.com/v2/enqueue`; and how long one request may take.
    pub place: Place,
    /// The integration key.
    pub routing_key: Token,
    /// How bad each alert is.
    pub severity: Severity,
    /// Where people can look.
    pub link: Option<String>,
}

/// A service of PagerDuty.
pub struct Pagerduty {
    name: String,
    client: Client,
    config: Config,
}

impl fmt::Debug for Pagerduty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pagerduty").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Pagerduty {
    /// The service that `config` describes. Reads the file of authorities, and calls nothing yet.
    pub fn new(config: &Config, clock: Clock) -> Result<Self, Error> {
        let client =
            Client::new(&config.place, Auth::None, std::slice::from_ref(&config.routing_key), clock)?;
        // Another key is another service.
        let name = client.name("pagerduty", &[config.routing_key.expose()]);
        Ok(Self { name, client, config: config.clone() })
    }

    async fn post(&self, call: &Call) -> Result<Reply, Reply> {
        let request = Request::of(call)?;
        let body = self.event(&request);
        let sent = http::json(self.client.bare(Method::POST, self.client.url().clone()), &body);
        let answer = self.client.send(sent).await?;
        if !answer.is_success() {
            return Ok(answer.unexpected());
        }
        Ok(Reply::Accepted { reference: None, detail: answer.said(), done: true })
    }

    fn event(&self, request: &Request<'_>) -> Value {
        let key = self.config.routing_key.expose();
        let mut event = json!({"routing_key": key, "dedup_key": dedup_key(request)});
        if request.is_over() {
            event["event_action"] = "resolve".into();
            return event;
        }
        let summary: String = request.summary().chars().take(SUMMARY).collect();
        let data = &request.payload["data"];
        event["event_action"] = "trigger".into();
        event["client"] = "plimsoll".into();
        event["payload"] = json!({
            "summary": summary,
            "source": "plimsoll",
            "severity": self.config.severity.name(),
            "timestamp": request.time,
            "component": request.model,
            "group": request.tenant,
            "class": request.policy,
            "custom_details": {
                "action_id": request.action_id,
                "version": request.version,
                "segment": request.segment,
                "decision": request.decision,
                "since": request.since,
                "escalation": data["escalation"],
                "evidence": data["evidence"],
                "evidence_omitted": data["evidence_omitted"],
            },
        });
        if request.tenant.is_none()
            && let Some(payload) = event["payload"].as_object_mut()
        {
            payload.remove("group");
        }
        if let Some(link) = &self.config.link {
            event["links"] = json!([{"href": link, "text": "plimsoll"}]);
        }
        event
    }
}

/// Under which key events are one alert.
fn dedup_key(request: &Request<'_>) -> String {
    match &request.escalation {
        None => request.incident(),
        Some(about) => format!("{}-{}-{}", request.incident(), about.action_id, about.reason),
    }
}

impl Target for Pagerduty {
    fn name(&self) -> &str {
        &self.name
    }

    fn idempotency(&self) -> Idempotency {
        Idempotency::Keyed
    }

    fn submit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async move { self.post(call).await.unwrap_or_else(|reply| reply) })
    }
}
