//! What a metric is, apart from its name: kind, unit, and what its number of series grows with.

/// What a metric counts or shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the daemon restarts. The name ends in `_total`.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Counts of observations in buckets, with their sum.
    Histogram,
    /// Facts as labels; the value is always 1. The name ends in `_info`.
    Info,
}

impl Kind {
    /// The kind as OpenMetrics spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// The base unit of a metric, which its name ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A count, a state, or a statistic without a unit.
    None,
    /// Seconds; in a `_timestamp_seconds` metric, seconds since the Unix epoch.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share or a ratio.
    Ratio,
}

impl Unit {
    /// The suffix of the metric's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
        }
    }
}

/// What the number of a metric's series grows with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// One series.
    One,
    /// As many as a list in the program has entries.
    Fixed(usize),
    /// One for each metric of the catalogue.
    PerMetric,
    /// A few for each source topic.
    PerTopic,
    /// One for each source partition.
    PerPartition,
    /// A dozen or so for each action of a model.
    PerAction,
    /// One for each model.
    PerModel,
    /// One for each model version.
    PerVersion,
    /// A few for each check of a model version.
    PerCheck,
    /// One for each feature in each check of a model version.
    PerFeature,
    /// One for each group of a protected attribute in each check of a model version.
    PerGroup,
    /// One for each feature, output or group with a share of the false-alarm budget.
    PerSlot,
}

impl Series {
    /// How many series a metric may have on one page. What is beyond is left out and counted.
    ///
    /// Versions, features and groups come from the log, so without a limit a faulty producer could
    /// fill the memory of whoever scrapes (about 3 kB a series in Prometheus).
    pub const fn limit(self) -> usize {
        match self {
            Self::One => 1,
            Self::Fixed(count) => count,
            Self::PerMetric => 200,
            Self::PerTopic | Self::PerModel | Self::PerVersion => 2_000,
            Self::PerPartition => 4_000,
            Self::PerCheck | Self::PerGroup => 5_000,
            // About a dozen for each action of each model; both are configured, so no log can fill it.
            Self::PerAction => 10_000,
            Self::PerFeature | Self::PerSlot => 20_000,
        }
    }

    /// What the number of series grows with, in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::One | Self::Fixed(_) => "fixed",
            Self::PerMetric => "per metric",
            Self::PerTopic => "per topic",
            Self::PerPartition => "per partition",
            Self::PerAction => "per action",
            Self::PerModel => "per model",
            Self::PerVersion => "per model version",
            Self::PerCheck => "per check",
            Self::PerFeature => "per feature",
            Self::PerGroup => "per group",
            Self::PerSlot => "per slot",
        }
    }
}
