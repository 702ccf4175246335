//! How freely policies act, what holds for all actions together, and what each target needs.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll::config::{
    ActionKind, Allowance, Auth, Breaker, Config, Cooldown, Credential, FleetAlarm, Mode, Safety, Target,
    Verify,
};

use super::{assert_lines, errors, parse, with_env};

/// A file with one policy (its further keys) and the actions `back` and `tell` (their further keys).
fn file(policy: &str, back: &str, tell: &str, rest: &str) -> String {
    format!(
        r#"
topics: [{{name: inference, model: /model}}]
models:
  - name: credit
    topics: [inference]
    task: binary
    version: /version
    time: /ts
    prediction: /p
    groups: [{{name: sex, from: /sex, values: [F, M]}}]
    checks:
      - {{name: fair, metric: selection_rate_ratio, window: 1h, bound: ">= 0.8"}}
      - {{name: volume, metric: traffic_volume, window: 1d}}
policies: [{{name: p, model: credit, checks: [fair], actions: [back, tell]{policy}}}]
actions:
  - {{name: back, kind: rollback{back}}}
  - {{name: tell, kind: notify{tell}}}
{rest}
"#
    )
}

/// The configuration with `section` as what carries out an action of `kind`.
fn with_target(kind: &str, target: &str, section: &str) -> String {
    let own = format!(", target: {target}, {target}: {{{section}}}");
    match kind {
        "notify" => file("", "", &own, ""),
        kind => {
            file("", &own, "", "").replace("name: back, kind: rollback", &format!("name: back, kind: {kind}"))
        }
    }
}

const ENV: &[(&str, &str)] = &[
    ("S", "hunter2"),
    ("R", "0123456789abcdef0123456789abcdef"),
    ("U", "https://hooks.slack.example/T/B/x"),
];

fn target(kind: &str, target: &str, section: &str) -> Target {
    let config = with_env(&with_target(kind, target, section), ENV).expect("a configuration that is right");
    assert_eq!(config.warnings, []);
    assert!(!format!("{config:?}").contains("hunter2"));
    let find = |name: &str| {
        config.actions.iter().find(|action| action.name == name).expect("it is there").target.clone()
    };
    find(if kind == "notify" { "tell" } else { "back" })
}

fn wrong(kind: &str, target: &str, section: &str) -> String {
    with_env(&with_target(kind, target, section), ENV).expect_err("it is wrong").to_string()
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

#[test]
fn what_is_not_said_of_conduct_and_safety_is_cautious() {
    let config = parse(&file("", "", "", "")).unwrap();
    let policy = &config.policies[0];
    assert_eq!(policy.mode, Mode::Observe);
    assert_eq!(policy.approval_within, minutes(30));
    assert_eq!(policy.verify, Verify { within: minutes(180), stated: false, traffic: 0.95, samples: 100 });
    assert_eq!((policy.qualify_windows, policy.qualify_span, policy.qualify_samples), (2, Duration::ZERO, 0));
    assert_eq!(policy.escalate, Vec::<String>::new());
    assert_eq!(
        config.safety,
        Safety {
            cooldown: Cooldown { rollback: minutes(30), retrain: minutes(360) },
            per_model: Allowance { count: 3, per: minutes(24 * 60) },
            fleet: Allowance { count: 10, per: minutes(24 * 60) },
            fleet_alarm: FleetAlarm { models: 3, share: 0.5, within: minutes(10) },
            breaker: Breaker { failures: 3, open_for: minutes(30) },
        }
    );
    let within =
        |config: &Config| config.actions.iter().map(|action| action.finish_within).collect::<Vec<_>>();
    assert_eq!(within(&config), [minutes(10), minutes(10)]);
    let retrain = parse(&file("", "", "", "").replace("kind: rollback", "kind: retrain")).unwrap();
    assert_eq!(within(&retrain), [minutes(24 * 60), minutes(10)]);
}

#[test]
fn what_is_said_of_conduct_and_safety_is_kept() {
    let policy = ", mode: approve, approval: {within: 1h}, verify: {within: 20m, traffic: 1, samples: 5}, \
                  escalate: [tell], qualify: {windows: 3, for: 2h, samples: 1000}";
    let safety = "safety: {cooldown: {rollback: 0s}, budget: {per_model: {count: 1}, fleet: {per: 1h}}, \
                  fleet_alarm: {share: 1}, breaker: {failures: 1}}";
    let config = parse(&file(policy, ", finish_within: 3m", "", safety)).unwrap();
    let policy = &config.policies[0];
    assert_eq!((policy.mode, policy.approval_within), (Mode::Approve, minutes(60)));
    assert_eq!(policy.verify, Verify { within: minutes(20), stated: true, traffic: 1.0, samples: 5 });
    assert_eq!(
        (policy.qualify_windows, policy.qualify_span, policy.qualify_samples),
        (3, minutes(120), 1000)
    );
    assert_eq!(policy.escalate, ["tell"]);
    assert_eq!(config.actions[0].finish_within, minutes(3));
    // A key that is left out keeps its own default, whatever stands beside it.
    assert_eq!(config.safety.cooldown, Cooldown { rollback: Duration::ZERO, retrain: minutes(360) });
    assert_eq!(config.safety.per_model, Allowance { count: 1, per: minutes(24 * 60) });
    assert_eq!(config.safety.fleet, Allowance { count: 10, per: minutes(60) });
    assert_eq!(config.safety.fleet_alarm, FleetAlarm { models: 3, share: 1.0, within: minutes(10) });
    assert_eq!(config.safety.breaker, Breaker { failures: 1, open_for: minutes(30) });
}

#[test]
fn the_modes_are_ordered_by_how_much_they_may() {
    assert!(Mode::Observe < Mode::Recommend && Mode::Recommend < Mode::Approve && Mode::Approve < Mode::Auto);
}

#[test]
fn a_verification_has_time_for_the_windows_of_the_good_version_to_fill() {
    let within = |window: &str| {
        let text = file("", "", "", "")
            .replace("selection_rate_ratio, window: 1h", &format!("selection_rate_ratio, window: {window}"));
        parse(&text).unwrap().policies[0].verify.within
    };
    // Not that of `volume`, which the policy does not follow.
    assert_eq!(within("2h"), minutes(360));
    assert_eq!(within("1m"), minutes(5));
}

#[test]
fn everything_that_is_wrong_with_conduct_and_safety_is_said_at_once() {
    let policy = ", mode: approve, approval: {within: 0s}, verify: {within: 0s, traffic: 1.5, samples: 0}, \
                  escalate: [tell, back, tel], qualify: {windows: 0, for: soon}";
    let safety = "safety: {cooldown: {rollback: never}, budget: {per_model: {count: 0}, fleet: {per: 0s}}, \
                  fleet_alarm: {models: 1, share: 0}, breaker: {failures: 0, open_for: 0s}, coldown: 1h}";
    let text = file(policy, ", finish_within: 0s", "", safety);
    assert_lines(
        &errors(&text),
        &[
            "actions[0].finish_within: must be above zero",
            "policies[0].approval.within: must be above zero",
            "policies[0].escalate[1]: `back` is a `rollback`; only a `notify` can be an escalation",
            "policies[0].escalate[2]: there is no action `tel`; did you mean `tell`?",
            "policies[0].qualify.for: `soon` is not a duration; write a number and a unit, such as 500ms, 30s, 5m, 1h30m or 7d",
            "policies[0].qualify.windows: must be at least 1",
            "policies[0].verify.samples: must be at least 1",
            "policies[0].verify.traffic: must be above 0, and at most 1",
            "policies[0].verify.within: must be above zero",
            "safety: unknown key `coldown`; did you mean `cooldown`?",
            "safety.breaker.failures: must be at least 1",
            "safety.budget.per_model.count: must be at least 1",
            "safety.fleet_alarm.models: must be at least 2",
        ],
    );
    let safety = "safety: {cooldown: {rollback: never}, budget: {fleet: {per: 0s}}, fleet_alarm: {share: 0}, breaker: {open_for: 0s}}";
    assert_lines(
        &errors(&file(", mode: recommend", "", "", safety).replace("actions: [back, tell]", "actions: []")),
        &[
            "policies[0].mode: `recommend` needs `actions`",
            "safety.breaker.open_for: must be above zero",
            "safety.budget.fleet.per: must be above zero",
            "safety.cooldown.rollback: `never` is not a duration; write a number and a unit, such as 500ms, 30s, 5m, 1h30m or 7d",
            "safety.fleet_alarm.share: must be above 0, and at most 1",
        ],
    );
    // What is counted on from now has to come to a time that the audit log can state.
    let far = file("", ", finish_within: 20years", "", "");
    assert_lines(&errors(&far), &["actions[0].finish_within: must be at most ten years"]);
}

#[test]
fn a_target_is_only_asked_for_what_it_is_for() {
    for (kind, name, section) in [
        ("retrain", "mlflow", "url: \"https://x.example\", alias: a"),
        ("notify", "kserve", "namespace: n, version_label: v, token: {env: S}"),
        ("retrain", "argo_rollouts", "namespace: n, version_label: v, token: {env: S}"),
        ("rollback", "alertmanager", "url: \"https://x.example\""),
        ("retrain", "pagerduty", "routing_key: {env: R}"),
        ("rollback", "slack", "url: {env: U}"),
    ] {
        let wrong = wrong(kind, name, section);
        assert!(wrong.contains(&format!("target: `{name}` is for actions of the kind `")), "{wrong}");
        assert_eq!(wrong.lines().count(), 1, "{wrong}");
    }
    for kind in ["rollback", "retrain", "notify"] {
        target(kind, "webhook", "url: \"https://x.example\", secret: {env: S}");
        target(kind, "airflow", "url: \"https://x.example\", token: {env: S}, dag: d");
        target(kind, "github", "repository: o/n, workflow: w.yml, token: {env: S}");
        target(kind, "gitlab", "project: g/p, trigger_token: {env: S}");
        target(kind, "jenkins", "url: \"https://x.example\", job: a/b, username: u, token: {env: S}");
        target(
            kind,
            "argo_workflows",
            "url: \"https://x.example\", token: {env: S}, namespace: n, template: t",
        );
    }
}

#[test]
fn each_target_gets_what_its_section_says() {
    let Target::Mlflow(mlflow) = target(
        "rollback",
        "mlflow",
        "url: \"https://m.example\", alias: champion, username: u, password: {env: S}",
    ) else {
        panic!("not an alias")
    };
    assert_eq!((mlflow.model.as_str(), mlflow.alias.as_str()), ("{model}", "champion"));
    assert!(
        matches!(&mlflow.auth, Auth::Basic { username, password } if username == "u" && password.expose() == "hunter2")
    );
    assert_eq!(
        (mlflow.place.url.as_str(), mlflow.place.timeout),
        ("https://m.example", Duration::from_secs(10))
    );

    let Target::Github(github) = target(
        "rollback",
        "github",
        "repository: o/n, workflow: w.yml, token: {env: S}, inputs: {version: \"{to_version}\"}",
    ) else {
        panic!("not a workflow")
    };
    assert_eq!(github.place.url, "https://api.github.com");
    assert_eq!(
        (github.owner.as_str(), github.repository.as_str(), github.git_ref.as_str()),
        ("o", "n", "main")
    );
    assert_eq!(github.id_input, "action_id");
    assert_eq!(github.inputs, BTreeMap::from([("version".to_owned(), "{to_version}".to_owned())]));

    let Target::Jenkins(jenkins) = target(
        "retrain",
        "jenkins",
        "url: \"http://127.0.0.1:8080/jenkins\", job: a/b, username: u, token: {env: S}",
    ) else {
        panic!("not a job")
    };
    assert_eq!(
        (jenkins.job, jenkins.id_parameter.as_str()),
        (vec!["a".to_owned(), "b".to_owned()], "PLIMSOLL_ACTION_ID")
    );

    let Target::Slack(slack) = target("notify", "slack", "url: {env: U}") else { panic!("not a channel") };
    assert_eq!(slack.url.expose(), "https://hooks.slack.example/T/B/x");
    assert!(!format!("{slack:?}").contains("hooks.slack"), "{slack:?}");

    let kafka = "kafka: {brokers: \"k:1\"}";
    let text = file("", ", target: kafka, kafka: {topic: commands, reply_topic: outcomes}", "", kafka);
    let Target::Kafka(command) = parse(&text).unwrap().actions[0].target.clone() else {
        panic!("not a command")
    };
    assert_eq!(
        (command.topic.as_str(), command.reply_topic.as_deref(), command.receiver_dedupes),
        ("commands", Some("outcomes"), false)
    );
    assert_lines(&errors(&text.replace(kafka, "")), &["actions[0].target: `kafka` needs `kafka.brokers`"]);
}

#[test]
fn the_token_of_a_service_account_is_read_again_later_and_must_be_there_now() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let section = format!("namespace: n, version_label: v, token: {{file: {}}}", token.display());
    let text = with_target("rollback", "kserve", &section);
    let missing = parse(&text).unwrap_err().to_string();
    assert!(missing.starts_with("actions[0].kserve.token.file: cannot read the secret in"), "{missing}");
    std::fs::write(&token, "hunter2").unwrap();
    let config = parse(&text).unwrap();
    let Target::Kserve(kserve) = &config.actions[0].target else { panic!("not a service") };
    assert_eq!(kserve.token, Credential::File(token));
    assert_eq!(kserve.place.url, "https://kubernetes.default.svc");
    let Target::Kserve(kserve) =
        target("rollback", "kserve", "namespace: n, version_label: v, token: {env: S}")
    else {
        panic!("not a service")
    };
    assert!(matches!(&kserve.token, Credential::Fixed(token) if token.expose() == "hunter2"));
}

#[test]
fn what_is_wrong_with_a_section_is_said_where_it_is_written() {
    let cases = [
        (
            "rollback",
            "mlflow",
            "url: \"https://m.example\", alias: latest",
            "mlflow.alias: `latest` is a name that MLflow keeps for itself",
        ),
        (
            "rollback",
            "mlflow",
            "url: \"https://m.example\", alias: v12",
            "mlflow.alias: `v12` is a name that MLflow keeps for itself",
        ),
        ("rollback", "mlflow", "url: \"http://m.example\", alias: a", "mlflow.url: must be `https`"),
        (
            "rollback",
            "mlflow",
            "url: \"https://m.example\", alias: a, username: u",
            "mlflow.username: needs a `password`",
        ),
        (
            "rollback",
            "mlflow",
            "url: \"https://m.example\", alias: a, password: {env: S}",
            "mlflow.password: needs a `username`",
        ),
        (
            "rollback",
            "mlflow",
            "url: \"https://m.example\", alias: a, username: u, token: {env: S}",
            "mlflow: must have either a `token`",
        ),
        (
            "retrain",
            "airflow",
            "url: \"https://a.example\", dag: d",
            "airflow: needs a `token`, or a `username` and a `password`",
        ),
        (
            "retrain",
            "github",
            "repository: on, workflow: w, token: {env: S}",
            "github.repository: `on` is not a repository",
        ),
        (
            "retrain",
            "github",
            "repository: o/n/m, workflow: w, token: {env: S}",
            "github.repository: `o/n/m` is not a repository; write `owner/name`",
        ),
        (
            "retrain",
            "github",
            "repository: o/n, workflow: w, token: {env: S}, inputs: {action_id: x}",
            "github.inputs.action_id: is the name in `id_input`, which gets the action's id",
        ),
        (
            "retrain",
            "jenkins",
            "url: \"https://j.example\", job: a//b, username: u, token: {env: S}",
            "jenkins.job: `a//b` is not a job",
        ),
        (
            "retrain",
            "argo_workflows",
            "url: \"https://a.example\", token: {env: S}, namespace: N, template: t",
            "argo_workflows.namespace: `N` is no name in Kubernetes",
        ),
        (
            "notify",
            "alertmanager",
            "url: \"https://a.example\", labels: {model: x}",
            "alertmanager.labels.model: is a label that each alert has already",
        ),
        (
            "notify",
            "alertmanager",
            "url: \"https://a.example\", labels: {1a: x}",
            "alertmanager.labels.1a: is no name of a label",
        ),
        (
            "notify",
            "pagerduty",
            "routing_key: {env: S}",
            "pagerduty.routing_key: the key must have 32 characters",
        ),
        (
            "notify",
            "pagerduty",
            "routing_key: {env: R}, link: wiki",
            "pagerduty.link: must be an address such as",
        ),
        ("notify", "slack", "url: {env: S}", "slack.url: must be an address such as"),
        (
            "notify",
            "slack",
            "url: \"https://hooks.slack.example/hunter2\"",
            "slack.url: must be `{env: NAME}` or `{file: PATH}`",
        ),
        (
            "notify",
            "kafka",
            "topic: t, reply_topic: t",
            "kafka.reply_topic: must be another topic than `topic`",
        ),
        (
            "notify",
            "webhook",
            "url: \"https://x.example\", secret: {env: S}, timeout: 10m",
            "webhook.timeout: must not be longer than the action's `deadline`",
        ),
    ];
    for (kind, target, section, expected) in cases {
        let told = wrong(kind, target, section);
        assert!(told.contains(expected), "{target} {section}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let inputs: Vec<String> = (0..25).map(|index| format!("i{index}: x")).collect();
    let section =
        format!("repository: o/n, workflow: w, token: {{env: S}}, inputs: {{{}}}", inputs.join(", "));
    let told = wrong("retrain", "github", &section);
    assert!(told.contains("github.inputs: must have at most 24 entries"), "{told}");
}

#[test]
fn a_section_that_is_not_used_is_judged_and_its_secret_is_not_read() {
    let unused =
        ", slack: {url: {env: NOT_SET}}, webhook: {url: \"https://x.example\", secret: {env: NOT_SET}}";
    let config = parse(&file("", "", unused, "")).unwrap();
    assert_eq!((config.warnings.len(), &config.actions[1].target), (0, &Target::DryRun));
    let used = format!("{unused}, target: slack").replacen("NOT_SET", "U", 1);
    let config = with_env(&file("", "", &used, ""), ENV).unwrap();
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["actions[1].webhook: is not used, because the target is `slack`"]);
    assert_eq!(config.actions[1].kind, ActionKind::Notify);
    let wrong = errors(&file("", "", &unused.replace("https://x", "ftp://x"), ""));
    assert!(wrong.starts_with("actions[1].webhook.url: "), "{wrong}");
    assert_lines(
        &errors(&file("", "", ", target: pagerduty", "")),
        &["actions[1].target: `pagerduty` needs the section `pagerduty`"],
    );
}
