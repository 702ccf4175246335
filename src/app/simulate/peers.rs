//! `peers`: the rules of other tools and plimsoll's on the same streams: false alarms in a quiet week,
//! and delays of the changes of `power`.

use super::Options;
use super::delay::Delays;
use super::groups::{self, GROUP_ROWS, SELECTED};
use super::power::{FEATURE_CHANGES, PATIENCE, QUIET, RATE_CHANGE};
use super::random::{Purpose, Random, binomial, normal, sorted_uniforms, stream};
use super::report::{Cell, Promise, Section, Table};
use super::rules::{FeaturePane, OWN, RawReference, Rule, of_features, of_groups, of_rates};
use super::streams::{PERIOD, RATE, REFERENCE_ROWS, ROWS, WEEK, below};
use super::watch::{BUDGET, CHECKS};
use crate::stats::fairness::Rate;

/// A stream with the rules that watch it: its panes `P`, quiet or after a change `C`.
struct Watched<P, C> {
    rules: Vec<Rule<P>>,
    pane: Box<dyn FnMut(Option<C>) -> P>,
}

impl<P, C: Copy> Watched<P, C> {
    /// False alarms of each rule in `panes` quiet panes.
    fn quiet(mut self, panes: u64) -> Vec<u64> {
        let mut alarms = vec![0; self.rules.len()];
        for number in 0..panes {
            let pane = (self.pane)(None);
            for (alarms, rule) in alarms.iter_mut().zip(&mut self.rules) {
                *alarms += u64::from((rule.fires)(&pane, number));
            }
        }
        alarms
    }

    /// Panes from the change to each rule's first alarm.
    fn delays(mut self, change: C) -> Vec<Option<u64>> {
        for number in 0..QUIET {
            let pane = (self.pane)(None);
            for rule in &mut self.rules {
                (rule.fires)(&pane, number);
            }
        }
        let mut delays = vec![None; self.rules.len()];
        for after in 0..PATIENCE {
            let pane = (self.pane)(Some(change));
            for (delay, rule) in delays.iter_mut().zip(&mut self.rules) {
                if delay.is_none() && (rule.fires)(&pane, QUIET + after) {
                    *delay = Some(after + 1);
                }
            }
            if delays.iter().all(Option::is_some) {
                break;
            }
        }
        delays
    }
}

/// A rate, which becomes another.
fn rate(mut random: Random) -> Watched<u64, f64> {
    let reference = binomial(&mut random, REFERENCE_ROWS, RATE);
    let pane = move |change: Option<f64>| binomial(&mut random, ROWS, change.unwrap_or(RATE));
    Watched { rules: of_rates(reference), pane: Box::new(pane) }
}

/// A feature, which gets another mean and standard deviation.
fn feature(mut random: Random) -> Watched<FeaturePane, (f64, f64)> {
    let mut reference = vec![0.0; REFERENCE_ROWS as usize];
    sorted_uniforms(&mut random, &mut reference);
    let reference = RawReference::new(reference);
    let rules = of_features(&reference.counts);
    let mut values = vec![0.0; ROWS as usize];
    let pane = move |change: Option<(f64, f64)>| {
        match change {
            None => sorted_uniforms(&mut random, &mut values),
            Some((mean, sd)) => {
                values.fill_with(|| below(mean + sd * normal(&mut random)));
                values.sort_unstable_by(f64::total_cmp);
            }
        }
        reference.pane(&values)
    };
    Watched { rules, pane: Box::new(pane) }
}

/// Two groups, whose ratio becomes another.
fn group(mut random: Random) -> Watched<[Rate; 2], f64> {
    let pane = move |change: Option<f64>| groups::pane(change.unwrap_or(1.0), &mut random);
    Watched { rules: of_groups(), pane: Box::new(pane) }
}

/// Draws of each change; a tenth of those of `power`, because some rules never end.
fn draws(options: &Options) -> usize {
    options.seeds as usize * (options.draws / 10).max(1)
}

/// One kind of stream.
struct Kind<P, C> {
    name: &'static str,
    title: String,
    week: Purpose,
    change: Purpose,
    changes: Vec<(&'static str, C)>,
    stream: fn(Random) -> Watched<P, C>,
}

pub(super) fn section(options: &Options) -> Section {
    let mut promises = Vec::new();
    let rates = Kind {
        name: "rates",
        title: format!("{CHECKS} rates of {RATE}, {ROWS} rows per pane"),
        week: Purpose::RateWeek,
        change: Purpose::RateChange,
        changes: vec![(RATE_CHANGE.0, RATE_CHANGE.1)],
        stream: rate,
    };
    let features = Kind {
        name: "features",
        title: format!("{CHECKS} features, {ROWS} rows per pane"),
        week: Purpose::FeatureWeek,
        change: Purpose::FeatureChange,
        changes: FEATURE_CHANGES.map(|(name, change, _)| (name, change)).to_vec(),
        stream: feature,
    };
    let pairs = Kind {
        name: "pairs of groups",
        title: format!(
            "{CHECKS} pairs of groups, {GROUP_ROWS} rows of each per pane, {SELECTED} of both selected"
        ),
        week: Purpose::GroupWeek,
        change: Purpose::GroupChange,
        changes: vec![("ratio .5", 0.5), ("ratio .7", 0.7)],
        stream: group,
    };
    let tables = vec![
        compare(&rates, options, &mut promises),
        compare(&features, options, &mut promises),
        compare(&pairs, options, &mut promises),
    ];
    let about = format!(
        "Each rule is asked of every pane of five minutes. plimsoll has a budget of {BUDGET} false alarm in {PERIOD} panes \
         (4 weeks) over the {CHECKS} checks of a table, a reference of {REFERENCE_ROWS} rows with its own error, and no \
         tolerance. The z-test knows the true rate, KS is that of raw values, PSI and chi-squared are of ten cells. \
         Delays are medians in panes over {} draws each, after {QUIET} quiet panes; never means not within {PATIENCE} \
         panes in half of the draws.",
        draws(options)
    );
    Section { scenario: "peers", about, tables, promises, skipped: None }
}

fn compare<P, C: Copy + Sync>(kind: &Kind<P, C>, options: &Options, promises: &mut Vec<Promise>) -> Table {
    let panes = options.panes.min(WEEK);
    let each = draws(options) / options.seeds as usize;
    let (seeds, title) = (options.seeds as usize, &kind.title);
    let weeks = options.work().spread(&format!("peers, {}", kind.name), seeds * CHECKS, |unit| {
        (kind.stream)(stream(options.seed(unit / CHECKS), kind.week, unit % CHECKS)).quiet(panes)
    });
    let delays: Vec<Vec<Vec<Option<u64>>>> = kind
        .changes
        .iter()
        .enumerate()
        .map(|(number, (name, change))| {
            options.work().spread(&format!("peers, {name}"), draws(options), |unit| {
                let place = number * each + unit % each;
                (kind.stream)(stream(options.seed(unit / each), kind.change, place)).delays(*change)
            })
        })
        .collect();
    // Names only: the rules themselves were made anew for every stream.
    let rules = (kind.stream)(stream(options.first_seed, kind.week, 0)).rules;
    let mut columns = vec!["rule", "false alarms"];
    columns.extend(kind.changes.iter().map(|(name, _)| *name));
    let week = if panes == WEEK { "a quiet week".to_owned() } else { format!("{panes} quiet panes") };
    let mut table = Table::new(format!("{title}: mean false alarms in {week}, and delays."), &columns);
    let medians: Vec<Vec<Delays>> = (0..rules.len())
        .map(|rule| delays.iter().map(|draws| Delays::new(draws.iter().map(|draw| draw[rule]))).collect())
        .collect();
    for (index, rule) in rules.iter().enumerate() {
        let alarms: u64 = weeks.iter().map(|alarms| alarms[index]).sum();
        let mean = alarms as f64 / seeds as f64;
        let mut row = vec![rule.name.into(), Cell::Number(mean, if mean < 100.0 { 2 } else { 0 })];
        row.extend(medians[index].iter().map(|delays| delays.cell(0.5)));
        table.row(row);
        if rule.name == OWN {
            let what = format!("mean false alarms of plimsoll, {}, in {panes} panes", kind.name);
            promises.push(Promise::at_most(what, Some(mean), BUDGET * panes as f64 / PERIOD as f64));
            for (number, (name, _)) in kind.changes.iter().enumerate() {
                let rivals = rules.iter().zip(&medians).filter(|(rule, _)| rule.rival);
                let soonest = rivals.map(|(_, delays)| delays[number].median().unwrap_or(PATIENCE as f64));
                promises.extend(soonest.reduce(f64::min).map(|soonest| {
                    let what = format!(
                        "median delay of plimsoll, {name}, against rules of others with about as few false alarms"
                    );
                    Promise::at_most(what, medians[index][number].median(), soonest)
                }));
            }
        }
    }
    table
}
