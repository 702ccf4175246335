//! Everything that is counted of one key in one pane, or in one window of merged panes, or in a
//! whole reference. One type for all three, so that current and reference are counted by the same
//! code and can be compared cell by cell.

use super::cells::{CellCounts, leb128};
use super::code::{CodedBatch, NONE};
use super::latency::Latency;
use super::layout::Layout;
use super::outcomes::GroupOutcomes;
use super::performance::PerformanceCounts;
use serde::{Deserialize, Serialize};

/// Counts of one key over some event time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Rows.
    pub rows: u64,
    /// Counts per column of the layout.
    pub columns: Vec<CellCounts>,
    /// Outcomes per group layout, per group.
    pub groups: Vec<Vec<GroupOutcomes>>,
    /// Predictions against labels.
    pub performance: PerformanceCounts,
    /// Per feature: anomalous records of which it was the strongest reason. Empty where no anomaly
    /// score is counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standing_out: Vec<u64>,
    /// Latencies, once the first was seen. Not part of a reference.
    #[serde(skip)]
    pub latency: Option<Latency>,
}

impl Summary {
    /// No rows, on the cells of `layout`.
    pub fn new(layout: &Layout) -> Self {
        Self {
            rows: 0,
            columns: layout.columns.iter().map(|column| CellCounts::new(column.layout.cells())).collect(),
            groups: layout
                .groups
                .iter()
                .map(|group| vec![GroupOutcomes::default(); group.values.len()])
                .collect(),
            performance: PerformanceCounts::new(layout.classes.len()),
            standing_out: vec![0; layout.anomaly().map_or(0, |_| layout.features().count())],
            latency: None,
        }
    }

    /// Counts the given `rows` of a batch that was coded for this summary's layout.
    pub fn update(&mut self, batch: &CodedBatch, rows: &[u32]) {
        self.rows += rows.len() as u64;
        for (counts, cells) in self.columns.iter_mut().zip(&batch.columns) {
            // The column of anomaly scores has no cell for records that were not scored.
            if cells.is_empty() {
                continue;
            }
            for row in rows {
                counts.add(cells[*row as usize] as usize);
            }
        }
        if let Some(scored) = &batch.anomaly {
            for row in rows {
                let (cell, reason) = scored.get(*row as usize);
                if cell != NONE {
                    self.columns[scored.column].add(cell as usize);
                }
                if reason != NONE {
                    self.standing_out[reason as usize] += 1;
                }
            }
        }
        for (groups, numbers) in self.groups.iter_mut().zip(&batch.groups) {
            for row in rows {
                let (number, row) = (numbers[*row as usize], *row as usize);
                if let (Some(selected), true) = (batch.selected[row], number != NONE) {
                    groups[number as usize].add(selected, batch.label[row]);
                }
            }
        }
        for row in rows {
            let row = *row as usize;
            if let Some(correct) = batch.correct[row] {
                let positive = |outcome: Option<bool>| outcome.unwrap_or(false);
                self.performance.add(correct, positive(batch.selected[row]), positive(batch.label[row]));
            }
            if let Some((labels, predictions)) = &batch.classes {
                self.performance.add_classes(labels[row] as usize, predictions[row] as usize);
            }
        }
        if let Some(scores) = &batch.score {
            for row in rows {
                let row = *row as usize;
                if let (Some(positive), true) = (batch.label[row], arrow::array::Array::is_valid(scores, row))
                {
                    self.performance.add_score(scores.value(row), positive);
                }
            }
        }
        if let Some(latencies) = &batch.latency {
            for row in rows {
                let row = *row as usize;
                if arrow::array::Array::is_valid(latencies, row) {
                    self.latency.get_or_insert_default().add(latencies.value(row));
                }
            }
        }
    }

    /// Adds the counts of `other`, which has the same layout.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        for (mine, theirs) in self.columns.iter_mut().zip(&other.columns) {
            mine.merge(theirs);
        }
        for (mine, theirs) in self.groups.iter_mut().flatten().zip(other.groups.iter().flatten()) {
            mine.merge(theirs);
        }
        self.performance.merge(&other.performance);
        for (mine, theirs) in self.standing_out.iter_mut().zip(&other.standing_out) {
            *mine += theirs;
        }
        if let Some(theirs) = &other.latency {
            self.latency.get_or_insert_default().merge(theirs);
        }
    }

    /// Takes away the counts of `other`, which were merged before.
    pub fn subtract(&mut self, other: &Self) {
        self.rows -= other.rows;
        for (mine, theirs) in self.columns.iter_mut().zip(&other.columns) {
            mine.subtract(theirs);
        }
        for (mine, theirs) in self.groups.iter_mut().flatten().zip(other.groups.iter().flatten()) {
            mine.subtract(theirs);
        }
        self.performance.subtract(&other.performance);
        for (mine, theirs) in self.standing_out.iter_mut().zip(&other.standing_out) {
            *mine -= theirs;
        }
        if let (Some(mine), Some(theirs)) = (&mut self.latency, &other.latency) {
            mine.subtract(theirs);
            if mine.count() == 0 {
                self.latency = None;
            }
        }
    }

    /// Bytes of counts held.
    pub fn size(&self) -> usize {
        self.columns.iter().map(CellCounts::size).sum::<usize>()
            + self.groups.iter().map(|groups| groups.len() * size_of::<GroupOutcomes>()).sum::<usize>()
            + self.performance.size()
            + self.standing_out.len() * size_of::<u64>()
            + self.latency.as_ref().map_or(0, Latency::size)
    }

    /// The counts as bytes: the same counts give the same bytes, however they were merged.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        leb128(u128::from(self.rows), &mut out);
        for counts in &self.columns {
            counts.encode(&mut out);
        }
        for outcomes in self.groups.iter().flatten() {
            outcomes.encode(&mut out);
        }
        self.performance.encode(&mut out);
        for count in &self.standing_out {
            leb128(u128::from(*count), &mut out);
        }
        match &self.latency {
            Some(latency) => latency.encode(&mut out),
            None => out.push(0),
        }
        out
    }
}
