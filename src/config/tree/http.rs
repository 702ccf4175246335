//! The HTTP interface of the validated configuration.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::raw::Anonymous;
use crate::safety::Role;

/// Metrics, health, the API, and people's orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What may be seen without a token.
    pub anonymous: Anonymous,
    /// Who may see and order what; names and digests distinct.
    pub tokens: Vec<Token>,
    /// TLS; none: plain HTTP.
    pub tls: Option<Tls>,
    /// Whether tokens are taken beyond loopback without TLS. Where this is false, `listen` is not
    /// loopback and `tls` is none, there are no tokens.
    pub insecure_commands: bool,
}

/// The right of one person or program.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Who holds it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
}

impl fmt::Debug for Token {
    /// Without the digest: it tells nothing to a reader, and is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// The certificate that is shown, and the one that is asked for. All files exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM: the certificate, and those between it and its authority.
    pub certificate_file: PathBuf,
    /// PEM: its private key.
    pub key_file: PathBuf,
    /// PEM: authorities of which everybody who connects has to show a certificate.
    pub client_ca_file: Option<PathBuf>,
}
