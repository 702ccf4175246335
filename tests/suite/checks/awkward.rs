//! Every metric on windows that break naive statistics: each answers with a number or a reason.

use plimsoll::domain::metric::Family;
use plimsoll::domain::{Finding, Metric, Task, Verdict};
use serde_json::{Value, json};

use super::world::World;

/// A model of `task` with every metric that serves it, each with a bound.
fn everything(task: Task) -> String {
    let fractions = |metric: &Metric| match metric.family() {
        Family::Latency => "<= 1",
        Family::Traffic => ">= 1",
        _ => "<= 0.2",
    };
    let line = |metric: &Metric, of: &str| {
        let bound = fractions(metric);
        format!(
            "      - {{name: {metric}{}, metric: {metric}{of}, window: 1m, bound: '{bound}'}}\n",
            of.len()
        )
    };
    let mut checks = String::new();
    for metric in Metric::ALL.iter().filter(|metric| metric.serves(task)) {
        checks.push_str(&line(metric, ""));
        let for_outputs = matches!(metric.family(), Family::Drift) || *metric == Metric::NullRate;
        let numbers_only =
            matches!(metric, Metric::KolmogorovSmirnov | Metric::Wasserstein | Metric::WassersteinNormalized);
        if metric.family() == Family::Drift {
            checks.push_str(&line(metric, ", of: anomaly"));
        }
        if for_outputs {
            checks.push_str(&line(metric, ", of: score"));
            if !numbers_only || task == Task::Regression {
                checks.push_str(&line(metric, ", of: prediction"));
            }
        }
    }
    let positive = if task == Task::Multiclass { "{from: /prediction, positive: a}" } else { "/prediction" };
    format!(
        "
topics: [{{name: t, model: '=m'}}]
models:
  - name: m
    topics: [t]
    task: {}
    version: '=1'
    time: /t
    prediction: {positive}
    score: /score
    label: /label
    latency: {{from: /ms, unit: ms}}
    profile: unused.json
    anomaly: {{one_in: 1}}
    features:
      - {{name: number, from: /number, type: numeric}}
      - {{name: name, from: /name, type: categorical}}
      - {{name: constant, from: /constant, type: numeric}}
      - {{name: one-name, from: /one, type: categorical}}
      - {{name: nothing, from: /nothing, type: numeric}}
      - {{name: no-name, from: /no_name, type: categorical}}
    groups: [{{name: sex, from: /sex}}, {{name: race, from: /race}}, {{name: nobody, from: /nobody}}]
    checks:
{checks}",
        task.name()
    )
}

fn row(task: Task, i: usize) -> Value {
    let outcome = |i: usize| match task {
        Task::Binary => json!(i.is_multiple_of(3)),
        Task::Multiclass => json!(["a", "b", "c"][i % 3]),
        Task::Regression => json!((i * i % 97) as f64 / 7.0),
    };
    json!({
        "prediction": outcome(i),
        "label": outcome(i / 2),
        "score": (i % 101) as f64 / 100.0,
        "ms": i % 50,
        "number": ((i * 7919) % 1000) as f64,
        "name": (["x", "y", "z"][i % 3]),
        "constant": 3,
        "one": "same",
        "sex": (["F", "M"][i % 2]),
        "race": (["p", "q", "r"][i % 3]),
    })
}

/// Rows like those of the reference, each changed by `change`.
fn rows(task: Task, count: usize, change: impl Fn(usize, &mut Value)) -> Vec<Value> {
    let changed = |i| {
        let mut row = row(task, i);
        change(i, &mut row);
        row
    };
    (0..count).map(changed).collect()
}

fn of<'a>(findings: &'a [Finding], check: &'a str) -> impl Iterator<Item = &'a Finding> {
    findings.iter().filter(move |finding| finding.check == check)
}

#[test]
fn every_metric_of_every_task_has_a_defined_answer_to_every_odd_window() {
    for task in [Task::Binary, Task::Multiclass, Task::Regression] {
        let world = World::new(&everything(task), &rows(task, 2_000, |_, _| {}));
        let set = |key: &'static str, value: Value| move |_: usize, row: &mut Value| row[key] = value.clone();
        let all_null = |_: usize, row: &mut Value| {
            row.as_object_mut().unwrap().values_mut().for_each(|value| *value = Value::Null);
        };
        let nested = |_: usize, row: &mut Value| {
            row.as_object_mut().unwrap().values_mut().for_each(|value| *value = json!({"deep": [1]}));
        };
        let extremes = |i: usize, row: &mut Value| {
            for key in ["number", "constant", "score", "ms", "nothing"] {
                row[key] = [json!("NaN"), json!("Infinity"), json!("-Infinity"), json!(1e308), json!(-1e308)]
                    [i % 5]
                    .clone();
            }
        };
        let odd: Vec<(&str, Vec<Value>)> = vec![
            ("empty", Vec::new()),
            ("one row", rows(task, 1, |_, _| {})),
            ("two rows", rows(task, 2, |_, _| {})),
            ("like the reference", rows(task, 2_000, |_, _| {})),
            ("all null", rows(task, 300, all_null)),
            ("all nested", rows(task, 300, nested)),
            ("extreme numbers", rows(task, 300, extremes)),
            ("one constant number", rows(task, 300, set("number", json!(17)))),
            ("one name", rows(task, 300, set("name", json!("x")))),
            ("unseen name", rows(task, 300, set("name", json!("new")))),
            ("one group", rows(task, 300, set("sex", json!("F")))),
            ("unknown group", rows(task, 300, set("sex", json!("X")))),
            ("no group", rows(task, 300, set("sex", Value::Null))),
            ("no label", rows(task, 300, set("label", Value::Null))),
            ("no prediction", rows(task, 300, set("prediction", Value::Null))),
            ("unknown outcome", rows(task, 300, set("prediction", json!("never before")))),
            ("scores that are no probabilities", rows(task, 300, set("score", json!(7)))),
            ("certain and wrong", rows(task, 300, set("score", json!(1)))),
        ];
        for (window, rows) in odd {
            // `ask` looks at every finding: defined, finite, the same after JSON, and no check silent.
            let findings = world.ask(&world.count(&rows));
            for finding in &findings {
                assert!(finding.verdict.is_some(), "{window}: {finding:?}");
                if finding.value.is_none() {
                    assert_eq!(finding.verdict, Some(Verdict::Insufficient), "{window}: {finding:?}");
                }
                if rows.is_empty() && finding.metric != Metric::TrafficVolume {
                    assert_eq!((finding.value, finding.n), (None, 0), "{window}: {finding:?}");
                }
            }
        }
    }
}

#[test]
fn an_empty_window_is_a_breach_of_volume_and_of_nothing_else() {
    let world = World::new(&everything(Task::Binary), &rows(Task::Binary, 2_000, |_, _| {}));
    for finding in world.ask(&world.count(&[])) {
        let expected =
            if finding.metric == Metric::TrafficVolume { Verdict::Breach } else { Verdict::Insufficient };
        assert_eq!(finding.verdict, Some(expected), "{finding:?}");
    }
}

#[test]
fn columns_that_never_change_pass_and_show_when_they_do() {
    let task = Task::Binary;
    let world = World::new(&everything(task), &rows(task, 2_000, |_, _| {}));
    let verdicts = |rows: &[Value], check: &str| -> Vec<(String, Option<Verdict>)> {
        let findings = world.ask(&world.count(rows));
        of(&findings, check).map(|finding| (finding.scope.to_string(), finding.verdict)).collect()
    };
    let of_column = |rows: &[Value], check: &str, column: &str| {
        verdicts(rows, check).into_iter().find(|(scope, _)| scope == column).unwrap().1
    };
    let same = rows(task, 2_000, |_, _| {});
    let changed = rows(task, 2_000, |i, row| {
        if i % 2 == 0 {
            row["constant"] = json!(3.5);
            row["one"] = json!("another");
        }
    });
    for column in ["constant", "one-name"] {
        for check in ["psi0", "jensen_shannon0", "hellinger0", "total_variation0"] {
            assert_eq!(of_column(&same, check, column), Some(Verdict::Pass), "{check} {column}");
            assert_eq!(of_column(&changed, check, column), Some(Verdict::Breach), "{check} {column}");
        }
    }
    assert_eq!(of_column(&changed, "kolmogorov_smirnov0", "constant"), Some(Verdict::Breach));
    // Their distance in the column's unit has no yardstick, and none is made up.
    assert_eq!(of_column(&changed, "wasserstein0", "constant"), Some(Verdict::Insufficient));
    // Columns of which the reference has no value are never judged, and never silent.
    for column in ["nothing", "no-name"] {
        assert_eq!(of_column(&same, "psi0", column), Some(Verdict::Insufficient));
        assert_eq!(of_column(&same, "null_rate0", column), Some(Verdict::Breach), "all of it is missing");
    }
    assert_eq!(of_column(&same, "out_of_range_rate0", "nothing"), Some(Verdict::Insufficient));
}

#[test]
fn a_reference_with_too_many_names_calls_none_of_them_unseen() {
    let text = "
topics: [{name: t, model: '=m'}]
models:
  - name: m
    topics: [t]
    task: binary
    version: '=1'
    time: /t
    profile: unused.json
    features: [{name: id, from: /id, type: categorical}]
    checks: [{name: unseen, metric: unseen_rate, window: 1m, bound: '<= 0.01'}]
";
    let names = |from: usize, count: usize| -> Vec<Value> {
        (from..from + count).map(|i| json!({"id": format!("n{i}")})).collect()
    };
    let few = World::new(text, &names(0, 9_000));
    assert_eq!(few.answer(&names(20_000, 500), "unseen").verdict, Some(Verdict::Breach));
    let many = World::new(text, &names(0, 11_000));
    let answer = many.answer(&names(20_000, 500), "unseen");
    assert_eq!(
        (answer.verdict, answer.value),
        (Some(Verdict::Insufficient), None),
        "not 0, which would pass"
    );
    assert!(answer.reason.unwrap().contains("more distinct values"));
}
