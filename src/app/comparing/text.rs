//! The comparison as a table for each column.

use std::fmt;

use super::{Compared, Comparison, Drift, Kind, Limit, Line, Mode, Rule};

const HEAD: [&str; 8] =
    ["tool", "statistic", "value", "95 % interval", "p", "without change", "limit", "drift"];

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} reference rows, {} current rows",
            grouped(self.reference_rows),
            grouped(self.current_rows)
        )?;
        for column in &self.columns {
            write!(f, "\n{column}")?;
        }
        writeln!(f, "\n* what the tool goes by where nothing is configured; columns that drift by it:")?;
        for count in &self.summary {
            write!(f, "  {} {} of {}", count.mode.name(), count.drifted, count.columns)?;
            match count.mode {
                // Its rule for a whole data set.
                Mode::Evidently if 2 * count.drifted >= count.columns => {
                    writeln!(f, ", at least half: it would call the data set drifted")?
                }
                Mode::Evidently => writeln!(f, ", less than half: it would not call the data set drifted")?,
                _ => writeln!(f)?,
            }
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Numeric => "numeric",
            Kind::Categorical => "categorical",
        };
        writeln!(
            f,
            "{} ({kind}; {} reference values and {} null, {} current values and {} null)",
            self.column,
            grouped(self.reference.values),
            grouped(self.reference.null),
            grouped(self.current.values),
            grouped(self.current.null)
        )?;
        let mut rows = vec![HEAD.map(str::to_owned)];
        rows.extend(self.statistics.iter().map(cells));
        let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            writeln!(f, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

fn cells(line: &Line) -> [String; 8] {
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), number);
    let drift = match (line.drift, line.reason) {
        (Some(Drift::Yes), _) => "yes",
        (Some(Drift::No), _) => "no",
        (Some(Drift::Insufficient), _) => "cannot tell",
        (None, Some(reason)) => reason,
        (None, None) => "-",
    };
    [
        line.mode.name().to_owned(),
        format!("{}{}", line.statistic, if line.default { " *" } else { "" }),
        shown(line.value),
        line.interval.map_or("-".to_owned(), |[low, high]| format!("{} to {}", number(low), number(high))),
        shown(line.p_value),
        shown(line.expected),
        line.limit.map_or("-".to_owned(), limit),
        drift.to_owned(),
    ]
}

fn limit(limit: Limit) -> String {
    let at = number(limit.at);
    match limit.rule {
        Rule::Above => format!("> {at}"),
        Rule::AtLeast => format!(">= {at}"),
        Rule::PBelow => format!("p < {at}"),
        Rule::PAtMost => format!("p <= {at}"),
    }
}

/// Five significant digits.
fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{value:.4e}");
    }
    let decimals = (4 - size.log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// With a comma between thousands.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_five_digits_and_no_idle_zeros() {
        for (value, text) in [
            (0.0, "0"),
            (0.1, "0.1"),
            (0.966_182_717, "0.96618"),
            (107.698_92, "107.7"),
            (1.024e-5, "1.0240e-5"),
            (0.002_771_885, "0.0027719"),
            (123_456.7, "123457"),
            (1.0, "1"),
            (1e7, "1.0000e7"),
            (-0.5, "-0.5"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!([grouped(7), grouped(1_000), grouped(1_234_567)], ["7", "1,000", "1,234,567"]);
    }
}
