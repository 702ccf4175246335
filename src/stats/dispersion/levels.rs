//! The mean of every hour: that of all panes, plus what hours of the day add, plus what days of the
//! week add to those. Each addition is shrunk by its own error.

use super::{DAY, WEEK};

/// A pane as the estimate sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Its mean.
    pub(super) y: f64,
    /// Its observations.
    pub(super) n: f64,
    /// Its hour of the week.
    pub(super) hour: usize,
    /// Which run of panes of one hour it belongs to.
    pub(super) run: usize,
    /// Its sampling variance.
    pub(super) sampling: f64,
    /// Its weight.
    pub(super) weight: f64,
}

/// What groups of hours add to a mean.
#[derive(Clone, Debug, Default)]
struct Level {
    /// What each group adds; none for groups without a pane.
    add: Vec<Option<f64>>,
    /// Variance of the error that is left in each.
    error: Vec<f64>,
}

/// The means of the hours of the week.
#[derive(Clone, Debug, Default)]
pub(super) struct Levels {
    mean: Option<f64>,
    seen: Vec<bool>,
    day: Level,
    week: Level,
}

impl Levels {
    pub(super) fn fit(points: &[Point], by_week: bool) -> Self {
        let weight: f64 = points.iter().map(|point| point.weight).sum();
        let mean = points.iter().map(|point| point.weight * point.y).sum::<f64>() / weight;
        let mut seen = vec![false; WEEK];
        for point in points {
            seen[point.hour] = true;
        }
        let day = Level::fit(points, DAY, |_| mean);
        let mut levels = Self { mean: Some(mean), seen, day, week: Level::default() };
        if by_week {
            levels.week = Level::fit(points, WEEK, |hour| levels.mean_at(hour).unwrap_or(mean));
        }
        levels
    }

    /// The mean of all panes, once there is one.
    pub(super) fn mean(&self) -> Option<f64> {
        self.mean
    }

    /// The mean of an hour of the week, once there is one.
    pub(super) fn mean_at(&self, hour: usize) -> Option<f64> {
        Some(self.mean? + self.day.add(hour % DAY) + self.week.add(hour))
    }

    /// The squared distance of a pane from the mean of its hour, and the variance that the mean has
    /// taken from it by following it. The second replaces degrees of freedom, which would count a
    /// mean of panes that wander together as one of independent ones.
    pub(super) fn squared(&self, point: &Point) -> f64 {
        let residual = point.y - self.mean_at(point.hour).unwrap_or(point.y);
        residual * residual + self.error(point.hour)
    }

    /// Variance of the error of an hour's mean, beside that of the mean of all panes.
    fn error(&self, hour: usize) -> f64 {
        self.day.error(hour % DAY) + self.week.error(hour)
    }

    /// The largest mean of an hour that was seen.
    pub(super) fn highest(&self) -> f64 {
        let seen = (0..WEEK).filter(|hour| self.seen[*hour]);
        seen.filter_map(|hour| self.mean_at(hour)).fold(f64::NEG_INFINITY, f64::max)
    }

    /// For every hour of the week that was seen, its mean and one standard error of it: the largest
    /// of 168 noisy means must not be missed by much, nor a low one be believed too readily.
    pub(super) fn allowed(&self) -> [Option<f64>; WEEK] {
        std::array::from_fn(|hour| {
            let mean = self.mean_at(hour).filter(|_| self.seen[hour]);
            mean.map(|mean| mean + self.error(hour).sqrt())
        })
    }
}

impl Level {
    /// Fits what each of `groups` groups of hours adds to `base`. Nothing where too few groups were
    /// seen on a second day to tell a cycle from chance.
    fn fit(points: &[Point], groups: usize, base: impl Fn(usize) -> f64) -> Self {
        let mut sums = vec![(0.0, 0.0); groups];
        let mut runs: Vec<(usize, f64, f64)> = Vec::new();
        let mut last = None;
        for point in points {
            let group = point.hour % groups;
            let over = point.weight * (point.y - base(point.hour));
            sums[group].0 += point.weight;
            sums[group].1 += over;
            if last.replace(point.run) != Some(point.run) {
                runs.push((group, 0.0, 0.0));
            }
            if let Some(run) = runs.last_mut() {
                run.1 += point.weight;
                run.2 += over;
            }
        }
        let seen = sums.iter().filter(|(weight, _)| *weight > 0.0).count();
        // An hour now and then without traffic must not cost the whole cycle.
        if seen < 2 || 4 * runs.len() < 7 * seen {
            return Self::default();
        }
        let mean = |group: usize| sums[group].1 / sums[group].0;
        // Variance of a run's mean times its weight: 1 if panes were independent, more if not.
        let squares =
            runs.iter().map(|(group, weight, over)| weight * (over / weight - mean(*group)).powi(2));
        let effect = squares.sum::<f64>() / (runs.len() - seen) as f64;
        let between = between(&sums, seen, effect);
        let mut level = Self { add: vec![None; groups], error: vec![0.0; groups] };
        for (group, (weight, over)) in sums.iter().enumerate().filter(|(_, (weight, _))| *weight > 0.0) {
            let error = effect / weight;
            let kept = if between > 0.0 { between / (between + error) } else { 0.0 };
            level.add[group] = Some(kept * over / weight);
            level.error[group] = kept * error;
        }
        level
    }

    fn add(&self, group: usize) -> f64 {
        self.add.get(group).copied().flatten().unwrap_or(0.0)
    }

    fn error(&self, group: usize) -> f64 {
        self.error.get(group).copied().unwrap_or(0.0)
    }
}

/// Variance between groups beyond the error of their means (DerSimonian and Laird, Controlled
/// Clinical Trials 7, 1986); negative where the error explains more than there is.
fn between(sums: &[(f64, f64)], seen: usize, effect: f64) -> f64 {
    let weight: f64 = sums.iter().map(|(weight, _)| weight).sum();
    let squared: f64 = sums.iter().map(|(weight, _)| weight * weight).sum();
    let centre = sums.iter().map(|(_, over)| over).sum::<f64>() / weight;
    let filled = sums.iter().filter(|(weight, _)| *weight > 0.0);
    let spread: f64 = filled.map(|(weight, over)| weight * (over / weight - centre).powi(2)).sum();
    (spread - (seen as f64 - 1.0) * effect) / (weight - squared / weight)
}
