//! What Airflow has run.

use serde_json::{Value, json};

use super::env;
use super::planted::secret;
use super::web::{Login, get};

/// The DAG that is ready, and the one that is paused.
pub(super) const DAG: &str = "retrain";
pub(super) const PAUSED: &str = "retrain_paused";

fn at(path: &str) -> String {
    format!("{}{path}", env("PLIMSOLL_CHAIN_AIRFLOW"))
}

/// A token of the user who may start runs.
pub(super) fn token() -> String {
    let who = json!({"username": "plimsoll", "password": secret("airflow-plimsoll")});
    let token = get("POST", &at("/auth/token"), &Login::Nobody, Some(&who));
    token["access_token"].as_str().unwrap().to_owned()
}

/// The runs of `dag` that are about `model`, oldest first.
pub(super) fn runs(dag: &str, model: &str) -> Vec<Value> {
    let path = format!("/api/v2/dags/{dag}/dagRuns?limit=1000&order_by=run_after");
    let all = get("GET", &at(&path), &Login::Bearer(token()), None);
    let all = all["dag_runs"].as_array().unwrap().iter();
    all.filter(|run| run["conf"]["model"] == model).cloned().collect()
}
