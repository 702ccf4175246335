//! Groups against a limit on their difference or ratio. Two rules share the slot's budget: confidence
//! sequences since the version was first seen, which say for certain that the limit is kept or
//! violated, and a detector on the limit itself, because four fair weeks would hide an unfair hour
//! from any sequence that remembers them.

use crate::domain::sequential::GroupSequence;
use crate::domain::{Bound, Metric};
use crate::sketch::layout::GroupLayout;
use crate::sketch::{GroupOutcomes, Summary};
use crate::stats::fairness::Rate;
use crate::stats::sequence::{self, Tuning, Verdict};
use crate::stats::{limit, pair};

/// A rate of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Selection,
    TruePositive,
    FalsePositive,
}

impl Kind {
    fn of(self, outcomes: &GroupOutcomes) -> Rate {
        match self {
            Self::Selection => outcomes.selection(),
            Self::TruePositive => outcomes.true_positive_rate(),
            Self::FalsePositive => outcomes.false_positive_rate(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Selection => "selection_rate",
            Self::TruePositive => "true_positive_rate",
            Self::FalsePositive => "false_positive_rate",
        }
    }
}

/// A limit between the declared groups of one attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Limit {
    /// The limit as it is configured.
    pub(super) bound: Bound,
    limit: limit::Limit,
    group: usize,
    values: Vec<usize>,
    names: Vec<String>,
    kinds: &'static [Kind],
}

/// What the sequences say of the limit.
pub(super) struct Certain {
    pub(super) verdict: Verdict,
    /// Groups with too few rows for the limit to be called kept by them.
    pub(super) small: Vec<String>,
}

impl Limit {
    /// None where the metric has no limit between groups, the bound is no limit, or there are fewer
    /// than two groups.
    pub(super) fn new(
        metric: Metric,
        bound: Bound,
        group: usize,
        layout: &GroupLayout,
        values: Vec<usize>,
    ) -> Option<Self> {
        let kinds: &'static [Kind] = match metric {
            Metric::SelectionRateRatio | Metric::SelectionRateDifference => &[Kind::Selection],
            Metric::TruePositiveRateDifference => &[Kind::TruePositive],
            Metric::FalsePositiveRateDifference => &[Kind::FalsePositive],
            Metric::EqualizedOddsDifference => &[Kind::TruePositive, Kind::FalsePositive],
            _ => return None,
        };
        let limit = match (metric, bound) {
            (Metric::SelectionRateRatio, Bound::AtLeast(ratio)) => limit::Limit::Ratio(ratio),
            (Metric::SelectionRateRatio, _) => return None,
            (_, Bound::AtMost(difference)) => limit::Limit::Difference(difference),
            _ => return None,
        };
        limit.line()?;
        let names: Vec<String> = values.iter().map(|value| layout.values[*value].clone()).collect();
        (names.len() > 1).then_some(Self { bound, limit, group, values, names, kinds })
    }

    /// Bets of its detector.
    pub(super) fn bets(&self) -> usize {
        self.kinds.len() * pair::components(self.names.len()).count()
    }

    /// The rates of a summary, kind by kind, group by group.
    pub(super) fn rates(&self, summary: &Summary) -> Vec<Rate> {
        let groups = &summary.groups[self.group];
        let of = |kind: &Kind| self.values.iter().map(|value| kind.of(&groups[*value])).collect::<Vec<_>>();
        self.kinds.iter().flat_map(of).collect()
    }

    /// The log e-values of a pane with these rates, one per bet.
    pub(super) fn increments(&self, rates: &[Rate]) -> Vec<f64> {
        let kinds = rates.chunks(self.names.len());
        kinds.flat_map(|rates| pair::increments(rates, self.limit).into_iter().flatten()).collect()
    }

    /// The pairs of each kind in words, with the rates that each reads, in the order of the bets:
    /// name, lower group's rate, higher group's, and its bets as `(scale, centre)`.
    pub(super) fn pairs(&self, rates: &[Rate]) -> Vec<(String, Rate, Rate, Vec<pair::Bet>)> {
        let mut pairs: Vec<(String, Rate, Rate, Vec<pair::Bet>)> = Vec::new();
        for (kind, rates) in self.kinds.iter().zip(rates.chunks(self.names.len())) {
            let mut last = None;
            for component in pair::components(self.names.len()) {
                let (low, high) = (component.low, component.high);
                if last != Some((low, high)) {
                    let name = format!("{} of {} under {}", kind.name(), self.names[low], self.names[high]);
                    pairs.push((name, rates[low], rates[high], Vec::new()));
                    last = Some((low, high));
                }
                if let Some((.., bets)) = pairs.last_mut() {
                    bets.push(component.bet);
                }
            }
        }
        pairs
    }

    /// Slope and slack of the limit: the lower rate is at least slope times the higher less slack.
    pub(super) fn line(&self) -> Vec<f64> {
        self.limit.line().map_or_else(Vec::new, |(slope, slack)| vec![slope, slack])
    }

    /// What sequences at `alpha` over all groups and rates say. Groups with fewer rows than
    /// `min_group` keep nobody from calling the limit kept by the others; a violation needs no
    /// minimum.
    pub(super) fn certain(&self, rates: &[Rate], alpha: f64, min_group: u64) -> Certain {
        let each = alpha / self.kinds.len() as f64;
        let mut certain = Certain { verdict: Verdict::Compliant, small: Vec::new() };
        for rates in rates.chunks(self.names.len()) {
            let judged = sequence::judge(rates, self.limit, each, Tuning::default());
            if judged.is_some_and(|judged| judged.verdict == Verdict::Violation) {
                certain.verdict = Verdict::Violation;
                return certain;
            }
            let large = |rate: &&Rate| rate.n >= min_group.max(1);
            let kept: Vec<Rate> = rates.iter().filter(large).copied().collect();
            let small = rates.iter().zip(&self.names).filter(|(rate, _)| !large(rate));
            certain.small.extend(small.map(|(_, name)| name.clone()));
            let share = each * kept.len() as f64 / rates.len() as f64;
            let judged = sequence::judge(&kept, self.limit, share, Tuning::default());
            if judged.is_none_or(|judged| judged.verdict != Verdict::Compliant) {
                certain.verdict = Verdict::Insufficient;
            }
        }
        certain.small.sort();
        certain.small.dedup();
        certain
    }

    /// The sequences as a reader sees them.
    pub(super) fn groups(&self, rates: &[Rate], alpha: f64) -> Vec<GroupSequence> {
        let each = alpha / rates.len().max(1) as f64;
        let kinds = self.kinds.iter().flat_map(|kind| self.names.iter().map(move |name| (kind, name)));
        kinds
            .zip(rates)
            .map(|((kind, name), rate)| GroupSequence {
                group: name.clone(),
                rate: kind.name().to_owned(),
                n: rate.n,
                sum: rate.k,
                interval: sequence::interval(rate.n, rate.k as f64, each, Tuning::default())
                    .filter(|_| rate.n > 0)
                    .map(|interval| [interval.low, interval.high]),
            })
            .collect()
    }
}
