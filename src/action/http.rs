//! What every target over HTTP shares: one way to make a client, to name a place without showing
//! it, to log in, to read a reply no further than is useful, and to say what a status means.
//!
//! Redirects are not followed, proxies of the environment are not used, nothing is repeated behind
//! the rules' back, and no connection is kept: requests are rare, and a kept connection that has died
//! in between looks like a lost reply. A request to roll a model back goes to the configured address
//! or nowhere.

mod answer;
mod place;
mod secret;

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Response, Url};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::safety::Reply;

use super::Clock;

pub use answer::Answer;
pub use place::{Error, Place};
pub use secret::{Auth, Token};

pub(super) use secret::Hidden;

/// How much of a reply is read.
const REPLY_BYTES: usize = 65_536;
/// How long the body of a reply is waited for where its status has said it all.
const REPLY_PATIENCE: Duration = Duration::from_secs(1);
/// A target that cannot be reached should be known to be so long before the attempt times out.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of one target.
pub struct Client {
    http: reqwest::Client,
    url: Url,
    auth: Auth,
    hidden: Hidden,
    clock: Clock,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("origin", &self.url.origin().ascii_serialization())
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of `place` that logs in with `auth`. `hidden` are further secrets of the target, which are
    /// cut out of whatever it says; those of `auth` are in any case. Reads the file of authorities, and
    /// calls nothing yet.
    pub fn new(place: &Place, auth: Auth, hidden: &[Token], clock: Clock) -> Result<Self, Error> {
        let url = place.checked_url()?;
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .https_only(url.scheme() == "https")
            .tls_version_min(reqwest::tls::Version::TLS_1_2)
            .connect_timeout(CONNECT_TIMEOUT.min(place.timeout))
            .timeout(place.timeout)
            .pool_max_idle_per_host(0);
        if let Some(authorities) = place.authorities()? {
            http = http.tls_certs_only(authorities);
        }
        let http = http.build().map_err(Error::Client)?;
        let hidden = Hidden::new(&auth, hidden);
        Ok(Self { http, url, auth, hidden, clock })
    }

    /// `kind`, the origin, and 8 hexadecimal digits that follow from the whole address and from `details`:
    /// it changes when any of them does and shows neither.
    pub fn name(&self, kind: &str, details: &[&str]) -> String {
        let mut digest = Sha256::new();
        digest.update(self.url.as_str().as_bytes());
        for detail in details {
            // The length goes first, so that no two lists read the same.
            digest.update((detail.len() as u64).to_be_bytes());
            digest.update(detail.as_bytes());
        }
        let mut name = format!("{kind} {} ", self.url.origin().ascii_serialization());
        for byte in &digest.finalize()[..4] {
            write!(name, "{byte:02x}").expect("writing to a string cannot fail");
        }
        name
    }

    /// Wall time, milliseconds since the epoch.
    pub fn now(&self) -> i64 {
        (self.clock)()
    }

    /// The configured address itself.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The configured address with `segments` after its path, each one segment whatever it holds, and with
    /// `query`. A segment that would be none, or would lead upwards, is refused.
    pub fn at(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Url, Reply> {
        let mut url = self.url.clone();
        if let Some(segment) = segments.iter().find(|segment| matches!(**segment, "" | "." | "..")) {
            return Err(Reply::Rejected { why: format!("`{segment}` cannot be part of an address") });
        }
        url.path_segments_mut()
            .expect("http and https addresses have a path")
            .pop_if_empty()
            .extend(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// A request with what the target is configured to log in with.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.auth.apply(self.bare(method, url))
    }

    /// A request without login.
    pub fn bare(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Sends `request`. The status says it all: of the body no more than a second's worth is read, for its
    /// words. Where there is no reply, the answer to any question is given.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, Reply> {
        let mut reply = request.send().await.map_err(failed)?;
        let mut body = Vec::new();
        let read = read(&mut reply, &mut body, REPLY_BYTES);
        let whole = tokio::time::timeout(REPLY_PATIENCE, read).await.unwrap_or(false);
        Ok(self.answer(&reply, body, whole))
    }

    /// Sends `request` and waits for the whole body, as long as an attempt may take.
    pub async fn ask(&self, request: RequestBuilder) -> Result<Answer, Reply> {
        self.ask_up_to(request, REPLY_BYTES).await
    }

    /// The same where up to `bytes` are useful: lists of runs, and objects of Kubernetes.
    pub async fn ask_up_to(&self, request: RequestBuilder, bytes: usize) -> Result<Answer, Reply> {
        let mut reply = request.send().await.map_err(failed)?;
        let mut body = Vec::new();
        let whole = read(&mut reply, &mut body, bytes).await;
        Ok(self.answer(&reply, body, whole))
    }

    fn answer(&self, reply: &Response, body: Vec<u8>, whole: bool) -> Answer {
        let words = self.hidden.clean(&String::from_utf8_lossy(&body[..body.len().min(REPLY_BYTES)]));
        Answer::new(reply.status(), reply.headers().clone(), self.now(), body, whole, words)
    }

    /// Words of the target as they may be shown: without its secrets and without control characters,
    /// at most 200 characters.
    pub fn clean(&self, words: &str) -> String {
        self.hidden.clean(words)
    }

    /// Cuts a secret out of whatever the target says from now on, such as a token it has just given.
    pub fn hide(&self, token: &Token) {
        self.hidden.add(token);
    }
}

/// `request` with `body` as JSON.
pub fn json(request: RequestBuilder, body: &Value) -> RequestBuilder {
    request.header(CONTENT_TYPE, "application/json").body(body.to_string())
}

/// `reply` to a question that changes nothing, or of a moment before anything was changed: there is
/// no doubt whether it was.
pub fn untouched(reply: Reply) -> Reply {
    match reply {
        Reply::Retry { why, retry_after, .. } => Reply::Retry { why, doubt: false, retry_after },
        other => other,
    }
}

/// What is to be said where `reply` came after something was changed: how it stands is to be found
/// out.
pub fn doubtful(reply: Reply, done: &str) -> Reply {
    let (why, retry_after) = match reply {
        Reply::Retry { why, retry_after, .. } => (why, retry_after),
        Reply::Rejected { why } | Reply::Failed { why } | Reply::Barred { why, .. } => (why, None),
        Reply::Clear
        | Reply::Absent
        | Reply::Accepted { .. }
        | Reply::Running { .. }
        | Reply::Succeeded { .. } => ("an answer to another question".to_owned(), None),
    };
    Reply::Retry { why: format!("{done}: {why}"), doubt: true, retry_after }
}

/// Reads into `body` at most `bytes` of it, and says whether that is all.
async fn read(reply: &mut Response, body: &mut Vec<u8>, bytes: usize) -> bool {
    loop {
        match reply.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= bytes => body.extend_from_slice(&chunk),
            Ok(None) => return true,
            Ok(Some(_)) | Err(_) => return false,
        }
    }
}

/// What a request without a reply says. Only where no connection came about is it certain that
/// the target has nothing.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn client(url: &str) -> Client {
        let place = Place { url: url.to_owned(), ca_file: None, timeout: Duration::from_secs(1) };
        Client::new(&place, Auth::None, &[], Arc::new(|| 0)).unwrap()
    }

    #[test]
    fn a_name_changes_with_the_place_and_with_the_details_and_shows_neither() {
        let name = client("https://hooks.example/T0/hunter2").name("webhook", &[]);
        assert!(name.starts_with("webhook https://hooks.example ") && !name.contains("hunter2"), "{name}");
        let names = [
            name,
            client("https://hooks.example/T0/hunter3").name("webhook", &[]),
            client("https://hooks.example/T0/hunter2").name("webhook", &["a", "b"]),
            client("https://hooks.example/T0/hunter2").name("webhook", &["ab", ""]),
        ];
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{names:?}");
        }
    }

    #[test]
    fn a_part_of_an_address_stays_one_part() {
        let client = client("https://example.org/base/");
        let url = client.at(&["api", "a/../b?c#d %2e"], &[("name", "x&y=z")]).unwrap();
        assert_eq!(url.as_str(), "https://example.org/base/api/a%2F..%2Fb%3Fc%23d%20%252e?name=x%26y%3Dz");
        for part in ["", ".", ".."] {
            assert!(matches!(client.at(&["api", part], &[]), Err(Reply::Rejected { .. })), "{part}");
        }
    }
}
