//! What checks say of windows that are empty, lopsided, damaged or tiny, and when they hold their
//! tongue. The rows are made up; how they are read and counted is the daemon's own way.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod awkward;
mod families;
mod peers;
pub(crate) mod world;

use plimsoll::domain::Verdict;
use serde_json::json;
use world::World;

fn null_rate(bound: &str, min_samples: u64) -> World {
    World::new(
        &format!(
            "
topics: [{{name: t, model: '=m'}}]
models:
  - name: m
    topics: [t]
    task: binary
    version: '=1'
    time: /t
    features: [{{name: x, from: /x, type: numeric}}]
    checks:
      - {{name: nulls, metric: null_rate, window: 1m, min_samples: {min_samples}{bound}}}
"
        ),
        &[],
    )
}

#[test]
fn the_verdict_follows_from_where_the_whole_interval_lies() {
    // 50 of 1000: the 99 % interval is about 0.035 to 0.071.
    let rows: Vec<_> = (0..1000).map(|i| if i % 20 == 0 { json!({}) } else { json!({"x": i}) }).collect();
    for (bound, verdict) in [
        ("<= 0.08", Verdict::Pass),
        ("<= 0.03", Verdict::Breach),
        ("<= 0.06", Verdict::Insufficient),
        ("<= 0.04", Verdict::Insufficient),
        (">= 0.03", Verdict::Pass),
        (">= 0.08", Verdict::Breach),
        (">= 0.06", Verdict::Insufficient),
        ("between 0.03 and 0.08", Verdict::Pass),
        ("between 0.1 and 0.2", Verdict::Breach),
        ("between 0.04 and 0.08", Verdict::Insufficient),
    ] {
        let answer = null_rate(&format!(", bound: '{bound}'"), 100).answer(&rows, "nulls");
        assert_eq!((answer.verdict, answer.value), (Some(verdict), Some(0.05)), "{bound}");
        let reason = answer.reason.unwrap_or_default();
        assert_eq!(
            reason.contains("reaches over the bound"),
            verdict == Verdict::Insufficient,
            "{bound}: {reason}"
        );
    }
}

#[test]
fn a_check_without_a_bound_is_shown_and_not_judged() {
    let answer = null_rate("", 100).answer(&[json!({"x": 1})], "nulls");
    assert_eq!((answer.value, answer.verdict, answer.bound, answer.reason), (Some(0.0), None, None, None));
}

#[test]
fn fewer_rows_than_asked_for_are_insufficient_whatever_the_interval() {
    let rows = vec![json!({"x": 1}); 999];
    let answer = null_rate(", bound: '<= 0.5'", 1000).answer(&rows, "nulls");
    assert_eq!(answer.verdict, Some(Verdict::Insufficient));
    assert_eq!(answer.reason.unwrap(), "999 rows, and the check asks for 1000");
}
