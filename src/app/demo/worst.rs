//! Which findings to look at first. What has left its bound comes before what is near it; the order
//! follows the distance in coarse steps and names within a step, so that rows stay where they are
//! while values tremble from window to window.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::domain::{Bound, Finding, Verdict};

/// The factor between two steps of distance.
const STEP: f64 = 1.5;

/// The nearness of a value beyond a limit of zero, which no ratio describes.
const FAR: f64 = 1e9;

/// How much of its bound a finding's value uses up: above 1 it is beyond, at 1 on the limit, 0 where
/// it is as far inside as can be or there is no value. Free of units, so that checks compare.
pub(super) fn nearness(finding: &Finding) -> f64 {
    let (Some(value), Some(bound)) = (finding.value, finding.bound) else { return 0.0 };
    match bound {
        Bound::AtMost(limit) => used(value, limit),
        // A lower limit is used up as its value gets small.
        Bound::AtLeast(limit) => used(limit, value),
        Bound::Between(low, high) => used(value, high).max(used(low, value)),
    }
}

/// `amount` over `limit`, where a limit that leaves no room is either kept or far exceeded.
fn used(amount: f64, limit: f64) -> f64 {
    if limit > 0.0 {
        (amount / limit).max(0.0)
    } else if amount <= limit {
        0.0
    } else {
        FAR
    }
}

/// The findings with a bound, worst first. Findings whose window has nothing in common with the
/// newest window say nothing about now (a version that serves no more) and are left out.
pub(super) fn worst(latest: &[Arc<Finding>]) -> Vec<&Finding> {
    let newest = latest.iter().map(|finding| finding.window.end).max();
    let mut rows: Vec<&Finding> = latest
        .iter()
        .map(Arc::as_ref)
        .filter(|finding| finding.bound.is_some())
        .filter(|finding| {
            let length = finding.window.end.as_millis() - finding.window.start.as_millis();
            newest.is_some_and(|newest| newest.as_millis() < finding.window.end.as_millis() + length)
        })
        .collect();
    rows.sort_by_cached_key(|finding| {
        let class = match finding.verdict {
            Some(Verdict::Breach) => 2,
            Some(Verdict::Insufficient) => 1,
            _ => 0,
        };
        let step = (nearness(finding).max(1e-6).ln() / STEP.ln()).floor() as i32;
        let name = (finding.check.clone(), finding.scope.clone());
        (Reverse(class), Reverse(step), name, Reverse(finding.version.clone()), finding.segment.clone())
    });
    rows
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{finding, minute};
    use super::*;
    use crate::domain::{Scope, Window};

    #[test]
    fn nearness_is_one_on_the_limit_whatever_the_bound() {
        for (bound, inside, beyond) in
            [("<= 0.1", 0.05, 0.2), (">= 0.8", 0.97, 0.6), ("between 0.8 and 1.25", 1.0, 1.5)]
        {
            let at = |value| nearness(&finding("check", "v1", value, bound));
            assert!(at(inside) < 1.0 && at(beyond) > 1.0, "{bound}");
        }
        assert_eq!(nearness(&finding("check", "v1", 0.1, "<= 0.1")), 1.0);
        assert_eq!(nearness(&finding("check", "v1", 0.0, "<= 0")), 0.0);
        assert!(nearness(&finding("check", "v1", 0.1, "<= 0")) > 1e6);
        assert!(nearness(&finding("check", "v1", 0.0, ">= 0.8")) > 1e6);
    }

    #[test]
    fn breaches_come_first_and_the_furthest_before_the_nearest() {
        let all: Vec<_> = [("a", 0.01), ("b", 0.12), ("c", 0.5), ("d", 0.09)]
            .into_iter()
            .map(|(check, value)| Arc::new(finding(check, "v1", value, "<= 0.1")))
            .collect();
        let order: Vec<_> = worst(&all).into_iter().map(|finding| finding.check.as_str()).collect();
        assert_eq!(order, ["c", "b", "d", "a"]);
    }

    #[test]
    fn trembling_values_do_not_change_the_order() {
        let order = |one, other| {
            let all = [finding("a", "v1", one, "<= 0.1"), finding("b", "v1", other, "<= 0.1")].map(Arc::new);
            worst(&all).into_iter().map(|finding| finding.check.clone()).collect::<Vec<_>>()
        };
        assert_eq!(order(0.240, 0.250), order(0.250, 0.240));
    }

    #[test]
    fn a_version_that_serves_no_more_and_a_check_without_bound_are_left_out() {
        let old = finding("ratio", "v2", 0.6, ">= 0.8");
        let mut now = finding("ratio", "v1", 0.97, ">= 0.8");
        now.window = Window { start: minute(20), end: minute(22) };
        let shown = Finding { bound: None, verdict: None, scope: Scope::Model {}, ..now.clone() };
        let all = [old, now, shown].map(Arc::new);
        let versions: Vec<_> = worst(&all).into_iter().map(|finding| finding.version.as_str()).collect();
        assert_eq!(versions, ["v1"]);
    }
}
