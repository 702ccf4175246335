//! `plimsoll simulate`: the promise checked with the binary that makes it. False alarms within the
//! budget over weeks of traffic in which nothing happens; faults found while they are small; and
//! what the rules of other tools make of the same traffic. Detectors, nulls and calibration are the
//! daemon's own; only the traffic is made up, from seeds that are printed.

mod budget;
mod clean;
mod delay;
mod fairness;
mod groups;
mod peers;
mod power;
mod random;
mod real;
pub mod report;
mod rules;
mod streams;
mod tally;
mod watch;
mod work;

use std::path::PathBuf;

use crate::query::files;
pub use report::Report;
use report::Section;
use work::Work;

/// Why a simulation could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to average over.
    #[error("a simulation needs at least one seed and one pane")]
    Empty,
    /// Real data were asked for and not named.
    #[error("the scenario `budget-real` needs the folder of its data, with --data")]
    NoData,
    /// The folder holds neither set.
    #[error("{} holds neither elec.csv nor employment_MA_reference.parquet", folder.display())]
    EmptyData {
        /// The folder.
        folder: PathBuf,
    },
    /// A file of real data could not be read.
    #[error("could not read the real data")]
    Data(#[source] files::Error),
    /// A row of real data is no flat record, or too few are there.
    #[error("{} cannot be used: {why}", file.display())]
    Rows {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
}

/// A scenario, by the name that selects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// Nothing moves.
    Budget,
    /// Every truth wanders from pane to pane; calibrated before.
    BudgetAr1,
    /// Every truth follows the day; calibrated before.
    BudgetDay,
    /// Real rows in random order.
    BudgetReal,
    /// How soon changes are found.
    Power,
    /// Groups against a limit.
    Fairness,
    /// Rules of other tools on the same streams.
    Peers,
}

impl Scenario {
    /// All, in the order in which they run.
    pub const ALL: [Self; 7] = [
        Self::Budget,
        Self::BudgetAr1,
        Self::BudgetDay,
        Self::BudgetReal,
        Self::Power,
        Self::Fairness,
        Self::Peers,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::BudgetAr1 => "budget-ar1",
            Self::BudgetDay => "budget-day",
            Self::BudgetReal => "budget-real",
            Self::Power => "power",
            Self::Fairness => "fairness",
            Self::Peers => "peers",
        }
    }
}

impl std::str::FromStr for Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|scenario| scenario.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.into_iter().map(Self::name).collect();
            format!("there is no such scenario; there are {}", names.join(", "))
        })
    }
}

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which scenarios; all, where none is named.
    pub only: Vec<Scenario>,
    /// Number of seeds.
    pub seeds: u64,
    /// The first of them.
    pub first_seed: u64,
    /// Threads.
    pub threads: usize,
    /// Folder of real data.
    pub data: Option<PathBuf>,
    /// Panes of quiet traffic per seed; thresholds stay those of the period of four weeks.
    pub panes: u64,
    /// Draws of each change per seed; where a draw takes long, a tenth of them.
    pub draws: usize,
    /// Whether to show progress on standard error.
    pub progress: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            only: Vec::new(),
            seeds: 10,
            first_seed: 1,
            threads: 2,
            data: None,
            panes: streams::PERIOD,
            draws: 200,
            progress: false,
        }
    }
}

impl Options {
    fn work(&self) -> Work {
        Work { threads: self.threads, progress: self.progress }
    }

    /// The seed of the `index`th run.
    fn seed(&self, index: usize) -> u64 {
        self.first_seed.wrapping_add(index as u64)
    }
}

/// Simulates.
///
/// # Errors
/// When there is nothing to average over, or real data were asked for and cannot be read.
pub fn simulate(options: &Options) -> Result<Report, Error> {
    if options.seeds == 0 || options.panes == 0 {
        return Err(Error::Empty);
    }
    let chosen = |scenario: &Scenario| options.only.is_empty() || options.only.contains(scenario);
    let sections: Result<Vec<Section>, Error> =
        Scenario::ALL.into_iter().filter(chosen).map(|scenario| section(scenario, options)).collect();
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        first_seed: options.first_seed,
        seeds: options.seeds,
        sections: sections?,
    })
}

fn section(scenario: Scenario, options: &Options) -> Result<Section, Error> {
    Ok(match scenario {
        Scenario::Budget | Scenario::BudgetAr1 | Scenario::BudgetDay => budget::section(scenario, options),
        Scenario::BudgetReal => real::section(options)?,
        Scenario::Power => power::section(options),
        Scenario::Fairness => fairness::section(options),
        Scenario::Peers => peers::section(options),
    })
}
