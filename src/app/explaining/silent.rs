//! What would have kept an e-detector silent in the pane of its alarm, all panes before it as they
//! were: the question that a reader asks who wonders whether the limit is right.

use serde::Serialize;

use crate::check::sequential::recompute::{kind_of, log_e, looks_below, ordered_pairs};
use crate::domain::Evidence;

/// Steps of a bisection; each halves the range.
const STEPS: usize = 60;
/// Largest null that a component can be given.
const WIDEST: f64 = 1.0 - 1e-9;

/// The least change that would have kept it silent, each by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Silent {
    /// This many more in every null, a share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// This count, or sum, of the component that carries most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<Count>,
}

/// Another count in the pane.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Count {
    /// Of what.
    pub of: String,
    /// How many, of `n`; for `below`, and for the lower of two groups, at least so many, else at most.
    pub sum: f64,
    /// Rows.
    pub n: f64,
    /// Whether it is the least that would do, or the most.
    pub at_least: bool,
}

/// None for confidence sequences, and where no change of this pane alone would have done.
pub(super) fn silent_if(evidence: &Evidence) -> Option<Silent> {
    let least = evidence.log_threshold?;
    let silent = |changed: &Evidence| log_e(changed).is_some_and(|log| log < least);
    let top = evidence.components.iter().enumerate();
    let (index, top) = top.max_by(|(_, a), (_, b)| a.share.total_cmp(&b.share))?;
    let mut found = Silent::default();
    if top.n.len() == 2 {
        found.count = of_pair(evidence, index, &silent);
    } else {
        found.tolerance = tolerance(evidence, &silent);
        if evidence.components.iter().all(|component| component.name.starts_with("rate ")) {
            found.count = of_rate(evidence, index, &silent);
        }
    }
    (found != Silent::default()).then_some(found)
}

/// The least of `low..=high` that `holds`, which it does from some point on; none if not at `high`.
fn least(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> Option<f64> {
    if !holds(high) {
        return None;
    }
    for _ in 0..STEPS {
        let middle = 0.5 * (low + high);
        if holds(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

fn tolerance(evidence: &Evidence, silent: &dyn Fn(&Evidence) -> bool) -> Option<f64> {
    let wider = |more: f64| {
        let mut changed = evidence.clone();
        for component in &mut changed.components {
            component.null[0] = (component.null[0] + more).min(WIDEST);
        }
        changed
    };
    least(0.0, 1.0, |more| silent(&wider(more)))
}

/// Fewer that count in the component that carries most, and as many more in the opposite one.
fn of_rate(evidence: &Evidence, top: usize, silent: &dyn Fn(&Evidence) -> bool) -> Option<Count> {
    let component = &evidence.components[top];
    let (n, sum) = (component.n[0], component.sum[0]);
    let below = looks_below(component);
    let with = |fewer: f64| {
        let mut changed = evidence.clone();
        for other in &mut changed.components {
            let same = looks_below(other) == below;
            other.sum[0] = if same { sum - fewer } else { n - (sum - fewer) };
        }
        changed
    };
    let most = (sum - n * component.null[0]).max(0.0).ceil().min(sum);
    let fewer = least(0.0, most, |fewer| silent(&with(fewer.ceil())))?.ceil();
    let left = sum - fewer;
    let of = component.name.trim_end_matches(" below").trim_end_matches(" above").to_owned();
    Some(Count { of, sum: if below { n - left } else { left }, n, at_least: below })
}

/// More that count in the lower group of the pair that carries most.
fn of_pair(evidence: &Evidence, top: usize, silent: &dyn Fn(&Evidence) -> bool) -> Option<Count> {
    let kind = kind_of(&evidence.components[top].name)?;
    let first = evidence.components.iter().position(|it| kind_of(&it.name) == Some(kind))?;
    let count = evidence.components.iter().filter(|it| kind_of(&it.name) == Some(kind)).count();
    let pairs = ordered_pairs(count)?;
    let group = pairs.get(top.checked_sub(first)?)?.0;
    let (n, sum) = (evidence.components[top].n[0], evidence.components[top].sum[0]);
    let with = |sum: f64| {
        let mut changed = evidence.clone();
        for (component, (low, high)) in changed.components[first..].iter_mut().zip(&pairs) {
            for (side, which) in [low, high].into_iter().enumerate() {
                if *which == group {
                    component.sum[side] = sum;
                }
            }
        }
        changed
    };
    // At the limit itself the pair says nothing any more.
    let component = &evidence.components[top];
    let (slope, slack) = (component.null[0], component.null[1]);
    let other = component.sum[1] / component.n[1].max(1.0);
    let enough = ((slope * other - slack) * n).ceil().clamp(sum, n);
    let needed = least(sum, enough, |sum| silent(&with(sum.ceil())))?.ceil();
    let (of, _) = component.name.split_once(" under ")?;
    Some(Count { of: of.to_owned(), sum: needed, n, at_least: true })
}
