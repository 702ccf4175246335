//! The loop closes: the second version leaves its bounds, the alias goes back, a retraining is started once,
//! people are told, the records show the recovery, and the audit log has it in order. Then every secret of
//! the run is searched for.

use std::path::Path;

use serde_json::Value;

use super::daemon::plimsoll;
use super::planted::{Search, secret};
use super::setting::{Options, Setting};
use super::{PATIENCE, airflow, env, wait_for};

/// What `webhook` was given and kept in `file`.
fn kept(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(Path::new(&env("PLIMSOLL_CHAIN")).join(file)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What Alertmanager notified of about `model`, with this status.
fn notified(model: &str, status: &str) -> usize {
    let about = |alert: &&Value| alert["commonLabels"]["model"] == model && alert["status"] == status;
    kept("alerts.ndjson").iter().filter(about).count()
}

/// The number of the first entry that `is`.
fn position(audit: &[Value], what: &str, is: impl Fn(&Value) -> bool) -> u64 {
    let found = audit.iter().find(|entry| is(entry));
    found.unwrap_or_else(|| panic!("no {what} in the audit log: {audit:#?}"))["seq"].as_u64().unwrap()
}

#[test]
#[ignore = "needs real servers: tests/chain/run.sh"]
fn real_drift_takes_the_alias_back_retrains_once_and_is_seen_to_recover() {
    let options = Options { actions: "[roll-back, retrain, tell, hook]", ..Options::default() };
    let stage = Setting::new("story", 2, &options).play();
    let model = stage.setting.name.clone();
    stage.promote(2);

    let rolled_back = stage.await_action("roll-back", "recovered");
    assert_eq!(stage.setting.registry.serving(), Some(1));
    stage.serving.await_version(1);
    let tags = stage.setting.registry.tags(2).to_string();
    assert!(tags.contains(rolled_back["id"].as_str().unwrap()), "{tags}");

    let retrained = stage.await_action("retrain", "applied");
    let runs = airflow::runs(airflow::DAG, &model);
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!((&runs[0]["dag_run_id"], &runs[0]["state"]), (&retrained["id"], &"success".into()));
    assert_eq!(runs[0]["conf"]["because_of"], "v2");

    // The incident is over once the bad version has no traffic: people are told of both ends, of each once.
    let hooks = wait_for("both calls of the webhook", PATIENCE, || {
        let hooks = stage.daemon.actions("hook");
        (hooks.len() == 2 && hooks.iter().all(|hook| hook["state"] == "applied")).then_some(hooks)
    });
    let calls = kept("rollback.ndjson");
    for hook in &hooks {
        let mine: Vec<&Value> = calls.iter().filter(|call| call["id"] == hook["id"]).collect();
        assert_eq!(mine.len(), 1, "{calls:?}");
        assert_eq!(mine[0]["verified"], true, "{calls:?}");
    }
    wait_for("Alertmanager to resolve", PATIENCE, || (notified(&model, "resolved") > 0).then_some(()));
    assert_eq!((notified(&model, "firing"), notified(&model, "resolved")), (1, 1));

    let audit = stage.setting.audit();
    let of = |entry: &Value, kind: &str, action: &Value| {
        entry["kind"] == kind && entry["action_id"] == action["id"]
    };
    for action in [&rolled_back, &retrained, &hooks[0]] {
        let sealed = position(&audit, "evidence", |entry| {
            let stands = entry["action_ids"].as_array().is_some_and(|ids| ids.contains(&action["id"]));
            entry["kind"] == "evidence" && stands
        });
        let intended = position(&audit, "intent", |entry| of(entry, "intent", action));
        let done = position(&audit, "outcome", |entry| {
            of(entry, "outcome", action) && entry["outcome"]["state"] == "applied"
        });
        assert!(sealed < intended && intended < done, "{sealed} {intended} {done}: {audit:#?}");
    }
    let applied = position(&audit, "rollback", |entry| of(entry, "outcome", &rolled_back));
    let recovered = position(&audit, "recovery", |entry| {
        of(entry, "verified", &rolled_back) && entry["result"] == "recovered"
    });
    assert!(applied < recovered);

    // An outsider's check: every entry is what was signed.
    let mut search = Search::new();
    for command in [&["audit", "verify"][..], &["audit", "show"], &["validate"]] {
        let ran = plimsoll().args(command).arg("--config").arg(&stage.setting.config).output().unwrap();
        assert!(ran.status.success(), "{command:?}: {ran:?}");
        search.printed(&command.join(" "), &ran);
    }

    // A token where it does not belong, and one that is wrong, are refused and not repeated.
    let token = secret(&format!("token-{model}"));
    for (path, token) in [
        ("/api/v1/actions", "planted"),
        (format!("/api/v1/actions?token={token}").as_str(), ""),
        (format!("/api/v1/{token}").as_str(), ""),
    ] {
        let head = search.answer(&stage.daemon, path, Some(token));
        assert!(head.starts_with("HTTP/1.1 4"), "{head}");
    }
    // Whatever ran before on the same broker is searched too, and so are the broker's own topics.
    search.topics("");
    search.found_nothing("commands, refusals and all topics");

    // The same search does find one that is there, whichever it is.
    for (name, leak) in Search::leaks() {
        search.found.clear();
        search.look("a leak", format!("x{leak}x").as_bytes());
        assert!(search.found.iter().any(|found| found.starts_with(&name)), "{name}: {:?}", search.found);
    }
    stage.done();
}
