//! `power`: how soon one check of the fleet finds a change, at the fleet's threshold and with the
//! reference's own error, but no tolerance. The change comes after fifty quiet panes.

use super::Options;
use super::delay::Delays;
use super::random::{Purpose, Random, multinomial, stream};
use super::report::{Cell, Promise, Section, Table};
use super::streams::{self, CELLS, Feature, RATE, REFERENCE_ROWS, ROWS, Rate, WEEK, Wander, hour};
use super::watch::{BOTH, Null, Watch, cell_components, none, rate_components};
use crate::stats::edetector::Side;

/// Quiet panes before the change.
pub(super) const QUIET: u64 = 50;
/// Panes after it, before it counts as never found.
pub(super) const PATIENCE: u64 = WEEK;

/// What a change is called, what it becomes, and the largest median delay that is promised.
pub(super) type Change<T> = (&'static str, T, Option<f64>);

/// A rate rises to this.
pub(super) const RATE_CHANGE: Change<f64> = ("rate .10 to .13", 0.13, Some(20.0));

/// A normal feature of mean 0 and standard deviation 1 gets these.
pub(super) const FEATURE_CHANGES: [Change<(f64, f64)>; 3] = [
    ("mean + .2 sd", (0.2, 1.0), Some(8.0)),
    ("mean + .1 sd", (0.1, 1.0), None),
    ("sd x 1.2", (0.0, 1.2), Some(12.0)),
];

/// One draw: alarms before the change, and panes until the first after it.
struct Draw {
    early: u64,
    delay: Option<u64>,
}

fn watched(quiet: u64, patience: u64, mut alarms: impl FnMut(u64) -> bool) -> Draw {
    let early = (0..quiet).filter(|pane| alarms(*pane)).count() as u64;
    let delay = (quiet..quiet + patience).position(alarms).map(|panes| panes as u64 + 1);
    Draw { early, delay }
}

fn rate(rate: f64, sides: &[Side], random: &mut Random) -> Draw {
    let mut source = Rate::new(Wander::Still, random);
    let reference = (source.reference(random), REFERENCE_ROWS);
    let mut watch = Watch::of_fleet(rate_components(reference, Null::Reference, sides, none));
    watched(QUIET, PATIENCE, |pane| {
        let k = if pane < QUIET {
            source.pane(pane, random)
        } else {
            super::random::binomial(random, ROWS, rate)
        };
        watch.rate(k, ROWS, hour(pane))
    })
}

fn feature(mean: f64, sd: f64, random: &mut Random) -> Draw {
    let mut source = Feature::new(Wander::Still, random);
    let mut watch = Watch::of_fleet(cell_components(&source.reference(random), true, none));
    let shares = streams::cell_shares(&streams::edges(), mean, sd);
    watched(QUIET, PATIENCE, |pane| {
        let mut counts = [0; CELLS];
        if pane < QUIET {
            counts = source.pane(pane, random);
        } else {
            multinomial(random, ROWS, &shares, &mut counts);
        }
        watch.cells(&counts, hour(pane))
    })
}

pub(super) fn section(options: &Options) -> Section {
    let mut table = Table::new(
        format!("Delay in panes of {ROWS} rows, from the change to the alarm."),
        &["change", "draws", "found", "10 %", "median", "90 %", "false alarms before"],
    );
    let mut promises = Vec::new();
    let each = options.draws.max(1);
    let draws = options.seeds as usize * each;
    let random = |number: usize, draw: usize| {
        stream(options.seed(draw / each), Purpose::Change, number * each + draw % each)
    };
    let (name, to, promised) = RATE_CHANGE;
    let label = format!("power, {name}");
    let of_sides =
        |sides: &[Side]| options.work().spread(&label, draws, |draw| rate(to, sides, &mut random(0, draw)));
    promise(&mut promises, name, &row(&mut table, name, of_sides(&[Side::Above])), promised);
    row(&mut table, &format!("{name}, looked at from both sides"), of_sides(BOTH));
    for (number, (name, (mean, sd), promised)) in FEATURE_CHANGES.into_iter().enumerate() {
        let found = options.work().spread(&format!("power, {name}"), draws, |draw| {
            feature(mean, sd, &mut random(1 + number, draw))
        });
        promise(&mut promises, name, &row(&mut table, name, found), promised);
    }
    let about = format!(
        "One of 200 checks that share a budget of 1 false alarm in 4 weeks changes after {QUIET} quiet panes of {ROWS} \
         rows; reference of {REFERENCE_ROWS} rows with its own error, no tolerance. Rates of {RATE} are looked at from \
         above where nothing else is said; features have {CELLS} cells of equal mass of a normal variable. A change \
         that is not found within {PATIENCE} panes counts as never found."
    );
    Section { scenario: "power", about, tables: vec![table], promises, skipped: None }
}

fn promise(promises: &mut Vec<Promise>, name: &str, delays: &Delays, at_most: Option<f64>) {
    let promised =
        at_most.map(|most| Promise::at_most(format!("median delay, {name}"), delays.median(), most));
    promises.extend(promised);
}

fn row(table: &mut Table, name: &str, draws: Vec<Draw>) -> Delays {
    let early: u64 = draws.iter().map(|draw| draw.early).sum();
    let delays = Delays::new(draws.into_iter().map(|draw| draw.delay));
    table.row(vec![
        name.into(),
        Cell::Count(delays.draws()),
        Cell::Count(delays.found()),
        delays.cell(0.1),
        delays.cell(0.5),
        delays.cell(0.9),
        Cell::Count(early),
    ]);
    delays
}
