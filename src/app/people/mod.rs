//! People's part: who may see and order what, where their orders go, and the commands by which they
//! give them. What an order does is the actor's to decide; everything here is on the way to it.

pub mod asking;
mod direct;
mod publisher;

use std::sync::Arc;

use anyhow::Context;

use super::clock::now_millis;
use crate::api::{self, Access, Anonymous, Reload, Services, Tls, access};
use crate::config;

pub use direct::{Handed, direct};
pub use publisher::{Error, Publisher};

/// What the HTTP interface serves by this configuration. Files of TLS are read here.
///
/// # Errors
/// When a file of TLS cannot be used.
pub fn services(http: &config::Http, reload: Reload) -> anyhow::Result<Services> {
    let tls = http.tls.as_ref().map(|tls| {
        Tls::new(api::tls::Files {
            certificate: tls.certificate_file.clone(),
            key: tls.key_file.clone(),
            client_authorities: tls.client_ca_file.clone(),
        })
    });
    let tls = tls.transpose().context("http.tls")?;
    let tokens = http.tokens.iter().map(|token| access::Token {
        name: token.name.clone(),
        role: token.role,
        sha256: token.sha256,
    });
    let anonymous = match http.anonymous {
        config::Anonymous::Read => Anonymous::Read,
        config::Anonymous::Metrics => Anonymous::Metrics,
        config::Anonymous::None => Anonymous::None,
    };
    let access = Access { anonymous, tokens: tokens.collect(), insecure: http.insecure_commands };
    Ok(Services { access, tls, reload, clock: Arc::new(now_millis), ..Services::default() })
}

/// A token with the line that the configuration gets, as they are shown once.
///
/// # Errors
/// When the system gives no random bytes.
pub fn draw(name: &str, role: crate::safety::Role) -> anyhow::Result<String> {
    let token = access::Drawn::new().context("the system gives no random bytes")?;
    Ok(format!(
        "The token, shown this once; give it to {name} over a way that nobody else reads:\n\n{}\n\n\
         The line for `tokens` of `http` in the configuration:\n\n  - {{name: {name}, role: {role}, sha256: \"{}\"}}",
        token.expose(),
        token.sha256()
    ))
}
