//! Whether a rollback helped. That a registry names another version, or that a request was answered
//! with 200, proves nothing: the inference log has to show the traffic on the good version, and there
//! the metric inside the clear bounds, both with enough rows and on event time after the action.
//!
//! Where the traffic moved and the metric is still bad, the version was not the cause; where the traffic
//! did not move, nothing was done whatever the target said. Both are told apart from too little data.

use std::collections::VecDeque;

use super::action::Verified;
use crate::domain::{EventTime, ModelKey, Report, Verdict, Version};

/// What counts as recovered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VerifySpec {
    /// Milliseconds of event time after the action within which it must show.
    pub within: i64,
    /// Share of the model's rows that the good version must take, above 0 to 1.
    pub traffic: f64,
    /// Rows that the share and the verdict must each stand on.
    pub samples: u64,
}

impl Default for VerifySpec {
    fn default() -> Self {
        Self { within: 30 * 60_000, traffic: 0.95, samples: 100 }
    }
}

/// One rollback that is being watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Verification {
    spec: VerifySpec,
    policy: String,
    bad: ModelKey,
    good: Version,
    /// Event time from which on the log counts.
    since: EventTime,
    /// Rows of the good version and of all, of the newest stretches that hold enough together.
    traffic: VecDeque<(u64, u64)>,
    /// The newest verdicts (own, clear) of the good version that stand on enough rows after the action.
    metric: Option<(Verdict, Verdict)>,
}

impl Verification {
    /// Watches whether the model of `bad` is well under `policy` on the version `good`, from `since` on.
    pub fn new(spec: VerifySpec, policy: &str, bad: ModelKey, good: Version, since: EventTime) -> Self {
        Self { spec, policy: policy.to_owned(), bad, good, since, traffic: VecDeque::new(), metric: None }
    }

    /// The event time by which it must show.
    pub fn until(&self) -> EventTime {
        EventTime::from_millis(self.since.as_millis().saturating_add(self.spec.within))
    }

    /// Takes what was seen, and says what that proves; none while it may still show.
    pub fn take(&mut self, report: &Report) -> Option<(Verified, String)> {
        if report.tenant != self.bad.tenant || report.model != self.bad.model {
            return None;
        }
        if report.from >= self.since {
            self.count(report);
        }
        let share = self.share();
        let moved = share.map(|share| share >= self.spec.traffic);
        let good = &self.good;
        let percent = share.map_or(0.0, |share| share * 100.0);
        match (moved, self.metric) {
            (Some(true), Some((_, Verdict::Pass))) => {
                let words = format!("{percent:.1} % of the traffic is on {good}, inside the clear bounds");
                return Some((Verified::Recovered, words));
            }
            (Some(true), Some((Verdict::Breach, _))) => {
                let words = format!(
                    "{percent:.1} % of the traffic is on {good}, which is outside its bounds too: the version is not the cause"
                );
                return Some((Verified::NotRecovered, words));
            }
            (Some(_) | None, _) => {}
        }
        if report.until < self.until() {
            return None;
        }
        Some(match moved {
            Some(false) => {
                let words =
                    format!("only {percent:.1} % of the traffic is on {good}: nothing has taken effect");
                (Verified::NotRecovered, words)
            }
            Some(true) => {
                let words = format!("the traffic is on {good}, but too little is known of its metric");
                (Verified::Inconclusive, words)
            }
            None => (Verified::Inconclusive, "too few records were seen since".to_owned()),
        })
    }

    /// Share of the newest rows that the good version took; none where there were too few.
    fn share(&self) -> Option<f64> {
        let (good, all) = self.traffic.iter().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        (all >= self.spec.samples.max(1)).then(|| good as f64 / all as f64)
    }

    fn count(&mut self, report: &Report) {
        let all: u64 = report.rows.values().sum();
        self.traffic.push_back((report.rows.get(&self.good).copied().unwrap_or(0), all));
        // Servers take the new version up one after the other: only the newest stretches say where
        // the traffic is now.
        let mut held: u64 = self.traffic.iter().map(|of| of.1).sum();
        while let Some((_, oldest)) = self.traffic.front().copied()
            && self.traffic.len() > 1
            && held - oldest >= self.spec.samples.max(1)
        {
            held -= oldest;
            self.traffic.pop_front();
        }
        let standing = report.standings.iter().find(|standing| {
            standing.policy == self.policy
                && standing.version == self.good
                && standing.segment == self.bad.segment
        });
        if let Some(standing) = standing
            && standing.from >= self.since
        {
            self.metric = (standing.rows >= self.spec.samples).then_some((standing.own, standing.clear));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::{Segment, Standing};

    const SPEC: VerifySpec = VerifySpec { within: 600_000, traffic: 0.9, samples: 100 };

    fn watch() -> Verification {
        let bad = ModelKey {
            tenant: None,
            model: "credit".into(),
            version: "v2".into(),
            segment: Segment::All,
            profile: None,
        };
        Verification::new(SPEC, "fair", bad, "v1".into(), EventTime::from_millis(0))
    }

    fn report(minute: i64, v1: u64, v2: u64, metric: Option<(i64, Verdict, Verdict, u64)>) -> Report {
        let at = |minute: i64| EventTime::from_millis(minute * 60_000);
        Report {
            tenant: None,
            model: "credit".into(),
            from: at(minute - 1),
            until: at(minute),
            rows: BTreeMap::from([("v1".into(), v1), ("v2".into(), v2)]),
            standings: metric
                .map(|(from, own, clear, rows)| Standing {
                    policy: "fair".into(),
                    version: "v1".into(),
                    segment: Segment::All,
                    from: at(from),
                    own,
                    clear,
                    rows,
                })
                .into_iter()
                .collect(),
        }
    }

    use Verdict::{Breach, Insufficient, Pass};

    fn result(watch: &mut Verification, report: &Report) -> Option<Verified> {
        watch.take(report).map(|(result, _)| result)
    }

    #[test]
    fn recovered_needs_the_traffic_and_the_metric() {
        let mut watch = watch();
        assert_eq!(result(&mut watch, &report(1, 50, 150, Some((0, Pass, Pass, 500)))), None, "traffic");
        assert_eq!(result(&mut watch, &report(2, 199, 1, None)), Some(Verified::Recovered));
        let mut watch = self::watch();
        assert_eq!(
            result(&mut watch, &report(1, 200, 0, Some((0, Pass, Insufficient, 500)))),
            None,
            "metric"
        );
        assert_eq!(result(&mut watch, &report(2, 200, 0, Some((0, Pass, Pass, 99)))), None, "samples");
        assert_eq!(result(&mut watch, &report(3, 200, 0, Some((-5, Pass, Pass, 500)))), None, "old windows");
        assert_eq!(
            result(&mut watch, &report(4, 200, 0, Some((1, Pass, Pass, 500)))),
            Some(Verified::Recovered)
        );
    }

    #[test]
    fn a_good_version_that_is_bad_too_is_not_the_cure() {
        let mut watch = watch();
        let seen = report(1, 200, 0, Some((0, Breach, Breach, 500)));
        assert_eq!(result(&mut watch, &seen), Some(Verified::NotRecovered));
    }

    #[test]
    fn traffic_that_stays_is_a_rollback_that_did_nothing() {
        let mut watch = watch();
        for minute in 1..10 {
            assert_eq!(result(&mut watch, &report(minute, 10, 190, None)), None);
        }
        assert_eq!(result(&mut watch, &report(10, 10, 190, None)), Some(Verified::NotRecovered));
    }

    #[test]
    fn too_little_data_is_neither() {
        let mut watch = watch();
        for minute in 1..10 {
            assert_eq!(result(&mut watch, &report(minute, 1, 0, Some((0, Pass, Pass, 5)))), None);
        }
        assert_eq!(result(&mut watch, &report(10, 1, 0, None)), Some(Verified::Inconclusive));
    }

    #[test]
    fn what_was_seen_before_the_action_counts_for_nothing() {
        let mut watch = watch();
        assert_eq!(result(&mut watch, &report(0, 500, 0, Some((-1, Pass, Pass, 500)))), None);
        assert_eq!(watch.share(), None);
    }
}
