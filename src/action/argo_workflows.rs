//! A workflow made of a template of Argo Workflows, under the action's id.
//!
//! The workflow's name is the action's id, and Kubernetes has one object of a name: a second submission
//! is a conflict and never a second workflow, as long as the first is kept. A conflict counts once the
//! workflow has been read and carries our label. Argo submits templates that are suspended, too, and
//! their workflows wait; so that is asked for first.
//!
//! Requests and replies as in the swagger description of the Argo server (argoproj/argo-workflows).

use std::collections::BTreeMap;
use std::fmt;

use futures::future::BoxFuture;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::engine::actor::Call;
use crate::safety::{Abilities, ActionKind, Idempotency, Reply, Suppression};

use super::http::{self, Answer, Auth, Client, Place, doubtful, untouched};
use super::parameters::{self, Parameters};
use super::request::Request;
use super::{Clock, Credential, Target};

/// The label by which a workflow is known to be ours.
const LABEL: &str = "plimsoll-action";
/// How much of a reply is read: submitting answers with the whole workflow.
const REPLY_BYTES: usize = 4 << 20;
/// What of a workflow is asked for.
const FIELDS: &str = "metadata.name,metadata.labels,status.phase,status.message";

/// Why a template cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address, or the authorities to trust.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// What the workflow is given.
    #[error("the parameters cannot be used")]
    Parameters(#[from] parameters::Error),
}

/// A template to be submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The Argo server, without `/api`; and how long one request may take.
    pub place: Place,
    /// How to log in.
    pub token: Credential,
    /// Namespace of the workflows.
    pub namespace: String,
    /// Name of the template.
    pub template: String,
    /// Whether that is a ClusterWorkflowTemplate, and not a WorkflowTemplate of the namespace.
    pub cluster_scope: bool,
    /// Parameters, by name; templates.
    pub parameters: BTreeMap<String, String>,
}

/// A template.
pub struct ArgoWorkflows {
    name: String,
    client: Client,
    config: Config,
    parameters: Parameters,
}

impl fmt::Debug for ArgoWorkflows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArgoWorkflows").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ArgoWorkflows {
    /// The template that `config` describes, for actions of `kind`. Reads the file of authorities, and
    /// calls nothing yet.
    pub fn new(config: &Config, kind: ActionKind, clock: Clock) -> Result<Self, Error> {
        let client = Client::new(&config.place, Auth::None, &[], clock)?;
        let parameters = Parameters::new(None, &config.parameters, kind)?;
        let Config { namespace, template, cluster_scope, .. } = config;
        let scope = if *cluster_scope { "cluster" } else { "namespace" };
        let name = client.name("argo_workflows", &[namespace, template, scope]);
        Ok(Self {
            name: format!("{name} {namespace}/{template}"),
            client,
            config: config.clone(),
            parameters,
        })
    }

    async fn ask(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Answer, Reply> {
        let request = self.config.token.request(&self.client, method, url)?;
        let request = match body {
            Some(body) => http::json(request, body),
            None => request,
        };
        self.client.ask_up_to(request, REPLY_BYTES).await
    }

    fn workflows(&self, rest: &[&str], query: &[(&str, &str)]) -> Result<Url, Reply> {
        let segments = [&["api", "v1", "workflows", self.config.namespace.as_str()], rest].concat();
        self.client.at(&segments, query)
    }

    async fn check(&self) -> Result<Reply, Reply> {
        let Config { namespace, template, cluster_scope, .. } = &self.config;
        let url = if *cluster_scope {
            self.client.at(&["api", "v1", "cluster-workflow-templates", template], &[])?
        } else {
            self.client.at(&["api", "v1", "workflow-templates", namespace, template], &[])?
        };
        let answer = self.ask(Method::GET, url, None).await?;
        if !answer.is_success() {
            return Ok(answer.unexpected());
        }
        match answer.json() {
            Some(template) if template["spec"]["suspend"] == true => {
                let why = "the template is suspended, and so would its workflow be".to_owned();
                Ok(Reply::Barred { reason: Suppression::TargetNotReady, why })
            }
            Some(template) if template["spec"].is_object() => Ok(Reply::Clear),
            _ => Ok(answer.unreadable("a template")),
        }
    }

    async fn start(&self, call: &Call) -> Result<Reply, Reply> {
        let parameters = self.parameters.render(&Request::of(call)?)?;
        let parameters: Vec<String> =
            { parameters.iter() }.map(|(name, value)| format!("{name}={value}")).collect();
        let Config { namespace, template, cluster_scope, .. } = &self.config;
        let id = call.action_id.as_str();
        let body = json!({
            "namespace": namespace,
            "resourceKind": if *cluster_scope { "ClusterWorkflowTemplate" } else { "WorkflowTemplate" },
            "resourceName": template,
            "submitOptions": {"name": id, "labels": format!("{LABEL}={id}"), "parameters": parameters},
        });
        let answer = self.ask(Method::POST, self.workflows(&["submit"], &[])?, Some(&body)).await?;
        if answer.status() == 409 {
            let found = self.workflow(id).await;
            let found =
                found.map_err(|reply| doubtful(reply, "the workflow is said to exist, and was not read"))?;
            return Ok(match found {
                Found::Ours(workflow) => accepted(id, self.phase(&workflow)),
                Found::Absent(_) => {
                    Reply::Rejected { why: format!("{}, and there is no such workflow", answer.said()) }
                }
                Found::Foreign => foreign(id),
            });
        }
        if !answer.is_success() {
            return Ok(answer.unexpected());
        }
        match answer.json() {
            Some(workflow) if workflow["metadata"]["name"] == id => Ok(accepted(id, self.phase(&workflow))),
            _ => Ok(answer.unreadable("the workflow")),
        }
    }

    async fn workflow(&self, name: &str) -> Result<Found, Reply> {
        let answer = self.ask(Method::GET, self.workflows(&[name], &[("fields", FIELDS)])?, None).await?;
        if answer.status() == 404 {
            return Ok(Found::Absent(answer.said()));
        }
        if !answer.is_success() {
            return Err(answer.unexpected());
        }
        match answer.json() {
            Some(workflow) if workflow["metadata"]["labels"][LABEL] == name => Ok(Found::Ours(workflow)),
            Some(workflow) if workflow["metadata"].is_object() => Ok(Found::Foreign),
            _ => Err(answer.unreadable("a workflow")),
        }
    }

    async fn look(&self, call: &Call) -> Result<Reply, Reply> {
        Ok(match self.workflow(&call.action_id).await? {
            Found::Ours(workflow) => accepted(&call.action_id, self.phase(&workflow)),
            Found::Absent(_) => Reply::Absent,
            Found::Foreign => foreign(&call.action_id),
        })
    }

    async fn follow(&self, reference: &str) -> Result<Reply, Reply> {
        let workflow = match self.workflow(reference).await? {
            Found::Ours(workflow) => workflow,
            Found::Absent(said) => {
                return Ok(Reply::Failed { why: format!("the workflow {reference} is gone: {said}") });
            }
            Found::Foreign => return Ok(foreign(reference)),
        };
        let message = workflow["status"]["message"].as_str().map(|words| self.client.clean(words));
        Ok(match self.phase(&workflow).as_str() {
            "Succeeded" => Reply::Succeeded { detail: "Succeeded".to_owned() },
            phase @ ("Failed" | "Error") => Reply::Failed {
                why: format!("the workflow ended as {phase}: {}", message.unwrap_or_default()),
            },
            phase => Reply::Running { detail: phase.to_owned() },
        })
    }

    /// The phase of a workflow; one that no controller has seen yet has none.
    fn phase(&self, workflow: &Value) -> String {
        match workflow["status"]["phase"].as_str() {
            None | Some("") => "submitted".to_owned(),
            Some(phase) => self.client.clean(phase),
        }
    }

    /// Stops it and lets its exit handlers run: they are there to put things in order.
    async fn stop(&self, reference: &str) -> Result<Reply, Reply> {
        let body =
            json!({"name": reference, "namespace": self.config.namespace, "message": "stopped by plimsoll"});
        let answer = self.ask(Method::PUT, self.workflows(&[reference, "stop"], &[])?, Some(&body)).await?;
        if answer.is_success() {
            return Ok(Reply::Succeeded { detail: format!("HTTP {}", answer.status()) });
        }
        Ok(answer.unexpected())
    }
}

/// What there is under a name.
enum Found {
    /// The action's workflow.
    Ours(Value),
    /// Somebody else's.
    Foreign,
    /// Nothing, with what was said.
    Absent(String),
}

fn accepted(name: &str, detail: String) -> Reply {
    Reply::Accepted { reference: Some(name.to_owned()), detail, done: false }
}

fn foreign(name: &str) -> Reply {
    Reply::Rejected { why: format!("the workflow {name} is not of plimsoll's making") }
}

impl Target for ArgoWorkflows {
    fn name(&self) -> &str {
        &self.name
    }

    fn idempotency(&self) -> Idempotency {
        Idempotency::Keyed
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

    fn poll<'a>(&'a self, _call: &'a Call, reference: &'a str) -> BoxFuture<'a, Reply> {
        Box::pin(async move { untouched(self.follow(reference).await.unwrap_or_else(|reply| reply)) })
    }

    fn cancel<'a>(&'a self, _call: &'a Call, reference: &'a str) -> BoxFuture<'a, Reply> {
        Box::pin(async move { self.stop(reference).await.unwrap_or_else(|reply| reply) })
    }
}
