//! The configuration as a user meets it: everything wrong is said at once and in words, the
//! environment overrides the file, secrets are never printed, and the documented file is complete.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll::config::{self, Audit, Column, Config, Of, Property, Source, Target};
use plimsoll::domain::{Bound, Metric};
use proptest::prelude::*;
use serde_json::{Value, json};

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

fn project(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// Asserts line by line, so that a difference shows as one.
#[track_caller]
fn assert_lines(actual: &str, expected: &[&str]) {
    let actual: Vec<&str> = actual.lines().collect();
    assert_eq!(actual, expected, "\n{}", actual.join("\n"));
}

#[test]
fn a_file_with_many_mistakes_lists_each_of_them_once() {
    let text = r#"
kafka:
  brokers: localhost:9092
  offset_rest: latest
  create_topics: "yes"
  security: {protocol: ssl, key_password: hunter2}
ingest: {max_record_bytes: 0}
topics:
  - {name: inference, model: model}
models:
  - name: credit
    topics: [inference]
    task: binry
    version: /version
    time: {from: /ts, unit: millis}
    features:
      - {name: income, from: /income}
      - {name: region, from: /region, type: category}
    pane: 60
    checks:
      - {name: drift, metric: psy, widnow: 1h, bound: 0.2}
policies:
  - {name: fair, model: credit, checks: [drift], mode: auto}
modles: []
"#;
    assert_lines(
        &errors(text),
        &[
            "unknown key `modles`; did you mean `models`?",
            "ingest.max_record_bytes: must be at least 1",
            "kafka: unknown key `offset_rest`; did you mean `offset_reset`?",
            "kafka.create_topics: must be true or false, not text",
            "kafka.security.key_password: must be `{env: NAME}` or `{file: PATH}`, not a literal: \
             what is written here ends up in version control, backups and screenshots",
            "models[0].checks[0]: missing key `window`",
            "models[0].checks[0]: unknown key `widnow`; did you mean `window`?",
            "models[0].checks[0].bound: must be a bound such as \"<= 0.2\" or \"between 0.8 and 1.25\", not a number",
            "models[0].checks[0].metric: `psy` is not allowed; did you mean `psi`?",
            "models[0].features[0]: missing key `type`",
            "models[0].features[1].type: `category` is not allowed; did you mean `categorical`?",
            "models[0].pane: must be a duration such as 500ms, 30s, 5m or 1h30m, not a number",
            "models[0].task: `binry` is not allowed; did you mean `binary`?",
            "models[0].time.unit: `millis` is not allowed; expected one of: rfc3339, s, ms, us, ns",
            "policies[0].mode: `auto` needs `actions`",
            "topics[0].model: `model` is not a JSON pointer: it begins with `/`; did you mean `/model`? \
             (or write `header:NAME` for a header, `=text` for a constant)",
        ],
    );
}

#[test]
fn a_file_of_the_right_shape_is_judged_whole() {
    let text = r#"
kafka: {brokers: "k:9092", findings_topic: inference, properties: {group.id: x, sasl.password: x}}
topics:
  - {name: inference, model: =fraud}
  - {name: inference, model: /models/*}
models:
  - name: credit
    topics: [inference, clicks]
    task: regression
    version: /version
    time: /ts
    prediction: {from: /out, positive: 1}
    threshold: 0.5
    label: /out/label
    features:
      - {name: income, from: /instances/*/parts/*, type: numeric}
      - {name: region, from: /region, type: categorical}
      - {name: region, from: /region, type: categorical}
    groups:
      - {name: sex, from: /sex}
      - {name: race, from: /race, values: [a, b, a]}
    intersections: [[sex, rcae], [sex]]
    pane: 7s
    checks:
      - {name: odds, metric: equalized_odds_difference, window: 1h}
  - name: fraud
    topics: [clicks]
    task: binary
    version: /version
    time: /ts
    score: /score
    features: [{name: MedInc, from: /MedInc, type: numeric}, {name: kind, from: /kind, type: categorical}]
    groups: [{name: sex, from: /sex, values: [F, M]}]
    checks:
      - {name: drift, metric: psi, window: 1h}
      - {name: unseen, metric: unseen_rate, of: [kind, medinc], window: 1h}
      - {name: nulls, metric: null_rate, of: prediction, window: 90s, slide: 2h, bound: "< 0.2"}
      - {name: nulls, metric: null_rate, window: 5 minutess, confidence: 1, segments: true}
      - {name: fair, metric: selection_rate_ratio, window: 1h}
      - {name: slow, metric: latency, window: 1h, quantile: 99}
      - {name: volume, metric: traffic_volume, of: score, window: 1h, quantile: 0.5, min_group: 3}
policies:
  - {name: p, model: fraud, checks: [drift, nulls, speed], violate: {windows: 4, of: 3}, actions: [roll]}
  - {name: p, model: frod, checks: [drift]}
actions:
  - {name: roll-back, kind: rollback, target: webhook}
  - {name: tell, kind: notify, target: webhook, webhook: {url: "http://x.example/", secret: {env: NOT_SET}, timeout: 10m}}
audit: {topic: "au dit"}
http: {listen: "9464"}
log: {level: "plimsoll=loud"}
"#;
    assert_lines(
        &errors(text),
        &[
            "actions[0].target: `webhook` needs a `webhook` with `url` and `secret`",
            "actions[1].webhook.secret.env: the environment variable `NOT_SET` is not set",
            "actions[1].webhook.timeout: must not be longer than the action's `deadline`",
            "actions[1].webhook.url: must be `https`: what is sent is evidence about a model; \
             `http` is for loopback addresses",
            "audit.topic: `au dit` is not a Kafka topic name: at most 249 letters, digits, `.`, `_` and `-`",
            "http.listen: `9464` is not an address and port; write `127.0.0.1:9464` or `[::1]:9464`",
            "kafka.findings_topic: `inference` is already used by topics[0]",
            "kafka.properties[\"group.id\"]: set `kafka.group` instead",
            "kafka.properties[\"sasl.password\"]: must be `{env: NAME}` or `{file: PATH}`, not a literal: it is a secret",
            "kafka.properties[\"sasl.password\"]: set `kafka.security.password` instead",
            "log.level: `plimsoll=loud`: error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5",
            "models[0].checks[0].metric: `equalized_odds_difference` is for binary and multiclass models, not regression",
            "models[0].features[0].from: `/instances/*/parts/*` has more than one `*`: a record holds one level of rows",
            "models[0].features[2].name: `region` is already the name of models[0].features[1]",
            "models[0].groups[0]: needs `values`, or the model a `profile` that knows them",
            "models[0].groups[1].values[2]: `a` is listed twice",
            "models[0].intersections[0][1]: there is no group `rcae`; did you mean `race`?",
            "models[0].intersections[1]: must have at least 2 entries",
            "models[0].label: `/out/label` lies inside `/out`, which models[0].prediction.from reads as one value",
            "models[0].pane: `7s` is not 1s or more and a whole fraction of a day, such as 10s, 1m or 1h",
            "models[0].prediction.positive: a regression model has no positive class",
            "models[0].threshold: is for binary models, not regression",
            "models[0].threshold: is for models without a `prediction`; this one has one",
            "models[0].threshold: needs a `score` to compare with",
            "models[0].topics[1]: there is no topic `clicks`; expected one of: inference",
            "models[1].checks[0].metric: `psi` needs a `profile`, which the model does not have",
            "models[1].checks[1].metric: `unseen_rate` needs a `profile`, which the model does not have",
            "models[1].checks[2].bound: `< 0.2`: a limit is itself allowed, so write `<=` or `>=`",
            "models[1].checks[2].of: the model has no `prediction`",
            "models[1].checks[2].window: `90s` is not a whole number of panes of 1m",
            "models[1].checks[3].confidence: 1 is not between 0.5 and 1",
            "models[1].checks[3].name: `nulls` is already the name of models[1].checks[2]",
            "models[1].checks[3].segments: the model has no `segments`",
            "models[1].checks[3].window: `5 minutess` is not a duration; \
             write a number and a unit, such as 500ms, 30s, 5m, 1h30m or 7d",
            "models[1].checks[4].metric: `selection_rate_ratio` needs a `prediction`, which the model does not have",
            "models[1].checks[5].metric: `latency` needs a `latency`, which the model does not have",
            "models[1].checks[5].quantile: 99 is not between 0 and 1",
            "models[1].checks[6].min_group: is for fairness checks",
            "models[1].checks[6].of: is for drift and quality checks",
            "models[1].checks[6].quantile: is for latency checks",
            "models[1].topics[0]: there is no topic `clicks`; expected one of: inference",
            "policies[0].actions[0]: there is no action `roll`; expected one of: roll-back, tell",
            "policies[0].checks[0]: `drift` has no bound to breach; give models[1].checks[0] a `bound`",
            "policies[0].checks[2]: there is no check `speed`; expected one of: drift, unseen, nulls, fair, slow, volume",
            "policies[0].violate: 4 of 3 windows can never breach",
            "policies[1].model: there is no model `frod`; did you mean `fraud`?",
            "policies[1].name: `p` is already the name of policies[0]",
            "topics[0].model: the model `fraud` does not list `inference` among its topics",
            "topics[1].model: `/models/*`: the rows of one record share this, so it takes no `*`",
            "topics[1].name: `inference` is already the name of topics[0]",
        ],
    );
}

#[test]
fn what_follows_from_a_mistake_is_not_reported_beside_it() {
    // The first topic, a feature and a check are broken: nothing that refers to them is.
    let text = r#"
kafka: {brokers: "k:9092", offset_reset: lattest}
topics:
  - {name: inference}
  - {name: clicks, model: /model}
models:
  - name: credit
    topics: [inference, clicks]
    task: binary
    version: /version
    time: /ts
    features: [{name: income, from: /income, type: numerical}]
    checks:
      - {name: nulls, metric: null_rate, of: income, widnow: 1h, window: 1h, bound: "<= 0.2"}
      - {name: other, metric: null_rate, of: [income], window: 1h, bound: "<= 0.2"}
      - {name: third, metric: null_rate, window: 90s, bound: "<= 0.2"}
policies:
  - {name: p, model: credit, checks: [nulls, other]}
audit: {store: kafka}
"#;
    assert_lines(
        &errors(text),
        &[
            "kafka.offset_reset: `lattest` is not allowed; did you mean `latest`?",
            "models[0].checks[0]: unknown key `widnow`; did you mean `window`?",
            "models[0].checks[2].window: `90s` is not a whole number of panes of 1m",
            "models[0].features[0].type: `numerical` is not allowed; did you mean `numeric`?",
            "topics[0]: missing key `model`",
        ],
    );
}

#[test]
fn a_misspelled_section_does_not_make_everything_unknown() {
    let text = SMALL.replace("models:", "modles:") + "policies: [{name: p, model: credit, checks: [a]}]\n";
    assert_lines(&errors(&text), &["missing key `models`", "unknown key `modles`; did you mean `models`?"]);
}

#[test]
fn yaml_that_cannot_be_read_is_located() {
    assert_lines(
        &errors("kafka:\n  group: a\n  group: b\n"),
        &["/etc/plimsoll/plimsoll.yaml:3:10: not valid YAML: the key \"group\" appears twice"],
    );
    let wrong = errors("topics:\n  - {name: a\n");
    assert!(wrong.starts_with("/etc/plimsoll/plimsoll.yaml:3:1: not valid YAML: "), "{wrong}");
    let bound = errors("models:\n  - bound: >= 0.8\n");
    assert!(bound.contains(":2:") && bound.contains("needs quotes"), "{bound}");
    let list = errors("- a\n- b\n");
    assert!(list.contains("must be a mapping"), "{list}");
    assert_lines(&errors(""), &["missing key `models`", "missing key `topics`"]);
    let missing = config::load(Path::new("/nowhere/plimsoll.yaml"), []).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/plimsoll.yaml: cannot be read: "), "{missing}");
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
    assert_eq!(config.audit, Audit::File { path: "/etc/plimsoll/audit.ndjson".into() });
    assert_eq!(config.topics[0].allowed_lateness, Duration::from_secs(30));
    assert_eq!(config.topics[0].idle_after, Duration::from_secs(60));
    assert_eq!(config.ingest.max_record_bytes, 1 << 20);
    assert_eq!(config.models[0].pane, Duration::from_secs(60));
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:9464");
    assert_eq!(config.warnings, []);
    assert!(config.require_model("credit").is_ok());
    let unknown = config.require_model("cerdit").unwrap_err().to_string();
    assert_eq!(unknown, "models: there is no model `cerdit`; did you mean `credit`?");
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
fn a_clear_bound_lies_inside_the_bound_it_clears() {
    let policy = |clear: &str| {
        let file = SMALL.replace(
            "time: /ts}",
            "time: /ts, checks: [{name: a, metric: traffic_volume, window: 1h, bound: \">= 10\"}]}",
        );
        parse(&format!(
            "{file}policies: [{{name: p, model: credit, checks: [a], clear: {{bounds: {{a: {clear:?}}}}}}}]\n"
        ))
    };
    assert_eq!(policy(">= 20").unwrap().policies[0].clear_bounds["a"], Bound::AtLeast(20.0));
    assert_eq!(
        policy(">= 5").unwrap_err().to_string(),
        "policies[0].clear.bounds.a: `>= 5` must lie inside the check's own bound `>= 10`"
    );
}

#[test]
fn intersections_have_a_limit() {
    let values: Vec<String> = (0..40).map(|value| format!("v{value}")).collect();
    let values = values.join(", ");
    let file = SMALL.replace("time: /ts}", &format!(
        "time: /ts, groups: [{{name: a, from: /a, values: [{values}]}}, {{name: b, from: /b, values: [{values}]}}], intersections: [[a, b]]}}"
    ));
    assert_eq!(errors(&file), "models[0].intersections[0]: has 1681 combinations, and 1000 are the most");
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
    assert_eq!(config.audit, Audit::Kafka { topic: "plimsoll.audit".into() });
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

/// A file with secrets in every place that takes one.
fn with_secrets(folder: &Path) -> Result<Config, config::Errors> {
    let text = format!(
        r#"
kafka:
  brokers: "k:9092"
  security: {{protocol: sasl_ssl, mechanism: SCRAM-SHA-512, username: u, password: {{env: KAFKA_PASSWORD}}}}
  properties: {{sasl.oauthbearer.client.secret: {{file: client-secret}}}}
{SMALL}
policies: []
actions:
  - {{name: tell, kind: notify, target: webhook, webhook: {{url: "https://x.example/", secret: {{file: hook}}}}}}
"#
    );
    let env = [("KAFKA_PASSWORD".to_owned(), "hunter2-env".to_owned())];
    config::parse(&text, &folder.join("plimsoll.yaml"), env)
}

#[test]
fn secrets_come_from_the_environment_and_files_and_are_printed_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("client-secret"), "hunter2-file\n").unwrap();
    std::fs::write(folder.path().join("hook"), "whsec_hunter2\r\n").unwrap();
    let config = with_secrets(folder.path()).unwrap();

    let kafka = config.require_kafka().unwrap();
    assert_eq!(kafka.security.password.as_ref().map(config::Secret::expose), Some("hunter2-env"));
    let client = &kafka.properties["sasl.oauthbearer.client.secret"];
    assert!(matches!(client, Property::Secret(_)) && client.expose() == "hunter2-file");
    let Target::Webhook(webhook) = &config.actions[0].target else { panic!("{:?}", config.actions) };
    assert_eq!(webhook.secret.expose(), "whsec_hunter2");
    let printed = format!("{config:?}\n{config:#?}");
    assert!(printed.contains("***") && !printed.contains("hunter2"), "{printed}");
}

#[cfg(unix)]
#[test]
fn a_secret_that_everybody_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for (file, mode) in [("client-secret", 0o600), ("hook", 0o644)] {
        let path = folder.path().join(file);
        std::fs::write(&path, "x").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let warnings = with_secrets(folder.path()).unwrap().warnings;
    let open: Vec<&str> =
        warnings.iter().map(|warning| warning.path.as_str()).filter(|path| path.contains("secret")).collect();
    assert_eq!(open, ["actions[0].webhook.secret.file"]);
}

#[test]
fn errors_never_repeat_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("client-secret"), b"hunter2\xff").unwrap();
    let wrong = with_secrets(folder.path()).unwrap_err().to_string();
    assert!(wrong.contains("it is not UTF-8") && wrong.contains("actions[0].webhook.secret.file"), "{wrong}");

    // Whatever is written in the place of a secret, and a secret put where none belongs.
    for literal in ["hunter2", "[hunter2]", "{value: hunter2}", "{env: [hunter2]}", "{env: A, file: hunter2}"]
    {
        let text = format!(
            "kafka: {{brokers: \"k:1\", security: {{protocol: ssl, key_password: {literal}}}}}\n{SMALL}"
        );
        let wrong = errors(&text);
        assert!(
            wrong.contains("kafka.security.key_password") && !wrong.contains("hunter2"),
            "{literal}: {wrong}"
        );
    }
    let url = "https://user:hunter2@x.example/";
    let action = format!(
        "actions: [{{name: a, kind: notify, target: webhook, webhook: {{url: \"{url}\", secret: {{env: S}}}}}}]"
    );
    let wrong = with_env(&format!("{SMALL}{action}\n"), &[("S", "x")]).unwrap_err().to_string();
    assert!(wrong.contains("webhook.url") && !wrong.contains("hunter2"), "{wrong}");
}

#[test]
fn a_variable_that_is_named_like_a_secret_holds_it() {
    let text = format!(
        "kafka: {{brokers: \"k:1\", security: {{protocol: sasl_ssl, mechanism: PLAIN, username: u, password: {{file: /nowhere}}}}}}\n{SMALL}"
    );
    let config = with_env(&text, &[("PLIMSOLL__KAFKA__SECURITY__PASSWORD", "hunter2")]).unwrap();
    let security = &config.require_kafka().unwrap().security;
    assert_eq!(security.password.as_ref().map(config::Secret::expose), Some("hunter2"));
    let config =
        with_env(&text, &[("PLIMSOLL__KAFKA__SECURITY__PASSWORD__ENV", "P"), ("P", "other")]).unwrap();
    let security = &config.require_kafka().unwrap().security;
    assert_eq!(security.password.as_ref().map(config::Secret::expose), Some("other"));
}

#[test]
fn a_security_setup_is_whole_or_refused() {
    let security =
        |keys: &str| errors(&format!("kafka: {{brokers: \"k:1\", security: {{{keys}}}}}\n{SMALL}"));
    assert_lines(
        &security("protocol: sasl_ssl, mechanism: SCRAM-SHA-256"),
        &[
            "kafka.security.mechanism: SCRAM-SHA-256 needs a `password`",
            "kafka.security.mechanism: SCRAM-SHA-256 needs a `username`",
        ],
    );
    assert_lines(
        &security("mechanism: PLAIN, key_file: /nowhere.key"),
        &[
            "kafka.security.key_file: needs `certificate_file` too",
            "kafka.security.key_file: needs `protocol` `ssl` or `sasl_ssl`, not `plaintext`",
            "kafka.security.key_file: there is no file `/nowhere.key`",
            "kafka.security.mechanism: needs `protocol` `sasl_plaintext` or `sasl_ssl`, not `plaintext`",
        ],
    );
}

#[test]
fn what_deserves_a_second_look_is_a_warning_and_no_error() {
    let text = r#"
http: {listen: "0.0.0.0:9464"}
topics: [{name: inference, model: /model}, {name: clicks, model: /model}]
models:
  - name: credit
    topics: [inference]
    task: binary
    version: =v1
    time: /ts
    checks:
      - {name: volume, metric: traffic_volume, window: 1h, bound: ">= 1", min_samples: 0}
      - {name: other, metric: traffic_volume, window: 1h, bound: ">= 1"}
policies: [{name: p, model: credit, checks: [volume], actions: [back]}]
actions: [{name: back, kind: rollback}, {name: tell, kind: notify}]
"#;
    let warnings: Vec<String> = parse(text).unwrap().warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "actions[1]: no policy asks for `tell`",
            "http.listen: 0.0.0.0:9464 can be reached from other machines, and there is no authentication",
            "models[0].checks[0].min_samples: 0 lets a check be judged on a single row",
            "models[0].checks[1]: has a bound, but no policy: a breach will be shown and nothing follows",
            "policies[0].actions[0]: the version of `credit` is a constant, so there is none to go back to",
            "topics[1]: no model reads `clicks`: its records will all be rejected",
        ]
    );
}

#[test]
fn the_commented_file_works_as_it_is() {
    let config = config::load(&project("config/plimsoll.yaml"), []).unwrap();
    assert_eq!(config.require_kafka().unwrap().brokers, "localhost:9092");
    assert_eq!(config.warnings, []);
    assert_eq!(config.models[0].checks[0].metric, Metric::SelectionRateRatio);
    assert!(matches!(config.actions[0].target, Target::DryRun));
}

/// The commented file with every `#key:` line made part of it.
fn uncommented() -> String {
    let text =
        std::fs::read_to_string(project("config/plimsoll.yaml")).expect("the file is part of the project");
    let key = |line: &str| {
        let rest = line.trim_start().strip_prefix('#')?;
        let (name, _) = rest.split_once(':')?;
        let name =
            !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
        name.then(|| line.replacen('#', "", 1))
    };
    text.lines().map(|line| key(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

/// Every key of `node`, as a path; `[]` stands for the entries of a list.
fn schema_keys(node: &Value, schema: &Value, path: &str, keys: &mut BTreeSet<String>) {
    if let Some(name) = node["$ref"].as_str() {
        schema_keys(
            schema.pointer(&name[1..]).expect("a reference that leads somewhere"),
            schema,
            path,
            keys,
        );
    }
    for branch in node["anyOf"].as_array().into_iter().flatten() {
        schema_keys(branch, schema, path, keys);
    }
    schema_keys_of_items(&node["items"], schema, path, keys);
    if node["maxProperties"] == 1 {
        return; // A secret: the file explains both forms once.
    }
    for (key, child) in node["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        schema_keys(child, schema, &path, keys);
        keys.insert(path);
    }
}

fn schema_keys_of_items(items: &Value, schema: &Value, path: &str, keys: &mut BTreeSet<String>) {
    if items.is_object() {
        schema_keys(items, schema, &format!("{path}[]"), keys);
    }
}

fn document_keys(value: &Value, path: &str, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let path = format!("{path}.{key}");
                document_keys(member, &path, keys);
                keys.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| document_keys(item, &format!("{path}[]"), keys)),
        _ => {}
    }
}

#[test]
fn the_commented_file_shows_every_key() {
    let text = uncommented();
    // What was commented out has the right shape too: the only errors left are those of files that are
    // not there, and of keys that exclude each other.
    let wrong = config::parse(&text, &project("config/plimsoll.yaml"), []).unwrap_err();
    for problem in &wrong.0 {
        let expected = [
            "there is no file",
            "needs `protocol`",
            "cannot read the secret",
            "is not set",
            "without a `prediction`",
        ];
        assert!(expected.iter().any(|words| problem.message.contains(words)), "{problem}");
    }
    let file = ::config::File::from_str(&text, ::config::FileFormat::Yaml);
    let document = ::config::Config::builder().add_source(file).build().unwrap();
    let document: Value = document.try_deserialize().unwrap();
    let (mut shown, mut all) = (BTreeSet::new(), BTreeSet::new());
    document_keys(&document, "", &mut shown);
    let schema = config::schema();
    schema_keys(&schema, &schema, "", &mut all);
    assert!(all.len() > 80, "{all:?}");
    let hidden: Vec<&String> = all.difference(&shown).collect();
    assert!(hidden.is_empty(), "config/plimsoll.yaml does not show {hidden:?}");
}

#[test]
fn the_schema_beside_the_file_is_current() {
    let path = project("config/plimsoll.schema.json");
    let current = serde_json::to_string_pretty(&config::schema()).unwrap() + "\n";
    if std::env::var_os("PLIMSOLL_REWRITE_SCHEMA").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == current,
        "config/plimsoll.schema.json is out of date; run \
         `PLIMSOLL_REWRITE_SCHEMA=1 cargo test --test suite the_schema_beside_the_file_is_current`"
    );
}

#[test]
fn every_key_of_the_schema_is_described() {
    fn walk(node: &Value, path: &str, bare: &mut Vec<String>) {
        for (key, child) in node["properties"].as_object().into_iter().flatten() {
            if child["description"].as_str().is_none_or(str::is_empty) {
                bare.push(format!("{path}.{key}"));
            }
        }
        for (name, definition) in node["$defs"].as_object().into_iter().flatten() {
            walk(definition, name, bare);
        }
    }
    let schema = config::schema();
    let mut bare = Vec::new();
    walk(&schema, "", &mut bare);
    assert_eq!(bare, Vec::<String>::new());
}

/// Every place in `value`, as a JSON pointer.
fn places(value: &Value, path: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                places(member, &format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), all);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| places(item, &format!("{path}/{index}"), all));
        }
        _ => {}
    }
    all.push(path.to_owned());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The schema and the structs agree on every document: whatever gets past the schema is one that
    /// serde reads too, so that no error comes without a key or in a library's words.
    #[test]
    fn one_wrong_value_is_always_reported_in_our_words_and_near_its_key(
        place in any::<prop::sample::Index>(),
        replacement in prop::sample::select(vec![
            json!(null), json!(true), json!(-1), json!(0), json!(4_294_967_296_u64), json!(0.5), json!(""),
            json!("x"), json!("*"), json!("/a"), json!("1h"), json!([]), json!([1]), json!(["x"]), json!({}),
            json!({"x": 1}), json!({"env": "HOME"}),
        ]),
    ) {
        let file = ::config::File::from_str(&uncommented(), ::config::FileFormat::Yaml);
        let document = ::config::Config::builder().add_source(file).build().unwrap();
        let mut document: Value = document.try_deserialize().unwrap();
        let mut all = Vec::new();
        places(&document, "", &mut all);
        let place = place.get(&all);
        *document.pointer_mut(place).unwrap() = replacement;
        // JSON is YAML.
        match config::parse(&document.to_string(), &project("config/plimsoll.yaml"), []) {
            Ok(_) => {}
            Err(errors) => {
                prop_assert!(!errors.0.is_empty());
                for problem in &errors.0 {
                    for words in ["unknown field", "missing field", "invalid type", "invalid value", "did not match any"] {
                        prop_assert!(!problem.message.contains(words), "{place}: {problem}");
                    }
                }
            }
        }
    }
}
