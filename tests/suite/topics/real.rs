//! The same on Apache Kafka itself, which knows settings of topics and rights of users.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll::exchange::topics::{Retention, Topic, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::{File, row, said, text};

const PATIENCE: Duration = Duration::from_secs(30);

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/kafka/run.sh"))
}

fn client() -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", env("PLIMSOLL_TEST_KAFKA"));
    client
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn make(topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let topic = settings.iter().fold(topic, |topic, (setting, value)| topic.set(setting, value));
    wait(admin.create_topics([&topic], &AdminOptions::new())).unwrap().remove(0).unwrap();
}

fn settings(topic: &str) -> BTreeMap<String, String> {
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let asked = [ResourceSpecifier::Topic(topic)];
    let found = wait(admin.describe_configs(&asked, &AdminOptions::new())).unwrap().remove(0).unwrap();
    found.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect()
}

fn name(test: &str) -> String {
    format!("topics-{test}-{}", std::process::id())
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn every_topic_is_made_as_configured_and_is_there_the_second_time() {
    let name = name("made");
    let exchange =
        format!("exchange: {{prefix: {name}, partitions: 3, replication_factor: 1, retention: 2h}}");
    let file = File::new("made", &text(&name, &env("PLIMSOLL_TEST_KAFKA"), &exchange));
    let dry = file.create(&["--dry-run"]);
    assert_eq!(dry.status.code(), Some(0), "{}", said(&dry));
    assert_eq!(said(&dry).matches("would be created").count(), 7, "{}", said(&dry));
    let first = file.create(&[]);
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    assert_eq!(said(&first).matches("created").count(), 7, "{}", said(&first));
    let second = file.create(&[]);
    let table = said(&second);
    assert_eq!(second.status.code(), Some(0), "{table}");
    assert!(!table.contains("created") && !table.contains("differs"), "{table}");
    for (topic, partitions) in
        [("partials", "3"), ("state", "3"), ("decisions", "1"), ("control", "1"), ("audit", "1")]
    {
        let cells = row(&table, &format!("{name}.{topic}"));
        assert_eq!(
            (cells[1].as_str(), cells[2].as_str(), cells[4].as_str()),
            (partitions, "1", "exists"),
            "{table}"
        );
    }
    let setting = |topic: &str, setting: &str| settings(&format!("{name}.{topic}"))[setting].clone();
    assert_eq!(setting("state", "cleanup.policy"), "compact");
    assert_eq!(setting("state", "min.cleanable.dirty.ratio"), "0.1");
    assert_eq!(setting("state", "delete.retention.ms"), "86400000");
    assert_eq!(setting("partials", "retention.ms"), "7200000");
    assert_eq!(setting("decisions", "cleanup.policy"), "delete");
    assert_eq!(setting("audit", "retention.ms"), "-1");
    assert_eq!(setting("control", "max.message.bytes"), "8388608");
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn topics_that_cannot_serve_are_named_all_at_once_and_nothing_is_made_beside_them() {
    let name = name("wrong");
    make(&format!("{name}.partials"), 2, &[]);
    make(&format!("{name}.state"), 8, &[("cleanup.policy", "delete")]);
    make(&format!("{name}.audit"), 1, &[("retention.ms", "604800000")]);
    make(&format!("{name}.decisions"), 1, &[("retention.ms", "7200000")]);
    let file = File::new(
        "wrong",
        &text(&name, &env("PLIMSOLL_TEST_KAFKA"), &format!("exchange: {{prefix: {name}}}")),
    );
    let ran = file.create(&[]);
    let table = said(&ran);
    assert_eq!(ran.status.code(), Some(1), "{table}");
    let errors: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    assert_eq!(errors.len(), 3, "{table}");
    assert!(
        errors[0].starts_with(&format!("topic '{name}.partials' has 2 partitions and '{name}.state' has 8")),
        "{table}"
    );
    assert!(
        errors[1].starts_with(&format!(
            "topic '{name}.state' has cleanup.policy=delete and must have cleanup.policy=compact"
        )),
        "{table}"
    );
    assert!(
        errors[2].starts_with(&format!(
            "topic '{name}.audit' has retention.ms=604800000 and must have retention.ms=-1"
        )),
        "{table}"
    );
    assert!(
        table.contains(&format!("note: {name}.decisions: retention.ms is 7200000, not 604800000")),
        "{table}"
    );
    assert_eq!(row(&table, &format!("{name}.control"))[4], "missing");
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn a_user_without_rights_is_told_which_one_is_missing() {
    let name = name("rights");
    let kafka = format!(
        "exchange: {{prefix: {name}}}\n  security: {{protocol: sasl_ssl, ca_file: \"{}\", mechanism: SCRAM-SHA-512, username: {}, password: {{env: KAFKA_PASSWORD}}}}",
        env("PLIMSOLL_TEST_KAFKA_CA"),
        env("PLIMSOLL_TEST_KAFKA_STRANGER"),
    );
    let file = File::new("rights", &text(&name, &env("PLIMSOLL_TEST_KAFKA_TLS"), &kafka));
    let ran = file.create(&[]);
    let table = said(&ran);
    assert_eq!(ran.status.code(), Some(1), "{table}");
    for topic in ["partials", "state", "decisions", "control", "audit", "findings", "dead-letter"] {
        let words = format!("grant Describe on topic '{name}.{topic}' to the user of `kafka.security`");
        assert!(table.contains(&words), "{words}: {table}");
    }
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn several_that_make_the_same_topics_at_once_all_succeed() {
    let name = name("race");
    let topics: Vec<Topic> = (0..4)
        .map(|number| Topic {
            name: format!("{name}.{number}"),
            partitions: Some(2),
            retention: Retention::Compact,
            ..Topic::default()
        })
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| wait(ensure(&client(), &topics, true, PATIENCE)).unwrap());
        }
    });
}
