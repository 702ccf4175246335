//! `budget`, `budget-ar1`, `budget-day`: four weeks in which nothing is wrong. In the first the truth
//! stands still; in the others it moves as traffic does, and the detectors were calibrated on two
//! weeks of the same process before.

use super::clean::{Clean, Tolerances};
use super::random::{Purpose, Random, stream};
use super::report::{Cell, Promise, Section, Table};
use super::streams::{CELLS, Feature, PERIOD, RATE, REFERENCE_ROWS, ROWS, Rate, WEEK, Wander, hour};
use super::tally::{COLUMNS, Tally};
use super::watch::{
    BOTH, BUDGET, CHECKS, Null, Watch, cell_components, none, rate_components, rate_readings,
};
use super::{Options, Scenario};
use crate::stats::edetector::histogram;

/// Rate checks; the rest of the fleet are histogram checks.
const RATES: usize = CHECKS / 2;

/// A quiet fleet.
#[derive(Clone, Copy, Debug)]
struct Design {
    wander: Wander,
    null: Null,
    purpose: Purpose,
}

fn design(scenario: Scenario) -> (Design, &'static str) {
    let (wander, purpose, about) = match scenario {
        Scenario::BudgetAr1 => (
            Wander::Ar1 { phi: 0.9, sd: 0.01 },
            Purpose::BudgetAr1,
            "every true share wanders (autoregression from pane to pane, coefficient .9, standard deviation .01; of a \
             feature, the share below its median), each by itself; tolerances calibrated on two weeks before",
        ),
        Scenario::BudgetDay => (
            Wander::Day { amplitude: 0.02 },
            Purpose::BudgetDay,
            "every true share follows the day (sine of amplitude .02; of a feature, the share below its median), each \
             with a phase of its own; tolerances calibrated on two weeks before",
        ),
        _ => (Wander::Still, Purpose::Budget, "every true share stands still; no tolerance"),
    };
    (Design { wander, null: Null::Reference, purpose }, about)
}

/// What became of one check.
struct Outcome {
    alarms: u64,
    /// The largest tolerance of its components.
    tolerance: f64,
}

fn outcome(design: Design, seed: u64, check: usize, panes: u64) -> Outcome {
    let mut random = stream(seed, design.purpose, check);
    if check < RATES { rate(design, panes, &mut random) } else { feature(design, panes, &mut random) }
}

fn rate(design: Design, panes: u64, random: &mut Random) -> Outcome {
    let mut source = Rate::new(design.wander, random);
    let reference = (source.reference(random), REFERENCE_ROWS);
    let mut clean = Clean::new(rate_components(reference, design.null, BOTH, none));
    let mut readings = Vec::new();
    for pane in 0..design.clean_panes() {
        rate_readings(clean.components(), source.pane(pane, random), ROWS, &mut readings);
        clean.take(&readings, hour(pane));
    }
    let tolerances = design.tolerances(&clean);
    let extra = |part, side| tolerances.of(part, side);
    let mut watch = Watch::of_fleet(rate_components(reference, design.null, BOTH, extra));
    let alarms = (0..panes).filter(|pane| watch.rate(source.pane(*pane, random), ROWS, hour(*pane)));
    Outcome { alarms: alarms.count() as u64, tolerance: tolerances.largest() }
}

fn feature(design: Design, panes: u64, random: &mut Random) -> Outcome {
    let mut source = Feature::new(design.wander, random);
    let reference = source.reference(random);
    let mut clean = Clean::new(cell_components(&reference, true, none));
    let mut readings = Vec::new();
    for pane in 0..design.clean_panes() {
        histogram::readings(clean.components(), &source.pane(pane, random), &mut readings);
        clean.take(&readings, hour(pane));
    }
    let tolerances = design.tolerances(&clean);
    let mut watch =
        Watch::of_fleet(cell_components(&reference, true, |part, side| tolerances.of(part, side)));
    let alarms = (0..panes).filter(|pane| watch.cells(&source.pane(*pane, random), hour(*pane)));
    Outcome { alarms: alarms.count() as u64, tolerance: tolerances.largest() }
}

impl Design {
    /// Panes of calibration before the first that is watched; whole weeks, so that hours go on.
    fn clean_panes(&self) -> u64 {
        if self.wander == Wander::Still { 0 } else { 2 * WEEK }
    }

    fn tolerances(&self, clean: &Clean) -> Tolerances {
        if self.wander == Wander::Still { Tolerances::default() } else { clean.tolerances() }
    }
}

pub(super) fn section(scenario: Scenario, options: &Options) -> Section {
    let (design, truth) = design(scenario);
    quiet(scenario.name(), design, truth, options)
}

fn quiet(name: &'static str, design: Design, truth: &str, options: &Options) -> Section {
    let units = options.seeds as usize * CHECKS;
    let found = options.work().spread(name, units, |unit| {
        outcome(design, options.seed(unit / CHECKS), unit % CHECKS, options.panes)
    });
    let sum = |from: usize, to: usize| {
        Tally::new(
            found.chunks(CHECKS).map(|seed| seed[from..to].iter().map(|check| check.alarms).sum()).collect(),
        )
    };
    // The upper of the two in the middle, where there are two.
    let tolerance = |from: usize, to: usize| {
        let mut all: Vec<f64> =
            found.chunks(CHECKS).flat_map(|seed| &seed[from..to]).map(|check| check.tolerance).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let all = sum(0, CHECKS);
    let mut table = Table::new(
        format!("False alarms in {} panes.", options.panes),
        &[&["of", "checks", "median tolerance"][..], &COLUMNS].concat(),
    );
    for (of, from, to) in [("rates", 0, RATES), ("features", RATES, CHECKS), ("the whole fleet", 0, CHECKS)] {
        let tolerance = Cell::Number(tolerance(from, to), 4);
        let mut row = vec![of.into(), Cell::Count((to - from) as u64), tolerance];
        row.extend(sum(from, to).cells());
        table.row(row);
    }
    let about = format!(
        "{RATES} rates of {RATE} and {} features of {CELLS} cells share a budget of {BUDGET} false alarm in {PERIOD} \
         panes of five minutes (4 weeks), {ROWS} rows each; each check has a reference of its own, {REFERENCE_ROWS} \
         sampled rows with their sampling error. Here {truth}.",
        CHECKS - RATES
    );
    let allowed = BUDGET * options.panes as f64 / PERIOD as f64;
    let what = format!("mean false alarms of the fleet in {} panes", options.panes);
    let promises = vec![Promise::at_most(what, Some(all.mean()), allowed)];
    Section { scenario: name, about, tables: vec![table], promises, skipped: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_without_the_reference_error_breaks_the_budget() {
        let options = Options { seeds: 1, panes: 400, ..Options::default() };
        let (mut design, _) = design(Scenario::Budget);
        design.null = Null::PlugIn;
        let section = quiet("plug-in", design, "", &options);
        assert!(!section.promises[0].held, "{section:?}");
    }
}
