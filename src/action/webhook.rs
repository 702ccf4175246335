//! A signed webhook, as Standard Webhooks describes it (standard-webhooks/standard-webhooks,
//! spec/standard-webhooks.md). `webhook-id` is the action's id and the same in every attempt, so
//! that a receiver that remembers ids does the thing once.
//!
//! A 2xx says that the receiver stored the request. Redirects are not followed and proxies of the
//! environment are not used: a request to roll a model back goes to the configured address or
//! nowhere. Nothing of a reply but its status and `retry-after` is used or kept.

mod config;
mod signature;

use std::fmt;

use futures::future::BoxFuture;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use crate::engine::actor::{Call, entry};
use crate::safety::{Idempotency, Reply};

use super::http::{Answer, Auth, Client};
use super::{Clock, Target};

pub use config::{Config, Error};
pub use signature::{Secret, sign};

/// A receiver of signed requests.
pub struct Webhook {
    name: String,
    secrets: Vec<Secret>,
    client: Client,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name stands for the address, whose path may itself be a secret.
        f.debug_struct("Webhook").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Webhook {
    /// A receiver as `config` describes it. Reads the file of authorities, and calls nothing yet.
    pub fn new(config: &Config, clock: Clock) -> Result<Self, Error> {
        let place = config.place();
        place.checked_url()?;
        if config.secrets.is_empty() {
            return Err(Error::NoSecret);
        }
        let client = Client::new(&place, Auth::None, &[], clock)?;
        Ok(Self { name: client.name("webhook", &[]), secrets: config.secrets.clone(), client })
    }

    async fn post(&self, call: &Call) -> Reply {
        let body = entry::canonical(&call.payload);
        let timestamp = self.client.now().div_euclid(1000);
        let signatures: Vec<String> = self
            .secrets
            .iter()
            .map(|secret| sign(secret, &call.action_id, timestamp, body.as_bytes()))
            .collect();
        let request = self
            .client
            .request(Method::POST, self.client.url().clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &call.action_id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures.join(" "))
            .body(body);
        match self.client.send(request).await {
            Ok(answer) => judge(&answer),
            Err(failed) => failed,
        }
    }
}

/// What a reply says. Its body is left alone: the secret is in the address, and a page may repeat that.
fn judge(answer: &Answer) -> Reply {
    match answer.status() {
        code @ 200..=299 => Reply::Accepted {
            reference: None,
            detail: format!("the receiver stored it: HTTP {code}"),
            done: true,
        },
        410 => Reply::Rejected { why: "HTTP 410: the receiver has disabled this address".to_owned() },
        _ => answer.bare(),
    }
}

impl Target for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn idempotency(&self) -> Idempotency {
        Idempotency::Keyed
    }

    fn submit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(self.post(call))
    }
}
