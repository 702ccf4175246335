//! From configured actions, policies and limits to the executor that calls targets, and to what the
//! actor is told at start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::targets;
use crate::action::{Clock, Executor, Target};
use crate::app::clock::now_millis;
use crate::config::{self, Config, Mode};
use crate::engine::actor::{self, ActionSpec, CallFinished, PolicyTerms, entry};
use crate::safety::{ActionKind, BreakerSpec, Budget, FleetAlarm, Limits, PolicyMode, VerifySpec};

/// How many ends of calls may wait to be taken.
const RESULTS: usize = 64;

/// Targets of the configured actions, what the actor must know of them, and the executor that
/// calls them on `runtime`.
///
/// # Errors
/// When a target cannot be set up; the message names the action.
pub fn actions(
    config: &Config,
    started: BTreeMap<String, String>,
    runtime: &Handle,
) -> anyhow::Result<(actor::Config, Executor, tokio::sync::mpsc::Receiver<CallFinished>)> {
    let clock: Clock = Arc::new(now_millis);
    let mut built: BTreeMap<String, Arc<dyn Target>> = BTreeMap::new();
    let mut specs = Vec::new();
    for action in &config.actions {
        let target = target(action, config, &clock)?;
        specs.push(ActionSpec {
            name: action.name.clone(),
            kind: kind(action.kind),
            deadline: action.deadline,
            finish_within: action.finish_within,
            target: target.name().to_owned(),
            idempotency: target.idempotency(),
            abilities: target.abilities(),
        });
        built.insert(action.name.clone(), target);
    }
    let (sender, results) = tokio::sync::mpsc::channel(RESULTS);
    let executor = Executor::new(built, clock, runtime.clone(), sender);
    Ok((actor_config(config, specs, started), executor, results))
}

fn target(action: &config::Action, config: &Config, clock: &Clock) -> anyhow::Result<Arc<dyn Target>> {
    let place = || format!("actions[{}].{}", action.name, action.target.name());
    targets::target(action, config, clock).with_context(place)
}

/// Finds what only the adapter of the action's target can judge.
///
/// # Errors
/// What is wrong, with its place.
pub(super) fn check(action: &config::Action, config: &Config) -> anyhow::Result<()> {
    // A client of Kafka would look for its brokers at once; its properties are judged without.
    if matches!(action.target, config::Target::Kafka(_)) {
        return Ok(());
    }
    let clock: Clock = Arc::new(now_millis);
    target(action, config, &clock).map(drop)
}

/// What an action is for.
pub(super) fn kind(kind: config::ActionKind) -> ActionKind {
    match kind {
        config::ActionKind::Rollback => ActionKind::Rollback,
        config::ActionKind::Retrain => ActionKind::Retrain,
        config::ActionKind::Notify => ActionKind::Notify,
    }
}

/// What the actor must know of the configuration.
fn actor_config(
    config: &Config,
    actions: Vec<ActionSpec>,
    started: BTreeMap<String, String>,
) -> actor::Config {
    // Those of policies that change nothing want no change either, however sick their data is.
    let changing = config.policies.iter().filter(|policy| matches!(policy.mode, Mode::Approve | Mode::Auto));
    let watched: BTreeSet<&str> = changing.map(|policy| policy.model.as_str()).collect();
    let terms = config.policies.iter().map(|policy| (policy.name.clone(), terms(policy, config, &actions)));
    actor::Config {
        policies: terms.collect(),
        limits: limits(&config.safety),
        breaker: BreakerSpec {
            failures: config.safety.breaker.failures,
            open_for: millis(config.safety.breaker.open_for),
        },
        watched: watched.len(),
        event_time_is_wall_time: true,
        actions,
        started,
    }
}

/// What a policy may do.
fn terms(policy: &config::Policy, config: &Config, actions: &[ActionSpec]) -> PolicyTerms {
    let rolls_back =
        |name: &String| actions.iter().any(|spec| spec.name == *name && spec.kind == ActionKind::Rollback);
    PolicyTerms {
        mode: match policy.mode {
            Mode::Observe => PolicyMode::Observe,
            Mode::Recommend => PolicyMode::Recommend,
            Mode::Approve => PolicyMode::Approve,
            Mode::Auto => PolicyMode::Auto,
        },
        model: policy.model.as_str().into(),
        rolls_back: policy.actions.iter().any(rolls_back),
        approval_within: policy.approval_within,
        verify: VerifySpec {
            within: millis(policy.verify.within),
            traffic: policy.verify.traffic,
            samples: policy.verify.samples,
        },
        escalate: policy.escalate.clone(),
        hash: hash(&policy.name, config),
    }
}

/// SHA-256, in hexadecimal digits, of the policy as it is written with its defaults, as canonical JSON.
fn hash(policy: &str, config: &Config) -> String {
    let written = config.part["policies"].as_array().into_iter().flatten();
    let written = { written }.find(|written| written["name"] == policy).map(entry::canonical);
    let digest = Sha256::digest(written.unwrap_or_default().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn limits(safety: &config::Safety) -> Limits {
    let budget = |allowance: config::Allowance| Budget { count: allowance.count, per: millis(allowance.per) };
    Limits {
        cooldown_rollback: millis(safety.cooldown.rollback),
        cooldown_retrain: millis(safety.cooldown.retrain),
        per_model: budget(safety.per_model),
        fleet: budget(safety.fleet),
        alarm: FleetAlarm {
            models: safety.fleet_alarm.models,
            share: safety.fleet_alarm.share,
            within: millis(safety.fleet_alarm.within),
        },
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const TEXT: &str = r#"
topics: [{name: t, model: /m}]
models:
  - {name: credit, topics: [t], task: binary, version: /v, time: /ts, prediction: /p, groups: [{name: g, from: /g, values: [a, b]}],
     checks: [{name: fair, metric: selection_rate_ratio, window: 1h, bound: ">= 0.8"}]}
  - {name: other, topics: [t], task: binary, version: /v, time: /ts}
policies:
  - {name: fair, model: credit, checks: [fair], actions: [back], mode: MODE, escalate: [tell], approval: {within: 7m}}
actions: [{name: back, kind: rollback, finish_within: 3m}, {name: tell, kind: notify}]
safety: {cooldown: {retrain: 1h}, budget: {fleet: {count: 7}}, breaker: {failures: 2}}
"#;

    fn told(mode: &str) -> actor::Config {
        let text = TEXT.replace("MODE", mode);
        let config = config::parse(&text, Path::new("/etc/plimsoll.yaml"), []).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        actions(&config, BTreeMap::new(), runtime.handle()).unwrap().0
    }

    #[test]
    fn the_actor_is_told_what_is_configured() {
        let told = told("approve");
        let terms = told.terms("fair");
        assert_eq!(
            (terms.mode, terms.rolls_back, terms.model.as_str()),
            (PolicyMode::Approve, true, "credit")
        );
        assert_eq!(terms.approval_within, Duration::from_secs(7 * 60));
        assert_eq!(terms.verify, VerifySpec { within: 3 * 3_600_000, traffic: 0.95, samples: 100 });
        assert_eq!(terms.escalate, ["tell"]);
        assert_eq!(
            told.limits,
            Limits {
                cooldown_retrain: 3_600_000,
                fleet: Budget { count: 7, per: 86_400_000 },
                ..Limits::default()
            }
        );
        assert_eq!(told.breaker, BreakerSpec { failures: 2, ..BreakerSpec::default() });
        assert_eq!(told.action("back").unwrap().finish_within, Duration::from_secs(180));
        // The other model has no policy, so it is not one of those that may want a change.
        assert_eq!(told.watched, 1);
    }

    #[test]
    fn each_mode_is_its_own_and_another_policy_has_another_hash() {
        let modes = ["observe", "recommend", "approve", "auto"].map(|mode| told(mode).terms("fair"));
        for (mode, terms) in ["observe", "recommend", "approve", "auto"].iter().zip(&modes) {
            assert_eq!(terms.mode.name(), *mode);
            assert_eq!(terms.hash.len(), 64);
        }
        assert_ne!(modes[0].hash, modes[1].hash);
        assert_eq!(modes[0].hash, told("observe").terms("fair").hash);
    }
}
