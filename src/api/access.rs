//! Who asks, and what they may see. Every request passes here before any page is looked for, and what
//! is not known to be open is closed.
//!
//! A token comes in `Authorization`, never in the address: addresses are written to logs, histories and
//! referrers. Over plain HTTP it is taken on loopback only, unless the configuration says otherwise.

mod failures;
mod token;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use crate::safety::Role;
use failures::{Answer, Failures};
use token::Presented;

pub(super) use token::is_in as holds_token;
pub use token::{Drawn, Token, digest};

/// What may be seen without a token. Health and readiness always may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Everything that is not an order.
    #[default]
    Read,
    /// Metrics.
    Metrics,
    /// Nothing.
    None,
}

/// Who may see and order what.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// What may be seen without a token.
    pub anonymous: Anonymous,
    /// The tokens.
    pub tokens: Vec<Token>,
    /// Whether tokens are taken where others may read them on their way.
    pub insecure: bool,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Nobody has said.
    Anonymous,
    /// The holder of a token.
    Holder {
        /// Configured name.
        name: String,
        /// What it may do.
        role: Role,
    },
}

/// What every request is held against.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    access: Arc<Access>,
    failures: Failures,
    /// Whether nobody else can read what is sent.
    private: bool,
}

/// How far a page is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    /// To everybody.
    Open,
    /// As metrics are.
    Metrics,
    /// To whoever may read.
    Read,
    /// To holders of tokens, whatever others may read; which ones, the page says itself.
    Order,
}

fn page(method: &Method, path: &str) -> Page {
    match path {
        "/healthz" | "/readyz" => Page::Open,
        "/metrics" => Page::Metrics,
        "/api/v1/commands" if method == Method::POST => Page::Order,
        // This hook asks and changes nothing; the others say which deployment there is.
        "/gate/v1/flagger/confirm-rollout" => Page::Read,
        _ if method != Method::GET && path.starts_with("/gate/") => Page::Order,
        _ => Page::Read,
    }
}

/// Parameters in which people put tokens.
const TOKEN_PARAMETERS: [&str; 5] = ["token", "access_token", "api_key", "apikey", "authorization"];

/// Whether the address holds a token, or something that is meant as one.
fn in_address(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    let named = query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        TOKEN_PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known))
    });
    named || token::is_in(query) || token::is_in(uri.path())
}

impl Guard {
    /// `loopback` and `encrypted` say how the interface is reached.
    pub(super) fn new(access: Access, loopback: bool, encrypted: bool) -> Self {
        let private = loopback || encrypted || access.insecure;
        Self { access: Arc::new(access), failures: Failures::default(), private }
    }

    /// Whether anybody has the right to order anything.
    pub(super) fn has_tokens(&self) -> bool {
        !self.access.tokens.is_empty()
    }

    /// Whether everybody may read.
    pub(super) fn is_open(&self) -> bool {
        self.access.anonymous == Anonymous::Read
    }

    fn caller(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let Some(presented) = token::presented(headers) else { return Ok(Caller::Anonymous) };
        if !self.private {
            return Err(ApiError::not_encrypted());
        }
        let text = match presented {
            Presented::Bearer(text) => text,
            // Browsers and Flagger can send nothing else, and a browser also sends it for other pages'
            // forms: so it may look, and ask gates, and order nothing.
            Presented::Basic(text) if method == Method::GET || path.starts_with("/gate/") => text,
            Presented::Basic(_) | Presented::Unreadable => {
                return Err(ApiError::unauthorized("send the token as `Authorization: Bearer TOKEN`"));
            }
        };
        if let Some(token) = token::find(&self.access.tokens, &text) {
            return Ok(Caller::Holder { name: token.name.clone(), role: token.role });
        }
        match self.failures.count(Instant::now()) {
            Answer::Wrong { first, total } => {
                if first {
                    tracing::warn!(path, failures = total, "a request came with a token that is not known");
                }
                Err(ApiError::unauthorized("the token is not known here"))
            }
            Answer::TooMany { first, total } => {
                if first {
                    tracing::warn!(failures = total, "many requests come with tokens that are not known");
                }
                Err(ApiError::too_many())
            }
        }
    }

    /// Who asks for what is at `path`, where that one may.
    fn admit(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let page = page(method, uri.path());
        if page == Page::Open {
            return Ok(Caller::Anonymous);
        }
        if in_address(uri) {
            return Err(ApiError::token_in_address());
        }
        let caller = self.caller(method, uri.path(), headers)?;
        let anonymous = self.access.anonymous;
        let open = match page {
            Page::Open => true,
            Page::Metrics => anonymous != Anonymous::None,
            Page::Read => anonymous == Anonymous::Read,
            Page::Order => false,
        };
        if caller != Caller::Anonymous || open {
            return Ok(caller);
        }
        if self.has_tokens() {
            return Err(ApiError::unauthorized("this needs a token: send `Authorization: Bearer TOKEN`"));
        }
        Err(ApiError::unauthorized("this needs a token, and none is configured (`http.tokens`)"))
    }
}

/// Lets a request through with its [`Caller`], or answers it.
pub(super) async fn authenticate(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match guard.admit(request.method(), request.uri(), request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            // Nothing behind this needs it, so nothing behind this can show it.
            request.headers_mut().remove(header::AUTHORIZATION);
            next.run(request).await
        }
        Err(refused) if request.uri().path() == "/" => refused.asking_a_browser().into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// Whether a page of another site asks, as browsers say it. Programs say nothing.
pub(super) fn from_elsewhere(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let foreign = |origin: &str| {
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        !text(header::HOST).is_some_and(|own| own.eq_ignore_ascii_case(host))
    };
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    text(header::ORIGIN).is_some_and(foreign) || matches!(site, Some("cross-site" | "same-site"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_page_that_nobody_has_named_is_closed_like_what_may_be_read() {
        let guard = Guard::new(Access { anonymous: Anonymous::None, ..Access::default() }, true, false);
        let admitted = |method: Method, uri: &str| {
            guard.admit(&method, &uri.parse().unwrap(), &HeaderMap::new()).is_ok()
        };
        assert!(admitted(Method::GET, "/healthz") && admitted(Method::GET, "/readyz"));
        for closed in ["/", "/metrics", "/healthz/", "/api/v1/models", "/gate/v1/argo-rollouts", "/nothing"] {
            assert!(!admitted(Method::GET, closed), "{closed}");
        }
        assert!(!admitted(Method::POST, "/api/v1/commands"));
    }

    #[test]
    fn a_token_is_not_taken_where_others_can_read_it() {
        let drawn = Drawn::new().unwrap();
        let tokens = vec![Token { name: "a".into(), role: Role::Viewer, sha256: digest(drawn.expose()) }];
        let access = Access { anonymous: Anonymous::None, tokens, insecure: false };
        let bearer = format!("Bearer {}", drawn.expose());
        let admitted = |access: &Access, loopback, encrypted| {
            let guard = Guard::new(access.clone(), loopback, encrypted);
            guard.admit(&Method::GET, &"/".parse().unwrap(), &headers(&[("authorization", &bearer)])).is_ok()
        };
        assert!(admitted(&access, true, false) && admitted(&access, false, true));
        assert!(!admitted(&access, false, false));
        assert!(admitted(&Access { insecure: true, ..access }, false, false));
    }

    #[test]
    fn only_pages_of_other_sites_come_from_elsewhere() {
        let host = ("host", "plimsoll:9464");
        for (pairs, elsewhere) in [
            (&[host][..], false),
            (&[host, ("origin", "http://plimsoll:9464")], false),
            (&[host, ("origin", "https://evil.example")], true),
            (&[host, ("origin", "null")], true),
            (&[("origin", "https://evil.example")], true),
            (&[host, ("sec-fetch-site", "cross-site")], true),
            (&[host, ("sec-fetch-site", "same-origin")], false),
        ] {
            assert_eq!(from_elsewhere(&headers(pairs)), elsewhere, "{pairs:?}");
        }
    }
}
