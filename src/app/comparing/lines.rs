//! Which statistics each tool would show for a column, with the limit that it comes with.

use std::collections::BTreeSet;

use super::columns::{Names, Numbers};
use super::{Drift, Limit, Line, Mode, Rule, native};
use crate::stats::compat::evidently::{self, Test};
use crate::stats::compat::nannyml::{self, Method};
use crate::stats::compat::{Tally, scipy, tally, tally_numbers};

/// A line of a tool that gives no intervals.
fn line(
    mode: Mode,
    statistic: &'static str,
    value: Option<f64>,
    p_value: Option<f64>,
    limit: Option<Limit>,
) -> Line {
    let over = |limit: Limit| {
        let drift = match limit.rule {
            Rule::Above => value? > limit.at,
            Rule::AtLeast => value? >= limit.at,
            Rule::PBelow => p_value? < limit.at,
            Rule::PAtMost => p_value? <= limit.at,
        };
        Some(if drift { Drift::Yes } else { Drift::No })
    };
    let undefined = value.is_none() && p_value.is_none();
    Line {
        mode,
        statistic,
        default: false,
        value,
        interval: None,
        p_value,
        expected: None,
        limit,
        drift: limit.and_then(over),
        reason: undefined.then_some("not defined for these values"),
    }
}

impl Line {
    /// Marks what the tool goes by where nothing is configured.
    fn by_default(mut self, default: bool) -> Self {
        self.default = default;
        self
    }
}

const fn limit(rule: Rule, at: f64) -> Option<Limit> {
    Some(Limit { rule, at })
}

/// Lines of a numeric column; both sides have values.
pub(super) fn numeric(numbers: &Numbers, modes: &[Mode]) -> Vec<Line> {
    let (reference, current) = (finite(&numbers.reference), finite(&numbers.current));
    let lines = |mode: &Mode| match mode {
        Mode::Native => native::numeric(numbers),
        Mode::Evidently => evidently_numeric(&reference, &current, numbers.integers),
        Mode::Nannyml => nannyml_numeric(numbers),
        Mode::Scipy => scipy_numeric(&reference, &current),
    };
    modes.iter().flat_map(lines).collect()
}

/// Lines of a categorical column; both sides have values.
pub(super) fn categorical(names: &Names, modes: &[Mode]) -> Vec<Line> {
    let values = |rows: &[Option<u32>]| rows.iter().flatten().copied().collect::<Vec<u32>>();
    let cells = tally(values(&names.reference), values(&names.current));
    let lines = |mode: &Mode| match mode {
        Mode::Native => native::categorical(names),
        Mode::Evidently => evidently_categorical(&cells),
        Mode::Nannyml => nannyml_categorical(names, &cells),
        Mode::Scipy => scipy_categorical(&cells),
    };
    modes.iter().flat_map(lines).collect()
}

/// The values in ascending order, without infinities, as Evidently cleans a column.
fn finite(rows: &[Option<f64>]) -> Vec<f64> {
    let mut values: Vec<f64> = rows.iter().flatten().copied().filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

fn evidently_numeric(reference: &[f64], current: &[f64], integers: bool) -> Vec<Line> {
    let found = evidently::Numeric::new(reference, current, integers);
    let found = found.as_ref();
    let distinct: BTreeSet<u64> =
        reference.iter().chain(current).map(|value| (value + 0.0).to_bits()).collect();
    let default = evidently::default_test(true, reference.len(), distinct.len());
    let cells = || tally_numbers(reference, current);
    let distance = limit(Rule::AtLeast, evidently::DISTANCE_LIMIT);
    let by = |test: Test| default == test;
    let mut lines = vec![
        evidently_line("psi", found.and_then(evidently::Numeric::psi), distance),
        evidently_line("jensenshannon", found.and_then(evidently::Numeric::jensen_shannon), distance)
            .by_default(by(Test::JensenShannon)),
        evidently_line(
            "wasserstein (normed)",
            found.and_then(evidently::Numeric::wasserstein_normed),
            distance,
        )
        .by_default(by(Test::Wasserstein)),
        evidently_test("ks", found.and_then(evidently::Numeric::ks_p), Rule::PAtMost)
            .by_default(by(Test::Ks)),
    ];
    // Tests of categories, which it takes for numbers with few values.
    if by(Test::ChiSquared) {
        lines.push(
            evidently_test("chisquare", evidently::chi_squared_p(&cells()), Rule::PBelow).by_default(true),
        );
    }
    if by(Test::Z) {
        lines.push(evidently_test("z", evidently::z_p(&cells()), Rule::PBelow).by_default(true));
    }
    lines
}

fn evidently_categorical(cells: &Tally) -> Vec<Line> {
    let rows = cells.reference.iter().sum::<u64>() as usize;
    let distinct = cells.reference.len();
    let default = evidently::default_test(false, rows, distinct);
    let distance = limit(Rule::AtLeast, evidently::DISTANCE_LIMIT);
    let mut lines = vec![
        evidently_line("psi", evidently::psi(cells), distance),
        evidently_line("jensenshannon", evidently::jensen_shannon(cells), distance)
            .by_default(default == Test::JensenShannon),
        evidently_test("chisquare", evidently::chi_squared_p(cells), Rule::PBelow)
            .by_default(default == Test::ChiSquared),
    ];
    if distinct <= 2 {
        lines.push(evidently_test("z", evidently::z_p(cells), Rule::PBelow).by_default(default == Test::Z));
    }
    lines
}

fn evidently_line(statistic: &'static str, value: Option<f64>, limit: Option<Limit>) -> Line {
    line(Mode::Evidently, statistic, value, None, limit)
}

fn evidently_test(statistic: &'static str, p: Option<f64>, rule: Rule) -> Line {
    line(Mode::Evidently, statistic, None, p, limit(rule, evidently::P_LIMIT))
}

fn nannyml_numeric(numbers: &Numbers) -> Vec<Line> {
    let fitted = nannyml::Numeric::fit(numbers.reference.clone());
    let methods = [
        ("jensen_shannon", Method::JensenShannon),
        ("hellinger", Method::Hellinger),
        ("kolmogorov_smirnov", Method::KolmogorovSmirnov),
        ("wasserstein", Method::Wasserstein),
    ];
    let line = |(name, method)| {
        let value = fitted
            .as_ref()
            .and_then(|fitted| fitted.value(method, numbers.current.iter().flatten().copied()));
        let above = fitted.as_ref().and_then(|fitted| fitted.limit(method));
        nannyml_line(name, method, value, above)
    };
    methods.map(line).into()
}

fn nannyml_categorical(names: &Names, cells: &Tally) -> Vec<Line> {
    let fitted = nannyml::Categorical::fit(names.reference.clone());
    let methods = [
        ("jensen_shannon", Method::JensenShannon),
        ("hellinger", Method::Hellinger),
        ("l_infinity", Method::LInfinity),
    ];
    let distance = |(name, method)| {
        let value = fitted.as_ref().and_then(|fitted| fitted.value(method, names.current.iter().flatten()));
        let above = fitted.as_ref().and_then(|fitted| fitted.limit(method));
        nannyml_line(name, method, value, above)
    };
    let mut lines: Vec<Line> = methods.map(distance).into();
    let (statistic, p) = nannyml::chi_squared_test(cells).unzip();
    lines.push(line(Mode::Nannyml, "chi2", statistic, p, limit(Rule::PBelow, nannyml::P_LIMIT)));
    lines
}

fn nannyml_line(name: &'static str, method: Method, value: Option<f64>, above: Option<f64>) -> Line {
    let limit = above.map(|at| Limit { rule: Rule::Above, at });
    line(Mode::Nannyml, name, value, None, limit).by_default(method == Method::JensenShannon)
}

fn scipy_numeric(reference: &[f64], current: &[f64]) -> Vec<Line> {
    let found = scipy::Numeric::new(reference, current);
    let found = found.as_ref();
    let (d, p) = found.and_then(scipy::Numeric::ks).unzip();
    vec![
        scipy_psi(found.and_then(scipy::Numeric::psi)),
        scipy_line("jensenshannon (base 2)", found.and_then(scipy::Numeric::jensen_shannon)),
        line(Mode::Scipy, "ks_2samp", d, p, limit(Rule::PBelow, scipy::P_LIMIT)),
        scipy_line("wasserstein_distance", found.and_then(scipy::Numeric::wasserstein)),
        scipy_line("wasserstein / std", found.and_then(scipy::Numeric::wasserstein_over_std)),
    ]
}

fn scipy_categorical(cells: &Tally) -> Vec<Line> {
    let test = scipy::chi_squared_contingency(cells);
    let (statistic, p) = test.map(|test| (test.statistic, test.p_value)).unzip();
    vec![
        scipy_psi(scipy::psi(cells)),
        scipy_line("jensenshannon (base 2)", scipy::jensen_shannon(cells)),
        line(Mode::Scipy, "chi2_contingency", statistic, p, limit(Rule::PBelow, scipy::P_LIMIT)),
        scipy_line("largest difference", scipy::l_infinity(cells)),
    ]
}

fn scipy_psi(value: Option<f64>) -> Line {
    line(Mode::Scipy, "psi (floor 1e-4)", value, None, limit(Rule::Above, scipy::PSI_LIMIT)).by_default(true)
}

fn scipy_line(statistic: &'static str, value: Option<f64>) -> Line {
    line(Mode::Scipy, statistic, value, None, None)
}
