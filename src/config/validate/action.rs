//! Actions: a target that is whole and made for the kind of action, and addresses that do not send
//! evidence in the clear.

mod address;
mod target;

use std::time::Duration;

use super::Surroundings;
use crate::config::error::Report;
use crate::config::path::KeyPath;
use crate::config::raw::{self, ActionKind, TargetKind};
use crate::config::tree::{Action, Target};
use target::Section;

/// How long what was started may run, by default.
const RETRAIN_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);
const OTHERS_WITHIN: Duration = Duration::from_secs(10 * 60);

pub(super) fn actions(
    root: &raw::Root,
    around: &Surroundings<'_>,
    report: &mut Report,
) -> Option<Vec<Action>> {
    let list = KeyPath::root("actions");
    report.distinct(&list, root.actions.iter().map(|action| action.name.as_str()));
    let mut actions = Vec::new();
    for (index, raw) in root.actions.iter().enumerate() {
        let path = list.at(index);
        let asks =
            |policy: &raw::Policy| policy.actions.contains(&raw.name) || policy.escalate.contains(&raw.name);
        let wanted = root.policies.iter().any(asks);
        if !wanted && !report.removed.touches(&KeyPath::root("policies")) {
            report.warn(&path, format!("no policy asks for `{}`", raw.name));
        }
        let brokers = root.kafka.brokers.is_some() || report.removed.lacks("kafka");
        actions.push(action(raw, &path, brokers, around, report));
    }
    actions.into_iter().collect()
}

/// `brokers`: whether there is a Kafka cluster, or may have been one.
fn action(
    raw: &raw::Action,
    path: &KeyPath,
    brokers: bool,
    around: &Surroundings<'_>,
    report: &mut Report,
) -> Option<Action> {
    report.plain_name(&path.key("name"), &raw.name);
    let deadline = report.ahead(&path.key("deadline"), &raw.deadline);
    let finish_within = match &raw.finish_within {
        Some(within) => report.ahead(&path.key("finish_within"), within),
        None if raw.kind == ActionKind::Retrain => Some(RETRAIN_WITHIN),
        None => Some(OTHERS_WITHIN),
    };
    if let Some(only) = raw.target.only()
        && raw.kind != only
        && !report.lost(&path.key("target"))
    {
        let (target, only) = (raw.target.name(), only.name());
        report.error(&path.key("target"), format!("`{target}` is for actions of the kind `{only}` only"));
    }
    let target = target(raw, path, deadline, brokers, around, report);
    Some(Action {
        name: raw.name.clone(),
        kind: raw.kind,
        target: target?,
        deadline: deadline?,
        finish_within: finish_within?,
    })
}

/// What carries the action out. Of sections that it does not use the secrets are not read, so that a
/// policy can be tried with `dry_run` before there are any; all else about them is judged.
fn target(
    raw: &raw::Action,
    path: &KeyPath,
    deadline: Option<Duration>,
    brokers: bool,
    around: &Surroundings<'_>,
    report: &mut Report,
) -> Option<Target> {
    use TargetKind as Kind;
    let deadline = deadline.filter(|_| !report.lost(&path.key("deadline")));
    let mut section = Section::new(path, raw, deadline, brokers, around, report);
    let built = [
        (Kind::Webhook, raw.webhook.as_ref().map(|it| section.enter(Kind::Webhook).webhook(it))),
        (Kind::Mlflow, raw.mlflow.as_ref().map(|it| section.enter(Kind::Mlflow).mlflow(it))),
        (Kind::Airflow, raw.airflow.as_ref().map(|it| section.enter(Kind::Airflow).airflow(it))),
        (Kind::Github, raw.github.as_ref().map(|it| section.enter(Kind::Github).github(it))),
        (Kind::Gitlab, raw.gitlab.as_ref().map(|it| section.enter(Kind::Gitlab).gitlab(it))),
        (Kind::Jenkins, raw.jenkins.as_ref().map(|it| section.enter(Kind::Jenkins).jenkins(it))),
        (
            Kind::ArgoWorkflows,
            raw.argo_workflows.as_ref().map(|it| section.enter(Kind::ArgoWorkflows).argo_workflows(it)),
        ),
        (Kind::Kserve, raw.kserve.as_ref().map(|it| section.enter(Kind::Kserve).kserve(it))),
        (
            Kind::ArgoRollouts,
            raw.argo_rollouts.as_ref().map(|it| section.enter(Kind::ArgoRollouts).argo_rollouts(it)),
        ),
        (Kind::Kafka, raw.kafka.as_ref().map(|it| section.enter(Kind::Kafka).kafka(it))),
        (
            Kind::Alertmanager,
            raw.alertmanager.as_ref().map(|it| section.enter(Kind::Alertmanager).alertmanager(it)),
        ),
        (Kind::Pagerduty, raw.pagerduty.as_ref().map(|it| section.enter(Kind::Pagerduty).pagerduty(it))),
        (Kind::Slack, raw.slack.as_ref().map(|it| section.enter(Kind::Slack).slack(it))),
    ];
    let mut own = None;
    let mut whole = true;
    for (kind, built) in built {
        let Some(built) = built else { continue };
        whole &= built.is_some();
        if kind == raw.target {
            own = Some(built);
        } else if raw.target != Kind::DryRun && !report.lost(&path.key("target")) {
            let wrong = format!("is not used, because the target is `{}`", raw.target.name());
            report.warn(&path.key(kind.name()), wrong);
        }
    }
    let name = raw.target.name();
    match own {
        _ if raw.target == Kind::DryRun => whole.then_some(Target::DryRun),
        Some(target) => target.filter(|_| whole),
        None if report.lost(&path.key(name)) => None,
        None => {
            report.error(&path.key("target"), format!("`{name}` needs the section `{name}`"));
            None
        }
    }
}
