//! The numbers of other tools on public data, against what those tools gave for it; and the command
//! that shows them beside plimsoll's own.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod command;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use plimsoll::query::files::Rows;
use plimsoll::stats::compat::nannyml::{self, Method};
use plimsoll::stats::compat::{Tally, evidently, scipy, tally};
use serde_json::Value;

use super::support::shared;

/// Statistics of scipy and Evidently, and nannyml's on its own cells.
const STATISTIC: f64 = 1e-9;
/// nannyml's distances on 10,000 bins.
const BINNED: f64 = 1e-6;
/// P-values.
const PROBABILITY: f64 = 1e-8;

#[track_caller]
fn near(found: Option<f64>, expected: &Value, tolerance: f64, what: &str) {
    let Some(expected) = expected.as_f64() else {
        assert!(expected.is_null(), "{what} is not among the golden values");
        assert_eq!(found, None, "{what}");
        return;
    };
    let found = found.unwrap_or_else(|| panic!("{what} is undefined, expected {expected}"));
    assert!((found - expected).abs() <= tolerance, "{what}: found {found}, expected {expected}");
}

fn relative(expected: &Value) -> f64 {
    1e-9 * expected.as_f64().unwrap().abs().max(1e-300)
}

type Golden = serde_json::Map<String, Value>;

/// The golden columns of the rows that are wanted.
fn columns(golden: &Golden, file: &Path, wanted: impl Fn(&Value) -> bool) -> BTreeMap<String, Vec<Value>> {
    let mut columns: BTreeMap<String, Vec<Value>> =
        golden.keys().map(|name| (name.clone(), Vec::new())).collect();
    let mut rows = Rows::open(file).unwrap();
    while let Some((_, row)) = rows.next_row().unwrap() {
        let mut row: Value = serde_json::from_slice(row).unwrap();
        if wanted(&row) {
            for (name, values) in &mut columns {
                values.push(row[name].take());
            }
        }
    }
    columns
}

fn numbers(values: &[Value]) -> Vec<f64> {
    values.iter().map(|value| value.as_f64().unwrap()).collect()
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

fn numeric_column(name: &str, reference: &[Value], current: &[Value], golden: &Value) {
    let integers = [reference, current].iter().all(|side| side.iter().all(Value::is_i64));
    let (rows, current) = (numbers(reference), sorted(&numbers(current)));
    let reference = sorted(&rows);

    let (found, expected) = (scipy::Numeric::new(&reference, &current).unwrap(), &golden["scipy"]);
    let (d, p) = found.ks().unwrap();
    near(found.psi(), &expected["psi_refdeciles_floor1e4"], STATISTIC, &format!("{name} scipy psi"));
    near(
        found.jensen_shannon(),
        &expected["js_distance_base2_refdeciles"],
        STATISTIC,
        &format!("{name} scipy js"),
    );
    near(Some(d), &expected["ks_stat"], STATISTIC, &format!("{name} scipy ks"));
    near(Some(p), &expected["ks_p"], PROBABILITY, &format!("{name} scipy ks p"));
    let raw = &expected["wasserstein_raw"];
    near(found.wasserstein(), raw, relative(raw), &format!("{name} scipy w1"));
    near(
        found.wasserstein_over_std(),
        &expected["wasserstein_over_ref_std"],
        STATISTIC,
        &format!("{name} scipy w1/std"),
    );

    let found = evidently::Numeric::new(&reference, &current, integers).unwrap();
    let expected = &golden["evidently"];
    near(found.psi(), &expected["psi"], STATISTIC, &format!("{name} evidently psi"));
    near(found.jensen_shannon(), &expected["jensenshannon"], STATISTIC, &format!("{name} evidently js"));
    near(
        found.wasserstein_normed(),
        &expected["wasserstein_norm"],
        // A constant reference is divided by a thousandth: the distance's rounding grows with it.
        STATISTIC.max(relative(&expected["wasserstein_norm"])),
        &format!("{name} evidently w1"),
    );
    near(found.ks_p(), &expected["ks_p"], PROBABILITY, &format!("{name} evidently ks p"));

    let fitted = nannyml::Numeric::fit(rows.into_iter().map(Some).collect()).unwrap();
    let expected = &golden["nannyml"];
    for (method, key, tolerance) in [
        (Method::JensenShannon, "jensen_shannon", STATISTIC),
        (Method::Hellinger, "hellinger", STATISTIC),
        (Method::KolmogorovSmirnov, "kolmogorov_smirnov", BINNED),
        (Method::Wasserstein, "wasserstein", BINNED),
    ] {
        let found = fitted.value(method, current.iter().copied());
        near(found, &expected[key], tolerance, &format!("{name} nannyml {key}"));
    }
}

fn categorical_column(name: &str, reference: &[Value], current: &[Value], golden: &Value) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows: Vec<Option<String>> = reference.iter().map(|value| Some(text(value))).collect();
    let current: Vec<String> = current.iter().map(text).collect();
    let cells: Tally = tally(rows.iter().flatten(), current.iter());

    let expected = &golden["scipy"];
    near(scipy::psi(&cells), &expected["psi_floor1e4"], STATISTIC, &format!("{name} scipy psi"));
    near(
        scipy::jensen_shannon(&cells),
        &expected["js_distance_base2"],
        STATISTIC,
        &format!("{name} scipy js"),
    );
    let test = scipy::chi_squared_contingency(&cells).unwrap();
    let statistic = &expected["chi2_contingency"];
    near(Some(test.statistic), statistic, relative(statistic), &format!("{name} scipy chi2"));
    near(Some(test.p_value), &expected["chi2_p"], PROBABILITY, &format!("{name} scipy chi2 p"));
    assert_eq!(test.dof, expected["dof"].as_u64().unwrap(), "{name}");
    near(scipy::l_infinity(&cells), &expected["linf"], STATISTIC, &format!("{name} scipy linf"));

    let expected = &golden["evidently"];
    near(evidently::psi(&cells), &expected["psi"], STATISTIC, &format!("{name} evidently psi"));
    near(
        evidently::jensen_shannon(&cells),
        &expected["jensenshannon"],
        STATISTIC,
        &format!("{name} evidently js"),
    );
    near(
        evidently::chi_squared_p(&cells),
        &expected["chisquare_p"],
        PROBABILITY,
        &format!("{name} evidently chi2 p"),
    );

    let fitted = nannyml::Categorical::fit(rows).unwrap();
    let expected = &golden["nannyml"];
    for (method, key) in [
        (Method::JensenShannon, "jensen_shannon"),
        (Method::Hellinger, "hellinger"),
        (Method::LInfinity, "l_infinity"),
    ] {
        let found = fitted.value(method, &current);
        near(found, &expected[key], STATISTIC, &format!("{name} nannyml {key}"));
    }
    let (statistic, _) = nannyml::chi_squared_test(&cells).unwrap();
    near(Some(statistic), &expected["chi2"], relative(&expected["chi2"]), &format!("{name} nannyml chi2"));
}

/// Golden columns of a data set, or none, visibly, where they are not beside the checkout.
fn golden(set: &str) -> Option<Golden> {
    let text = fs::read_to_string(shared("golden/drift.json")?).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    Some(golden["sets"][set]["columns"].as_object().unwrap().clone())
}

fn compare(
    golden: &Golden,
    reference: &BTreeMap<String, Vec<Value>>,
    current: &BTreeMap<String, Vec<Value>>,
) {
    for (name, golden) in golden {
        let (reference, current) = (&reference[name], &current[name]);
        if golden["native"]["categories"].is_array() {
            categorical_column(name, reference, current, golden);
        } else {
            numeric_column(name, reference, current, golden);
        }
    }
}

#[test]
fn electricity_prices_have_the_numbers_of_scipy_evidently_and_nannyml() {
    let (Some(golden), Some(data)) = (golden("elec"), shared("data/elec.csv")) else { return };
    let mut reference = columns(&golden, &data, |_| true);
    let mut current = reference.clone();
    for (reference, current) in reference.values_mut().zip(current.values_mut()) {
        reference.truncate(15_000);
        current.drain(..15_000);
        current.truncate(15_000);
    }
    assert_eq!(golden.len(), 6);
    compare(&golden, &reference, &current);
}

#[test]
fn californian_houses_have_the_numbers_of_scipy_evidently_and_nannyml() {
    let (Some(golden), Some(reference), Some(current)) = (
        golden("california_housing"),
        shared("data/california_housing_reference.csv"),
        shared("data/california_housing_analysis.csv"),
    ) else {
        return;
    };
    assert_eq!(golden.len(), 8);
    compare(&golden, &columns(&golden, &reference, |_| true), &columns(&golden, &current, |_| true));
}

#[test]
fn employment_has_the_numbers_of_scipy_evidently_and_nannyml() {
    let (Some(golden), Some(reference), Some(current)) = (
        golden("employment_MA"),
        shared("data/employment_MA_reference.parquet"),
        shared("data/employment_MA_analysis.parquet"),
    ) else {
        return;
    };
    let of_2018 = |row: &Value| row["year"].as_i64() == Some(2018);
    assert_eq!(golden.len(), 7);
    compare(&golden, &columns(&golden, &reference, |_| true), &columns(&golden, &current, of_2018));
}
