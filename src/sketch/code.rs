//! Turns a batch into cell numbers: once per batch and column, however many windows, segments and
//! versions the rows then go to. Names are looked up once per distinct name, not once per row.

use std::sync::Arc;

use arrow::array::{Array, Float64Array};

use super::anomaly::{AnomalyCoder, CodedAnomaly};
use super::layout::{ANOMALY, CategoryLayout, ColumnLayout, Layout, NumericLayout, OTHER};
use crate::record::batch::dictionary_values;
use crate::record::{InferenceBatch, Kind, RecordSchema, Role};

/// Stands for "none" among group, segment and class numbers.
pub const NONE: u32 = u32::MAX;

/// How the columns of a schema become the cells of a layout.
#[derive(Clone, Debug)]
pub struct Coder {
    layout: Arc<Layout>,
    /// Index in the record schema, per column of the layout.
    columns: Vec<Option<usize>>,
    /// Index in the record schema, per attribute and per segment of the layout.
    attributes: Vec<Option<usize>>,
    segments: Vec<Option<usize>>,
    prediction: Option<(usize, Kind)>,
    label: Option<(usize, Kind)>,
    score: Option<usize>,
    latency: Option<usize>,
    anomaly: Option<AnomalyCoder>,
}

/// A batch as cell numbers; every vector has one entry per row, but the column of anomaly scores has
/// none: it has its own, with the reasons.
#[derive(Debug)]
pub struct CodedBatch {
    rows: usize,
    pub(super) columns: Vec<Vec<u32>>,
    pub(super) groups: Vec<Vec<u32>>,
    /// Per segment column: number of the declared value, `other` last, or `NONE`.
    pub segments: Vec<Vec<u32>>,
    pub(super) selected: Vec<Option<bool>>,
    pub(super) label: Vec<Option<bool>>,
    pub(super) correct: Vec<Option<bool>>,
    pub(super) classes: Option<(Vec<u32>, Vec<u32>)>,
    pub(super) score: Option<Float64Array>,
    pub(super) latency: Option<Float64Array>,
    pub(super) anomaly: Option<CodedAnomaly>,
}

impl CodedBatch {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Cell numbers per column of the layout, per row.
    pub(crate) fn cells(&self) -> &[Vec<u32>] {
        &self.columns
    }
}

impl Coder {
    /// Plans how records of `schema` are counted on `layout`.
    pub fn new(schema: &RecordSchema, layout: Arc<Layout>) -> Self {
        let columns = layout
            .columns
            .iter()
            .map(|column| match (column.output, column.name.as_str()) {
                (true, "score") => schema.find(Role::Score),
                (true, ANOMALY) => None,
                (true, _) => schema.find(Role::Prediction),
                (false, name) => schema.named(Role::Feature, name),
            })
            .collect();
        let attributes = layout.attributes.iter().map(|(name, _)| schema.named(Role::Group, name)).collect();
        let segments = layout.segments.iter().map(|(name, _)| schema.named(Role::Segment, name)).collect();
        let with_kind = |role| schema.find(role).map(|index| (index, schema.columns()[index].kind));
        Self {
            columns,
            attributes,
            segments,
            prediction: with_kind(Role::Prediction),
            label: with_kind(Role::Label),
            score: schema.find(Role::Score),
            latency: schema.find(Role::Latency),
            anomaly: None,
            layout,
        }
    }

    /// Also scores a sample of the records, into the layout's column of anomaly scores.
    #[must_use]
    pub fn with_anomaly(mut self, anomaly: AnomalyCoder) -> Self {
        self.anomaly = Some(anomaly);
        self
    }

    /// Whether it matters which id a record has.
    pub fn samples(&self) -> bool {
        self.anomaly.is_some()
    }

    /// The layout.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Cell numbers of `batch`, which has the schema that this plan was made for.
    pub fn code(&self, batch: &InferenceBatch) -> CodedBatch {
        let rows = batch.rows();
        let scores = self.layout.anomaly();
        let columns: Vec<Vec<u32>> = self
            .layout
            .columns
            .iter()
            .zip(&self.columns)
            .enumerate()
            .map(|(number, (column, index))| match (&column.layout, index) {
                _ if scores == Some(number) => Vec::new(),
                (layout, None) => vec![layout.null() as u32; rows],
                (ColumnLayout::Numeric(layout), Some(index)) => numeric(batch, *index, layout),
                (ColumnLayout::Categorical(layout), Some(index)) => categorical(batch, *index, layout),
            })
            .collect();
        let attributes: Vec<Vec<u32>> = declared(batch, &self.layout.attributes, &self.attributes);
        let segments = declared(batch, &self.layout.segments, &self.segments);
        let score = self.score.map(|index| batch.numbers(index).clone());
        let label = self.outcomes(batch, self.label);
        let selected = match (self.prediction, self.layout.threshold, &score) {
            (Some(_), ..) | (None, None, _) | (None, _, None) => self.outcomes(batch, self.prediction),
            (None, Some(threshold), Some(score)) => score
                .iter()
                .map(|score| score.filter(|score| !score.is_nan()).map(|score| score >= threshold))
                .collect(),
        };
        let (correct, classes) = self.agreement(batch, &selected, &label);
        CodedBatch {
            rows,
            groups: self.groups(&attributes, rows),
            anomaly: self.anomaly.as_ref().map(|anomaly| anomaly.code(batch, &columns)),
            columns,
            segments,
            selected,
            label,
            correct,
            classes,
            score,
            latency: self.latency.map(|index| batch.numbers(index).clone()),
        }
    }

    /// Group numbers, per group layout: the product of the attributes' numbers.
    fn groups(&self, attributes: &[Vec<u32>], rows: usize) -> Vec<Vec<u32>> {
        self.layout
            .groups
            .iter()
            .map(|group| {
                let mut numbers = vec![0_u32; rows];
                for name in &group.attributes {
                    let Some(index) = self.layout.attributes.iter().position(|(known, _)| known == name)
                    else {
                        return vec![NONE; rows];
                    };
                    let values = self.layout.attributes[index].1.len() as u32 + 1;
                    for (number, code) in numbers.iter_mut().zip(&attributes[index]) {
                        *number =
                            if *number == NONE || *code == NONE { NONE } else { *number * values + code };
                    }
                }
                numbers
            })
            .collect()
    }

    /// Whether each row's prediction or label is the positive outcome; none where it is absent.
    fn outcomes(&self, batch: &InferenceBatch, column: Option<(usize, Kind)>) -> Vec<Option<bool>> {
        let Some((index, Kind::Categorical)) = column else {
            return vec![None; batch.rows()];
        };
        let names = batch.names(index);
        let positive: Vec<bool> = dictionary_values(names)
            .iter()
            .map(|name| self.layout.positive.iter().any(|text| text == name))
            .collect();
        names.keys().iter().map(|key| key.map(|key| positive[key as usize])).collect()
    }

    /// Whether each row's prediction agrees with its label, and for multiclass the class numbers.
    #[allow(clippy::type_complexity, reason = "two parallel columns, used in one place")]
    fn agreement(
        &self,
        batch: &InferenceBatch,
        selected: &[Option<bool>],
        label: &[Option<bool>],
    ) -> (Vec<Option<bool>>, Option<(Vec<u32>, Vec<u32>)>) {
        let both = |a: &Option<bool>, b: &Option<bool>| Some((*a)? == (*b)?);
        if self.layout.classes.is_empty() {
            return (selected.iter().zip(label).map(|(a, b)| both(a, b)).collect(), None);
        }
        let (Some((prediction, Kind::Categorical)), Some((truth, Kind::Categorical))) =
            (self.prediction, self.label)
        else {
            return (vec![None; batch.rows()], None);
        };
        let (predicted, actual) = (batch.names(prediction), batch.names(truth));
        let (predicted_names, actual_names) = (dictionary_values(predicted), dictionary_values(actual));
        let correct = predicted
            .keys()
            .iter()
            .zip(actual.keys().iter())
            .map(|(p, a)| Some(predicted_names[p? as usize] == actual_names[a? as usize]))
            .collect();
        let class = |name: &&str| {
            let classes = &self.layout.classes;
            classes.iter().position(|known| known == name).unwrap_or(classes.len()) as u32
        };
        let numbers = |keys: &arrow::array::PrimitiveArray<arrow::datatypes::Int32Type>, names: &[&str]| {
            let codes: Vec<u32> = names.iter().map(class).collect();
            keys.iter().map(|key| key.map_or(NONE, |key| codes[key as usize])).collect::<Vec<u32>>()
        };
        let classes = (numbers(actual.keys(), &actual_names), numbers(predicted.keys(), &predicted_names));
        (correct, Some(classes))
    }
}

fn numeric(batch: &InferenceBatch, index: usize, layout: &NumericLayout) -> Vec<u32> {
    let numbers = batch.numbers(index);
    let mut cells: Vec<u32> = if numbers.null_count() == 0 {
        numbers.values().iter().map(|value| layout.cell(*value) as u32).collect()
    } else {
        let null = layout.null() as u32;
        numbers.iter().map(|value| value.map_or(null, |value| layout.cell(value) as u32)).collect()
    };
    for row in batch.invalid(index) {
        cells[*row as usize] = layout.invalid() as u32;
    }
    cells
}

fn categorical(batch: &InferenceBatch, index: usize, layout: &CategoryLayout) -> Vec<u32> {
    let names = batch.names(index);
    let codes: Vec<u32> = dictionary_values(names).iter().map(|name| layout.cell(name) as u32).collect();
    let null = layout.null() as u32;
    let mut cells: Vec<u32> =
        names.keys().iter().map(|key| key.map_or(null, |key| codes[key as usize])).collect();
    for row in batch.invalid(index) {
        cells[*row as usize] = layout.invalid() as u32;
    }
    cells
}

/// Numbers of declared values, `other` after the last, `NONE` where a row has no value.
fn declared(
    batch: &InferenceBatch,
    layouts: &[(String, Vec<String>)],
    indexes: &[Option<usize>],
) -> Vec<Vec<u32>> {
    layouts
        .iter()
        .zip(indexes)
        .map(|((_, values), index)| {
            let Some(index) = index else {
                return vec![NONE; batch.rows()];
            };
            let names = batch.names(*index);
            let code =
                |name: &&str| values.iter().position(|value| value == name).unwrap_or(values.len()) as u32;
            let codes: Vec<u32> = dictionary_values(names).iter().map(code).collect();
            names.keys().iter().map(|key| key.map_or(NONE, |key| codes[key as usize])).collect()
        })
        .collect()
}

/// Name of value number `number` among `values`, `other` after the last.
pub fn declared_name(values: &[String], number: u32) -> &str {
    values.get(number as usize).map_or(OTHER, String::as_str)
}
