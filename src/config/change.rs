//! What of a configuration may change while everything runs, and what must stay: topics' names, groups,
//! addresses and keys are read when a process starts; models, checks, policies and budgets are read from
//! one generation of the configuration after another.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::error::{Errors, Report};
use super::raw;
use super::tree::{Config, Mode, Verify};
use super::validate::{self, Surroundings};

/// The part that may change, as it is written, with defaults filled in: topics, models, policies and the
/// false-alarm budget. Of actions it has what policies are held against, so it holds no secret.
pub(super) fn part(root: &raw::Root) -> Value {
    let action = |action: &raw::Action| json!({"name": action.name, "kind": action.kind});
    json!({
        "topics": root.topics,
        "models": root.models,
        "policies": root.policies,
        "false_alarm_budget": root.false_alarm_budget,
        "actions": root.actions.iter().map(action).collect::<Vec<Value>>(),
    })
}

/// The configuration of such a part, which another process may have read. Everything that does not
/// belong to it is as if nothing were configured, and files stand nowhere.
///
/// # Errors
/// When it is not one that this build can use.
pub fn of_part(part: &Value) -> Result<Config, Errors> {
    let root: raw::Root =
        serde_json::from_value(part.clone()).map_err(|wrong| Errors::one("", wrong.to_string()))?;
    let (mut report, env) = (Report::default(), BTreeMap::new());
    let around = Surroundings { folder: Path::new(""), env: &env };
    let config = validate::validate(&root, &around, &mut report);
    let (errors, _) = report.finish(|_| None);
    match config {
        Some(config) if errors.is_empty() => Ok(Config { part: part.clone(), ..config }),
        _ => Err(Errors(errors)),
    }
}

/// What differs between the configuration that a process runs with and a new one, and needs a restart:
/// sections and keys by name; empty where the new one can be taken up while everything runs.
pub fn needs_restart(running: &Config, new: &Config) -> Vec<String> {
    let names = |config: &Config| {
        let mut names: Vec<String> = config.topics.iter().map(|topic| topic.name.clone()).collect();
        names.sort();
        names
    };
    let sections = [
        ("roles", running.roles != new.roles),
        ("kafka", running.kafka != new.kafka),
        ("ingest", running.ingest != new.ingest),
        ("topics (their names)", names(running) != names(new)),
        ("actions", running.actions != new.actions),
        ("safety", running.safety != new.safety),
        ("audit", running.audit != new.audit),
        ("http", running.http != new.http),
        ("log", running.log != new.log),
    ];
    let changed = sections.iter().filter(|(_, changed)| *changed).map(|(name, _)| (*name).to_owned());
    // How a policy acts is asked by the actor, which reads it when it starts.
    let policy = |name: &str| running.policies.iter().find(|policy| policy.name == name);
    let conduct = new.policies.iter().flat_map(|new| {
        let old = policy(&new.name);
        let (mode, escalate) = (old.map_or(Mode::Observe, |old| old.mode), old.map(|old| &old.escalate));
        let keys = [
            ("mode", mode != new.mode),
            ("approval", old.is_some_and(|old| old.approval_within != new.approval_within)),
            ("verify", old.is_some_and(|old| as_stated(&old.verify) != as_stated(&new.verify))),
            ("escalate", escalate.map_or(!new.escalate.is_empty(), |old| *old != new.escalate)),
        ];
        let changed = keys.into_iter().filter(|(_, changed)| *changed);
        changed.map(|(key, _)| format!("policies[{}].{key}", new.name)).collect::<Vec<String>>()
    });
    changed.chain(conduct).collect()
}

/// A verification without a time that only follows from windows, which may change at any time.
fn as_stated(verify: &Verify) -> Verify {
    if verify.stated { *verify } else { Verify { within: Duration::ZERO, ..*verify } }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const TEXT: &str = r#"
kafka: {brokers: "localhost:9092", security: {protocol: sasl_plaintext, mechanism: PLAIN, username: u, password: {env: KEY}}}
topics: [{name: t, model: /m}]
models:
  - name: credit
    topics: [t]
    task: binary
    version: /v
    time: {from: /ts, unit: ms}
    prediction: {from: /p, positive: "yes"}
    checks: [{name: volume, metric: traffic_volume, window: 1h, slide: 5m, bound: ">= 1"}]
policies: [{name: fair, model: credit, checks: [volume], actions: [tell]}]
actions:
  - {name: tell, kind: notify, target: webhook, webhook: {url: "https://example.org/x", secret: {env: KEY}}}
http: {listen: 127.0.0.1:0}
"#;

    fn read(text: &str) -> Config {
        let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        parse(text, Path::new("/etc/plimsoll.yaml"), [("KEY".to_owned(), key)]).unwrap()
    }

    #[test]
    fn the_part_that_may_change_is_a_configuration_of_its_own_and_holds_no_secret() {
        let config = read(TEXT);
        let text = config.part.to_string();
        assert!(!text.contains("whsec") && !text.contains("example.org") && !text.contains("9092"), "{text}");
        let again = of_part(&config.part).unwrap();
        assert_eq!(again.models, config.models);
        assert_eq!(again.policies, config.policies);
        assert_eq!(again.topics, config.topics);
        assert_eq!(again.part, config.part);
    }

    #[test]
    fn a_default_that_is_spelled_out_changes_nothing() {
        let spelled = TEXT.replace("model: /m}", "model: /m, allowed_lateness: 30s}");
        assert_eq!(read(&spelled).part, read(TEXT).part);
        let other = TEXT.replace("model: /m}", "model: /m, allowed_lateness: 31s}");
        assert_ne!(read(&other).part, read(TEXT).part);
    }

    #[test]
    fn what_is_read_at_start_only_is_named() {
        let running = read(TEXT);
        let restart = |from: &str, to: &str| needs_restart(&running, &read(&TEXT.replace(from, to)));
        assert_eq!(restart("1h, slide: 5m", "2h, slide: 10m"), Vec::<String>::new());
        assert_eq!(restart("localhost:9092", "localhost:9093"), ["kafka"]);
        assert_eq!(restart("example.org/x", "example.org/y"), ["actions"]);
        assert_eq!(restart("127.0.0.1:0", "127.0.0.1:1"), ["http"]);
        assert_eq!(restart("actions: [tell]}", "actions: [tell], mode: auto}"), ["policies[fair].mode"]);
        assert_eq!(
            restart("actions: [tell]}", "actions: [tell], approval: {within: 1h}, escalate: [tell]}"),
            ["policies[fair].approval", "policies[fair].escalate"]
        );
        assert_eq!(restart("http: {", "safety: {cooldown: {rollback: 1h}}\nhttp: {"), ["safety"]);
        let topic = restart("[{name: t,", "[{name: u, model: /m}, {name: t,");
        assert_eq!(topic, ["topics (their names)"]);
    }
}
