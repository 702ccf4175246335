//! Asks a running daemon. It speaks to the given address or to nobody: no proxy of the environment,
//! no redirect, because what it shows are findings about people's models. A token goes out under TLS or to
//! this machine only, and into no message.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Certificate, Identity, RequestBuilder, Url};
use serde_json::Value;

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
    /// A file cannot be read.
    #[error("cannot read {what} in {}", file.display())]
    File {
        /// Which one.
        file: PathBuf,
        /// What it is to hold.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} does not hold {what} in PEM form", file.display())]
    Pem {
        /// Which one.
        file: PathBuf,
        /// What it is to hold.
        what: &'static str,
    },
    /// A token would travel in the clear.
    #[error("the token would travel to {url} in the clear: use https")]
    Clear {
        /// Where.
        url: String,
    },
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
        /// The daemon's word for it; empty where it gave none.
        code: String,
        /// What the daemon says.
        message: String,
    },
}

/// Bytes of a refusal that are repeated.
const SHOWN: usize = 500;

/// How a daemon is spoken to.
#[derive(Clone, Default)]
pub struct Options {
    /// Proves who asks.
    pub token: Option<String>,
    /// Whether the token may travel in the clear to another machine.
    pub insecure: bool,
    /// PEM: the only authorities to trust; none: those of the system.
    pub ca_file: Option<PathBuf>,
    /// PEM: a certificate to show, and its private key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("insecure", &self.insecure)
            .field("ca_file", &self.ca_file)
            .field("certificate", &self.certificate)
            .finish()
    }
}

/// A daemon that can be asked.
#[derive(Clone)]
pub struct Client {
    base: Url,
    token: Option<String>,
    client: reqwest::Client,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.url()).finish_non_exhaustive()
    }
}

fn read(file: &PathBuf, what: &'static str) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(|source| Error::File { file: file.clone(), what, source })
}

impl Client {
    /// For the daemon at `base`; nobody is spoken to yet.
    ///
    /// # Errors
    /// When the address is none, a file cannot be used, or the token would travel in the clear.
    pub fn new(base: &str, options: &Options) -> Result<Self, Error> {
        let parsed = Url::parse(base).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let base = parsed.ok_or_else(|| Error::Address(base.to_owned()))?;
        if options.token.is_some() && base.scheme() == "http" && !options.insecure && !is_here(&base) {
            return Err(Error::Clear { url: base.origin().ascii_serialization() });
        }
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_version_min(reqwest::tls::Version::TLS_1_2)
            .connect_timeout(CONNECT)
            .timeout(PATIENCE);
        if let Some(file) = &options.ca_file {
            let what = "certificates of authorities";
            let certificates = Certificate::from_pem_bundle(&read(file, what)?).unwrap_or_default();
            if certificates.is_empty() {
                return Err(Error::Pem { file: file.clone(), what });
            }
            client = client.tls_certs_only(certificates);
        }
        if let Some((certificate, key)) = &options.certificate {
            let pem = (read(certificate, "a certificate")?, read(key, "a private key")?);
            let wrong = |_| Error::Pem { file: certificate.clone(), what: "a certificate for that key" };
            client = client.identity(Identity::from_pkcs8_pem(&pem.0, &pem.1).map_err(wrong)?);
        }
        let client = client.build().map_err(Error::Client)?;
        Ok(Self { base, token: options.token.clone(), client })
    }

    /// The daemon, without what may stand before the host: a password.
    pub fn url(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// The body of `path`, with these parameters.
    ///
    /// # Errors
    /// When nobody answers, or the answer is no.
    pub async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<String, Error> {
        self.send(self.client.get(address(&self.base, path, parameters))).await
    }

    /// The answer of `path` to `body`.
    ///
    /// # Errors
    /// When nobody answers, or the answer is no.
    pub async fn post(&self, path: &str, body: &Value) -> Result<String, Error> {
        let request = self.client.post(address(&self.base, path, &[]));
        let request = request.header(reqwest::header::CONTENT_TYPE, "application/json");
        self.send(request.body(body.to_string())).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<String, Error> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let silent = |source: reqwest::Error| Error::Silent { url: self.url(), source: source.without_url() };
        let answer = request.send().await.map_err(silent)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(silent)?;
        let body = String::from_utf8_lossy(&bytes);
        if status.is_success() {
            return Ok(body.into_owned());
        }
        let told: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let code = told["code"].as_str().unwrap_or_default().to_owned();
        let message = told["message"].as_str().unwrap_or(&body);
        let message = message.chars().filter(|character| !character.is_control()).take(SHOWN).collect();
        Err(Error::Refused { url: self.url(), status: status.as_u16(), code, message })
    }
}

/// The body of `path` of the daemon at `base`, with these parameters, as anybody may read it.
///
/// # Errors
/// When the address is none, nobody answers, or the answer is no.
pub async fn get(base: &str, path: &str, parameters: &[(&str, &str)]) -> Result<String, Error> {
    Client::new(base, &Options::default())?.get(path, parameters).await
}

/// Whether the address is this machine's own.
fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn address(base: &Url, path: &str, parameters: &[(&str, &str)]) -> Url {
    let mut url = base.clone();
    url.set_path(path);
    url.set_query(None);
    if !parameters.is_empty() {
        url.query_pairs_mut().extend_pairs(parameters);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_written_so_that_a_name_cannot_become_another_one() {
        let of = |base: &str, path: &str, parameters: &[(&str, &str)]| {
            address(&Client::new(base, &Options::default()).unwrap().base, path, parameters).to_string()
        };
        let url = of("http://127.0.0.1:9464", "/api/v1/findings", &[("model", "a&b=c d")]);
        assert_eq!(url, "http://127.0.0.1:9464/api/v1/findings?model=a%26b%3Dc+d");
        assert_eq!(of("http://localhost:1/?x=y", "/readyz", &[]), "http://localhost:1/readyz");
        for bad in ["127.0.0.1:9464", "file:///etc/passwd", ""] {
            assert!(Client::new(bad, &Options::default()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_goes_to_this_machine_or_under_tls_and_into_no_message() {
        let options = Options { token: Some("hunter2".into()), ..Options::default() };
        for good in ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://plimsoll:1"] {
            let client = Client::new(good, &options).unwrap();
            assert!(!format!("{client:?} {options:?}").contains("hunter2"), "{client:?}");
        }
        let refused = Client::new("http://plimsoll:1", &options).unwrap_err();
        assert!(matches!(&refused, Error::Clear { .. }) && !format!("{refused:?}").contains("hunter2"));
        let insecure = Options { insecure: true, ..options };
        assert!(Client::new("http://plimsoll:1", &insecure).is_ok());
    }
}
