//! E-detectors: change detection with a stated number of false alarms, however often one looks.
//!
//! # What is computed
//! A pane holds `n` observations `x` in [0, 1] with sum `S`; the null says `E[x | past] <= m`. For a
//! bet `lambda > 0` the pane's e-value is `L = exp(lambda S - n psi)`, `psi = ln(1 - m + m e^lambda)`.
//! Because `e^(lambda x) <= 1 - x + x e^lambda` on [0, 1], `E[L | past] <= 1` under the null, for 0/1
//! outcomes and for any other values in [0, 1], and `(n, S)` is all that is needed, so that panes merge
//! by adding. The lower side is the same with `x -> 1 - x`, `m -> 1 - m`.
//!
//! Each bet keeps a Shiryaev-Roberts sum `M <- (1 + M) L`, in logarithms, starting at 0; the
//! detector's e-value is the mean of `M` over all bets. It alarms when that reaches a threshold `1/a`
//! and then starts again from 0. (Shin, Ramdas and Rinaldo, "E-detectors", arXiv 2203.03532,
//! definition 2.2 and section 4; the increment is their Bernoulli baseline.)
//!
//! # What is promised
//! Under the null `E[M_t | past] <= 1 + M_(t-1)`, and an alarm takes at least `1/a` away, so in `T`
//! panes a detector raises at most `a T` false alarms on average, whatever other detectors do and
//! however they depend on each other. With `a = share / T` per detector, all of them together raise
//! at most the sum of their shares. It holds when, in every pane, the mean given all earlier panes is
//! within the null (no independence, no equal distribution is needed), each pane is stepped once and
//! in order, and nulls, bets and cells are fixed before the data. Losing the state is safe, since
//! `M = 0` is where every detector starts. **Counting a record twice is not**: it multiplies `L` by
//! itself, and `E[L^2]` may be far above 1.
//!
//! # Determinism
//! Everything is a function of the panes' integers in their order. `exp` and `ln` come from the
//! platform's mathematics library, so bytes are equal between instances of one build.

mod bet;
pub mod histogram;
pub mod null;
pub mod rate;

pub use bet::{Bet, cell_bets, rate_bets};

use serde::{Deserialize, Serialize};

/// `ln(e^a + e^b)` without overflow, where either may be minus infinity.
pub fn log_add_exp(a: f64, b: f64) -> f64 {
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// `ln(sum of e^x)` without overflow; minus infinity for nothing.
pub fn log_sum_exp(values: &[f64]) -> f64 {
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if high == f64::NEG_INFINITY {
        return high;
    }
    high + values.iter().map(|value| (value - high).exp()).sum::<f64>().ln()
}

/// Expected panes between false alarms that a share of the budget pays for: `T / share`, where `T`
/// is the number of panes in the budget's period. Both positive.
pub fn threshold(panes_in_period: f64, share: f64) -> f64 {
    panes_in_period / share
}

/// What one pane says to one component: observations and their sum, already turned so that the null
/// is `E[x] <= m`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Observations.
    pub n: f64,
    /// Their sum, 0 to `n`.
    pub sum: f64,
}

impl Reading {
    /// `k` of `n`.
    pub fn counts(k: u64, n: u64) -> Self {
        Self { n: n as f64, sum: k as f64 }
    }

    /// The same seen from below: `1 - x` for every observation.
    #[must_use]
    pub fn turned(self) -> Self {
        Self { n: self.n, sum: self.n - self.sum }
    }
}

/// Which way a component looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The mean has risen above its null.
    Above,
    /// It has fallen below it.
    Below,
}

/// What a component looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The rate or mean itself.
    Whole,
    /// The share of one cell.
    Cell(usize),
    /// The share of this cell and all before it.
    UpTo(usize),
}

/// One null hypothesis `E[x] <= null` with its bets.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// What it looks at.
    pub part: Part,
    /// Which way.
    pub side: Side,
    /// The reference's own bound, on the scale of `part`, before the tolerance; none where the null
    /// is a stated limit.
    pub reference: Option<f64>,
    /// What is added to the bound: the allowed wandering, a share.
    pub tolerance: f64,
    /// The null, turned: the largest mean of `x` (or of `1 - x` for `Below`) that is no fault.
    pub null: f64,
    /// The same by hour of the week (Monday 00:00 UTC first), where it differs; 168 values.
    pub hourly: Option<Vec<f64>>,
    /// The bets.
    pub bets: Vec<Bet>,
}

impl Component {
    /// The null at `hour` of the week, turned.
    pub fn null_at(&self, hour: usize) -> f64 {
        self.hourly.as_ref().and_then(|hourly| hourly.get(hour)).copied().unwrap_or(self.null)
    }

    /// The bets' log e-values of one pane.
    fn increments(&self, reading: Reading, hour: usize) -> impl Iterator<Item = f64> {
        let null = self.hourly.as_ref().map(|_| self.null_at(hour));
        self.bets.iter().map(move |bet| match null {
            None => bet.lambda * reading.sum - reading.n * bet.psi,
            Some(null) => bet.lambda * reading.sum - reading.n * bet.psi_at(null),
        })
    }
}

/// The state of one detector: one logarithm per bet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    /// `ln M` per bet; minus infinity, written as null, before the first pane and after an alarm.
    #[serde(with = "logarithms")]
    log_m: Vec<f64>,
    /// Panes stepped since it began or last alarmed.
    panes: u64,
}

impl Detector {
    /// A detector of so many bets that has seen nothing.
    pub fn new(bets: usize) -> Self {
        Self { log_m: vec![f64::NEG_INFINITY; bets], panes: 0 }
    }

    /// A detector of all bets of `components`.
    pub fn of(components: &[Component]) -> Self {
        Self::new(components.iter().map(|component| component.bets.len()).sum())
    }

    /// One pane: `increments` are the bets' log e-values, in order. A pane without observations is a
    /// pane: it adds 1 to every `M`.
    pub fn advance(&mut self, increments: impl IntoIterator<Item = f64>) {
        for (log_m, increment) in self.log_m.iter_mut().zip(increments) {
            *log_m = log_add_exp(0.0, *log_m) + increment;
        }
        self.panes += 1;
    }

    /// One pane of `components`, with one reading each, at `hour` of the week.
    pub fn step(&mut self, components: &[Component], readings: &[Reading], hour: usize) {
        debug_assert_eq!(components.len(), readings.len(), "one reading per component");
        let paired = components.iter().zip(readings);
        self.advance(paired.flat_map(|(component, reading)| component.increments(*reading, hour)));
    }

    /// `ln` of the e-value: the mean of `M` over all bets. Minus infinity before the first pane.
    pub fn log_e(&self) -> f64 {
        log_sum_exp(&self.log_m) - (self.log_m.len().max(1) as f64).ln()
    }

    /// `ln M` per bet.
    pub fn logs(&self) -> &[f64] {
        &self.log_m
    }

    /// Panes stepped since it began or last alarmed.
    pub fn panes(&self) -> u64 {
        self.panes
    }

    /// Forgets everything, as after an alarm.
    pub fn reset(&mut self) {
        self.log_m.fill(f64::NEG_INFINITY);
        self.panes = 0;
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.log_m.len() * size_of::<f64>()
    }
}

/// Logarithms; JSON has no minus infinity.
mod logarithms {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(logs: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.collect_seq(logs);
        }
        serializer.collect_seq(logs.iter().map(|log| log.is_finite().then_some(*log)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        if !deserializer.is_human_readable() {
            return Vec::deserialize(deserializer);
        }
        let logs = Vec::<Option<f64>>::deserialize(deserializer)?;
        Ok(logs.into_iter().map(|log| log.unwrap_or(f64::NEG_INFINITY)).collect())
    }
}
