//! Is the data complete and valid? Shares of missing, invalid, unseen and out-of-range values.
//! A value statistic does not see these: a null rate that goes from 2 to 8 % moves no PSI.

use super::drift::column_scope;
use super::spec::{Answer, Asked, CheckSpec, Target};
use crate::domain::Metric;
use crate::sketch::{ColumnLayout, Layout};
use crate::stats::interval;

/// One answer per column.
pub(super) fn answers(spec: &CheckSpec, asked: &Asked<'_>, layout: &Layout) -> Vec<Answer> {
    let Target::Columns(columns) = &spec.target else {
        return Vec::new();
    };
    columns
        .iter()
        .filter_map(|index| {
            let column = &layout.columns[*index];
            let scope = column_scope(column);
            if let Some(reason) = unknowable(spec.metric, &column.layout) {
                return Some(Answer::undefined(scope, 0, reason));
            }
            let (k, n) = share(spec.metric, &column.layout, asked.summary.columns[*index].as_slice())?;
            let reference = asked.profile.and_then(|profile| {
                share(spec.metric, &column.layout, profile.summary.columns[*index].as_slice())
            });
            let mut answer = if n == 0 {
                Answer::undefined(scope, 0, "the window has no value of this column")
            } else {
                let rate = k as f64 / n as f64;
                Answer::value(scope, n, Some(rate), interval::wilson(k, n, spec.confidence))
            };
            if let Some((k, m)) = reference.filter(|(_, m)| *m > 0) {
                answer.expected = Some(k as f64 / m as f64);
                answer.n_reference = Some(m);
            }
            Some(answer)
        })
        .collect()
}

/// Why the reference cannot tell which values are new to it. A share of 0 would claim that none is.
pub(super) fn unknowable(metric: Metric, layout: &ColumnLayout) -> Option<&'static str> {
    match (metric, layout) {
        (Metric::UnseenRate, ColumnLayout::Categorical(layout)) if !layout.complete => {
            Some("the reference has more distinct values than it remembers, so none can be called unseen")
        }
        (Metric::OutOfRangeRate, ColumnLayout::Numeric(layout)) if layout.bounds.is_empty() => {
            Some("the reference has no value of this column, so no range")
        }
        _ => None,
    }
}

/// Counted values and all values of a rate; none where the metric is not defined for the column.
pub(super) fn share(metric: Metric, layout: &ColumnLayout, counts: &[u64]) -> Option<(u64, u64)> {
    let rows: u64 = counts.iter().sum();
    let (null, invalid) = (counts[layout.null()], counts[layout.invalid()]);
    let nan = match layout {
        ColumnLayout::Numeric(layout) => counts[layout.nan()],
        ColumnLayout::Categorical(_) => 0,
    };
    let present = rows - null - invalid - nan;
    match (metric, layout) {
        (Metric::NullRate, _) => Some((null, rows)),
        (Metric::InvalidRate, _) => Some((invalid + nan, rows)),
        (Metric::UnseenRate, ColumnLayout::Categorical(layout)) => Some((counts[layout.unseen()], present)),
        (Metric::OutOfRangeRate, ColumnLayout::Numeric(layout)) => {
            Some((counts[0] + counts[layout.value_cells() - 1], present))
        }
        _ => None,
    }
}
