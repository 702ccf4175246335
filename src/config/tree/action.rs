//! Actions and their targets. Templates hold no unknown placeholder, and none that the kind of the
//! action leaves without a value.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{ActionKind, Severity, TargetKind};
use crate::config::secret::Secret;

/// Something that policies may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: ActionKind,
    /// What carries it out; made for the kind.
    pub target: Target,
    /// No further attempt after this; above zero.
    pub deadline: Duration,
    /// How long what was started may run until it must have succeeded; above zero.
    pub finish_within: Duration,
}

/// What carries out an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nothing: it is only recorded.
    DryRun,
    /// A signed call.
    Webhook(Webhook),
    /// An alias in MLflow's model registry.
    Mlflow(Mlflow),
    /// A run of an Airflow DAG.
    Airflow(Airflow),
    /// A run of a GitHub Actions workflow.
    Github(Github),
    /// A GitLab pipeline.
    Gitlab(Gitlab),
    /// A build of a Jenkins job.
    Jenkins(Jenkins),
    /// A workflow of Argo Workflows.
    ArgoWorkflows(ArgoWorkflows),
    /// The traffic of a KServe inference service.
    Kserve(Kserve),
    /// A rollout of Argo Rollouts.
    ArgoRollouts(ArgoRollouts),
    /// A command in a Kafka topic.
    Kafka(KafkaCommand),
    /// An alert of the Alertmanager.
    Alertmanager(Alertmanager),
    /// An event of PagerDuty.
    Pagerduty(Pagerduty),
    /// A message to a Slack channel.
    Slack(Slack),
}

impl Target {
    /// The target as configurations spell it, which is also the name of its section.
    pub const fn name(&self) -> &'static str {
        self.kind().name()
    }

    const fn kind(&self) -> TargetKind {
        match self {
            Self::DryRun => TargetKind::DryRun,
            Self::Webhook(_) => TargetKind::Webhook,
            Self::Mlflow(_) => TargetKind::Mlflow,
            Self::Airflow(_) => TargetKind::Airflow,
            Self::Github(_) => TargetKind::Github,
            Self::Gitlab(_) => TargetKind::Gitlab,
            Self::Jenkins(_) => TargetKind::Jenkins,
            Self::ArgoWorkflows(_) => TargetKind::ArgoWorkflows,
            Self::Kserve(_) => TargetKind::Kserve,
            Self::ArgoRollouts(_) => TargetKind::ArgoRollouts,
            Self::Kafka(_) => TargetKind::Kafka,
            Self::Alertmanager(_) => TargetKind::Alertmanager,
            Self::Pagerduty(_) => TargetKind::Pagerduty,
            Self::Slack(_) => TargetKind::Slack,
        }
    }
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `https`, or `http` on a loopback address; without user or password.
    pub url: String,
    /// Authorities, PEM; exists.
    pub ca_file: Option<PathBuf>,
    /// For one attempt; above zero, at most the deadline.
    pub timeout: Duration,
}

/// How one logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    None,
    /// With a token.
    Bearer(Secret),
    /// With a user and a password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
}

/// A token that may change while everything runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// One that stays.
    Fixed(Secret),
    /// The file that holds it, to be read again each time.
    File(PathBuf),
}

/// A signed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where to.
    pub place: Place,
    /// Signing key.
    pub secret: Secret,
}

/// An alias in MLflow's model registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mlflow {
    /// The tracking server.
    pub place: Place,
    /// How to log in.
    pub auth: Auth,
    /// Name of the registered model; a template.
    pub model: String,
    /// The alias.
    pub alias: String,
    /// Text before the registry's version number.
    pub version_prefix: String,
}

/// A run of an Airflow DAG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Airflow {
    /// The API server.
    pub place: Place,
    /// How to log in; never [`Auth::None`].
    pub auth: Auth,
    /// Id of the DAG; a template.
    pub dag: String,
    /// The run's `conf`, whose texts are templates; none: everything that a template can name.
    pub conf: Option<BTreeMap<String, serde_json::Value>>,
}

/// A run of a GitHub Actions workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Github {
    /// The API.
    pub place: Place,
    /// Token.
    pub token: Secret,
    /// Owner of the repository.
    pub owner: String,
    /// Name of the repository.
    pub repository: String,
    /// File name of the workflow, or its number.
    pub workflow: String,
    /// Branch or tag.
    pub git_ref: String,
    /// The input that gets the action's id; not among `inputs`.
    pub id_input: String,
    /// Further inputs, at most 24; templates.
    pub inputs: BTreeMap<String, String>,
}

/// A GitLab pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gitlab {
    /// GitLab.
    pub place: Place,
    /// Number or path of the project.
    pub project: String,
    /// Branch or tag.
    pub git_ref: String,
    /// Pipeline trigger token.
    pub trigger_token: Secret,
    /// Token to follow pipelines; none: they cannot be followed.
    pub token: Option<Secret>,
    /// The variable that gets the action's id; not among `variables`.
    pub id_variable: String,
    /// Further variables; templates.
    pub variables: BTreeMap<String, String>,
}

/// A build of a Jenkins job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jenkins {
    /// Jenkins.
    pub place: Place,
    /// User.
    pub username: String,
    /// API token.
    pub token: Secret,
    /// The job's folders and its name; at least one, none empty.
    pub job: Vec<String>,
    /// The parameter that gets the action's id; not among `parameters`.
    pub id_parameter: String,
    /// Further parameters; templates.
    pub parameters: BTreeMap<String, String>,
}

/// A workflow of Argo Workflows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgoWorkflows {
    /// The Argo server.
    pub place: Place,
    /// Token.
    pub token: Credential,
    /// Namespace, a Kubernetes name.
    pub namespace: String,
    /// Name of the template, a Kubernetes name.
    pub template: String,
    /// Whether it is a ClusterWorkflowTemplate.
    pub cluster_scope: bool,
    /// Parameters; templates.
    pub parameters: BTreeMap<String, String>,
}

/// The traffic of a KServe inference service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kserve {
    /// The Kubernetes API.
    pub place: Place,
    /// Token.
    pub token: Credential,
    /// Namespace, a Kubernetes name.
    pub namespace: String,
    /// Name of the InferenceService; a template.
    pub service: String,
    /// Its label with the version.
    pub version_label: String,
}

/// A rollout of Argo Rollouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgoRollouts {
    /// The Kubernetes API.
    pub place: Place,
    /// Token.
    pub token: Credential,
    /// Namespace, a Kubernetes name.
    pub namespace: String,
    /// Name of the Rollout; a template.
    pub rollout: String,
    /// Label of the pod template with the version.
    pub version_label: String,
    /// Whether a rollout that has ended is undone.
    pub undo: bool,
}

/// A command in a Kafka topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaCommand {
    /// The topic. [`Config::kafka`](super::Config::kafka) is present.
    pub topic: String,
    /// Where the receiver answers; another topic.
    pub reply_topic: Option<String>,
    /// Whether the receiver does a command once.
    pub receiver_dedupes: bool,
    /// Who speaks, a reference.
    pub source: String,
    /// Where the models serve.
    pub environment: String,
    /// For one attempt; above zero, at most the deadline.
    pub timeout: Duration,
}

/// An alert of the Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alertmanager {
    /// The Alertmanager.
    pub place: Place,
    /// How to log in.
    pub auth: Auth,
    /// The label `alertname`.
    pub alertname: String,
    /// The label `severity`.
    pub severity: String,
    /// Further labels; names as Prometheus allows them.
    pub labels: BTreeMap<String, String>,
    /// How long an alert fires by itself; a minute or more.
    pub resolve_after: Duration,
    /// A web address.
    pub generator_url: Option<String>,
}

/// An event of PagerDuty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pagerduty {
    /// What takes events.
    pub place: Place,
    /// Integration key, 32 characters.
    pub routing_key: Secret,
    /// How bad alerts are.
    pub severity: Severity,
    /// A web address.
    pub link: Option<String>,
}

/// A message to a Slack channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slack {
    /// The webhook's address, a secret; `https`, or `http` on a loopback address.
    pub url: Secret,
    /// Authorities, PEM; exists.
    pub ca_file: Option<PathBuf>,
    /// For one attempt; above zero, at most the deadline.
    pub timeout: Duration,
}
