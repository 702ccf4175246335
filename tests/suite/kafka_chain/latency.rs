//! How long it takes on the real chain from the first record of a bad version to the alias being back, over
//! many incidents in a row.

use serde_json::Value;

use super::serving::POLL;
use super::setting::{Options, Setting};

/// Nothing but the chain itself is to hold an incident up.
const UNLIMITED: &str = "safety:
  cooldown: {rollback: 0s}
  budget: {per_model: {count: 100000, per: 24h}, fleet: {count: 100000, per: 24h}}";

fn millis(value: &Value) -> i64 {
    let time: plimsoll::domain::EventTime = value.as_str().unwrap().parse().unwrap();
    time.as_millis()
}

/// Wall time of the entry about this action that `is`.
fn time_of(audit: &[Value], is: impl Fn(&Value) -> bool) -> i64 {
    millis(&audit.iter().find(|entry| is(entry)).expect("an entry")["time"])
}

fn row(what: &str, mut all: Vec<i64>) {
    all.sort_unstable();
    // The nearest rank: with few incidents p99 is the largest.
    let at = |share: f64| all[((all.len() as f64 * share).ceil() as usize).max(1) - 1] as f64 / 1000.0;
    println!("chain|| {what} | {} | {:.2} | {:.2} | {:.2} |", all.len(), at(0.5), at(0.99), at(1.0));
}

#[test]
#[ignore = "needs real servers: tests/chain/run.sh --latency"]
fn measured_time_from_the_first_bad_record_to_the_applied_rollback() {
    let incidents: u32 = std::env::var("PLIMSOLL_CHAIN_INCIDENTS").map_or(20, |text| text.parse().unwrap());
    let options = Options { more: UNLIMITED, ..Options::default() };
    let stage = Setting::new("latency", incidents + 1, &options).play();
    let mut done = Vec::new();
    for version in 2..=incidents + 1 {
        stage.promote(version);
        let began = stage.serving.began(version).unwrap();
        let action = loop {
            let action = stage.await_action("roll-back", "recovered");
            // The newest may still be that of the incident before.
            if action["key"]["version"] == format!("v{version}") {
                break action;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        };
        assert_eq!(stage.setting.registry.serving(), Some(1));
        stage.serving.await_version(1);
        done.push((began, action));
    }
    let audit = stage.setting.audit();
    let (mut from_record, mut from_decision, mut to_recovery) = (Vec::new(), Vec::new(), Vec::new());
    for (began, action) in &done {
        let of = |entry: &Value, kind: &str| entry["kind"] == kind && entry["action_id"] == action["id"];
        let applied = time_of(&audit, |entry| of(entry, "outcome"));
        from_record.push(applied - began);
        let decided = time_of(&audit, |entry| {
            entry["kind"] == "decision" && entry["decision"]["id"] == action["decision"]
        });
        from_decision.push(applied - decided);
        to_recovery.push(time_of(&audit, |entry| of(entry, "verified")) - applied);
    }
    println!("chain|| seconds | incidents | p50 | p99 | max |");
    println!("chain||---|---|---|---|---|");
    row("first bad record to alias moved back", from_record);
    row("decision read by the actor to alias moved back", from_decision);
    row("alias moved back to seen to have recovered", to_recovery);
    println!("chain|The server of the model looks at the alias every {} ms.", POLL.as_millis());
    stage.done();
}
