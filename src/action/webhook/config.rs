//! What a webhook is told, and what it refuses to be told.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::action::http::{self, Place};

use super::Secret;

/// Why a webhook cannot be used as configured. The address is never part of a message, because
/// its path or query may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its address, or the authorities to trust.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// Nothing to sign with.
    #[error("there is no secret to sign with")]
    NoSecret,
}

/// A receiver of signed requests.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Where requests go; https, or http on this machine.
    pub url: String,
    /// What requests are signed with: one secret, or the new and the old one during a rotation.
    pub secrets: Vec<Secret>,
    /// A PEM file of the only certificate authorities to trust; without it those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long an attempt may take, from the first byte to the reply. Receivers expect 15 to 30 s.
    pub timeout: Duration,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("place", &self.place()).field("secrets", &self.secrets).finish()
    }
}

impl Config {
    /// Where requests go.
    pub(super) fn place(&self) -> Place {
        Place { url: self.url.clone(), ca_file: self.ca_file.clone(), timeout: self.timeout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_address_nor_secret_is_shown() {
        let config = Config {
            url: "https://hooks.example/T0/hunter2?key=hunter2".to_owned(),
            secrets: vec![Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()],
            ca_file: None,
            timeout: Duration::from_secs(10),
        };
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("MfKQ"), "{shown}");
        assert!(shown.contains("https://hooks.example"), "{shown}");
    }
}
