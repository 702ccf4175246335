//! The calls of MLflow's registry that the adapter needs, `/api/2.0/mlflow`, as MLflow 3.17 answers
//! them. Errors are JSON with an `error_code`; an absent alias is a 400, and not a 404.

use std::fmt;

use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::action::http::{self, Answer, Client};
use crate::safety::Reply;

/// Where an alias is.
pub(super) enum Seen {
    /// On this version.
    On(String),
    /// Nowhere: there is no such alias, or no such model. With what MLflow said.
    Absent(String),
}

/// One alias in one registry.
#[derive(Debug)]
pub(super) struct Registry {
    client: Client,
    alias: String,
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the alias `{}`", self.alias)
    }
}

impl Registry {
    pub(super) const fn new(client: Client, alias: String) -> Self {
        Self { client, alias }
    }

    fn url(&self, folder: &str, call: &str, query: &[(&str, &str)]) -> Result<Url, Reply> {
        self.client.at(&["api", "2.0", "mlflow", folder, call], query)
    }

    async fn get(&self, folder: &str, call: &str, query: &[(&str, &str)]) -> Result<Answer, Reply> {
        let url = self.url(folder, call, query)?;
        self.client.ask(self.client.request(Method::GET, url)).await
    }

    async fn post(&self, folder: &str, call: &str, body: &Value) -> Result<(), Reply> {
        let url = self.url(folder, call, &[])?;
        let request = http::json(self.client.request(Method::POST, url), body);
        let answer = self.client.ask(request).await?;
        // MLflow says `{}`. A page of a proxy with status 200 says nothing.
        if !answer.is_success() {
            return Err(answer.unexpected());
        }
        answer.json().filter(Value::is_object).map(drop).ok_or_else(|| answer.unreadable("a reply of MLflow"))
    }

    /// The version that the alias of `model` is on.
    pub(super) async fn alias(&self, model: &str) -> Result<Seen, Reply> {
        let query = [("name", model), ("alias", self.alias.as_str())];
        let answer = self.get("registered-models", "alias", &query).await?;
        if answer.is_success() {
            let body = answer.json();
            let version = body.as_ref().and_then(|body| text(&body["model_version"]["version"]));
            // Numbers only: what is shown to people later must not be whatever a stranger sends.
            let version = version
                .filter(|text| (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()));
            return version.map(Seen::On).ok_or_else(|| answer.unreadable("the version of the alias"));
        }
        match (answer.status(), code(&answer).as_deref()) {
            (400, Some("INVALID_PARAMETER_VALUE")) | (404, Some("RESOURCE_DOES_NOT_EXIST")) => {
                Ok(Seen::Absent(answer.said()))
            }
            _ => Err(answer.unexpected()),
        }
    }

    /// What stands against going back to `version`, if anything does.
    pub(super) async fn standing(&self, model: &str, version: &str) -> Result<Option<String>, Reply> {
        let query = [("name", model), ("version", version)];
        let answer = self.get("model-versions", "get", &query).await?;
        if answer.is_success() {
            let body = answer.json();
            let status = body.as_ref().and_then(|body| text(&body["model_version"]["status"]));
            return match status.as_deref() {
                Some("READY") => Ok(None),
                Some(status) => {
                    let status = self.client.clean(status);
                    Ok(Some(format!("version {version} of `{model}` is {status}, and not READY")))
                }
                None => Err(answer.unreadable("the status of the version")),
            };
        }
        match (answer.status(), code(&answer).as_deref()) {
            (404, Some("RESOURCE_DOES_NOT_EXIST")) => {
                Ok(Some(format!("`{model}` has no version {version}: {}", answer.said())))
            }
            _ => Err(answer.unexpected()),
        }
    }

    /// Sets the alias of `model` to `version`, whatever it is on.
    pub(super) async fn set_alias(&self, model: &str, version: &str) -> Result<(), Reply> {
        let body = json!({"name": model, "alias": self.alias, "version": version});
        self.post("registered-models", "alias", &body).await
    }

    /// Tags `version` of `model`.
    pub(super) async fn tag(&self, model: &str, version: &str, key: &str, value: &str) -> Result<(), Reply> {
        let body = json!({"name": model, "version": version, "key": key, "value": value});
        self.post("model-versions", "set-tag", &body).await
    }
}

/// The error code of MLflow, if it was MLflow that answered.
fn code(answer: &Answer) -> Option<String> {
    text(&answer.json()?["error_code"])
}

/// A text, or a whole number as one: protobuf's JSON has 64-bit numbers as texts, proxies may not.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => number.as_u64().map(|number| number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
