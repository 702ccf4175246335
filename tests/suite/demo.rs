//! The demo's parts held against each other: the configuration reads what the traffic writes, its
//! policies are the ones that the scenario plants incidents for, and its bounds lie between healthy
//! traffic and what is planted. A plain count over whole records stands in for the daemon here.

#![expect(clippy::unwrap_used, reason = "a test says best where it failed by panicking there")]

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll::app::demo::scenario::{Phase, Scenario, V1, V2};
use plimsoll::app::demo::traffic::{Traffic, reference_rows};
use plimsoll::app::demo::{CONFIG, TOPIC};
use plimsoll::domain::{Bound, EventTime};
use serde_json::Value;

const START: EventTime = EventTime::from_millis(1_795_341_600_000);
const SLIDE: Duration = Duration::from_secs(30);

fn configuration() -> Value {
    config::Config::builder()
        .add_source(config::File::from_str(CONFIG, config::FileFormat::Yaml))
        .build()
        .unwrap()
        .try_deserialize()
        .unwrap()
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let all = list.as_array().unwrap();
    all.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("{name} is not configured"))
}

fn bound(model: &Value, check: &str) -> Bound {
    named(&model["checks"], check)["bound"].as_str().unwrap().parse().unwrap()
}

/// Every text that is a JSON pointer, wherever it stands.
fn pointers(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with('/') => found.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|value| pointers(value, found)),
        Value::Object(all) => all.values().for_each(|value| pointers(value, found)),
        _ => {}
    }
}

#[test]
fn every_field_that_the_configuration_maps_is_in_the_records() {
    let config = configuration();
    let mut mapped = Vec::new();
    pointers(&config["topics"], &mut mapped);
    pointers(&config["models"], &mut mapped);
    assert!(mapped.len() > 15, "{mapped:?}");
    assert_eq!(config["topics"][0]["name"], TOPIC);

    let mut traffic = Traffic::new(Scenario::default(), 1, START);
    let (mut out, mut read) = (Vec::new(), Vec::new());
    while read.len() < 200 {
        if traffic.next_record(&mut out).fault.is_none() {
            read.push(serde_json::from_slice::<Value>(&out).unwrap());
        }
    }
    for pointer in mapped {
        assert!(read.iter().any(|record| record.pointer(&pointer).is_some()), "{pointer} is in no record");
    }
    for group in config["models"][0]["groups"].as_array().unwrap() {
        let declared = group["values"].as_array().unwrap();
        for record in &read {
            let value = record.pointer(group["from"].as_str().unwrap()).unwrap();
            assert!(declared.contains(value), "{value} is not declared for {}", group["name"]);
        }
    }
}

#[test]
fn the_policies_that_ought_to_notice_exist_with_their_checks_and_act_in_dry_runs() {
    let config = configuration();
    let model = named(&config["models"], "credit");
    for planted in Scenario::default().incidents() {
        let policy = named(&config["policies"], planted.policy);
        let checks: Vec<&str> =
            policy["checks"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(checks, planted.checks, "{}", planted.policy);
        for check in checks {
            bound(model, check);
        }
        for action in policy["actions"].as_array().unwrap() {
            assert_eq!(named(&config["actions"], action.as_str().unwrap())["target"], "dry_run");
        }
    }
}

/// What a window is judged by, as whole counts.
#[derive(Clone, Default)]
struct Counts {
    income: [f64; 10],
    debt: [f64; 10],
    /// Applicants and approvals, women first.
    outcomes: [[f64; 2]; 2],
}

impl Counts {
    fn add(&mut self, record: &Value, edges: &[Vec<f64>; 2]) {
        for (cells, pointer, edges) in
            [(&mut self.income, "income", &edges[0]), (&mut self.debt, "debt_ratio", &edges[1])]
        {
            if let Some(value) = record["features"][pointer].as_f64() {
                cells[edges.partition_point(|&edge| edge <= value)] += 1.0;
            }
        }
        let outcome = &mut self.outcomes[usize::from(record["applicant"]["sex"] == "M")];
        outcome[0] += 1.0;
        outcome[1] += f64::from(u8::from(record["prediction"] == "approved"));
    }

    fn merge(&mut self, other: &Self) {
        for cell in 0..10 {
            self.income[cell] += other.income[cell];
            self.debt[cell] += other.debt[cell];
        }
        for sex in 0..2 {
            for count in 0..2 {
                self.outcomes[sex][count] += other.outcomes[sex][count];
            }
        }
    }

    /// The larger PSI of the two features, against ten equal shares.
    fn psi(&self) -> f64 {
        let psi = |cells: &[f64; 10]| {
            let total: f64 = cells.iter().sum();
            cells.iter().map(|n| (n.max(0.5) / total - 0.1) * (n.max(0.5) / total / 0.1).ln()).sum::<f64>()
        };
        psi(&self.income).max(psi(&self.debt))
    }

    fn approval_ratio(&self) -> f64 {
        let rate = |sex: usize| self.outcomes[sex][1] / self.outcomes[sex][0];
        (rate(0) / rate(1)).min(rate(1) / rate(0))
    }
}

fn deciles(rows: &[Value], feature: &str) -> Vec<f64> {
    let mut values: Vec<f64> = rows.iter().filter_map(|row| row["features"][feature].as_f64()).collect();
    values.sort_by(f64::total_cmp);
    (1..10).map(|tenth| values[values.len() * tenth / 10]).collect()
}

/// Whether `breach` held in three of the last four windows.
fn decided(windows: &[bool]) -> bool {
    windows.iter().rev().take(4).filter(|&&breach| breach).count() >= 3
}

#[test]
fn a_plain_count_finds_each_planted_incident_soon_and_nothing_before_it() {
    let config = configuration();
    let model = named(&config["models"], "credit");
    let (psi, ratio) = (bound(model, "feature-psi"), bound(model, "approval-ratio"));
    let scenario = Scenario { rate: 100.0, ..Scenario::default() };
    for seed in 0..3 {
        let rows: Vec<Value> = reference_rows(&scenario, seed, START, 5_000)
            .split(|&byte| byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        let edges = [deciles(&rows, "income"), deciles(&rows, "debt_ratio")];

        let mut traffic = Traffic::new(scenario.clone(), seed, START);
        let mut panes: BTreeMap<(String, EventTime), Counts> = BTreeMap::new();
        let (mut out, mut end) = (Vec::new(), START + SLIDE);
        let mut breaches: BTreeMap<(&str, &str), Vec<bool>> = BTreeMap::new();
        let mut found: BTreeMap<(&str, &str), EventTime> = BTreeMap::new();
        while traffic.clock() < START + scenario.length {
            let stamp = traffic.next_record(&mut out);
            // A bare NaN is no JSON to this reader; the daemon takes it, and one record more or less
            // decides nothing here.
            let record = serde_json::from_slice::<Value>(&out).ok().filter(|_| stamp.fault.is_none());
            if let Some(record) = record {
                let version = record["version"].as_str().unwrap().to_owned();
                panes.entry((version, stamp.event_time.floor(SLIDE))).or_default().add(&record, &edges);
            }
            if traffic.clock() < end + scenario.straggler_delay {
                continue;
            }
            for version in [V1, V2] {
                let mut window = Counts::default();
                for back in 1..=4 {
                    if let Some(pane) = panes.get(&(version.to_owned(), end - SLIDE * back)) {
                        window.merge(pane);
                    }
                }
                if window.outcomes.iter().any(|outcome| outcome[0] < 200.0) {
                    continue;
                }
                for (policy, breach) in [
                    ("upstream-drift", !psi.allows(window.psi())),
                    ("fair-lending", !ratio.allows(window.approval_ratio())),
                ] {
                    let windows = breaches.entry((policy, version)).or_default();
                    windows.push(breach);
                    if decided(windows) && !found.contains_key(&(policy, version)) {
                        found.insert((policy, version), end);
                        if policy == "fair-lending" {
                            assert!(traffic.obey_rollback(V1), "seed {seed}: nothing to take back at {end}");
                        }
                    }
                }
            }
            end = end + SLIDE;
        }

        assert_eq!(found.len(), 2, "seed {seed}: {found:?}");
        for planted in scenario.incidents() {
            let begins = START + planted.begins;
            let at = found[&(planted.policy, planted.version)];
            assert!(at > begins && at <= begins + SLIDE * 8, "seed {seed}: {} found at {at}", planted.name);
        }
        // Both are over at the end: the last windows of both versions breach nothing.
        assert_eq!(traffic.phase(), Phase::Repaired(scenario.rollout.repaired_share));
        for (what, windows) in &breaches {
            assert!(windows.iter().rev().take(3).all(|breach| !breach), "seed {seed}: {what:?} goes on");
        }
        // The first is over before the second begins, so that the version to go back to is healthy.
        let drift = &breaches[&("upstream-drift", V1)];
        let last = drift.iter().rposition(|&breach| breach).unwrap() as u32;
        let before_rollout = scenario.rollout_from().unwrap() - SLIDE * 4;
        assert!(SLIDE * (last + 1) < before_rollout, "seed {seed}: drift lasts until window {last}");
    }
}
