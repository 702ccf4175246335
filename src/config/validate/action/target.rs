//! The sections of an action, one for each kind of target.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::address::address;
use crate::action::request::{Conf, Template};
use crate::config::error::Report;
use crate::config::path::KeyPath;
use crate::config::raw::{self, SecretRef, TargetKind};
use crate::config::secret::Secret;
use crate::config::tree::{self, Auth, Credential, Place, Target};
use crate::config::validate::Surroundings;
use crate::safety::ActionKind;

/// Inputs that a GitHub workflow may have.
const GITHUB_INPUTS: usize = 25;
/// Characters of a PagerDuty integration key.
const ROUTING_KEY: usize = 32;
/// How long an alert may fire by itself, at least and at most.
const ALERT: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(30 * 24 * 60 * 60));
/// Labels that an alert gets in any case.
const OWN_LABELS: [&str; 9] =
    ["alertname", "severity", "model", "version", "policy", "tenant", "segment", "escalation", "action"];

/// One section of an action after the other.
pub(super) struct Section<'a, 'b> {
    action: &'a KeyPath,
    raw: &'a raw::Action,
    /// The action's, where it can be told.
    deadline: Option<Duration>,
    brokers: bool,
    around: &'a Surroundings<'b>,
    report: &'a mut Report,
    path: KeyPath,
    used: bool,
}

impl<'a, 'b> Section<'a, 'b> {
    pub(super) fn new(
        action: &'a KeyPath,
        raw: &'a raw::Action,
        deadline: Option<Duration>,
        brokers: bool,
        around: &'a Surroundings<'b>,
        report: &'a mut Report,
    ) -> Self {
        Self { action, raw, deadline, brokers, around, report, path: action.clone(), used: false }
    }

    /// Goes on with the section for `kind`.
    pub(super) fn enter(&mut self, kind: TargetKind) -> &mut Self {
        self.path = self.action.key(kind.name());
        self.used = kind == self.raw.target;
        self
    }

    pub(super) fn webhook(&mut self, raw: &raw::Webhook) -> Option<Target> {
        let place = self.place(&raw.url, raw.ca_file.as_deref(), &raw.timeout);
        let secret = self.secret("secret", &raw.secret);
        Some(Target::Webhook(tree::Webhook { place: place?, secret: secret? }))
    }

    pub(super) fn mlflow(&mut self, raw: &raw::Mlflow) -> Option<Target> {
        let place = self.place(&raw.url, raw.ca_file.as_deref(), &raw.timeout);
        let auth = self.auth(raw.token.as_ref(), raw.username.as_deref(), raw.password.as_ref());
        self.template("model", &raw.model);
        // The registry refuses these: `latest` is its own, and `v` with a number is a version.
        let number = raw.alias.strip_prefix('v').unwrap_or_default();
        if raw.alias == "latest" || (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())) {
            let wrong = format!("`{}` is a name that MLflow keeps for itself", raw.alias);
            self.report.error(&self.path.key("alias"), wrong);
        }
        Some(Target::Mlflow(tree::Mlflow {
            place: place?,
            auth: auth?,
            model: raw.model.clone(),
            alias: raw.alias.clone(),
            version_prefix: raw.version_prefix.clone(),
        }))
    }

    pub(super) fn airflow(&mut self, raw: &raw::Airflow) -> Option<Target> {
        let place = self.place(&raw.url, raw.ca_file.as_deref(), &raw.timeout);
        let auth = self.auth(raw.token.as_ref(), raw.username.as_deref(), raw.password.as_ref());
        self.template("dag", &raw.dag);
        if let Some(conf) = &raw.conf {
            for (name, value) in conf {
                if let Err(wrong) = Conf::new(value, self.kind()) {
                    self.report.error(&self.path.key("conf").key(name), wrong.to_string());
                }
            }
        }
        let lost = ["token", "username", "password"].map(|key| self.report.lost(&self.path.key(key)));
        if auth == Some(Auth::None) && lost == [false; 3] {
            self.report.error(&self.path, "needs a `token`, or a `username` and a `password`");
        }
        Some(Target::Airflow(tree::Airflow {
            place: place?,
            auth: auth?,
            dag: raw.dag.clone(),
            conf: raw.conf.clone(),
        }))
    }

    pub(super) fn github(&mut self, raw: &raw::Github) -> Option<Target> {
        let place = self.place(&raw.url, raw.ca_file.as_deref(), &raw.timeout);
        let token = self.secret("token", &raw.token);
        let parts = raw.repository.split_once('/').filter(|(owner, name)| {
            let legal = |part: &str| {
                !matches!(part, "" | "." | "..")
                    && part.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
            };
            legal(owner) && legal(name)
        });
        if parts.is_none() {
            let wrong = format!("`{}` is not a repository; write `owner/name`", raw.repository);
            self.report.error(&self.path.key("repository"), wrong);
        }
        self.own_name("id_input", &raw.id_input, "inputs", &raw.inputs);
        self.templates("inputs", &raw.inputs);
        if raw.inputs.len() >= GITHUB_INPUTS {
            let wrong =
                format!("must have at most {} entries, because one more is `id_input`", GITHUB_INPUTS - 1);
            self.report.error(&self.path.key("inputs"), wrong);
        }
        let (owner, repository) = parts?;
        Some(Target::Github(tree::Github {
            place: place?,
            token: token?,
            owner: owner.to_owned(),
            repository: repository.to_owned(),
            workflow: raw.workflow.clone(),
            git_ref: raw.r#ref.clone(),
            id_input: raw.id_input.clone(),
            inputs: raw.inputs.clone(),
        }))
    }

    pub(super) fn gitlab(&mut self, raw: &raw::Gitlab) -> Option<Target> {
        let place = self.place(&raw.url, raw.ca_file.as_deref(), &raw.timeout);
        let trigger_token = self.secret("trigger_token", &raw.trigger_token);
        let token = match &raw.token {
            Some(token) => self.secret("token", token).map(Some),
            None => Some(None),
        };
        self.own_name("id_variable", &raw.id_variable, "variables", &raw.variables);
        self.templates("variables", &raw.variables);
        Some(Target::Gitlab(tree::Gitlab {
            place: place?,
            project: raw.project.clone(),
            git_ref: raw.r#ref.clone(),
            trigger_token: trigger_token?,
            token: token?,
            id_variable: raw.id_variable.clone(),
            variables: raw.variables.clone(),
        }))
    }

    pub(super) fn jenkins(&mut self, raw: &raw::Jenkins) -> Option<Target> {
        let place = self.place(&raw.url, raw.ca_file.as_deref(), &raw.timeout);
        let token = self.secret("token", &raw.token);
        let job: Vec<String> = raw.job.split('/').map(str::to_owned).collect();
        if job.iter().any(|part| matches!(part.as_str(), "" | "." | "..")) {
            let wrong =
                format!("`{}` is not a job; write its folders and its name, as in `folder/job`", raw.job);
            self.report.error(&self.path.key("job"), wrong);
        }
        self.own_name("id_parameter", &raw.id_parameter, "parameters", &raw.parameters);
        self.templates("parameters", &raw.parameters);
        Some(Target::Jenkins(tree::Jenkins {
            place: place?,
            username: raw.username.clone(),
            token: token?,
            job,
            id_parameter: raw.id_parameter.clone(),
            parameters: raw.parameters.clone(),
        }))
    }

    pub(super) fn argo_workflows(&mut self, raw: &raw::ArgoWorkflows) -> Option<Target> {
        let place = self.place(&raw.url, raw.ca_file.as_deref(), &raw.timeout);
        let token = self.credential("token", &raw.token);
        self.kubernetes_name("namespace", &raw.namespace);
        self.kubernetes_name("template", &raw.template);
        self.templates("parameters", &raw.parameters);
        Some(Target::ArgoWorkflows(tree::ArgoWorkflows {
            place: place?,
            token: token?,
            namespace: raw.namespace.clone(),
            template: raw.template.clone(),
            cluster_scope: raw.cluster_scope,
            parameters: raw.parameters.clone(),
        }))
    }

    pub(super) fn kserve(&mut self, raw: &raw::Kserve) -> Option<Target> {
        let place = self.place(&raw.url, raw.ca_file.as_deref(), &raw.timeout);
        let token = self.credential("token", &raw.token);
        self.kubernetes_name("namespace", &raw.namespace);
        self.template("service", &raw.service);
        Some(Target::Kserve(tree::Kserve {
            place: place?,
            token: token?,
            namespace: raw.namespace.clone(),
            service: raw.service.clone(),
            version_label: raw.version_label.clone(),
        }))
    }

    pub(super) fn argo_rollouts(&mut self, raw: &raw::ArgoRollouts) -> Option<Target> {
        let place = self.place(&raw.url, raw.ca_file.as_deref(), &raw.timeout);
        let token = self.credential("token", &raw.token);
        self.kubernetes_name("namespace", &raw.namespace);
        self.template("rollout", &raw.rollout);
        Some(Target::ArgoRollouts(tree::ArgoRollouts {
            place: place?,
            token: token?,
            namespace: raw.namespace.clone(),
            rollout: raw.rollout.clone(),
            version_label: raw.version_label.clone(),
            undo: raw.undo,
        }))
    }

    pub(super) fn kafka(&mut self, raw: &raw::KafkaCommand) -> Option<Target> {
        self.report.topic_name(&self.path.key("topic"), &raw.topic);
        if let Some(reply_topic) = &raw.reply_topic {
            let path = self.path.key("reply_topic");
            self.report.topic_name(&path, reply_topic);
            if *reply_topic == raw.topic {
                self.report.error(&path, "must be another topic than `topic`");
            }
        }
        if self.used && !self.brokers {
            self.report.error(&self.action.key("target"), "`kafka` needs `kafka.brokers`");
        }
        if raw.source.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
            self.report.error(&self.path.key("source"), "must be a reference such as `/plimsoll`");
        }
        let timeout = self.timeout(&raw.timeout);
        Some(Target::Kafka(tree::KafkaCommand {
            topic: raw.topic.clone(),
            reply_topic: raw.reply_topic.clone(),
            receiver_dedupes: raw.receiver_dedupes,
            source: raw.source.clone(),
            environment: raw.environment.clone(),
            timeout: timeout?,
        }))
    }

    pub(super) fn alertmanager(&mut self, raw: &raw::Alertmanager) -> Option<Target> {
        let place = self.place(&raw.url, raw.ca_file.as_deref(), &raw.timeout);
        let auth = self.auth(raw.token.as_ref(), raw.username.as_deref(), raw.password.as_ref());
        for name in raw.labels.keys() {
            let path = self.path.key("labels").key(name);
            let first =
                name.chars().next().is_some_and(|letter| letter.is_ascii_alphabetic() || letter == '_');
            if !first || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
                self.report.error(&path, "is no name of a label: letters, digits and `_`, no digit first");
            } else if OWN_LABELS.contains(&name.as_str()) {
                self.report.error(&path, "is a label that each alert has already");
            }
        }
        let resolve_after = self.report.positive(&self.path.key("resolve_after"), &raw.resolve_after);
        if resolve_after.is_some_and(|after| after < ALERT.0 || after > ALERT.1) {
            self.report.error(&self.path.key("resolve_after"), "must be at least 1m, and at most 30d");
        }
        self.link("generator_url", raw.generator_url.as_deref());
        Some(Target::Alertmanager(tree::Alertmanager {
            place: place?,
            auth: auth?,
            alertname: raw.alertname.clone(),
            severity: raw.severity.clone(),
            labels: raw.labels.clone(),
            resolve_after: resolve_after?,
            generator_url: raw.generator_url.clone(),
        }))
    }

    pub(super) fn pagerduty(&mut self, raw: &raw::Pagerduty) -> Option<Target> {
        let place = self.place(&raw.url, raw.ca_file.as_deref(), &raw.timeout);
        let routing_key = self.secret("routing_key", &raw.routing_key);
        if let Some(key) = &routing_key
            && self.used
            && key.expose().chars().count() != ROUTING_KEY
        {
            let wrong = format!("the key must have {ROUTING_KEY} characters");
            self.report.error(&self.path.key("routing_key"), wrong);
        }
        self.link("link", raw.link.as_deref());
        Some(Target::Pagerduty(tree::Pagerduty {
            place: place?,
            routing_key: routing_key?,
            severity: raw.severity,
            link: raw.link.clone(),
        }))
    }

    pub(super) fn slack(&mut self, raw: &raw::Slack) -> Option<Target> {
        let url = self.secret("url", &raw.url);
        if let Some(url) = &url
            && self.used
            && let Err(wrong) = address(url.expose())
        {
            self.report.error(&self.path.key("url"), wrong);
        }
        let ca_file = self.ca_file(raw.ca_file.as_deref());
        let timeout = self.timeout(&raw.timeout);
        Some(Target::Slack(tree::Slack { url: url?, ca_file: ca_file?, timeout: timeout? }))
    }

    fn place(&mut self, url: &str, ca_file: Option<&str>, timeout: &raw::Duration) -> Option<Place> {
        if let Err(wrong) = address(url) {
            self.report.error(&self.path.key("url"), wrong);
        }
        let ca_file = self.ca_file(ca_file);
        let timeout = self.timeout(timeout);
        Some(Place { url: url.to_owned(), ca_file: ca_file?, timeout: timeout? })
    }

    fn ca_file(&mut self, file: Option<&str>) -> Option<Option<PathBuf>> {
        match file {
            Some(file) => self.report.file(&self.path.key("ca_file"), file, self.around).map(Some),
            None => Some(None),
        }
    }

    fn timeout(&mut self, timeout: &raw::Duration) -> Option<Duration> {
        let path = self.path.key("timeout");
        let timeout = self.report.positive(&path, timeout)?;
        if self.deadline.is_some_and(|deadline| timeout > deadline) && !self.report.lost(&path) {
            self.report.error(&path, "must not be longer than the action's `deadline`");
        }
        Some(timeout)
    }

    /// Reads a secret of the section that is used; of any other one an empty one stands in for it.
    fn secret(&mut self, key: &str, secret: &SecretRef) -> Option<Secret> {
        if !self.used {
            return Some(Secret::new(""));
        }
        self.report.secret(&self.path.key(key), secret, self.around)
    }

    /// The same for a token whose file is read again later: it has to be there now, too.
    fn credential(&mut self, key: &str, secret: &SecretRef) -> Option<Credential> {
        let now = self.secret(key, secret)?;
        match (&secret.env, &secret.file) {
            (None, Some(file)) => Some(Credential::File(self.around.folder.join(file))),
            _ => Some(Credential::Fixed(now)),
        }
    }

    fn auth(
        &mut self,
        token: Option<&SecretRef>,
        username: Option<&str>,
        password: Option<&SecretRef>,
    ) -> Option<Auth> {
        let path = self.path.clone();
        if token.is_some() && (username.is_some() || password.is_some()) {
            self.report.error(&path, "must have either a `token`, or a `username` and a `password`");
            return None;
        }
        if let Some(token) = token {
            return self.secret("token", token).map(Auth::Bearer);
        }
        match (username, password) {
            (Some(username), Some(password)) => {
                let password = self.secret("password", password)?;
                Some(Auth::Basic { username: username.to_owned(), password })
            }
            (Some(_), None) if !self.report.lost(&path.key("password")) => {
                self.report.error(&path.key("username"), "needs a `password`");
                None
            }
            (None, Some(_)) if !self.report.lost(&path.key("username")) => {
                self.report.error(&path.key("password"), "needs a `username`");
                None
            }
            (Some(_), None) | (None, Some(_)) => None,
            (None, None) => Some(Auth::None),
        }
    }

    /// What templates are read for. Under `dry_run` a section may be for another kind than the action.
    fn kind(&self) -> ActionKind {
        match self.raw.kind {
            raw::ActionKind::Rollback => ActionKind::Rollback,
            raw::ActionKind::Retrain => ActionKind::Retrain,
            raw::ActionKind::Notify => ActionKind::Notify,
        }
    }

    fn template(&mut self, key: &str, text: &str) {
        let path = self.path.key(key);
        self.template_at(&path, text);
    }

    fn templates(&mut self, key: &str, texts: &BTreeMap<String, String>) {
        for (name, text) in texts {
            let path = self.path.key(key).key(name);
            self.template_at(&path, text);
        }
    }

    fn template_at(&mut self, path: &KeyPath, text: &str) {
        if let Err(wrong) = Template::new(text, self.kind()) {
            self.report.error(path, wrong.to_string());
        }
    }

    /// The name of what gets the action's id, which nothing else may have.
    fn own_name(&mut self, key: &str, name: &str, others: &str, taken: &BTreeMap<String, String>) {
        if taken.contains_key(name) {
            let wrong = format!("is the name in `{key}`, which gets the action's id");
            self.report.error(&self.path.key(others).key(name), wrong);
        }
    }

    /// A name of an object of Kubernetes (RFC 1123, with dots).
    fn kubernetes_name(&mut self, key: &str, name: &str) {
        let inside = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        let legal = name.len() <= 253
            && name.starts_with(inside)
            && name.ends_with(inside)
            && name.chars().all(|letter| inside(letter) || "-.".contains(letter));
        if !legal {
            let wrong = format!(
                "`{name}` is no name in Kubernetes: lower-case letters, digits, `-` and `.`, with a letter or digit at both ends"
            );
            self.report.error(&self.path.key(key), wrong);
        }
    }

    /// An address that is only shown.
    fn link(&mut self, key: &str, url: Option<&str>) {
        if let Some(url) = url
            && !(url.starts_with("https://") || url.starts_with("http://"))
        {
            self.report
                .error(&self.path.key(key), "must be an address such as https://wiki.example.com/models");
        }
    }
}
