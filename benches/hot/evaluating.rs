//! All checks of a model on one window of ten thousand rows.

use criterion::Criterion;
use plimsoll::check::Asked;
use plimsoll::domain::{EventTime, ModelKey, Segment, Window};
use plimsoll::sketch::Summary;

use super::{model, rows};

/// Rows of the window.
const ROWS: usize = 10_000;

pub(super) fn benches(criterion: &mut Criterion) {
    let config = model::configuration();
    let topic = model::topic(&config);
    let spec = &topic.models[0];
    let batch = model::batch(&mut model::decoder(&config, &topic), spec, &rows::lines(ROWS, 2));
    let all: Vec<u32> = (0..ROWS as u32).collect();
    let mut summary = Summary::new(&spec.layout);
    summary.update(&spec.coder.code(&batch), &all);
    let key = ModelKey {
        tenant: None,
        model: spec.id.clone(),
        version: "v3".into(),
        segment: Segment::All,
        profile: spec.profile_hash(),
    };
    let asked = Asked {
        key: &key,
        span: Window { start: EventTime::from_millis(0), end: EventTime::from_millis(10_000) },
        summary: &summary,
        profile: spec.profile.as_deref(),
        elsewhere: false,
    };

    let mut group = criterion.benchmark_group("window");
    let mut findings = Vec::new();
    group.bench_function("all_checks", |bencher| {
        bencher.iter(|| {
            findings.clear();
            for check in &spec.checks {
                check.evaluate(&asked, &spec.layout, &mut findings);
            }
            findings.len()
        });
    });
    for check in &spec.checks {
        group.bench_function(format!("check/{}", check.name), |bencher| {
            bencher.iter(|| {
                findings.clear();
                check.evaluate(&asked, &spec.layout, &mut findings);
                findings.len()
            });
        });
    }
    group.finish();
}
