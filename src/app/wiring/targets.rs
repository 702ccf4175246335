//! From configured targets to the adapters that call them.

use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;

use super::actions::kind;
use super::properties;
use crate::action::airflow::{Login, default_conf};
use crate::action::http::{Auth, Place, Token};
use crate::action::{self, Clock, DryRun, Target};
use crate::config::{self, Config};

/// What carries out `action`.
pub(super) fn target(
    action: &config::Action,
    config: &Config,
    clock: &Clock,
) -> anyhow::Result<Arc<dyn Target>> {
    let (kind, clock) = (kind(action.kind), Arc::clone(clock));
    Ok(match &action.target {
        config::Target::DryRun => Arc::new(DryRun),
        config::Target::Webhook(it) => {
            let config = action::webhook::Config {
                url: it.place.url.clone(),
                secrets: vec![action::webhook::Secret::new(it.secret.expose())?],
                ca_file: it.place.ca_file.clone(),
                timeout: it.place.timeout,
            };
            Arc::new(action::Webhook::new(&config, clock)?)
        }
        config::Target::Mlflow(it) => {
            let config = action::mlflow::Config {
                place: place(&it.place),
                auth: auth(&it.auth),
                model: it.model.clone(),
                alias: it.alias.clone(),
                version_prefix: it.version_prefix.clone(),
            };
            Arc::new(action::Mlflow::new(&config, clock)?)
        }
        config::Target::Airflow(it) => {
            let login = match &it.auth {
                config::Auth::None => anyhow::bail!("there is nothing to log in with"),
                config::Auth::Bearer(secret) => Login::Token(token(secret)),
                config::Auth::Basic { username, password } => {
                    Login::Password { username: username.clone(), password: token(password) }
                }
            };
            let conf = it.conf.clone().map(|conf| Value::Object(conf.into_iter().collect()));
            let config = action::airflow::Config {
                place: place(&it.place),
                login,
                dag: it.dag.clone(),
                conf: conf.unwrap_or_else(|| default_conf(kind)),
            };
            Arc::new(action::Airflow::new(&config, kind, clock)?)
        }
        config::Target::Github(it) => {
            let config = action::github::Config {
                place: place(&it.place),
                token: token(&it.token),
                owner: it.owner.clone(),
                repository: it.repository.clone(),
                workflow: it.workflow.clone(),
                git_ref: it.git_ref.clone(),
                id_input: it.id_input.clone(),
                inputs: it.inputs.clone(),
            };
            Arc::new(action::Github::new(&config, kind, clock)?)
        }
        config::Target::Gitlab(it) => {
            let config = action::gitlab::Config {
                place: place(&it.place),
                project: it.project.clone(),
                git_ref: it.git_ref.clone(),
                trigger_token: token(&it.trigger_token),
                token: it.token.as_ref().map(token),
                id_variable: it.id_variable.clone(),
                variables: it.variables.clone(),
            };
            Arc::new(action::Gitlab::new(&config, kind, clock)?)
        }
        config::Target::Jenkins(it) => {
            let config = action::jenkins::Config {
                place: place(&it.place),
                username: it.username.clone(),
                token: token(&it.token),
                job: it.job.clone(),
                id_parameter: it.id_parameter.clone(),
                parameters: it.parameters.clone(),
            };
            Arc::new(action::Jenkins::new(&config, kind, clock)?)
        }
        config::Target::ArgoWorkflows(it) => {
            let config = action::argo_workflows::Config {
                place: place(&it.place),
                token: credential(&it.token),
                namespace: it.namespace.clone(),
                template: it.template.clone(),
                cluster_scope: it.cluster_scope,
                parameters: it.parameters.clone(),
            };
            Arc::new(action::ArgoWorkflows::new(&config, kind, clock)?)
        }
        config::Target::Kserve(it) => {
            let config = action::kserve::Config {
                place: place(&it.place),
                token: credential(&it.token),
                namespace: it.namespace.clone(),
                service: it.service.clone(),
                version_label: it.version_label.clone(),
            };
            Arc::new(action::Kserve::new(&config, kind, clock)?)
        }
        config::Target::ArgoRollouts(it) => {
            let config = action::argo_rollouts::Config {
                place: place(&it.place),
                token: credential(&it.token),
                namespace: it.namespace.clone(),
                rollout: it.rollout.clone(),
                version_label: it.version_label.clone(),
                undo: it.undo,
            };
            Arc::new(action::ArgoRollouts::new(&config, kind, clock)?)
        }
        config::Target::Kafka(it) => {
            let config = action::kafka_command::Config {
                properties: properties(config.kafka.as_ref().context("there is no Kafka cluster")?),
                topic: it.topic.clone(),
                reply_topic: it.reply_topic.clone(),
                receiver_dedupes: it.receiver_dedupes,
                source: it.source.clone(),
                environment: it.environment.clone(),
                timeout: it.timeout,
            };
            Arc::new(action::KafkaCommand::new(config)?)
        }
        config::Target::Alertmanager(it) => {
            let config = action::alertmanager::Config {
                place: place(&it.place),
                auth: auth(&it.auth),
                alertname: it.alertname.clone(),
                severity: it.severity.clone(),
                labels: it.labels.clone(),
                resolve_after: it.resolve_after,
                generator_url: it.generator_url.clone(),
            };
            Arc::new(action::Alertmanager::new(&config, clock)?)
        }
        config::Target::Pagerduty(it) => {
            use action::pagerduty::Severity;
            let config = action::pagerduty::Config {
                place: place(&it.place),
                routing_key: token(&it.routing_key),
                severity: match it.severity {
                    config::Severity::Critical => Severity::Critical,
                    config::Severity::Error => Severity::Error,
                    config::Severity::Warning => Severity::Warning,
                    config::Severity::Info => Severity::Info,
                },
                link: it.link.clone(),
            };
            Arc::new(action::Pagerduty::new(&config, clock)?)
        }
        config::Target::Slack(it) => {
            let (ca_file, timeout) = (it.ca_file.clone(), it.timeout);
            let config = action::slack::Config { url: token(&it.url), ca_file, timeout };
            Arc::new(action::Slack::new(&config, clock)?)
        }
    })
}

fn place(place: &config::Place) -> Place {
    Place { url: place.url.clone(), ca_file: place.ca_file.clone(), timeout: place.timeout }
}

fn token(secret: &config::Secret) -> Token {
    Token::new(secret.expose())
}

fn auth(auth: &config::Auth) -> Auth {
    match auth {
        config::Auth::None => Auth::None,
        config::Auth::Bearer(secret) => Auth::Bearer(token(secret)),
        config::Auth::Basic { username, password } => {
            Auth::Basic { username: username.clone(), password: token(password) }
        }
    }
}

fn credential(credential: &config::Credential) -> action::Credential {
    match credential {
        config::Credential::Fixed(secret) => action::Credential::Fixed(token(secret)),
        config::Credential::File(path) => action::Credential::File(path.clone()),
    }
}
