//! The HTTP interface: where it listens, what may be seen without a token, who holds one, and TLS.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Metrics, health, the API, and people's orders.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: String,
    /// What may be seen without a token. Default: `read` on a loopback address, else `metrics`.
    pub anonymous: Option<Anonymous>,
    /// Who may see and order what. Without tokens nobody can order anything.
    #[schemars(length(max = 1000))]
    pub tokens: Vec<Token>,
    /// TLS, version 1.2 or later. Default: none.
    pub tls: Option<Tls>,
    /// Takes tokens beyond loopback without TLS, where whoever listens on the network can read them.
    pub insecure_commands: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9464".into(),
            anonymous: None,
            tokens: Vec::new(),
            tls: None,
            insecure_commands: false,
        }
    }
}

/// What may be seen without a token. Health and readiness always may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Anonymous {
    /// Everything that is not an order: metrics, the API, the gates and the status page.
    Read,
    /// Metrics.
    Metrics,
    /// Nothing.
    None,
}

/// The right of one person or program, proved by a bearer token.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Who holds it, as the audit log names that person or program.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// What its holder may do.
    pub role: PersonRole,
    /// SHA-256 of the token, 64 hexadecimal digits. `plimsoll token` draws one; the token itself is kept nowhere.
    pub sha256: String,
}

/// What a person may do; each role includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PersonRole {
    /// Look.
    Viewer,
    /// Stop things: deny, cancel, hold, freeze.
    Operator,
    /// Let things happen: approve, release, resume, absolve.
    Approver,
}

/// The certificate that the HTTP interface shows, and the one that it asks for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate, and those between it and its authority.
    #[schemars(length(min = 1))]
    pub certificate_file: String,
    /// PEM file of its private key.
    #[schemars(length(min = 1))]
    pub key_file: String,
    /// PEM file of authorities. With it everybody who connects has to show a certificate of one of them, also for health and metrics. Default: none.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub client_ca_file: Option<String>,
}
