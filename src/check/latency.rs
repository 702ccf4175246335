//! How slow is the model? A quantile of the latencies that came with the records.

use super::spec::{Answer, Asked, CheckSpec};
use crate::domain::Scope;
use crate::sketch::Latency;
use crate::stats::{Interval, interval};

/// The quantile with its distribution-free interval (order statistics).
pub(super) fn answers(spec: &CheckSpec, asked: &Asked<'_>) -> Vec<Answer> {
    let scope = Scope::Model {};
    let Some(latency) = &asked.summary.latency else {
        return vec![Answer::undefined(scope, 0, "the window has no latency")];
    };
    let n = latency.count();
    let rank = ((n as f64 * spec.quantile).ceil() as u64).clamp(1, n.max(1));
    let (low, high) = interval::quantile_ranks(n, spec.quantile, spec.confidence);
    let interval = between(latency, low, high);
    vec![Answer::value(scope, n, latency.at_rank(rank), interval)]
}

/// None where there are too few calls for an order statistic on either side.
fn between(latency: &Latency, low: Option<u64>, high: Option<u64>) -> Option<Interval> {
    Some(Interval { low: latency.at_rank(low?)?, high: latency.at_rank(high?)? })
}
