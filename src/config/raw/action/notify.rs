//! Targets that tell somebody, and change nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Duration, SecretRef};
use super::ten_seconds;

/// An alert of the Prometheus Alertmanager.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alertmanager {
    /// Address of the Alertmanager; `https`, or `http` on a loopback address.
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
    /// The label `alertname`.
    #[serde(default = "alertname")]
    #[schemars(length(min = 1))]
    pub alertname: String,
    /// The label `severity`, as routes know it.
    #[serde(default = "critical")]
    #[schemars(length(min = 1))]
    pub severity: String,
    /// Further labels of each alert, by name. Default: none.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How long an alert fires where nothing says that it is over; at least 1m, at most 30d.
    #[serde(default = "one_hour")]
    pub resolve_after: Duration,
    /// Where people find more; shown as the source of the alert. Default: none.
    #[serde(default)]
    pub generator_url: Option<String>,
    /// PEM file with the authorities that sign the server's certificate; default: those of the system.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// How long one request may take.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
}

/// An event of PagerDuty (Events API v2): it triggers an alert, and resolves it when the incident is over.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pagerduty {
    /// Address that takes events; `https`, or `http` on a loopback address.
    #[serde(default = "pagerduty")]
    pub url: String,
    /// Integration key of the service, 32 characters.
    pub routing_key: SecretRef,
    /// How bad an alert is.
    #[serde(default)]
    pub severity: Severity,
    /// Where people find more; shown as a link of the alert. Default: none.
    #[serde(default)]
    pub link: Option<String>,
    /// PEM file with the authorities that sign the server's certificate; default: those of the system.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// How long one request may take.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
}

/// How bad an alert is, as PagerDuty has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Critical.
    Critical,
    /// Error.
    #[default]
    Error,
    /// Warning.
    Warning,
    /// Info.
    Info,
}

impl Severity {
    /// The severity as PagerDuty spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// An incoming webhook of Slack.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// The address of the webhook, which is itself a secret; `https`, or `http` on a loopback address.
    pub url: SecretRef,
    /// PEM file with the authorities that sign the server's certificate; default: those of the system.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// How long one request may take.
    #[serde(default = "ten_seconds")]
    pub timeout: Duration,
}

fn alertname() -> String {
    "PlimsollIncident".to_owned()
}

fn critical() -> String {
    "critical".to_owned()
}

fn one_hour() -> Duration {
    Duration::from("1h")
}

fn pagerduty() -> String {
    "https://events.pagerduty.com/v2/enqueue".to_owned()
}
