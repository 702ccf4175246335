//! Plimsoll's own numbers: the cells and formulas of the daemon's checks, on all rows at once.

use std::collections::BTreeMap;

use super::columns::{Names, Numbers};
use super::{Drift, Limit, Line, Mode, Rule};
use crate::domain::{Bound, Verdict};
use crate::profile::edges;
use crate::stats::compat::tally;
use crate::stats::{Interval, divergence, ecdf, interval};

/// Confidence of intervals.
const CONFIDENCE: f64 = 0.95;

/// The limit that other tools put on distances, applied to the same of ours. Plimsoll has none of its
/// own: a bound is configured.
const LIMIT: f64 = 0.1;

/// A statistic as the checks show it.
struct Shown {
    statistic: &'static str,
    value: Option<f64>,
    interval: Option<Interval>,
    p_value: Option<f64>,
    expected: Option<f64>,
}

impl Shown {
    fn line(self, limit: Option<f64>) -> Line {
        let answer = |at: f64| {
            let interval = self.interval?;
            Some(match Bound::AtMost(at).judge(interval.low, interval.high) {
                Verdict::Pass => Drift::No,
                Verdict::Breach => Drift::Yes,
                Verdict::Insufficient => Drift::Insufficient,
            })
        };
        Line {
            mode: Mode::Native,
            statistic: self.statistic,
            default: self.statistic == "psi",
            value: self.value,
            interval: self.interval.map(|interval| [interval.low, interval.high]),
            p_value: self.p_value,
            expected: self.expected,
            limit: limit.map(|at| Limit { rule: Rule::Above, at }),
            drift: limit.and_then(answer),
            reason: self.value.is_none().then_some("not defined for these values"),
        }
    }
}

/// PSI and Jensen-Shannon distance on cells.
fn divergences(reference: &[u64], current: &[u64]) -> Vec<Line> {
    let (m, n) = (reference.iter().sum(), current.iter().sum());
    let cells = reference.len();
    let psi = divergence::psi(reference, current);
    let test = divergence::chi_squared(reference, current);
    let psi = Shown {
        statistic: "psi",
        value: psi,
        interval: divergence::psi_interval(reference, current, CONFIDENCE),
        p_value: psi.and_then(|psi| divergence::psi_p_value(psi, cells, n, m)),
        expected: divergence::psi_null_mean(cells, n, m),
    };
    let distance = Shown {
        statistic: "jensen_shannon",
        value: divergence::jensen_shannon_distance(reference, current),
        interval: divergence::jensen_shannon_interval(reference, current, CONFIDENCE),
        p_value: test.map(|test| test.p_value),
        expected: divergence::jensen_shannon_expected(cells, n, m),
    };
    vec![psi.line(Some(LIMIT)), distance.line(Some(LIMIT))]
}

/// A share of `n` current rows, beside that of `m` reference rows.
fn rate(statistic: &'static str, (k, n): (u64, u64), (r, m): (u64, u64)) -> Line {
    let share = |k: u64, n: u64| (n > 0).then(|| k as f64 / n as f64);
    Shown {
        statistic,
        value: share(k, n),
        interval: interval::wilson(k, n, CONFIDENCE),
        p_value: None,
        expected: share(r, m),
    }
    .line(None)
}

fn nulls<T>(rows: &[Option<T>]) -> (u64, u64) {
    (rows.iter().filter(|row| row.is_none()).count() as u64, rows.len() as u64)
}

/// A numeric column; both sides have values.
pub(super) fn numeric(numbers: &Numbers) -> Vec<Line> {
    let mut finite: Vec<f64> =
        numbers.reference.iter().flatten().copied().filter(|v| v.is_finite()).collect();
    finite.sort_unstable_by(f64::total_cmp);
    let edges = edges::from_sorted(&finite);
    let count = |rows: &[Option<f64>], edges: &[f64]| {
        let mut counts = vec![0_u64; edges.len() + 1];
        for value in rows.iter().flatten() {
            counts[edges.partition_point(|edge| edge <= value)] += 1;
        }
        counts
    };
    let (reference, current) = (&numbers.reference, &numbers.current);
    let mut lines = divergences(&count(reference, &edges.deciles), &count(current, &edges.deciles));
    let (p, q) = (count(reference, &edges.fine), count(current, &edges.fine));
    let (m, n): (u64, u64) = (p.iter().sum(), q.iter().sum());
    let d = ecdf::ks_binned(&p, &q);
    let p_value = d.and_then(|d| ecdf::ks_p_value(d, n, m));
    let ks = Shown {
        statistic: "kolmogorov_smirnov",
        value: d,
        interval: ecdf::ks_interval(&p, &q, CONFIDENCE),
        p_value,
        expected: ecdf::ks_expected(n, m),
    };
    lines.push(ks.line(None));
    let varies = finite.first() != finite.last();
    let std = crate::stats::compat::numpy::std(&finite).filter(|std| varies && *std > 0.0);
    let scaled = |value: Option<f64>| Some(value? / std?);
    let wide = ecdf::wasserstein_interval(&edges.fine, &p, &q, CONFIDENCE);
    let wasserstein = Shown {
        statistic: "wasserstein_normalized",
        value: scaled(ecdf::wasserstein_binned(&edges.fine, &p, &q)),
        interval: wide.zip(std).map(|(wide, std)| Interval { low: wide.low / std, high: wide.high / std }),
        p_value: p_value.filter(|_| std.is_some()),
        expected: scaled(ecdf::wasserstein_expected(&edges.fine, &p, &q)),
    };
    let mut wasserstein = wasserstein.line(Some(LIMIT));
    wasserstein.reason = std.is_none().then_some("the reference is constant").or(wasserstein.reason);
    lines.push(wasserstein);
    if let (Some(least), Some(most)) = (finite.first(), finite.last()) {
        let outside = |rows: &[Option<f64>]| {
            let values = rows.iter().flatten();
            (
                values.clone().filter(|value| *value < least || *value > most).count() as u64,
                values.count() as u64,
            )
        };
        lines.push(rate("out_of_range_rate", outside(current), outside(reference)));
    }
    lines.push(rate("null_rate", nulls(current), nulls(reference)));
    lines
}

/// A categorical column; both sides have values. Values that the reference never had are one cell.
pub(super) fn categorical(names: &Names) -> Vec<Line> {
    let mut known: BTreeMap<u32, u64> = BTreeMap::new();
    for name in names.reference.iter().flatten() {
        *known.entry(*name).or_default() += 1;
    }
    // A column of one category has the cell of unseen values too: a single cell says nothing.
    let unseen = u32::MAX;
    let cell = |name: &u32| if known.contains_key(name) { *name } else { unseen };
    let mut cells =
        tally(names.reference.iter().flatten().copied(), names.current.iter().flatten().map(cell));
    if cells.reference.len() == 1 {
        cells.reference.push(0);
        cells.current.push(0);
    }
    let (reference, current) = (&cells.reference, &cells.current);
    let mut lines = divergences(reference, current);
    let test = divergence::chi_squared(reference, current);
    let chi_squared = Shown {
        statistic: "chi_squared",
        value: test.map(|test| test.statistic),
        interval: divergence::chi_squared_interval(reference, current, CONFIDENCE),
        p_value: test.map(|test| test.p_value),
        expected: divergence::chi_squared_expected(reference, current),
    };
    lines.push(chi_squared.line(None));
    let new = names.current.iter().flatten().filter(|name| cell(name) == unseen).count() as u64;
    let values = (nulls(&names.reference), nulls(&names.current));
    let (m, n) = (values.0.1 - values.0.0, values.1.1 - values.1.0);
    lines.push(rate("unseen_rate", (new, n), (0, m)));
    lines.push(rate("null_rate", values.1, values.0));
    lines
}
