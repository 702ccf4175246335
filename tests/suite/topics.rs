//! `plimsoll topics create`: what it says it would make, and what it does on a broker.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod real;

use std::path::PathBuf;
use std::process::{Command, Output};

use plimsoll::app::wiring;
use plimsoll::config::{self, Config};
use plimsoll::exchange::topics::Retention;
use rdkafka::mocking::MockCluster;

/// A configuration with its own topics called after `name`.
fn text(name: &str, brokers: &str, kafka: &str) -> String {
    format!(
        r#"
kafka:
  brokers: "{brokers}"
  dead_letter_topic: {name}.dead-letter
  findings_topic: {name}.findings
  {kafka}
topics: [{{name: {name}.inference, model: =credit}}]
models:
  - {{name: credit, topics: [{name}.inference], task: binary, version: /version, time: /ts}}
audit: {{topic: {name}.audit}}
"#
    )
}

fn parse(text: &str) -> Config {
    config::parse(text, std::path::Path::new("plimsoll.yaml"), []).unwrap()
}

/// A configuration in a file of its own, which goes with it.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("plimsoll-topics-{name}-{}.yaml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn create(&self, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.args(["topics", "create", "--config"]).arg(&self.0).args(more);
        command.env("KAFKA_PASSWORD", std::env::var("PLIMSOLL_TEST_KAFKA_PASSWORD").unwrap_or_default());
        command.output().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap() + &String::from_utf8(output.stderr.clone()).unwrap()
}

/// The cells of the line about `topic`.
fn row(table: &str, topic: &str) -> Vec<String> {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(topic));
    let line = line.unwrap_or_else(|| panic!("no line about {topic} in\n{table}"));
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}

#[test]
fn a_dry_run_prints_every_topic_and_needs_no_broker() {
    // Nothing listens on port 1.
    let text = text(
        "x",
        "127.0.0.1:1",
        "exchange: {prefix: x, partitions: 6, replication_factor: 3, retention: 2d}",
    );
    let ran = File::new("dry", &text).create(&["--dry-run"]);
    let table = said(&ran);
    assert_eq!(ran.status.code(), Some(0), "{table}");
    for (topic, partitions, kept) in [
        ("x.partials", "6", "2days"),
        ("x.state", "6", "newest of a key"),
        ("x.decisions", "1", "2days"),
        ("x.control", "1", "newest of a key"),
        ("x.audit", "1", "for ever"),
        ("x.findings", "broker's", "broker's"),
        ("x.dead-letter", "broker's", "broker's"),
    ] {
        assert_eq!(row(&table, topic), [topic, partitions, "3", kept, "not asked"], "{table}");
    }
    assert!(table.contains("note: the broker did not say what exists: "), "{table}");
    assert!(!table.contains("x.inference"), "input topics are not plimsoll's own: {table}");
}

#[test]
fn a_dry_run_says_what_is_there_and_what_cannot_serve() {
    let cluster = MockCluster::new(1).unwrap();
    for (topic, partitions) in [("y.partials", 4), ("y.state", 8), ("y.decisions", 2), ("y.audit", 1)] {
        cluster.create_topic(topic, partitions, 1).unwrap();
    }
    let text = text("y", &cluster.bootstrap_servers(), "exchange: {prefix: y}");
    let ran = File::new("there", &text).create(&["--dry-run"]);
    let table = said(&ran);
    assert_eq!(ran.status.code(), Some(1), "{table}");
    assert_eq!(row(&table, "y.partials"), ["y.partials", "4", "1", "7days", "exists, cannot serve"]);
    assert_eq!(row(&table, "y.audit"), ["y.audit", "1", "1", "for ever", "exists"]);
    assert_eq!(row(&table, "y.control")[4], "would be created");
    let errors: Vec<&str> = table.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 2, "{table}");
    assert!(
        errors[0].starts_with("error: topic 'y.partials' has 4 partitions and 'y.state' has 8, and "),
        "{table}"
    );
    assert!(
        errors[1].starts_with("error: topic 'y.decisions' has 2 partitions and must have 1: "),
        "{table}"
    );
}

#[test]
fn a_configuration_without_kafka_has_no_topics() {
    let text = text("z", "", "group: g").replace("  brokers: \"\"\n", "");
    assert_eq!(wiring::own_topics(&parse(&text)), []);
    let ran = File::new("none", &text).create(&["--dry-run"]);
    assert_eq!((ran.status.code(), said(&ran).contains("kafka.brokers: missing")), (Some(64), true));
}

#[test]
fn a_role_needs_a_right_to_its_own_topics_and_to_those_that_a_configuration_is_published_by() {
    let names = |roles: &str| {
        let text = format!("roles: [{roles}]\n{}", text("r", "k:9092", "exchange: {prefix: r}"));
        let topics = wiring::role_topics(&parse(&text));
        topics.into_iter().map(|topic| topic.name).collect::<Vec<_>>()
    };
    assert_eq!(names("observe"), ["r.partials", "r.state", "r.control", "r.dead-letter"]);
    assert_eq!(names("evaluate"), ["r.partials", "r.state", "r.decisions", "r.control", "r.findings"]);
    // An instance that only acts may be the first of its group, and publishes then.
    assert_eq!(names("act"), ["r.partials", "r.state", "r.decisions", "r.control", "r.audit"]);
    assert_eq!(names("act, observe, evaluate").len(), 7);
}

#[test]
fn every_own_topic_is_as_its_readers_need_it() {
    let topics =
        wiring::own_topics(&parse(&text("r", "k:9092", "exchange: {prefix: r, replication_factor: 3}")));
    let get = |name: &str| topics.iter().find(|topic| topic.name == name).unwrap();
    assert_eq!(get("r.partials").partitions, get("r.state").partitions);
    assert_eq!(get("r.state").retention, Retention::Compact);
    assert_eq!(get("r.control").retention, Retention::Compact);
    assert_eq!(get("r.audit").retention, Retention::Forever);
    for one in ["r.decisions", "r.control", "r.audit"] {
        assert_eq!(get(one).partitions, Some(1), "{one}");
    }
    for topic in &topics {
        let setting = |name: &str| {
            topic.settings().into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
        };
        assert_eq!(setting("min.insync.replicas").as_deref(), Some("2"), "{}", topic.name);
        assert_eq!(topic.replication_factor, Some(3));
        if topic.retention == Retention::Compact {
            let kept: u64 = setting("delete.retention.ms").unwrap().parse().unwrap();
            assert!(kept >= 24 * 60 * 60 * 1000, "a reader that was away for a day must still see deletions");
        }
    }
}
