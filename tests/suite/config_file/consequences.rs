//! One mistake of shape is one error: it neither hides what else is wrong nor makes anything else wrong.

use std::path::{Path, PathBuf};

use plimsoll::config;
use serde_json::{Value, json};

use super::{assert_lines, errors};

/// Uses every optional key that another one leans on.
const WOVEN: &str = r#"
false_alarm_budget: {count: 2, per: 28d}
topics: [{name: inference, model: =credit, allowed_lateness: 1s, idle_after: 1s}]
models:
  - name: credit
    topics: [inference]
    task: multiclass
    tenant: /tenant
    version: /version
    time: {from: /ts, unit: ms}
    prediction: {from: /prediction, positive: approved}
    score: /score
    label: /label
    latency: {from: /latency, unit: ms}
    features: [{name: income, from: /income, type: numeric}, {name: region, from: /region, type: categorical}]
    groups: [{name: sex, from: /sex, values: [F, M]}, {name: race, from: /race}]
    intersections: [[sex, race]]
    segments: [{name: channel, from: /channel}]
    profile: profile.json
    calibration: calibration.yaml
    false_alarm_budget: {count: 0.5, per: 2d, reference_error: 0.001}
    live: {versions: 3, tenants: 2, starts: 1}
    pane: 10s
    checks:
      - {name: drift, metric: kolmogorov_smirnov, of: [income], window: 30s, slide: 10s, bound: "<= 0.2"}
      - {name: score, metric: psi, of: [score, prediction], window: 30s, bound: "<= 0.2", tolerance: {score: 0.1}}
      - {name: fair, metric: selection_rate_ratio, groups: ["sex*race", sex], window: 30s, bound: ">= 0.8"}
      - {name: rate, metric: selection_rate, groups: [sex], window: 30s, tolerance: {F: 0.1}, direction: below}
      - {name: right, metric: accuracy, window: 30s, bound: ">= 0.8", direction: below, segments: true}
      - {name: f1, metric: f1, window: 30s, bound: ">= 0.8"}
      - {name: slow, metric: latency, window: 30s, bound: "<= 0.8", quantile: 0.5}
  - name: ranker
    topics: [inference]
    task: binary
    version: =v1
    time: /ts
    score: /score
    threshold: 0.5
    pane: 1d
    checks: [{name: nulls, metric: null_rate, of: prediction, window: 2d, bound: "<= 0.1"}]
policies:
  - {name: a, model: credit, checks: [drift, score, fair, rate, right, slow], decide: sequential, mode: auto, actions: [back]}
  - name: b
    model: credit
    checks: [f1, slow]
    decide: window
    window_may_act: true
    violate: {windows: 2, of: 2}
    clear: {windows: 2, bounds: {f1: ">= 0.9"}}
    actions: [back, tell]
actions:
  - {name: back, kind: rollback}
  - {name: tell, kind: notify, target: webhook, deadline: 20m, webhook: {url: "https://x.example/", secret: {env: KEY}, timeout: 10m}}
"#;

fn read(text: &str) -> Value {
    let file = ::config::File::from_str(text, ::config::FileFormat::Yaml);
    let layers = ::config::Config::builder().add_source(file).build().expect("the file is YAML");
    layers.try_deserialize().expect("YAML is JSON here")
}

/// Whole files: their documents, and where they lie.
fn documents() -> Vec<(Value, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let commented = root.join("config/plimsoll.yaml");
    let text = std::fs::read_to_string(&commented).expect("the file is part of the project");
    let all = vec![(read(WOVEN), root.join("woven.yaml")), (read(&text), commented)];
    for (document, path) in &all {
        config::parse(&document.to_string(), path, [("KEY".to_owned(), "x".to_owned())])
            .expect("the file has no mistake yet");
    }
    all
}

/// Every place below the root, as a JSON pointer.
fn places(value: &Value, path: &str, all: &mut Vec<String>) {
    let mut below = |key: &str, value: &Value| {
        let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
        places(value, &path, all);
        all.push(path);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(key, member)| below(key, member)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| below(&index.to_string(), item));
        }
        _ => {}
    }
}

/// `/models/0/topics` as errors spell it.
fn spelled(pointer: &str) -> String {
    let mut path = String::new();
    for token in pointer.split('/').skip(1) {
        match token.parse::<usize>() {
            Ok(index) => path += &format!("[{index}]"),
            Err(_) if path.is_empty() => path += token,
            Err(_) => path += &format!(".{token}"),
        }
    }
    path
}

#[test]
fn a_value_of_the_wrong_shape_is_the_only_error() {
    let mut tried = 0;
    for (document, file) in documents() {
        let mut all = Vec::new();
        places(&document, "", &mut all);
        for place in all {
            let mut broken = document.clone();
            *broken.pointer_mut(&place).unwrap() = json!({"?": [[]]});
            let wrong =
                config::parse(&broken.to_string(), &file, [("KEY".to_owned(), "x".to_owned())]).unwrap_err();
            let own = spelled(&place);
            let elsewhere: Vec<_> = wrong.0.iter().filter(|wrong| !wrong.path.starts_with(&own)).collect();
            assert!(elsewhere.is_empty(), "{own} broken in {}: {elsewhere:#?}", file.display());
            tried += 1;
        }
    }
    assert!(tried > 300, "{tried}");
}

#[test]
fn a_misspelled_key_is_the_only_error() {
    let mut tried = 0;
    for (document, file) in documents() {
        let mut all = Vec::new();
        places(&document, "", &mut all);
        for place in all {
            let (parent, key) = place.rsplit_once('/').unwrap();
            let mut broken = document.clone();
            let Some(members) = broken.pointer_mut(parent).unwrap().as_object_mut() else { continue };
            let value = members.remove(key).unwrap();
            // Near enough to be guessed, and not.
            for misspelled in [format!("{key}s_"), "qqqqqqqqqq".to_owned()] {
                let mut broken = broken.clone();
                let members = broken.pointer_mut(parent).unwrap().as_object_mut().unwrap();
                members.insert(misspelled, value.clone());
                let wrong = config::parse(&broken.to_string(), &file, [("KEY".to_owned(), "x".to_owned())]);
                // Names of properties and of checks are anything.
                let own = spelled(parent);
                let free = ["bounds", "properties", "tolerance"].iter().any(|map| own.ends_with(map));
                let Err(wrong) = wrong else {
                    assert!(free, "{place} misspelled in {}", file.display());
                    continue;
                };
                let shape = ["unknown key", "missing key", "`{env: NAME}`", "one of `env` and `file`"];
                let elsewhere: Vec<_> = { wrong.0.iter() }
                    .filter(|wrong| {
                        !free
                            && (wrong.path != own || !shape.iter().any(|words| wrong.message.contains(words)))
                    })
                    .collect();
                assert!(elsewhere.is_empty(), "{place} misspelled in {}: {elsewhere:#?}", file.display());
                tried += 1;
            }
        }
    }
    assert!(tried > 500, "{tried}");
}

#[test]
fn a_mistake_of_shape_hides_nothing_else_of_its_entry() {
    let text = r#"
topics: [{name: inference, model: =credit, idle_after: 5, allowed_lateness: soon}]
models:
  - name: credit
    topics: [inference, clicks]
    task: binary
    version: /version
    time: {from: /ts, unit: millis}
    threshold: 2
    score: /score
    label: [5]
    features: [{name: score, from: /score, type: numeric}]
    calibration: c.yaml
    tenat: /tenant
    checks:
      - {name: a, metric: null_rate, window: 90s, min_samples: many, confidence: 2}
      - {name: b, metric: accuracy, window: 1m, bound: 0.8}
policies:
  - {name: p!, model: credit, checks: [a, b, c], violate: {windows: 0, of: 4}, decide: window, mode: auto, actions: 1}
"#;
    assert_lines(
        &errors(text),
        &[
            "models[0]: unknown key `tenat`; did you mean `tenant`?",
            "models[0].calibration: needs a `profile`: a calibration says how much traffic may differ from its reference",
            "models[0].checks[0].confidence: 2 is not between 0.5 and 1",
            "models[0].checks[0].min_samples: must be a whole number, not text",
            "models[0].checks[0].window: `90s` is not a whole number of panes of 1m",
            "models[0].checks[1].bound: must be a bound such as \"<= 0.2\" or \"between 0.8 and 1.25\", not a number",
            "models[0].features[0].name: `score` means something else in `of`; choose another name",
            "models[0].label: must be a JSON pointer such as `/features/income`, not a list",
            "models[0].threshold: must be between 0 and 1, as the score of a binary model is a probability",
            "models[0].time.unit: `millis` is not allowed; expected one of: rfc3339, s, ms, us, ns",
            "models[0].topics[1]: there is no topic `clicks`; expected one of: inference",
            "policies[0].actions: must be a list, not a number",
            "policies[0].checks[0]: `a` has no bound to breach; give models[0].checks[0] a `bound`",
            "policies[0].checks[2]: there is no check `c`; did you mean `a`?",
            "policies[0].name: `p!` may hold letters, digits, `-`, `_` and `.` only",
            "policies[0].violate.windows: must be at least 1",
            "topics[0].allowed_lateness: `soon` is not a duration; write a number and a unit, such as 500ms, 30s, 5m, 1h30m or 7d",
            "topics[0].idle_after: must be a duration such as 500ms, 30s, 5m or 1h30m, not a number",
        ],
    );
}
