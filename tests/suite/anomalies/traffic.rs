//! The anomaly score on its way from the reference to a finding: who is scored, where the scores are
//! counted, and what is said of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plimsoll::app::compile::{file_limits, topics};
use plimsoll::app::profiling::Freezer;
use plimsoll::config;
use plimsoll::domain::{EventTime, ModelKey, SourcePartition, Verdict};
use plimsoll::engine::Observer;
use plimsoll::ingest::decoder::Decoder;
use plimsoll::ingest::source::RawRecord;
use plimsoll::profile::Profile;
use plimsoll::record::BatchBuilder;
use plimsoll::sketch::Summary;
use plimsoll::stats::stable_hash::mix;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::checks::world::{World, configured, frozen};
use crate::replay::Stage;

/// Event time of the first row, milliseconds; a whole minute.
const START: i64 = 1_700_000_040_000;

fn model(anomaly: &str) -> String {
    format!(
        "
topics: [{{name: t, model: '=m', allowed_lateness: 1h}}]
models:
  - name: m
    topics: [t]
    task: binary
    version: '=1'
    time: {{from: /at, unit: ms}}
    id: /id
    prediction: /prediction
    profile: unused.json
    features:
      - {{name: income, from: /income, type: numeric}}
      - {{name: age, from: /age, type: numeric}}
      - {{name: region, from: /region, type: categorical}}
    anomaly: {anomaly}
    checks:
      - {{name: anomalies, metric: anomaly_rate, window: 1m, bound: '<= 0.05'}}
      - {{name: scores, metric: psi, of: anomaly, window: 1m, bound: '<= 0.1'}}
"
    )
}

/// `count` rows of stream `seed`.
fn rows(seed: u64, count: u64) -> Vec<Value> {
    let unit =
        |i: u64, column: u64| (mix(mix(seed) ^ mix(i * 1_024 + column)) >> 11) as f64 / (1_u64 << 53) as f64;
    // A sum of uniform numbers is near enough to a normal one.
    let normal = |i: u64, column: u64| (0..12).map(|part| unit(i, column * 12 + part)).sum::<f64>() - 6.0;
    let region = |unit: f64| match unit {
        ..0.005 => "isle",
        ..0.4 => "north",
        _ => "south",
    };
    (0..count)
        .map(|i| {
            json!({
                "at": START + 60 * i as i64,
                "id": format!("request-{seed}-{i}"),
                "prediction": i % 3 == 0,
                "income": 40_000.0 + 9_000.0 * normal(i, 0),
                "age": (45.0 + 12.0 * normal(i, 1)).round(),
                "region": (region(unit(i, 400))),
            })
        })
        .collect()
}

fn changed(rows: Vec<Value>, change: impl Fn(usize, &mut Value)) -> Vec<Value> {
    let change = |(i, mut row): (usize, Value)| {
        change(i, &mut row);
        row
    };
    rows.into_iter().enumerate().map(change).collect()
}

#[test]
fn ordinary_records_pass_and_records_that_lie_apart_breach_and_say_why() {
    let world = World::new(&model("{one_in: 1}"), &rows(1, 8_000));
    let ordinary = world.answer(&rows(2, 4_000), "anomalies");
    assert_eq!((ordinary.verdict, ordinary.n), (Some(Verdict::Pass), 4_000));
    let (value, expected) = (ordinary.value.unwrap(), ordinary.expected.unwrap());
    assert!((0.009..=0.01).contains(&expected), "{expected}");
    assert!((0.004..0.02).contains(&value), "{value}");
    assert_eq!(ordinary.n_reference, Some(4_000), "the half that trained no tree");

    let odd = changed(rows(2, 4_000), |i, row| {
        if i % 5 == 0 {
            row["income"] = json!(400_000);
        }
    });
    let rate = world.answer(&odd, "anomalies");
    assert_eq!(rate.verdict, Some(Verdict::Breach));
    // Not all of the fifth: a value far outside counts as the reference's most extreme one does.
    assert!((0.1..0.22).contains(&rate.value.unwrap()), "{:?}", rate.value);
    assert_eq!(rate.standing_out[0].feature, "income");
    assert!(rate.standing_out[0].count > 400, "{:?}", rate.standing_out);
    assert_eq!(world.answer(&odd, "scores").verdict, Some(Verdict::Breach));
    assert_eq!(world.answer(&rows(2, 4_000), "scores").verdict, Some(Verdict::Pass));

    // A name that was never seen counts like the rarest of the reference.
    let unseen = changed(rows(2, 2_000), |_, row| row["region"] = json!("moon"));
    assert_eq!(world.answer(&unseen, "anomalies").standing_out[0].feature, "region");
}

#[test]
fn a_missing_value_is_no_anomaly_of_its_own() {
    let world = World::new(&model("{one_in: 1}"), &rows(1, 4_000));
    let missing = changed(rows(2, 500), |i, row| {
        for key in ["income", "age", "region"] {
            row[key] = [Value::Null, json!("NaN"), json!([1])][i % 3].clone();
        }
        row["region"] = Value::Null;
    });
    let answer = world.answer(&missing, "anomalies");
    assert_eq!((answer.value, answer.verdict), (Some(0.0), Some(Verdict::Pass)));
    assert!(answer.standing_out.is_empty());
}

#[test]
fn the_same_reference_rows_in_any_order_grow_the_same_forest() {
    let config = configured(&model("{seed: 3}"));
    let profile = frozen(&config, &rows(1, 3_000));
    let mut other: Vec<Value> = rows(1, 3_000);
    other.reverse();
    other.rotate_left(700);
    assert_eq!(frozen(&config, &other), profile);
    let read = Profile::from_json(profile.to_json().as_bytes()).unwrap();
    assert_eq!(read, profile);
    let counts = profile.anomaly_counts(&profile.summary).unwrap();
    assert_eq!((counts.scored, counts.above), (1_500, 15));
    assert!(profile.to_json().len() < 600_000, "{}", profile.to_json().len());
    assert_ne!(frozen(&configured(&model("{seed: 4}")), &rows(1, 3_000)).hash, profile.hash);
}

#[test]
fn a_profile_without_a_forest_is_written_as_before() {
    let text = model("null").replace("    anomaly: null\n", "");
    let text = text.split("    checks:").next().unwrap().to_owned();
    let json: Value = serde_json::from_str(&frozen(&configured(&text), &rows(1, 300)).to_json()).unwrap();
    assert!(json.get("anomaly").is_none() && json["summary"].get("standing_out").is_none());
    assert_eq!(json["layout"]["columns"].as_array().unwrap().len(), 4);
}

#[test]
fn a_reference_that_is_too_small_is_refused_in_words() {
    let mut freezer = Freezer::new(&configured(&model("{}")), "m").unwrap();
    for row in rows(1, 199) {
        freezer.take(row.to_string().as_bytes(), String::new);
    }
    let error = format!("{:#}", freezer.finish().unwrap_err());
    assert!(error.contains("at least 200 reference rows, and there are 199"), "{error}");
}

#[test]
fn a_profile_whose_forest_is_another_or_missing_is_refused() {
    let without = model("{}").replace("    anomaly: {}\n", "");
    let without = without.split("    checks:").next().unwrap().to_owned();
    let refusal = |made_with: &str, used_with: &str| {
        let profile = frozen(&configured(made_with), &rows(1, 400));
        let profiles = BTreeMap::from([("m".to_owned(), profile)]);
        topics(&configured(used_with), &profiles).map(drop).map_err(|errors| errors[0].to_string())
    };
    let missing = refusal(&without, &model("{}")).unwrap_err();
    assert!(missing.contains("it has no isolation forest"), "{missing}");
    let other = refusal(&model("{trees: 50}"), &model("{}")).unwrap_err();
    assert!(other.contains("other `trees`, `samples` or `seed`"), "{other}");
    // How many are scored is no part of the forest, and a forest may lie unused.
    assert_eq!(refusal(&model("{one_in: 3}"), &model("{}")), Ok(()));
    assert_eq!(refusal(&model("{}"), &without), Ok(()));
}

#[test]
fn what_the_score_needs_is_said_with_its_key() {
    let wrong = |text: &str| {
        let errors = config::parse(text, Path::new("plimsoll.yaml"), []).unwrap_err();
        errors.to_string()
    };
    let text = model("{}");
    let bare = text.replace("    profile: unused.json\n", "");
    assert!(wrong(&bare).contains("models[0].anomaly: needs a `profile`"), "{}", wrong(&bare));
    let none = wrong(&text.replace("    anomaly: {}\n", ""));
    assert!(none.contains("checks[0].metric: `anomaly_rate` needs an `anomaly`"), "{none}");
    assert!(none.contains("checks[1].of: there is no feature `anomaly`"), "{none}");
    let quality = wrong(&text.replace("metric: psi", "metric: null_rate"));
    assert!(quality.contains("checks[1].of: `anomaly` is for drift checks"), "{quality}");
    let range = wrong(&model("{trees: 1001, samples: 1, one_in: 0}"));
    for key in ["trees", "samples", "one_in"] {
        assert!(range.contains(&format!("models[0].anomaly.{key}")), "{range}");
    }
    let taken = wrong(&text.replace("name: age,", "name: anomaly,"));
    assert!(taken.contains("choose another name"), "{taken}");
}

/// Counts of every pane of `rows`, which come in eight partitions that `observers` share and that each
/// is counted in batches of `batch` rows.
fn summaries(
    text: &str,
    profile: &Profile,
    rows: &[Value],
    observers: usize,
    batch: usize,
) -> BTreeMap<(ModelKey, EventTime), Summary> {
    let config = configured(text);
    let profiles = BTreeMap::from([("m".to_owned(), profile.clone())]);
    let topic = topics(&config, &profiles).unwrap().remove(0);
    let model = &topic.models[0];
    let mut decoder = Decoder::new(&topic.mapping, file_limits(&config));
    let hour = Duration::from_secs(3_600);
    let partitions: Vec<SourcePartition> = (0..8).map(|number| SourcePartition::new("t", number)).collect();
    let mut watchers: Vec<Observer> = (0..observers).map(|_| Observer::default()).collect();
    let mut builders: Vec<BatchBuilder> =
        (0..8).map(|_| BatchBuilder::new(Arc::clone(&model.schema))).collect();
    for (number, partition) in partitions.iter().enumerate() {
        watchers[number % observers].assign(partition.clone(), hour, hour, Some(0), None, 0);
    }
    for (i, row) in rows.iter().enumerate() {
        let number = (mix(i as u64) % 8) as usize;
        let (partition, observer) = (&partitions[number], &mut watchers[number % observers]);
        let text = row.to_string();
        let value = Some(text.as_bytes());
        let record = RawRecord { partition, offset: i as i64, key: None, value, headers: &[] };
        let decoded = decoder.decode(&record, i64::MAX / 2).unwrap();
        observer.read(partition, i as i64, 0);
        assert!(observer.admit(partition, decoded.times()[0]));
        builders[number].append_identified(
            decoded.times()[0],
            None,
            decoded.version(0),
            decoded.id(0),
            decoded.cells(0),
        );
        if builders[number].rows() >= batch {
            observer.count(partition, model, &builders[number].finish());
        }
    }
    let mut merged: BTreeMap<(ModelKey, EventTime), Summary> = BTreeMap::new();
    for (number, builder) in builders.iter_mut().enumerate() {
        watchers[number % observers].count(&partitions[number], model, &builder.finish());
    }
    for observer in watchers.iter_mut().rev() {
        for delta in observer.flush(0).deltas {
            let pane = (delta.key, delta.pane);
            merged.entry(pane).or_insert_with(|| Summary::new(&model.layout)).merge(&delta.summary);
        }
    }
    merged
}

/// Rows of which some are anomalous.
fn mixed(count: u64) -> Vec<Value> {
    changed(rows(5, count), |i, row| {
        if i % 7 == 0 {
            row["age"] = json!(190 + i % 10);
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Scoring depends on the record alone: one observer or eight, small batches or large, by id or
    /// by value, the panes are the same to the byte.
    #[test]
    fn any_number_of_observers_and_any_batches_give_the_same_panes(
        observers in 1_usize..=8,
        batch in 1_usize..600,
        identified in any::<bool>(),
    ) {
        let mut text = model("{one_in: 4, trees: 20}");
        if !identified {
            text = text.replace("    id: /id\n", "");
        }
        let profile = frozen(&configured(&text), &rows(1, 600));
        let traffic = mixed(2_500);
        let panes = |observers, batch| -> Vec<(ModelKey, EventTime, Vec<u8>)> {
            let summaries = summaries(&text, &profile, &traffic, observers, batch);
            summaries.into_iter().map(|((key, pane), summary)| (key, pane, summary.encode())).collect()
        };
        let whole = panes(1, usize::MAX);
        prop_assert!(whole.len() >= 2);
        prop_assert_eq!(panes(observers, batch), whole);
    }
}

#[test]
fn one_in_ten_is_scored_and_a_repeated_id_is_in_the_sample_wherever_it_comes() {
    let text = model("{}");
    let profile = frozen(&configured(&text), &rows(1, 600));
    let world = World::new(&text, &rows(1, 600));
    // Without ids the choice is by time and values; both are one in ten, five standard deviations wide.
    let scored = |summary: &Summary| profile.anomaly_counts(summary).unwrap().scored;
    let by_value = scored(&world.count(&rows(9, 5_000)));
    assert!((394..=606).contains(&by_value), "{by_value}");
    // Rows that differ in everything but their id are scored alike: all of them, or none.
    let mut chosen = 0;
    for number in 0..60 {
        let same = changed(rows(9, 50), |_, row| row["id"] = json!(format!("r{number}")));
        let scored: u64 = summaries(&text, &profile, &same, 3, 10).values().map(scored).sum();
        assert!(scored == 0 || scored == 50, "{scored} of 50");
        chosen += scored / 50;
    }
    assert!((1..=17).contains(&chosen), "{chosen} of 60");
}

#[test]
fn a_replay_scores_the_records_that_their_ids_choose_and_reads_the_forest_from_the_file() {
    let stage = Stage::new();
    let text = model("{}").replace("unused.json", "reference.json");
    let config = stage.config(&text);
    let profile = stage.freeze(&config, &[stage.write("before.ndjson", &rows(1, 2_000))]);
    let traffic = changed(rows(3, 4_000), |_, row| {
        row["income"] = json!(60_000);
        row["age"] = json!(88);
    });
    let (_, findings) = stage.replay(&config, &[stage.write("now.ndjson", &traffic)], None);
    let rates: Vec<_> = findings.iter().filter(|finding| finding.check == "anomalies").collect();
    let counts: Vec<_> = summaries(&text, &profile, &traffic, 8, 50).into_values().collect();
    let expected = counts.iter().map(|summary| profile.anomaly_counts(summary).unwrap().scored);
    assert!(rates.iter().map(|finding| finding.n).eq(expected), "each window is one pane");
    assert_eq!(rates[0].reference, Some(profile.hash.clone()));
    let (first, last) = (&rates[0].standing_out, &rates[1].standing_out);
    assert!([first, last].iter().all(|reasons| reasons[0].feature == "age"), "{first:?} {last:?}");
    // A finding without reasons is written as before.
    let scores = findings.iter().find(|finding| finding.check == "scores").unwrap();
    assert!(serde_json::to_value(scores).unwrap().get("standing_out").is_none());
    assert!(serde_json::to_value(rates[0]).unwrap().get("standing_out").is_some());
}
