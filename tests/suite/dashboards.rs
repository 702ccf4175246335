//! Dashboards and alert rules against the metric catalogue: they meet Grafana's schema and the rules
//! of its dashboard linter, ask only for metrics and labels that exist, and leave no metric unused.
//! Whether the queries find anything is asked of a live Prometheus by `tests/prometheus/run.sh`.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use plimsoll::telemetry::catalogue::{Id, Kind, Spec};
use promql_parser::label::MatchOp;
use promql_parser::parser::{self, Expr, LabelModifier, VectorSelector};
use serde_json::Value;

use super::support;

/// What `$__rate_interval` becomes: a range that nobody writes by hand, so that it is recognised.
const RATE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(297);

/// Grafana's names of the units in use.
const UNITS: [&str; 10] =
    ["none", "short", "percentunit", "s", "bytes", "Bps", "rps", "ops", "dateTimeAsIso", "dateTimeFromNow"];

struct Board {
    file: PathBuf,
    json: Value,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn boards() -> Vec<Board> {
    let mut boards: Vec<Board> = std::fs::read_dir(root().join("dashboards"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|file| Board { json: serde_json::from_str(&read(&file)).unwrap(), file })
        .collect();
    boards.sort_by(|a, b| a.file.cmp(&b.file));
    assert_eq!(boards.len(), 4);
    boards
}

fn list<'a>(json: &'a Value, pointer: &str) -> &'a [Value] {
    json.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(json: &'a Value, key: &str) -> &'a str {
    json[key].as_str().unwrap_or("")
}

impl Board {
    /// Panels other than rows.
    fn panels(&self) -> impl Iterator<Item = &Value> {
        list(&self.json, "/panels").iter().filter(|panel| panel["type"] != "row")
    }

    /// Name and expression of each panel target.
    fn targets(&self) -> impl Iterator<Item = (String, String)> {
        self.panels().flat_map(|panel| {
            list(panel, "/targets").iter().map(|target| {
                (format!("{}: {}", self.name(), text(panel, "title")), text(target, "expr").to_owned())
            })
        })
    }

    fn annotations(&self) -> impl Iterator<Item = (String, String)> {
        list(&self.json, "/annotations/list").iter().filter_map(|annotation| {
            let expression = annotation["expr"].as_str()?;
            Some((format!("{}: {}", self.name(), text(annotation, "name")), expression.to_owned()))
        })
    }

    fn variables(&self) -> &[Value] {
        list(&self.json, "/templating/list")
    }

    fn name(&self) -> &str {
        self.file.file_stem().unwrap().to_str().unwrap()
    }
}

struct Rule {
    name: String,
    json: Value,
}

fn rules() -> Vec<Rule> {
    let text = read(&root().join("deploy/prometheus/alerts.yaml"));
    let source = config::File::from_str(&text, config::FileFormat::Yaml);
    let json: Value =
        config::Config::builder().add_source(source).build().unwrap().try_deserialize().unwrap();
    let rules = list(&json, "/groups").iter().flat_map(|group| list(group, "/rules"));
    rules.map(|rule| Rule { name: self::text(rule, "alert").to_owned(), json: rule.clone() }).collect()
}

#[track_caller]
fn parse(name: &str, expression: &str) -> Expr {
    let expanded = expression
        .replace("$__rate_interval", "297s")
        .replace("$__interval_ms", "60000")
        .replace("$__interval", "60s")
        .replace("$__range", "6h");
    parser::parse(&expanded).unwrap_or_else(|error| panic!("{name}: {error}: {expression}"))
}

/// A selector with the function that is applied to it, if any.
struct Use<'a> {
    selector: &'a VectorSelector,
    function: Option<&'a str>,
    range: Option<std::time::Duration>,
}

fn uses<'a>(expression: &'a Expr, function: Option<&'a str>, found: &mut Vec<Use<'a>>) {
    match expression {
        Expr::Aggregate(aggregate) => {
            uses(&aggregate.expr, None, found);
            if let Some(parameter) = &aggregate.param {
                uses(parameter, None, found);
            }
        }
        Expr::Unary(unary) => uses(&unary.expr, None, found),
        Expr::Binary(binary) => {
            uses(&binary.lhs, None, found);
            uses(&binary.rhs, None, found);
        }
        Expr::Paren(paren) => uses(&paren.expr, function, found),
        Expr::Subquery(subquery) => uses(&subquery.expr, function, found),
        Expr::VectorSelector(selector) => found.push(Use { selector, function, range: None }),
        Expr::MatrixSelector(matrix) => {
            found.push(Use { selector: &matrix.vs, function, range: Some(matrix.range) });
        }
        Expr::Call(call) => {
            for argument in &call.args.args {
                uses(argument, Some(call.func.name), found);
            }
        }
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

/// Every `by (...)` with the selectors under it.
fn groupings<'a>(expression: &'a Expr, found: &mut Vec<(&'a [String], &'a Expr)>) {
    match expression {
        Expr::Aggregate(aggregate) => {
            if let Some(LabelModifier::Include(labels)) = &aggregate.modifier {
                found.push((&labels.labels, &aggregate.expr));
            }
            groupings(&aggregate.expr, found);
        }
        Expr::Unary(unary) => groupings(&unary.expr, found),
        Expr::Binary(binary) => {
            groupings(&binary.lhs, found);
            groupings(&binary.rhs, found);
        }
        Expr::Paren(paren) => groupings(&paren.expr, found),
        Expr::Subquery(subquery) => groupings(&subquery.expr, found),
        Expr::Call(call) => call.args.args.iter().for_each(|argument| groupings(argument, found)),
        _ => {}
    }
}

fn selectors(expression: &Expr) -> Vec<Use<'_>> {
    let mut found = Vec::new();
    uses(expression, None, &mut found);
    found
}

/// The catalogue's entry for a sample name; a histogram has several.
fn spec(name: &str) -> Option<&'static Spec> {
    Id::ALL.iter().map(|id| id.spec()).find(|spec| {
        let histogram = spec.kind == Kind::Histogram;
        let part = name.strip_prefix(spec.name).filter(|_| histogram);
        spec.name == name || part.is_some_and(|part| matches!(part, "_bucket" | "_sum" | "_count"))
    })
}

/// Every expression of dashboards and rules, with where it stands. That of a variable is the
/// selector in it.
fn expressions() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for board in boards() {
        all.extend(board.targets());
        all.extend(board.annotations());
        for variable in board.variables().iter().filter(|variable| variable["type"] == "query") {
            all.push((
                format!("{}: ${}", board.name(), text(variable, "name")),
                selector_of(variable).to_owned(),
            ));
        }
    }
    all.extend(rules().into_iter().map(|rule| (rule.name.clone(), text(&rule.json, "expr").to_owned())));
    all
}

/// The selector in `label_values(selector, label)`.
#[track_caller]
fn selector_of(variable: &Value) -> &str {
    let query = text(variable, "query");
    let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    let (selector, label) =
        inner.and_then(|inner| inner.rsplit_once(',')).unwrap_or_else(|| panic!("{query}"));
    assert!(!label.trim().is_empty(), "{query}");
    selector
}

#[test]
fn dashboards_meet_the_schema_of_grafana() {
    let Some(path) = support::shared("schemas/grafana-dashboard.jsonschema.json") else { return };
    let schema: Value = serde_json::from_str(&read(&path)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for board in boards() {
        let errors: Vec<String> = validator
            .iter_errors(&board.json)
            .map(|error| format!("{}: {error:.300}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", board.name());
        let mut broken = board.json.clone();
        broken["panels"][1]["datasource"] = Value::from("prometheus");
        assert!(!validator.is_valid(&broken), "the schema is really applied");
    }
}

#[test]
fn dashboards_have_stable_names_and_are_not_edited_in_place() {
    let mut uids = BTreeSet::new();
    let all = boards();
    for board in &all {
        assert_eq!(text(&board.json, "uid"), board.name());
        assert!(uids.insert(board.name()));
        assert_eq!(board.json["schemaVersion"], 42);
        assert_eq!(board.json["editable"], false, "uneditable-dashboard");
        assert_eq!(list(&board.json, "/tags"), [Value::from("plimsoll")]);
    }
    for board in &all {
        let whole = board.json.to_string();
        for uid in whole.split("/d/").skip(1).map(|rest| rest.split(['?', '"', '/']).next().unwrap()) {
            assert!(uids.contains(uid), "{} links to {uid}", board.name());
        }
    }
}

#[test]
fn variables_follow_the_rules_of_the_dashboard_linter() {
    for board in boards() {
        let named = |name: &str| {
            board
                .variables()
                .iter()
                .find(|variable| variable["name"] == name)
                .unwrap_or_else(|| panic!("no ${name}"))
        };
        let datasource = named("datasource");
        for (key, value) in [("type", "datasource"), ("query", "prometheus"), ("label", "Data source")] {
            assert_eq!(text(datasource, key), value, "template-datasource");
        }
        for (name, label) in [("job", "Job"), ("instance", "Instance")] {
            let variable = named(name);
            assert_eq!(
                (text(variable, "type"), text(variable, "label")),
                ("query", label),
                "template-{name}"
            );
            assert_eq!(
                (&variable["multi"], text(variable, "allValue")),
                (&Value::from(true), ".+"),
                "{name}"
            );
        }
        for variable in board.variables().iter().filter(|variable| variable["type"] == "query") {
            let name = format!("{}: ${}", board.name(), text(variable, "name"));
            assert_eq!(variable["refresh"], 2, "template-on-time-change-reload: {name}");
            assert_eq!(text(&variable["datasource"], "uid"), "${datasource}", "{name}");
            parse(&name, selector_of(variable));
        }
    }
}

#[test]
fn panels_follow_the_rules_of_the_dashboard_linter() {
    for board in boards() {
        let mut ids = BTreeSet::new();
        for panel in list(&board.json, "/panels") {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "panel ids are unique");
        }
        for panel in board.panels() {
            let name = format!("{}: {}", board.name(), text(panel, "title"));
            assert!(
                !text(panel, "title").is_empty() && text(panel, "description").len() > 10,
                "panel-title-description: {name}"
            );
            assert_eq!(text(&panel["datasource"], "uid"), "${datasource}", "panel-datasource: {name}");
            assert!(!list(panel, "/targets").is_empty(), "panel-no-targets: {name}");
            for target in list(panel, "/targets") {
                assert_eq!(text(&target["datasource"], "uid"), "${datasource}", "{name}");
            }
            let defaults = &panel["fieldConfig"]["defaults"];
            let mapped = !list(defaults, "/mappings").is_empty();
            assert!(mapped || UNITS.contains(&text(defaults, "unit")), "panel-units: {name}");
        }
    }
}

#[test]
fn panels_do_not_cover_each_other() {
    for board in boards() {
        let mut taken: BTreeMap<(u64, u64), String> = BTreeMap::new();
        for panel in list(&board.json, "/panels") {
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{}", text(panel, "title"));
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    let other = taken.insert((x, y), text(panel, "title").to_owned());
                    assert_eq!(other, None, "{}: {}", board.name(), text(panel, "title"));
                }
            }
        }
    }
}

#[test]
fn queries_follow_the_rules_of_the_dashboard_linter() {
    for board in boards() {
        for (name, expression) in board.targets() {
            let parsed = parse(&name, &expression);
            for Use { selector, function, range } in selectors(&parsed) {
                for label in ["job", "instance"] {
                    let matched = selector.matchers.matchers.iter().any(|matcher| {
                        matcher.name == label
                            && matches!(matcher.op, MatchOp::Re(_))
                            && matcher.value == format!("${label}")
                    });
                    assert!(matched, "target-{label}: {name}: {expression}");
                }
                if matches!(function, Some("rate" | "irate")) {
                    assert_eq!(range, Some(RATE_INTERVAL), "target-rate-interval: {name}: {expression}");
                }
                let grows = |metric: &str| metric.ends_with("_total") || metric.ends_with("_bucket");
                if selector.name.as_deref().is_some_and(grows) {
                    let rated = matches!(function, Some("rate" | "irate" | "increase"));
                    assert!(rated, "target-counter-agg: {name}: {expression}");
                }
            }
        }
    }
}

#[test]
fn every_metric_and_label_that_is_asked_for_exists() {
    let mut checked = 0;
    for (name, expression) in expressions() {
        let parsed = parse(&name, &expression);
        for Use { selector, .. } in selectors(&parsed) {
            let Some(metric) = selector.name.as_deref() else {
                // Selected by a pattern on the name, which has to fit something.
                let pattern = &selector
                    .matchers
                    .matchers
                    .iter()
                    .find(|matcher| matcher.name == "__name__")
                    .unwrap()
                    .value;
                let prefix = pattern.trim_end_matches(".+");
                assert!(Id::ALL.iter().any(|id| id.spec().name.starts_with(prefix)), "{name}: {pattern}");
                continue;
            };
            if metric == "up" {
                continue;
            }
            let spec = spec(metric).unwrap_or_else(|| panic!("{name}: {metric} is not in the catalogue"));
            for matcher in &selector.matchers.matchers {
                let known =
                    ["job", "instance"].contains(&&*matcher.name) || spec.labels.contains(&&*matcher.name);
                assert!(known, "{name}: {metric} has no label {}", matcher.name);
            }
            checked += 1;
        }
        let mut grouped = Vec::new();
        groupings(&parsed, &mut grouped);
        for (labels, inner) in grouped {
            for Use { selector, .. } in selectors(inner) {
                let Some(spec) = selector.name.as_deref().and_then(spec) else { continue };
                for label in labels {
                    let histogram = label == "le" && spec.kind == Kind::Histogram;
                    let known = label == "instance" || histogram || spec.labels.contains(&label.as_str());
                    assert!(known, "{name}: {} has no label {label}", spec.name);
                }
            }
        }
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn every_metric_is_used_by_a_dashboard_or_an_alert_rule() {
    let mut unused: BTreeSet<&str> = Id::ALL.iter().map(|id| id.spec().name).collect();
    for (name, expression) in expressions() {
        let parsed = parse(&name, &expression);
        for Use { selector, .. } in selectors(&parsed) {
            if let Some(spec) = selector.name.as_deref().and_then(spec) {
                unused.remove(spec.name);
            }
        }
    }
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn every_alert_says_what_to_do_and_has_a_test() {
    let tests = read(&root().join("deploy/prometheus/tests/alerts_test.yaml"));
    let mut names = BTreeSet::new();
    for rule in rules() {
        assert!(rule.name.starts_with("Plimsoll") && names.insert(rule.name.clone()), "{}", rule.name);
        for annotation in ["summary", "description", "runbook"] {
            assert!(text(&rule.json["annotations"], annotation).len() > 10, "{}: {annotation}", rule.name);
        }
        assert!(matches!(text(&rule.json["labels"], "severity"), "warning" | "critical"), "{}", rule.name);
        let fires = tests.split("alertname: ").skip(1).any(|test| {
            let mut lines = test.lines();
            lines.next() == Some(&rule.name) && lines.next().is_some_and(|line| line.trim() == "exp_alerts:")
        });
        assert!(fires, "no test in which {} fires", rule.name);
    }
    assert!(names.len() >= 10);
}
