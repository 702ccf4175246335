//! How good are the predictions, where the label came with the record? Labels may be missing not at
//! random; `n` says how many rows had one.

use super::spec::{Answer, Asked, CheckSpec};
use crate::domain::{Metric, Scope};
use crate::sketch::PerformanceCounts;
use crate::stats::performance::{self as stats, MacroAverage};
use crate::stats::{Interval, interval};

/// One answer for the model, with the reference's own value as what to expect.
pub(super) fn answers(spec: &CheckSpec, asked: &Asked<'_>) -> Vec<Answer> {
    let scope = Scope::Model {};
    let (value, interval, n) = measure(spec, &asked.summary.performance);
    let mut answer = if n == 0 {
        Answer::undefined(scope, 0, "no row of the window has what this is computed from")
    } else {
        Answer::value(scope, n, value, interval)
    };
    if let Some(profile) = asked.profile {
        let (expected, _, m) = measure(spec, &profile.summary.performance);
        if m > 0 {
            (answer.expected, answer.n_reference) = (expected, Some(m));
        }
    }
    vec![answer]
}

/// Value, interval, and rows it was computed from.
fn measure(spec: &CheckSpec, counts: &PerformanceCounts) -> (Option<f64>, Option<Interval>, u64) {
    let confidence = spec.confidence;
    let confusion = counts.confusion();
    let labelled = counts.labelled;
    let share = |k: u64, n: u64| {
        let value = (n > 0).then(|| k as f64 / n as f64);
        (value, interval::wilson(k, n, confidence))
    };
    let (matrix, classes) = counts.class_matrix();
    let macro_averaged = |pick: fn(MacroAverage<f64>) -> f64,
                          bounds: fn(MacroAverage<Interval>) -> Interval| {
        let value = stats::macro_average(matrix, classes).map(pick);
        (value, stats::macro_intervals(matrix, classes, confidence).map(bounds), labelled)
    };
    match spec.metric {
        Metric::Accuracy => {
            let (value, interval) = share(counts.correct, labelled);
            (value, interval, labelled)
        }
        Metric::Precision if !matrix.is_empty() => macro_averaged(|m| m.precision, |m| m.precision),
        Metric::Recall if !matrix.is_empty() => macro_averaged(|m| m.recall, |m| m.recall),
        Metric::F1 if !matrix.is_empty() => macro_averaged(|m| m.f1, |m| m.f1),
        Metric::Precision => {
            let n = confusion.tp + confusion.fp;
            let (value, interval) = share(confusion.tp, n);
            (value, interval, n)
        }
        Metric::Recall => {
            let n = confusion.tp + confusion.fn_;
            let (value, interval) = share(confusion.tp, n);
            (value, interval, n)
        }
        Metric::F1 => (confusion.f1(), confusion.f1_interval(confidence), labelled),
        Metric::Brier | Metric::LogLoss => {
            let (n, sum) = (
                counts.scored,
                if spec.metric == Metric::Brier { counts.brier() } else { counts.log_loss() },
            );
            let value = (n > 0).then(|| sum.sum() / n as f64);
            (value, interval::mean_normal(n, sum.sum(), sum.squares(), confidence), n)
        }
        _ => {
            let bins = counts.calibration();
            let value = stats::calibration_error(&bins);
            (value, stats::calibration_error_interval(&bins, confidence), counts.scored)
        }
    }
}
