//! `budget-real`: rows of public data in random order, so that nothing drifts by construction, and
//! values, ties and categories are those of real data. Each shuffle freezes a reference of the first
//! rows and starts detectors on the rest, again and again until a period of the budget is over.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::random::{Purpose, shuffle, stream};
use super::report::{Cell, Promise, Section, Table};
use super::streams::{PERIOD, REFERENCE_ROWS, ROWS, hour};
use super::tally::{COLUMNS, Tally};
use super::watch::{BUDGET, Watch, cell_components, none};
use super::{Error, Options};
use crate::profile::edges;
use crate::query::files;

/// Sets: a name, its files, and columns that only number the rows.
const SETS: [(&str, &[&str], &[&str]); 2] = [
    ("Elec2", &["elec.csv"], &[]),
    ("employment_MA", &["employment_MA_reference.parquet", "employment_MA_analysis.parquet"], &["id"]),
];

/// A column of real data, row by row.
#[derive(Debug)]
enum Column {
    /// Numbers.
    Numeric(Vec<f64>),
    /// Numbers of names.
    Categorical(Vec<u32>),
}

/// A set.
#[derive(Debug)]
struct Set {
    name: &'static str,
    rows: usize,
    columns: Vec<(String, Column)>,
}

pub(super) fn section(options: &Options) -> Result<Section, Error> {
    let scenario = "budget-real";
    let about = format!(
        "Rows in random order: the first {REFERENCE_ROWS} freeze a reference (deciles, with a cell of its own for every \
         value that holds a tenth; all categories and one for the unseen), the rest come in panes of {ROWS}. Each \
         shuffle starts detectors anew, until {} panes are over. The columns of a set share a budget of {BUDGET} false \
         alarm in {PERIOD} panes.",
        options.panes
    );
    let mut section = Section { scenario, about, tables: Vec::new(), promises: Vec::new(), skipped: None };
    let Some(folder) = &options.data else {
        if options.only.is_empty() {
            section.skipped = Some("it needs the folder of its data, with --data".to_owned());
            return Ok(section);
        }
        return Err(Error::NoData);
    };
    let sets = sets(folder)?;
    let mut table = Table::new(
        format!("False alarms in {} panes.", options.panes),
        &[&["set", "columns", "shuffles"][..], &COLUMNS].concat(),
    );
    for set in &sets {
        let alarms = quiet(set, options);
        let shuffles = options.panes.div_ceil(set.panes());
        let mut row = vec![set.name.into(), Cell::Count(set.columns.len() as u64), Cell::Count(shuffles)];
        row.extend(alarms.cells());
        table.row(row);
        let what = format!("mean false alarms of {} in {} panes", set.name, options.panes);
        let allowed = BUDGET * options.panes as f64 / PERIOD as f64;
        section.promises.push(Promise::at_most(what, Some(alarms.mean()), allowed));
    }
    section.tables.push(table);
    Ok(section)
}

impl Set {
    /// Whole panes of a shuffle.
    fn panes(&self) -> u64 {
        (self.rows as u64 - REFERENCE_ROWS) / ROWS
    }
}

/// False alarms of a set, per seed.
fn quiet(set: &Set, options: &Options) -> Tally {
    let shuffles = options.panes.div_ceil(set.panes()) as usize;
    let units = options.seeds as usize * shuffles;
    let name = format!("budget-real, {}", set.name);
    let found = options.work().spread(&name, units, |unit| {
        let number = unit % shuffles;
        let left = options.panes - set.panes() * number as u64;
        shuffled(set, options.seed(unit / shuffles), number, left.min(set.panes()))
    });
    Tally::new(found.chunks(shuffles).map(|seed| seed.iter().sum()).collect())
}

/// False alarms of one shuffle in `panes` panes.
fn shuffled(set: &Set, seed: u64, number: usize, panes: u64) -> u64 {
    let mut order: Vec<u32> = (0..set.rows as u32).collect();
    shuffle(&mut stream(seed, Purpose::Shuffle, number), &mut order);
    let (reference, rest) = order.split_at(REFERENCE_ROWS as usize);
    let share = BUDGET / set.columns.len() as f64;
    let mut alarms = 0;
    for (_, column) in &set.columns {
        let cells = Cells::frozen(column, reference);
        let components = cell_components(&cells.count(column, reference), cells.ordered(), none);
        let mut watch = Watch::new(components, share, PERIOD as f64);
        for (pane, rows) in rest.chunks_exact(ROWS as usize).take(panes as usize).enumerate() {
            alarms += u64::from(watch.cells(&cells.count(column, rows), hour(pane as u64)));
        }
    }
    alarms
}

/// Frozen cells of a column.
#[derive(Debug)]
enum Cells {
    /// Inner edges.
    Edges(Vec<f64>),
    /// The cell of each name, and their number; the last is for names that the reference has not.
    Names(Vec<usize>, usize),
}

impl Cells {
    fn frozen(column: &Column, reference: &[u32]) -> Self {
        match column {
            Column::Numeric(values) => {
                let mut sorted: Vec<f64> = reference.iter().map(|row| values[*row as usize]).collect();
                sorted.sort_unstable_by(f64::total_cmp);
                Self::Edges(edges::from_sorted(&sorted).deciles)
            }
            Column::Categorical(names) => {
                let most = names.iter().copied().max().map_or(0, |name| name as usize + 1);
                let mut seen = vec![false; most];
                reference.iter().for_each(|row| seen[names[*row as usize] as usize] = true);
                let known = seen.iter().filter(|seen| **seen).count();
                let mut next = 0..known;
                let cells = seen.iter().map(|seen| if *seen { next.next().unwrap_or(known) } else { known });
                Self::Names(cells.collect(), known + 1)
            }
        }
    }

    fn ordered(&self) -> bool {
        matches!(self, Self::Edges(_))
    }

    fn count(&self, column: &Column, rows: &[u32]) -> Vec<u64> {
        match (self, column) {
            (Self::Edges(edges), Column::Numeric(values)) => {
                let mut counts = vec![0; edges.len() + 1];
                for row in rows {
                    let value = values[*row as usize];
                    counts[edges.partition_point(|edge| *edge <= value)] += 1;
                }
                counts
            }
            (Self::Names(cells, number), Column::Categorical(names)) => {
                let mut counts = vec![0; *number];
                rows.iter().for_each(|row| counts[cells[names[*row as usize] as usize]] += 1);
                counts
            }
            _ => unreachable!("cells are frozen from the column that they count"),
        }
    }
}

/// The sets whose files all lie in `folder`.
fn sets(folder: &Path) -> Result<Vec<Set>, Error> {
    let mut found = Vec::new();
    for (name, names, numbers) in SETS {
        let paths: Vec<PathBuf> = names.iter().map(|file| folder.join(file)).collect();
        if paths.iter().all(|path| path.exists()) {
            found.push(read(name, &paths, numbers)?);
        }
    }
    if found.is_empty() {
        return Err(Error::EmptyData { folder: folder.to_owned() });
    }
    Ok(found)
}

/// The columns that all rows of the files have, without those named in `numbers`.
fn read(name: &'static str, paths: &[PathBuf], numbers: &[&str]) -> Result<Set, Error> {
    let (mut columns, mut rows): (BTreeMap<String, Vec<Value>>, usize) = (BTreeMap::new(), 0);
    let mut broken = None;
    files::rows(paths, &mut |file, _, json| {
        let Ok(Value::Object(record)) = serde_json::from_slice(json) else {
            broken = Some(Error::Rows { file: file.to_owned(), why: "a row is no record".to_owned() });
            return ControlFlow::Break(());
        };
        for (column, value) in record {
            // A column that began late, or that misses rows, falls behind and is left out below.
            if !numbers.contains(&column.as_str()) && !value.is_null() {
                columns.entry(column).or_default().push(value);
            }
        }
        rows += 1;
        ControlFlow::Continue(())
    })
    .map_err(Error::Data)?;
    if let Some(broken) = broken {
        return Err(broken);
    }
    if (rows as u64) < REFERENCE_ROWS + ROWS {
        let why = format!("{rows} rows are fewer than a reference and a pane");
        return Err(Error::Rows { file: paths[0].clone(), why });
    }
    let whole = columns.into_iter().filter(|(_, values)| values.len() == rows);
    let columns = whole.map(|(name, values)| (name, column(&values))).collect();
    Ok(Set { name, rows, columns })
}

fn column(values: &[Value]) -> Column {
    let numeric: Option<Vec<f64>> = values.iter().map(Value::as_f64).collect();
    numeric.map_or_else(
        || {
            let mut names = BTreeMap::new();
            let codes = values.iter().map(|value| {
                let next = names.len() as u32;
                *names.entry(value.to_string()).or_insert(next)
            });
            Column::Categorical(codes.collect())
        },
        Column::Numeric,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_reference_has_not_fall_into_the_last_cell() {
        let column = Column::Categorical(vec![0, 1, 2, 1, 2]);
        let cells = Cells::frozen(&column, &[0, 2, 4]);
        assert!(!cells.ordered());
        assert_eq!(cells.count(&column, &[0, 1, 2, 3, 4]), [1, 2, 2]);
    }

    #[test]
    fn a_column_is_numeric_where_every_value_is_a_number() {
        let values = |text: &str| serde_json::from_str::<Vec<Value>>(text).unwrap();
        assert!(matches!(column(&values("[1, 2.5]")), Column::Numeric(_)));
        let Column::Categorical(codes) = column(&values(r#"["a", "b", "a"]"#)) else { panic!("names") };
        assert_eq!(codes, [0, 1, 0]);
    }
}
