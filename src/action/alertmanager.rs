//! Alerts for Alertmanager, API v2: it groups, routes and silences, which is not done here.
//!
//! The labels of an alert follow from the incident alone, so the same alert twice is one, and the one
//! that ends it finds it. What changes (values, ids) is in annotations, because a changed label is a
//! new alert. In a cluster of Alertmanagers people may be told twice: good enough to tell somebody,
//! and never to be the trigger of anything.

mod config;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::{Method, Url};
use serde_json::{Map, Value, json};

use crate::domain::EventTime;
use crate::engine::actor::Call;
use crate::safety::{ActionKind, Idempotency, Reply};

use super::http::{self, Client};
use super::request::Request;
use super::{Clock, Target};

pub use config::{Config, Error};

/// Labels that follow from the incident.
const OWN: [&str; 9] =
    ["alertname", "severity", "tenant", "model", "version", "segment", "policy", "escalation", "action"];
/// How many findings an annotation names.
const FINDINGS: usize = 5;
/// Alertmanager evaluates groups about that often; what ends earlier may never be seen.
const SHORTEST: Duration = Duration::from_secs(60);
/// What is shown for longer than that without a word is forgotten and not watched.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// An Alertmanager.
#[derive(Debug)]
pub struct Alertmanager {
    name: String,
    client: Client,
    labels: BTreeMap<String, String>,
    resolve_after: Duration,
    generator_url: Option<String>,
}

impl Alertmanager {
    /// The Alertmanager that `config` describes. Reads the file of authorities, and calls nothing yet.
    pub fn new(config: &Config, clock: Clock) -> Result<Self, Error> {
        let Config { place, auth, alertname, severity, labels, resolve_after, generator_url } = config;
        let client = Client::new(place, auth.clone(), &[], clock)?;
        for (name, value) in labels {
            if !is_label(name) || OWN.contains(&name.as_str()) || value.is_empty() {
                return Err(Error::Label { name: name.clone() });
            }
        }
        let mut labels = labels.clone();
        for (name, value) in [("alertname", alertname), ("severity", severity)] {
            if value.is_empty() {
                return Err(Error::Label { name: name.to_owned() });
            }
            labels.insert(name.to_owned(), value.clone());
        }
        if !(SHORTEST..=LONGEST).contains(resolve_after) {
            return Err(Error::ResolveAfter);
        }
        if generator_url.as_ref().is_some_and(|url| Url::parse(url).is_err()) {
            return Err(Error::GeneratorUrl);
        }
        Ok(Self {
            name: client.name("alertmanager", &[]),
            client,
            labels,
            resolve_after: *resolve_after,
            generator_url: generator_url.clone(),
        })
    }

    async fn tell(&self, call: &Call) -> Result<Reply, Reply> {
        let request = Request::of(call)?;
        if request.kind != ActionKind::Notify {
            return Err(Reply::Rejected { why: format!("Alertmanager cannot be asked to {}", request.kind) });
        }
        let url = self.client.at(&["api", "v2", "alerts"], &[])?;
        let body = Value::Array(vec![self.alert(&request)]);
        let answer = self.client.send(http::json(self.client.request(Method::POST, url), &body)).await?;
        if !answer.is_success() {
            return Err(answer.unexpected());
        }
        let said = if request.is_over() { "resolved" } else { "firing" };
        let detail = format!("Alertmanager has the alert, {said}: HTTP {}", answer.status());
        Ok(Reply::Accepted { reference: None, detail, done: true })
    }

    fn alert(&self, request: &Request<'_>) -> Value {
        let mut labels: BTreeMap<&str, &str> =
            self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        labels.extend([("model", request.model), ("version", request.version), ("policy", request.policy)]);
        if let Some(tenant) = request.tenant {
            labels.insert("tenant", tenant);
        }
        if request.segment != "all" {
            labels.insert("segment", request.segment);
        }
        if let Some(about) = request.escalation {
            labels.extend([("escalation", about.reason), ("action", about.action)]);
        }
        labels.retain(|_, value| !value.is_empty());
        let now = self.client.now();
        let end = if request.is_over() {
            now
        } else {
            now.saturating_add(i64::try_from(self.resolve_after.as_millis()).expect("30 days fit"))
        };
        // An alert may not begin after its end; clocks of whoever wrote the log may be ahead.
        let since = request.since.parse::<EventTime>().map_or(now, EventTime::as_millis).min(now);
        let mut alert = json!({
            "labels": labels,
            "annotations": annotations(request),
            "startsAt": EventTime::from_millis(since),
            "endsAt": EventTime::from_millis(end),
        });
        if let Some(url) = &self.generator_url {
            alert["generatorURL"] = url.as_str().into();
        }
        alert
    }
}

/// What is said beside the labels.
fn annotations(request: &Request<'_>) -> Value {
    let mut said = Map::new();
    let mut say = |name: &str, words: String| said.insert(name.to_owned(), words.into());
    let Request { model, version, policy, decision_kind, .. } = request;
    match request.escalation {
        Some(about) => {
            say("summary", format!("{model} {version}: action {} needs a person", about.action));
            say("description", format!("{}: {}", about.reason, about.detail));
            say("action_id", about.action_id.to_owned());
        }
        None => {
            say("summary", format!("{model} {version}: policy {policy} is {decision_kind}"));
        }
    }
    say("decision", request.decision.to_owned());
    say("incident", request.incident());
    let evidence = request.payload["data"]["evidence"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !evidence.is_empty() {
        let shown: Vec<String> = evidence.iter().take(FINDINGS).map(finding).collect();
        say("evidence", shown.join("; "));
    }
    Value::Object(said)
}

/// One finding in some words.
fn finding(finding: &Value) -> String {
    let shown = |name: &str| match &finding[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!(
        "{} {} {}: {} (n = {})",
        shown("check"),
        shown("metric"),
        shown("value"),
        shown("verdict"),
        shown("n")
    )
}

/// Whether `text` names a label (prometheus/common, model.LabelName in the form without UTF-8).
fn is_label(text: &str) -> bool {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl Target for Alertmanager {
    fn name(&self) -> &str {
        &self.name
    }

    fn idempotency(&self) -> Idempotency {
        Idempotency::Keyed
    }

    fn submit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async { self.tell(call).await.unwrap_or_else(|reply| reply) })
    }
}
