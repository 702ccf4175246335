//! `plimsoll compare`: two sets of files column by column, in plimsoll's numbers and in those of the
//! tools that people come from, each with the limit that the tool itself would use.
//!
//! It needs no configuration, because it is the first thing that somebody tries: columns, their names
//! and their types come from the files. It decides nothing, and no breach is an exit code.

mod columns;
mod lines;
mod native;
mod text;

use std::path::PathBuf;

use anyhow::bail;
use serde::Serialize;

use columns::{Column, Reader, Side};

/// Distinct texts beyond which a column looks like an identifier and is left out unless asked for.
const MOST_CATEGORIES: usize = 1000;

/// Whose numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Plimsoll's own: cells frozen from the reference, half a count added, with intervals.
    Native,
    /// Evidently 0.7.23 at its defaults.
    Evidently,
    /// NannyML 0.13.1 at its defaults.
    Nannyml,
    /// Reference deciles floored at 1e-4, and scipy 1.17 on the raw values.
    Scipy,
}

impl Mode {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Native, Self::Evidently, Self::Nannyml, Self::Scipy];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "plimsoll",
            Self::Evidently => "evidently",
            Self::Nannyml => "nannyml",
            Self::Scipy => "scipy",
        }
    }
}

/// What to compare.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Files of the reference.
    pub reference: Vec<PathBuf>,
    /// Files of current data.
    pub current: Vec<PathBuf>,
    /// Whose numbers; all where none is named.
    pub modes: Vec<Mode>,
    /// Columns by name; all that can be compared where none is named.
    pub columns: Vec<String>,
    /// Columns whose numbers are names: codes, classes.
    pub categorical: Vec<String>,
}

/// How a number is held against a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A value above the limit is drift.
    Above,
    /// A value at or above the limit is drift.
    AtLeast,
    /// A p-value below the limit is drift.
    PBelow,
    /// A p-value at or below the limit is drift.
    PAtMost,
}

/// The limit that a tool would use.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// How it is used.
    pub rule: Rule,
    /// Where it is.
    pub at: f64,
}

/// Whether a tool would call it drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// It would.
    Yes,
    /// It would not.
    No,
    /// The interval reaches over the limit: these rows do not say.
    Insufficient,
}

/// One statistic of one tool for one column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Whose number it is.
    pub mode: Mode,
    /// What the tool calls it.
    pub statistic: &'static str,
    /// Whether the tool goes by it where nothing is configured.
    pub default: bool,
    /// Its value; none where it is undefined or only a p-value is given.
    pub value: Option<f64>,
    /// Interval of 95 %.
    pub interval: Option<[f64; 2]>,
    /// Probability of so much without any change.
    pub p_value: Option<f64>,
    /// What it is on average without any change.
    pub expected: Option<f64>,
    /// The tool's limit.
    pub limit: Option<Limit>,
    /// What the tool would say.
    pub drift: Option<Drift>,
    /// Why there is no number.
    pub reason: Option<&'static str>,
}

/// How a column is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// As numbers.
    Numeric,
    /// As names.
    Categorical,
}

/// Rows of one side of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rows {
    /// Rows with a value.
    pub values: u64,
    /// Rows without one, or with NaN.
    pub null: u64,
}

/// One column, compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Its name; names inside objects are joined by `/`.
    pub column: String,
    /// How it was read.
    pub kind: Kind,
    /// Reference rows.
    pub reference: Rows,
    /// Current rows.
    pub current: Rows,
    /// Statistics, tool by tool.
    pub statistics: Vec<Line>,
}

/// How many columns drift by a tool's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The tool.
    pub mode: Mode,
    /// Columns that it would call drifted.
    pub drifted: usize,
    /// Columns compared.
    pub columns: usize,
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Rows read of the reference.
    pub reference_rows: u64,
    /// Rows read of current data.
    pub current_rows: u64,
    /// Column by column, in the order of the files.
    pub columns: Vec<Compared>,
    /// Per tool.
    pub summary: Vec<Count>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

impl Comparison {
    /// As a JSON document.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names and numbers always have a JSON form")
    }
}

/// Reads both sides and compares them.
///
/// # Errors
/// When a file cannot be read, a side has no rows, or a named column is not there or has no values on
/// a side.
pub fn compare(options: &Options) -> anyhow::Result<Comparison> {
    let mut reader = Reader::default();
    reader.read(Side::Reference, &options.reference)?;
    reader.read(Side::Current, &options.current)?;
    for (side, name) in [(Side::Reference, "reference"), (Side::Current, "current")] {
        if reader.rows(side) == 0 {
            bail!(
                "the {name} files hold no rows{}",
                reader.unreadable(side).map_or(String::new(), |why| format!(": {why}"))
            );
        }
    }
    let mut notes = Vec::new();
    for (side, name) in [(Side::Reference, "reference"), (Side::Current, "current")] {
        notes.extend(reader.unreadable(side).map(|why| format!("{name}: {why}")));
    }
    let (reference_rows, current_rows) = (reader.rows(Side::Reference), reader.rows(Side::Current));
    let all = reader.finish();
    for name in options.columns.iter().chain(&options.categorical) {
        if !all.iter().any(|column| column.name == *name) {
            let known: Vec<&str> = all.iter().map(|column| column.name.as_str()).collect();
            bail!("no column is called `{name}`; the files have {}", known.join(", "));
        }
    }
    let modes = if options.modes.is_empty() { Mode::ALL.to_vec() } else { options.modes.clone() };
    let mut columns = Vec::new();
    for column in all {
        let asked = options.columns.contains(&column.name);
        if !asked && !options.columns.is_empty() {
            continue;
        }
        let as_names = options.categorical.contains(&column.name);
        match compared(column, &modes, asked, as_names) {
            Ok(compared) => columns.push(compared),
            Err(why) if asked => bail!(why),
            Err(why) => notes.push(format!("{why}; left out")),
        }
    }
    if columns.is_empty() {
        bail!("no column can be compared: {}", notes.join("; "));
    }
    let summary = modes.iter().map(|&mode| count(mode, &columns)).collect();
    Ok(Comparison { reference_rows, current_rows, columns, summary, notes })
}

fn count(mode: Mode, columns: &[Compared]) -> Count {
    let drifted = |column: &&Compared| {
        let mut own = column.statistics.iter().filter(|line| line.mode == mode && line.default);
        own.any(|line| line.drift == Some(Drift::Yes))
    };
    Count { mode, drifted: columns.iter().filter(drifted).count(), columns: columns.len() }
}

/// One column, or why it cannot be compared.
fn compared(column: Column, modes: &[Mode], asked: bool, as_names: bool) -> Result<Compared, String> {
    let name = column.name.clone();
    if column.nested {
        return Err(format!("`{name}` holds lists"));
    }
    let [reference, current] = column.rows();
    for (side, rows) in [("reference", reference), ("current", current)] {
        if rows.values == 0 {
            return Err(format!("`{name}` has no value in the {side} files"));
        }
    }
    let mut found =
        Compared { column: name, kind: Kind::Numeric, reference, current, statistics: Vec::new() };
    if column.is_numeric() && !as_names {
        found.statistics = lines::numeric(&column.numbers(), modes);
    } else {
        let names = column.names();
        if names.distinct > MOST_CATEGORIES && !asked && !as_names {
            return Err(format!(
                "`{}` has {} distinct values, like an identifier",
                found.column, names.distinct
            ));
        }
        found.kind = Kind::Categorical;
        found.statistics = lines::categorical(&names, modes);
    }
    Ok(found)
}
