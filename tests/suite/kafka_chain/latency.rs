//! How long it takes on the real chain from a breach to the alias being back, in its parts, over many
//! incidents in a row. All times are those of one clock.
//!
//! The breach is the last record of the bad version before the end of the pane whose counts raised the
//! alarm: with it in the log, whoever knew everything could have decided.

use std::collections::BTreeMap;

use rdkafka::message::Message;
use serde_json::Value;

use super::serving::POLL;
use super::setting::{Options, Setting, Stage};
use super::topics;

/// Nothing but the chain itself is to hold an incident up.
const UNLIMITED: &str = "safety:
  cooldown: {rollback: 0s}
  budget: {per_model: {count: 100000, per: 24h}, fleet: {count: 100000, per: 24h}}";

fn millis(value: &Value) -> i64 {
    let time: plimsoll::domain::EventTime = value.as_str().unwrap().parse().unwrap();
    time.as_millis()
}

/// The entry about this action that `is`.
fn entry<'a>(audit: &'a [Value], what: &str, is: impl Fn(&Value) -> bool) -> &'a Value {
    audit.iter().find(|entry| is(entry)).unwrap_or_else(|| panic!("no {what}"))
}

/// A record of a version: its event time, and when the broker wrote it down.
type Logged = (i64, i64);

/// The records of every version, in the order of event time.
fn logged(topic: &str) -> BTreeMap<String, Vec<Logged>> {
    let mut logged: BTreeMap<String, Vec<Logged>> = BTreeMap::new();
    topics::read(topic, "read_committed", |message| {
        let record: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
        let version = record["version"].as_str().unwrap().to_owned();
        let times = (record["ts"].as_i64().unwrap(), message.timestamp().to_millis().unwrap());
        logged.entry(version).or_default().push(times);
    });
    logged.values_mut().for_each(|records| records.sort_unstable());
    logged
}

/// When the evaluator took each decision, by its id.
fn decided(topic: &str) -> BTreeMap<String, i64> {
    let mut decided = BTreeMap::new();
    topics::read(topic, "read_committed", |message| {
        let told: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
        if let (Some(id), Some(at)) = (told["decision"]["id"].as_str(), told["decided_at"].as_i64()) {
            decided.entry(id.to_owned()).or_insert(at);
        }
    });
    decided
}

/// When the daemon said this of an action, for the first time.
fn said(log: &str, action: &Value, words: &str) -> i64 {
    let action = action.as_str().unwrap();
    let line = log.lines().find(|line| line.contains(action) && line.contains(words));
    let stamp = line.unwrap_or_else(|| panic!("nothing logged of {action}: {words}"));
    // Down to milliseconds, as the other times are.
    millis(&Value::from(format!("{}Z", &stamp[..23])))
}

#[derive(Debug, Default)]
struct Table(Vec<(&'static str, Vec<i64>)>);

impl Table {
    fn add(&mut self, what: &'static str, millis: i64) {
        match self.0.iter_mut().find(|(name, _)| *name == what) {
            Some((_, all)) => all.push(millis),
            None => self.0.push((what, vec![millis])),
        }
    }

    fn print(&mut self) {
        println!("chain|| seconds | times | p50 | p99 | max |");
        println!("chain||---|---|---|---|---|");
        for (what, all) in &mut self.0 {
            all.sort_unstable();
            // The nearest rank: with fewer than a hundred p99 is the largest.
            let at =
                |share: f64| all[((all.len() as f64 * share).ceil() as usize).max(1) - 1] as f64 / 1000.0;
            println!("chain|| {what} | {} | {:.3} | {:.3} | {:.3} |", all.len(), at(0.5), at(0.99), at(1.0));
        }
    }
}

fn measure(stage: &Stage, recovered: &[Value]) -> Table {
    let (name, mut table) = (&stage.setting.name, Table::default());
    let audit = stage.setting.audit();
    let log = stage.daemon.log();
    let (logged, decided) = (logged(name), decided(&format!("{name}.decisions")));
    for action in recovered {
        let about = |entry: &Value, kind: &str| entry["kind"] == kind && entry["action_id"] == action["id"];
        let time = |entry: &Value| millis(&entry["time"]);
        let decision = entry(&audit, "decision", |entry| {
            entry["kind"] == "decision" && entry["decision"]["id"] == action["decision"]
        });
        let intent = time(entry(&audit, "intent", |entry| about(entry, "intent")));
        // What is said of the action once its intent is durable, just before the target is asked; and the answer.
        let asked = said(&log, &action["id"], "state=\"submitting\"");
        let answered = said(&log, &action["id"], "the target took the action");
        let outcome = entry(&audit, "outcome", |entry| about(entry, "outcome"));
        assert_eq!(outcome["outcome"]["state"], "applied", "{outcome}");
        let applied = time(outcome);
        let verified = time(entry(&audit, "verified", |entry| about(entry, "verified")));
        let records = &logged[action["key"]["version"].as_str().unwrap()];
        let (first, last) = (records[0], records[records.len() - 1]);
        let at = millis(&decision["decision"]["at"]);
        let tipping = *records.iter().rfind(|(event, _)| *event < at).expect("a record in the pane");
        let known = decided[action["decision"].as_str().unwrap()];
        for (what, from, to) in [
            ("**breach to applied**, by event time", tipping.0, applied),
            ("1. breach: event time to written down by the broker", tipping.0, tipping.1),
            ("2. written down to decided", tipping.1, known),
            ("3. decided to read by the actor", known, time(decision)),
            ("4. read to intent: evidence, questions before", time(decision), intent),
            ("5. intent made durable", intent, asked),
            ("6. call of MLflow: read, move, read again, tag", asked, answered),
            ("7. its answer to applied", answered, applied),
            ("first bad record to breach", first.0, tipping.0),
            ("**first bad record to applied**", first.0, applied),
            ("first bad record to last bad record", first.0, last.0),
            ("applied to verified as recovered", applied, verified),
        ] {
            table.add(what, to - from);
        }
    }
    for read in stage.serving.reads.lock().unwrap().iter() {
        table.add("for comparison: one reading of the alias, by the server of the model", *read);
    }
    table
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

#[test]
#[ignore = "needs real servers: tests/chain/run.sh --latency"]
fn measured_time_from_a_breach_to_the_applied_rollback() {
    let incidents: u32 = std::env::var("PLIMSOLL_CHAIN_INCIDENTS").map_or(20, |text| text.parse().unwrap());
    let options = Options { more: UNLIMITED, log: "info,plimsoll::app::acting=debug", ..Options::default() };
    let stage = Setting::new("latency", incidents + 1, &options).play();
    println!("chain|load before: {}", load());
    let mut recovered = Vec::new();
    for version in 2..=incidents + 1 {
        stage.promote(version);
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
        recovered.push(action);
    }
    println!("chain|load after: {}", load());
    measure(&stage, &recovered).print();
    println!("chain|The server of the model looks at the alias every {} ms.", POLL.as_millis());
    stage.done();
}
