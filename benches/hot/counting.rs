//! From a batch to counts, and what it costs to add counts up and take them away again.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use plimsoll::domain::{EventTime, Window};
use plimsoll::sketch::Summary;
use plimsoll::window::SlidingWindow;

use super::{model, rows};

/// Rows of a batch, as the pipeline collects them.
const ROWS: usize = 8_192;

pub(super) fn benches(criterion: &mut Criterion) {
    let config = model::configuration();
    let topic = model::topic(&config);
    let spec = &topic.models[0];
    let batch = model::batch(&mut model::decoder(&config, &topic), spec, &rows::lines(ROWS, 2));
    let all: Vec<u32> = (0..ROWS as u32).collect();

    let mut group = criterion.benchmark_group("count");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("code", |bencher| bencher.iter(|| spec.coder.code(&batch)));
    let coded = spec.coder.code(&batch);
    let mut summary = Summary::new(&spec.layout);
    group.bench_function("update", |bencher| bencher.iter(|| summary.update(black_box(&coded), &all)));
    group.finish();

    let mut pane = Summary::new(&spec.layout);
    pane.update(&coded, &all);
    let mut group = criterion.benchmark_group("summary");
    group.bench_function("merge", |bencher| {
        bencher.iter_batched_ref(|| pane.clone(), |sum| sum.merge(&pane), BatchSize::SmallInput);
    });
    group.bench_function("subtract", |bencher| {
        bencher.iter_batched_ref(|| pane.clone(), |sum| sum.subtract(&pane), BatchSize::SmallInput);
    });
    // A window of six panes moves on by one: one pane comes in, one falls out.
    let at = |pane: i64| EventTime::from_millis(pane * 10_000);
    let window = |first: i64| Window { start: at(first), end: at(first + 6) };
    let panes = |from: EventTime, to: EventTime| {
        let first = -(-from.as_millis()).div_euclid(10_000);
        let pane = &pane;
        (first..).map(at).take_while(move |start| *start < to).map(move |start| (start, pane))
    };
    let mut sliding = SlidingWindow::new(Summary::new(&spec.layout));
    sliding.slide_to(window(0), panes);
    let mut first = 0;
    group.bench_function("slide", |bencher| {
        bencher.iter(|| {
            first += 1;
            sliding.slide_to(window(first), panes).rows
        });
    });
    group.finish();
}
