//! The configuration as a user meets it: everything wrong is said at once and in words, the
//! environment overrides the file, secrets are never printed, and the documented file is complete.

mod actions;
mod consequences;
mod documented;
mod mistakes;
mod secrets;
mod sequential;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use plimsoll::app::wiring;
use plimsoll::config::{self, AuditStore, Column, Config, Of, Role, Source};
use plimsoll::domain::Bound;

/// The smallest whole file.
const SMALL: &str = r#"
topics: [{name: inference, model: /model}]
models:
  - {name: credit, topics: [inference], task: binary, version: /version, time: /ts}
"#;

fn parse(text: &str) -> Result<Config, config::Errors> {
    with_env(text, &[])
}

fn with_env(text: &str, env: &[(&str, &str)]) -> Result<Config, config::Errors> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    config::parse(text, Path::new("/etc/plimsoll/plimsoll.yaml"), env)
}

fn errors(text: &str) -> String {
    parse(text).expect_err("the file has mistakes").to_string()
}

/// Asserts line by line, so that a difference shows as one.
#[track_caller]
fn assert_lines(actual: &str, expected: &[&str]) {
    let actual: Vec<&str> = actual.lines().collect();
    assert_eq!(actual, expected, "\n{}", actual.join("\n"));
}

#[test]
fn anchors_repeat_a_value_and_merge_keys_are_refused() {
    let check = "{name: a, metric: traffic_volume, window: 1h}";
    let text = format!("{SMALL}    checks: [&c {check}]\n")
        .replace("time: /ts}", "time: /ts")
        .replace("- {name: credit", "- name: credit");
    let text = text.replace(
        ", topics: [inference], task: binary, version: /version, time: /ts",
        "\n    topics: [inference]\n    task: binary\n    version: /version\n    time: &ts /ts\n    id: *ts",
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.models[0].id, Some(Source::Pointer(config.models[0].time.clone())));
    let merged = text.replace("window: 1h}]", "window: 1h}, {<<: *c, name: b}]");
    let wrong = errors(&merged);
    assert!(wrong.contains("models[0].checks[1]: merge keys (`<<`) are not supported"), "{wrong}");
}

#[test]
fn the_smallest_file_gets_every_default() {
    let config = parse(SMALL).unwrap();
    assert!(config.kafka.is_none());
    assert_eq!(
        config.require_kafka().unwrap_err().to_string(),
        "kafka.brokers: missing; this command reads from Kafka"
    );
    let (path, beside) = ("/etc/plimsoll/audit.ndjson", "/etc/plimsoll/audit.ndjson.checkpoints");
    let store = AuditStore::File { path: path.into(), checkpoint_path: beside.into() };
    assert_eq!((&config.audit.store, config.audit.origin.as_str()), (&store, "plimsoll/audit.ndjson"));
    assert!(config.audit.signing.is_none());
    assert_eq!(config.topics[0].allowed_lateness, Duration::from_secs(30));
    assert_eq!(config.topics[0].idle_after, Duration::from_secs(60));
    assert_eq!(config.ingest.max_record_bytes, 1 << 20);
    assert_eq!(config.models[0].pane, Duration::from_secs(60));
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:9464");
    assert_eq!(config.warnings, []);
    assert_eq!(config.roles, BTreeSet::from(Role::ALL));
    assert!(config.require_model("credit").is_ok());
    let unknown = config.require_model("cerdit").unwrap_err().to_string();
    assert_eq!(unknown, "models: there is no model `cerdit`; did you mean `credit`?");
}

#[test]
fn what_the_roles_share_has_names_that_follow_from_the_configuration() {
    let defaults = parse(&format!("kafka: {{brokers: \"k:1\"}}\n{SMALL}")).unwrap();
    let kafka = defaults.require_kafka().unwrap();
    assert_eq!(
        kafka.exchange,
        config::Exchange {
            prefix: "plimsoll".into(),
            partitions: 8,
            replication_factor: None,
            retention: Duration::from_secs(7 * 24 * 60 * 60),
        }
    );
    assert_eq!((kafka.instance.as_deref(), kafka.max_lag), (None, 10_000));
    let text = format!(
        "roles: [act, evaluate]\nkafka: {{brokers: \"k:1\", group: g, instance: pod-0, exchange: {{prefix: a.b}}}}\n{SMALL}"
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.roles, BTreeSet::from([Role::Evaluate, Role::Act]));
    let kafka = config.require_kafka().unwrap();
    assert_eq!(kafka.exchange.topics(), ["a.b.partials", "a.b.state", "a.b.decisions", "a.b.control"]);
    assert_eq!(Role::ALL.map(|role| kafka.group_of(role)), ["g", "g.evaluate", "g.act"]);
    let instance = wiring::instance(kafka).unwrap();
    assert_eq!(wiring::transactional_id(kafka, Role::Evaluate, &instance), "g.evaluate.pod-0");
}

#[test]
fn columns_and_groups_are_resolved_for_each_check() {
    let text = r#"
topics: [{name: inference, model: header:x-model}]
models:
  - name: credit
    topics: [inference]
    task: binary
    version: =v1
    time: {from: /ts, unit: ms}
    score: /score
    threshold: 0.5
    features:
      - {name: MedInc, from: /MedInc, type: numeric}
      - {name: Region, from: /a~1b/Region, type: categorical}
    groups:
      - {name: Sex, from: /sex, values: [F, M]}
      - {name: race, from: /race, values: [1, true, 0.5]}
    intersections: [[race, Sex]]
    profile: profiles/credit.json
    pane: 10s
    checks:
      - {name: all, metric: psi, window: 1m}
      - {name: numbers, metric: wasserstein, window: 1m}
      - {name: texts, metric: unseen_rate, of: [features, prediction], window: 1m}
      - {name: fair, metric: selection_rate_ratio, window: 1m, slide: 20s, bound: "between 0.8 and 1.25"}
      - {name: both, metric: selection_rate_ratio, groups: ["Sex*race"], window: 1m}
"#;
    let config = parse(text).unwrap();
    let model = &config.models[0];
    let feature = |name: &str| Column::Feature(name.to_owned());
    let of = |index: usize| model.checks[index].of.clone();
    assert_eq!(of(0), Of::Columns(vec![feature("MedInc"), feature("Region")]));
    assert_eq!(of(1), Of::Columns(vec![feature("MedInc")]));
    assert_eq!(of(2), Of::Columns(vec![feature("Region"), Column::Prediction]));
    let both = vec!["race".to_owned(), "Sex".to_owned()];
    assert_eq!(of(3), Of::Groups(vec![vec!["Sex".into()], vec!["race".into()], both.clone()]));
    assert_eq!(of(4), Of::Groups(vec![both]));
    assert_eq!(model.groups[1].values, ["1", "true", "0.5"]);
    assert_eq!(model.checks[3].bound, Some(Bound::Between(0.8, 1.25)));
    assert_eq!(model.checks[3].slide, Duration::from_secs(20));
    assert_eq!(model.checks[0].slide, Duration::from_secs(10));
    assert_eq!(model.profile.as_deref(), Some(Path::new("/etc/plimsoll/profiles/credit.json")));
    assert_eq!(model.features[1].from.to_string(), "/a~1b/Region");
    assert_eq!(config.topics[0].model, Source::Header("x-model".into()));
    assert!(model.predicts());
}

#[test]
fn the_environment_overrides_the_file() {
    let text =
        format!("kafka: {{group: from-file, brokers: a:1, properties: {{Client.Id: Mixed}}}}\n{SMALL}");
    let config = with_env(
        &text,
        &[
            ("PLIMSOLL__KAFKA__BROKERS", "9092"),
            ("PLIMSOLL__KAFKA__CREATE_TOPICS", "false"),
            ("PLIMSOLL__KAFKA__DEAD_LETTER_TOPIC", "null"),
            ("PLIMSOLL__KAFKA__DEAD_LETTER_VALUE_BYTES", "64"),
            ("PLIMSOLL__KAFKA__PROPERTIES__SOCKET_TIMEOUT_MS", "5000"),
            ("PLIMSOLL__KAFKA__PROPERTIES__client.rack", "Rack.A"),
            ("PLIMSOLL__LOG__LEVEL", "debug"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    let kafka = config.require_kafka().unwrap();
    assert_eq!((kafka.brokers.as_str(), kafka.group.as_str()), ("9092", "from-file"));
    assert_eq!((kafka.create_topics, kafka.dead_letter_value_bytes), (false, 64));
    assert_eq!(kafka.dead_letter_topic, None);
    let properties: Vec<(&str, &str)> =
        kafka.properties.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(
        properties,
        [("Client.Id", "Mixed"), ("client.rack", "Rack.A"), ("socket.timeout.ms", "5000")]
    );
    assert_eq!(config.log.level, "debug");
    let (topic, checkpoint_topic) = ("plimsoll.audit".to_owned(), "plimsoll.checkpoints".to_owned());
    assert_eq!(config.audit.store, AuditStore::Kafka { topic, checkpoint_topic });
}

#[test]
fn an_override_that_sets_nothing_is_an_error() {
    let wrong = with_env(
        SMALL,
        &[
            ("PLIMSOLL__KAFKA__BROKER", "a:1"),
            ("PLIMSOLL__KAFKA", "a:1"),
            ("PLIMSOLL__MODELS__0__NAME", "x"),
            ("PLIMSOLL__POLICIES", "[]"),
            ("PLIMSOLL__HTTP__LISTEN__PORT", "1"),
            ("PLIMSOLL__KAFKA__COMMIT_INTERVAL", "soon"),
            ("PLIMSOLL__KAFKA__CREATE_TOPICS", "maybe"),
        ],
    );
    assert_lines(
        &wrong.unwrap_err().to_string(),
        &[
            "PLIMSOLL__HTTP__LISTEN__PORT: `http.listen` has no keys below it",
            "PLIMSOLL__KAFKA: `kafka` is a section; name one of its keys",
            "PLIMSOLL__KAFKA__BROKER: sets nothing; did you mean `PLIMSOLL__KAFKA__BROKERS`?",
            "PLIMSOLL__MODELS__0__NAME: `models` is a list, and lists are set in the file only",
            "PLIMSOLL__POLICIES: `policies` is a list, and lists are set in the file only",
            "kafka.create_topics: must be true or false, not text (set by PLIMSOLL__KAFKA__CREATE_TOPICS)",
        ],
    );
    let wrong = with_env(SMALL, &[("PLIMSOLL__KAFKA__COMMIT_INTERVAL", "1ms")]).unwrap_err().to_string();
    assert_eq!(
        wrong,
        "kafka.commit_interval: must be at least 10ms (set by PLIMSOLL__KAFKA__COMMIT_INTERVAL)"
    );
}
