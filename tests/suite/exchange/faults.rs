//! What must not be in the exchange, and is found; and what holds event time back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll::domain::{Accounting, EventTime, SourcePartition};
use plimsoll::engine::evaluator::{Evaluated, Fault, FaultCounts};
use plimsoll::engine::{Evaluator, Message, Offsets, Progress, SourceProgress};
use proptest::prelude::*;

use super::log::{Known, Setup, Told};

fn evaluator() -> Evaluator {
    Evaluator::new(Setup::plain().models.iter().cloned())
}

fn take<'a>(evaluator: &mut Evaluator, messages: impl IntoIterator<Item = &'a Message>) -> Evaluated {
    let mut evaluated = Evaluated::default();
    messages.into_iter().for_each(|message| evaluated.join(evaluator.take(message.clone())));
    evaluated
}

/// The source offsets that a commit stands for, where there is any.
fn offsets(commit: &[Message]) -> Vec<(SourcePartition, Offsets)> {
    let Some(Message::Progress(progress)) = commit.last() else { panic!("a commit ends with progress") };
    let some = |it: &SourceProgress| it.offsets.filter(|offsets| offsets.to > offsets.from);
    progress.sources.iter().filter_map(|it| Some((it.source.clone(), some(it)?))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn commits_that_are_missing_are_a_gap_with_its_offsets(first in 1_usize..20, count in 1_usize..4) {
        let known = Known::of(1);
        let mut evaluator = evaluator();
        let mut missing: BTreeMap<SourcePartition, Offsets> = BTreeMap::new();
        for (source, offsets) in known.commits[first..first + count].iter().flat_map(|it| offsets(it)) {
            missing.entry(source).and_modify(|known| known.to = offsets.to).or_insert(offsets);
        }
        let left = known.commits[..first].iter().chain(&known.commits[first + count..]);
        let faults = take(&mut evaluator, left.flatten()).faults;
        let expected: Vec<Fault> =
            missing.iter().map(|(source, offsets)| Fault::Gap { source: source.clone(), offsets: *offsets }).collect();
        // A partition that was silent then shows its gap later.
        let found: BTreeSet<String> = faults.iter().map(|it| format!("{it:?}")).collect();
        prop_assert_eq!(&found, &expected.iter().map(|it| format!("{it:?}")).collect::<BTreeSet<_>>());
        prop_assert_eq!(faults.len(), expected.len());
        let offsets = missing.values().map(|it| (it.to - it.from) as u64).sum();
        let counts = FaultCounts { gaps: expected.len() as u64, gap_offsets: offsets, ..FaultCounts::default() };
        prop_assert_eq!(evaluator.intake().faults(), counts);
    }

    #[test]
    fn a_commit_that_comes_again_is_refused_and_counted_nothing_twice(
        commit in 0_usize..20,
        later in 1_usize..10,
    ) {
        let known = Known::of(1);
        let (mut evaluator, mut told) = (evaluator(), Told::default());
        let mut faults = Vec::new();
        for (index, messages) in known.commits.iter().enumerate() {
            if index == commit + later {
                let again = take(&mut evaluator, &known.commits[commit]);
                prop_assert!(again.findings.is_empty() && again.decisions.is_empty());
                faults = again.faults;
            }
            let evaluated = take(&mut evaluator, messages);
            prop_assert_eq!(&evaluated.faults, &[]);
            told.take(&evaluated);
        }
        let again = offsets(&known.commits[commit]);
        prop_assert_eq!(faults.len(), again.len());
        for (fault, (partition, refused)) in faults.iter().zip(&again) {
            let Fault::Overlap { source, offsets, seen } = fault else { panic!("{fault:?}") };
            prop_assert_eq!((source, offsets), (partition, refused));
            prop_assert!(*seen >= refused.to);
        }
        prop_assert_eq!(told.differs(&known.told), None);
        prop_assert_eq!(evaluator.intake().accounting()["t"], known.accounting[1]);
        let counts = FaultCounts { overlaps: again.len() as u64, ..FaultCounts::default() };
        prop_assert_eq!(evaluator.intake().faults(), counts);
    }

    #[test]
    fn event_time_comes_only_when_every_partition_of_every_topic_has_spoken(
        reports in proptest::collection::vec((0_usize..5, proptest::option::of(1_i64..100)), 0..30),
    ) {
        let all: Vec<SourcePartition> =
            (0..3).map(|it| SourcePartition::new("t", it)).chain((0..2).map(|it| SourcePartition::new("u", it))).collect();
        let topics: BTreeMap<Arc<str>, i32> = [("t".into(), 3), ("u".into(), 2)].into();
        let mut evaluator = evaluator();
        let (mut spoken, mut timed) = (BTreeSet::new(), false);
        for (number, seconds) in reports {
            let watermark = seconds.map(|it| EventTime::from_millis(it * 1_000));
            let source = report(&all[number], watermark, watermark.is_none());
            evaluator.advance(&Progress { wall: 1_000, sources: vec![source], topics: topics.clone() });
            spoken.insert(number);
            timed |= watermark.is_some();
            if spoken.len() < all.len() {
                prop_assert_eq!(evaluator.watermark(), None);
                prop_assert_eq!(evaluator.closed_until(), None);
            }
            let holding: Vec<_> = evaluator.holding().cloned().collect();
            for (number, source) in all.iter().enumerate() {
                prop_assert!(spoken.contains(&number) || holding.contains(source));
            }
        }
        if spoken.len() == all.len() && timed && evaluator.watermark().is_none() {
            // Only where each that told a time has gone silent since, and with it all times.
            prop_assert!(evaluator.holding().next().is_none());
        }
    }
}

fn report(source: &SourcePartition, watermark: Option<EventTime>, idle: bool) -> SourceProgress {
    SourceProgress {
        source: source.clone(),
        offsets: None,
        watermark,
        idle,
        finished: false,
        counted: Accounting::default(),
        rejected: BTreeMap::new(),
    }
}

#[test]
fn a_partition_that_nobody_calls_idle_any_more_holds_event_time_back_until_it_is_read_again() {
    let (gone, other) = (SourcePartition::new("t", 0), SourcePartition::new("t", 1));
    let topics: BTreeMap<Arc<str>, i32> = [("t".into(), 2)].into();
    let at = |seconds: i64| Some(EventTime::from_millis(seconds * 1_000));
    let mut evaluator = evaluator();
    let mut say = |wall: i64, sources: Vec<SourceProgress>| {
        evaluator.advance(&Progress { wall: wall * 1_000, sources, topics: topics.clone() });
        evaluator.watermark()
    };
    say(100, vec![report(&gone, at(50), true), report(&other, at(60), false)]);
    assert_eq!(say(115, vec![report(&other, at(70), false)]), at(70), "for a while it is believed");
    assert_eq!(say(116, vec![report(&other, at(80), false)]), at(70), "its observer is gone");
    assert_eq!(say(117, vec![report(&other, at(90), false)]), at(70));
    assert_eq!(say(118, vec![report(&gone, at(75), false), report(&other, at(95), false)]), at(75));
    assert_eq!(say(119, vec![report(&gone, at(75), true)]), at(95));
}

#[test]
fn counts_on_other_cells_or_of_another_reference_or_model_are_refused_and_merge_with_nothing() {
    let known = Known::of(1);
    let delta = |model: &str| {
        let mut deltas = known.commits.iter().flatten().filter_map(|message| match message {
            Message::Delta(delta) if delta.key.model.as_str() == model => Some(delta.clone()),
            _ => None,
        });
        deltas.next().unwrap()
    };
    let mut others = vec![delta("loans"), delta("loans"), delta("loans"), delta("credit")];
    others[0].layout ^= 1;
    others[1].key.profile = None;
    others[2].key.model = "nobody".into();
    others[3].key.profile = others[0].key.profile.clone();
    let (mut evaluator, mut rows) = (evaluator(), 0);
    for delta in others {
        rows += delta.summary.rows;
        let fault = Fault::Foreign { key: delta.key.clone(), rows: delta.summary.rows };
        assert_eq!(evaluator.take(Message::Delta(delta)).faults, [fault]);
        assert_eq!((evaluator.keys().count(), evaluator.held()), (0, (0, 0)));
    }
    assert_eq!(evaluator.intake().faults().foreign_rows, rows);
    assert_eq!(evaluator.take(Message::Delta(delta("loans"))).faults, []);
    assert_eq!(evaluator.held().0, 1);
}
