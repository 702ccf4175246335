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
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use sha2::{Digest, Sha256};

use crate::engine::actor::{Call, entry};
use crate::safety::{Idempotency, Reply};

use super::{Clock, Target};

pub use config::{Config, Error};
pub use signature::{Secret, sign};

/// How much of a reply is read, so that its sender sees it taken.
const REPLY_BYTES: usize = 65_536;
/// And for how long.
const REPLY_PATIENCE: Duration = Duration::from_secs(1);
/// A receiver that cannot be reached should be known to be so long before the attempt times out.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A receiver of signed requests.
pub struct Webhook {
    name: String,
    url: Url,
    secrets: Vec<Secret>,
    client: Client,
    clock: Clock,
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
        let url = config.checked_url()?;
        if config.secrets.is_empty() {
            return Err(Error::NoSecret);
        }
        let mut client = Client::builder()
            .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .https_only(url.scheme() == "https")
            .tls_version_min(reqwest::tls::Version::TLS_1_2)
            .connect_timeout(CONNECT_TIMEOUT.min(config.timeout))
            .timeout(config.timeout)
            // Requests are rare, and a kept connection that has died in between looks like a lost reply.
            .pool_max_idle_per_host(0);
        if let Some(authorities) = config.authorities()? {
            client = client.tls_certs_only(authorities);
        }
        let client = client.build().map_err(Error::Client)?;
        let digest = Sha256::digest(url.as_str().as_bytes());
        let name = format!(
            "webhook {} {:02x}{:02x}{:02x}{:02x}",
            url.origin().ascii_serialization(),
            digest[0],
            digest[1],
            digest[2],
            digest[3]
        );
        Ok(Self { name, url, secrets: config.secrets.clone(), client, clock })
    }

    async fn post(&self, call: &Call) -> Reply {
        let body = entry::canonical(&call.payload);
        let now = (self.clock)();
        let timestamp = now.div_euclid(1000);
        let signatures: Vec<String> = self
            .secrets
            .iter()
            .map(|secret| sign(secret, &call.action_id, timestamp, body.as_bytes()))
            .collect();
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &call.action_id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures.join(" "))
            .body(body);
        match request.send().await {
            Ok(mut reply) => {
                let result = judge(reply.status(), reply.headers(), now);
                let read = async {
                    let mut left = REPLY_BYTES;
                    while let Ok(Some(chunk)) = reply.chunk().await {
                        match left.checked_sub(chunk.len()) {
                            Some(rest) => left = rest,
                            None => break,
                        }
                    }
                };
                // The status has said it all; a body that does not end changes nothing.
                let _elapsed = tokio::time::timeout(REPLY_PATIENCE, read).await;
                result
            }
            Err(error) => failed(error),
        }
    }
}

/// What the status of a reply says.
fn judge(status: StatusCode, headers: &HeaderMap, now: i64) -> Reply {
    let code = status.as_u16();
    let retry = |doubt| Reply::Retry {
        why: format!("HTTP {code}"),
        doubt,
        retry_after: headers.get(RETRY_AFTER).and_then(|value| wait_of(value.to_str().ok()?, now)),
    };
    match code {
        200..=299 => Reply::Accepted {
            reference: None,
            detail: format!("the receiver stored it: HTTP {code}"),
            done: true,
        },
        300..=399 => Reply::Rejected { why: format!("HTTP {code}: redirects are not followed") },
        410 => Reply::Rejected { why: "HTTP 410: the receiver has disabled this address".to_owned() },
        // Refused for now, before anything was done.
        425 | 429 => retry(false),
        408 | 500..=599 => retry(true),
        _ => Reply::Rejected { why: format!("HTTP {code}") },
    }
}

/// How long `retry-after` asks to wait: seconds, or the time left until a date (RFC 9110, 10.2.3).
fn wait_of(text: &str, now: i64) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(text.trim()).ok()?;
    let millis = date.timestamp_millis().saturating_sub(now);
    Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

/// What a request without a reply says. Only where no connection came about is it certain that
/// the receiver has nothing.
fn failed(error: reqwest::Error) -> Reply {
    let error = error.without_url();
    let mut why = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        why = format!("{why}: {cause}");
        source = cause.source();
    }
    if error.is_builder() {
        return Reply::Rejected { why };
    }
    Reply::Retry { why, doubt: !error.is_connect(), retry_after: None }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        assert_eq!(wait_of("120", 0), Some(Duration::from_secs(120)));
        let now = 1_445_412_420_000; // 2015-10-21T07:27:00Z
        assert_eq!(wait_of("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(wait_of("Wed, 21 Oct 2015 07:26:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(wait_of("soon", now), None);
    }

    #[test]
    fn each_status_has_its_meaning() {
        let of = |code| judge(StatusCode::from_u16(code).unwrap(), &HeaderMap::new(), 0);
        for code in [200, 202, 204] {
            assert!(matches!(of(code), Reply::Accepted { .. }), "{code}");
        }
        for code in [301, 302, 307, 400, 401, 403, 404, 409, 410, 415, 422] {
            assert!(matches!(of(code), Reply::Rejected { .. }), "{code}");
        }
        for (code, doubtful) in
            [(408, true), (425, false), (429, false), (500, true), (502, true), (503, true), (504, true)]
        {
            assert!(matches!(of(code), Reply::Retry { doubt, .. } if doubt == doubtful), "{code}");
        }
    }
}
