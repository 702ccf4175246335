//! Trains the isolation forest of a reference, and counts the scores of those reference rows that
//! trained no tree: rows score lower in trees that they were part of.
//!
//! Which rows train follows from their contents and the seed alone, so that the same rows in another
//! order, or in other files, are the same reference.

use super::edges;
use super::{ColumnStats, Error};
use crate::record::{InferenceBatch, RecordSchema};
use crate::sketch::anomaly::{FeatureCode, Rows};
use crate::sketch::code::Coder;
use crate::sketch::layout::{ANOMALY, NamedColumn};
use crate::sketch::{AnomalyModel, CellCounts, ColumnLayout, Layout, NumericLayout, Summary};
use crate::stats::forest::{Forest, Options};
use crate::stats::quantile;
use crate::stats::stable_hash::StableHash;

/// Reference rows without which no forest is trained: with half of them held out, the 99th
/// percentile is then about the largest score of a hundred.
const FEWEST_ROWS: u64 = 200;
/// Rows that may train at most: more would take memory and add nothing to samples of hundreds.
const MOST_TRAINING: usize = 65_536;
/// Held-out rows below which the profile says that its 99th percentile is coarse.
const FEW_HELD_OUT: usize = 10_000;

/// What a reference knows of anomaly scores.
pub(super) struct Trained {
    pub(super) model: AnomalyModel,
    pub(super) column: NamedColumn,
    pub(super) stats: ColumnStats,
    pub(super) counts: CellCounts,
    pub(super) standing_out: Vec<u64>,
}

/// A reference row: its batch and its number in it.
type Place = (u32, u32);

/// The reference as rows of a forest.
struct Reference<'a> {
    batches: &'a [InferenceBatch],
    coder: &'a Coder,
    rows: Rows,
}

impl Reference<'_> {
    /// The rows at `places`, which are in order; gives each batch's rows to `sink` in turn.
    fn each(&self, places: &[Place], codes: &[FeatureCode], mut sink: impl FnMut(Vec<f32>)) {
        for part in places.chunk_by(|a, b| a.0 == b.0) {
            let batch = &self.batches[part[0].0 as usize];
            let numbers: Vec<u32> = part.iter().map(|(_, row)| *row).collect();
            sink(self.rows.of(batch, self.coder.code(batch).cells(), codes, &numbers));
        }
    }
}

/// Trains a forest on part of `batches` and scores the rest. `summary` holds the counts of all rows
/// on `layout`, which `coder` counts on and which has no column of scores yet.
pub(super) fn train(
    schema: &RecordSchema,
    batches: &[InferenceBatch],
    layout: &Layout,
    coder: &Coder,
    summary: &Summary,
    options: Options,
    notes: &mut Vec<String>,
) -> Result<Trained, Error> {
    let too_few = || Error::TooFewForAnomalies { rows: summary.rows, fewest: FEWEST_ROWS };
    if summary.rows < FEWEST_ROWS {
        return Err(too_few());
    }
    let reference = Reference { batches, coder, rows: Rows::new(schema, layout) };
    let mut codes: Vec<FeatureCode> =
        layout.features().map(|index| code(&layout.columns[index].layout, summary, index)).collect();
    let width = codes.len();
    let (pool, held_out) = split(&reference, &codes, options);

    let mut rows: Vec<f32> = Vec::with_capacity(pool.len() * width);
    reference.each(&pool, &codes, |part| rows.extend(part));
    for (number, code) in codes.iter_mut().enumerate() {
        code.neutral = median(rows.iter().skip(number).step_by(width));
    }
    for (value, code) in rows.iter_mut().zip(codes.iter().cycle()) {
        if value.is_nan() {
            *value = code.neutral;
        }
    }
    // The pool is in the order of the files; trees are drawn from a list that is not.
    let mut order: Vec<&[f32]> = rows.chunks_exact(width).collect();
    order.sort_by(|a, b| {
        a.iter().zip(*b).map(|(a, b)| a.total_cmp(b)).find(|o| o.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    });
    let forest = Forest::grow(&order.concat(), width, options).ok_or_else(too_few)?;

    let mut scores = Vec::with_capacity(held_out.len());
    reference.each(&held_out, &codes, |part| scores.extend(forest.scores(&part)));
    let mut sorted = scores.clone();
    sorted.sort_by(f64::total_cmp);
    let percentile_99 = quantile::linear(&sorted, 0.99).ok_or_else(too_few)?;
    if held_out.len() < FEW_HELD_OUT {
        notes.push(format!(
            "the 99th percentile of the anomaly score rests on {} reference rows that trained no tree; its own error widens the expected rate",
            held_out.len()
        ));
    }
    let edges = edges::from_sorted(&sorted);
    let range = super::build::range(&sorted);
    let mut bounds = edges.bounds;
    bounds.push(percentile_99.next_up());
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    let cells = NumericLayout { bounds };
    let mut counts = CellCounts::new(cells.cells());
    for score in &scores {
        counts.add(cells.cell(*score));
    }

    let neutral: Vec<f32> = codes.iter().map(|code| code.neutral).collect();
    let anomalous: Vec<Place> = held_out
        .iter()
        .zip(&scores)
        .filter(|(_, score)| **score > percentile_99)
        .map(|(at, _)| *at)
        .collect();
    let mut standing_out = vec![0; width];
    reference.each(&anomalous, &codes, |part| {
        for row in part.chunks_exact(width) {
            if let Some(feature) = forest.strongest(row, &neutral) {
                standing_out[feature] += 1;
            }
        }
    });
    Ok(Trained {
        model: AnomalyModel { options, percentile_99, features: codes, forest },
        column: NamedColumn { name: ANOMALY.to_owned(), output: true, layout: ColumnLayout::Numeric(cells) },
        stats: ColumnStats::Numeric { decile_edges: edges.deciles, fine_edges: edges.fine, range },
        counts,
        standing_out,
    })
}

/// How a feature becomes a number; its neutral value is not known yet.
fn code(layout: &ColumnLayout, summary: &Summary, index: usize) -> FeatureCode {
    let shares = match layout {
        ColumnLayout::Numeric(_) => Vec::new(),
        ColumnLayout::Categorical(layout) => {
            let counts = summary.columns[index].as_slice();
            let rows = summary.rows.max(1) as f64;
            let mut shares: Vec<f32> =
                counts[..=layout.unseen()].iter().map(|count| (*count as f64 / rows) as f32).collect();
            // The rarer categories share one cell; each has about its part of it.
            shares[layout.other()] /= layout.rest.len().max(1) as f32;
            shares[layout.unseen()] = 0.0;
            shares
        }
    };
    FeatureCode { neutral: f32::NAN, shares }
}

/// The rows that may train a tree, and the others. At most half train, and no more than the trees
/// can draw.
fn split(reference: &Reference<'_>, codes: &[FeatureCode], options: Options) -> (Vec<Place>, Vec<Place>) {
    let mut order: Vec<(u64, Place)> = Vec::new();
    for (number, batch) in reference.batches.iter().enumerate() {
        let places: Vec<Place> = (0..batch.rows() as u32).map(|row| (number as u32, row)).collect();
        reference.each(&places, codes, |rows| {
            let hash = |row: &[f32]| {
                let words = row.iter().map(|value| u64::from(value.to_bits()));
                words.fold(StableHash::new(options.seed), StableHash::word).finish()
            };
            order.extend(rows.chunks_exact(codes.len()).map(hash).zip(places.iter().copied()));
        });
    }
    // Equal rows are neighbours now, and every other of them trains, whatever their order was.
    order.sort_unstable();
    let pool = (order.len() / 2).min(options.trees.saturating_mul(options.samples)).min(MOST_TRAINING);
    let trains = |rank: usize| (rank + 1) * pool / order.len() > rank * pool / order.len();
    let (mut training, mut held_out) = (Vec::new(), Vec::new());
    for (rank, (_, place)) in order.iter().enumerate() {
        if trains(rank) { training.push(*place) } else { held_out.push(*place) }
    }
    training.sort_unstable();
    held_out.sort_unstable();
    (training, held_out)
}

/// Median of the values that are there, 0 where none is.
fn median<'a>(values: impl Iterator<Item = &'a f32>) -> f32 {
    let mut sorted: Vec<f64> =
        values.filter(|value| !value.is_nan()).map(|value| f64::from(*value)).collect();
    sorted.sort_by(f64::total_cmp);
    quantile::linear(&sorted, 0.5)
        .map_or(0.0, |median| median.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32)
}
