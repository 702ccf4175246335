//! What the adapter of Alertmanager is told, and what it refuses to be told.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::action::http::{self, Auth, Place};

/// Why Alertmanager cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its address, or the authorities to trust.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// A label that is not a name, is empty, or is one that every alert has anyway.
    #[error("`{name}` cannot be a further label")]
    Label {
        /// The label.
        name: String,
    },
    /// An address that is none.
    #[error("the generator_url is not a web address")]
    GeneratorUrl,
    /// An alert that is over before it is read, or never.
    #[error("resolve_after must be between a minute and 30 days")]
    ResolveAfter,
}

/// An Alertmanager to be told of incidents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The server, without `/api`; and how long one request may take.
    pub place: Place,
    /// How to log in, where a proxy before it asks for that.
    pub auth: Auth,
    /// The label `alertname`; `PlimsollIncident` where nothing else is wanted.
    pub alertname: String,
    /// The label `severity`: `critical`, `warning`, or what the routes know.
    pub severity: String,
    /// Further labels, the same for every alert.
    pub labels: BTreeMap<String, String>,
    /// An alert that is not heard of again counts as resolved after this long. Each incident is told once,
    /// so this bounds how long it is shown; an hour where nothing else is wanted.
    pub resolve_after: Duration,
    /// Where people can look, such as the address of the status page.
    pub generator_url: Option<String>,
}
