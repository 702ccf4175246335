//! A message to a Slack channel, by an incoming webhook.
//!
//! Slack knows no id of a message and cannot be asked for one, so a message of which it is not known
//! whether it came is not sent again: `Unkeyed`. The address of the webhook is all that is needed to
//! write to the channel, so it is a secret, and shown nowhere.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::Method;
use serde_json::json;

use crate::engine::actor::Call;
use crate::safety::{Idempotency, Reply};

use super::http::{self, Auth, Client, Error, Place, Token};
use super::request::Request;
use super::{Clock, Target};

/// Findings that are named in a message.
const FINDINGS: usize = 5;

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The address of the incoming webhook; https, or http on this machine.
    pub url: Token,
    /// A PEM file of the only certificate authorities to trust; without it those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take.
    pub timeout: Duration,
}

/// A channel that is written to.
pub struct Slack {
    name: String,
    client: Client,
}

impl fmt::Debug for Slack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slack").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Slack {
    /// The channel that `config` describes. Reads the file of authorities, and calls nothing yet.
    pub fn new(config: &Config, clock: Clock) -> Result<Self, Error> {
        let Config { url, ca_file, timeout } = config;
        let place = Place { url: url.expose().to_owned(), ca_file: ca_file.clone(), timeout: *timeout };
        // The path is what is secret of the address, its end above all, and error pages repeat paths.
        let path = place.checked_url()?.path().to_owned();
        let end = path.rsplit('/').next().unwrap_or_default();
        let mut hidden = vec![url.clone()];
        hidden.extend([path.as_str(), end].into_iter().filter(|part| part.len() > 1).map(Token::new));
        let client = Client::new(&place, Auth::None, &hidden, clock)?;
        Ok(Self { name: client.name("slack", &[]), client })
    }

    async fn post(&self, call: &Call) -> Result<Reply, Reply> {
        let request = Request::of(call)?;
        let body = json!({"text": text(&request)});
        let sent = http::json(self.client.bare(Method::POST, self.client.url().clone()), &body);
        let answer = self.client.send(sent).await?;
        if !answer.is_success() {
            return Ok(answer.unexpected());
        }
        Ok(Reply::Accepted { reference: None, detail: answer.said(), done: true })
    }
}

/// What people read: what is said, by which findings, and the id under which the audit log has it.
fn text(request: &Request<'_>) -> String {
    let data = &request.payload["data"];
    let state = if request.is_over() { "is over" } else { "has begun" };
    let (policy, model, version) = (request.policy, request.model, request.version);
    let head = match &request.escalation {
        Some(about) => {
            let (action, reason, detail) = (about.action, about.reason, about.detail);
            format!("{model} {version} needs a person: {action} {reason}: {detail} (policy {policy})")
        }
        None => {
            format!("An incident of policy {policy} {state}: {model} {version} ({})", request.decision_kind)
        }
    };
    let mut lines = vec![head];
    let findings = data["evidence"].as_array().map(Vec::as_slice).unwrap_or_default();
    for finding in findings.iter().take(FINDINGS) {
        let word = |name: &str| match &finding[name] {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => "?".to_owned(),
            other => other.to_string(),
        };
        let (check, value, bound, verdict) = (word("check"), word("value"), word("bound"), word("verdict"));
        lines.push(format!("• {check}: {value} (bound {bound}), {verdict}"));
    }
    if findings.len() > FINDINGS {
        lines.push(format!("• and {} more", findings.len() - FINDINGS));
    }
    lines.push(format!("Since {}; action {}", request.since, request.action_id));
    escaped(&lines.join("\n"))
}

/// `text` without markup of Slack's: a model called `<!channel>` calls nobody.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Target for Slack {
    fn name(&self) -> &str {
        &self.name
    }

    fn idempotency(&self) -> Idempotency {
        Idempotency::Unkeyed
    }

    fn submit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async move { self.post(call).await.unwrap_or_else(|reply| reply) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_names_is_text() {
        assert_eq!(escaped("<!channel> & <@U1>"), "&lt;!channel&gt; &amp; &lt;@U1&gt;");
    }
}
