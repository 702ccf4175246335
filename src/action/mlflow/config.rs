//! What the adapter of MLflow is told, and what it refuses to be told.

use crate::action::http::{self, Auth, Place};
use crate::action::request::TemplateError;

/// Why the registry cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its address, or the authorities to trust.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The name of the registered model.
    #[error("the model is no template")]
    Model(#[source] TemplateError),
    /// An alias that MLflow keeps for itself.
    #[error("`{alias}` cannot be an alias: MLflow takes letters, digits, `_` and `-`, and keeps `latest` and `v1`, `v2` … for itself")]
    Alias {
        /// The alias.
        alias: String,
    },
}

/// A registry of models and the alias that says which version serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The tracking server, without `/api`; and how long one of the up to four requests of an attempt may
    /// take.
    pub place: Place,
    /// How to log in.
    pub auth: Auth,
    /// Template of the registered model's name; `{model}` if the log calls it the same.
    pub model: String,
    /// The alias that the serving side reads.
    pub alias: String,
    /// What the log has before the number of a version: `v` if MLflow's version 2 is `v2` there; may be
    /// empty.
    pub version_prefix: String,
}
