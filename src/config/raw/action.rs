//! Actions: what policies may ask for, and one section for each kind of target, of which an action
//! uses its target's own.

mod notify;
mod pipeline;
mod serving;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, SecretRef};

pub use notify::*;
pub use pipeline::*;
pub use serving::*;

/// Something that policies may ask for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Its name.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// What it is for: `rollback` (to the last good version), `retrain`, `notify`.
    pub kind: ActionKind,
    /// What carries it out: `dry_run` only records it; any other needs the section of its name.
    #[serde(default)]
    pub target: TargetKind,
    /// The address for `target: webhook`.
    #[serde(default)]
    pub webhook: Option<Webhook>,
    /// The alias for `target: mlflow`, which is for rollbacks.
    #[serde(default)]
    pub mlflow: Option<Mlflow>,
    /// The pipeline for `target: airflow`.
    #[serde(default)]
    pub airflow: Option<Airflow>,
    /// The workflow for `target: github`.
    #[serde(default)]
    pub github: Option<Github>,
    /// The pipeline for `target: gitlab`.
    #[serde(default)]
    pub gitlab: Option<Gitlab>,
    /// The job for `target: jenkins`.
    #[serde(default)]
    pub jenkins: Option<Jenkins>,
    /// The template for `target: argo_workflows`.
    #[serde(default)]
    pub argo_workflows: Option<ArgoWorkflows>,
    /// The service for `target: kserve`, which is for rollbacks.
    #[serde(default)]
    pub kserve: Option<Kserve>,
    /// The rollout for `target: argo_rollouts`, which is for rollbacks.
    #[serde(default)]
    pub argo_rollouts: Option<ArgoRollouts>,
    /// The topic for `target: kafka`.
    #[serde(default)]
    pub kafka: Option<KafkaCommand>,
    /// The address for `target: alertmanager`, which is for notifications.
    #[serde(default)]
    pub alertmanager: Option<Alertmanager>,
    /// The service for `target: pagerduty`, which is for notifications.
    #[serde(default)]
    pub pagerduty: Option<Pagerduty>,
    /// The address for `target: slack`, which is for notifications.
    #[serde(default)]
    pub slack: Option<Slack>,
    /// No further attempt is made after this.
    #[serde(default = "five_minutes")]
    pub deadline: Duration,
    /// How long what was started may run until it must have succeeded. Default: 10m, and 24h for a retraining.
    #[serde(default)]
    pub finish_within: Option<Duration>,
}

fn five_minutes() -> Duration {
    Duration::from("5m")
}

/// What an action is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Back to the last version that qualified.
    Rollback,
    /// Train a new version.
    Retrain,
    /// Tell somebody.
    Notify,
}

impl ActionKind {
    /// The kind as configurations and the API spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Retrain => "retrain",
            Self::Notify => "notify",
        }
    }

    /// Whether it changes what a model does, and does not only tell somebody.
    pub const fn acts(self) -> bool {
        matches!(self, Self::Rollback | Self::Retrain)
    }
}

/// What carries out an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// Only recorded.
    #[default]
    DryRun,
    /// A signed HTTP call.
    Webhook,
    /// An alias in MLflow's model registry.
    Mlflow,
    /// A run of an Airflow DAG.
    Airflow,
    /// A run of a GitHub Actions workflow.
    Github,
    /// A GitLab pipeline.
    Gitlab,
    /// A build of a Jenkins job.
    Jenkins,
    /// A workflow of Argo Workflows.
    ArgoWorkflows,
    /// The traffic of a KServe inference service.
    Kserve,
    /// A rollout of Argo Rollouts.
    ArgoRollouts,
    /// A command in a Kafka topic.
    Kafka,
    /// An alert of the Prometheus Alertmanager.
    Alertmanager,
    /// An event of PagerDuty.
    Pagerduty,
    /// A message to a Slack channel.
    Slack,
}

impl TargetKind {
    /// The target as configurations spell it, which is also the name of its section.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DryRun => "dry_run",
            Self::Webhook => "webhook",
            Self::Mlflow => "mlflow",
            Self::Airflow => "airflow",
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Jenkins => "jenkins",
            Self::ArgoWorkflows => "argo_workflows",
            Self::Kserve => "kserve",
            Self::ArgoRollouts => "argo_rollouts",
            Self::Kafka => "kafka",
            Self::Alertmanager => "alertmanager",
            Self::Pagerduty => "pagerduty",
            Self::Slack => "slack",
        }
    }

    /// The only kind of action that it is for; none: any.
    pub const fn only(self) -> Option<ActionKind> {
        match self {
            Self::Mlflow | Self::Kserve | Self::ArgoRollouts => Some(ActionKind::Rollback),
            Self::Alertmanager | Self::Pagerduty | Self::Slack => Some(ActionKind::Notify),
            Self::DryRun
            | Self::Webhook
            | Self::Airflow
            | Self::Github
            | Self::Gitlab
            | Self::Jenkins
            | Self::ArgoWorkflows
            | Self::Kafka => None,
        }
    }
}

/// A signed call (Standard Webhooks).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Address; `https`, or `http` on a loopback address.
    pub url: String,
    /// Key that signs the call.
    pub secret: SecretRef,
    /// PEM file with the authorities that sign the server's certificate; default: those of the system.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// How long one attempt may take.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
}

/// A command in a topic of the cluster in `kafka`: a CloudEvent in binary mode with a CDEvents event.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaCommand {
    /// The topic; it is never created.
    #[schemars(length(min = 1, max = 249))]
    pub topic: String,
    /// Topic in which the receiver says what became of a command. Default: none, and nothing is known after the command is stored.
    #[serde(default)]
    #[schemars(length(min = 1, max = 249))]
    pub reply_topic: Option<String>,
    /// Whether the receiver does a command once, however often it finds it under the same `action_id`. Only then is a command sent again after it is not certain that it was stored.
    #[serde(default)]
    pub receiver_dedupes: bool,
    /// Who speaks: `ce_source`, a reference such as `/plimsoll`.
    #[serde(default = "source")]
    #[schemars(length(min = 1))]
    pub source: String,
    /// Name of the environment in which the models serve.
    #[serde(default = "environment")]
    #[schemars(length(min = 1))]
    pub environment: String,
    /// How long one attempt may take.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
}

fn source() -> String {
    "/plimsoll".to_owned()
}

fn environment() -> String {
    "production".to_owned()
}

fn ten_seconds() -> Duration {
    Duration::from("10s")
}
