//! A build of a parameterised job of Jenkins.
//!
//! Jenkins knows no key of a request: two requests are two builds. So the action's id goes into a
//! parameter, and what was started is found by it, among what waits in the queue and among the job's
//! builds. What Jenkins answers with is the place in the queue, which it forgets some minutes after the
//! build has begun; then the build is found by the parameter, too. A parameter that the job does not
//! declare would be dropped in silence, so that is asked for first.
//!
//! Requests with an API token need no crumb. Paths and members as in Jenkins' remote access API.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, TimeDelta};
use futures::future::BoxFuture;
use reqwest::{Method, Url};
use serde_json::Value;

use crate::engine::actor::Call;
use crate::safety::{Abilities, ActionKind, Idempotency, Reply, Suppression};

use super::http::{self, Answer, Auth, Client, Place, Token, untouched};
use super::parameters::{self, Parameters};
use super::request::Request;
use super::{Clock, Target};

/// Builds that are looked through.
const BUILDS: usize = 100;
/// How much of a list is read.
const LIST_BYTES: usize = 4 << 20;
/// How far Jenkins' clock may be behind ours.
const SKEW: TimeDelta = TimeDelta::minutes(10);
/// What references begin with: a place in the queue, or a build of the job.
const QUEUE: &str = "queue/";
const BUILD: &str = "build/";

/// Why a job cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address, or the authorities to trust.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// What a build is given.
    #[error("the parameters cannot be used")]
    Parameters(#[from] parameters::Error),
}

/// A job to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Jenkins; and how long one request may take.
    pub place: Place,
    /// User.
    pub username: String,
    /// API token of the user.
    pub token: Token,
    /// The job's folders, and its name.
    pub job: Vec<String>,
    /// The parameter that gets the action's id.
    pub id_parameter: String,
    /// Further parameters, by name; templates.
    pub parameters: BTreeMap<String, String>,
}

/// A job.
pub struct Jenkins {
    name: String,
    client: Client,
    config: Config,
    parameters: Parameters,
}

impl fmt::Debug for Jenkins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jenkins").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Jenkins {
    /// The job that `config` describes, for actions of `kind`. Reads the file of authorities, and calls
    /// nothing yet.
    pub fn new(config: &Config, kind: ActionKind, clock: Clock) -> Result<Self, Error> {
        let auth = Auth::Basic { username: config.username.clone(), password: config.token.clone() };
        let client = Client::new(&config.place, auth, &[], clock)?;
        let parameters = Parameters::new(Some(&config.id_parameter), &config.parameters, kind)?;
        let job = config.job.join("/");
        let name = format!("{} {job}", client.name("jenkins", &[&job]));
        Ok(Self { name, client, config: config.clone(), parameters })
    }

    /// An address below that of the job.
    fn job(&self, rest: &[&str], query: &[(&str, &str)]) -> Result<Url, Reply> {
        let folders = self.config.job.iter().flat_map(|name| ["job", name.as_str()]);
        let segments: Vec<&str> = folders.chain(rest.iter().copied()).collect();
        self.client.at(&segments, query)
    }

    async fn get(&self, url: Url) -> Result<Answer, Reply> {
        self.client.ask_up_to(self.client.request(Method::GET, url), LIST_BYTES).await
    }

    async fn read(&self, url: Url, what: &str) -> Result<Value, Reply> {
        let answer = self.get(url).await?;
        if !answer.is_success() {
            return Err(answer.unexpected());
        }
        answer.json().ok_or_else(|| answer.unreadable(what))
    }

    async fn check(&self) -> Result<Reply, Reply> {
        let tree = "buildable,property[parameterDefinitions[name]]";
        let job = self.read(self.job(&["api", "json"], &[("tree", tree)])?, "a job").await?;
        if job["buildable"] != true {
            let why = "the job is disabled, or is none that can be built".to_owned();
            return Ok(Reply::Barred { reason: Suppression::TargetNotReady, why });
        }
        let properties = job["property"].as_array().into_iter().flatten();
        let mut declared =
            properties.flat_map(|property| property["parameterDefinitions"].as_array().into_iter().flatten());
        let id = &self.config.id_parameter;
        if !declared.any(|parameter| parameter["name"] == id.as_str()) {
            let why = format!("the job declares no parameter `{id}`, so a build could not be found again");
            return Ok(Reply::Barred { reason: Suppression::TargetNotReady, why });
        }
        Ok(Reply::Clear)
    }

    async fn start(&self, call: &Call) -> Result<Reply, Reply> {
        let parameters = self.parameters.render(&Request::of(call)?)?;
        let url = self.job(&["buildWithParameters"], &[])?;
        let answer = self.client.send(self.client.request(Method::POST, url).form(&parameters)).await?;
        match (answer.status(), answer.header("location").and_then(queue_item)) {
            (201, Some(item)) => Ok(accepted(format!("{QUEUE}{item}"))),
            (201, None) => Ok(answer.unreadable("the place in the queue")),
            // Jenkins redirects to the job where the same is in the queue already.
            (302 | 303, _) => Ok(answer.unreadable("a place in the queue")),
            _ => Ok(answer.unexpected()),
        }
    }

    /// What was started under the action's id: its reference. The queue comes first, because what leaves
    /// it is a build from then on.
    async fn started(&self, call: &Call) -> Result<Option<String>, Reply> {
        let carries = |item: &Value| self.carries(item, &call.action_id);
        let tree = "items[id,actions[parameters[name,value]]]";
        let queue =
            self.read(self.client.at(&["queue", "api", "json"], &[("tree", tree)])?, "the queue").await?;
        let items = queue["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if let Some(id) = items.iter().find(|item| carries(item)).and_then(|item| item["id"].as_u64()) {
            return Ok(Some(format!("{QUEUE}{id}")));
        }
        let tree = format!("builds[number,timestamp,actions[parameters[name,value]]]{{0,{BUILDS}}}");
        let job = self.read(self.job(&["api", "json"], &[("tree", &tree)])?, "the builds").await?;
        let builds = job["builds"].as_array().map(Vec::as_slice).unwrap_or_default();
        if let Some(build) = builds.iter().find(|build| carries(build)) {
            return Ok(build["number"].as_u64().map(|number| format!("{BUILD}{number}")));
        }
        let since = DateTime::parse_from_rfc3339(Request::of(call)?.time)
            .ok()
            .map(|at| (at - SKEW).timestamp_millis());
        let oldest = builds.last().and_then(|build| build["timestamp"].as_i64());
        if builds.len() >= BUILDS && (since.is_none() || oldest.is_none() || oldest >= since) {
            let why = format!("the build is not among the {BUILDS} newest of the job");
            return Err(Reply::Retry { why, doubt: false, retry_after: None });
        }
        Ok(None)
    }

    /// Whether `item`, of the queue or a build, has the action's id among its parameters.
    fn carries(&self, item: &Value, action_id: &str) -> bool {
        let actions = item["actions"].as_array().into_iter().flatten();
        let mut parameters = actions.flat_map(|action| action["parameters"].as_array().into_iter().flatten());
        parameters.any(|it| it["name"] == self.config.id_parameter.as_str() && it["value"] == action_id)
    }

    async fn look(&self, call: &Call) -> Result<Reply, Reply> {
        Ok(self.started(call).await?.map_or(Reply::Absent, accepted))
    }

    async fn follow(&self, call: &Call, reference: &str) -> Result<Reply, Reply> {
        if let Some(number) = reference.strip_prefix(BUILD) {
            return self.build(number).await;
        }
        match self.waiting(reference).await? {
            Waiting::Reply(reply) => Ok(reply),
            Waiting::Build(number) => self.build(&number).await,
            // The queue has forgotten it; the job has not.
            Waiting::Gone => match self.started(call).await? {
                Some(found) => match found.strip_prefix(BUILD) {
                    Some(number) => self.build(number).await,
                    None => Ok(Reply::Running { detail: "queued".to_owned() }),
                },
                None => {
                    Ok(Reply::Failed { why: "it is neither in the queue nor among the builds".to_owned() })
                }
            },
        }
    }

    /// What has become of what waits in the queue.
    async fn waiting(&self, reference: &str) -> Result<Waiting, Reply> {
        let item = reference.strip_prefix(QUEUE).unwrap_or(reference);
        let tree = [("tree", "cancelled,why,executable[number]")];
        let answer = self.get(self.client.at(&["queue", "item", item, "api", "json"], &tree)?).await?;
        if answer.status() == 404 {
            return Ok(Waiting::Gone);
        }
        if !answer.is_success() {
            return Err(answer.unexpected());
        }
        let Some(item) = answer.json() else { return Err(answer.unreadable("a place in the queue")) };
        if let Some(number) = item["executable"]["number"].as_u64() {
            return Ok(Waiting::Build(number.to_string()));
        }
        if item["cancelled"] == true {
            let why = "it was taken out of the queue".to_owned();
            return Ok(Waiting::Reply(Reply::Failed { why }));
        }
        let why = item["why"].as_str().map(|why| format!("queued: {}", self.client.clean(why)));
        Ok(Waiting::Reply(Reply::Running { detail: why.unwrap_or_else(|| "queued".to_owned()) }))
    }

    async fn build(&self, number: &str) -> Result<Reply, Reply> {
        let tree = [("tree", "building,result")];
        let answer = self.get(self.job(&[number, "api", "json"], &tree)?).await?;
        let build = answer.json().filter(|_| answer.is_success());
        let result = build.as_ref().map(|build| (build["building"].as_bool(), build["result"].as_str()));
        Ok(match result {
            Some((Some(true), _)) => Reply::Running { detail: format!("build {number}") },
            Some((_, Some("SUCCESS"))) => Reply::Succeeded { detail: format!("build {number}: SUCCESS") },
            Some((_, Some(result))) => {
                Reply::Failed { why: format!("build {number}: {}", self.client.clean(result)) }
            }
            Some((_, None)) => answer.unreadable("the result of the build"),
            None if answer.is_success() => answer.unreadable("a build"),
            None if answer.status() == 404 => Reply::Failed { why: format!("build {number} is gone") },
            None => answer.unexpected(),
        })
    }

    async fn stop(&self, call: &Call, reference: &str) -> Result<Reply, Reply> {
        let mut place = reference.to_owned();
        if reference.starts_with(QUEUE) {
            place = match self.waiting(reference).await.map_err(untouched)? {
                Waiting::Build(number) => format!("{BUILD}{number}"),
                Waiting::Gone => self.started(call).await.map_err(untouched)?.unwrap_or_default(),
                Waiting::Reply(Reply::Failed { why }) => return Ok(Reply::Succeeded { detail: why }),
                Waiting::Reply(_) => place,
            };
        }
        let url = match (place.strip_prefix(BUILD), place.strip_prefix(QUEUE)) {
            (Some(number), _) => self.job(&[number, "stop"], &[])?,
            (None, Some(item)) => self.client.at(&["queue", "cancelItem"], &[("id", item)])?,
            (None, None) => return Ok(Reply::Rejected { why: "there is nothing to be stopped".to_owned() }),
        };
        let answer = self.client.send(self.client.request(Method::POST, url)).await?;
        match answer.status() {
            // A build redirects to where the request came from.
            200..=299 | 302 | 303 => Ok(Reply::Succeeded { detail: format!("HTTP {}", answer.status()) }),
            _ => Ok(answer.unexpected()),
        }
    }
}

/// What the queue says of a place in it.
enum Waiting {
    /// It has become this build.
    Build(String),
    /// There is no such place any more.
    Gone,
    /// It waits, or does no longer.
    Reply(Reply),
}

/// The number at the end of the address of a place in the queue.
fn queue_item(location: &str) -> Option<u64> {
    let (_, item) = location.trim_end_matches('/').rsplit_once("/queue/item/")?;
    item.parse().ok()
}

fn accepted(reference: String) -> Reply {
    let detail = reference.clone();
    Reply::Accepted { reference: Some(reference), detail, done: false }
}

impl Target for Jenkins {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_queue_is_read_from_its_address() {
        for location in
            ["https://j.example/queue/item/17/", "http://j.example/jenkins/queue/item/17", "/queue/item/17/"]
        {
            assert_eq!(queue_item(location), Some(17), "{location}");
        }
        for location in ["https://j.example/job/x/", "/queue/item/", "/queue/item/x", ""] {
            assert_eq!(queue_item(location), None, "{location}");
        }
    }
}
