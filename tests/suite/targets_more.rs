//! The same of the targets that stand behind somebody else's interface: pipelines of build servers,
//! objects of Kubernetes, and services that tell people. None of these servers runs here. What they are
//! asked is held against the published descriptions where there are some that a test can read, and their
//! answers are those that the descriptions allow.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod contracts;
mod faults;
mod jenkins_world;
mod kubernetes;
mod people;
mod pipelines;
mod worlds;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use plimsoll::action::http::{Place, Token};
use plimsoll::action::{
    ArgoRollouts, ArgoWorkflows, Credential, Github, Gitlab, Jenkins, Kserve, Pagerduty, Slack, Target,
    argo_rollouts, argo_workflows, github, gitlab, jenkins, kserve, pagerduty, slack,
};
use plimsoll::safety::{ActionKind, Reply, Step};

use super::targets::{ID, ask, call, clock};

/// All of them.
const NAMES: [&str; 8] =
    ["github", "gitlab", "jenkins", "argo_workflows", "kserve", "argo_rollouts", "pagerduty", "slack"];

/// What none of them may ever say, in the spellings in which it travels.
const SECRETS: [&str; 4] = ["hunter2", "cGxpbXNvbGw6aHVudGVyMi1q", "aHVudGVyMi", "glptt-hunter"];

/// Where a target is, and how patient it is.
#[derive(Clone, Debug)]
struct Setting {
    url: String,
    ca_file: Option<PathBuf>,
    timeout: Duration,
}

impl Setting {
    fn at(url: &str) -> Self {
        Self { url: url.to_owned(), ca_file: None, timeout: Duration::from_secs(5) }
    }

    fn place(&self) -> Place {
        Place { url: self.url.clone(), ca_file: self.ca_file.clone(), timeout: self.timeout }
    }
}

fn texts(texts: &[(&str, &str)]) -> BTreeMap<String, String> {
    texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn github_config(at: &Setting) -> github::Config {
    github::Config {
        place: at.place(),
        token: Token::new("hunter2-github"),
        owner: "example".into(),
        repository: "models".into(),
        workflow: "act.yml".into(),
        git_ref: "main".into(),
        id_input: "action_id".into(),
        inputs: texts(&[("model", "{model}")]),
    }
}

fn gitlab_config(at: &Setting) -> gitlab::Config {
    gitlab::Config {
        place: at.place(),
        project: "example/models".into(),
        git_ref: "main".into(),
        trigger_token: Token::new("glptt-hunter2"),
        token: Some(Token::new("hunter2-gitlab")),
        id_variable: "PLIMSOLL_ACTION_ID".into(),
        variables: texts(&[("MODEL", "{model}")]),
    }
}

fn jenkins_config(at: &Setting) -> jenkins::Config {
    jenkins::Config {
        place: at.place(),
        username: "plimsoll".into(),
        token: Token::new("hunter2-jenkins"),
        job: vec!["models".into(), "act".into()],
        id_parameter: "PLIMSOLL_ACTION_ID".into(),
        parameters: texts(&[("MODEL", "{model}")]),
    }
}

fn argo_workflows_config(at: &Setting) -> argo_workflows::Config {
    argo_workflows::Config {
        place: at.place(),
        token: Credential::Fixed(Token::new("hunter2-argo")),
        namespace: "models".into(),
        template: "retrain".into(),
        cluster_scope: false,
        parameters: texts(&[("model", "{model}")]),
    }
}

fn kserve_config(at: &Setting) -> kserve::Config {
    kserve::Config {
        place: at.place(),
        token: Credential::Fixed(Token::new("hunter2-kserve")),
        namespace: "models".into(),
        service: "{model}".into(),
        version_label: "model-version".into(),
    }
}

fn argo_rollouts_config(at: &Setting) -> argo_rollouts::Config {
    argo_rollouts::Config {
        place: at.place(),
        token: Credential::Fixed(Token::new("hunter2-rollouts")),
        namespace: "models".into(),
        rollout: "{model}".into(),
        version_label: "model-version".into(),
        undo: true,
    }
}

fn pagerduty_config(at: &Setting) -> pagerduty::Config {
    pagerduty::Config {
        place: Place { url: format!("{}/v2/enqueue", at.url), ..at.place() },
        routing_key: Token::new("hunter2-0123456789abcdef01234567"),
        severity: pagerduty::Severity::Error,
        link: Some("https://wiki.example.com/models".into()),
    }
}

fn slack_config(at: &Setting) -> slack::Config {
    let url = Token::new(&format!("{}/services/T0/B0/hunter2-slack", at.url));
    slack::Config { url, ca_file: at.ca_file.clone(), timeout: at.timeout }
}

/// What an action with the target `name` is for.
fn kind(name: &str) -> ActionKind {
    match name {
        "kserve" | "argo_rollouts" => ActionKind::Rollback,
        "pagerduty" | "slack" => ActionKind::Notify,
        _ => ActionKind::Retrain,
    }
}

/// The target `name`.
fn target(name: &str, at: &Setting) -> Box<dyn Target> {
    let kind = kind(name);
    match name {
        "github" => Box::new(Github::new(&github_config(at), kind, clock()).unwrap()),
        "gitlab" => Box::new(Gitlab::new(&gitlab_config(at), kind, clock()).unwrap()),
        "jenkins" => Box::new(Jenkins::new(&jenkins_config(at), kind, clock()).unwrap()),
        "argo_workflows" => Box::new(ArgoWorkflows::new(&argo_workflows_config(at), kind, clock()).unwrap()),
        "kserve" => Box::new(Kserve::new(&kserve_config(at), kind, clock()).unwrap()),
        "argo_rollouts" => Box::new(ArgoRollouts::new(&argo_rollouts_config(at), kind, clock()).unwrap()),
        "pagerduty" => Box::new(Pagerduty::new(&pagerduty_config(at), clock()).unwrap()),
        _ => Box::new(Slack::new(&slack_config(at), clock()).unwrap()),
    }
}

/// What the target `name` calls what was started.
fn reference(name: &str) -> &'static str {
    match name {
        "github" => "101",
        "gitlab" => "201",
        "jenkins" => "queue/301",
        "kserve" => "traffic",
        "argo_rollouts" => "abort",
        _ => ID,
    }
}

/// The questions that `target`, called `name`, understands.
fn questions(name: &str, target: &dyn Target) -> Vec<Step> {
    let (able, reference) = (target.abilities(), reference(name).to_owned());
    let all = [
        (true, Step::Submit),
        (able.preflight, Step::Preflight),
        (able.find, Step::Find),
        (able.poll, Step::Poll { reference: reference.clone() }),
        (able.cancel, Step::Cancel { reference }),
    ];
    all.into_iter().filter_map(|(able, step)| able.then_some(step)).collect()
}

fn submit(target: &dyn Target, kind: ActionKind) -> Reply {
    ask(target, &Step::Submit, &call(kind))
}

fn poll(target: &dyn Target, kind: ActionKind, reference: &str) -> Reply {
    ask(target, &Step::Poll { reference: reference.into() }, &call(kind))
}

/// The reference in an answer that says that the target has it, and that more will be known.
#[track_caller]
fn taken(reply: &Reply) -> &str {
    match reply {
        Reply::Accepted { reference: Some(reference), done: false, .. } => reference,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn barred(reply: &Reply) -> (plimsoll::safety::Suppression, &str) {
    match reply {
        Reply::Barred { reason, why } => (*reason, why),
        other => panic!("{other:?}"),
    }
}
