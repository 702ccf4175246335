//! What it costs to score records with an isolation forest: a hundred trees of 256 rows, twelve
//! features, rows that the forest has not seen. The goal is a million records per second of one core.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use plimsoll::stats::forest::{Forest, Options};
use rand::RngExt;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::StandardNormal;

/// Features of a record.
const FEATURES: usize = 12;
/// Rows of a batch, as the pipeline collects them.
const ROWS: usize = 8_192;

pub(super) fn benches(criterion: &mut Criterion) {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut rows = || -> Vec<f32> { (0..ROWS * FEATURES).map(|_| random.sample(StandardNormal)).collect() };
    let forest = Forest::grow(&rows(), FEATURES, Options::default()).expect("there are rows to grow from");
    let fresh = rows();
    let neutral = vec![0.0; FEATURES];

    let mut group = criterion.benchmark_group("anomaly");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("score", |bencher| bencher.iter(|| forest.scores(black_box(&fresh))));
    group.throughput(Throughput::Elements(1));
    group.bench_function("explain", |bencher| {
        bencher.iter(|| forest.strongest(black_box(&fresh[..FEATURES]), &neutral));
    });
    group.finish();
}
