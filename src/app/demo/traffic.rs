//! The inference log of the lending model `credit`: records that follow from a scenario, a seed and
//! the rollbacks obeyed, and from nothing else, so that the same calls give the same bytes.
//!
//! The model's log-odds of repayment are normal by construction, so that approval rates are what
//! the scenario says, not what a simulation happens to give; the score is calibrated, because
//! labels are drawn from it. The upstream change moves what is recorded, not who applies: labels
//! stay as they were, and the two features pull the score in opposite directions, so that it is the
//! features, and hardly the score, that show the change.

mod applicant;
mod encode;

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::scenario::{Phase, Scenario, V1, V2};
use crate::domain::{EventTime, RejectReason};
use applicant::{Applicant, CHANNELS, EMPLOYMENTS, RACES, REGIONS, SEXES};
use encode::{Encoder, Fault, Row};

/// Standard deviation of the log-odds of repayment.
const LOG_ODDS_SD: f64 = 1.6;

/// Records arrive up to this much out of order, as they do from several servers.
const JITTER_MILLIS: f64 = 150.0;

/// Of the reference rows, so that they never equal the traffic's.
const REFERENCE_STREAM: u64 = 1;

/// Weights of the standardised inputs in the log-odds; their squares and that of what the log does
/// not show add up to 1.
const INCOME_WEIGHT: f64 = 0.55;
const DEBT_WEIGHT: f64 = -0.50;
const LINES_WEIGHT: f64 = 0.35;
const UNLOGGED_WEIGHT: f64 = 0.570_087_7;

/// What is known of a record besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its event time; of a faulty record, the one that it would have.
    pub event_time: EventTime,
    /// Partition of the input topic that it belongs in.
    pub partition: i32,
    /// Why nobody can use it, where it was made so.
    pub fault: Option<RejectReason>,
}

/// A seeded stream of records.
#[derive(Debug)]
pub struct Traffic {
    scenario: Scenario,
    model: Model,
    start: EventTime,
    rng: ChaCha8Rng,
    encoder: Encoder,
    made: u64,
    rolled_back: Option<Duration>,
}

impl Traffic {
    /// Traffic of `scenario` whose event time begins at `start`.
    pub fn new(scenario: Scenario, seed: u64, start: EventTime) -> Self {
        Self {
            model: Model::of(&scenario),
            scenario,
            start,
            rng: ChaCha8Rng::seed_from_u64(seed),
            encoder: Encoder::default(),
            made: 0,
            rolled_back: None,
        }
    }

    /// Event time of the generator's clock: of the next record, if it arrives in time.
    pub fn clock(&self) -> EventTime {
        self.start + self.elapsed()
    }

    /// Records made so far.
    pub const fn made(&self) -> u64 {
        self.made
    }

    /// What is going on at the generator's clock.
    pub fn phase(&self) -> Phase {
        self.scenario.phase(self.elapsed(), self.rolled_back)
    }

    /// Takes all traffic to `to_version`, and returns whether that changed anything: only the
    /// rollout can be taken back, only to the first version, and only once.
    pub fn obey_rollback(&mut self, to_version: &str) -> bool {
        let obeys = to_version == V1 && matches!(self.phase(), Phase::Rollout(_));
        if obeys {
            self.rolled_back = Some(self.elapsed());
        }
        obeys
    }

    /// Replaces `out` with the next record's value; an empty `out` stands for a record without a
    /// value (a tombstone).
    pub fn next_record(&mut self, out: &mut Vec<u8>) -> Stamp {
        let mut delay = self.rng.random::<f64>() * JITTER_MILLIS;
        if self.rng.random::<f64>() < self.scenario.straggler_share {
            delay += self.rng.random::<f64>() * self.scenario.straggler_delay.as_millis() as f64;
        }
        let at = self.elapsed().saturating_sub(Duration::from_millis(delay as u64));
        let event_time = self.start + at;
        let partition = self.rng.random_range(0..self.scenario.partitions.max(1));
        let fault =
            (self.rng.random::<f64>() < self.scenario.fault_share).then(|| Fault::draw(&mut self.rng));
        let phase = self.scenario.phase(at, self.rolled_back);

        let row = self.model.predict(&self.scenario, phase, &mut self.rng);
        self.encoder.record(out, self.made, event_time, &row, fault);
        self.made += 1;
        Stamp { event_time, partition, fault: fault.and_then(Fault::reason) }
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis((self.made as f64 * 1000.0 / self.scenario.rate) as u64)
    }
}

/// Healthy, complete and readable rows of the first version as NDJSON, as a reference profile is
/// frozen from: `rows` lines whose event times end before `start`. They depend on the scenario's
/// rates, the seed and `rows`, not on its incidents.
pub fn reference_rows(scenario: &Scenario, seed: u64, start: EventTime, rows: usize) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(REFERENCE_STREAM);
    let (model, mut encoder) = (Model::of(scenario), Encoder::default());
    let (mut line, mut lines) = (Vec::new(), Vec::with_capacity(rows * 420));
    let first = start - Duration::from_secs_f64(rows as f64 / scenario.rate + 1.0);
    for number in 0..rows {
        let at = first + Duration::from_secs_f64(number as f64 / scenario.rate);
        let row = model.predict(scenario, Phase::Healthy, &mut rng);
        encoder.record(&mut line, number as u64, at, &row, None);
        lines.extend_from_slice(&line);
        lines.push(b'\n');
    }
    lines
}

/// The lending model: mean log-odds per sex, in standard deviations.
#[derive(Debug)]
struct Model {
    healthy: [f64; 2],
    faulty: [f64; 2],
}

impl Model {
    fn of(scenario: &Scenario) -> Self {
        // The share above zero of a normal variable with mean m and standard deviation 1 is Phi(m).
        let mean = |rate: f64| {
            -std::f64::consts::SQRT_2 * statrs::function::erf::erfc_inv(2.0 * rate.clamp(1e-6, 1.0 - 1e-6))
        };
        let men = mean(scenario.approval_men);
        let unfair = mean(scenario.approval_men * scenario.rollout.approval_ratio);
        Self { healthy: [mean(scenario.approval_women), men], faulty: [unfair, men] }
    }

    fn predict(&self, scenario: &Scenario, phase: Phase, rng: &mut ChaCha8Rng) -> Row {
        let who = Applicant::draw(rng);
        let share = match phase {
            Phase::Rollout(share) | Phase::Repaired(share) => share,
            _ => 0.0,
        };
        // Drawn in every phase, so that a rollback changes versions and no applicant.
        let by_v2 = rng.random::<f64>() < share;
        let shift = if phase == Phase::UpstreamChange { scenario.upstream.shift } else { 0.0 };
        let faulty = by_v2 && matches!(phase, Phase::Rollout(_));

        let (income, debt) = (who.income + shift, who.debt + shift);
        let odds = |mean: f64, income: f64, debt: f64| {
            mean + who.race_effect()
                + INCOME_WEIGHT * income
                + DEBT_WEIGHT * debt
                + LINES_WEIGHT * who.lines
                + UNLOGGED_WEIGHT * who.unlogged
        };
        let means = if faulty { &self.faulty } else { &self.healthy };
        let seen = odds(means[who.sex], income, debt);
        let real = odds(self.healthy[who.sex], who.income, who.debt);

        let repaid = rng.random::<f64>() < logistic(LOG_ODDS_SD * real);
        let labelled = rng.random::<f64>() < scenario.label_share;
        let latency: f64 = rng.sample(rand_distr::StandardNormal);
        Row {
            version: if by_v2 { V2 } else { V1 },
            income: (10.65 + 0.45 * income).exp(),
            debt_ratio: (0.38 + 0.11 * debt).max(0.0),
            credit_lines: (6.0 + 2.5 * who.lines).round().clamp(0.0, 20.0) as u32,
            age: (41.0 + 12.0 * who.age).round().clamp(18.0, 90.0) as u32,
            savings: who.savings.map(|savings| (8.5 + savings).exp()),
            employment: EMPLOYMENTS[who.employment].0,
            region: REGIONS[who.region].0,
            sex: SEXES[who.sex],
            race: RACES[who.race].0,
            channel: CHANNELS[who.channel].0,
            score: logistic(LOG_ODDS_SD * seen),
            approved: seen >= 0.0,
            label: labelled.then_some(repaid),
            latency_ms: (2.9 + 0.5 * latency).exp(),
        }
    }
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests;
