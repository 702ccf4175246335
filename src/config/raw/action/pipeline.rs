//! Targets that run something: schedulers and build servers, for actions of any kind.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Duration, SecretRef};
use super::ten_seconds;

/// A DAG of Airflow 3, of which a run is started.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Airflow {
    /// Address of the API server; `https`, or `http` on a loopback address.
    pub url: String,
    /// Bearer token. Either this, or `username` and `password`, for which a token is asked.
    #[serde(default)]
    pub token: Option<SecretRef>,
    /// User, with `password`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub username: Option<String>,
    /// Password of `username`.
    #[serde(default)]
    pub password: Option<SecretRef>,
    /// Id of the DAG; a template.
    #[schemars(length(min = 1))]
    pub dag: String,
    /// The run's `conf`, by name; the texts in it are templates. Default: everything that a template can name.
    #[serde(default)]
    pub conf: Option<BTreeMap<String, serde_json::Value>>,
    /// PEM file with the authorities that sign the server's certificate; default: those of the system.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// How long one request may take.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
}

/// A workflow of GitHub Actions with `workflow_dispatch`, of which a run is started. Its `run-name` must hold the input that gets the action's id.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Github {
    /// Address of the API; `https`, or `http` on a loopback address.
    #[serde(default = "github")]
    pub url: String,
    /// Owner and name, as in `owner/name`.
    #[schemars(length(min = 1))]
    pub repository: String,
    /// File name of the workflow, or its number.
    #[schemars(length(min = 1))]
    pub workflow: String,
    /// Branch or tag to run it from.
    #[serde(default = "main")]
    #[schemars(length(min = 1))]
    pub r#ref: String,
    /// Token that may read and write the repository's actions.
    pub token: SecretRef,
    /// The input that gets the action's id.
    #[serde(default = "action_id")]
    #[schemars(length(min = 1))]
    pub id_input: String,
    /// Further inputs, by name, at most 24; values are templates. Default: none.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// PEM file with the authorities that sign the server's certificate; default: those of the system.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// How long one request may take.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
}

/// A GitLab project, in which a pipeline is triggered. Its `workflow:name` must hold the variable that gets the action's id.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gitlab {
    /// Address of GitLab; `https`, or `http` on a loopback address.
    #[serde(default = "gitlab")]
    pub url: String,
    /// The project's number, or its path.
    #[schemars(length(min = 1))]
    pub project: String,
    /// Branch or tag to run the pipeline of.
    #[serde(default = "main")]
    #[schemars(length(min = 1))]
    pub r#ref: String,
    /// Pipeline trigger token.
    pub trigger_token: SecretRef,
    /// Token with the scope `api` (`read_api` where nothing is to be stopped), to follow pipelines. Default: none, and nothing is known after a pipeline was triggered.
    #[serde(default)]
    pub token: Option<SecretRef>,
    /// The variable that gets the action's id.
    #[serde(default = "action_id_variable")]
    #[schemars(length(min = 1))]
    pub id_variable: String,
    /// Further variables, by name; values are templates. Default: none.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// PEM file with the authorities that sign the server's certificate; default: those of the system.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// How long one request may take.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
}

/// A parameterised job of Jenkins, of which a build is started.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jenkins {
    /// Address of Jenkins; `https`, or `http` on a loopback address.
    pub url: String,
    /// The job, with its folders, as in `folder/job`.
    #[schemars(length(min = 1))]
    pub job: String,
    /// User.
    #[schemars(length(min = 1))]
    pub username: String,
    /// API token of `username`.
    pub token: SecretRef,
    /// The parameter that gets the action's id.
    #[serde(default = "action_id_variable")]
    #[schemars(length(min = 1))]
    pub id_parameter: String,
    /// Further parameters, by name; values are templates. Default: none.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// PEM file with the authorities that sign the server's certificate; default: those of the system.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// How long one request may take.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
}

/// A template of Argo Workflows, which is submitted.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArgoWorkflows {
    /// Address of the Argo server; `https`, or `http` on a loopback address.
    pub url: String,
    /// Bearer token; a file is read again at each request, because tokens of service accounts rotate.
    pub token: SecretRef,
    /// Namespace of the workflows.
    #[schemars(length(min = 1))]
    pub namespace: String,
    /// Name of the template.
    #[schemars(length(min = 1))]
    pub template: String,
    /// Whether that is a ClusterWorkflowTemplate, and not a WorkflowTemplate.
    #[serde(default)]
    pub cluster_scope: bool,
    /// Parameters, by name; values are templates. Default: none.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// PEM file with the authorities that sign the server's certificate; default: those of the system.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// How long one request may take.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
}

fn github() -> String {
    "https://api.github.com".to_owned()
}

fn gitlab() -> String {
    "https://gitlab.com".to_owned()
}

fn main() -> String {
    "main".to_owned()
}

fn action_id() -> String {
    "action_id".to_owned()
}

fn action_id_variable() -> String {
    "PLIMSOLL_ACTION_ID".to_owned()
}
