//! Rules that alarm: those that other tools have, asked of every pane, and plimsoll's own.
//!
//! The rules of others are treated kindly: the z-test knows the true rate, KS is computed on raw
//! values and not on cells. Beside the rules that other tools have stand tests at a level that nobody
//! sets and that would spend the same budget, one false alarm in all panes of all checks.

use super::groups::{FOUR_FIFTHS, Groups};
use super::streams::{CELLS, PERIOD, RATE, REFERENCE_ROWS, ROWS, hour};
use super::watch::{BOTH, BUDGET, CHECKS, Null, Watch, cell_components, none, rate_components};
use crate::stats::divergence::{chi_squared, psi};
use crate::stats::ecdf::ks_p_value;
use crate::stats::fairness::Rate;
use crate::stats::special::normal_quantile_upper;

/// Level per pane and check at which a test raises as many false alarms as the budget allows.
const EQUAL: f64 = BUDGET / (CHECKS as f64 * PERIOD as f64);
/// A usual correction for the number of checks, though not for the number of looks.
const BONFERRONI: f64 = 0.01 / CHECKS as f64;

/// plimsoll's own rule, by its name.
pub(super) const OWN: &str = "plimsoll";

/// Whether a pane, with its number, alarms.
type Fires<P> = Box<dyn FnMut(&P, u64) -> bool>;

/// A rule on panes of one kind.
pub(super) struct Rule<P> {
    /// What it is called.
    pub(super) name: &'static str,
    /// Whether it is a rule of other tools that raises about as few false alarms as the budget, so
    /// that its delays compare.
    pub(super) rival: bool,
    pub(super) fires: Fires<P>,
}

impl<P> Rule<P> {
    fn new(name: &'static str, rival: bool, fires: impl FnMut(&P, u64) -> bool + 'static) -> Self {
        Self { name, rival, fires: Box::new(fires) }
    }
}

/// Rules on a rate of which the reference showed `reference` of [`REFERENCE_ROWS`]; a pane is a count.
pub(super) fn of_rates(reference: u64) -> Vec<Rule<u64>> {
    let z = |level: f64| {
        let critical = normal_quantile_upper(0.5 * level).expect("a level lies strictly between 0 and 1");
        let (mean, variance) = (ROWS as f64 * RATE, ROWS as f64 * RATE * (1.0 - RATE));
        move |k: &u64, _: u64| (*k as f64 - mean).abs() > critical * variance.sqrt()
    };
    let detector = |null: Null| {
        let mut watch = Watch::of_fleet(rate_components((reference, REFERENCE_ROWS), null, BOTH, none));
        move |k: &u64, pane: u64| watch.rate(*k, ROWS, hour(pane))
    };
    vec![
        Rule::new("z-test p < .05", false, z(0.05)),
        Rule::new("z-test p < .01", false, z(0.01)),
        Rule::new("z-test p < .01 / checks", false, z(BONFERRONI)),
        Rule::new("z-test p < 1 / (checks x panes)", false, z(EQUAL)),
        Rule::new("e-detector, reference taken as exact", false, detector(Null::PlugIn)),
        Rule::new(OWN, false, detector(Null::Reference)),
    ]
}

/// A pane of a feature, with what the rules ask of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FeaturePane {
    pub(super) counts: [u64; CELLS],
    pub(super) ks_p: f64,
    pub(super) chi_squared_p: f64,
    pub(super) psi: f64,
}

/// Rules on a feature with this reference.
pub(super) fn of_features(reference: &[u64; CELLS]) -> Vec<Rule<FeaturePane>> {
    let mut watch = Watch::of_fleet(cell_components(reference, true, none));
    let ks = |level: f64| move |pane: &FeaturePane, _: u64| pane.ks_p < level;
    let chi_squared = |level: f64| move |pane: &FeaturePane, _: u64| pane.chi_squared_p < level;
    let psi = |limit: f64| move |pane: &FeaturePane, _: u64| pane.psi > limit;
    vec![
        Rule::new("KS p < .05", false, ks(0.05)),
        Rule::new("KS p < 1 / (checks x panes)", false, ks(EQUAL)),
        Rule::new("chi-squared p < .01", false, chi_squared(0.01)),
        Rule::new("chi-squared p < .01 / checks", false, chi_squared(BONFERRONI)),
        Rule::new("chi-squared p < 1 / (checks x panes)", false, chi_squared(EQUAL)),
        Rule::new("PSI > .1", true, psi(0.1)),
        Rule::new("PSI > .25", true, psi(0.25)),
        Rule::new(OWN, false, move |pane: &FeaturePane, number| watch.cells(&pane.counts, hour(number))),
    ]
}

/// Rules on a pair of groups.
pub(super) fn of_groups() -> Vec<Rule<[Rate; 2]>> {
    let mut groups = Groups::new();
    let critical = normal_quantile_upper(EQUAL).expect("the level lies strictly between 0 and 1");
    vec![
        Rule::new("4/5 rule per window", false, |rates: &[Rate; 2], _| {
            let (low, high) = ordered(rates);
            low < FOUR_FIFTHS * high
        }),
        Rule::new("z-test of 4/5, p < 1 / (checks x panes)", false, move |rates: &[Rate; 2], _| {
            let ((low, high), n) = (ordered(rates), rates[0].n as f64);
            let variance = low * (1.0 - low) + FOUR_FIFTHS * FOUR_FIFTHS * high * (1.0 - high);
            low - FOUR_FIFTHS * high < -critical * (variance / n).sqrt()
        }),
        Rule::new(OWN, false, move |rates: &[Rate; 2], _| groups.step(*rates)),
    ]
}

/// The smaller and the larger share selected.
fn ordered(rates: &[Rate; 2]) -> (f64, f64) {
    let [a, b] = rates.map(|rate| rate.k as f64 / rate.n as f64);
    (a.min(b), a.max(b))
}

/// A feature's reference as raw values, all mapped by the normal distribution function into 0 to 1.
/// KS and cells of equal mass are the same after any increasing map.
#[derive(Debug)]
pub(super) struct RawReference {
    sorted: Vec<f64>,
    /// How many values lie below each of [`RawReference::STEPS`] equal steps.
    below: Vec<usize>,
    pub(super) counts: [u64; CELLS],
}

impl RawReference {
    const STEPS: usize = 16_384;

    /// Of values in ascending order.
    pub(super) fn new(values: Vec<f64>) -> Self {
        let step = |i: usize| i as f64 / Self::STEPS as f64;
        let below = (0..=Self::STEPS).map(|i| values.partition_point(|value| *value < step(i))).collect();
        let mut counts = [0; CELLS];
        values.iter().for_each(|value| counts[cell(*value)] += 1);
        Self { sorted: values, below, counts }
    }

    /// The share of the reference up to `value`.
    fn share(&self, value: f64) -> f64 {
        let step = ((value * Self::STEPS as f64) as usize).min(Self::STEPS);
        let mut count = self.below[step];
        while self.sorted.get(count).is_some_and(|other| *other <= value) {
            count += 1;
        }
        count as f64 / self.sorted.len() as f64
    }

    /// What the rules ask of a pane with these values, in ascending order.
    pub(super) fn pane(&self, values: &[f64]) -> FeaturePane {
        let (mut distance, n) = (0.0_f64, values.len() as f64);
        let mut counts = [0; CELLS];
        for (i, value) in values.iter().enumerate() {
            let share = self.share(*value);
            distance = distance.max((share - i as f64 / n).abs()).max((share - (i + 1) as f64 / n).abs());
            counts[cell(*value)] += 1;
        }
        let ks_p = ks_p_value(distance.min(1.0), values.len() as u64, self.sorted.len() as u64);
        FeaturePane {
            counts,
            ks_p: ks_p.unwrap_or(1.0),
            chi_squared_p: chi_squared(&self.counts, &counts).map_or(1.0, |found| found.p_value),
            psi: psi(&self.counts, &counts).unwrap_or(0.0),
        }
    }
}

fn cell(value: f64) -> usize {
    ((value * CELLS as f64) as usize).min(CELLS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_that_of_all_raw_values() {
        let reference = RawReference::new((0..1_000).map(|i| (f64::from(i) + 0.5) / 1_000.0).collect());
        assert_eq!(reference.counts, [100; CELLS]);
        assert_eq!((reference.share(0.2505), reference.share(0.0), reference.share(1.0)), (0.251, 0.0, 1.0));
        let values: Vec<f64> = (0..100).map(|i| ((f64::from(i) + 0.5) / 100.0).sqrt()).collect();
        let pane = reference.pane(&values);
        let upto =
            |sorted: &[f64], x: f64| sorted.partition_point(|value| *value <= x) as f64 / sorted.len() as f64;
        let gaps = reference.sorted.iter().chain(&values);
        let distance =
            gaps.map(|x| (upto(&reference.sorted, *x) - upto(&values, *x)).abs()).fold(0.0, f64::max);
        assert!((0.25..0.26).contains(&distance), "x and x^2 are 1/4 apart at 1/2, here {distance}");
        assert_eq!(Some(pane.ks_p), ks_p_value(distance, 100, 1_000));
        assert_eq!(pane.counts[9], 19);
    }
}
