//! Who reads which source partition changes nothing: one observer or eight, partitions that move in
//! the middle of a run, observers that die with what they had not handed on, other batches, other
//! orders. The counts of every pane, every finding and every decision are the same bytes, and so the
//! alarms come at the same times.
//!
//! One thing is decided by the clock and not by the log: when a silent partition is idle, and hence
//! what has closed without it when it wakes. So here the clock is the same function of the log in
//! every run: a record is written at a wall time, nobody reads it earlier, and what a waking partition
//! brings is handed on in the second in which it wakes. How far behind the others read is free.

#![expect(clippy::unwrap_used, reason = "a test may stop at a surprise, also in its helpers")]

mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use plimsoll::domain::{DecisionKind, EventTime, Finding, ModelKey, Segment, SourcePartition};
use plimsoll::engine::evaluator::Merged;
use plimsoll::engine::observer::Flushed;
use plimsoll::engine::{Evaluator, ModelSpec, Observer, PaneDelta, Progress, ResumePoint};
use plimsoll::record::BatchBuilder;
use plimsoll::sketch::Summary;
use proptest::prelude::*;

use crate::support::Stream;
use rows::{GAP, IDLE_AFTER, LATENESS, PARTITIONS, Record, SECONDS, SLEEPER, SLEEPS, START, model, written};

/// Observers at most.
const OBSERVERS: usize = 8;

fn partition(number: usize) -> SourcePartition {
    SourcePartition::new("t", number as i32)
}

/// A partition that goes to another observer at the beginning of a second.
#[derive(Clone, Debug)]
struct Move {
    second: usize,
    partition: usize,
    to: usize,
    /// The observer that had it is gone with everything it had not handed on.
    crash: bool,
}

/// Who reads what, and how.
#[derive(Clone, Debug)]
struct Plan {
    owners: Vec<usize>,
    moves: Vec<Move>,
    /// Records that an observer reads of one partition before it turns to the next, at most.
    batch: usize,
    /// Seconds that a partition may be read behind, at most.
    lag: usize,
    /// Share of the turns after which an observer hands on what it has counted.
    eagerness: f64,
    /// Of the order of everything that has no order.
    seed: u64,
}

impl Plan {
    /// One observer, in order, each second at once.
    fn plain() -> Self {
        Self { owners: vec![0; PARTITIONS], moves: Vec::new(), batch: 1_000, lag: 0, eagerness: 0.0, seed: 0 }
    }
}

/// What came out of a run, as bytes.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    panes: Vec<(ModelKey, EventTime, Vec<u8>)>,
    findings: Vec<String>,
    decisions: Vec<String>,
}

/// A run: observers, what is known of each partition, and the evaluator that they all write to.
struct Run<'a> {
    spec: &'a Arc<ModelSpec>,
    logs: &'a [Vec<Record>],
    observers: Vec<Observer>,
    owners: Vec<usize>,
    /// Per partition, rows read by its observer and not yet counted.
    builders: Vec<BatchBuilder>,
    next: Vec<usize>,
    /// What travels with each partition, and its offset: stored in the transaction that hands its
    /// counts on.
    stored: Vec<Option<(i64, ResumePoint)>>,
    evaluator: Evaluator,
    panes: BTreeMap<(ModelKey, EventTime), Summary>,
    late: usize,
    slept: bool,
    outcome: Outcome,
    now: i64,
    /// Every delta enters twice: what the comparison must not miss.
    doubled: bool,
}

impl<'a> Run<'a> {
    fn new(logs: &'a [Vec<Record>], owners: &[usize]) -> Self {
        let spec = model();
        let mut evaluator = Evaluator::new([Arc::clone(spec)]);
        (0..PARTITIONS).for_each(|number| evaluator.expect(partition(number)));
        let mut run = Self {
            spec,
            logs,
            observers: (0..OBSERVERS).map(|_| Observer::default()).collect(),
            owners: owners.to_vec(),
            builders: (0..PARTITIONS).map(|_| BatchBuilder::new(Arc::clone(&spec.schema))).collect(),
            next: vec![0; PARTITIONS],
            stored: vec![None; PARTITIONS],
            evaluator,
            panes: BTreeMap::new(),
            late: 0,
            slept: false,
            outcome: Outcome::default(),
            now: START,
            doubled: false,
        };
        for (number, owner) in owners.iter().enumerate() {
            run.assign(number, *owner);
        }
        run
    }

    /// A partition begins at an observer where its last transaction left it.
    fn assign(&mut self, number: usize, owner: usize) {
        let stored = self.stored[number].as_ref();
        let offset = stored.map(|(offset, _)| *offset);
        self.next[number] = offset.unwrap_or(0) as usize;
        self.builders[number] = BatchBuilder::new(Arc::clone(&self.spec.schema));
        self.owners[number] = owner;
        let observer = &mut self.observers[owner];
        let point = stored.map(|(_, point)| point);
        observer.assign(partition(number), LATENESS, IDLE_AFTER, offset, point, self.now);
    }

    fn shift(&mut self, Move { partition: number, to, crash, .. }: &Move) {
        let from = self.owners[*number];
        if *crash {
            self.observers[from] = Observer::default();
            let lost: Vec<usize> = (0..PARTITIONS).filter(|it| self.owners[*it] == from).collect();
            for other in lost {
                self.assign(other, if other == *number { *to } else { from });
            }
        } else if from != *to {
            self.flush(from);
            self.observers[from].revoke(&partition(*number));
            self.assign(*number, *to);
        }
    }

    /// Reads up to `most` records of a partition that were written by `second`; says whether that was
    /// all of them.
    fn read(&mut self, number: usize, second: usize, most: usize) -> bool {
        let observer = &mut self.observers[self.owners[number]];
        let source = partition(number);
        let first = self.next[number];
        for (offset, (written, time, row)) in self.logs[number].iter().enumerate().skip(first).take(most) {
            if *written > second {
                break;
            }
            observer.read(&source, offset as i64, self.now);
            if observer.admit(&source, *time) {
                self.builders[number].append(*time, None, row.version, row.cells(self.spec));
            } else {
                self.late += 1;
            }
            self.next[number] = offset + 1;
        }
        if self.builders[number].rows() >= 50 {
            observer.count(&source, self.spec, &self.builders[number].finish());
        }
        self.logs[number].get(self.next[number]).is_none_or(|(written, ..)| *written > second)
    }

    /// An observer's transaction: what it has counted, how far it is, and what to resume from.
    fn flush(&mut self, index: usize) {
        for number in (0..PARTITIONS).filter(|number| self.owners[*number] == index) {
            let batch = self.builders[number].finish();
            self.observers[index].count(&partition(number), self.spec, &batch);
        }
        let Flushed { deltas, sources, resume } = self.observers[index].flush(self.now);
        self.observers[index].settle(true);
        self.slept |= sources.iter().any(|it| it.idle && it.source == partition(SLEEPER));
        for (source, offset, point) in resume {
            self.stored[source.partition as usize] = Some((offset, point));
        }
        let progress = Progress { wall: self.now, sources, ..Progress::default() };
        for delta in deltas {
            if self.doubled {
                self.merge(delta.clone());
            }
            self.merge(delta);
        }
        self.advance(&progress);
    }

    fn merge(&mut self, delta: PaneDelta) {
        let PaneDelta { key, pane, summary, .. } = delta.clone();
        match self.evaluator.merge(delta) {
            Merged::Counted => {
                self.panes
                    .entry((key, pane))
                    .and_modify(|counted| counted.merge(&summary))
                    .or_insert_with(|| summary.clone());
            }
            Merged::Late if key.segment == Segment::All => self.late += summary.rows as usize,
            Merged::Late => {}
            other => panic!("{other:?}"),
        }
    }

    fn advance(&mut self, progress: &Progress) {
        let evaluated = self.evaluator.advance(progress);
        let text = |it: &Arc<Finding>| serde_json::to_string(&**it).unwrap();
        self.outcome.findings.extend(evaluated.findings.iter().map(text));
        self.outcome
            .decisions
            .extend(evaluated.decisions.iter().map(|it| serde_json::to_string(it).unwrap()));
        assert_eq!(evaluated.faults, []);
    }

    /// One second of wall time.
    fn second(&mut self, second: usize, plan: &Plan, stream: &mut Stream) {
        self.now = START + second as i64 * 1_000;
        plan.moves.iter().filter(|it| it.second == second).for_each(|it| self.shift(it));
        let wakes = second == SLEEPS.end;
        let until: Vec<usize> = (0..PARTITIONS)
            .map(
                |number| {
                    if number == SLEEPER { second } else { second - stream.below(plan.lag + 1).min(second) }
                },
            )
            .collect();
        let mut open: Vec<usize> = (0..PARTITIONS).collect();
        while !open.is_empty() {
            let index = if plan.batch == 1_000 { 0 } else { stream.below(open.len()) };
            let number = open[index];
            let most = 1 + stream.below(plan.batch);
            if self.read(number, until[number], if plan.batch == 1_000 { usize::MAX } else { most }) {
                open.remove(index);
                if until[number] == second {
                    self.observers[self.owners[number]].at_end(&partition(number));
                }
            }
            if stream.uniform() < plan.eagerness {
                self.flush(self.owners[number]);
            }
        }
        for index in 0..OBSERVERS {
            let lazy = plan.eagerness > 0.0 && stream.uniform() < 0.6;
            if !lazy || (wakes && self.owners[SLEEPER] == index) {
                self.flush(index);
            }
        }
    }

    fn finish(mut self) -> Outcome {
        // The rest is read, and everybody falls silent: time comes as far as the newest partition.
        for number in 0..PARTITIONS {
            assert!(self.read(number, SECONDS, usize::MAX));
            self.observers[self.owners[number]].at_end(&partition(number));
        }
        for silence in [Duration::ZERO, IDLE_AFTER] {
            self.now += silence.as_millis() as i64;
            (0..OBSERVERS).for_each(|index| self.flush(index));
        }
        assert!(self.slept, "the sleeping partition was idle, so that others closed panes without it");
        let panes = self.panes.iter().map(|((key, pane), summary)| (key.clone(), *pane, summary.encode()));
        Outcome { panes: panes.collect(), ..self.outcome }
    }
}

fn run(logs: &[Vec<Record>], plan: &Plan) -> Outcome {
    let mut run = Run::new(logs, &plan.owners);
    let mut stream = Stream(plan.seed);
    (0..SECONDS).for_each(|second| run.second(second, plan, &mut stream));
    run.finish()
}

/// Logs with what one observer makes of them.
fn expected(seed: usize) -> &'static (Vec<Vec<Record>>, Outcome) {
    static KNOWN: [OnceLock<(Vec<Vec<Record>>, Outcome)>; 3] = [const { OnceLock::new() }; 3];
    KNOWN[seed].get_or_init(|| {
        let logs = written(seed as u64);
        let outcome = run(&logs, &Plan::plain());
        (logs, outcome)
    })
}

/// The first difference, and not the whole of both.
fn same(got: &Outcome, expected: &Outcome) -> Result<(), TestCaseError> {
    for (what, got, expected) in
        [("finding", &got.findings, &expected.findings), ("decision", &got.decisions, &expected.decisions)]
    {
        let first = got.iter().zip(expected).find(|(a, b)| a != b);
        prop_assert!(
            first.is_none(),
            "first other {what}:\n got {}\nwant {}",
            first.unwrap().0,
            first.unwrap().1
        );
        prop_assert_eq!(got.len(), expected.len(), "number of {}s", what);
    }
    prop_assert_eq!(got.panes.len(), expected.panes.len(), "number of panes");
    let first = got.panes.iter().zip(&expected.panes).find(|(a, b)| a != b);
    prop_assert!(first.is_none(), "first other pane: {:?}", first);
    Ok(())
}

#[test]
fn one_observer_sees_the_planted_faults_in_logs_with_everything_awkward() {
    for seed in 0..3 {
        let (logs, outcome) = expected(seed);
        let findings: Vec<Finding> =
            outcome.findings.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        let alarmed: BTreeSet<(&str, &str)> = findings
            .iter()
            .filter(|it| {
                it.sequential.as_ref().is_some_and(|it| it.shadow.is_none() && it.evidence.is_some())
            })
            .map(|it| (it.version.as_str(), it.check.as_str()))
            .collect();
        for alarm in [("v1", "drift"), ("v1", "nulls"), ("v2", "drift"), ("v2", "nulls"), ("v2", "ratio")] {
            assert!(alarmed.contains(&alarm), "seed {seed}: {alarm:?} is missing in {alarmed:?}");
        }
        let violated = |text: &&String| text.contains(DecisionKind::Violated.name());
        assert!(outcome.decisions.iter().filter(violated).count() >= 5, "{:?}", outcome.decisions);
        let rows: u64 = logs.iter().map(|log| log.len() as u64).sum();
        let whole = |key: &ModelKey| key.segment.to_string() == "all";
        let mut run = Run::new(logs, &Plan::plain().owners);
        (0..SECONDS).for_each(|second| run.second(second, &Plan::plain(), &mut Stream(0)));
        let counted: u64 = run.panes.iter().filter(|((key, _), _)| whole(key)).map(|(_, it)| it.rows).sum();
        assert_eq!(counted + run.late as u64, rows);
        let late = run.late as f64 / rows as f64;
        assert!((0.005..0.02).contains(&late), "{late}");
        let seconds: BTreeSet<i64> =
            run.panes.keys().map(|(_, pane)| (pane.as_millis() - START) / 1_000).collect();
        let gap = GAP.start as i64..GAP.end as i64 - 1;
        assert!(gap.clone().filter(|second| !seconds.contains(second)).count() >= 2, "{seconds:?}");
    }
}

#[test]
fn eight_observers_give_what_one_gives() {
    for seed in 0..3 {
        let (logs, expected) = expected(seed);
        let owners = (0..PARTITIONS).map(|number| number % OBSERVERS).collect();
        same(&run(logs, &Plan { owners, ..Plan::plain() }), expected).unwrap();
    }
}

#[test]
fn counts_that_enter_twice_do_not_pass_for_the_same() {
    let (logs, expected) = expected(0);
    let mut run = Run::new(logs, &Plan::plain().owners);
    for second in 0..SECONDS {
        run.doubled = second == 50;
        run.second(second, &Plan::plain(), &mut Stream(0));
    }
    assert!(same(&run.finish(), expected).is_err());
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = (1..SECONDS, 0..PARTITIONS, 0..OBSERVERS, any::<bool>());
    let one = one.prop_map(|(second, partition, to, crash)| Move { second, partition, to, crash });
    proptest::collection::vec(one, 0..25)
}

/// A partition is idle only after its observer has waited for it, and one that takes it over waits
/// again. So while those two fall asleep nothing moves, and no observer dies.
fn quiet(moves: Vec<Move>) -> Vec<Move> {
    let dozing = SLEEPS.start..SLEEPS.start + IDLE_AFTER.as_secs() as usize + 5;
    moves.into_iter().filter(|it| !dozing.contains(&it.second)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_assignment_of_partitions_that_move_gives_the_same_bytes_and_alarm_times(
        log in 0_usize..3,
        owners in proptest::collection::vec(0..OBSERVERS, PARTITIONS),
        moves in moves(),
        (batch, lag, eagerness) in (1_usize..60, 0_usize..6, 0.01_f64..0.3),
        seed in any::<u64>(),
    ) {
        let (logs, expected) = expected(log);
        let plan = Plan { owners, moves: quiet(moves), batch, lag, eagerness, seed };
        same(&run(logs, &plan), expected)?;
    }
}
