//! What a disturbed fleet told, held against what an undisturbed one told of the same records, and
//! each against itself: nothing lost, nothing twice.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::instances::plimsoll;
use super::receiver::Call;
use super::setting::{Fleet, Setting};
use super::told::{Found, findings, told};
use super::traffic::{Shape, Tally};

/// Everything that a fleet told, as far as it is compared.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Findings by model, in order.
    pub(super) findings: BTreeMap<String, Vec<String>>,
    /// Decisions by model, in order: id and the whole of it.
    pub(super) decisions: BTreeMap<String, Vec<(String, String)>>,
    /// Dead letters: partition, offset, reason.
    pub(super) rejected: BTreeMap<(i32, i64), String>,
    /// Ids of the actions that were planned.
    pub(super) actions: BTreeSet<String>,
    /// What the state says of the input.
    pub(super) accounting: Value,
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no {pointer} in {value}")).to_owned()
}

/// Fails where any of `all` is there twice.
fn once<'a>(what: &str, all: impl IntoIterator<Item = &'a String>) {
    let mut count: BTreeMap<&String, usize> = BTreeMap::new();
    all.into_iter().for_each(|one| *count.entry(one).or_default() += 1);
    let twice: Vec<_> = count.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "{} {what} are there more than once: {:#?}", twice.len(), brief(&twice));
}

fn brief<T: std::fmt::Debug>(all: &[T]) -> Vec<&T> {
    all.iter().take(5).collect()
}

impl Outcome {
    /// Reads everything, and checks what must hold for each fleet by itself.
    pub(super) fn read(setting: &Setting, fleet: &Fleet, (shape, tally): (&Shape, &Tally)) -> Self {
        let mut found = findings(setting, fleet);
        found.values_mut().for_each(|all| all.retain(|found| found.end <= shape.end()));
        found.retain(|_, all| !all.is_empty());
        once("findings", found.values().flatten().map(|found| &found.question));
        let values = |all: Vec<Found>| all.into_iter().map(|found| found.value).collect();
        let findings = found.into_iter().map(|(model, all)| (model, values(all))).collect();

        let all: Vec<Value> = told(setting, &fleet.topic("decisions"))
            .iter()
            .map(|told| json(&told.value))
            .filter(|message| message["type"] == "decision")
            .map(|mut message| message["decision"].take())
            .collect();
        let ids: Vec<String> = all.iter().map(|decision| text(decision, "/id")).collect();
        once("decisions", &ids);
        let mut decisions: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for (decision, id) in all.iter().zip(&ids) {
            let at: plimsoll::domain::EventTime = text(decision, "/at").parse().unwrap();
            if at.as_millis() <= shape.end() {
                let mine = decisions.entry(text(decision, "/key/model")).or_default();
                mine.push((id.clone(), decision.to_string()));
            }
        }
        Self {
            findings,
            decisions,
            rejected: letters(setting, fleet, tally),
            actions: audit(setting, fleet, &ids),
            accounting: accounting(setting, fleet, tally),
        }
    }

    /// Fails where `self`, the disturbed one, differs.
    pub(super) fn assert_same(&self, calm: &Self) {
        let mut wrong = Vec::new();
        differences("findings", &self.findings, &calm.findings, &mut wrong);
        let ids = |of: &Self| -> BTreeMap<String, Vec<String>> {
            let ids = |all: &Vec<(String, String)>| all.iter().map(|(id, _)| id.clone()).collect();
            of.decisions.iter().map(|(model, all)| (model.clone(), ids(all))).collect()
        };
        differences("ids of decisions", &ids(self), &ids(calm), &mut wrong);
        differences("decisions", &self.decisions, &calm.decisions, &mut wrong);
        if self.rejected != calm.rejected {
            wrong.push("the dead letters differ".to_owned());
        }
        if self.actions != calm.actions {
            wrong.push(format!("planned actions: {:?} against {:?}", self.actions, calm.actions));
        }
        if self.accounting != calm.accounting {
            wrong.push(format!("accounting: {} against {}", self.accounting, calm.accounting));
        }
        assert!(
            wrong.is_empty(),
            "the disturbed run differs from the undisturbed one:\n{}",
            wrong.join("\n")
        );
    }
}

fn differences<T: std::fmt::Debug + Ord + Clone>(
    what: &str,
    found: &BTreeMap<String, Vec<T>>,
    expected: &BTreeMap<String, Vec<T>>,
    wrong: &mut Vec<String>,
) {
    let models: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    for model in models {
        let none = Vec::new();
        let (found, expected) = (found.get(model).unwrap_or(&none), expected.get(model).unwrap_or(&none));
        if found == expected {
            continue;
        }
        let (mut mine, mut its) = (found.clone(), expected.clone());
        mine.sort();
        its.sort();
        let order = if mine == its { ": the same, in another order" } else { "" };
        let first = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
        wrong.push(format!(
            "{what} of {model}: {} against {}{order}; the first that differs is number {first}:\n  {:?}\n  {:?}",
            found.len(),
            expected.len(),
            found.get(first),
            expected.get(first)
        ));
    }
}

/// The dead letters: exactly the records that are broken, each once, with the reason.
fn letters(setting: &Setting, fleet: &Fleet, tally: &Tally) -> BTreeMap<(i32, i64), String> {
    let mut letters = BTreeMap::new();
    for letter in told(setting, &fleet.topic("dead-letter")) {
        let header = |name: &str| letter.headers[&format!("plimsoll-{name}")].clone();
        assert_eq!(header("topic"), setting.topic);
        let at = (header("partition").parse().unwrap(), header("offset").parse().unwrap());
        let before = letters.insert(at, header("reason"));
        assert_eq!(before, None, "the dead letter of record {at:?} is there twice");
    }
    let expected: BTreeMap<_, _> =
        tally.rejected.iter().map(|(at, reason)| (*at, (*reason).to_owned())).collect();
    let missing: Vec<_> = expected.iter().filter(|(at, _)| !letters.contains_key(at)).collect();
    let surplus: Vec<_> = letters.iter().filter(|(at, _)| !expected.contains_key(at)).collect();
    assert!(
        letters == expected,
        "of {} dead letters {} are missing and {} are surplus: {:?} {:?}",
        expected.len(),
        missing.len(),
        surplus.len(),
        brief(&missing),
        brief(&surplus)
    );
    letters
}

/// The audit log has each decision once, in one order without a gap; each action at most one intent
/// and exactly one outcome. Returns the ids of the planned actions.
fn audit(setting: &Setting, fleet: &Fleet, decisions: &[String]) -> BTreeSet<String> {
    let entries: Vec<Value> =
        told(setting, &fleet.topic("audit")).iter().map(|told| json(&told.value)).collect();
    for (number, entry) in entries.iter().enumerate() {
        assert_eq!(entry["seq"], number, "an entry of the audit log is missing or there twice: {entry}");
    }
    let of = |kind: &str, pointer: &str| -> Vec<String> {
        entries.iter().filter(|entry| entry["kind"] == kind).map(|entry| text(entry, pointer)).collect()
    };
    assert_eq!(
        of("decision", "/decision/id"),
        decisions,
        "the audit log has the decisions as they were made"
    );
    let (intents, outcomes) = (of("intent", "/action_id"), of("outcome", "/action_id"));
    once("intents", &intents);
    once("outcomes", &outcomes);
    let planned = entries.iter().filter(|entry| entry["kind"] == "decision");
    let planned = planned.flat_map(|entry| entry["actions"].as_array().expect("a list"));
    let planned: BTreeSet<String> = planned.map(|action| text(action, "/action_id")).collect();
    assert_eq!(outcomes.into_iter().collect::<BTreeSet<_>>(), planned, "each action has come to an end");
    assert!(intents.iter().all(|intent| planned.contains(intent)), "only what was planned is intended");
    planned
}

/// Every call was announced, and all calls of one key are the same request, so that a target that
/// remembers keys does the thing once. Returns keys, and calls that only repeat one.
pub(super) fn effects(setting: &Setting, fleet: &Fleet, calls: &[Call]) -> (usize, usize) {
    let mut announced = BTreeMap::new();
    for entry in told(setting, &fleet.topic("audit")).iter().map(|told| json(&told.value)) {
        if entry["kind"] == "intent" {
            announced.insert(text(&entry, "/action_id"), entry["payload"].clone());
        }
    }
    let mut keys = BTreeSet::new();
    for call in calls {
        let payload = announced.get(&call.key);
        assert_eq!(payload, Some(&call.body), "a call that the audit log does not announce: {}", call.key);
        keys.insert(&call.key);
    }
    assert_eq!(keys.len(), announced.len(), "each announced call was made");
    (keys.len(), calls.len() - keys.len())
}

/// What the state of the fleet says of the input; it must be what was written.
fn accounting(setting: &Setting, fleet: &Fleet, tally: &Tally) -> Value {
    let output = plimsoll().args(["inspect", "state", "--config"]).arg(&fleet.config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "inspect state: {}: {errors}", output.status);
    let marks: Vec<Value> = said.lines().map(json).filter(|line| line["kind"] == "marks").collect();
    for mark in &marks {
        assert_eq!((&mark["faults"]["gaps"], &mark["faults"]["overlaps"]), (&0.into(), &0.into()), "{mark}");
    }
    let first = marks.iter().find(|mark| mark["partition"] == 0);
    let counts = first.unwrap_or_else(|| panic!("no marks of partition 0 in {said}"))["accounting"]
        [&setting.topic]
        .clone();
    let count = |class: &str| counts[class].as_u64().unwrap_or_else(|| panic!("no {class} in {counts}"));
    let rejected = tally.rejected.len() as u64;
    let expected = [
        ("records", tally.records),
        ("used", tally.records - tally.late - rejected),
        ("late", tally.late),
        ("rejected", rejected),
        ("lost", 0),
    ];
    for (class, expected) in expected {
        assert_eq!(count(class), expected, "{class}: {counts}");
    }
    counts
}

#[test]
fn what_is_missing_surplus_or_in_another_order_is_told_and_what_is_equal_is_not() {
    let of = |all: &[&str]| -> BTreeMap<String, Vec<String>> {
        BTreeMap::from([("m".to_owned(), all.iter().map(|one| (*one).to_owned()).collect())])
    };
    let told = |found: &BTreeMap<String, Vec<String>>, expected: &BTreeMap<String, Vec<String>>| {
        let mut wrong = Vec::new();
        differences("findings", found, expected, &mut wrong);
        wrong.join("")
    };
    let all = of(&["a", "b", "b"]);
    assert_eq!(told(&all, &all), "");
    assert!(told(&of(&["a", "b"]), &all).contains("2 against 3; the first that differs is number 2"));
    assert!(told(&all, &of(&["a", "b"])).contains("3 against 2; the first that differs is number 2"));
    assert!(told(&of(&["b", "a", "b"]), &all).contains("the same, in another order"));
    assert!(told(&BTreeMap::new(), &all).contains("0 against 3"));
    assert!(std::panic::catch_unwind(|| once("findings", &["a".to_owned(), "a".to_owned()])).is_err());
}
