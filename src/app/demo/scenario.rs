//! What happens in the demo, as data: when the upstream change comes and goes, when the new version
//! is rolled out, what is wrong with it, and which policy ought to notice. All times are event time
//! since the start. The same data tells a test what was planted, so that it can ask whether all of
//! it was found and nothing was decided before it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Decision, DecisionKind, EventTime};

/// The version that serves at first.
pub const V1: &str = "v1";
/// The version that is rolled out.
pub const V2: &str = "v2";

/// Faster than this, a window passes in less wall time than a person needs to see it, and the way
/// through the broker takes minutes of event time.
const FASTEST: f64 = 60.0;

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// An upstream system starts to deliver two features too high, and is repaired.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamChange {
    /// When it begins.
    pub from: Duration,
    /// When it is repaired.
    pub until: Duration,
    /// How far `income` (on its log scale) and `debt_ratio` move, in their standard deviations.
    pub shift: f64,
}

/// One step of a rollout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// When it begins.
    pub from: Duration,
    /// Share of the traffic that the new version gets from then on, 0 to 1.
    pub share: f64,
}

/// A new version takes over step by step and treats one group worse.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// Its steps, in time order.
    pub steps: Vec<Step>,
    /// Approval rate of women over that of men under the faulty version.
    pub approval_ratio: f64,
    /// How long after a rollback the version comes back repaired.
    pub repair_after: Duration,
    /// Share of the traffic that the repaired version gets.
    pub repaired_share: f64,
}

/// The demo's story with its rates.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Predictions per second of event time.
    pub rate: f64,
    /// Seconds of event time per second of wall time.
    pub speed: f64,
    /// Partitions of the input topic.
    pub partitions: i32,
    /// When the story is over; traffic stays healthy after it.
    pub length: Duration,
    /// Approval rate of women under a healthy version.
    pub approval_women: f64,
    /// Approval rate of men under every version.
    pub approval_men: f64,
    /// The first incident.
    pub upstream: UpstreamChange,
    /// The second incident.
    pub rollout: Rollout,
    /// Share of records that carry a label.
    pub label_share: f64,
    /// Share of records that were held up on their way.
    pub straggler_share: f64,
    /// The longest that one is held up.
    pub straggler_delay: Duration,
    /// Share of records that nobody can read.
    pub fault_share: f64,
}

impl Default for Scenario {
    /// Thirty minutes at 1,000 predictions a second, in one minute of wall time.
    fn default() -> Self {
        let step = |minute, share| Step { from: minutes(minute), share };
        Self {
            rate: 1000.0,
            speed: 30.0,
            partitions: 4,
            length: minutes(30),
            approval_women: 0.60,
            approval_men: 0.62,
            upstream: UpstreamChange { from: minutes(6), until: minutes(12), shift: 0.5 },
            rollout: Rollout {
                steps: vec![step(16, 0.1), step(17, 0.25), step(18, 0.5), step(19, 1.0)],
                approval_ratio: 0.6,
                repair_after: minutes(4),
                repaired_share: 0.5,
            },
            label_share: 0.7,
            straggler_share: 0.002,
            straggler_delay: Duration::from_secs(12),
            fault_share: 0.0005,
        }
    }
}

/// What is going on, in the words of the scenario.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    /// The first version serves everybody.
    Healthy,
    /// Two features arrive too high.
    UpstreamChange,
    /// They are right again.
    UpstreamRepaired,
    /// The faulty version gets this share of the traffic.
    Rollout(f64),
    /// The generator has obeyed a rollback.
    RolledBack,
    /// The repaired version gets this share of the traffic.
    Repaired(f64),
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy: v1 serves everybody"),
            Self::UpstreamChange => f.write_str("upstream change: income and debt_ratio too high"),
            Self::UpstreamRepaired => f.write_str("upstream repaired: v1 serves everybody"),
            Self::Rollout(share) => write!(f, "rollout: v2 serves {:.0} % of applicants", share * 100.0),
            Self::RolledBack => f.write_str("rolled back: v1 serves everybody"),
            Self::Repaired(share) => write!(f, "v2 repaired: back for {:.0} % of applicants", share * 100.0),
        }
    }
}

/// An incident that the scenario plants, and who ought to notice.
#[derive(Clone, Debug, PartialEq)]
pub struct Planted {
    /// What it is, in a few words.
    pub name: &'static str,
    /// The policy of `config/demo.yaml` that ought to open an incident.
    pub policy: &'static str,
    /// The checks of that policy that ought to breach.
    pub checks: &'static [&'static str],
    /// The version that it is about.
    pub version: &'static str,
    /// When it begins.
    pub begins: Duration,
    /// When it ends by itself; none for one that ends only after a rollback.
    pub ends: Option<Duration>,
}

/// What became of a planted incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The incident.
    pub planted: Planted,
    /// The decision that opened it.
    pub violated: Option<Arc<Decision>>,
    /// The decision that closed it.
    pub cleared: Option<Arc<Decision>>,
}

/// Decisions held against what was planted.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// One entry per planted incident, in time order.
    pub found: Vec<Found>,
    /// Incidents opened that nothing planted explains: too early, of another policy or version, or
    /// a second time.
    pub unexpected: Vec<Arc<Decision>>,
}

impl Scenario {
    /// The scenario for a demo that ends after `wall`: event time runs faster (at most 60 times the
    /// clock) and thins out as much, so that the story fits and the records per second of wall time
    /// stay the same. A longer demo keeps the speed and stays healthy at the end.
    pub fn fitted_to(mut self, wall: Duration) -> Self {
        let needed = self.length.as_secs_f64() / wall.as_secs_f64().max(1e-3);
        let speed = needed.clamp(self.speed, FASTEST.max(self.speed));
        self.rate *= self.speed / speed;
        self.speed = speed;
        self
    }

    /// Whether the story is told to its end in `wall`.
    pub fn fits(&self, wall: Duration) -> bool {
        wall.as_secs_f64() * self.speed >= self.length.as_secs_f64() - 1e-6
    }

    /// What is going on `at` this time, where the generator obeyed a rollback at `rolled_back`.
    pub fn phase(&self, at: Duration, rolled_back: Option<Duration>) -> Phase {
        if let Some(rolled_back) = rolled_back.filter(|&rolled_back| rolled_back <= at) {
            return if at < rolled_back + self.rollout.repair_after {
                Phase::RolledBack
            } else {
                Phase::Repaired(self.rollout.repaired_share)
            };
        }
        if let Some(step) = self.rollout.steps.iter().rev().find(|step| step.from <= at) {
            return Phase::Rollout(step.share);
        }
        if at < self.upstream.from {
            Phase::Healthy
        } else if at < self.upstream.until {
            Phase::UpstreamChange
        } else {
            Phase::UpstreamRepaired
        }
    }

    /// When the rollout begins; none where it has no steps.
    pub fn rollout_from(&self) -> Option<Duration> {
        self.rollout.steps.first().map(|step| step.from)
    }

    /// The incidents that this scenario plants, in time order.
    pub fn incidents(&self) -> Vec<Planted> {
        let mut planted = Vec::new();
        if self.upstream.from < self.upstream.until {
            planted.push(Planted {
                name: "upstream change of two features",
                policy: "upstream-drift",
                checks: &["feature-psi"],
                version: V1,
                begins: self.upstream.from,
                ends: Some(self.upstream.until),
            });
        }
        if let Some(begins) = self.rollout_from() {
            planted.push(Planted {
                name: "unfair new version",
                policy: "fair-lending",
                checks: &["approval-ratio"],
                version: V2,
                begins,
                ends: None,
            });
        }
        planted
    }

    /// Holds decisions about traffic that began at `start` against what was planted. Decisions that
    /// qualify a version explain nothing and need no explanation.
    pub fn outcome(&self, start: EventTime, decisions: &[Arc<Decision>]) -> Outcome {
        let mut found: Vec<Found> = self
            .incidents()
            .into_iter()
            .map(|planted| Found { planted, violated: None, cleared: None })
            .collect();
        let mut unexpected = Vec::new();
        for decision in decisions {
            let entry = found.iter_mut().find(|found| {
                found.planted.policy == decision.policy
                    && found.planted.version == decision.key.version.as_str()
                    && decision.since > start + found.planted.begins
            });
            match (decision.kind, entry) {
                (DecisionKind::Qualified, _) | (DecisionKind::Cleared | DecisionKind::Withdrawn, None) => {}
                (DecisionKind::Violated, Some(found)) if found.violated.is_none() => {
                    found.violated = Some(Arc::clone(decision));
                }
                (DecisionKind::Violated, _) => unexpected.push(Arc::clone(decision)),
                (DecisionKind::Cleared | DecisionKind::Withdrawn, Some(found)) => {
                    if found.violated.is_some() && found.cleared.is_none() {
                        found.cleared = Some(Arc::clone(decision));
                    }
                }
            }
        }
        Outcome { found, unexpected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ModelKey;

    fn decision(kind: DecisionKind, policy: &str, version: &str, minute: u64) -> Arc<Decision> {
        let at = EventTime::default() + minutes(minute);
        let key = ModelKey {
            tenant: None,
            model: "credit".into(),
            version: version.into(),
            segment: Default::default(),
            profile: None,
        };
        let (policy, id) = (policy.to_owned(), format!("{kind:?}{policy}{minute}"));
        let decide = Default::default();
        Arc::new(Decision { id, kind, policy, decide, key, since: at, at, actions: vec![], evidence: vec![] })
    }

    #[test]
    fn the_story_has_its_phases_in_order() {
        let scenario = Scenario::default();
        let told = |minute| scenario.phase(minutes(minute), None);
        assert_eq!(told(0), Phase::Healthy);
        assert_eq!(told(6), Phase::UpstreamChange);
        assert_eq!(told(12), Phase::UpstreamRepaired);
        assert_eq!(told(16), Phase::Rollout(0.1));
        assert_eq!(told(19), Phase::Rollout(1.0));
        assert_eq!(told(300), Phase::Rollout(1.0));
    }

    #[test]
    fn a_rollback_ends_the_rollout_and_the_version_comes_back_repaired() {
        let scenario = Scenario::default();
        let back = Some(minutes(18));
        assert_eq!(scenario.phase(minutes(17), back), Phase::Rollout(0.25));
        assert_eq!(scenario.phase(minutes(18), back), Phase::RolledBack);
        assert_eq!(scenario.phase(minutes(22), back), Phase::Repaired(0.5));
    }

    #[test]
    fn a_short_demo_runs_faster_and_thinner_until_it_would_be_too_fast() {
        let wall_rate = |scenario: &Scenario| (scenario.rate * scenario.speed).round();
        let whole = Scenario::default();
        for (wall, speed, fits) in [(600, 30.0, true), (60, 30.0, true), (40, 45.0, true), (10, 60.0, false)]
        {
            let wall = Duration::from_secs(wall);
            let fitted = whole.clone().fitted_to(wall);
            assert!((fitted.speed - speed).abs() < 1e-9, "{wall:?}: {}", fitted.speed);
            assert_eq!(wall_rate(&fitted), wall_rate(&whole), "{wall:?}");
            assert_eq!(fitted.fits(wall), fits, "{wall:?}");
        }
    }

    #[test]
    fn decisions_after_what_was_planted_are_found_and_others_are_not_explained() {
        use DecisionKind::{Cleared, Qualified, Violated};
        let outcome = Scenario::default().outcome(
            EventTime::default(),
            &[
                decision(Qualified, "fair-lending", V1, 3),
                decision(Violated, "upstream-drift", V1, 5),
                decision(Violated, "upstream-drift", V1, 8),
                decision(Cleared, "upstream-drift", V1, 14),
                decision(Violated, "fair-lending", V1, 17),
                decision(Violated, "fair-lending", V2, 18),
                decision(Violated, "fair-lending", V2, 26),
            ],
        );
        let [drift, unfair] = &outcome.found[..] else { panic!("two incidents are planted") };
        assert_eq!(drift.violated.as_ref().unwrap().at, EventTime::default() + minutes(8));
        assert_eq!(drift.cleared.as_ref().unwrap().at, EventTime::default() + minutes(14));
        assert_eq!(unfair.violated.as_ref().unwrap().at, EventTime::default() + minutes(18));
        assert_eq!(unfair.cleared, None);
        let unexpected: Vec<_> = outcome.unexpected.iter().map(|decision| decision.id.as_str()).collect();
        assert_eq!(
            unexpected,
            ["Violatedupstream-drift5", "Violatedfair-lending17", "Violatedfair-lending26"]
        );
    }
}
