//! What a configuration says of a check's detectors.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::Bound;
use crate::stats::edetector::histogram::Extra;
use crate::stats::edetector::{Part, Side};

/// Which way a rate or mean may not move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Neither.
    #[default]
    Both,
    /// Up.
    Above,
    /// Down.
    Below,
}

impl Direction {
    /// The direction that a bound implies.
    pub fn of(bound: Bound) -> Self {
        match bound {
            Bound::AtMost(_) => Self::Above,
            Bound::AtLeast(_) => Self::Below,
            Bound::Between(..) => Self::Both,
        }
    }

    /// The sides that are looked at.
    pub fn sides(self) -> &'static [Side] {
        match self {
            Self::Both => &[Side::Above, Side::Below],
            Self::Above => &[Side::Above],
            Self::Below => &[Side::Below],
        }
    }
}

/// How far a mean may wander beyond what the reference shows, by what is looked at. A scope is named
/// as findings show it: `income`, `sex:F`, `model`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tolerances {
    /// Stated by hand for every scope.
    pub everywhere: Option<f64>,
    /// Stated by hand for one, by its name or, for a group, by its value alone.
    pub stated: BTreeMap<String, f64>,
    /// From a calibration that fits.
    pub calibrated: BTreeMap<(String, Part, Side), Extra>,
    /// How much panes varied when it was made: standard deviation beyond sampling, cycle included.
    pub spreads: BTreeMap<(String, Part, Side), f64>,
    /// Why a calibration does not fit, by scope; the empty name stands for all of them.
    pub misfits: BTreeMap<String, String>,
}

impl Tolerances {
    /// The tolerance of one component: what was stated by hand goes before what was calibrated.
    pub fn of(&self, scope: &str, part: Part, side: Side) -> Option<Extra> {
        // A value may hold a colon itself.
        let value = scope.split_once(':').map_or(scope, |(_, value)| value);
        let stated = self.stated.get(scope).or_else(|| self.stated.get(value)).copied().or(self.everywhere);
        match stated {
            Some(tolerance) => Some(Extra { tolerance, hourly: None }),
            None => self.calibrated.get(&(scope.to_owned(), part, side)).cloned(),
        }
    }

    /// How much a component varied when its calibration was made; none where its tolerance was stated by
    /// hand.
    pub fn spread_of(&self, scope: &str, part: Part, side: Side) -> Option<f64> {
        let calibrated = self.calibrated.get(&(scope.to_owned(), part, side))?;
        let used = self.of(scope, part, side)? == *calibrated;
        self.spreads.get(&(scope.to_owned(), part, side)).copied().filter(|_| used)
    }

    /// Why a scope has no tolerance.
    pub fn why_not(&self, scope: &str) -> String {
        let misfit = self.misfits.get(scope).or_else(|| self.misfits.get(""));
        match misfit {
            Some(misfit) => format!("its calibration does not fit: {misfit}"),
            None => "it was never calibrated, and no tolerance is stated".to_owned(),
        }
    }
}

/// The sequential side of a check.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Whether a policy with `decide: sequential` follows it, so that it has slots in the budget.
    pub followed: bool,
    /// Weight of each of its slots in the budget.
    pub weight: f64,
    /// Which way its rate or mean may not move.
    pub direction: Direction,
    /// Probability that a reference bound of a slot is wrong.
    pub reference_error: f64,
    /// How far its means may wander.
    pub tolerances: Tolerances,
    /// What the budget pays for.
    pub live: Live,
}

/// How much of a model may be live at once; the budget is divided over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// Versions.
    pub versions: u32,
    /// Tenants.
    pub tenants: u32,
    /// Confidence sequences that may begin per version, tenant and period.
    pub starts: u32,
}

impl Default for Live {
    fn default() -> Self {
        Self { versions: 2, tenants: 1, starts: 4 }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            followed: false,
            weight: 1.0,
            direction: Direction::Both,
            reference_error: 5e-5,
            tolerances: Tolerances::default(),
            live: Live::default(),
        }
    }
}

/// So many false alarms, on average at most, per so much event time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FalseAlarmBudget {
    /// False alarms; positive.
    pub count: f64,
    /// Event time; positive.
    pub per: Duration,
}

impl Default for FalseAlarmBudget {
    fn default() -> Self {
        Self { count: 1.0, per: Duration::from_secs(28 * 86_400) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_is_found_by_the_whole_value_of_a_group_and_by_no_part_of_it() {
        let stated = [("9:00-12:00", 0.01), ("00", 0.5)].map(|(name, it)| (name.to_owned(), it));
        let tolerances = Tolerances { stated: BTreeMap::from(stated), ..Tolerances::default() };
        let of = |scope: &str| tolerances.of(scope, Part::Whole, Side::Above).map(|extra| extra.tolerance);
        assert_eq!(of("shift:9:00-12:00"), Some(0.01));
        assert_eq!(of("shift:12:00"), None);
        assert_eq!(of("shift:00"), Some(0.5));
    }
}
