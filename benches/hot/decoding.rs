//! From a record's bytes to rows of a batch: the part that bounds everything else.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use plimsoll::record::BatchBuilder;

use super::{model, rows};

/// Rows of a batch, as the pipeline collects them.
const ROWS: usize = 8_192;

pub(super) fn benches(criterion: &mut Criterion) {
    let config = model::configuration();
    let topic = model::topic(&config);
    let mut decoder = model::decoder(&config, &topic);
    let lines = rows::lines(ROWS, 2);
    let partition = model::partition();

    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| {
            for line in &lines {
                let decoded = decoder.decode(&model::record(&partition, line), 0);
                black_box(decoded.expect("generated rows can be read").times());
            }
        });
    });
    let mut builder = BatchBuilder::new(Arc::clone(&topic.models[0].schema));
    group.bench_function("parse_and_build", |bencher| {
        bencher.iter(|| {
            for line in &lines {
                let decoded =
                    decoder.decode(&model::record(&partition, line), 0).expect("generated rows can be read");
                for (row, time) in decoded.times().iter().enumerate() {
                    builder.append(*time, decoded.tenant(row), decoded.version(row), decoded.cells(row));
                }
            }
            builder.finish().rows()
        });
    });
    group.finish();
}
