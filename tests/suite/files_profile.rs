//! A reference profile on its way through a file: what is read is what was frozen, nothing else is
//! taken for it, and counts of two references never meet.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use plimsoll::app::compile::{self, read_profile, topics};
use plimsoll::domain::{Accounting, EventTime, ModelKey, SourcePartition};
use plimsoll::engine::evaluator::Merged;
use plimsoll::engine::{Evaluator, Offsets, PaneDelta, Progress, SourceProgress};
use plimsoll::profile::{Error, Profile};
use serde_json::{Value, json};

use super::checks::world::{World, configured, frozen};
use super::replay::Stage;

const MODEL: &str = "
topics: [{name: t, model: '=credit'}]
models:
  - name: credit
    topics: [t]
    task: binary
    version: '=1'
    time: {from: /at, unit: s}
    prediction: {from: /prediction, positive: yes}
    score: /score
    profile: reference.json
    features:
      - {name: income, from: /income, type: numeric}
      - {name: region, from: /region, type: categorical}
    groups: [{name: sex, from: /sex, values: [F, M]}, {name: race, from: /race, values: [p, q]}]
    intersections: [[sex, race]]
    segments: [{name: channel, from: /channel}]
    checks: [{name: drift, metric: psi, window: 1m, min_samples: 1}]
";

fn rows(shift: f64) -> Vec<Value> {
    (0..1_500_u32)
        .map(|i| {
            json!({
                "at": 1_700_006_400 + i64::from(i) / 100,
                "prediction": (["yes", "no"][i as usize % 2]),
                "score": f64::from(i % 100) / 99.0,
                "income": f64::from(i * 7_919 % 1_500) / 3.0 + shift,
                "region": (["north", "south", "östlich \"x\""][i as usize % 3]),
                "sex": (["F", "M"][i as usize % 2]),
                "race": (["p", "q"][i as usize / 2 % 2]),
                "channel": (["web", "branch"][i as usize / 5 % 2]),
            })
        })
        .collect()
}

fn reference() -> Profile {
    frozen(&configured(MODEL), &rows(0.0))
}

#[test]
fn what_is_read_back_is_what_was_frozen() {
    let stage = Stage::new();
    let profile = reference();
    let path = stage.path("reference.json");
    fs::write(&path, profile.to_json()).unwrap();
    let read = read_profile("credit", &path).unwrap();
    assert_eq!(read, profile);
    assert_eq!(read.to_json(), profile.to_json());
    assert!(profile.hash.as_str().starts_with("sha256:") && profile.hash.as_str().len() == 71);
}

#[test]
fn the_same_rows_in_another_order_or_file_are_the_same_reference() {
    let stage = Stage::new();
    let config = stage.config(MODEL);
    let rows = rows(0.0);
    let whole = stage.write("all.ndjson", &rows);
    let parts = [
        stage.write("b.ndjson", rows[700..].iter().rev()),
        stage.write("a.ndjson", rows[..700].iter().rev()),
    ];
    let profile = stage.freeze(&config, &[whole]);
    assert_eq!(stage.freeze(&config, &parts), profile);
    assert_eq!(profile, reference());
}

#[test]
fn a_changed_byte_is_refused() {
    let profile = reference();
    let text = profile.to_json().into_bytes();
    let mut refused = BTreeMap::new();
    for place in (0..text.len()).step_by(7) {
        let mut changed = text.clone();
        changed[place] = match text[place] {
            b'9' => b'3',
            digit @ b'0'..=b'8' => digit + 1,
            b'a' => b'b',
            letter if letter.is_ascii_alphabetic() => b'a',
            _ => continue,
        };
        let kind = match Profile::from_json(&changed) {
            Err(Error::Hash { .. }) => "hash",
            Err(Error::Json(_)) => "json",
            Err(Error::Format { .. }) => "format",
            Err(error) => panic!("{error}"),
            // The last of 17 digits may not matter: the same number, written otherwise.
            Ok(read) if read == profile => "the same",
            Ok(_) => {
                panic!("byte {place} was changed: {}", String::from_utf8_lossy(&changed[place - 20..=place]))
            }
        };
        *refused.entry(kind).or_insert(0) += 1;
    }
    assert!(refused["hash"] > 100, "{refused:?}");
    assert!(refused.get("the same").is_none_or(|same| same * 20 < refused["hash"]), "{refused:?}");
}

#[test]
fn each_kind_of_wrong_file_is_named() {
    let stage = Stage::new();
    let config = stage.config(MODEL);
    let run = |content: Option<&str>| {
        let path = stage.path("reference.json");
        match content {
            Some(content) => fs::write(path, content).unwrap(),
            None => drop(fs::remove_file(path)),
        }
        let [error] = &topics(&config, &BTreeMap::new()).unwrap_err()[..] else { panic!("one model") };
        let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {cause}")
    };
    let good = reference().to_json();
    let missing = run(None);
    assert!(missing.contains("models[credit].profile") && missing.contains("plimsoll profile"), "{missing}");
    assert!(run(Some("not json")).contains("not a reference profile"));
    let other = run(Some(&good.replace("plimsoll.profile/1", "plimsoll.profile/9")));
    assert!(other.contains("plimsoll.profile/9") && other.contains("plimsoll.profile/1"), "{other}");
    let edited = run(Some(&good.replacen("\"rows\": 1500", "\"rows\": 1501", 1)));
    assert!(edited.contains("changed after it was made"), "{edited}");
}

#[test]
fn a_profile_of_something_else_is_refused_with_what_differs() {
    let profile = reference();
    let refusal = |from: &str, to: &str| {
        let text = MODEL.replace(from, to);
        assert_ne!(text, MODEL, "{from}");
        let config = configured(&text);
        let profiles = BTreeMap::from([(config.models[0].name.clone(), profile.clone())]);
        let errors = topics(&config, &profiles).unwrap_err();
        let [error @ compile::Error::Mismatch { .. }] = &errors[..] else { panic!("{errors:?}") };
        error.to_string()
    };
    for (from, to, said) in [
        ("credit", "fraud", "it describes the model `credit`"),
        ("name: income", "name: wage", "no column `wage`"),
        ("from: /income, type: numeric", "from: /income, type: categorical", "`income` is of the other type"),
        ("positive: yes", "positive: no", "another outcome was positive"),
        ("    intersections: [[sex, race]]\n", "", "groups and intersections are others"),
        ("values: [F, M]", "values: [F, M, X]", "`sex` has other values"),
        ("from: /channel}", "from: /channel, values: [web]}", "`channel` has other values"),
    ] {
        let message = refusal(from, to);
        assert!(message.contains(said), "{from} -> {to}: {message}");
        assert!(message.contains("plimsoll profile --model"), "what to do about it: {message}");
    }
    let multiclass = refusal("task: binary", "task: multiclass");
    assert!(multiclass.contains("it describes a binary model"), "{multiclass}");
    // Where a column is found, and what is asked, may change without a new reference.
    let moved =
        MODEL.replace("from: /income", "from: /features/income").replace("metric: psi", "metric: hellinger");
    let profiles = BTreeMap::from([("credit".to_owned(), profile)]);
    assert!(topics(&configured(&moved), &profiles).is_ok());
}

#[test]
fn a_new_reference_has_a_new_hash_and_its_windows_do_not_mix_with_the_old_ones() {
    let (old, new) = (World::new(MODEL, &rows(0.0)), World::new(MODEL, &rows(50.0)));
    assert_ne!(old.spec.profile_hash(), new.spec.profile_hash());
    assert_ne!(old.key(), new.key());

    let source = SourcePartition::new("t", 0);
    let start = EventTime::from_millis(1_700_006_400_000);
    let delta = |world: &World, key: ModelKey| PaneDelta {
        source: source.clone(),
        offsets: Offsets { from: 0, to: 1 },
        layout: world.spec.layout_id,
        key,
        pane: start,
        summary: world.count(&rows(50.0)),
    };
    let mut evaluator = Evaluator::new([Arc::clone(&new.spec)]);
    assert_eq!(evaluator.merge(delta(&old, old.key())), Merged::Foreign, "counted on the old cells");
    assert_eq!(evaluator.merge(delta(&new, new.key())), Merged::Counted);
    evaluator.expect(source.clone());
    let ended = SourceProgress {
        source: source.clone(),
        offsets: Some(Offsets { from: 0, to: 1 }),
        watermark: Some(start),
        idle: true,
        finished: true,
        counted: Accounting::default(),
        rejected: BTreeMap::new(),
    };
    let evaluated = evaluator.advance(&Progress { sources: vec![ended], ..Progress::default() });
    assert_eq!(evaluated.faults, []);
    assert!(evaluator.intake().faults().foreign_rows > 0, "what was refused is not hidden");
    assert!(!evaluated.findings.is_empty());
    for finding in &evaluated.findings {
        assert_eq!(finding.reference, new.spec.profile_hash());
        assert_eq!(finding.n, 1_500, "without the rows that were counted on the old cells");
    }
}

#[test]
fn the_reference_that_is_in_the_file_is_the_one_that_findings_name() {
    let stage = Stage::new();
    let config = stage.config(MODEL);
    let input = stage.write("now.ndjson", &rows(0.0));
    let mut seen = Vec::new();
    for shift in [0.0, 400.0] {
        let reference = stage.write("before.ndjson", &rows(shift));
        let profile = stage.freeze(&config, &[reference]);
        let (_, findings) = stage.replay(&config, std::slice::from_ref(&input), None);
        let income = findings.iter().find(|finding| finding.scope.to_string() == "income").unwrap();
        assert_eq!(income.reference.as_ref(), Some(&profile.hash));
        seen.push(income.value.unwrap());
    }
    assert!(seen[0] < 1e-12 && seen[1] > 1.0, "{seen:?}");
}
