//! What one story is played in: topics of its own on the broker, a configuration, the log, and what
//! `plimsoll replay` says of the same records.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use plimsoll::domain::{EventTime, Finding};
use plimsoll::engine::message::ResumePoint;
use plimsoll::exchange::topics::{Retention, Topic, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

use super::daemon::plimsoll;
use super::lending::{Log, PARTITIONS, Record};
use super::receiver::Receiver;
use super::{PATIENCE, env};

/// A message of one of plimsoll's own topics.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) value: String,
    pub(super) headers: BTreeMap<String, String>,
}

/// What an undisturbed reading of the log gives, as far as its windows close.
#[derive(Debug)]
pub(super) struct Expected {
    /// Findings as JSON, sorted.
    pub(super) findings: Vec<String>,
    /// Decisions, in order.
    pub(super) decisions: Vec<Value>,
}

#[derive(Debug)]
pub(super) struct Setting {
    folder: PathBuf,
    name: String,
    pub(super) config: PathBuf,
    pub(super) log: Log,
    pub(super) receiver: Receiver,
    producer_config: ClientConfig,
}

impl Setting {
    /// `test` names topics and group. Its folder stays where the test fails.
    pub(super) fn new(test: &str) -> Self {
        Self::with_interval(test, "500ms")
    }

    /// With this time from one commit to the next.
    pub(super) fn with_interval(test: &str, interval: &str) -> Self {
        let brokers = env("PLIMSOLL_TEST_KAFKA");
        Self::with_connection(test, &format!("brokers: \"{brokers}\"\n  commit_interval: {interval}"))
    }

    /// With lines of one's own under `kafka`.
    #[expect(clippy::disallowed_methods, reason = "event times must not be older than the daemon takes")]
    pub(super) fn with_connection(test: &str, connection: &str) -> Self {
        let name = format!("e2e-{test}-{}", std::process::id());
        let folder = std::env::temp_dir().join(format!("plimsoll-{name}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", env("PLIMSOLL_TEST_KAFKA"));
        let topic = Topic {
            name: name.clone(),
            partitions: Some(PARTITIONS + 1),
            retention: Retention::Forever,
            ..Topic::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ensure(&client, &[topic], true, PATIENCE)).unwrap();

        let receiver = Receiver::start();
        let config = folder.join("plimsoll.yaml");
        std::fs::write(&config, configuration(&name, connection, &receiver.url())).unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
        let log = Log::new((now - 3_600) / 10 * 10_000);
        Self { folder, name, config, log, receiver, producer_config: client }
    }

    /// Writes `records` to the input topic, in order.
    pub(super) fn produce(&self, records: &[Record]) {
        let producer: BaseProducer = self.producer_config.create().unwrap();
        for Record { partition, value, .. } in records {
            let record = BaseRecord::<(), _>::to(&self.name).partition(*partition).payload(value);
            producer.send(record).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// What `plimsoll replay` finds in the whole log, its partitions as files.
    pub(super) fn expected(&self) -> Expected {
        let files: Vec<PathBuf> = (0..PARTITIONS)
            .map(|number| {
                let file = self.folder.join(format!("{number}.ndjson"));
                let lines = self.log.partition(number).map(|record| format!("{}\n", record.value));
                std::fs::write(&file, lines.collect::<String>()).unwrap();
                file
            })
            .collect();
        let output = self.folder.join("replay");
        let mut replay = plimsoll();
        replay.args(["replay", "--config"]).arg(&self.config).arg("--output").arg(&output);
        let ran = replay.arg("--input").args(&files).env("KAFKA_PASSWORD", "not used").output().unwrap();
        assert_eq!(ran.status.code(), Some(2), "a breach is found: {}", String::from_utf8_lossy(&ran.stderr));
        let lines = |name: &str| -> Vec<String> {
            let text = std::fs::read_to_string(output.join(name)).unwrap();
            text.lines().map(str::to_owned).collect()
        };
        let mut findings = lines("findings.ndjson");
        findings.retain(|line| finding(line).window.end <= self.log.closes_until);
        findings.sort();
        let decisions = lines("decisions.ndjson").iter().map(|line| json(line)).collect::<Vec<_>>();
        let closed = |decision: &Value| time(&decision["at"]) <= self.log.closes_until;
        Expected { findings, decisions: decisions.into_iter().filter(closed).collect() }
    }

    /// The messages of one of plimsoll's own topics: `findings`, `dead-letter` or `audit`.
    pub(super) fn told(&self, topic: &str) -> Vec<Told> {
        let topic = format!("{}.{topic}", self.name);
        let consumer = self.consumer("plimsoll-test-reader");
        let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE).unwrap();
        let numbers: Vec<i32> = metadata.topics()[0].partitions().iter().map(|p| p.id()).collect();
        if metadata.topics()[0].error().is_some() {
            return Vec::new();
        }
        let mut list = TopicPartitionList::new();
        for number in &numbers {
            list.add_partition_offset(&topic, *number, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut told, mut ended) = (Vec::new(), 0);
        while ended < numbers.len() {
            match consumer.poll(PATIENCE).expect("the broker answers") {
                Ok(message) => {
                    let headers = message.headers().map(|headers| headers.iter().collect::<Vec<_>>());
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    told.push(Told {
                        value: text(message.payload().unwrap_or_default()),
                        headers: headers
                            .into_iter()
                            .flatten()
                            .map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default())))
                            .collect(),
                    });
                }
                Err(KafkaError::PartitionEOF(_)) => ended += 1,
                Err(error) => panic!("{error}"),
            }
        }
        told
    }

    /// Findings that were given out, sorted.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut findings: Vec<String> = self.told("findings").into_iter().map(|told| told.value).collect();
        findings.sort();
        findings
    }

    /// The audit log.
    pub(super) fn audit(&self) -> Vec<Value> {
        self.told("audit").iter().map(|told| json(&told.value)).collect()
    }

    /// Committed offsets of the input, and what is stored with them.
    pub(super) fn committed(&self) -> BTreeMap<i32, (i64, ResumePoint)> {
        let consumer = self.consumer(&self.name);
        let mut list = TopicPartitionList::new();
        for number in 0..=PARTITIONS {
            list.add_partition(&self.name, number);
        }
        let committed = consumer.committed_offsets(list, PATIENCE).unwrap();
        let points = committed.elements().into_iter().filter_map(|element| {
            let Offset::Offset(offset) = element.offset() else { return None };
            let point = ResumePoint::from_metadata(element.metadata()).expect("our own metadata");
            Some((element.partition(), (offset, point)))
        });
        points.collect()
    }

    fn consumer(&self, group: &str) -> BaseConsumer {
        let mut config = self.producer_config.clone();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed");
        config.create().unwrap()
    }

    /// Removes the folder of a story that went well.
    pub(super) fn done(self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }

    /// The input topic.
    pub(super) fn topic(&self) -> &str {
        &self.name
    }
}

pub(super) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub(super) fn finding(text: &str) -> Finding {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub(super) fn time(value: &Value) -> EventTime {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no time"))
}

fn configuration(name: &str, connection: &str, url: &str) -> String {
    format!(
        r#"
kafka:
  {connection}
  group: {name}
  exchange: {{prefix: {name}, partitions: 4}}
  # A member that was killed holds up the group for as long as its session.
  properties: {{session.timeout.ms: 1500, heartbeat.interval.ms: 300}}
  dead_letter_topic: {name}.dead-letter
  findings_topic: {name}.findings
topics:
  - {{name: {name}, model: /model, allowed_lateness: 1s, idle_after: 1500ms}}
models:
  - name: credit
    topics: [{name}]
    task: binary
    version: /version
    time: {{from: /ts, unit: ms}}
    prediction: {{from: /prediction, positive: approved}}
    label: /label
    latency: {{from: /latency_ms, unit: ms}}
    groups:
      - {{name: sex, from: /sex, values: [F, M]}}
    pane: 1s
    checks:
      - {{name: approval-ratio, metric: selection_rate_ratio, groups: [sex], window: 4s, slide: 2s, bound: ">= 0.7", confidence: 0.95}}
      - {{name: accuracy, metric: accuracy, window: 6s, slide: 3s, bound: ">= 0.6"}}
      - {{name: latency, metric: latency, quantile: 0.9, window: 4s, slide: 2s}}
      - {{name: traffic, metric: traffic_volume, window: 4s, slide: 1s}}
policies:
  - name: fair-lending
    model: credit
    checks: [approval-ratio]
    decide: window
    window_may_act: true
    violate: {{windows: 2, of: 3}}
    clear: {{windows: 2}}
    qualify: {{windows: 2}}
    mode: auto
    actions: [roll-back]
actions:
  - name: roll-back
    kind: rollback
    target: webhook
    webhook: {{url: "{url}", secret: {{env: WEBHOOK_SECRET}}, timeout: 5s}}
audit: {{store: kafka, topic: {name}.audit}}
http: {{listen: 127.0.0.1:0}}
log: {{level: info}}
"#
    )
}
