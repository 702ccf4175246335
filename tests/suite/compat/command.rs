//! `plimsoll compare`: files in, tables or JSON out, and the data that other tools stumble over.

use std::path::PathBuf;
use std::process::{Command, Output};

use plimsoll::app::comparing::{Compared, Comparison, Drift, Kind, Line, Mode, Options, compare};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use tempfile::TempDir;

use super::*;

/// A folder with one NDJSON file for each side.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new(reference: &[Value], current: &[Value]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, rows) in [("reference", reference), ("current", current)] {
            let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
            fs::write(dir.path().join(format!("{name}.ndjson")), lines.join("\n")).unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn options(&self) -> Options {
        Options {
            reference: vec![self.path("reference.ndjson")],
            current: vec![self.path("current.ndjson")],
            ..Options::default()
        }
    }

    fn compared(&self) -> Comparison {
        compare(&self.options()).unwrap()
    }
}

fn column<'a>(found: &'a Comparison, name: &str) -> &'a Compared {
    found.columns.iter().find(|column| column.column == name).unwrap_or_else(|| panic!("no {name}"))
}

fn line<'a>(column: &'a Compared, mode: Mode, statistic: &str) -> &'a Line {
    let mut lines = column.statistics.iter();
    lines
        .find(|line| line.mode == mode && line.statistic == statistic)
        .unwrap_or_else(|| panic!("{mode:?} has no {statistic}: {:?}", column.statistics))
}

fn normals(seed: u64, count: usize, shift: f64) -> Vec<Value> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let draw = |_| {
        let value: f64 = StandardNormal.sample(&mut rng);
        serde_json::json!({"x": value + shift})
    };
    (0..count).map(draw).collect()
}

fn texts(values: &[&str]) -> Vec<Value> {
    values.iter().map(|value| serde_json::json!({"c": value})).collect()
}

#[test]
fn the_command_shows_the_golden_numbers_of_every_tool_side_by_side() {
    let (Some(golden), Some(reference), Some(current)) = (
        golden("california_housing"),
        shared("data/california_housing_reference.csv"),
        shared("data/california_housing_analysis.csv"),
    ) else {
        return;
    };
    let options = Options { reference: vec![reference], current: vec![current], ..Options::default() };
    let found = compare(&options).unwrap();
    for (name, golden) in &golden {
        let column = column(&found, name);
        assert_eq!(column.kind, Kind::Numeric);
        for (mode, statistic, expected) in [
            (Mode::Native, "psi", &golden["native"]["deciles"]["psi_half_count"]),
            (Mode::Native, "kolmogorov_smirnov", &golden["native"]["fine64"]["ks_binned_lower"]),
            (Mode::Evidently, "psi", &golden["evidently"]["psi"]),
            (Mode::Evidently, "wasserstein (normed)", &golden["evidently"]["wasserstein_norm"]),
            (Mode::Nannyml, "jensen_shannon", &golden["nannyml"]["jensen_shannon"]),
            (Mode::Scipy, "psi (floor 1e-4)", &golden["scipy"]["psi_refdeciles_floor1e4"]),
        ] {
            near(line(column, mode, statistic).value, expected, STATISTIC, &format!("{name} {statistic}"));
        }
        near(line(column, Mode::Evidently, "ks").p_value, &golden["evidently"]["ks_p"], PROBABILITY, name);
    }
    assert!(found.notes.iter().any(|note| note.contains("`timestamp`")), "{:?}", found.notes);
    assert!(found.notes.iter().any(|note| note.contains("`clf_target`")), "{:?}", found.notes);
}

#[test]
fn one_wild_value_hides_a_whole_shift_from_bins_over_both_sides_and_not_from_frozen_ones() {
    let reference = normals(1, 5_000, 0.0);
    let mut current = normals(2, 5_000, 1.0);
    let evidently = |current: &[Value]| {
        let found = Files::new(&reference, current).compared();
        let column = column(&found, "x");
        let psi = line(column, Mode::Evidently, "psi");
        assert_eq!(line(column, Mode::Native, "psi").drift, Some(Drift::Yes));
        (psi.value.unwrap(), psi.drift.unwrap())
    };
    let (before, drift) = evidently(&current);
    assert!(before > 0.9 && drift == Drift::Yes, "{before}");
    current.push(serde_json::json!({"x": 1e6}));
    let (after, drift) = evidently(&current);
    assert!(after < 1e-4 && drift == Drift::No, "{after}");
}

#[test]
fn a_constant_reference_is_a_distance_to_some_and_undefined_to_others() {
    let reference: Vec<Value> = (0..2_000).map(|_| serde_json::json!({"x": 0.4})).collect();
    let current: Vec<Value> =
        (0..2_000).map(|i| serde_json::json!({"x": 0.4 + f64::from(i % 2) / 10.0})).collect();
    let found = Files::new(&reference, &current).compared();
    let column = column(&found, "x");
    assert_eq!(line(column, Mode::Native, "psi").drift, Some(Drift::Yes));
    assert_eq!(line(column, Mode::Native, "kolmogorov_smirnov").value, Some(0.5));
    let native = line(column, Mode::Native, "wasserstein_normalized");
    assert_eq!((native.value, native.reason), (None, Some("the reference is constant")));
    assert_eq!(line(column, Mode::Scipy, "wasserstein / std").value, None);
    let nannyml = line(column, Mode::Nannyml, "jensen_shannon");
    assert_eq!((nannyml.value, nannyml.drift), (Some(0.0), Some(Drift::No)), "all within one bin");
    // Two values: Evidently takes the column for categories.
    assert!(line(column, Mode::Evidently, "jensenshannon").default);
    assert!(line(column, Mode::Evidently, "wasserstein (normed)").value.unwrap() > 49.0);
}

#[test]
fn an_unseen_category_is_certain_drift_to_the_one_sample_test_only() {
    let mut names = vec!["a"; 6_000];
    names.extend(vec!["b"; 4_000]);
    let reference = texts(&names);
    names[0] = "never seen before";
    let found = Files::new(&reference, &texts(&names)).compared();
    let column = column(&found, "c");
    assert_eq!((column.kind, column.reference.values), (Kind::Categorical, 10_000));
    let evidently = line(column, Mode::Evidently, "chisquare");
    assert_eq!((evidently.p_value, evidently.drift), (Some(0.0), Some(Drift::Yes)));
    assert_eq!(line(column, Mode::Native, "psi").drift, Some(Drift::No));
    assert_eq!(line(column, Mode::Native, "unseen_rate").value, Some(1e-4));
    assert!(line(column, Mode::Native, "chi_squared").p_value.unwrap() > 0.3);
    assert_eq!(line(column, Mode::Nannyml, "chi2").drift, Some(Drift::No));
}

#[test]
fn a_column_of_one_category_is_no_drift_to_anybody() {
    let found = Files::new(&texts(&["only"; 50]), &texts(&["only"; 60])).compared();
    let column = column(&found, "c");
    assert!(column.statistics.iter().all(|line| line.drift != Some(Drift::Yes)), "{column:?}");
    assert_eq!(line(column, Mode::Nannyml, "chi2").p_value, Some(1.0));
    assert_eq!(line(column, Mode::Evidently, "z").p_value, Some(1.0));
    assert_eq!(line(column, Mode::Scipy, "chi2_contingency").reason, Some("not defined for these values"));
}

#[test]
fn a_column_without_values_is_left_out_with_a_word_and_refused_when_asked_for() {
    let row = |x: Value| serde_json::json!({"x": x, "y": 1.5, "l": [1, 2]});
    let reference: Vec<Value> = (0..30).map(|i| row(i.into())).collect();
    let files = Files::new(&reference, &vec![row(Value::Null); 30]);
    let found = files.compared();
    assert_eq!(found.columns.iter().map(|column| column.column.as_str()).collect::<Vec<_>>(), ["y"]);
    for part in ["`x` has no value in the current files", "`l` holds lists"] {
        assert!(found.notes.iter().any(|note| note.contains(part)), "{:?}", found.notes);
    }
    let refused = |columns: &[&str]| {
        let columns = columns.iter().map(ToString::to_string).collect();
        compare(&Options { columns, ..files.options() }).unwrap_err().to_string()
    };
    assert_eq!(refused(&["x"]), "`x` has no value in the current files");
    assert_eq!(refused(&["z"]), "no column is called `z`; the files have l, x, y");
}

#[test]
fn nulls_count_as_nulls_and_codes_as_names_where_they_are_named_so() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, rows: &[&str]| {
        let path = dir.path().join(name);
        fs::write(&path, rows.join("\n")).unwrap();
        vec![path]
    };
    let options = Options {
        reference: write(
            "a.ndjson",
            &[r#"{"f": {"x": 1, "code": 7}}"#, r#"{"f": {"x": NaN, "code": 8}}"#, "{"],
        ),
        current: write(
            "b.ndjson",
            &[r#"{"f": {"code": 7}}"#, r#"{"f": {"x": 2.5, "code": "9"}}"#, r#"{"f": {"x": 3}}"#],
        ),
        categorical: vec!["f/code".to_owned()],
        ..Options::default()
    };
    let found = compare(&options).unwrap();
    assert_eq!((found.reference_rows, found.current_rows), (2, 3));
    let (x, code) = (column(&found, "f/x"), column(&found, "f/code"));
    assert_eq!((x.kind, x.reference.null, x.current.null), (Kind::Numeric, 1, 1));
    assert_eq!((code.kind, code.reference.values, code.current.null), (Kind::Categorical, 2, 1));
    assert_eq!(line(x, Mode::Native, "null_rate").expected, Some(0.5));
    assert!(
        found.notes[0].starts_with("reference: 1 rows are no JSON objects, the first is "),
        "{:?}",
        found.notes
    );
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll")).arg("compare").args(arguments).output().unwrap()
}

#[test]
fn the_command_prints_a_table_or_json_and_fails_with_a_reason() {
    let files = Files::new(&normals(3, 400, 0.0), &normals(4, 400, 0.0));
    let [reference, current] =
        ["reference.ndjson", "current.ndjson"].map(|name| files.path(name).display().to_string());
    let both = ["--reference", &reference, "--current", &current];

    let table = run(&[&both[..], &["--as", "evidently,native"]].concat());
    let text = String::from_utf8(table.stdout).unwrap();
    assert!(table.status.success(), "{text}");
    assert!(text.starts_with("400 reference rows, 400 current rows\n"), "{text}");
    let default = text.lines().find(|line| line.contains("ks *")).unwrap();
    assert!(default.starts_with("  evidently") && default.ends_with("no"), "{default}");
    assert!(!text.contains("nannyml"), "only what was asked for");

    let json = run(&[&both[..], &["--json"]].concat());
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["columns"][0]["column"], "x");
    assert_eq!(json["columns"][0]["statistics"].as_array().unwrap().len(), 19);
    assert_eq!(json["summary"].as_array().unwrap().len(), 4);

    let missing = run(&["--reference", "/nonexistent.csv", "--current", &current]);
    assert_eq!(missing.status.code(), Some(1));
    let error = String::from_utf8(missing.stderr).unwrap();
    assert!(error.starts_with("error: could not open /nonexistent.csv"), "{error}");
}
