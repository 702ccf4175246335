//! Anomaly scores of a sample of the records. The forest and how records become its rows are frozen
//! with the reference; which records are scored depends on nothing but the record, so that any
//! instance, reading any partition in batches of any size, scores the same ones.
//!
//! The sample is taken by a hash of the record's id, or of its event time and features where no id is
//! mapped. It is no secret: whoever chooses ids and knows the seed can stay out of it.

use std::sync::Arc;

use arrow::array::Array;
use serde::{Deserialize, Serialize};

use super::code::NONE;
use super::layout::{ANOMALY, ColumnLayout, Layout, NumericLayout};
use crate::record::batch::dictionary_values;
use crate::record::{InferenceBatch, RecordSchema, Role};
use crate::stats::forest::{Forest, Options};
use crate::stats::stable_hash::{StableHash, mix};

/// How one feature becomes a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureCode {
    /// Stands for absent, NaN and invalid values: the median of the rows that trained the forest.
    pub neutral: f32,
    /// Categorical features: share of the reference rows per cell (categories, other, unseen). Empty
    /// for numeric ones, whose values are taken as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<f32>,
}

/// A forest with all that is needed to score a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnomalyModel {
    /// How it was asked for; small references give smaller trees.
    pub options: Options,
    /// 99th percentile of the scores of reference rows that trained no tree. A record is anomalous
    /// whose score is above it.
    pub percentile_99: f64,
    /// Per feature of the layout.
    pub features: Vec<FeatureCode>,
    /// The trees.
    pub forest: Forest,
}

/// How records of a schema become rows of a forest.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Per feature: its column in the layout, and its column in the schema where there is one.
    features: Vec<(usize, Option<usize>)>,
}

impl Rows {
    /// Plans how records of `schema`, counted on `layout`, become rows.
    pub fn new(schema: &RecordSchema, layout: &Layout) -> Self {
        let place = |index: usize| (index, schema.named(Role::Feature, &layout.columns[index].name));
        Self { features: layout.features().map(place).collect() }
    }

    /// The given `rows` of a batch, one after another. `cells` are the batch's cell numbers per column
    /// of the layout, and `codes` has one entry per feature.
    pub fn of(
        &self,
        batch: &InferenceBatch,
        cells: &[Vec<u32>],
        codes: &[FeatureCode],
        rows: &[u32],
    ) -> Vec<f32> {
        let width = self.features.len();
        let mut out = vec![0.0_f32; rows.len() * width];
        for (number, ((column, index), code)) in self.features.iter().zip(codes).enumerate() {
            let places = out.iter_mut().skip(number).step_by(width).zip(rows);
            match index {
                None => places.for_each(|(place, _)| *place = code.neutral),
                Some(index) if code.shares.is_empty() => {
                    let numbers = batch.numbers(*index);
                    for (place, row) in places {
                        let value = numbers.value(*row as usize);
                        let known = numbers.is_valid(*row as usize) && !value.is_nan();
                        *place = if known { finite(value) } else { code.neutral };
                    }
                }
                Some(_) => {
                    for (place, row) in places {
                        let share = code.shares.get(cells[*column][*row as usize] as usize);
                        *place = share.copied().unwrap_or(code.neutral);
                    }
                }
            }
        }
        out
    }

    /// A hash of every row's event time and features.
    fn hashes(&self, batch: &InferenceBatch) -> Vec<u64> {
        let times = batch.event_times().values();
        let mut hashes: Vec<StableHash> =
            times.iter().map(|time| StableHash::new(0).word(*time as u64)).collect();
        for index in self.features.iter().filter_map(|(_, index)| *index) {
            let kind = batch.schema().columns()[index].kind;
            if kind == crate::record::Kind::Numeric {
                for (hash, value) in hashes.iter_mut().zip(batch.numbers(index)) {
                    // One word for NaN, and one for both zeros.
                    let bits = value.map(|value| if value.is_nan() { f64::NAN } else { value + 0.0 });
                    *hash = hash.word(bits.map_or(u64::MAX, f64::to_bits));
                }
            } else {
                let names = batch.names(index);
                let known: Vec<u64> = dictionary_values(names)
                    .iter()
                    .map(|name| StableHash::new(0).bytes(name.as_bytes()).finish())
                    .collect();
                for (hash, key) in hashes.iter_mut().zip(names.keys()) {
                    *hash = hash.word(key.map_or(u64::MAX, |key| known[key as usize]));
                }
            }
        }
        hashes.into_iter().map(StableHash::finish).collect()
    }
}

/// A number as the forest takes it: too large ones, and infinities, are the largest there are.
fn finite(value: f64) -> f32 {
    (value as f32).clamp(f32::MIN, f32::MAX)
}

/// Scores a sample of the records of a model.
#[derive(Clone, Debug)]
pub struct AnomalyCoder {
    model: Arc<AnomalyModel>,
    rows: Rows,
    neutral: Vec<f32>,
    /// The column of scores in the layout, and its cells.
    column: usize,
    cells: NumericLayout,
    one_in: u64,
}

/// Which cell each row's score falls into, and why it is anomalous where it is.
#[derive(Debug)]
pub(super) struct CodedAnomaly {
    pub(super) column: usize,
    cells: Vec<u32>,
    reasons: Vec<u32>,
}

impl CodedAnomaly {
    /// Cell of the row's score and number of its strongest feature; `NONE` where the row was not
    /// scored, or is not anomalous for any single feature.
    pub(super) fn get(&self, row: usize) -> (u32, u32) {
        (self.cells[row], self.reasons[row])
    }
}

impl AnomalyCoder {
    /// Scores one in `one_in` records of `schema` by `model`, on the cells of `layout`. None where the
    /// layout has no scores, or other features than the model.
    pub fn new(
        schema: &RecordSchema,
        layout: &Layout,
        model: Arc<AnomalyModel>,
        one_in: u32,
    ) -> Option<Self> {
        let (column, named) = layout.column(ANOMALY, true)?;
        let ColumnLayout::Numeric(cells) = &named.layout else {
            return None;
        };
        let rows = Rows::new(schema, layout);
        let neutral: Vec<f32> = model.features.iter().map(|feature| feature.neutral).collect();
        let same = rows.features.len() == neutral.len() && neutral.len() == model.forest.dimensions();
        let coder =
            Self { column, cells: cells.clone(), rows, neutral, one_in: u64::from(one_in.max(1)), model };
        same.then_some(coder)
    }

    /// Scores the sampled rows of `batch`, whose cell numbers per column are `columns`.
    pub(super) fn code(&self, batch: &InferenceBatch, columns: &[Vec<u32>]) -> CodedAnomaly {
        let sample = self.sample(batch);
        let rows = self.rows.of(batch, columns, &self.model.features, &sample);
        let scores = self.model.forest.scores(&rows);
        let mut coded = CodedAnomaly {
            column: self.column,
            cells: vec![NONE; batch.rows()],
            reasons: vec![NONE; batch.rows()],
        };
        for ((row, score), values) in sample.iter().zip(scores).zip(rows.chunks_exact(self.neutral.len())) {
            let row = *row as usize;
            coded.cells[row] = self.cells.cell(score) as u32;
            if score > self.model.percentile_99
                && let Some(feature) = self.model.forest.strongest(values, &self.neutral)
            {
                coded.reasons[row] = feature as u32;
            }
        }
        coded
    }

    /// Numbers of the rows that are scored.
    fn sample(&self, batch: &InferenceBatch) -> Vec<u32> {
        let rows = 0..batch.rows() as u32;
        if self.one_in == 1 {
            return rows.collect();
        }
        let salt = mix(self.model.options.seed);
        let chosen = |hash: u64| mix(hash ^ salt).is_multiple_of(self.one_in);
        let mut by_value: Option<Vec<u64>> = None;
        rows.filter(|row| {
            let row = *row as usize;
            let hash = batch
                .id_hash(row)
                .unwrap_or_else(|| by_value.get_or_insert_with(|| self.rows.hashes(batch))[row]);
            chosen(hash)
        })
        .collect()
    }
}
