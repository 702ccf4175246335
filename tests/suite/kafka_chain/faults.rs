//! What stands in the way at a real target, and where the action ends then. In each story the second version
//! leaves its bounds.

use std::time::Duration;

use serde_json::Value;

use super::airflow::{self, PAUSED};
use super::setting::{Options, Setting, Stage};
use super::{PATIENCE, chain, web};
use super::{env, wait_for};

const RETRAIN: Options = Options {
    actions: "[retrain]",
    mlflow: ("plimsoll", "mlflow-plimsoll"),
    airflow: ("plimsoll", "airflow-plimsoll"),
    dag: airflow::DAG,
    finish_within: "3m",
    log: "debug",
    more: "",
};

fn stage(test: &str, options: &Options) -> Stage {
    Setting::new(test, 3, options).play()
}

/// The action was suppressed by this rule, with these words about it; as the audit log has it.
fn assert_suppressed(stage: &Stage, action: &Value, reason: &str, words: &str) {
    let outcome = stage.setting.outcome(action);
    assert_eq!((&outcome["state"], &outcome["reason"]), (&"suppressed".into(), &reason.into()), "{outcome}");
    assert!(outcome["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{outcome}");
    let audit = stage.setting.audit();
    let intended = audit.iter().any(|entry| entry["kind"] == "intent" && entry["action_id"] == action["id"]);
    assert!(!intended, "nothing was asked for that changes anything: {audit:#?}");
}

/// The action failed, and the target was heard to say this.
fn assert_failed(stage: &Stage, action: &Value, words: &str) {
    let outcome = stage.setting.outcome(action);
    assert_eq!(outcome["state"], "failed", "{outcome}");
    assert!(outcome["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{outcome}");
}

/// No run about the model was made.
fn assert_no_run(stage: &Stage, dag: &str) {
    assert_eq!(airflow::runs(dag, &stage.setting.name), Vec::<Value>::new());
}

#[test]
#[ignore = "needs real servers: tests/chain/run.sh"]
fn real_paused_dag_is_not_started() {
    let stage = stage("paused", &Options { dag: PAUSED, ..RETRAIN });
    stage.promote(2);
    let action = stage.await_action("retrain", "suppressed");
    assert_suppressed(&stage, &action, "target_not_ready", "paused");
    assert_no_run(&stage, PAUSED);
    stage.done();
}

#[test]
#[ignore = "needs real servers: tests/chain/run.sh"]
fn real_dead_scheduler_is_not_asked_for_a_run() {
    let stage = stage("scheduler", &RETRAIN);
    chain("kill", "airflow-scheduler");
    let url = format!("{}/api/v2/monitor/health", env("PLIMSOLL_CHAIN_AIRFLOW"));
    wait_for("Airflow to know of its scheduler's death", PATIENCE, || {
        let health = web::get("GET", &url, &web::Login::Nobody, None);
        (health["scheduler"]["status"] == "unhealthy").then_some(())
    });
    stage.promote(2);
    let action = stage.await_action("retrain", "suppressed");
    chain("start", "airflow-scheduler");
    assert_suppressed(&stage, &action, "target_not_ready", "scheduler");
    assert_no_run(&stage, airflow::DAG);
    stage.done();
}

#[test]
#[ignore = "needs real servers: tests/chain/run.sh"]
fn real_run_that_a_dying_scheduler_never_begins_is_stopped_and_has_failed() {
    let stage = stage("stuck", &Options { finish_within: "20s", ..RETRAIN });
    // Airflow calls it healthy for some seconds more.
    chain("kill", "airflow-scheduler");
    stage.promote(2);
    let action = stage.await_action("retrain", "failed");
    chain("start", "airflow-scheduler");
    assert_failed(&stage, &action, "queued");
    // It was stopped, so that it does not begin now that nobody waits for it any more.
    std::thread::sleep(Duration::from_secs(5));
    let runs = airflow::runs(airflow::DAG, &stage.setting.name);
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!((&runs[0]["dag_run_id"], &runs[0]["state"]), (&action["id"], &"failed".into()), "{runs:?}");
    assert_eq!(runs[0]["start_date"], Value::Null, "{runs:?}");
    stage.done();
}

#[test]
#[ignore = "needs real servers: tests/chain/run.sh"]
fn real_promotion_by_a_person_in_between_stays() {
    let stage = stage("promoted", &Options::default());
    stage.promote(2);
    // What serves has not read the alias again when the person moves it.
    stage.serving.stay();
    stage.setting.registry.promote(3);
    let action = stage.await_action("roll-back", "suppressed");
    assert_suppressed(&stage, &action, "stale", "3");
    assert_eq!(stage.setting.registry.serving(), Some(3), "nobody has touched it");
    stage.done();
}

#[test]
#[ignore = "needs real servers: tests/chain/run.sh"]
fn real_alias_that_is_not_there_is_not_made() {
    let stage = stage("no-alias", &Options::default());
    stage.promote(2);
    stage.setting.registry.remove_alias();
    let action = stage.await_action("roll-back", "suppressed");
    assert_suppressed(&stage, &action, "stale", super::mlflow::ALIAS);
    assert_eq!(stage.setting.registry.serving(), None);
    stage.done();
}

#[test]
#[ignore = "needs real servers: tests/chain/run.sh"]
fn real_user_who_may_only_read_the_registry_fails_with_403() {
    let stage = stage("reader", &Options { mlflow: ("reader", "mlflow-reader"), ..Options::default() });
    stage.promote(2);
    let action = stage.await_action("roll-back", "failed");
    assert_failed(&stage, &action, "403");
    assert_eq!(stage.setting.registry.serving(), Some(2), "nothing was changed");
    stage.done();
}

#[test]
#[ignore = "needs real servers: tests/chain/run.sh"]
fn real_user_who_may_only_view_dags_fails_with_403() {
    let stage = stage("viewer", &Options { airflow: ("viewer", "airflow-viewer"), ..RETRAIN });
    stage.promote(2);
    let action = stage.await_action("retrain", "failed");
    assert_failed(&stage, &action, "403");
    assert_no_run(&stage, airflow::DAG);
    stage.done();
}

#[test]
#[ignore = "needs real servers: tests/chain/run.sh"]
fn real_wrong_password_fails_with_401() {
    let stage =
        stage("password", &Options { airflow: ("plimsoll", "airflow-viewer"), log: "trace", ..RETRAIN });
    stage.promote(2);
    let action = stage.await_action("retrain", "failed");
    assert_failed(&stage, &action, "401");
    assert_no_run(&stage, airflow::DAG);
    stage.done();
}
