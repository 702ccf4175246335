//! What a slot reads from a pane: counts on cells, or `k` of `n`, or a sum of values in [0, 1].

use crate::check::{quality, spec::CheckSpec};
use crate::domain::Metric;
use crate::profile::{AnomalyCells, ColumnStats, Profile};
use crate::sketch::{ColumnLayout, Layout, Summary};
use crate::stats::edetector::Reading;

/// Where a slot's numbers are in a summary.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    /// Counts of a column, each of its cells added to one of the detector's or left out.
    Cells {
        /// Index of the column.
        column: usize,
        /// The detector's cell for each of the column's.
        cell: Vec<Option<usize>>,
        /// Number of the detector's cells.
        cells: usize,
    },
    /// A share of a column's rows.
    Quality {
        /// Index of the column.
        column: usize,
        /// Which share.
        metric: Metric,
        /// The column's cells.
        layout: ColumnLayout,
    },
    /// Selected rows of a group.
    Selection {
        /// Index of the groups.
        group: usize,
        /// Index of the value.
        value: usize,
    },
    /// Predictions against labels.
    Performance(Metric),
    /// Scores above the reference's 99th percentile.
    Anomalies(AnomalyCells),
    /// Calls slower than this.
    Slower {
        /// The bound, seconds.
        seconds: f64,
    },
}

impl Source {
    /// The cells of a column for a histogram detector, and whether they have an order. Ten cells for
    /// numbers; for names every category, `other` and `unseen` where the reference leaves room for
    /// them. None where the profile does not describe the column.
    pub(super) fn histogram(profile: &Profile, layout: &Layout, column: usize) -> Option<(Self, bool)> {
        match (&layout.columns.get(column)?.layout, profile.columns.get(column)?) {
            (ColumnLayout::Numeric(numeric), ColumnStats::Numeric { decile_edges, .. }) => {
                let target = |index: usize| {
                    let left = index.checked_sub(1).map(|left| numeric.bounds[left]);
                    left.map_or(0, |left| decile_edges.partition_point(|edge| *edge <= left))
                };
                let values = numeric.value_cells();
                let cell = (0..numeric.cells()).map(|index| (index < values).then(|| target(index)));
                let cells = decile_edges.len() + 1;
                Some((Self::Cells { column, cell: cell.collect(), cells }, true))
            }
            (ColumnLayout::Categorical(names), _) => {
                let open = [
                    (names.other(), !names.rest.is_empty() || !names.complete),
                    (names.unseen(), names.complete),
                ];
                let mut cells = names.categories.len();
                let mut cell: Vec<Option<usize>> =
                    (0..names.cells()).map(|i| (i < cells).then_some(i)).collect();
                for (index, _) in open.into_iter().filter(|(_, wanted)| *wanted) {
                    cell[index] = Some(cells);
                    cells += 1;
                }
                Some((Self::Cells { column, cell, cells }, false))
            }
            (ColumnLayout::Numeric(_), ColumnStats::Categorical { .. }) => None,
        }
    }

    /// The counts of a histogram; empty for a source that is none.
    pub(super) fn counts(&self, summary: &Summary) -> Vec<u64> {
        let Self::Cells { column, cell, cells } = self else {
            return Vec::new();
        };
        let mut counts = vec![0; *cells];
        for (target, count) in cell.iter().zip(summary.columns[*column].as_slice()) {
            if let Some(target) = target {
                counts[*target] += count;
            }
        }
        counts
    }

    /// The rate or mean of a summary, unturned; none for a histogram.
    pub(super) fn reading(&self, summary: &Summary) -> Option<Reading> {
        let rate = |k: u64, n: u64| Some(Reading::counts(k, n));
        match self {
            Self::Cells { .. } => None,
            Self::Quality { column, metric, layout } => {
                let (k, n) = quality::share(*metric, layout, summary.columns[*column].as_slice())?;
                rate(k, n)
            }
            Self::Selection { group, value } => {
                let selection = summary.groups[*group][*value].selection();
                rate(selection.k, selection.n)
            }
            Self::Performance(metric) => {
                let counts = &summary.performance;
                let outcomes = counts.confusion();
                match metric {
                    Metric::Accuracy => rate(counts.correct, counts.labelled),
                    Metric::Precision => rate(outcomes.tp, outcomes.tp + outcomes.fp),
                    Metric::Recall => rate(outcomes.tp, outcomes.tp + outcomes.fn_),
                    // A sum of fixed-point units may pass the number of rows by their rounding.
                    Metric::Brier => {
                        let n = counts.scored as f64;
                        Some(Reading { n, sum: counts.brier().sum().min(n) })
                    }
                    _ => None,
                }
            }
            Self::Anomalies(cells) => {
                let scores = &summary.columns[cells.column].as_slice()[..cells.values];
                rate(scores.iter().skip(cells.above).sum(), scores.iter().sum())
            }
            Self::Slower { seconds } => {
                let Some(latency) = &summary.latency else { return rate(0, 0) };
                rate(latency.slower_than(*seconds), latency.count())
            }
        }
    }

    /// The source of a rate or mean that is asked of the whole model.
    pub(super) fn of_model(spec: &CheckSpec, profile: Option<&Profile>) -> Option<Self> {
        match spec.metric {
            Metric::AnomalyRate => Some(Self::Anomalies(profile?.anomaly_cells()?)),
            Metric::Accuracy | Metric::Precision | Metric::Recall | Metric::Brier => {
                Some(Self::Performance(spec.metric))
            }
            Metric::Latency => match spec.bound {
                Some(crate::domain::Bound::AtMost(seconds)) => Some(Self::Slower { seconds }),
                _ => None,
            },
            _ => None,
        }
    }
}
