//! A changed configuration while traffic flows: two observers and an evaluator, joined by a log in memory,
//! take it up at one event time, whoever hears of it when, and whatever restarts on the way.

#![expect(clippy::unwrap_used, reason = "a test may stop at a surprise, also in its helpers")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use plimsoll::app::compile::{limits, topics};
use plimsoll::app::pipeline::{Counting, TopicSpec, models};
use plimsoll::config::{self, Config};
use plimsoll::domain::{Decision, DecisionKind, EventTime, Finding, SourcePartition};
use plimsoll::engine::evaluator::{Evaluated, Evaluator, Fault, Record};
use plimsoll::engine::message::{Message, Progress};
use plimsoll::engine::{Generation, ModelSpec, wire};
use plimsoll::ingest::source::{Assigned, RawRecord, SourceEvent};
use proptest::prelude::*;

use super::exchange::store::{Store, encoded};

const NOW: i64 = 1_800_000_000_000;
const START: i64 = 1_799_999_400_000;
/// The time of the change: no end of all windows, and a pane of both configurations.
const FROM: i64 = START + 31_000;

const BEFORE: &str = r#"
topics:
  - {name: t, model: /m, allowed_lateness: 4s, idle_after: 30s}
models:
  - name: credit
    topics: [t]
    task: binary
    version: /v
    time: {from: /ts, unit: ms}
    prediction: {from: /p, positive: "yes"}
    groups:
      - {name: sex, from: /sex, values: [F, M]}
    segments:
      - {name: channel, from: /channel, values: [web]}
    pane: 1s
    checks:
      - {name: ratio, metric: selection_rate_ratio, window: 10s, slide: 5s, bound: ">= 0.8", min_samples: 4, min_group: 1, confidence: 0.6}
      - {name: volume, metric: traffic_volume, window: 10s, slide: 5s, segments: true}
policies:
  - {name: fair, model: credit, checks: [ratio], violate: {windows: 1, of: 2}, clear: {windows: 2}}
"#;

fn config(text: &str) -> Config {
    config::parse(text, Path::new("test.yaml"), []).unwrap()
}

/// The same cells, other checks and another policy.
fn other_checks() -> String {
    BEFORE
        .replace(
            "metric: traffic_volume, window: 10s, slide: 5s",
            "metric: traffic_volume, window: 6s, slide: 2s",
        )
        .replace("name: fair,", "name: fairer,")
        .replace("allowed_lateness: 4s", "allowed_lateness: 6s")
}

/// Other cells: a further group, and a mapping that moves the answer.
fn other_cells() -> String {
    other_checks().replace("values: [F, M]", "values: [F, M, X]").replace("from: /p,", "from: /q,")
}

fn compiled(text: &str) -> Vec<TopicSpec> {
    topics(&config(text), &BTreeMap::new()).unwrap()
}

fn generation(number: u64, from: Option<i64>) -> Generation {
    let hash = format!("{number:064x}");
    Generation { number, hash, effective_from: from.map(EventTime::from_millis) }
}

/// What happens: a row in one of two partitions, at a time after the partition's newest, or a commit.
#[derive(Clone, Debug)]
enum Step {
    Row { partition: usize, ahead: i64, sex: bool, approved: bool, behind: i64 },
    Commit(usize),
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..2_usize, 0..1_500_i64, any::<bool>(), any::<bool>(), 0..8_000_i64)
            .prop_map(|(partition, ahead, sex, approved, behind)| Step::Row { partition, ahead, sex, approved, behind }),
        2 => (0..2_usize).prop_map(Step::Commit),
        1 => Just(Step::Restore),
    ]
}

/// When each hears of the change, as a number of the step; 0 is in advance.
#[derive(Clone, Copy, Debug)]
struct Heard {
    evaluator: usize,
    observers: [usize; 2],
}

#[derive(Debug, Default, PartialEq)]
struct Said {
    findings: Vec<Finding>,
    decisions: Vec<Decision>,
    faults: Vec<Fault>,
}

struct World<'a> {
    after: &'a [TopicSpec],
    observers: Vec<Counting>,
    evaluator: Evaluator,
    store: Store,
    position: i64,
    said: Said,
    generations: BTreeMap<u64, Vec<Arc<ModelSpec>>>,
}

impl<'a> World<'a> {
    fn new(before: &[TopicSpec], after: &'a [TopicSpec]) -> Self {
        let limits = limits(&config(BEFORE));
        let mut observers = Vec::new();
        for number in 0..2 {
            let mut counting = Counting::of_generation(1, EventTime::MIN, before.to_vec(), limits);
            let partition = SourcePartition::new("t", number);
            let assigned = Assigned { partition, offset: Some(0), metadata: None };
            counting.handle(SourceEvent::Assigned(vec![assigned]), NOW, &mut |_, why| panic!("{why:?}"));
            observers.push(counting);
        }
        let mut evaluator = Evaluator::new(models(before));
        assert_eq!(evaluator.reconfigure(generation(1, None), models(before)), Evaluated::default());
        let generations = [(1, models(before)), (2, models(after))].into();
        Self {
            after,
            observers,
            evaluator,
            store: Store::default(),
            position: 0,
            said: Said::default(),
            generations,
        }
    }

    fn take(&mut self, evaluated: Evaluated) {
        self.said.findings.extend(evaluated.findings.iter().map(|finding| (**finding).clone()));
        self.said.decisions.extend(evaluated.decisions);
        self.said.faults.extend(evaluated.faults);
    }

    fn observer_hears(&mut self, number: usize) {
        self.observers[number].add_generation(2, EventTime::from_millis(FROM), self.after.to_vec());
    }

    fn evaluator_hears(&mut self) {
        let message = wire::encode(&Message::Control(generation(2, Some(FROM))));
        let Message::Control(told) = wire::decode(&message).unwrap() else { panic!("another message") };
        let evaluated = self.evaluator.reconfigure(told, models(self.after));
        self.take(evaluated);
    }

    fn commit(&mut self, number: usize) {
        let flushed = self.observers[number].flush(NOW);
        self.observers[number].settle(true);
        let topics = [(Arc::from("t"), 2)].into();
        let progress = Progress { wall: NOW, sources: flushed.sources, topics };
        for message in flushed.deltas.into_iter().map(Message::Delta).chain([Message::Progress(progress)]) {
            let evaluated = self.evaluator.take(wire::decode(&wire::encode(&message)).unwrap());
            self.take(evaluated);
            self.position += 1;
        }
    }

    /// Another instance takes the evaluator's partition over.
    fn restore(&mut self) {
        self.store.write(encoded(&self.evaluator.changes(self.position)));
        let records = self.store.records();
        let marks = records.iter().find_map(|(_, record)| match record {
            Record::Marks(marks) => Some(marks.clone()),
            _ => None,
        });
        let marks = marks.unwrap();
        let of = |generation: &Generation| self.generations[&generation.number].clone();
        let coming = marks.coming.iter().map(|coming| (coming.clone(), of(coming))).collect();
        let models = of(marks.configured.as_ref().unwrap());
        let (evaluator, position) = Evaluator::restore_configured(models, coming, |_| true, records);
        assert_eq!(position, Some(self.position));
        self.evaluator = evaluator;
    }
}

fn run(steps: &[Step], after: &str, heard: Heard) -> Said {
    let (before, after) = (compiled(BEFORE), compiled(after));
    let mut world = World::new(&before, &after);
    let (mut newest, mut offsets) = ([START; 2], [0; 2]);
    for (index, step) in steps.iter().enumerate() {
        if heard.evaluator == index {
            world.evaluator_hears();
        }
        for number in 0..2 {
            if heard.observers[number] == index {
                world.observer_hears(number);
            }
        }
        match step {
            Step::Row { partition, ahead, sex, approved, behind } => {
                newest[*partition] += ahead;
                let time = newest[*partition] - if *behind < 3_000 { *behind } else { 0 };
                let (sex, answer) = (if *sex { "F" } else { "M" }, if *approved { "yes" } else { "no" });
                // Both mappings find an answer, and not the same one.
                let other = if *approved { "no" } else { "yes" };
                let value = format!(
                    r#"{{"m":"credit","v":"1","ts":{time},"p":"{answer}","q":"{other}","sex":"{sex}","channel":"web"}}"#
                );
                let source = SourcePartition::new("t", *partition as i32);
                let record = RawRecord {
                    partition: &source,
                    offset: offsets[*partition],
                    key: None,
                    value: Some(value.as_bytes()),
                    headers: &[],
                };
                offsets[*partition] += 1;
                world.observers[*partition]
                    .handle(SourceEvent::Record(record), NOW, &mut |_, why| panic!("{why:?}"));
            }
            Step::Commit(number) => world.commit(*number),
            Step::Restore => world.restore(),
        }
    }
    for number in 0..2 {
        world.observers[number].handle(
            SourceEvent::Finished(SourcePartition::new("t", number as i32)),
            NOW,
            &mut |_, why| panic!("{why:?}"),
        );
    }
    for number in 0..2 {
        world.commit(number);
    }
    world.said
}

/// The first step at which a partition has a row of the change.
fn first_after(steps: &[Step], partition: usize) -> usize {
    let mut newest = START;
    let reached = |step: &Step| {
        if let Step::Row { partition: of, ahead, .. } = step
            && *of == partition
        {
            newest += ahead;
        }
        newest >= FROM
    };
    steps.iter().position(reached).unwrap_or(steps.len() - 1)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 100..240)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whoever_hears_of_a_change_when_before_it_comes_the_same_is_said(
        steps in steps(),
        cells in any::<bool>(),
        when in (0.0..1.0_f64, 0.0..1.0_f64, 0.0..1.0_f64),
    ) {
        let after = if cells { other_cells() } else { other_checks() };
        let last = [first_after(&steps, 0), first_after(&steps, 1)];
        let evaluator = (when.0 * *last.iter().min().unwrap() as f64) as usize;
        let between = |share: f64, last: usize| evaluator + (share * (last - evaluator) as f64) as usize;
        let heard = Heard { evaluator, observers: [between(when.1, last[0]), between(when.2, last[1])] };
        let advance = run(&steps, &after, Heard { evaluator: 0, observers: [0, 0] });
        prop_assert_eq!(&advance.faults, &Vec::new());
        prop_assert_eq!(run(&steps, &after, heard), advance);
    }

    #[test]
    fn where_cells_mean_the_same_an_observer_may_even_hear_of_it_too_late(
        steps in steps(),
        share in 0.0..1.0_f64,
        when in (0.0..1.0_f64, 0.0..1.0_f64),
    ) {
        // Lateness is a matter of the observer alone, and is judged by what it knows.
        let after = other_checks().replace("allowed_lateness: 6s", "allowed_lateness: 4s");
        let last = first_after(&steps, 0).min(first_after(&steps, 1));
        let evaluator = (share * last as f64) as usize;
        let any = |share: f64| evaluator + (share * (steps.len() - 1 - evaluator) as f64) as usize;
        let heard = Heard { evaluator, observers: [any(when.0), any(when.1)] };
        let advance = run(&steps, &after, Heard { evaluator: 0, observers: [0, 0] });
        prop_assert_eq!(run(&steps, &after, heard), advance);
    }

    #[test]
    fn counts_on_other_cells_never_merge_and_are_told(steps in steps(), share in 0.0..1.0_f64) {
        let after = other_cells();
        let last = first_after(&steps, 0).min(first_after(&steps, 1));
        let evaluator = (share * last as f64) as usize;
        // The observers never hear of it: all they count from its time on is refused.
        let heard = Heard { evaluator, observers: [usize::MAX; 2] };
        let said = run(&steps, &after, heard);
        let before = |finding: &Finding| finding.window.end <= EventTime::from_millis(FROM);
        let untouched = run(&steps, BEFORE, Heard { evaluator: usize::MAX, observers: [usize::MAX; 2] });
        let kept: Vec<_> = said.findings.iter().filter(|finding| before(finding)).collect();
        let expected: Vec<_> = untouched.findings.iter().filter(|finding| before(finding)).collect();
        prop_assert_eq!(kept, expected, "what is before it is as ever");
        prop_assert!(said.findings.iter().filter(|finding| !before(finding)).all(|finding| finding.n == 0));
        let foreign = |fault: &Fault| matches!(fault, Fault::Foreign { .. });
        prop_assert!(said.faults.iter().all(foreign));
    }
}

#[test]
fn windows_up_to_the_change_are_judged_by_the_old_checks_and_later_ones_by_the_new() {
    let row = |number: i64| Step::Row {
        partition: (number % 2) as usize,
        ahead: 400,
        sex: number % 4 < 2,
        // Women are refused, so that the old policy opens an incident.
        approved: number % 4 >= 2,
        behind: 5_000,
    };
    let steps: Vec<Step> =
        (0..320).flat_map(|number| [row(number), Step::Commit((number % 2) as usize)]).collect();
    let said = run(&steps, &other_checks(), Heard { evaluator: 40, observers: [50, 60] });
    let ends = |check: &str| -> Vec<i64> {
        let of = said
            .findings
            .iter()
            .filter(|finding| finding.check == check && finding.segment.to_string() == "all");
        of.map(|finding| (finding.window.end.as_millis() - START) / 1_000).collect()
    };
    let volumes = ends("volume");
    assert!(volumes.iter().take_while(|end| **end <= 31).eq([5, 10, 15, 20, 25, 30].iter()), "{volumes:?}");
    assert!(volumes.iter().skip_while(|end| **end <= 31).take(3).eq([32, 34, 36].iter()), "{volumes:?}");
    assert!(ends("ratio").windows(2).all(|pair| pair[1] - pair[0] == 5), "an unchanged check goes on");
    let told: Vec<(&str, DecisionKind)> =
        said.decisions.iter().map(|decision| (decision.policy.as_str(), decision.kind)).collect();
    assert_eq!(told[0], ("fair", DecisionKind::Violated));
    assert!(told.contains(&("fair", DecisionKind::Withdrawn)), "its policy is gone: {told:?}");
    assert!(told.contains(&("fairer", DecisionKind::Violated)), "{told:?}");
    assert_eq!(said.faults, []);
}
