//! The demo as a whole: over twenty seeds the engine finds what is planted, soon, and decides
//! nothing before it; and the command itself runs, ends by itself, and stops when it is told to.

#![expect(clippy::unwrap_used, reason = "a test says best where it failed by panicking there")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use plimsoll::app::compile::{limits, topics};
use plimsoll::app::demo::drive::{configuration, reference};
use plimsoll::app::demo::scenario::{Outcome, Scenario, V1};
use plimsoll::app::demo::traffic::Traffic;
use plimsoll::app::pipeline::Pipeline;
use plimsoll::domain::{Decision, DecisionKind, EventTime, SourcePartition, Verdict};
use plimsoll::ingest::source::{Assigned, RawRecord, SourceEvent};

const START: EventTime = EventTime::from_millis(1_795_341_600_000);
/// A tenth of the demo's records: enough rows in a window, and twenty seeds in reasonable time.
const RATE: f64 = 100.0;
/// Event time between two evaluations.
const STEP: Duration = Duration::from_secs(5);

struct Told {
    outcome: Outcome,
    decisions: Vec<Arc<Decision>>,
    /// Verdicts on the fairness of whoever serves at the very end.
    last_ratios: Vec<Option<Verdict>>,
}

fn tell(seed: u64) -> Told {
    let scenario = Scenario { rate: RATE, ..Scenario::default() };
    let config = configuration("127.0.0.1:1").unwrap();
    let profile = reference(&config, &scenario, seed, START, 20_000).unwrap();
    let profiles = BTreeMap::from([("credit".to_owned(), profile)]);
    let mut pipeline = Pipeline::new(topics(&config, &profiles).unwrap(), limits(&config));
    let partitions: Vec<SourcePartition> =
        (0..scenario.partitions).map(|number| SourcePartition::new("inference", number)).collect();
    let now = START.as_millis();
    let assigned =
        |partition: &SourcePartition| Assigned { partition: partition.clone(), offset: None, metadata: None };
    pipeline.handle(SourceEvent::Assigned(partitions.iter().map(assigned).collect()), now, &mut |_, _| {});

    let mut traffic = Traffic::new(scenario.clone(), seed, START);
    let (mut record, mut offsets) = (Vec::new(), vec![0_i64; partitions.len()]);
    let (mut decisions, mut last_ratios): (Vec<Arc<Decision>>, Vec<_>) = (Vec::new(), Vec::new());
    let mut next = START + STEP;
    while traffic.clock() < START + scenario.length {
        let stamp = traffic.next_record(&mut record);
        let number = stamp.partition as usize;
        let value = (!record.is_empty()).then_some(record.as_slice());
        let raw = RawRecord {
            partition: &partitions[number],
            offset: offsets[number],
            key: None,
            value,
            headers: &[],
        };
        offsets[number] += 1;
        let mut rejected = None;
        pipeline.handle(SourceEvent::Record(raw), now, &mut |_, why| rejected = Some(why.reason));
        assert_eq!(rejected, stamp.fault, "seed {seed}: {}", String::from_utf8_lossy(&record));
        if traffic.clock() < next {
            continue;
        }
        next = next + STEP;
        let evaluated = pipeline.evaluate(now);
        let ratios =
            evaluated.findings.iter().filter(|finding| finding.check == "approval-ratio" && finding.n > 0);
        let ratios: Vec<Option<Verdict>> = ratios.map(|finding| finding.verdict).collect();
        if !ratios.is_empty() {
            last_ratios = ratios;
        }
        for decision in evaluated.decisions {
            // What the dry run would do: the last version that qualified is v1.
            if decision.kind == DecisionKind::Violated && decision.policy == "fair-lending" {
                traffic.obey_rollback(V1);
            }
            decisions.push(Arc::new(decision));
        }
    }
    let accounting = pipeline.accounting();
    assert!(
        accounting.adds_up() && accounting.records as i64 == offsets.iter().sum::<i64>(),
        "{accounting:?}"
    );
    Told { outcome: scenario.outcome(START, &decisions), decisions, last_ratios }
}

#[test]
fn over_twenty_seeds_the_planted_incidents_are_found_and_nothing_before_them() {
    for seed in 1..=20 {
        let told = tell(seed);
        assert!(told.outcome.unexpected.is_empty(), "seed {seed}: {:#?}", told.outcome.unexpected);
        for found in &told.outcome.found {
            let name = found.planted.name;
            let Some(violated) = &found.violated else {
                panic!("seed {seed}: {name} was not found: {:#?}", told.decisions);
            };
            let soon = START + found.planted.begins + Duration::from_secs(300);
            assert!(violated.at <= soon, "seed {seed}: {name} was found only at {}", violated.at);
            assert!(found.cleared.is_some(), "seed {seed}: the incident of {name} stayed open");
        }
        let before = |decision: &&Arc<Decision>| {
            decision.kind == DecisionKind::Qualified && decision.key.version.as_str() == V1
        };
        assert!(told.decisions.iter().any(|d| before(&d)), "seed {seed}: no version to go back to");
        assert!(
            told.last_ratios.iter().all(|verdict| *verdict != Some(Verdict::Breach)),
            "seed {seed}: approval has not recovered: {:?}",
            told.last_ratios
        );
    }
}

/// A demo process that does not outlive its test.
struct Demo(Child);

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command
            .arg("demo")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It has usually ended; then both calls only say so.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn the_demo_ends_by_itself_with_a_summary() {
    let mut demo = Demo::start(&["--for", "6s"]);
    let output: Vec<String> =
        BufReader::new(demo.0.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    let text = output.join("\n");
    assert_eq!(demo.0.wait().unwrap().code(), Some(0), "{text}");
    assert!(text.contains("/metrics") && text.contains("/api/v1/"), "{text}");
    assert!(!text.contains('\u{1b}'), "plain lines hold no control codes: {text}");
    let summary = text.lines().find(|line| line.contains("records = used")).unwrap();
    assert!(text.contains("event time in") && text.contains("findings"), "{summary}");
}

#[test]
fn the_demo_stops_when_it_is_interrupted() {
    let mut demo = Demo::start(&[]);
    let mut lines = BufReader::new(demo.0.stdout.take().unwrap()).lines();
    lines.by_ref().map(Result::unwrap).find(|line| line.contains("phase")).unwrap();
    let id = demo.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(demo.0.wait().unwrap().code(), Some(0));
    assert!(rest.iter().any(|line| line.contains("records = used")), "{rest:?}");
}
