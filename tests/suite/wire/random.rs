//! Counts on layouts of every kind come back as they went.

use plimsoll::domain::EventTime;
use plimsoll::engine::evaluator::{Record, StateKey};
use plimsoll::engine::message::{Message, PaneDelta};
use plimsoll::engine::wire;
use plimsoll::sketch::layout::{ANOMALY, NamedColumn};
use plimsoll::sketch::{
    CategoryLayout, ColumnLayout, GroupOutcomes, Latency, Layout, NumericLayout, Summary,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::values::{cells, delta};

fn column() -> impl Strategy<Value = ColumnLayout> {
    let bounds = |count: usize| (0..count).map(|bound| bound as f64).collect();
    let names = |count: usize| (0..count).map(|name| format!("c{name}")).collect();
    prop_oneof![
        (0_usize..60).prop_map(move |count| ColumnLayout::Numeric(NumericLayout { bounds: bounds(count) })),
        (0_usize..60, any::<bool>()).prop_map(move |(count, complete)| {
            ColumnLayout::Categorical(CategoryLayout { categories: names(count), rest: vec![], complete })
        }),
    ]
}

fn layout() -> impl Strategy<Value = Layout> {
    let attributes = vec(0_usize..4, 0..3);
    (vec(column(), 0..6), attributes, 0_usize..5, any::<bool>()).prop_map(
        |(columns, attributes, classes, anomaly)| {
            let name = |(number, layout)| NamedColumn { name: format!("f{number}"), output: false, layout };
            let mut columns: Vec<NamedColumn> = columns.into_iter().enumerate().map(name).collect();
            if anomaly {
                let layout = ColumnLayout::Numeric(NumericLayout { bounds: vec![0.0, 0.5, 1.0] });
                columns.push(NamedColumn { name: ANOMALY.to_owned(), output: true, layout });
            }
            let named = |(number, values): (usize, usize)| {
                (format!("a{number}"), (0..values).map(|value| format!("v{value}")).collect())
            };
            let attributes: Vec<(String, Vec<String>)> =
                attributes.into_iter().enumerate().map(named).collect();
            let all: Vec<String> = attributes.iter().map(|(name, _)| name.clone()).collect();
            let classes = (0..classes).map(|class| format!("k{class}")).collect();
            let mut layout = Layout { columns, attributes, classes, ..Layout::default() };
            layout.build_groups(if all.len() > 1 { std::slice::from_ref(&all) } else { &[] });
            layout
        },
    )
}

/// Counts of every length, so that zeros and integers of several bytes take turns.
fn count() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0), 4 => 0_u64..200, 1 => any::<u64>()]
}

prop_compose! {
    fn summary()(layout in layout())(
        rows in count(),
        counts in vec(count(), 400),
        labels in vec((any::<bool>(), any::<bool>(), any::<bool>(), 0.0_f64..=1.0), 0..20),
        latencies in proptest::option::of(vec(prop_oneof![0.0_f64..2.0, 0.0_f64..5_000.0], 1..20)),
        layout in Just(layout),
    ) -> Summary {
        let mut counts = counts.into_iter().cycle();
        let mut next = || counts.next().unwrap_or_default();
        let mut summary = Summary::new(&layout);
        summary.rows = rows;
        for column in &mut summary.columns {
            let filled: Vec<u64> = column.as_slice().iter().map(|_| next()).collect();
            *column = cells(&filled);
        }
        for group in summary.groups.iter_mut().flatten() {
            *group = GroupOutcomes {
                n: next(), selected: next(), true_positive: next(),
                false_positive: next(), true_negative: next(), false_negative: next(),
            };
        }
        for (row, (correct, predicted, positive, score)) in labels.into_iter().enumerate() {
            summary.performance.add(correct, predicted, positive);
            summary.performance.add_score(score, positive);
            if !layout.classes.is_empty() {
                let classes = layout.classes.len() + 1;
                summary.performance.add_classes(row % classes, (row * 3) % classes);
            }
        }
        summary.standing_out.iter_mut().for_each(|stood| *stood = next());
        summary.latency = latencies.map(|latencies| {
            let mut latency = Latency::default();
            latencies.into_iter().for_each(|seconds| latency.add(seconds));
            latency
        });
        summary
    }
}

proptest! {
    #[test]
    fn counts_on_any_layout_come_back_as_they_went(summary in summary(), layout in any::<u64>(), pane in any::<i64>()) {
        let pane = EventTime::from_millis(pane);
        let sent = PaneDelta { summary: summary.clone(), layout, pane, ..delta() };
        let written = wire::encode(&Message::Delta(sent.clone()));
        let Ok(Message::Delta(read)) = wire::decode(&written) else {
            return Err(TestCaseError::fail("it is a delta"));
        };
        prop_assert_eq!(read.summary.encode(), summary.encode());
        prop_assert_eq!(read, sent);
        let key = StateKey::Pane(delta().key, pane);
        let record = Record::Pane(layout, summary);
        prop_assert_eq!(wire::decode_record(&key, &wire::encode_record(&record)), Ok(record));
    }
}
