//! A run of a GitHub Actions workflow, started by `workflow_dispatch`.
//!
//! GitHub knows no key of a request: two dispatches are two runs. So the action's id goes into an input,
//! the workflow shows it in its `run-name`, and a run whose reply was lost is looked for by it. A
//! dispatch may take some seconds to be a run; one that is not there yet is `Absent` until the rules
//! stop asking, and is never sent again.
//!
//! Requests and replies as in GitHub's OpenAPI description (`@octokit/openapi` 23.0.2).

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures::future::BoxFuture;
use reqwest::header::ACCEPT;
use reqwest::{Method, RequestBuilder, Url};
use serde_json::{Value, json};

use crate::engine::actor::Call;
use crate::safety::{Abilities, ActionKind, Idempotency, Reply, Suppression};

use super::http::{self, Answer, Auth, Client, Place, Token, untouched};
use super::parameters::{self, Parameters};
use super::request::Request;
use super::{Clock, Target};

/// The version of the API that is asked for.
const VERSION: &str = "2022-11-28";
/// Runs in one page, some 10 kB each.
const PAGE: usize = 30;
/// Pages that are read before a run counts as not to be found.
const PAGES: usize = 10;
/// How much of a page is read.
const PAGE_BYTES: usize = 8 << 20;
/// How far GitHub's clock may be behind ours.
const SKEW: TimeDelta = TimeDelta::minutes(10);
/// What a reference begins with where GitHub did not say which run it started.
const BY_NAME: &str = "run-name:";

/// Why a workflow cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address, or the authorities to trust.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// What the workflow is given.
    #[error("the inputs cannot be used")]
    Inputs(#[from] parameters::Error),
}

/// A workflow to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The API, `https://api.github.com`; and how long one request may take.
    pub place: Place,
    /// A token that may read and write the repository's actions.
    pub token: Token,
    /// Owner of the repository.
    pub owner: String,
    /// Name of the repository.
    pub repository: String,
    /// File name of the workflow, or its number.
    pub workflow: String,
    /// Branch or tag to run it from.
    pub git_ref: String,
    /// The input that gets the action's id.
    pub id_input: String,
    /// Further inputs, by name; templates.
    pub inputs: BTreeMap<String, String>,
}

/// A workflow.
pub struct Github {
    name: String,
    client: Client,
    config: Config,
    inputs: Parameters,
}

impl fmt::Debug for Github {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Github").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Github {
    /// The workflow that `config` describes, for actions of `kind`. Reads the file of authorities, and
    /// calls nothing yet.
    pub fn new(config: &Config, kind: ActionKind, clock: Clock) -> Result<Self, Error> {
        let client = Client::new(&config.place, Auth::Bearer(config.token.clone()), &[], clock)?;
        let inputs = Parameters::new(Some(&config.id_input), &config.inputs, kind)?;
        let Config { owner, repository, workflow, git_ref, .. } = config;
        let name = client.name("github", &[owner, repository, workflow, git_ref]);
        let name = format!("{name} {owner}/{repository} {workflow}");
        Ok(Self { name, client, config: config.clone(), inputs })
    }

    fn at(&self, rest: &[&str], query: &[(&str, &str)]) -> Result<Url, Reply> {
        let Config { owner, repository, .. } = &self.config;
        let segments = [&["repos", owner.as_str(), repository, "actions"], rest].concat();
        self.client.at(&segments, query)
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.client.request(method, url);
        request.header(ACCEPT, "application/vnd.github+json").header("x-github-api-version", VERSION)
    }

    async fn get(&self, url: Url) -> Result<Answer, Reply> {
        self.client.ask_up_to(self.request(Method::GET, url), PAGE_BYTES).await
    }

    /// Whether the workflow takes runs: GitHub disables those of forks and of silent repositories.
    async fn check(&self) -> Result<Reply, Reply> {
        let answer = self.get(self.at(&["workflows", &self.config.workflow], &[])?).await?;
        let state = answer.json().filter(|_| answer.is_success());
        match state.as_ref().and_then(|workflow| workflow["state"].as_str()) {
            Some("active") => Ok(Reply::Clear),
            Some(state) => Ok(Reply::Barred {
                reason: Suppression::TargetNotReady,
                why: format!("the workflow is {}", self.client.clean(state)),
            }),
            None if answer.is_success() => Ok(answer.unreadable("the state of the workflow")),
            None => Ok(refused(&answer)),
        }
    }

    async fn start(&self, call: &Call) -> Result<Reply, Reply> {
        let request = Request::of(call)?;
        let body = json!({
            "ref": self.config.git_ref,
            "inputs": self.inputs.render(&request)?,
            "return_run_details": true,
        });
        let url = self.at(&["workflows", &self.config.workflow, "dispatches"], &[])?;
        let answer = self.client.ask(http::json(self.request(Method::POST, url), &body)).await?;
        match answer.status() {
            // Servers that do not know of `return_run_details` say no more than this.
            204 => Ok(accepted(format!("{BY_NAME}{}", call.action_id), "dispatched")),
            200 => match answer.json().and_then(|body| body["workflow_run_id"].as_u64()) {
                Some(run) => Ok(accepted(run.to_string(), &format!("run {run}"))),
                None => Ok(answer.unreadable("the number of the run")),
            },
            _ => Ok(refused(&answer)),
        }
    }

    /// The run whose name holds the action's id, if there is one.
    async fn run(&self, call: &Call) -> Result<Option<Value>, Reply> {
        let request = Request::of(call)?;
        let since = DateTime::parse_from_rfc3339(request.time)
            .map_err(|_| Reply::Rejected { why: "the request does not say its time".to_owned() })?;
        let since = (since.with_timezone(&Utc) - SKEW).to_rfc3339_opts(SecondsFormat::Secs, true);
        let created = format!(">={since}");
        let mut seen = 0;
        for page in 1..=PAGES {
            let query = [
                ("event", "workflow_dispatch"),
                ("created", &created),
                ("exclude_pull_requests", "true"),
                ("per_page", &PAGE.to_string()),
                ("page", &page.to_string()),
            ];
            let answer = self.get(self.at(&["workflows", &self.config.workflow, "runs"], &query)?).await?;
            if !answer.is_success() {
                return Err(refused(&answer));
            }
            let body = answer.json();
            let runs = body
                .as_ref()
                .and_then(|body| Some((body["workflow_runs"].as_array()?, body["total_count"].as_u64()?)));
            let Some((runs, total)) = runs else { return Err(answer.unreadable("a list of runs")) };
            let ours = |run: &&Value| {
                run["display_title"].as_str().is_some_and(|title| title.contains(&call.action_id))
            };
            if let Some(run) = runs.iter().find(ours) {
                return Ok(Some(run.clone()));
            }
            seen += runs.len() as u64;
            if runs.is_empty() || seen >= total {
                return Ok(None);
            }
        }
        let why = format!("the run is not among the {seen} newest of the workflow");
        Err(Reply::Retry { why, doubt: false, retry_after: None })
    }

    async fn look(&self, call: &Call) -> Result<Reply, Reply> {
        let Some(run) = self.run(call).await? else { return Ok(Reply::Absent) };
        match run["id"].as_u64() {
            Some(id) => Ok(accepted(id.to_string(), &format!("run {id}"))),
            None => {
                let why = "a run without a number".to_owned();
                Ok(Reply::Retry { why, doubt: false, retry_after: None })
            }
        }
    }

    async fn follow(&self, call: &Call, reference: &str) -> Result<Reply, Reply> {
        if reference.starts_with(BY_NAME) {
            let run = self.run(call).await?;
            return Ok(
                run.map_or(Reply::Running { detail: "dispatched".to_owned() }, |run| self.became(&run))
            );
        }
        let answer = self.get(self.at(&["runs", reference], &[])?).await?;
        match (answer.status(), answer.json()) {
            (200, Some(run)) => Ok(self.became(&run)),
            (200, None) => Ok(answer.unreadable("a run")),
            (404, _) => Ok(Reply::Failed { why: format!("the run {reference} is gone: {}", answer.said()) }),
            _ => Ok(refused(&answer)),
        }
    }

    /// What has become of `run`.
    fn became(&self, run: &Value) -> Reply {
        let word = |name: &str| run[name].as_str().map(|word| self.client.clean(word));
        match (word("status").as_deref(), word("conclusion").as_deref()) {
            (Some("completed"), Some("success")) => Reply::Succeeded { detail: "success".to_owned() },
            (Some("completed"), conclusion) => {
                Reply::Failed { why: format!("the run ended as {}", conclusion.unwrap_or("nothing")) }
            }
            (Some(status), _) => Reply::Running { detail: status.to_owned() },
            (None, _) => {
                let why = "a run without a status".to_owned();
                Reply::Retry { why, doubt: false, retry_after: None }
            }
        }
    }

    async fn stop(&self, call: &Call, reference: &str) -> Result<Reply, Reply> {
        let mut number = reference.to_owned();
        if reference.starts_with(BY_NAME) {
            let run = self.run(call).await.map_err(untouched)?;
            let Some(id) = run.and_then(|run| run["id"].as_u64()) else {
                let why = "the run is not there yet".to_owned();
                return Ok(Reply::Retry { why, doubt: false, retry_after: None });
            };
            number = id.to_string();
        }
        let url = self.at(&["runs", &number, "cancel"], &[])?;
        let answer = self.client.ask(self.request(Method::POST, url)).await?;
        if answer.is_success() {
            return Ok(Reply::Succeeded { detail: answer.said() });
        }
        Ok(refused(&answer))
    }
}

/// What a refusal says. GitHub limits its use with 403 as well as with 429; nothing was done then.
fn refused(answer: &Answer) -> Reply {
    let limited = answer.retry_after().is_some() || answer.header("x-ratelimit-remaining") == Some("0");
    if answer.status() == 403 && limited {
        return Reply::Retry { why: answer.said(), doubt: false, retry_after: answer.retry_after() };
    }
    answer.unexpected()
}

fn accepted(reference: String, detail: &str) -> Reply {
    Reply::Accepted { reference: Some(reference), detail: detail.to_owned(), done: false }
}

impl Target for Github {
    fn name(&self) -> &str {
        &self.name
    }

    fn idempotency(&self) -> Idempotency {
        Idempotency::Unkeyed
    }

    fn abilities(&self) -> Abilities {
        Abilities { preflight: true, find: true, poll: true, cancel: true }
    }

    fn preflight<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async move { untouched(self.check().await.unwrap_or_else(|reply| reply)) })
    }

    fn submit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async move { self.start(call).await.unwrap_or_else(|reply| reply) })
    }

    fn find<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async move { untouched(self.look(call).await.unwrap_or_else(|reply| reply)) })
    }

    fn poll<'a>(&'a self, call: &'a Call, reference: &'a str) -> BoxFuture<'a, Reply> {
        Box::pin(async move { untouched(self.follow(call, reference).await.unwrap_or_else(|reply| reply)) })
    }

    fn cancel<'a>(&'a self, call: &'a Call, reference: &'a str) -> BoxFuture<'a, Reply> {
        Box::pin(async move { self.stop(call, reference).await.unwrap_or_else(|reply| reply) })
    }
}
