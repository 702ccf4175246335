//! What is wrong is said at once, each mistake once, in words, beside its key.

use std::path::Path;

use plimsoll::config;
use plimsoll::domain::Bound;

use super::{SMALL, assert_lines, errors, parse};

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
  - {name: p, model: fraud, checks: [drift, nulls, speed], decide: window, violate: {windows: 4, of: 3}, actions: [roll]}
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
            "actions[0].target: `webhook` needs the section `webhook`",
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
http: {listen: "0.0.0.0:9464", anonymous: read}
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
policies: [{name: p, model: credit, checks: [volume], decide: window, window_may_act: true, actions: [back]}]
actions: [{name: back, kind: rollback}, {name: tell, kind: notify}]
"#;
    let warnings: Vec<String> = parse(text).unwrap().warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "actions[1]: no policy asks for `tell`",
            "http.listen: 0.0.0.0:9464 can be reached from other machines, and `anonymous: read` shows them everything",
            "models[0].checks[0].min_samples: 0 lets a check be judged on a single row",
            "models[0].checks[1]: has a bound, but no policy: a breach will be shown and nothing follows",
            "policies[0].actions[0]: the version of `credit` is a constant, so there is none to go back to",
            "topics[1]: no model reads `clicks`: its records will all be rejected",
        ]
    );
}

#[test]
fn roles_are_known_and_listed_once() {
    assert_lines(&errors(&format!("roles: []\n{SMALL}")), &["roles: must have at least 1 entry"]);
    assert_lines(
        &errors(&format!("roles: [observe, evaluat, observe]\n{SMALL}")),
        &["roles[1]: `evaluat` is not allowed; did you mean `evaluate`?"],
    );
    assert_lines(
        &errors(&format!("roles: [observe, act, observe]\n{SMALL}")),
        &["roles[2]: `observe` is listed twice"],
    );
}

#[test]
fn the_exchange_can_be_made_on_kafka_or_is_refused() {
    let kafka = |keys: &str| errors(&format!("kafka: {{brokers: \"k:1\", {keys}}}\n{SMALL}"));
    assert_lines(
        &kafka(
            "instance: \"pod 0\", max_lag: 0, exchange: {partitions: 0, replication_factor: 33, retention: 59m}",
        ),
        &[
            "kafka.exchange.partitions: must be at least 1",
            "kafka.exchange.replication_factor: must be at most 32",
            "kafka.max_lag: must be at least 1",
        ],
    );
    let long = "i".repeat(201);
    assert_lines(
        &kafka(&format!("instance: {long}, exchange: {{partitions: 1001}}")),
        &["kafka.exchange.partitions: must be at most 1000", "kafka.instance: must have at most 200 letters"],
    );
    assert_lines(
        &kafka("instance: \"pod 0\", exchange: {prefix: pre/fix, retention: 59m}"),
        &[
            "kafka.exchange.prefix: `pre/fix` cannot begin the name of a Kafka topic: letters, digits, `.`, `_` and `-` only",
            "kafka.exchange.retention: must be at least 1h",
            "kafka.instance: `pod 0` may hold letters, digits, `-`, `_` and `.` only",
        ],
    );
}

#[test]
fn no_topic_is_used_for_two_things() {
    let kafka = |keys: &str| errors(&format!("kafka: {{brokers: \"k:1\", {keys}}}\n{SMALL}"));
    assert_lines(
        &kafka("dead_letter_topic: plimsoll.state, findings_topic: plimsoll.audit"),
        &[
            "audit.topic: `plimsoll.audit` is already used by kafka.findings_topic",
            "kafka.dead_letter_topic: `plimsoll.state` is already used by kafka.exchange.prefix",
        ],
    );
    let input = SMALL.replace("inference", "x.partials");
    assert_lines(
        &errors(&format!("kafka: {{brokers: \"k:1\", exchange: {{prefix: x}}}}\n{input}")),
        &["kafka.exchange.prefix: `x.partials` is already used by topics[0]"],
    );
    assert_lines(
        &kafka("findings_topic: plimsoll_state"),
        &[
            "kafka.findings_topic: `plimsoll_state` cannot be beside `plimsoll.state` of kafka.exchange.prefix: \
           Kafka takes `.` and `_` in names of topics for the same",
        ],
    );
}

#[test]
fn properties_that_would_undo_exactness_are_refused_with_the_reason() {
    let text = format!(
        "kafka: {{brokers: \"k:1\", properties: {{transactional.id: x, enable.idempotence: false, \
         isolation.level: read_uncommitted, group.instance.id: x, enable.auto.commit: true}}}}\n{SMALL}"
    );
    assert_lines(
        &errors(&text),
        &[
            "kafka.properties[\"enable.auto.commit\"]: is plimsoll's to set: its accounting of records rests on it",
            "kafka.properties[\"enable.idempotence\"]: is plimsoll's to set: a message that is sent again must not be written twice",
            "kafka.properties[\"group.instance.id\"]: is plimsoll's to set: static members keep their partitions after a stop until the session ends, and nobody reads them meanwhile",
            "kafka.properties[\"isolation.level\"]: is plimsoll's to set: what an aborted transaction wrote must not be counted",
            "kafka.properties[\"transactional.id\"]: is plimsoll's to set: it is made of `kafka.group`, the role and `kafka.instance`, so that a restart ends what was open",
        ],
    );
}
