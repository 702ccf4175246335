//! How much a rate varies between panes beyond sampling, and the tolerance that follows.
//!
//! An e-detector's promise holds while each pane's mean, given the past, is within its null. The
//! rates of real traffic wander: with the hour of the day, and by themselves. What they do in a
//! stretch that is known to be clean is estimated here, so that the null can allow it.
//!
//! # What is estimated
//! Pane `t` shows `S` of `n` at an hour of the week. Its rate is taken as `mean(hour) + wandering`,
//! so that `Var(S/n) = sd^2 + p (1 - p) / n`.
//!
//! * `sd^2` solves `sum (S/n - mean)^2 / (sd^2 + p (1 - p) / n) = panes - 1`, at least 0
//!   (Paule and Mandel, J. Res. NBS 87, 1982): panes of many rows weigh more where sampling rules,
//!   and all alike where wandering does. At equal `n` it is `Var - p (1 - p) / n`.
//! * The mean of an hour is itself an estimate, and neighbouring panes are not independent. Its error
//!   is taken from how runs of panes of the same hour differ from day to day, and the mean is drawn
//!   towards that of all hours as far as that error explains their differences (James and Stein's
//!   shrinkage; the variance between hours is DerSimonian and Laird's). Where hours do not differ,
//!   there is no cycle; what is taken from a cycle stays in `sd`.
//! * `tolerance = cycle + 3 sd`, where the cycle is the largest hourly mean above the reference's
//!   bound, at least 0. Both parts add, because wandering happens at the worst hour too.
//!
//! What is smaller than the tolerance can no longer be seen.
//!
//! # What breaks it
//! A stretch that was not clean; a cycle longer than the stretch; wandering that grows later. `sd` of
//! slow wandering comes from few independent values: a stretch of `d` days tells little about what
//! takes longer than a few of them.

mod levels;

use levels::{Levels, Point};

use super::root;

/// Hours of a day.
const DAY: usize = 24;
/// Hours of a week.
const WEEK: usize = 7 * DAY;
/// How many standard deviations of wandering a tolerance allows.
pub const SPREAD: f64 = 3.0;
/// Means depend on weights, weights on `sd`, and that on the means: rounds until they agree. Three
/// are enough to a per cent; the number is fixed so that the result is a function of the panes.
const ROUNDS: usize = 8;

/// What one pane says to one component, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pane {
    /// Observations.
    pub n: f64,
    /// Their sum, 0 to `n`, turned as the component looks at it.
    pub sum: f64,
    /// Hour of the week in which the pane begins, UTC, Monday 00:00 first; 0 to 167.
    pub hour: usize,
}

/// How a component's mean varies from pane to pane.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispersion {
    /// Mean over all panes, on the component's turned scale.
    pub mean: f64,
    /// Largest mean of an hour above the bound, at least 0; the plain mean's where the stretch shows
    /// no hour twice.
    pub cycle: f64,
    /// Standard deviation of the panes' means around those of their hours, beyond sampling.
    pub sd: f64,
    /// What to add to the bound at any time: `cycle + 3 sd`, or the largest of `hourly`.
    pub tolerance: f64,
    /// What to add to the bound by hour of the week; 168 values, below 0 in hours whose mean and
    /// wandering stay below the bound.
    pub hourly: Option<Vec<f64>>,
    /// Panes with observations.
    pub panes: u64,
}

/// What a component's sum is made of, which says how much of the variation is sampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// 0/1 outcomes: their sampling variance is known.
    Outcomes,
    /// Any values in [0, 1], whose sampling variance is not: all variation counts as wandering.
    Values,
}

/// What clean panes, in order of time, say about a component of 0/1 outcomes whose reference has the
/// bound `bound` on the same scale. With `hourly` every hour of the week gets a tolerance of its own.
///
/// None for fewer than two panes with observations, a bound outside 0 to 1, or a pane that is none
/// (a sum outside 0 to `n`, an hour that no week has).
pub fn estimate(panes: &[Pane], bound: f64, hourly: bool) -> Option<Dispersion> {
    estimate_for(Sampling::Outcomes, panes, bound, hourly)
}

/// The same for any kind of observations.
pub fn estimate_for(sampling: Sampling, panes: &[Pane], bound: f64, hourly: bool) -> Option<Dispersion> {
    let valid = |pane: &Pane| pane.n >= 0.0 && pane.sum >= 0.0 && pane.sum <= pane.n && pane.hour < WEEK;
    if !(0.0..=1.0).contains(&bound) || !panes.iter().all(valid) {
        return None;
    }
    let mut points = points(panes);
    if points.len() < 2 {
        return None;
    }
    let total: f64 = points.iter().map(|point| point.n).sum();
    // No estimate of a rate is so certain that it leaves nothing to sampling.
    let least = (0.5 / (total + 1.0)).min(0.5);
    let mut variance = 0.0;
    let mut levels = Levels::default();
    for _ in 0..ROUNDS {
        // Weights from the mean of all panes: those of its own hour would favour the hours of low rates.
        let typical = outcome_variance(levels.mean().unwrap_or(bound), least);
        for point in &mut points {
            let p = levels.mean_at(point.hour).unwrap_or(bound);
            (point.sampling, point.weight) = match sampling {
                Sampling::Outcomes => {
                    (outcome_variance(p, least) / point.n, 1.0 / (variance + typical / point.n))
                }
                Sampling::Values => (0.0, point.n),
            };
        }
        levels = Levels::fit(&points, hourly);
        variance = match sampling {
            Sampling::Outcomes => beyond_sampling(&points, &levels),
            Sampling::Values => weighted_variance(&points, &levels),
        };
    }
    let sd = variance.max(0.0).sqrt();
    let cycle = (levels.highest() - bound).max(0.0);
    let hourly = hourly.then(|| {
        let mut rows = [0.0; 168];
        for pane in panes.iter().filter(|pane| pane.hour < 168) {
            rows[pane.hour] += pane.n;
        }
        let mut hour = 0;
        levels.allowed().map(|mean| {
            // An hour that showed nothing supports no null of nothing: with `n` rows without an event, a
            // rate of 3/n is still likely enough (the rule of three).
            let least = 3.0 / (rows[hour] + 3.0);
            hour += 1;
            mean.map(|mean| mean.max(least) - bound + SPREAD * sd)
        })
    });
    let tolerance = match &hourly {
        Some(hourly) => hourly.iter().flatten().copied().fold(0.0, f64::max),
        None => cycle + SPREAD * sd,
    };
    // Hours without a row say nothing; they get what the worst hour needs.
    let hourly = hourly.map(|hourly| hourly.iter().map(|value| value.unwrap_or(tolerance)).collect());
    let mean = levels.mean()?;
    Some(Dispersion { mean, cycle, sd, tolerance, hourly, panes: points.len() as u64 })
}

/// Variance of a 0/1 outcome of rate `p`, where `p` is known to be at least `least` away from 0 and 1.
fn outcome_variance(p: f64, least: f64) -> f64 {
    let p = p.clamp(least, 1.0 - least);
    p * (1.0 - p)
}

/// Panes with observations. Panes of the same hour that follow each other are one run.
fn points(panes: &[Pane]) -> Vec<Point> {
    let mut run = 0;
    let mut before = None;
    let filled = panes.iter().filter(|pane| pane.n > 0.0);
    filled
        .map(|pane| {
            if before.replace(pane.hour).is_some_and(|hour| hour != pane.hour) {
                run += 1;
            }
            Point { y: pane.sum / pane.n, n: pane.n, hour: pane.hour, run, sampling: 0.0, weight: pane.n }
        })
        .collect()
}

/// Paule and Mandel's variance, 0 where sampling alone explains more than there is.
fn beyond_sampling(points: &[Point], levels: &Levels) -> f64 {
    let freedom = points.len() as f64 - 1.0;
    // The search asks for the same squares again and again.
    let squares: Vec<(f64, f64)> =
        points.iter().map(|point| (levels.squared(point), point.sampling)).collect();
    let excess = |variance: f64| {
        let share = |(squared, sampling): &(f64, f64)| squared / (variance + sampling);
        squares.iter().map(share).sum::<f64>() - freedom
    };
    // The variance of numbers between 0 and 1 is at most 1/4, and twice that between two of them.
    if excess(0.0) <= 0.0 { 0.0 } else { root::find(0.0, 1.0, excess) }
}

/// The variance around the means, panes weighted by their observations.
fn weighted_variance(points: &[Point], levels: &Levels) -> f64 {
    let total: f64 = points.iter().map(|point| point.weight).sum();
    let squares: f64 = points.iter().map(|point| point.weight * levels.squared(point)).sum();
    let count = points.len() as f64;
    squares / total * count / (count - 1.0)
}

#[cfg(test)]
mod tests;
