//! `fairness`: two groups under the four-fifths limit. How soon a violation is found, right after the
//! start and after four fair weeks, and that what is allowed is left alone.

use super::Options;
use super::delay::Delays;
use super::groups::{FOUR_FIFTHS, GROUP_ROWS, Groups, SELECTED, pane};
use super::power::PATIENCE;
use super::random::{Purpose, stream};
use super::report::{Cell, Promise, Section, Table};
use super::streams::PERIOD;
use super::tally::{COLUMNS, Tally};
use super::watch::{BUDGET, CHECKS};

/// Ratios that keep the limit.
const ALLOWED: [f64; 2] = [1.0, 0.83];
/// Ratios that do not, fair panes before, and the largest median delay that is promised.
const VIOLATIONS: [(f64, u64, Option<f64>); 6] = [
    (0.5, 0, Some(15.0)),
    (0.6, 0, None),
    (0.7, 0, None),
    (0.5, PERIOD, Some(40.0)),
    (0.6, PERIOD, None),
    (0.7, PERIOD, None),
];

pub(super) fn section(options: &Options) -> Section {
    let mut promises = Vec::new();
    let quiet = quiet(options, &mut promises);
    let delays = delays(options, &mut promises);
    let about = format!(
        "Pairs of groups of {GROUP_ROWS} rows each per pane; {SELECTED} of the one are selected, and that times the ratio \
         of the other. Limit: ratio at least {FOUR_FIFTHS}. Each pair is one of {CHECKS} slots that share a budget of \
         {BUDGET} false alarm in {PERIOD} panes: half of its share goes to confidence sequences since the start, of which \
         four may begin, half to a detector on the limit."
    );
    Section { scenario: "fairness", about, tables: vec![quiet, delays], promises, skipped: None }
}

/// Whole fleets of pairs that keep the limit.
fn quiet(options: &Options, promises: &mut Vec<Promise>) -> Table {
    let mut table = Table::new(
        format!("False alarms of {CHECKS} pairs that keep the limit, in {} panes.", options.panes),
        &[&["ratio"][..], &COLUMNS].concat(),
    );
    for (number, ratio) in ALLOWED.into_iter().enumerate() {
        let units = options.seeds as usize * CHECKS;
        let found = options.work().spread(&format!("fairness, ratio {ratio}"), units, |unit| {
            let place = number * CHECKS + unit % CHECKS;
            let mut random = stream(options.seed(unit / CHECKS), Purpose::Limit, place);
            let mut groups = Groups::new();
            (0..options.panes).filter(|_| groups.step(pane(ratio, &mut random))).count() as u64
        });
        let tally = Tally::new(found.chunks(CHECKS).map(|seed| seed.iter().sum()).collect());
        let mut row = vec![Cell::Number(ratio, 2)];
        row.extend(tally.cells());
        table.row(row);
        let what = format!("mean false alarms of {CHECKS} pairs at ratio {ratio}");
        let allowed = BUDGET * options.panes as f64 / PERIOD as f64;
        promises.push(Promise::at_most(what, Some(tally.mean()), allowed));
    }
    table
}

fn delays(options: &Options, promises: &mut Vec<Promise>) -> Table {
    let mut table = Table::new(
        format!("Delay in panes of {GROUP_ROWS} rows per group, from the violation to the alarm."),
        &["ratio", "fair panes before", "draws", "found", "10 %", "median", "90 %"],
    );
    // Four weeks before each draw take their time.
    let each = (options.draws / 10).max(1);
    for (number, (ratio, fair, promised)) in VIOLATIONS.into_iter().enumerate() {
        let units = options.seeds as usize * each;
        let found = options.work().spread(&format!("fairness, ratio {ratio}"), units, |unit| {
            let place = number * each + unit % each;
            let mut random = stream(options.seed(unit / each), Purpose::Violation, place);
            let mut groups = Groups::new();
            for _ in 0..fair {
                groups.step(pane(1.0, &mut random));
            }
            let found = (0..PATIENCE).position(|_| groups.step(pane(ratio, &mut random)));
            found.map(|panes| panes as u64 + 1)
        });
        let delays = Delays::new(found);
        table.row(vec![
            Cell::Number(ratio, 1),
            Cell::Count(fair),
            Cell::Count(delays.draws()),
            Cell::Count(delays.found()),
            delays.cell(0.1),
            delays.cell(0.5),
            delays.cell(0.9),
        ]);
        if let Some(most) = promised {
            let before = if fair > 0 { "after four fair weeks" } else { "from the start" };
            promises.push(Promise::at_most(
                format!("median delay, ratio {ratio} {before}"),
                delays.median(),
                most,
            ));
        }
    }
    table
}
