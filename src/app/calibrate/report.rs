//! What a calibration found, for a reader: a line for each check and scope, warnings, and what to
//! add to the configuration.

use std::fmt;
use std::path::{Path, PathBuf};

use super::series::worst;
use crate::domain::Accounting;
use crate::profile::Calibration;

/// What `plimsoll calibrate` has done.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What was written.
    pub calibration: Calibration,
    /// Record classes.
    pub accounting: Accounting,
    /// Of the rejected records, those of other models.
    pub others: u64,
    /// Where it was written.
    pub file: PathBuf,
}

const HEADINGS: [&str; 8] = ["check", "of", "widest", "reference", "mean", "cycle", "sd", "tolerance"];

impl Report {
    /// The change to the configuration in `folder` that makes it use the calibration.
    pub fn patch(&self, folder: &Path) -> String {
        let file = self.file.strip_prefix(folder).unwrap_or(&self.file);
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let (model, file) = (text(self.calibration.model.as_str()), text(&file.display().to_string()));
        format!(" models:\n   - name: {model}\n+    calibration: {file}\n")
    }

    fn lines(&self) -> Vec<[String; 8]> {
        let number = |value: f64| format!("{value:.4}");
        let mut lines = vec![HEADINGS.map(str::to_owned)];
        for (check, scopes) in &self.calibration.checks {
            for scoped in scopes {
                let Some((component, it)) = worst(scoped) else { continue };
                lines.push([
                    check.clone(),
                    scoped.scope.to_string(),
                    component,
                    number(it.reference),
                    number(it.mean),
                    number(it.cycle),
                    number(it.sd),
                    number(it.tolerance),
                ]);
            }
        }
        lines
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = &self.calibration;
        let Accounting { records, used, late, rejected, .. } = self.accounting;
        writeln!(f, "records    {records} in = {used} used + {late} late + {rejected} rejected")?;
        if self.others > 0 {
            writeln!(f, "           {} of the rejected are of other models", self.others)?;
        }
        writeln!(
            f,
            "stretch    {} to {}, {} rows in {} panes",
            made.from, made.until, made.rows, made.panes
        )?;
        writeln!(f)?;
        let lines = self.lines();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 8] = std::array::from_fn(width);
        for line in &lines {
            for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
                let gap = if column == 0 { "" } else { "  " };
                match column {
                    0..=2 => write!(f, "{gap}{cell:<width$}")?,
                    _ => write!(f, "{gap}{cell:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        writeln!(f, "\nWhat a check moves by less than its tolerance, no detector will see.")?;
        for warning in &made.warnings {
            writeln!(f, "warning    {warning}")?;
        }
        write!(f, "written    {}", self.file.display())
    }
}
