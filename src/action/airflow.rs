//! A run of a DAG of Airflow 3, started under the action's id.
//!
//! `dag_run_id` is the action's id and `logical_date` is null, so that a second request under the same
//! id is a conflict and never a second run; a conflict counts only once the run has been read. Airflow
//! takes runs of paused DAGs, and with a dead scheduler, and leaves them queued: so both are asked for
//! first, and 200 is "queued", not "done".

mod api;
mod config;

use std::fmt;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::engine::actor::Call;
use crate::safety::{Abilities, ActionKind, Idempotency, Reply, Suppression};

use super::http::{Auth, Client, doubtful, untouched};
use super::request::{Conf, Request, Template};
use super::{Clock, Target};

pub use config::{Config, Error, Login, default_conf};

use api::{Api, Created, Run};

/// A note that Airflow takes has at most so many characters.
const NOTE: usize = 1_000;

/// One DAG, or one for each model.
pub struct Airflow {
    name: String,
    api: Api,
    dag: Template,
    conf: Conf,
}

impl fmt::Debug for Airflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Airflow").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Airflow {
    /// The DAG that `config` describes, for actions of `kind`. Reads the file of authorities, and calls
    /// nothing yet.
    pub fn new(config: &Config, kind: ActionKind, clock: Clock) -> Result<Self, Error> {
        let Config { place, login, dag, conf } = config;
        let hidden = match login {
            Login::Token(token) | Login::Password { password: token, .. } => [token.clone()],
        };
        let client = Client::new(place, Auth::None, &hidden, clock)?;
        if !conf.is_object() {
            return Err(Error::NotAnObject);
        }
        // Not the conf: a run that was started with another is followed all the same.
        let name = client.name("airflow", &[dag]);
        Ok(Self {
            name: format!("{name} dag {dag}"),
            api: Api::new(client, login.clone()),
            dag: Template::new(dag, kind).map_err(Error::Dag)?,
            conf: Conf::new(conf, kind).map_err(Error::Conf)?,
        })
    }

    fn dag(&self, call: &Call) -> Result<String, Reply> {
        self.dag.render(&Request::of(call)?)
    }

    async fn check(&self, call: &Call) -> Result<Reply, Reply> {
        let dag = self.dag(call)?;
        let against = match self.api.health().await.map_err(untouched)? {
            None => self.api.standing(&dag).await.map_err(untouched)?,
            sick => sick,
        };
        Ok(match against {
            Some(why) => Reply::Barred { reason: Suppression::TargetNotReady, why },
            None => Reply::Clear,
        })
    }

    async fn start(&self, call: &Call) -> Result<Reply, Reply> {
        let request = Request::of(call)?;
        let dag = self.dag.render(&request)?;
        let id = call.action_id.as_str();
        let note: String = request.summary().chars().take(NOTE).collect();
        let body: Value = json!({
            "dag_run_id": id,
            // Null has to be said, and any date would make conflicts ambiguous.
            "logical_date": null,
            "conf": self.conf.render(&request)?,
            "note": note,
        });
        match self.api.create(&dag, id, &body).await? {
            Created::Run(state) => Ok(accepted(id, &state)),
            Created::Conflict(said) => {
                let found = self.api.run(&dag, id).await;
                match found.map_err(|reply| doubtful(reply, "the run is said to exist, and was not read"))? {
                    Run::Is(state) => Ok(accepted(id, &state)),
                    Run::Absent(_) => {
                        Ok(Reply::Rejected { why: format!("{said}, and there is no such run") })
                    }
                }
            }
        }
    }

    async fn look(&self, call: &Call) -> Result<Reply, Reply> {
        let dag = self.dag(call)?;
        Ok(match self.api.run(&dag, &call.action_id).await.map_err(untouched)? {
            Run::Is(state) => accepted(&call.action_id, &state),
            Run::Absent(_) => Reply::Absent,
        })
    }

    async fn follow(&self, call: &Call, reference: &str) -> Result<Reply, Reply> {
        let dag = self.dag(call)?;
        Ok(match self.api.run(&dag, reference).await.map_err(untouched)? {
            Run::Is(state) => match state.as_str() {
                "queued" | "running" => Reply::Running { detail: state },
                "success" => Reply::Succeeded { detail: state },
                "failed" => Reply::Failed { why: format!("the run {reference} failed") },
                _ => {
                    let why = format!("the run {reference} is in the state `{state}`, which is unknown here");
                    Reply::Retry { why, doubt: false, retry_after: None }
                }
            },
            Run::Absent(said) => Reply::Failed { why: format!("the run {reference} is gone: {said}") },
        })
    }

    async fn stop(&self, call: &Call, reference: &str) -> Result<Reply, Reply> {
        let dag = self.dag(call)?;
        // What has ended is left as it ended: its state is a record.
        match self.api.run(&dag, reference).await.map_err(untouched)? {
            Run::Is(state) if state == "failed" => {
                return Ok(Reply::Succeeded { detail: "the run had failed already".to_owned() });
            }
            Run::Is(state) if state == "success" => {
                return Ok(Reply::Rejected { why: "the run has succeeded already".to_owned() });
            }
            Run::Is(_) => {}
            Run::Absent(said) => {
                return Ok(Reply::Rejected { why: format!("the run {reference} is gone: {said}") });
            }
        }
        self.api.fail(&dag, reference).await?;
        Ok(Reply::Succeeded { detail: format!("the run {reference} was set to failed") })
    }
}

fn accepted(id: &str, state: &str) -> Reply {
    Reply::Accepted { reference: Some(id.to_owned()), detail: format!("the run is {state}"), done: false }
}

impl Target for Airflow {
    fn name(&self) -> &str {
        &self.name
    }

    fn idempotency(&self) -> Idempotency {
        Idempotency::Keyed
    }

    fn abilities(&self) -> Abilities {
        Abilities { preflight: true, find: true, poll: true, cancel: true }
    }

    fn preflight<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async { self.check(call).await.unwrap_or_else(|reply| reply) })
    }

    fn submit<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async { self.start(call).await.unwrap_or_else(|reply| reply) })
    }

    fn find<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Reply> {
        Box::pin(async { self.look(call).await.unwrap_or_else(|reply| reply) })
    }

    fn poll<'a>(&'a self, call: &'a Call, reference: &'a str) -> BoxFuture<'a, Reply> {
        Box::pin(async move { self.follow(call, reference).await.unwrap_or_else(|reply| reply) })
    }

    fn cancel<'a>(&'a self, call: &'a Call, reference: &'a str) -> BoxFuture<'a, Reply> {
        Box::pin(async move { self.stop(call, reference).await.unwrap_or_else(|reply| reply) })
    }
}
