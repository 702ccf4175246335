//! What a simulation found: tables, and promises with whether they held. The same for the same
//! seeds, whatever machine and however many threads: no time stands in it.

use std::fmt;

use serde::{Serialize, Serializer};

/// Everything that was simulated.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of plimsoll.
    pub version: &'static str,
    /// The first seed.
    pub first_seed: u64,
    /// Number of seeds.
    pub seeds: u64,
    /// One per scenario.
    pub sections: Vec<Section>,
}

/// One scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// Its name.
    pub scenario: &'static str,
    /// What was simulated.
    pub about: String,
    /// What came out.
    pub tables: Vec<Table>,
    /// What had to hold.
    pub promises: Vec<Promise>,
    /// Why nothing was simulated, where that is so.
    pub skipped: Option<String>,
}

/// A table.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Heads of the columns.
    pub columns: Vec<String>,
    /// Cells, row by row.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A number, shown with so many decimals.
    Number(f64, usize),
    /// A delay that was not reached.
    Never,
    /// Nothing to say here.
    Blank,
}

/// A statement that has to hold.
#[derive(Clone, Debug, Serialize)]
pub struct Promise {
    /// What is promised.
    pub what: String,
    /// What was found; none where it was never reached.
    pub found: Option<f64>,
    /// The largest value that keeps the promise.
    pub at_most: f64,
    /// Whether it was kept.
    pub held: bool,
}

impl Promise {
    /// A promise that `found` is at most `at_most`; a value that was never reached breaks it.
    pub(super) fn at_most(what: impl Into<String>, found: Option<f64>, at_most: f64) -> Self {
        Self { what: what.into(), found, at_most, held: found.is_some_and(|found| found <= at_most) }
    }
}

impl Report {
    /// Whether every promise held.
    pub fn held(&self) -> bool {
        self.sections.iter().flat_map(|section| &section.promises).all(|promise| promise.held)
    }

    /// The report as aligned text.
    pub fn text(&self) -> String {
        self.render(aligned)
    }

    /// The report as Markdown.
    pub fn markdown(&self) -> String {
        self.render(piped)
    }

    /// The report as JSON.
    ///
    /// # Errors
    /// When a number has no JSON form; none of a report is such.
    pub fn json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    fn render(&self, table: fn(&Table) -> String) -> String {
        let last = self.first_seed + self.seeds.saturating_sub(1);
        let mut text =
            format!("plimsoll {}, simulation with seeds {} to {last}\n", self.version, self.first_seed);
        for section in &self.sections {
            text += &format!("\n## {}\n\n{}\n", section.scenario, section.about);
            if let Some(why) = &section.skipped {
                text += &format!("\nSkipped: {why}\n");
            }
            for shown in &section.tables {
                text += &format!("\n{}\n\n{}", shown.title, table(shown));
            }
            if !section.promises.is_empty() {
                text += "\n";
            }
            for promise in &section.promises {
                text += &format!("- {promise}\n");
            }
        }
        let (held, all) = self.count();
        text += &format!("\n{held} of {all} promises held.\n");
        text
    }

    fn count(&self) -> (usize, usize) {
        let promises = || self.sections.iter().flat_map(|section| &section.promises);
        (promises().filter(|promise| promise.held).count(), promises().count())
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.held { "held" } else { "BROKEN" };
        let found = self.found.map_or_else(|| "never".to_owned(), plain);
        write!(f, "{word}: {}: {found}, at most {}", self.what, plain(self.at_most))
    }
}

/// A number with at most three decimals.
fn plain(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text}"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Number(number, decimals) => write!(f, "{number:.decimals$}"),
            Self::Never => write!(f, "never"),
            Self::Blank => Ok(()),
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Number(number, _) => serializer.serialize_f64(*number),
            Self::Never => serializer.serialize_str("never"),
            Self::Blank => serializer.serialize_none(),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl Table {
    pub(super) fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Self { title: title.into(), columns, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell for every column");
        self.rows.push(cells);
    }

    /// Heads and cells as text, and the width of each column.
    fn texts(&self) -> (Vec<Vec<String>>, Vec<usize>) {
        let cells = self.rows.iter().map(|row| row.iter().map(Cell::to_string).collect());
        let texts: Vec<Vec<String>> = std::iter::once(self.columns.clone()).chain(cells).collect();
        let width = |column: usize| texts.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = (0..self.columns.len()).map(width).collect();
        (texts, widths)
    }
}

fn padded(row: &[String], widths: &[usize], between: &str) -> String {
    let cells = row.iter().zip(widths).enumerate().map(|(column, (text, width))| match column {
        0 => format!("{text:<width$}"),
        _ => format!("{text:>width$}"),
    });
    cells.collect::<Vec<_>>().join(between)
}

fn aligned(table: &Table) -> String {
    let (texts, widths) = table.texts();
    texts.iter().map(|row| format!("{}\n", padded(row, &widths, "  ").trim_end())).collect()
}

fn piped(table: &Table) -> String {
    let (texts, widths) = table.texts();
    let mut lines: Vec<String> =
        texts.iter().map(|row| format!("| {} |\n", padded(row, &widths, " | "))).collect();
    let rule = widths.iter().enumerate().map(|(column, width)| match column {
        0 => "-".repeat(*width),
        _ => format!("{}:", "-".repeat(width.saturating_sub(1).max(1))),
    });
    lines.insert(1, format!("| {} |\n", rule.collect::<Vec<_>>().join(" | ")));
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(found: Option<f64>) -> Report {
        let mut table = Table::new("What was found.", &["rule", "delay"]);
        table.row(vec!["one".into(), Cell::Number(2.5, 1)]);
        table.row(vec!["another".into(), Cell::Never]);
        let section = Section {
            scenario: "example",
            about: "Nothing much.".to_owned(),
            tables: vec![table],
            promises: vec![Promise::at_most("median delay", found, 20.0)],
            skipped: None,
        };
        Report { version: "1.2.3", first_seed: 4, seeds: 2, sections: vec![section] }
    }

    #[test]
    fn text_and_markdown_say_what_held() {
        let report = report(Some(17.5));
        assert!(report.held());
        let expected = "plimsoll 1.2.3, simulation with seeds 4 to 5\n\n## example\n\nNothing much.\n\n\
            What was found.\n\nrule     delay\none        2.5\nanother  never\n\n\
            - held: median delay: 17.5, at most 20\n\n1 of 1 promises held.\n";
        assert_eq!(report.text(), expected);
        let piped = "| rule    | delay |\n| ------- | ----: |\n| one     |   2.5 |\n| another | never |\n";
        assert!(report.markdown().contains(piped), "{}", report.markdown());
    }

    #[test]
    fn a_delay_that_was_never_reached_breaks_its_promise() {
        let report = report(None);
        assert!(!report.held());
        assert!(report.text().contains("- BROKEN: median delay: never, at most 20\n"));
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(json["sections"][0]["promises"][0]["held"], false);
        assert_eq!(json["sections"][0]["tables"][0]["rows"][0][1], 2.5);
    }
}
