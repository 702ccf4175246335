//! Targets that hold what serves, and are for rollbacks: a registry's alias, and objects of Kubernetes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Duration, SecretRef};
use super::ten_seconds;

/// An alias in MLflow's model registry, which is moved back to the good version.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mlflow {
    /// Address of the tracking server; `https`, or `http` on a loopback address.
    pub url: String,
    /// Bearer token. Default: none.
    #[serde(default)]
    pub token: Option<SecretRef>,
    /// User, with `password`. Default: none.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub username: Option<String>,
    /// Password of `username`.
    #[serde(default)]
    pub password: Option<SecretRef>,
    /// Name of the registered model; a template.
    #[serde(default = "model")]
    #[schemars(length(min = 1))]
    pub model: String,
    /// The alias that the server of the model follows.
    #[schemars(length(min = 1))]
    pub alias: String,
    /// Text before the registry's version number in versions as records state them, such as `v` in `v7`.
    #[serde(default)]
    pub version_prefix: String,
    /// PEM file with the authorities that sign the server's certificate; default: those of the system.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// How long one request may take.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
}

/// A KServe inference service (Knative mode), whose newest revision is left without traffic.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kserve {
    /// Address of the Kubernetes API; `https`, or `http` on a loopback address.
    #[serde(default = "kubernetes")]
    pub url: String,
    /// Bearer token; a file is read again at each request, because tokens of service accounts rotate.
    #[serde(default = "service_account")]
    pub token: SecretRef,
    /// Namespace of the service.
    #[schemars(length(min = 1))]
    pub namespace: String,
    /// Name of the InferenceService; a template.
    #[serde(default = "model")]
    #[schemars(length(min = 1))]
    pub service: String,
    /// Label of the InferenceService with the model's version, as records state it.
    #[schemars(length(min = 1))]
    pub version_label: String,
    /// PEM file with the authorities that sign the server's certificate; default: those of the system.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// How long one request may take.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
}

/// A rollout of Argo Rollouts, which is aborted where it is under way, or undone where that is allowed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArgoRollouts {
    /// Address of the Kubernetes API; `https`, or `http` on a loopback address.
    #[serde(default = "kubernetes")]
    pub url: String,
    /// Bearer token; a file is read again at each request, because tokens of service accounts rotate.
    #[serde(default = "service_account")]
    pub token: SecretRef,
    /// Namespace of the rollout.
    #[schemars(length(min = 1))]
    pub namespace: String,
    /// Name of the Rollout; a template.
    #[serde(default = "model")]
    #[schemars(length(min = 1))]
    pub rollout: String,
    /// Label of the pod template with the model's version, as records state it.
    #[schemars(length(min = 1))]
    pub version_label: String,
    /// Also put the good version's pod template back where the rollout to the bad one has ended. Whatever keeps the rollout as it is in Git would take that back.
    #[serde(default)]
    pub undo: bool,
    /// PEM file with the authorities that sign the server's certificate; default: those of the system.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// How long one request may take.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
}

fn model() -> String {
    "{model}".to_owned()
}

fn kubernetes() -> String {
    "https://kubernetes.default.svc".to_owned()
}

fn service_account() -> SecretRef {
    let file = "/var/run/secrets/kubernetes.io/serviceaccount/token".to_owned();
    SecretRef { env: None, file: Some(file) }
}
