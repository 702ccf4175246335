//! A GitLab pipeline, started by a trigger token.
//!
//! GitLab knows no key of a request: two triggers are two pipelines. So the action's id goes into a
//! variable, the pipeline shows it in its name (`workflow:name`), and one whose reply was lost is looked
//! for by it. That needs a second token, since a trigger token can do nothing but trigger; without one
//! nothing is known after a pipeline was triggered.
//!
//! As in GitLab's manual, doc/api/pipeline_triggers.md and doc/api/pipelines.md.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, TimeDelta};
use futures::future::BoxFuture;
use reqwest::{Method, RequestBuilder, Url};
use serde_json::Value;

use crate::engine::actor::Call;
use crate::safety::{Abilities, ActionKind, Idempotency, Reply};

use super::http::{self, Answer, Auth, Client, Place, Token, untouched};
use super::parameters::{self, Parameters};
use super::request::Request;
use super::{Clock, Target};

/// Pipelines in one page.
const PAGE: usize = 100;
/// Pages that are read before a pipeline counts as not to be found.
const PAGES: usize = 10;
/// How much of a page is read.
const PAGE_BYTES: usize = 4 << 20;
/// How far GitLab's clock may be behind ours.
const SKEW: TimeDelta = TimeDelta::minutes(10);

/// Why a project cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address, or the authorities to trust.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// What the pipeline is given.
    #[error("the variables cannot be used")]
    Variables(#[from] parameters::Error),
}

/// A project of which a pipeline is triggered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// GitLab, without `/api`; and how long one request may take.
    pub place: Place,
    /// Number or path of the project.
    pub project: String,
    /// Branch or tag to run the pipeline of.
    pub git_ref: String,
    /// Pipeline trigger token.
    pub trigger_token: Token,
    /// A token with the scope `api`, or `read_api` where nothing is to be stopped.
    pub token: Option<Token>,
    /// The variable that gets the action's id.
    pub id_variable: String,
    /// Further variables, by name; templates.
    pub variables: BTreeMap<String, String>,
}

/// A project.
pub struct Gitlab {
    name: String,
    client: Client,
    config: Config,
    variables: Parameters,
}

impl fmt::Debug for Gitlab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gitlab").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Gitlab {
    /// The project that `config` describes, for actions of `kind`. Reads the file of authorities, and
    /// calls nothing yet.
    pub fn new(config: &Config, kind: ActionKind, clock: Clock) -> Result<Self, Error> {
        let Config { place, project, git_ref, trigger_token, token, .. } = config;
        let hidden: Vec<Token> = token.iter().chain([trigger_token]).cloned().collect();
        let client = Client::new(place, Auth::None, &hidden, clock)?;
        let variables = Parameters::new(Some(&config.id_variable), &config.variables, kind)?;
        let name = format!("{} {project} {git_ref}", client.name("gitlab", &[project, git_ref]));
        Ok(Self { name, client, config: config.clone(), variables })
    }

    fn at(&self, rest: &[&str], query: &[(&str, &str)]) -> Result<Url, Reply> {
        let segments = [&["api", "v4", "projects", self.config.project.as_str()], rest].concat();
        self.client.at(&segments, query)
    }

    /// A request with the token that may follow pipelines.
    fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, Reply> {
        let token = self.config.token.as_ref().ok_or_else(|| Reply::Rejected {
            why: "no token is configured with which pipelines could be followed".to_owned(),
        })?;
        Ok(self.client.bare(method, url).header("private-token", token.expose()))
    }

    async fn get(&self, url: Url) -> Result<Answer, Reply> {
        self.client.ask_up_to(self.request(Method::GET, url)?, PAGE_BYTES).await
    }

    async fn start(&self, call: &Call) -> Result<Reply, Reply> {
        let variables = self.variables.render(&Request::of(call)?)?;
        let mut form = vec![
            ("token".to_owned(), self.config.trigger_token.expose().to_owned()),
            ("ref".to_owned(), self.config.git_ref.clone()),
        ];
        form.extend(variables.into_iter().map(|(name, value)| (format!("variables[{name}]"), value)));
        let url = self.at(&["trigger", "pipeline"], &[])?;
        let answer = self.client.ask(self.client.bare(Method::POST, url).form(&form)).await?;
        if !answer.is_success() {
            return Ok(answer.unexpected());
        }
        match answer.json().and_then(|body| body["id"].as_u64()) {
            Some(id) => Ok(accepted(id, self.config.token.is_none())),
            None => Ok(answer.unreadable("the number of the pipeline")),
        }
    }

    async fn look(&self, call: &Call) -> Result<Reply, Reply> {
        let time = Request::of(call)?.time;
        let since = DateTime::parse_from_rfc3339(time)
            .map_err(|_| Reply::Rejected { why: "the request does not say its time".to_owned() })?
            - SKEW;
        let mut nameless = 0;
        for page in 1..=PAGES {
            let query = [
                ("source", "trigger"),
                ("order_by", "id"),
                ("sort", "desc"),
                ("per_page", &PAGE.to_string()),
                ("page", &page.to_string()),
            ];
            let answer = self.get(self.at(&["pipelines"], &query)?).await?;
            if !answer.is_success() {
                return Err(answer.unexpected());
            }
            let body = answer.json();
            let Some(pipelines) = body.as_ref().and_then(Value::as_array) else {
                return Err(answer.unreadable("a list of pipelines"));
            };
            for pipeline in pipelines {
                let created =
                    pipeline["created_at"].as_str().and_then(|at| DateTime::parse_from_rfc3339(at).ok());
                if created.is_some_and(|created| created < since) {
                    return Ok(absent(nameless));
                }
                match (pipeline["name"].as_str(), pipeline["id"].as_u64()) {
                    (Some(name), Some(id)) if name.contains(&call.action_id) => {
                        return Ok(accepted(id, false));
                    }
                    (Some(_), _) => {}
                    (None, _) => nameless += 1,
                }
            }
            if pipelines.len() < PAGE {
                return Ok(absent(nameless));
            }
        }
        let why = format!("the pipeline is not among the {} newest", PAGE * PAGES);
        Err(Reply::Retry { why, doubt: false, retry_after: None })
    }

    async fn follow(&self, reference: &str) -> Result<Reply, Reply> {
        let answer = self.get(self.at(&["pipelines", reference], &[])?).await?;
        let body = answer.json();
        let status = body.as_ref().and_then(|body| body["status"].as_str());
        match (answer.status(), status) {
            (200, Some("success")) => Ok(Reply::Succeeded { detail: "success".to_owned() }),
            (200, Some(status @ ("failed" | "canceled" | "skipped"))) => {
                Ok(Reply::Failed { why: format!("the pipeline ended as {status}") })
            }
            (200, Some(status)) => Ok(Reply::Running { detail: self.client.clean(status) }),
            (200, None) => Ok(answer.unreadable("the status of the pipeline")),
            (404, _) => {
                Ok(Reply::Failed { why: format!("the pipeline {reference} is gone: {}", answer.said()) })
            }
            _ => Ok(answer.unexpected()),
        }
    }

    async fn stop(&self, reference: &str) -> Result<Reply, Reply> {
        let url = self.at(&["pipelines", reference, "cancel"], &[])?;
        let answer = self.client.ask(self.request(Method::POST, url)?).await?;
        if answer.is_success() {
            return Ok(Reply::Succeeded { detail: format!("HTTP {}", answer.status()) });
        }
        Ok(answer.unexpected())
    }
}

/// `done`: nothing more can be learned about it.
fn accepted(id: u64, done: bool) -> Reply {
    Reply::Accepted { reference: Some(id.to_string()), detail: format!("pipeline {id}"), done }
}

/// No pipeline has the name, which says nothing where `nameless` ones have none at all.
fn absent(nameless: usize) -> Reply {
    if nameless == 0 {
        return Reply::Absent;
    }
    let why = format!(
        "{nameless} pipelines have no name, by which the action's would be known: `workflow:name` has to hold the variable"
    );
    Reply::Retry { why, doubt: false, retry_after: None }
}

impl Target for Gitlab {
    fn name(&self) -> &str {
        &self.name
    }

    fn idempotency(&self) -> Idempotency {
        Idempotency::Unkeyed
    }

    fn abilities(&self) -> Abilities {
        let able = self.config.token.is_some();
        Abilities { preflight: false, find: able, poll: able, cancel: able }
    }

    fn submit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async move { self.start(call).await.unwrap_or_else(|reply| reply) })
    }

    fn find<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async move { untouched(self.look(call).await.unwrap_or_else(|reply| reply)) })
    }

    fn poll<'a>(&'a self, _call: &'a Call, reference: &'a str) -> BoxFuture<'a, Reply> {
        Box::pin(async move { untouched(self.follow(reference).await.unwrap_or_else(|reply| reply)) })
    }

    fn cancel<'a>(&'a self, _call: &'a Call, reference: &'a str) -> BoxFuture<'a, Reply> {
        Box::pin(async move { self.stop(reference).await.unwrap_or_else(|reply| reply) })
    }
}
