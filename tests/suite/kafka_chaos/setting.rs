//! Where a chaos run takes place: the cluster, the input topic, and for each group of daemons that
//! reads it a configuration with topics of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll::exchange::topics::{Retention, Topic, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::traffic::{FLUSH, MODELS, PARTITIONS};

/// Long enough for a cluster that has lost a node.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Partitions of the exchange.
pub(super) const EXCHANGE: i32 = 4;

/// An environment variable that a script sets.
pub(super) fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: use tests/kafka/chaos.sh"))
}

/// The cluster, and one input topic on it.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) folder: PathBuf,
    pub(super) topic: String,
    client: ClientConfig,
}

impl Setting {
    /// Makes the input topic and a folder of that name, which stays where the test fails.
    pub(super) fn new(test: &str) -> Self {
        let topic = format!("{test}-{}", std::process::id());
        let folder = std::env::temp_dir().join(format!("plimsoll-{topic}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", env("PLIMSOLL_TEST_KAFKA"))
            // A node that is restarted is looked for again soon.
            .set("reconnect.backoff.max.ms", "1000")
            .set_log_level(rdkafka::config::RDKafkaLogLevel::Error);
        let made = Topic {
            name: topic.clone(),
            partitions: Some(PARTITIONS),
            retention: Retention::Forever,
            replication_factor: None,
            max_message_bytes: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ensure(&client, &[made], true, PATIENCE)).unwrap();
        Self { folder, topic, client }
    }

    /// Properties of a client.
    pub(super) fn client(&self) -> ClientConfig {
        self.client.clone()
    }

    /// A consumer of `group` that never joins it.
    pub(super) fn consumer(&self, group: &str, isolation: &str) -> BaseConsumer {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("isolation.level", isolation);
        config.create().unwrap()
    }

    /// Whether every copy of every partition is in sync.
    pub(super) fn in_sync(&self) -> bool {
        let consumer = self.consumer("plimsoll-test-reader", "read_uncommitted");
        let Ok(metadata) = consumer.fetch_metadata(None, Duration::from_secs(5)) else { return false };
        let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        partitions.all(|partition| partition.isr().len() == partition.replicas().len())
    }

    /// Daemons with a group and topics of their own, which call `url`.
    pub(super) fn fleet(&self, name: &str, lateness: i64, url: &str) -> Fleet {
        let group = format!("{}-{name}", self.topic);
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let config = folder.join("plimsoll.yaml");
        let text = configuration(&env("PLIMSOLL_TEST_KAFKA"), &self.topic, &group, lateness, url);
        std::fs::write(&config, text).unwrap();
        Fleet { group, config }
    }
}

/// Daemons that read the input together.
#[derive(Clone, Debug)]
pub(super) struct Fleet {
    pub(super) group: String,
    pub(super) config: PathBuf,
}

impl Fleet {
    /// One of the fleet's own topics: `findings`, `dead-letter`, `audit`, `partials`, `decisions`.
    pub(super) fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.group)
    }

    /// Where its files are.
    pub(super) fn folder(&self) -> &Path {
        self.config.parent().expect("it is in a folder")
    }
}

fn configuration(brokers: &str, topic: &str, group: &str, lateness: i64, url: &str) -> String {
    let mut models = String::new();
    let mut policies = String::new();
    for number in 0..MODELS {
        let name = format!("m{number:02}");
        models.push_str(&format!(
            r#"
  - name: {name}
    topics: [{topic}]
    task: binary
    version: /version
    time: {{from: /ts, unit: ms}}
    prediction: {{from: /prediction, positive: approved}}
    label: /label
    latency: {{from: /latency_ms, unit: ms}}
    groups:
      - {{name: sex, from: /sex, values: [F, M]}}
    segments:
      - {{name: region, from: /region, values: [north, south]}}
    pane: 10s
    checks:
      - {{name: approval-ratio, metric: selection_rate_ratio, groups: [sex], window: 60s, slide: 30s, bound: ">= 0.7", confidence: 0.95, min_samples: 50, min_group: 10, segments: true}}
      - {{name: accuracy, metric: accuracy, window: 60s, slide: 30s, bound: ">= 0.6", min_samples: 50}}
      - {{name: latency, metric: latency, quantile: 0.9, window: 60s, slide: 60s}}
      - {{name: traffic, metric: traffic_volume, window: 30s, slide: 10s}}"#
        ));
        policies.push_str(&format!(
            r#"
  - name: fair-{name}
    model: {name}
    checks: [approval-ratio]
    decide: window
    window_may_act: true
    violate: {{windows: 2, of: 3}}
    clear: {{windows: 2}}
    qualify: {{windows: 2}}
    mode: auto
    actions: [roll-back]"#
        ));
    }
    format!(
        r#"
kafka:
  brokers: "{brokers}"
  group: {group}
  commit_interval: 500ms
  # A member that was killed holds up the group for as long as its session.
  properties: {{session.timeout.ms: 4000, heartbeat.interval.ms: 1000}}
  dead_letter_topic: {group}.dead-letter
  findings_topic: {group}.findings
  exchange: {{prefix: {group}, partitions: {EXCHANGE}, replication_factor: 3}}
# Event times are the same in every run, so they are as old as the test.
ingest: {{max_age: 36500d}}
topics:
  - {{name: {topic}, model: /model, allowed_lateness: {lateness}ms, idle_after: 2s}}
models:
  - name: {FLUSH}
    topics: [{topic}]
    task: binary
    version: /version
    time: {{from: /ts, unit: ms}}
    pane: 10s{models}
policies:{policies}
actions:
  - name: roll-back
    kind: rollback
    target: webhook
    webhook: {{url: "{url}", secret: {{env: WEBHOOK_SECRET}}, timeout: 3s}}
# A fleet that goes wrong all at once, again and again, is what is tested; the limits have tests of their own.
safety:
  cooldown: {{rollback: 0s}}
  budget: {{per_model: {{count: 1000000, per: 1s}}, fleet: {{count: 1000000, per: 1s}}}}
  fleet_alarm: {{models: 1000000}}
  breaker: {{failures: 1000}}
audit: {{store: kafka, topic: {group}.audit}}
http: {{listen: 127.0.0.1:0}}
log: {{format: json, level: info}}
"#
    )
}
