//! The metrics that checks compute, under the names that the field already uses, and the model
//! tasks that each of them serves.

use serde::{Deserialize, Serialize};

/// What a model predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One of two outcomes, one of them called positive.
    Binary,
    /// One of several classes.
    Multiclass,
    /// A number.
    Regression,
}

impl Task {
    /// The task as configurations spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Multiclass => "multiclass",
            Self::Regression => "regression",
        }
    }
}

/// Which inputs a metric is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// The distribution of a feature, the prediction or the score against the reference.
    Drift,
    /// How complete and valid a feature, the prediction or the score is.
    Quality,
    /// Outcomes between groups of a protected attribute.
    Fairness,
    /// Predictions against labels that came with the record.
    Performance,
    /// How much there is.
    Traffic,
    /// How long the model took.
    Latency,
    /// How many records lie apart from the reference's.
    Anomaly,
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $variant:ident = $name:literal in $family:ident for [$($task:ident),+];)+) => {
        /// What a check computes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Metric {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl Metric {
            /// All metrics.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The metric's name in configurations, findings and dashboards.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What the metric is computed from.
            pub const fn family(self) -> Family {
                match self { $(Self::$variant => Family::$family,)+ }
            }

            /// The tasks for which the metric is defined.
            pub const fn tasks(self) -> &'static [Task] {
                match self { $(Self::$variant => &[$(Task::$task),+],)+ }
            }
        }
    };
}

metrics! {
    /// Population stability index, nats.
    Psi = "psi" in Drift for [Binary, Multiclass, Regression];
    /// Jensen-Shannon distance, base e: square root of the divergence, 0 to sqrt(ln 2).
    JensenShannon = "jensen_shannon" in Drift for [Binary, Multiclass, Regression];
    /// Hellinger distance, 0 to 1.
    Hellinger = "hellinger" in Drift for [Binary, Multiclass, Regression];
    /// Total variation distance, 0 to 1.
    TotalVariation = "total_variation" in Drift for [Binary, Multiclass, Regression];
    /// Chi-squared statistic of the two-sample table.
    ChiSquared = "chi_squared" in Drift for [Binary, Multiclass, Regression];
    /// Kolmogorov-Smirnov distance on the fine cells, 0 to 1.
    KolmogorovSmirnov = "kolmogorov_smirnov" in Drift for [Binary, Multiclass, Regression];
    /// First Wasserstein distance on the fine cells, in the column's unit.
    Wasserstein = "wasserstein" in Drift for [Binary, Multiclass, Regression];
    /// The same, in standard deviations of the reference.
    WassersteinNormalized = "wasserstein_normalized" in Drift for [Binary, Multiclass, Regression];
    /// Share of rows in which the column is missing or null.
    NullRate = "null_rate" in Quality for [Binary, Multiclass, Regression];
    /// Share of rows in which the column is NaN or has the wrong type.
    InvalidRate = "invalid_rate" in Quality for [Binary, Multiclass, Regression];
    /// Share of present values that the reference never showed.
    UnseenRate = "unseen_rate" in Quality for [Binary, Multiclass, Regression];
    /// Share of present values below the reference's minimum or above its maximum.
    OutOfRangeRate = "out_of_range_rate" in Quality for [Binary, Multiclass, Regression];
    /// Share of positive predictions in a group.
    SelectionRate = "selection_rate" in Fairness for [Binary, Multiclass];
    /// Largest less smallest selection rate (demographic parity difference).
    SelectionRateDifference = "selection_rate_difference" in Fairness for [Binary, Multiclass];
    /// Smallest over largest selection rate (demographic parity ratio).
    SelectionRateRatio = "selection_rate_ratio" in Fairness for [Binary, Multiclass];
    /// Largest less smallest true positive rate (equal opportunity difference).
    TruePositiveRateDifference = "true_positive_rate_difference" in Fairness for [Binary, Multiclass];
    /// Largest less smallest false positive rate.
    FalsePositiveRateDifference = "false_positive_rate_difference" in Fairness for [Binary, Multiclass];
    /// The larger of the two differences above.
    EqualizedOddsDifference = "equalized_odds_difference" in Fairness for [Binary, Multiclass];
    /// Share of predictions that equal the label.
    Accuracy = "accuracy" in Performance for [Binary, Multiclass];
    /// Share of positive predictions whose label is positive.
    Precision = "precision" in Performance for [Binary, Multiclass];
    /// Share of positive labels that were predicted.
    Recall = "recall" in Performance for [Binary, Multiclass];
    /// Harmonic mean of precision and recall.
    F1 = "f1" in Performance for [Binary, Multiclass];
    /// Mean squared distance of the score from the label, 0 to 1.
    Brier = "brier" in Performance for [Binary];
    /// Mean negative log likelihood of the label, nats; scores are clipped at 1e-15.
    LogLoss = "log_loss" in Performance for [Binary];
    /// Expected calibration error over ten equal bins of the score, 0 to 1.
    ExpectedCalibrationError = "expected_calibration_error" in Performance for [Binary];
    /// Rows in the window.
    TrafficVolume = "traffic_volume" in Traffic for [Binary, Multiclass, Regression];
    /// A quantile of the model's latency, seconds.
    Latency = "latency" in Latency for [Binary, Multiclass, Regression];
    /// Share of scored records above the 99th percentile of the reference's anomaly scores.
    AnomalyRate = "anomaly_rate" in Anomaly for [Binary, Multiclass, Regression];
}

/// How a sequential policy follows a metric: what its e-detectors watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detector {
    /// The shares of a column's cells, and their cumulative sums, against the reference.
    Histogram,
    /// A share of rows against the reference, the bound, or both.
    Rate,
    /// A mean of values between 0 and 1 against the reference, the bound, or both.
    Mean,
    /// The rates of every two groups against the bound alone.
    Limit,
}

impl Metric {
    /// Whether the metric is defined for models of `task`.
    pub fn serves(self, task: Task) -> bool {
        self.tasks().contains(&task)
    }

    /// What a sequential policy watches to follow this metric for a model of `task`; none where no
    /// detector is known that keeps its error rate. Latency is watched as the share of rows above
    /// the bound. Precision and recall of a multiclass model are means over classes of ratios whose
    /// numbers of rows differ, which are no share of rows.
    pub const fn sequential(self, task: Task) -> Option<Detector> {
        Some(match self {
            Self::Psi
            | Self::JensenShannon
            | Self::Hellinger
            | Self::TotalVariation
            | Self::ChiSquared
            | Self::KolmogorovSmirnov
            | Self::Wasserstein
            | Self::WassersteinNormalized => Detector::Histogram,
            Self::NullRate
            | Self::InvalidRate
            | Self::UnseenRate
            | Self::OutOfRangeRate
            | Self::SelectionRate
            | Self::Accuracy
            | Self::Latency
            | Self::AnomalyRate => Detector::Rate,
            Self::Precision | Self::Recall => match task {
                Task::Multiclass => return None,
                Task::Binary | Task::Regression => Detector::Rate,
            },
            Self::Brier => Detector::Mean,
            Self::SelectionRateDifference
            | Self::SelectionRateRatio
            | Self::TruePositiveRateDifference
            | Self::FalsePositiveRateDifference
            | Self::EqualizedOddsDifference => Detector::Limit,
            Self::F1 | Self::LogLoss | Self::ExpectedCalibrationError | Self::TrafficVolume => return None,
        })
    }

    /// The least and the greatest value that the metric can have, both included.
    pub const fn range(self) -> (f64, f64) {
        match self {
            Self::Psi
            | Self::ChiSquared
            | Self::Wasserstein
            | Self::WassersteinNormalized
            | Self::LogLoss
            | Self::TrafficVolume
            | Self::Latency => (0.0, f64::INFINITY),
            // The square root of ln 2, rounded up.
            Self::JensenShannon => (0.0, 0.832_554_611_157_698),
            Self::Hellinger
            | Self::TotalVariation
            | Self::KolmogorovSmirnov
            | Self::NullRate
            | Self::InvalidRate
            | Self::UnseenRate
            | Self::OutOfRangeRate
            | Self::SelectionRate
            | Self::SelectionRateDifference
            | Self::SelectionRateRatio
            | Self::TruePositiveRateDifference
            | Self::FalsePositiveRateDifference
            | Self::EqualizedOddsDifference
            | Self::Accuracy
            | Self::Precision
            | Self::Recall
            | Self::F1
            | Self::Brier
            | Self::ExpectedCalibrationError
            | Self::AnomalyRate => (0.0, 1.0),
        }
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
