//! Do more records lie apart from the reference than one in a hundred? The share of scored records
//! above the 99th percentile of the reference rows that trained no tree, and which features made
//! them stand out.
//!
//! The share says that records are unlike the reference, not that they are wrong, and a fault that
//! moves no feature far is not seen. `n` is the number of scored records, a sample of the window.

use super::spec::{Answer, Asked, CheckSpec};
use crate::domain::{Scope, StandingOut};
use crate::sketch::{Layout, Summary};
use crate::stats::interval;

/// Features that a finding names at most.
const MOST_FEATURES: usize = 10;

/// One answer.
pub(super) fn answers(spec: &CheckSpec, asked: &Asked<'_>, layout: &Layout) -> Vec<Answer> {
    let scope = Scope::Model {};
    let Some(profile) = asked.profile else {
        return vec![Answer::undefined(scope, 0, "the model has no reference profile")];
    };
    let (Some(current), Some(reference)) =
        (profile.anomaly_counts(asked.summary), profile.anomaly_counts(&profile.summary))
    else {
        return vec![Answer::undefined(scope, 0, "the reference profile has no isolation forest")];
    };
    let (k, n) = (current.above, current.scored);
    let mut answer = if n == 0 {
        Answer::undefined(scope, 0, "no record of the window was in the sample that is scored")
    } else {
        Answer::value(scope, n, Some(k as f64 / n as f64), interval::wilson(k, n, spec.confidence))
    };
    if reference.scored > 0 {
        answer.expected = Some(reference.above as f64 / reference.scored as f64);
        answer.n_reference = Some(reference.scored);
    }
    answer.standing_out = standing_out(asked.summary, layout);
    vec![answer]
}

/// The features by how many anomalous records they explain, equal ones in the order of the model.
fn standing_out(summary: &Summary, layout: &Layout) -> Vec<StandingOut> {
    let names = layout.features().map(|index| layout.columns[index].name.clone());
    let mut features: Vec<StandingOut> = names
        .zip(&summary.standing_out)
        .filter(|(_, count)| **count > 0)
        .map(|(feature, count)| StandingOut { feature, count: *count })
        .collect();
    features.sort_by_key(|each| std::cmp::Reverse(each.count));
    features.truncate(MOST_FEATURES);
    features
}
