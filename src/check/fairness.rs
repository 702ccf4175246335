//! Are groups treated alike? Selection rates and error rates of any number of groups and of
//! intersections. Differences and ratios compare the two extremes; their intervals hold for all
//! groups at once, so that a group of eighteen rows cannot decide a verdict.

use super::spec::{Answer, Asked, CheckSpec, Target};
use crate::domain::{Metric, Scope};
use crate::profile::Profile;
use crate::sketch::layout::GroupLayout;
use crate::sketch::{GroupOutcomes, Layout};
use crate::stats::fairness::{self, Rate};
use crate::stats::interval;

/// One answer per attribute or intersection; for `selection_rate`, one per group that has rows, and
/// one without a value where none has.
pub(super) fn answers(spec: &CheckSpec, asked: &Asked<'_>, layout: &Layout) -> Vec<Answer> {
    let Target::Groups(groups) = &spec.target else {
        return Vec::new();
    };
    groups
        .iter()
        .flat_map(|index| {
            let (group, outcomes) = (&layout.groups[*index], &asked.summary.groups[*index]);
            let reference = asked.profile.and_then(|profile| reference_groups(profile, group));
            if spec.metric == Metric::SelectionRate {
                selection_rates(spec, group, outcomes, reference)
            } else {
                vec![compare(spec, group, outcomes, reference)]
            }
        })
        .collect()
}

fn reference_groups<'a>(profile: &'a Profile, group: &GroupLayout) -> Option<&'a [GroupOutcomes]> {
    let index = profile.layout.groups.iter().position(|known| known == group)?;
    Some(&profile.summary.groups[index])
}

fn selection_rates(
    spec: &CheckSpec,
    group: &GroupLayout,
    outcomes: &[GroupOutcomes],
    reference: Option<&[GroupOutcomes]>,
) -> Vec<Answer> {
    let scope = |value: &String| Scope::Group { group: group.name.clone(), values: vec![value.clone()] };
    if outcomes.iter().all(|outcome| outcome.n == 0) {
        // Silence would leave a policy with its last answer for as long as the traffic stays away.
        let nobody = Scope::Group { group: group.name.clone(), values: Vec::new() };
        return vec![Answer::undefined(nobody, 0, "no group has rows")];
    }
    let numbered = group.values.iter().zip(outcomes).enumerate();
    numbered
        .filter(|(_, (_, outcome))| outcome.n > 0)
        .map(|(index, (value, outcome))| {
            let Rate { k, n } = outcome.selection();
            let rate = (n > 0).then(|| k as f64 / n as f64);
            let mut answer = Answer::value(scope(value), n, rate, interval::wilson(k, n, spec.confidence));
            if n < spec.min_group {
                answer.reason = Some(format!("{n} rows, and a group counts from {}", spec.min_group));
            }
            if let Some(Rate { k, n }) = reference.map(|groups| groups[index].selection()).filter(|r| r.n > 0)
            {
                answer.expected = Some(k as f64 / n as f64);
                answer.n_reference = Some(n);
            }
            answer
        })
        .collect()
}

/// The rates of one kind, by group.
type Rates = fn(&GroupOutcomes) -> Rate;

fn compare(
    spec: &CheckSpec,
    group: &GroupLayout,
    outcomes: &[GroupOutcomes],
    reference: Option<&[GroupOutcomes]>,
) -> Answer {
    let kinds: &[Rates] = match spec.metric {
        Metric::TruePositiveRateDifference => &[GroupOutcomes::true_positive_rate],
        Metric::FalsePositiveRateDifference => &[GroupOutcomes::false_positive_rate],
        Metric::EqualizedOddsDifference => {
            &[GroupOutcomes::true_positive_rate, GroupOutcomes::false_positive_rate]
        }
        _ => &[GroupOutcomes::selection],
    };
    let present: Vec<usize> = (0..outcomes.len()).filter(|i| outcomes[*i].n > 0).collect();
    let enough = |i: &usize| kinds.iter().all(|kind| kind(&outcomes[*i]).n >= spec.min_group.max(1));
    let (taken, left): (Vec<usize>, Vec<usize>) = present.into_iter().partition(enough);
    let rates = |kind: Rates| taken.iter().map(|i| kind(&outcomes[*i])).collect::<Vec<Rate>>();
    let n = taken.iter().map(|i| kinds.iter().map(|kind| kind(&outcomes[*i]).n).sum::<u64>()).sum();
    let left_out = || left.iter().map(|i| group.values[*i].as_str()).collect::<Vec<_>>().join(", ");
    let name = |i: usize| group.values[taken[i]].clone();
    let all = || taken.iter().map(|i| group.values[*i].clone()).collect();
    if taken.len() < 2 {
        let scope = Scope::Group { group: group.name.clone(), values: all() };
        let mut reason = format!("fewer than two groups have {} rows", spec.min_group.max(1));
        if !left.is_empty() {
            reason = format!("{reason} (too small: {})", left_out());
        }
        return Answer::undefined(scope, n, reason);
    }
    let compared = compared(spec, kinds.iter().map(|kind| rates(*kind)).collect());
    let values = match (&compared, kinds.len()) {
        (Some(compared), 1) => vec![name(compared.high), name(compared.low)],
        _ => all(),
    };
    let scope = Scope::Group { group: group.name.clone(), values };
    let mut answer = Answer::value(
        scope,
        n,
        compared.as_ref().map(|compared| compared.value),
        compared.as_ref().map(|compared| compared.interval),
    );
    answer.note = (!left.is_empty()).then(|| format!("left out, being too small: {}", left_out()));
    if let Some(reference) = reference {
        let rates = |kind: &Rates| taken.iter().map(|i| kind(&reference[*i])).collect::<Vec<Rate>>();
        let kinds: Vec<Vec<Rate>> = kinds.iter().map(rates).collect();
        answer.n_reference = Some(kinds.iter().flatten().map(|rate| rate.n).sum());
        answer.expected = self::compared(spec, kinds).map(|compared| compared.value);
    }
    answer
}

fn compared(spec: &CheckSpec, mut kinds: Vec<Vec<Rate>>) -> Option<fairness::Compared> {
    let first = kinds.pop()?;
    match (spec.metric, kinds.pop()) {
        (Metric::SelectionRateRatio, _) => fairness::ratio(&first, spec.confidence),
        (_, Some(tpr)) => fairness::equalized_odds_difference(&tpr, &first, spec.confidence),
        (_, None) => fairness::difference(&first, spec.confidence),
    }
}
