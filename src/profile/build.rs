//! Freezes a reference profile from batches of reference records. The rows are then counted on the
//! frozen cells by the very code that counts windows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::Array;

use super::{ColumnStats, Error, FORMAT, Profile, Range};
use super::{anomaly, edges};
use crate::record::batch::dictionary_values;
use crate::record::{InferenceBatch, Kind, RecordSchema, Role};
use crate::sketch::code::Coder;
use crate::sketch::layout::NamedColumn;
use crate::sketch::{CategoryLayout, ColumnLayout, Layout, NumericLayout, Summary};
use crate::stats::forest;

/// Reference rows below which a profile says that it is small: with fewer, the reference's own
/// noise in PSI over ten cells is above 0.009.
const FEW_ROWS: u64 = 1_000;
/// Distinct categories that a profile remembers by name. Beyond, "unseen" cannot be told.
const MOST_CATEGORIES: usize = 10_000;

/// How a profile is frozen.
#[derive(Clone, Debug)]
pub struct Options {
    /// Categories of a feature with a cell of their own, the most frequent first.
    pub categories: usize,
    /// Groups of an attribute and values of a segment, where the configuration declares none.
    pub groups: usize,
    /// Declared values per attribute; empty where the reference decides.
    pub attributes: Vec<(String, Vec<String>)>,
    /// Intersections of attributes.
    pub intersections: Vec<Vec<String>>,
    /// Declared values per segment column; empty where the reference decides.
    pub segments: Vec<(String, Vec<String>)>,
    /// Texts that mean the positive outcome.
    pub positive: Vec<String>,
    /// Score from which a prediction is positive where none is logged.
    pub threshold: Option<f64>,
    /// The isolation forest to train, where one is asked for.
    pub anomaly: Option<forest::Options>,
}

/// The cells of a model without a reference profile: rows, missing and invalid values, declared
/// groups; one cell for all numbers and one for all names of a column.
pub fn bare_layout(schema: &RecordSchema, options: &Options) -> Layout {
    let columns = counted(schema)
        .map(|(index, name, output)| NamedColumn {
            name,
            output,
            layout: match schema.columns()[index].kind {
                Kind::Numeric => ColumnLayout::Numeric(NumericLayout::default()),
                Kind::Categorical => ColumnLayout::Categorical(CategoryLayout::default()),
            },
        })
        .collect();
    let mut layout = Layout {
        columns,
        attributes: options.attributes.clone(),
        segments: options.segments.clone(),
        positive: options.positive.clone(),
        threshold: options.threshold,
        ..Layout::default()
    };
    layout.build_groups(&options.intersections);
    layout
}

/// Freezes a profile from `batches` of reference records of `schema`.
///
/// # Errors
/// When there are no rows, or too few for the isolation forest that is asked for.
pub fn build(schema: &RecordSchema, batches: &[InferenceBatch], options: &Options) -> Result<Profile, Error> {
    let rows: u64 = batches.iter().map(|batch| batch.rows() as u64).sum();
    if rows == 0 {
        return Err(Error::NoRows { model: schema.model.clone() });
    }
    let mut notes = Vec::new();
    if rows < FEW_ROWS {
        notes.push(format!(
            "the reference has only {rows} rows; its own noise widens every comparison with it"
        ));
    }
    let (mut columns, mut stats) = (Vec::new(), Vec::new());
    for (index, name, output) in counted(schema) {
        let (layout, column) = match schema.columns()[index].kind {
            Kind::Numeric => freeze_numbers(batches, index, &name, &mut notes),
            Kind::Categorical => freeze_names(batches, index, &name, options.categories, &mut notes),
        };
        columns.push(NamedColumn { name, output, layout });
        stats.push(column);
    }
    let declared = |role: Role, declared: &[(String, Vec<String>)]| -> Vec<(String, Vec<String>)> {
        let values = |name: &str, values: &[String]| match schema.named(role, name) {
            Some(index) if values.is_empty() => most_frequent(batches, index, options.groups),
            _ => values.to_vec(),
        };
        declared.iter().map(|(name, given)| (name.clone(), values(name, given))).collect()
    };
    let classes = match (schema.task, schema.find(Role::Prediction)) {
        (crate::domain::Task::Multiclass, Some(index)) => most_frequent(batches, index, options.categories),
        _ => Vec::new(),
    };
    let mut layout = Layout {
        columns,
        attributes: declared(Role::Group, &options.attributes),
        groups: Vec::new(),
        segments: declared(Role::Segment, &options.segments),
        classes,
        positive: options.positive.clone(),
        threshold: options.threshold,
    };
    layout.build_groups(&options.intersections);
    let coder = Coder::new(schema, Arc::new(layout.clone()));
    let mut summary = Summary::new(&layout);
    for batch in batches {
        let coded = coder.code(batch);
        let all: Vec<u32> = (0..coded.rows() as u32).collect();
        summary.update(&coded, &all);
    }
    summary.latency = None;
    let mut model = None;
    if let Some(wanted) = options.anomaly {
        let trained = anomaly::train(schema, batches, &layout, &coder, &summary, wanted, &mut notes)?;
        layout.columns.push(trained.column);
        stats.push(trained.stats);
        summary.columns.push(trained.counts);
        summary.standing_out = trained.standing_out;
        model = Some(trained.model);
    }
    Ok(Profile {
        format: FORMAT.to_owned(),
        hash: "".into(),
        model: schema.model.clone(),
        task: schema.task,
        rows,
        notes,
        layout,
        columns: stats,
        summary,
        anomaly: model,
    }
    .sealed())
}

/// Columns that are counted on cells: index in the schema, name, and whether it is an output.
fn counted(schema: &RecordSchema) -> impl Iterator<Item = (usize, String, bool)> + '_ {
    let features = schema.all(Role::Feature).map(|index| (index, false));
    let outputs = [Role::Prediction, Role::Score].into_iter().filter_map(|role| schema.find(role));
    features
        .chain(outputs.map(|index| (index, true)))
        .map(|(index, output)| (index, schema.columns()[index].name.to_string(), output))
}

fn freeze_numbers(
    batches: &[InferenceBatch],
    index: usize,
    name: &str,
    notes: &mut Vec<String>,
) -> (ColumnLayout, ColumnStats) {
    let mut sorted: Vec<f64> = batches
        .iter()
        .flat_map(|batch| batch.numbers(index).iter().flatten())
        .filter(|value| value.is_finite())
        .collect();
    sorted.sort_by(f64::total_cmp);
    let edges = edges::from_sorted(&sorted);
    let range = range(&sorted);
    match range {
        None => notes.push(format!("`{name}` has no finite value in the reference; its drift is undefined")),
        Some(range) if range.min == range.max => notes.push(format!(
            "`{name}` is constant in the reference ({}); it has three cells, below, equal and above, and no normalised distance",
            range.min
        )),
        Some(_) => {
            for value in &edges.heavy {
                let share = sorted.iter().filter(|other| *other == value).count() as f64 / sorted.len() as f64;
                if share >= 0.9 {
                    notes.push(format!(
                        "`{name}` is nearly constant in the reference: {:.1} % of its values are {value}",
                        share * 100.0
                    ));
                }
            }
        }
    }
    let stats = ColumnStats::Numeric { decile_edges: edges.deciles, fine_edges: edges.fine, range };
    (ColumnLayout::Numeric(NumericLayout { bounds: edges.bounds }), stats)
}

pub(super) fn range(sorted: &[f64]) -> Option<Range> {
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let n = sorted.len() as f64;
    // Two passes: one pass over squares would lose the deviation of large values.
    let mean = if min == max { min } else { sorted.iter().sum::<f64>() / n };
    let variance = sorted.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / n;
    let range = Range { min, max, mean, std: variance.sqrt() };
    (range.mean.is_finite() && range.std.is_finite()).then_some(range)
}

fn freeze_names(
    batches: &[InferenceBatch],
    index: usize,
    name: &str,
    most: usize,
    notes: &mut Vec<String>,
) -> (ColumnLayout, ColumnStats) {
    let ranked = frequencies(batches, index);
    let distinct = ranked.len() as u64;
    let complete = ranked.len() <= MOST_CATEGORIES;
    if !complete {
        notes.push(format!(
            "`{name}` has {distinct} distinct values in the reference, more than {MOST_CATEGORIES}; new values cannot be told from rare ones"
        ));
    }
    if ranked.is_empty() {
        notes.push(format!("`{name}` has no value in the reference; its drift is undefined"));
    } else if ranked.len() == 1 {
        notes.push(format!("`{name}` has one value in the reference (`{}`)", ranked[0]));
    }
    let mut names = ranked.into_iter();
    let categories: Vec<String> = names.by_ref().take(most.max(1)).collect();
    let mut rest: Vec<String> = if complete { names.collect() } else { Vec::new() };
    rest.sort();
    let layout = CategoryLayout { categories, rest, complete };
    (ColumnLayout::Categorical(layout), ColumnStats::Categorical { distinct })
}

fn most_frequent(batches: &[InferenceBatch], index: usize, most: usize) -> Vec<String> {
    let mut values = frequencies(batches, index);
    values.truncate(most);
    values.sort();
    values
}

/// Distinct names of a column, the most frequent first, equally frequent ones by name.
fn frequencies(batches: &[InferenceBatch], index: usize) -> Vec<String> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for batch in batches {
        let names = batch.names(index);
        let mut by_key = vec![0_u64; names.values().len()];
        for key in names.keys().iter().flatten() {
            by_key[key as usize] += 1;
        }
        for (name, count) in dictionary_values(names).into_iter().zip(by_key) {
            if count > 0 {
                *counts.entry(name.to_owned()).or_default() += count;
            }
        }
    }
    let mut ranked: Vec<(String, u64)> = counts.into_iter().collect();
    ranked.sort_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    ranked.into_iter().map(|(name, _)| name).collect()
}
