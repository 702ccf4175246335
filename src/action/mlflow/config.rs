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
    #[error(
        "`{alias}` cannot be an alias: MLflow takes letters, digits, `_` and `-`, and keeps `latest` and `v1`, `v2` … for itself"
    )]
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

/// Whether MLflow takes `text` as an alias (`_validate_model_alias_name` of mlflow/utils/validation.py).
pub(super) fn is_alias(text: &str) -> bool {
    let is_version = text
        .strip_prefix(['v', 'V'])
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    let is_word = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    (1..=255).contains(&text.len()) && is_word && !is_version && !text.eq_ignore_ascii_case("latest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_that_mlflow_refuses_are_refused_at_once() {
        for alias in ["champion", "prod-1_a", "v1a", "v"] {
            assert!(is_alias(alias), "{alias}");
        }
        for alias in ["", "latest", "Latest", "v1", "V20", "a b", "a/b", "a.b"] {
            assert!(!is_alias(alias), "{alias}");
        }
    }
}
