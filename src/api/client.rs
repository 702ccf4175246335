//! Asks a running daemon. It speaks to the given address or to nobody: no proxy of the environment,
//! no redirect, because what it shows are findings about people's models.

use std::time::Duration;

use reqwest::{Client, Url};

/// A daemon that has not answered for this long is not asked any longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// Why the daemon has not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none.
    #[error("`{0}` is no address of a daemon: write http://127.0.0.1:9464")]
    Address(String),
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// No answer came.
    #[error("no answer from {url}")]
    Silent {
        /// What was asked.
        url: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// The answer was no.
    #[error("{url} answered {status}: {message}")]
    Refused {
        /// What was asked.
        url: String,
        /// Status of the answer.
        status: u16,
        /// What the daemon says.
        message: String,
    },
}

/// Bytes of a refusal that are repeated.
const SHOWN: usize = 300;

/// The body of `path` of the daemon at `base`, with these parameters.
///
/// # Errors
/// When the address is none, nobody answers, or the answer is no.
pub async fn get(base: &str, path: &str, parameters: &[(&str, &str)]) -> Result<String, Error> {
    let url = address(base, path, parameters).ok_or_else(|| Error::Address(base.to_owned()))?;
    let client = Client::builder()
        .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT)
        .timeout(PATIENCE)
        .build()
        .map_err(Error::Client)?;
    // Without what may stand before the host: a password.
    let shown = url.origin().ascii_serialization();
    let silent = |source: reqwest::Error| Error::Silent { url: shown.clone(), source: source.without_url() };
    let answer = client.get(url).send().await.map_err(silent)?;
    let status = answer.status();
    let bytes = answer.bytes().await.map_err(silent)?;
    let body = String::from_utf8_lossy(&bytes);
    if status.is_success() {
        return Ok(body.into_owned());
    }
    let message = body.chars().filter(|character| !character.is_control()).take(SHOWN).collect();
    Err(Error::Refused { url: shown, status: status.as_u16(), message })
}

fn address(base: &str, path: &str, parameters: &[(&str, &str)]) -> Option<Url> {
    let mut url = Url::parse(base).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    url.set_path(path);
    url.set_query(None);
    if !parameters.is_empty() {
        url.query_pairs_mut().extend_pairs(parameters);
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_written_so_that_a_name_cannot_become_another_one() {
        let url = address("http://127.0.0.1:9464", "/api/v1/findings", &[("model", "a&b=c d")]).unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:9464/api/v1/findings?model=a%26b%3Dc+d");
        let plain = address("http://localhost:1/?x=y", "/readyz", &[]).unwrap();
        assert_eq!(plain.as_str(), "http://localhost:1/readyz");
        for bad in ["127.0.0.1:9464", "file:///etc/passwd", ""] {
            assert!(address(bad, "/", &[]).is_none(), "{bad}");
        }
    }
}
