//! The calls of Airflow's API that the adapter needs, as Airflow 3.3 answers them: `/auth/token` for a
//! token, `/api/v2` for the rest. A 404 is believed only where it is Airflow's own (JSON with a
//! `detail`): the page of a proxy says nothing of a run.

use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::action::http::{self, Answer, Client, Token, doubtful, untouched};
use crate::safety::Reply;

use super::config::Login;

/// What became of a request to start a run.
pub(super) enum Created {
    /// It was made, and is in this state.
    Run(String),
    /// Airflow says that there is one already, in these words.
    Conflict(String),
}

/// A run.
pub(super) enum Run {
    /// It is there, in this state.
    Is(String),
    /// It is not there, in these words.
    Absent(String),
}

/// One Airflow.
pub(super) struct Api {
    client: Client,
    login: Login,
    /// The token that Airflow gave for the password.
    given: Mutex<Option<Token>>,
}

impl Api {
    pub(super) fn new(client: Client, login: Login) -> Self {
        Self { client, login, given: Mutex::new(None) }
    }

    /// A token, another than `refused`.
    async fn token(&self, refused: Option<&Token>) -> Result<Token, Reply> {
        let (username, password) = match &self.login {
            Login::Token(token) => return Ok(token.clone()),
            Login::Password { username, password } => (username, password),
        };
        let mut given = self.given.lock().await;
        if let Some(token) = given.as_ref().filter(|token| Some(*token) != refused) {
            return Ok(token.clone());
        }
        *given = None;
        let url = self.client.at(&["auth", "token"], &[])?;
        let body = json!({"username": username, "password": password.expose()});
        // A login changes nothing.
        let answer = self
            .client
            .ask(http::json(self.client.bare(Method::POST, url), &body))
            .await
            .map_err(untouched)?;
        if !answer.is_success() {
            return Err(at_login(untouched(answer.unexpected())));
        }
        let body = answer.json();
        let token =
            body.as_ref().and_then(|body| body["access_token"].as_str()).filter(|text| !text.is_empty());
        let Some(token) = token.map(Token::new) else {
            return Err(at_login(untouched(answer.unreadable("a token"))));
        };
        self.client.hide(&token);
        *given = Some(token.clone());
        Ok(token)
    }

    /// Asks, and once more with a new token where the token was refused: nothing was done then. Airflow
    /// says 401 to no token and 403 to a bad one, and 403 to one without the right.
    async fn ask(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Answer, Reply> {
        let send = async |token: &Token| {
            let request = self.client.bare(method.clone(), url.clone()).bearer_auth(token.expose());
            let request = match body {
                Some(body) => http::json(request, body),
                None => request,
            };
            self.client.ask(request).await
        };
        let token = self.token(None).await?;
        let answer = send(&token).await?;
        let renewable = matches!(self.login, Login::Password { .. });
        if !renewable || !matches!(answer.status(), 401 | 403) {
            return Ok(answer);
        }
        let token = self.token(Some(&token)).await?;
        send(&token).await
    }

    fn runs(&self, dag: &str, run: &[&str]) -> Result<Url, Reply> {
        let mut path = vec!["api", "v2", "dags", dag, "dagRuns"];
        path.extend(run);
        self.client.at(&path, &[])
    }

    /// Which part of Airflow does not work, if one does not.
    pub(super) async fn health(&self) -> Result<Option<String>, Reply> {
        let url = self.client.at(&["api", "v2", "monitor", "health"], &[])?;
        let answer = self.ask(Method::GET, url, None).await?;
        if !answer.is_success() {
            return Err(answer.unexpected());
        }
        let body = answer.json().ok_or_else(|| answer.unreadable("a report on health"))?;
        // The triggerer may be absent.
        for part in ["metadatabase", "scheduler", "dag_processor"] {
            let status = body[part]["status"].as_str().unwrap_or("silent");
            if status != "healthy" {
                let status = self.client.clean(status);
                return Ok(Some(format!("Airflow's {part} is {status}, and would not run what it is given")));
            }
        }
        Ok(None)
    }

    /// What stands against starting a run of `dag`, if anything does.
    pub(super) async fn standing(&self, dag: &str) -> Result<Option<String>, Reply> {
        let url = self.client.at(&["api", "v2", "dags", dag], &[])?;
        let answer = self.ask(Method::GET, url, None).await?;
        if !answer.is_success() {
            return Err(answer.unexpected());
        }
        let body = answer.json().ok_or_else(|| answer.unreadable("the DAG"))?;
        for (member, words) in [
            ("is_paused", "is paused: its runs would stay queued"),
            ("has_import_errors", "has import errors"),
            ("is_stale", "is stale: its file is gone or was not read"),
        ] {
            match body[member].as_bool() {
                Some(false) => {}
                Some(true) => return Ok(Some(format!("the DAG `{dag}` {words}"))),
                None => return Err(answer.unreadable(member)),
            }
        }
        Ok(None)
    }

    /// Starts a run.
    pub(super) async fn create(&self, dag: &str, id: &str, body: &Value) -> Result<Created, Reply> {
        let answer = self.ask(Method::POST, self.runs(dag, &[])?, Some(body)).await?;
        if answer.status() == 409 {
            return Ok(Created::Conflict(answer.said()));
        }
        self.state(&answer, id).map(Created::Run)
    }

    /// Reads a run.
    pub(super) async fn run(&self, dag: &str, id: &str) -> Result<Run, Reply> {
        let answer = self.ask(Method::GET, self.runs(dag, &[id])?, None).await?;
        if answer.status() == 404 {
            let own = answer.json().is_some_and(|body| body.get("detail").is_some());
            let why = format!("{}, which is not Airflow's own", answer.said());
            let foreign = Reply::Retry { why, doubt: false, retry_after: None };
            return if own { Ok(Run::Absent(answer.said())) } else { Err(foreign) };
        }
        self.state(&answer, id).map(Run::Is)
    }

    /// Sets a run to failed, which stops it.
    pub(super) async fn fail(&self, dag: &str, id: &str) -> Result<(), Reply> {
        let body = json!({"state": "failed"});
        let answer = self.ask(Method::PATCH, self.runs(dag, &[id])?, Some(&body)).await?;
        match self.state(&answer, id)?.as_str() {
            "failed" => Ok(()),
            state => {
                let why = format!("the run is {state} after it was set to failed");
                Err(doubtful(Reply::Rejected { why }, "asked to stop"))
            }
        }
    }

    /// The state of the run `id`, which `answer` must be about.
    fn state(&self, answer: &Answer, id: &str) -> Result<String, Reply> {
        if !answer.is_success() {
            return Err(answer.unexpected());
        }
        let body = answer.json().unwrap_or_default();
        match (body["dag_run_id"].as_str(), body["state"].as_str()) {
            (Some(run), Some(state)) if run == id => Ok(self.client.clean(state)),
            _ => Err(answer.unreadable("the state of the run")),
        }
    }
}

/// `reply` with where it happened.
fn at_login(reply: Reply) -> Reply {
    match reply {
        Reply::Rejected { why } => Reply::Rejected { why: format!("login: {why}") },
        Reply::Retry { why, doubt, retry_after } => {
            Reply::Retry { why: format!("login: {why}"), doubt, retry_after }
        }
        other => other,
    }
}
