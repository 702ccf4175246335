//! What the adapter of Airflow is told, and what it refuses to be told.

use std::fmt;

use serde_json::{Value, json};

use crate::action::http::{self, Place, Token};
use crate::action::request::TemplateError;
use crate::safety::ActionKind;

/// Why Airflow cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its address, or the authorities to trust.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The id of the DAG.
    #[error("the dag is no template")]
    Dag(#[source] TemplateError),
    /// What a run is given.
    #[error("the conf is no template")]
    Conf(#[source] TemplateError),
    /// What a run is given is something else than members with values.
    #[error("the conf is not an object")]
    NotAnObject,
}

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// With a token that somebody else keeps fresh.
    Token(Token),
    /// With a user name and a password, for which Airflow gives a token (`POST /auth/token`).
    Password {
        /// The user; it needs the right to read and to start, and to change runs for cancelling.
        username: String,
        /// Its password.
        password: Token,
    },
}

/// A DAG to be run.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// The web server, without `/api`; and how long one request may take.
    pub place: Place,
    /// How to log in.
    pub login: Login,
    /// Template of the DAG's id.
    pub dag: String,
    /// What a run is given as `conf`: an object whose texts are templates.
    pub conf: Value,
}

impl fmt::Debug for Config {
    /// Without the conf: people put passwords into anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("place", &self.place)
            .field("login", &self.login)
            .field("dag", &self.dag)
            .finish_non_exhaustive()
    }
}

/// The conf where none is configured: everything that a template can name and that every action of
/// `kind` has.
pub fn default_conf(kind: ActionKind) -> Value {
    let mut conf = json!({
        "action_id": "{action_id}",
        "model": "{model}",
        "version": "{version}",
        "policy": "{policy}",
        "decision": "{decision}",
    });
    if kind == ActionKind::Rollback {
        conf["to_version"] = "{to_version}".into();
    }
    conf
}
