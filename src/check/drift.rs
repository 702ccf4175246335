//! Has a distribution moved? Features, prediction and score against the reference, on the
//! reference's own cells. Null, NaN and invalid values take no part: they are rates of their own.
//!
//! PSI, Jensen-Shannon, Hellinger, total variation and chi-squared use ten cells; Kolmogorov-Smirnov
//! and Wasserstein, which need no smoothing, use 64. Categorical columns use their categories.

use super::spec::{Answer, Asked, CheckSpec, Target};
use crate::domain::{Metric, Scope};
use crate::profile::{ColumnStats, Profile, Range};
use crate::sketch::layout::NamedColumn;
use crate::sketch::{CategoryLayout, ColumnLayout, Layout};
use crate::stats::{Interval, divergence, ecdf};

/// What a check is about: a feature, or an output of the model.
pub(super) fn column_scope(column: &NamedColumn) -> Scope {
    if column.output {
        Scope::Output { output: column.name.clone() }
    } else {
        Scope::Feature { feature: column.name.clone() }
    }
}

/// One answer per column.
pub(super) fn answers(spec: &CheckSpec, asked: &Asked<'_>, layout: &Layout) -> Vec<Answer> {
    let Target::Columns(columns) = &spec.target else {
        return Vec::new();
    };
    columns
        .iter()
        .map(|index| {
            let scope = column_scope(&layout.columns[*index]);
            match asked.profile {
                Some(profile) => compare(spec, asked, profile, *index, scope),
                None => Answer::undefined(scope, 0, "the model has no reference profile"),
            }
        })
        .collect()
}

fn compare(spec: &CheckSpec, asked: &Asked<'_>, profile: &Profile, index: usize, scope: Scope) -> Answer {
    let (reference, current) =
        (profile.summary.columns[index].as_slice(), asked.summary.columns[index].as_slice());
    let (cells, edges, range) = match (&profile.layout.columns[index].layout, &profile.columns[index]) {
        (ColumnLayout::Categorical(layout), _) => {
            (category_cells(layout, reference, current), Vec::new(), None)
        }
        (ColumnLayout::Numeric(_), ColumnStats::Numeric { decile_edges, fine_edges, range }) => {
            let edges = match spec.metric {
                Metric::KolmogorovSmirnov | Metric::Wasserstein | Metric::WassersteinNormalized => fine_edges,
                _ => decile_edges,
            };
            let on = |counts| profile.on_edges(index, edges, counts);
            ((on(reference), on(current)), edges.clone(), *range)
        }
        (ColumnLayout::Numeric(_), ColumnStats::Categorical { .. }) => {
            return Answer::undefined(scope, 0, "the profile describes this column as categorical");
        }
    };
    let (reference, current) = cells;
    let (m, n): (u64, u64) = (reference.iter().sum(), current.iter().sum());
    let mut answer = if m == 0 {
        Answer::undefined(scope, n, "the reference has no value of this column")
    } else if n == 0 {
        Answer::undefined(scope, n, "the window has no value of this column")
    } else {
        measure(spec, scope, &reference, &current, &edges, range)
    };
    answer.n_reference = Some(m);
    answer
}

/// Reference and current counts on the categories, with `other` and `unseen` where either side has
/// any: an unseen value is a cell like any other, not an infinity. A column of one category has that
/// second cell always, because with a single cell nothing could ever be said of it, not even `pass`.
fn category_cells(layout: &CategoryLayout, reference: &[u64], current: &[u64]) -> (Vec<u64>, Vec<u64>) {
    let optional = [layout.other(), layout.unseen()];
    let one = layout.categories.len() == 1 && layout.complete;
    let used = (0..=layout.unseen()).filter(|cell| {
        let wanted = !optional.contains(cell) || (one && *cell == layout.unseen());
        wanted || reference[*cell] + current[*cell] > 0
    });
    used.map(|cell| (reference[cell], current[cell])).unzip()
}

fn measure(
    spec: &CheckSpec,
    scope: Scope,
    reference: &[u64],
    current: &[u64],
    edges: &[f64],
    range: Option<Range>,
) -> Answer {
    let confidence = spec.confidence;
    let (m, n): (u64, u64) = (reference.iter().sum(), current.iter().sum());
    let cells = reference.len();
    let chi = || divergence::chi_squared(reference, current).map(|test| test.p_value);
    let mut answer = Answer::value(scope, n, None, None);
    (answer.value, answer.interval, answer.p_value, answer.expected) = match spec.metric {
        Metric::Psi => {
            let value = divergence::psi(reference, current);
            (
                value,
                divergence::psi_interval(reference, current, confidence),
                value.and_then(|psi| divergence::psi_p_value(psi, cells, n, m)),
                divergence::psi_null_mean(cells, n, m),
            )
        }
        Metric::JensenShannon => (
            divergence::jensen_shannon_distance(reference, current),
            divergence::jensen_shannon_interval(reference, current, confidence),
            chi(),
            divergence::jensen_shannon_expected(cells, n, m),
        ),
        Metric::Hellinger => (
            divergence::hellinger(reference, current),
            divergence::hellinger_interval(reference, current, confidence),
            chi(),
            divergence::hellinger_expected(cells, n, m),
        ),
        Metric::TotalVariation => (
            divergence::total_variation(reference, current),
            divergence::total_variation_interval(reference, current, confidence),
            chi(),
            divergence::total_variation_expected(reference, current),
        ),
        Metric::ChiSquared => (
            divergence::chi_squared(reference, current).map(|test| test.statistic),
            divergence::chi_squared_interval(reference, current, confidence),
            chi(),
            divergence::chi_squared_expected(reference, current),
        ),
        Metric::KolmogorovSmirnov => {
            let value = ecdf::ks_binned(reference, current);
            (
                value,
                ecdf::ks_interval(reference, current, confidence),
                value.and_then(|d| ecdf::ks_p_value(d, n, m)),
                ecdf::ks_expected(n, m),
            )
        }
        _ => {
            // The cells of a constant have no width: any shift away from it would measure as 0.
            let Some(range) = range.filter(|range| range.std > 0.0) else {
                answer.reason = Some("the reference is constant, so its cells have no width".to_owned());
                return answer;
            };
            let scale = if spec.metric == Metric::WassersteinNormalized { 1.0 / range.std } else { 1.0 };
            let value = ecdf::wasserstein_binned(edges, reference, current);
            let p = ecdf::ks_binned(reference, current).and_then(|d| ecdf::ks_p_value(d, n, m));
            (
                value.map(|value| value * scale),
                ecdf::wasserstein_interval(edges, reference, current, confidence)
                    .map(|wide| Interval { low: wide.low * scale, high: wide.high * scale }),
                p,
                ecdf::wasserstein_expected(edges, reference, current).map(|value| value * scale),
            )
        }
    };
    answer.reason = answer.value.is_none().then(|| "not defined for these counts".to_owned());
    answer
}
