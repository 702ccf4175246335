//! Who applies: independent standardised inputs and categories with fixed shares. Protected
//! attributes are independent of the features, so that every difference between groups is one that
//! the scenario asked for.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Women first, as in the model's means.
pub(super) const SEXES: [&str; 2] = ["F", "M"];

/// Race, cumulative share, and a small effect on the log-odds in standard deviations that averages
/// to nearly nothing: groups never have exactly equal rates.
pub(super) const RACES: [(&str, f64, f64); 4] =
    [("white", 0.52, 0.01), ("black", 0.72, -0.04), ("asian", 0.88, 0.03), ("other", 1.0, -0.02)];

/// Kind of employment and cumulative share.
pub(super) const EMPLOYMENTS: [(&str, f64); 5] = [
    ("salaried", 0.58),
    ("self_employed", 0.75),
    ("part_time", 0.88),
    ("retired", 0.96),
    ("unemployed", 1.0),
];

/// Region and cumulative share.
pub(super) const REGIONS: [(&str, f64); 6] = [
    ("capital", 0.30),
    ("coast", 0.52),
    ("lakes", 0.69),
    ("hills", 0.83),
    ("plains", 0.94),
    ("islands", 1.0),
];

/// Where the application came in, and cumulative share.
pub(super) const CHANNELS: [(&str, f64); 3] = [("web", 0.55), ("mobile", 0.85), ("branch", 1.0)];

/// Share of applicants who do not state their savings.
const SAVINGS_UNKNOWN: f64 = 0.03;

/// One applicant; numbers are standard normal, the others indices into the tables above.
#[derive(Debug)]
pub(super) struct Applicant {
    pub(super) sex: usize,
    pub(super) race: usize,
    pub(super) employment: usize,
    pub(super) region: usize,
    pub(super) channel: usize,
    pub(super) income: f64,
    pub(super) debt: f64,
    pub(super) lines: f64,
    pub(super) age: f64,
    pub(super) savings: Option<f64>,
    /// All that the model knows and the log does not show.
    pub(super) unlogged: f64,
}

impl Applicant {
    pub(super) fn draw(rng: &mut ChaCha8Rng) -> Self {
        let mut pick = |cumulative: &mut dyn Iterator<Item = f64>| {
            let u: f64 = rng.random();
            cumulative.take_while(|&share| share <= u).count()
        };
        let sex = pick(&mut [0.5].into_iter());
        let race = pick(&mut RACES.iter().map(|race| race.1).take(RACES.len() - 1));
        let employment = pick(&mut EMPLOYMENTS.iter().map(|kind| kind.1).take(EMPLOYMENTS.len() - 1));
        let region = pick(&mut REGIONS.iter().map(|region| region.1).take(REGIONS.len() - 1));
        let channel = pick(&mut CHANNELS.iter().map(|channel| channel.1).take(CHANNELS.len() - 1));
        let mut normal = || rng.sample(StandardNormal);
        let (income, debt, lines, age, unlogged, savings) =
            (normal(), normal(), normal(), normal(), normal(), normal());
        let stated = rng.random::<f64>() >= SAVINGS_UNKNOWN;
        Self {
            sex,
            race,
            employment,
            region,
            channel,
            income,
            debt,
            lines,
            age,
            savings: stated.then_some(savings),
            unlogged,
        }
    }

    pub(super) fn race_effect(&self) -> f64 {
        RACES[self.race].2
    }
}
