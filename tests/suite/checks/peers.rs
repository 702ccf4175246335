//! Situations in which other monitoring tools were measured to raise false alarms or to miss a true
//! change, each with the verdict that it ought to get. The generator is seeded: a run is repeatable.

use plimsoll::domain::Verdict;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde_json::{Value, json};

use super::world::World;

fn model(checks: &str) -> String {
    format!(
        "
topics: [{{name: t, model: '=m'}}]
models:
  - name: m
    topics: [t]
    task: binary
    version: '=1'
    time: /t
    prediction: /prediction
    profile: unused.json
    features: [{{name: x, from: /x, type: numeric}}]
    groups: [{{name: sex, from: /sex, values: [F, M]}}]
    checks:
{checks}"
    )
}

const DRIFT: &str = "      - {name: psi, metric: psi, of: [x], window: 1m, bound: '<= 0.1'}
      - {name: ks, metric: kolmogorov_smirnov, of: [x], window: 1m, bound: '<= 0.1'}
      - {name: w1, metric: wasserstein_normalized, of: [x], window: 1m, bound: '<= 0.5'}
      - {name: nulls, metric: null_rate, of: [x], window: 1m, bound: '<= 0.05'}
      - {name: range, metric: out_of_range_rate, of: [x], window: 1m}
";

fn normals(seed: u64, count: usize, shift: f64) -> Vec<Value> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let draw = |_| {
        let value: f64 = StandardNormal.sample(&mut rng);
        json!({"x": value + shift})
    };
    (0..count).map(draw).collect()
}

#[test]
fn one_wild_value_neither_hides_a_shift_nor_makes_one() {
    let world = World::new(&model(DRIFT), &normals(1, 5_000, 0.0));
    let wild = json!({"x": 1e6});
    let mut shifted = normals(2, 5_000, 1.0);
    let before = world.answer(&shifted, "psi").value.unwrap();
    shifted.push(wild.clone());
    let psi = world.answer(&shifted, "psi");
    assert_eq!(psi.verdict, Some(Verdict::Breach));
    assert!((psi.value.unwrap() - before).abs() < 0.001 && before > 0.8, "{before} {:?}", psi.value);
    assert_eq!(world.answer(&shifted, "w1").verdict, Some(Verdict::Breach));

    let mut same = normals(3, 5_000, 0.0);
    same.push(wild);
    for check in ["psi", "ks", "w1"] {
        assert_eq!(world.answer(&same, check).verdict, Some(Verdict::Pass), "{check}");
    }
    assert!(world.answer(&same, "range").value.unwrap() > 0.0, "but it shows");
}

#[test]
fn more_missing_values_are_found_where_no_value_statistic_moves() {
    let missing = |seed: u64, every: usize| -> Vec<Value> {
        let mut rows = normals(seed, 10_000, 0.0);
        rows.iter_mut().step_by(every).for_each(|row| row["x"] = Value::Null);
        rows
    };
    let world = World::new(&model(DRIFT), &missing(4, 50));
    let rows = missing(5, 12);
    let psi = world.answer(&rows, "psi");
    assert_eq!(psi.verdict, Some(Verdict::Pass));
    assert!(psi.value.unwrap() < 0.01, "{:?}", psi.value);
    let nulls = world.answer(&rows, "nulls");
    assert_eq!(nulls.verdict, Some(Verdict::Breach));
    assert_eq!((nulls.expected, nulls.value), (Some(0.02), Some(0.0834)));
}

#[test]
fn one_unseen_name_in_ten_thousand_shows_and_alarms_nobody() {
    let text = model(
        "      - {name: psi, metric: psi, of: [c], window: 1m, bound: '<= 0.1'}
      - {name: chi, metric: chi_squared, of: [c], window: 1m, bound: '<= 100'}
      - {name: unseen, metric: unseen_rate, of: [c], window: 1m, bound: '<= 0.01'}
",
    )
    .replace("{name: x, from: /x, type: numeric}", "{name: c, from: /c, type: categorical}");
    let named = |i: usize| json!({"c": (["a", "a", "a", "b", "b", "c"][i % 6])});
    let reference: Vec<Value> = (0..10_000).map(named).collect();
    let mut rows = reference.clone();
    rows[77] = json!({"c": "never seen before"});
    let world = World::new(&text, &reference);
    for check in ["psi", "chi"] {
        let answer = world.answer(&rows, check);
        assert_eq!(answer.verdict, Some(Verdict::Pass), "{check}: {answer:?}");
        assert!(answer.p_value.unwrap() > 0.3, "{check}: {answer:?}");
    }
    let unseen = world.answer(&rows, "unseen");
    assert_eq!((unseen.value, unseen.verdict), (Some(1e-4), Some(Verdict::Pass)));
}

#[test]
fn a_harmless_shift_on_a_large_window_is_significant_and_no_breach() {
    let world = World::new(&model(DRIFT), &normals(6, 100_000, 0.0));
    let rows = normals(7, 100_000, 0.02);
    for check in ["psi", "ks", "w1"] {
        let answer = world.answer(&rows, check);
        assert_eq!(answer.verdict, Some(Verdict::Pass), "{check}: {answer:?}");
    }
    let p = world.answer(&rows, "ks").p_value.unwrap();
    assert!(p < 0.01, "a p-value alone would have raised an alarm: {p}");
}

#[test]
fn small_windows_without_drift_raise_no_alarm() {
    let world = World::new(&model(DRIFT), &normals(8, 5_000, 0.0));
    let rows = normals(9, 300 * 100, 0.0);
    let mut above = 0;
    for window in rows.chunks(100) {
        let psi = world.answer(window, "psi");
        assert_ne!(psi.verdict, Some(Verdict::Breach), "{psi:?}");
        above += usize::from(psi.value.unwrap() > 0.1);
    }
    assert!(above > 60, "the value alone is above the bound in {above} of 300 windows");
}

#[test]
fn a_fair_model_seen_through_its_last_hundred_rows_is_not_accused() {
    let text = model(
        "      - {name: gap, metric: selection_rate_difference, window: 1m, bound: '<= 0.1', min_group: 10}
      - {name: ratio, metric: selection_rate_ratio, window: 1m, bound: '>= 0.8', min_group: 10}
",
    );
    let mut rng = ChaCha8Rng::seed_from_u64(10);
    let mut coin = move || {
        let value: f64 = StandardNormal.sample(&mut rng);
        value > 0.0
    };
    let rows: Vec<Value> = (0..300 * 100)
        .map(|_| {
            let sex = if coin() { "F" } else { "M" };
            json!({"sex": sex, "prediction": u8::from(coin()), "x": 1})
        })
        .collect();
    let world = World::new(&text, &rows[..1_000]);
    let (mut beyond, mut accused) = (0, 0);
    for window in rows.chunks(100) {
        let (gap, ratio) = (world.answer(window, "gap"), world.answer(window, "ratio"));
        beyond += usize::from(gap.value.unwrap() > 0.1);
        accused +=
            usize::from(gap.verdict == Some(Verdict::Breach) || ratio.verdict == Some(Verdict::Breach));
    }
    assert!(beyond > 60, "the value alone is beyond 0.1 in {beyond} of 300 windows");
    assert!(accused <= 3, "{accused} of 300 windows accuse a fair model");
}
