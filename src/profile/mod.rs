//! The frozen reference that windows are compared with: bin edges, categories, groups, and the
//! counts of the reference rows on exactly those cells. Frozen, because edges that follow the data
//! hide the very shift they should show; hashed, because counts of different references never merge.

mod anomaly;
pub mod build;
pub mod calibration;
pub mod edges;

pub use build::{Options, bare_layout, build};
pub use calibration::Calibration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::{ModelId, ProfileHash, Task};
use crate::sketch::{AnomalyModel, ColumnLayout, Layout, Summary};

/// The file format that this version reads and writes.
pub const FORMAT: &str = "plimsoll.profile/1";

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is no profile at all.
    #[error("not a reference profile")]
    Json(#[source] serde_json::Error),
    /// The file is a profile of another version.
    #[error(
        "the profile has the format `{found}`, and this plimsoll reads `{FORMAT}`; make it anew with `plimsoll profile`"
    )]
    Format {
        /// What the file says.
        found: String,
    },
    /// The content was changed after it was written.
    #[error(
        "the profile's content has the hash {computed}, but it says {stated}; it was changed after it was made"
    )]
    Hash {
        /// Hash of what is there.
        computed: ProfileHash,
        /// Hash that the file states.
        stated: ProfileHash,
    },
    /// There are no rows to freeze.
    #[error("the reference has no rows of model `{model}`")]
    NoRows {
        /// The model.
        model: ModelId,
    },
    /// There are too few rows to say which scores are rare.
    #[error("an anomaly score needs at least {fewest} reference rows, and there are {rows}")]
    TooFewForAnomalies {
        /// Rows there are.
        rows: u64,
        /// Rows it takes.
        fewest: u64,
    },
}

/// Cells of the anomaly score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnomalyCells {
    /// Index of its column.
    pub column: usize,
    /// First cell of scores above the reference's 99th percentile.
    pub above: usize,
    /// Cells that hold scores, the first so many.
    pub values: usize,
}

/// Records that were scored for anomalies, and how many of them were anomalous.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnomalyCounts {
    /// Records with a score.
    pub scored: u64,
    /// Those whose score is above the reference's 99th percentile.
    pub above: u64,
}

/// What is known of a reference column beside its counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ColumnStats {
    /// A numeric column.
    Numeric {
        /// Inner edges of the ten cells that PSI, Jensen-Shannon, Hellinger, total variation and
        /// chi-squared use; a subset of the layout's bounds.
        decile_edges: Vec<f64>,
        /// Inner edges of the 64 cells that Kolmogorov-Smirnov and Wasserstein use; likewise.
        fine_edges: Vec<f64>,
        /// Smallest and largest finite value, mean, and standard deviation (ddof 0); none without
        /// finite values.
        range: Option<Range>,
    },
    /// A categorical column.
    Categorical {
        /// Distinct values in the reference.
        distinct: u64,
    },
}

/// Location and spread of a numeric reference column.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Smallest finite value.
    pub min: f64,
    /// Largest finite value.
    pub max: f64,
    /// Mean of the finite values.
    pub mean: f64,
    /// Their standard deviation, ddof 0.
    pub std: f64,
}

/// A reference, frozen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// `FORMAT`.
    pub format: String,
    /// SHA-256 of this object as compact JSON in this order of fields, with an empty `hash`.
    pub hash: ProfileHash,
    /// The model.
    pub model: ModelId,
    /// What it predicts.
    pub task: Task,
    /// Reference rows.
    pub rows: u64,
    /// What a reader should know about the reference, in words.
    pub notes: Vec<String>,
    /// What its cells mean.
    pub layout: Layout,
    /// Per column of the layout.
    pub columns: Vec<ColumnStats>,
    /// Counts of the reference rows.
    pub summary: Summary,
    /// What scores records for anomalies, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anomaly: Option<AnomalyModel>,
}

impl Profile {
    /// The profile with its hash filled in.
    fn sealed(mut self) -> Self {
        self.hash = self.content_hash();
        self
    }

    fn content_hash(&self) -> ProfileHash {
        let mut content = self.clone();
        content.hash = "".into();
        let json = serde_json::to_vec(&content).expect("a profile holds only finite numbers and text");
        let digest: String = Sha256::digest(&json).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{digest}").into()
    }

    /// Reads a profile and checks its format and hash.
    ///
    /// # Errors
    /// When it is no profile, of another format, or was changed after it was written.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(Error::Json)?;
        if head.format != FORMAT {
            return Err(Error::Format { found: head.format });
        }
        let profile: Self = serde_json::from_slice(bytes).map_err(Error::Json)?;
        let computed = profile.content_hash();
        if computed != profile.hash {
            return Err(Error::Hash { computed, stated: profile.hash });
        }
        Ok(profile)
    }

    /// The profile as the text of a file.
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("a profile holds only finite numbers and text");
        text.push('\n');
        text
    }

    /// Scored and anomalous records among those counted in `summary`, a window's or the reference's own
    /// (there, of the rows that trained no tree). None without anomaly scores.
    pub fn anomaly_counts(&self, summary: &Summary) -> Option<AnomalyCounts> {
        let cells = self.anomaly_cells()?;
        let counts = &summary.columns.get(cells.column)?.as_slice()[..cells.values];
        let above = counts.get(cells.above..)?.iter().sum();
        Some(AnomalyCounts { scored: counts.iter().sum(), above })
    }

    /// Where the scores are counted. None without anomaly scores.
    pub fn anomaly_cells(&self) -> Option<AnomalyCells> {
        let percentile = self.anomaly.as_ref()?.percentile_99;
        let column = self.layout.anomaly()?;
        let ColumnLayout::Numeric(layout) = &self.layout.columns[column].layout else {
            return None;
        };
        // The number right above the percentile is a bound, so no cell lies on both sides.
        let above = layout.bounds.partition_point(|bound| *bound <= percentile) + 1;
        Some(AnomalyCells { column, above, values: layout.value_cells() })
    }

    /// Reference counts of column `index` on the cells between `edges`, a subset of its bounds:
    /// underflow falls into the first cell, overflow into the last. The same for `counts` of a window.
    pub fn on_edges(&self, index: usize, edges: &[f64], counts: &[u64]) -> Vec<u64> {
        let mut cells = vec![0; edges.len() + 1];
        if let ColumnLayout::Numeric(layout) = &self.layout.columns[index].layout {
            for (cell, count) in counts.iter().take(layout.value_cells()).enumerate() {
                let left = cell.checked_sub(1).map(|left| layout.bounds[left]);
                let target = left.map_or(0, |left| edges.partition_point(|edge| *edge <= left));
                cells[target] += count;
            }
        }
        cells
    }
}
