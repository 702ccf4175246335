//! One story per family: what each counts, and what it leaves out.

use std::fs;

use plimsoll::domain::{Finding, Scope, Verdict};
use serde_json::{Value, json};

use super::world::World;
use crate::replay::Stage;

const BINARY: &str = "
topics: [{name: t, model: '=m'}]
models:
  - name: m
    topics: [t]
    task: binary
    version: '=1'
    time: /t
    prediction: /prediction
    label: /label
    latency: {from: /ms, unit: ms}
    groups: [{name: sex, from: /sex, values: [F, M, X]}]
    checks:
      - {name: accuracy, metric: accuracy, window: 1m, bound: '>= 0.8'}
      - {name: ratio, metric: selection_rate_ratio, window: 1m, bound: '>= 0.8'}
      - {name: gap, metric: true_positive_rate_difference, window: 1m, bound: '<= 0.1'}
      - {name: rates, metric: selection_rate, window: 1m, bound: '>= 0.3'}
";

fn decision(sex: &str, approved: bool, label: Option<bool>) -> Value {
    json!({"sex": sex, "prediction": u8::from(approved), "label": label.map(u8::from)})
}

#[test]
fn missing_labels_leave_label_metrics_insufficient_and_the_rest_as_it_is() {
    let world = World::new(BINARY, &[]);
    let rows: Vec<Value> = (0..4_000).map(|i| decision(["F", "M"][i % 2], i % 4 < 2, None)).collect();
    let accuracy = world.answer(&rows, "accuracy");
    assert_eq!((accuracy.verdict, accuracy.value, accuracy.n), (Some(Verdict::Insufficient), None, 0));
    assert_eq!(world.answer(&rows, "gap").verdict, Some(Verdict::Insufficient));
    assert_eq!(world.answer(&rows, "ratio").verdict, Some(Verdict::Pass), "it asks for no label");
}

#[test]
fn rows_without_a_label_are_not_counted_as_wrong() {
    let world = World::new(BINARY, &[]);
    let label = |i: usize| i.is_multiple_of(10).then_some(i % 4 < 2);
    let rows: Vec<Value> = (0..4_000).map(|i| decision(["F", "M"][i % 2], i % 4 < 2, label(i))).collect();
    let accuracy = world.answer(&rows, "accuracy");
    assert_eq!((accuracy.value, accuracy.n, accuracy.verdict), (Some(1.0), 400, Some(Verdict::Pass)));
}

#[test]
fn one_group_alone_is_not_compared() {
    let world = World::new(BINARY, &[]);
    let rows: Vec<Value> = (0..500).map(|i| decision("F", i % 2 == 0, Some(true))).collect();
    let ratio = world.answer(&rows, "ratio");
    assert_eq!((ratio.verdict, ratio.value), (Some(Verdict::Insufficient), None));
    assert!(ratio.reason.unwrap().contains("fewer than two groups"));
}

#[test]
fn a_tiny_group_decides_nothing_however_it_is_treated() {
    let world = World::new(BINARY, &[]);
    // Two groups of 2000 at the same rate, and a third of 18 rows of which a third was approved.
    let mut rows: Vec<Value> =
        (0..4_000).map(|i| decision(["F", "M"][i % 2], i % 4 < 2, Some(i % 4 < 2))).collect();
    rows.extend((0..18).map(|i| decision("X", i % 3 == 0, Some(true))));
    let ratio = world.answer(&rows, "ratio");
    assert_eq!((ratio.verdict, ratio.value, ratio.n), (Some(Verdict::Pass), Some(1.0), 4_000));
    assert!(ratio.reason.unwrap().contains('X'), "it is said which group was left out");
    let findings = world.ask(&world.count(&rows));
    let rate = |sex: &str| {
        let scope = Scope::Group { group: "sex".to_owned(), values: vec![sex.to_owned()] };
        findings.iter().find(|finding| finding.check == "rates" && finding.scope == scope).unwrap()
    };
    assert_eq!((rate("F").verdict, rate("F").value), (Some(Verdict::Pass), Some(0.5)));
    assert_eq!((rate("X").verdict, rate("X").value), (Some(Verdict::Insufficient), Some(6.0 / 18.0)));
    // Taken in by a lower limit, its own interval keeps it from deciding.
    let all = World::new(&BINARY.replace("ratio, window: 1m", "ratio, window: 1m, min_group: 1"), &[]);
    assert_eq!(all.answer(&rows, "ratio").verdict, Some(Verdict::Insufficient));
}

const MULTICLASS: &str = "
topics: [{name: t, model: '=m'}]
models:
  - name: m
    topics: [t]
    task: multiclass
    version: '=1'
    time: /t
    prediction: {from: /prediction, positive: a}
    label: /label
    profile: unused.json
    checks:
      - {name: accuracy, metric: accuracy, window: 1m}
      - {name: precision, metric: precision, window: 1m}
      - {name: recall, metric: recall, window: 1m}
      - {name: f1, metric: f1, window: 1m}
";

/// Macro precision, recall and F1 over the classes that are a label or a prediction of some row.
fn macro_averages(rows: &[Value]) -> [f64; 3] {
    let classes: std::collections::BTreeSet<&str> =
        rows.iter().flat_map(|row| [&row["label"], &row["prediction"]]).filter_map(Value::as_str).collect();
    let mut sums = [0.0; 3];
    for class in &classes {
        let count = |label: bool, prediction: bool| {
            let is = |row: &&Value| {
                (row["label"] == *class) == label && (row["prediction"] == *class) == prediction
            };
            rows.iter().filter(is).count() as f64
        };
        let (hit, false_alarm, miss) = (count(true, true), count(false, true), count(true, false));
        let share = |of: f64| if of > 0.0 { hit / of } else { 0.0 };
        sums[0] += share(hit + false_alarm);
        sums[1] += share(hit + miss);
        sums[2] += 2.0 * hit / (2.0 * hit + false_alarm + miss);
    }
    sums.map(|sum| sum / classes.len() as f64)
}

#[test]
fn several_classes_are_averaged_with_equal_weight() {
    let classes = ["a", "b", "c", "d"];
    let reference: Vec<Value> =
        (0..400).map(|i| json!({"prediction": classes[i % 4], "label": classes[i / 2 % 4]})).collect();
    let world = World::new(MULTICLASS, &reference);
    let rows: Vec<Value> = (0_usize..1_000)
        .map(|i| {
            let label = classes[[0, 0, 0, 1, 1, 2, 3][i % 7]];
            let prediction = if i.is_multiple_of(5) { classes[i % 3] } else { label };
            json!({"prediction": prediction, "label": label})
        })
        .collect();
    let [precision, recall, f1] = macro_averages(&rows);
    for (check, expected) in [("precision", precision), ("recall", recall), ("f1", f1)] {
        let answer = world.answer(&rows, check);
        assert!((answer.value.unwrap() - expected).abs() < 1e-12, "{check}: {:?} {expected}", answer.value);
        assert!(answer.expected.is_some_and(|reference| reference < 0.5), "the reference is half noise");
    }
    let right = rows.iter().filter(|row| row["prediction"] == row["label"]).count() as f64;
    assert_eq!(world.answer(&rows, "accuracy").value, Some(right / 1_000.0));
}

#[test]
fn the_numbers_that_a_regression_predicts_drift_like_a_feature() {
    let text = "
topics: [{name: t, model: '=m'}]
models:
  - name: m
    topics: [t]
    task: regression
    version: '=1'
    time: /t
    prediction: /price
    profile: unused.json
    checks:
      - {name: psi, metric: psi, of: prediction, window: 1m, bound: '<= 0.1'}
      - {name: ks, metric: kolmogorov_smirnov, of: prediction, window: 1m, bound: '<= 0.1'}
      - {name: range, metric: out_of_range_rate, of: prediction, window: 1m, bound: '<= 0.01'}
";
    let prices = |shift: f64| -> Vec<Value> {
        (0..5_000).map(|i| json!({"price": f64::from(i * 7 % 5_000) / 5.0 + shift})).collect()
    };
    let world = World::new(text, &prices(0.0));
    for check in ["psi", "ks", "range"] {
        let scope = Scope::Output { output: "prediction".to_owned() };
        let same = world.answer(&prices(0.0), check);
        assert_eq!((same.verdict, &same.scope), (Some(Verdict::Pass), &scope), "{check}");
        assert_eq!(world.answer(&prices(200.0), check).verdict, Some(Verdict::Breach), "{check}");
    }
}

#[test]
fn latency_quantiles_are_within_a_percent_of_the_sorted_list() {
    // Log-uniform between 0.1 ms and 100 s, in an order that is not sorted.
    let all: Vec<f64> =
        (0..20_000_u32).map(|i| 1e-1 * 10_f64.powf(6.0 * f64::from(i * 7_919 % 20_000) / 20_000.0)).collect();
    let mut sorted = all.clone();
    sorted.sort_by(f64::total_cmp);
    let rows: Vec<Value> = all.iter().map(|ms| json!({"ms": ms})).collect();
    for quantile in [0.01_f64, 0.5, 0.9, 0.99, 0.999] {
        let check = format!(
            "      - {{name: slow, metric: latency, quantile: {quantile}, window: 1m, bound: '<= 1000'}}\n"
        );
        let world = World::new(&format!("{BINARY}{check}"), &[]);
        let answer = world.answer(&rows, "slow");
        let exact = sorted[(quantile * 20_000.0).ceil() as usize - 1] / 1e3;
        let found = answer.value.unwrap();
        assert!((found / exact - 1.0).abs() < 0.01, "{quantile}: {found} for {exact}");
        let [low, high] = answer.interval.unwrap();
        assert!(low <= exact * 1.01 && exact * 0.99 <= high, "{quantile}: {low} {high}");
    }
}

/// Two versions that follow one another hour by hour, and findings of the volume of each.
fn volumes(hours: &[(&str, u64)]) -> Vec<Finding> {
    let stage = Stage::new();
    let config = stage.config(
        "
topics: [{name: t, model: '=m', allowed_lateness: 0s}]
models:
  - name: m
    topics: [t]
    task: binary
    version: /version
    time: {from: /at, unit: s}
    pane: 1h
    checks: [{name: volume, metric: traffic_volume, window: 1h, bound: '>= 10'}]
",
    );
    let rows: Vec<Value> = hours
        .iter()
        .enumerate()
        .flat_map(|(hour, (version, count))| {
            (0..*count)
                .map(move |i| json!({"at": 1_700_006_400 + 3_600 * hour as u64 + i, "version": version}))
        })
        .collect();
    let input = stage.write("traffic.ndjson", &rows);
    let (_, findings) = stage.replay(&config, &[input], None);
    assert!(fs::read_to_string(stage.path("out/findings.ndjson")).unwrap().lines().count() == findings.len());
    findings
}

#[test]
fn no_traffic_is_a_breach_unless_another_version_serves() {
    let of = |findings: &[Finding], version: &str| -> Vec<(Option<f64>, Option<Verdict>)> {
        let mine = findings.iter().filter(|finding| finding.version.as_str() == version);
        mine.map(|finding| (finding.value, finding.verdict)).collect()
    };
    let (pass, breach, insufficient) =
        (Some(Verdict::Pass), Some(Verdict::Breach), Some(Verdict::Insufficient));
    // One version, an hour of silence, and then again.
    let silent = volumes(&[("1", 100), ("1", 0), ("1", 100)]);
    assert_eq!(of(&silent, "1"), [(Some(100.0), pass), (Some(0.0), breach), (Some(100.0), pass)]);
    // The second version takes over: the first has nothing to answer for.
    let replaced = volumes(&[("1", 100), ("2", 100), ("2", 5)]);
    assert_eq!(
        of(&replaced, "1"),
        [(Some(100.0), pass), (Some(0.0), insufficient), (Some(0.0), insufficient)]
    );
    assert_eq!(of(&replaced, "2"), [(Some(100.0), pass), (Some(5.0), breach)]);
    let reason = replaced.iter().find_map(|finding| finding.reason.as_deref());
    assert_eq!(reason, Some("another version of the model serves"));
}
