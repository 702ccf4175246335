//! Where measuring takes place: input topics, configurations with a group and topics of their own, and
//! what can be seen of them from outside.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use plimsoll::exchange::topics::{Retention, Topic, ensure};
use plimsoll::profile::Profile;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sha2::{Digest, Sha256};

use super::records::Record;
use super::{env, instance};

/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// A topic whose transactions stay open for so long cannot be read to its end.
const HELD_UP: Duration = Duration::from_secs(90);

/// One input topic and a folder.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) folder: PathBuf,
    pub(super) topic: String,
}

/// Bytes of a topic's messages.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) messages: u64,
    /// Of keys and values.
    pub(super) bytes: u64,
}

fn client() -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", env("PLIMSOLL_TEST_KAFKA"))
        .set("reconnect.backoff.max.ms", "500")
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Error);
    client
}

impl Ground {
    /// Makes the input topic and a folder of that name, which stays where the test fails.
    pub(super) fn new(name: &str, partitions: i32) -> Self {
        let topic = format!("measure-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(&topic);
        std::fs::create_dir_all(&folder).unwrap();
        let made = Topic {
            name: topic.clone(),
            partitions: Some(partitions),
            retention: Retention::Forever,
            ..Topic::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ensure(&client(), &[made], true, PATIENCE)).unwrap();
        Self { folder, topic }
    }

    /// A producer that waits for as long as a broker may be away, and keeps the order.
    pub(super) fn producer(&self) -> ThreadedProducer<rdkafka::producer::DefaultProducerContext> {
        let mut config = client();
        config
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", "0")
            .set("linger.ms", "5")
            .set("queue.buffering.max.messages", "2000000")
            .set("compression.type", "lz4");
        config.create().unwrap()
    }

    /// Writes all of `records`, in order; they are kept when this returns.
    pub(super) fn produce(&self, records: impl Iterator<Item = Record>) {
        let producer = self.producer();
        for record in records {
            self.send(&producer, &record);
        }
        producer.flush(Duration::from_secs(120)).unwrap();
    }

    /// Hands one record to the producer.
    pub(super) fn send(
        &self,
        producer: &ThreadedProducer<rdkafka::producer::DefaultProducerContext>,
        record: &Record,
    ) {
        let mut message =
            BaseRecord::<(), str>::to(&self.topic).partition(record.partition).payload(&record.value);
        while let Err((error, back)) = producer.send(message) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            message = back;
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A group with topics of its own, named `name`.
    pub(super) fn fleet(&self, name: &str) -> Fleet {
        let group = format!("{}-{name}", self.topic);
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Fleet { config: folder.join("plimsoll.yaml"), group, input: self.topic.clone() }
    }

    /// Freezes the reference of one model, and writes a copy of it for each of `models`: a profile names its
    /// model. Returns how large one is.
    pub(super) fn profiles(&self, reference: &[String], features: usize, models: &[String]) -> u64 {
        let (rows, config) = (self.folder.join("reference.ndjson"), self.folder.join("reference.yaml"));
        std::fs::write(&rows, reference.join("\n")).unwrap();
        let model = model(&models[0], &self.topic, features, "10s", "");
        let text = format!(
            "topics:\n  - {{name: {}, model: /model, allowed_lateness: 1s, idle_after: 1s}}\nmodels:\n{model}",
            self.topic
        );
        std::fs::write(&config, text).unwrap();
        let output = self.folder.join("profile.json");
        let ran = Command::new(instance::binary())
            .args(["profile", "--model", &models[0], "--config"])
            .arg(&config)
            .arg("--input")
            .arg(&rows)
            .arg("--output")
            .arg(&output)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let profile = Profile::from_json(&std::fs::read(&output).unwrap()).unwrap();
        let size = std::fs::metadata(&output).unwrap().len();
        for name in models {
            let mut copy = Profile { model: name.as_str().into(), hash: "".into(), ..profile.clone() };
            let digest = Sha256::digest(serde_json::to_vec(&copy).unwrap());
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            copy.hash = format!("sha256:{digest}").into();
            std::fs::write(self.folder.join(format!("{name}.json")), copy.to_json()).unwrap();
        }
        size
    }

    pub(super) fn done(self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// Instances that share a group.
#[derive(Clone, Debug)]
pub(super) struct Fleet {
    pub(super) config: PathBuf,
    pub(super) group: String,
    input: String,
}

/// What a configuration says beside its models.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings<'a> {
    pub(super) commit_interval: &'a str,
    pub(super) exchange: i32,
    pub(super) lateness: &'a str,
    pub(super) idle_after: &'a str,
    /// Further lines at the top level.
    pub(super) more: &'a str,
    /// librdkafka's.
    pub(super) properties: &'a str,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            commit_interval: "1s",
            exchange: 8,
            lateness: "1s",
            idle_after: "60s",
            more: "",
            properties: "{}",
        }
    }
}

impl Fleet {
    /// Writes the configuration.
    pub(super) fn configure(&self, settings: Settings<'_>, models: &str) {
        let Settings { commit_interval, exchange, lateness, idle_after, more, properties } = settings;
        let (group, input, brokers) = (&self.group, &self.input, env("PLIMSOLL_TEST_KAFKA"));
        let text = format!(
            "kafka:
  brokers: \"{brokers}\"
  group: {group}
  commit_interval: {commit_interval}
  dead_letter_topic: null
  findings_topic: {group}.findings
  properties: {properties}
  exchange: {{prefix: {group}, partitions: {exchange}}}
topics:
  - {{name: {input}, model: /model, allowed_lateness: {lateness}, idle_after: {idle_after}}}
audit: {{store: kafka, topic: {group}.audit}}
http: {{listen: 127.0.0.1:0}}
{more}
models:
{models}"
        );
        std::fs::write(&self.config, text).unwrap();
    }

    /// One of its own topics.
    pub(super) fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.group)
    }

    /// Runs a command of the binary with this configuration, and returns how long it took.
    pub(super) fn run(&self, arguments: &[&str]) -> Duration {
        let start = Instant::now();
        let ran = Command::new(instance::binary())
            .args(arguments)
            .arg("--config")
            .arg(&self.config)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        start.elapsed()
    }

    /// Records of the input that the observers have not committed yet.
    pub(super) fn unread(&self) -> i64 {
        let committed = committed(&self.group, &self.input);
        let behind =
            committed.and_then(|at| Some(ends(&self.input)?.iter().sum::<i64>() - at.iter().sum::<i64>()));
        behind.unwrap_or(i64::MAX)
    }

    /// Whether the evaluators have committed everything of the exchange up to `ends`, as `ends_of_exchange`
    /// told them. Observers go on writing, so that this comes about with the next message.
    pub(super) fn evaluated(&self, ends: &[i64]) -> bool {
        let committed = committed(&format!("{}.evaluate", self.group), &self.topic("partials"));
        committed.is_some_and(|at| at.iter().zip(ends).all(|(at, end)| at >= end))
    }

    /// Where the partitions of the exchange end now.
    pub(super) fn ends_of_exchange(&self) -> Vec<i64> {
        self.try_ends_of_exchange().expect("the broker answers")
    }

    /// The same, where the broker may be away.
    pub(super) fn try_ends_of_exchange(&self) -> Option<Vec<i64>> {
        ends(&self.topic("partials"))
    }

    /// What the evaluators' state says of the input: records of a class.
    pub(super) fn counted(&self, class: &str) -> u64 {
        let mut inspect = Command::new(instance::binary());
        let output = inspect.args(["inspect", "state", "--config"]).arg(&self.config).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout);
        let lines = said.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let marks = lines.filter(|line| line["kind"] == "marks").inspect(|line| {
            assert_eq!(
                (&line["faults"]["gaps"], &line["faults"]["overlaps"]),
                (&0.into(), &0.into()),
                "{line}"
            );
        });
        let first = marks.into_iter().find(|line| line["partition"] == 0).expect("marks of partition 0");
        first["accounting"][&self.input][class].as_u64().unwrap()
    }
}

/// The configuration of a model with `features` numeric features; `checks` are lines of its own.
pub(super) fn model(name: &str, topic: &str, features: usize, pane: &str, checks: &str) -> String {
    let mut text = format!(
        "  - name: {name}
    topics: [{topic}]
    task: binary
    version: /version
    time: {{from: /ts, unit: ms}}
    prediction: {{from: /prediction, positive: 1}}
    score: /score
    pane: {pane}
    features:
"
    );
    for feature in 0..features {
        text.push_str(&format!(
            "      - {{name: f{feature:02}, from: /features/f{feature:02}, type: numeric}}\n"
        ));
    }
    text + checks
}

/// A consumer that joins no group.
pub(super) fn consumer(group: &str, isolation: &str) -> BaseConsumer {
    let mut config = client();
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "50")
        .set("isolation.level", isolation);
    config.create().unwrap()
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Option<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).ok()?;
    let found = metadata.topics().first().filter(|found| found.error().is_none())?;
    Some(found.partitions().iter().map(|partition| partition.id()).collect())
}

/// Ends of a topic's partitions; none while nobody answers.
fn ends(topic: &str) -> Option<Vec<i64>> {
    let consumer = consumer("plimsoll-test-reader", "read_uncommitted");
    let end = |number: &i32| Some(consumer.fetch_watermarks(topic, *number, PATIENCE).ok()?.1);
    partitions(&consumer, topic)?.iter().map(end).collect()
}

/// Committed offsets of `group`, 0 where there is none; none while nobody answers.
fn committed(group: &str, topic: &str) -> Option<Vec<i64>> {
    let consumer = consumer(group, "read_uncommitted");
    let mut list = TopicPartitionList::new();
    for number in partitions(&consumer, topic)? {
        list.add_partition(topic, number);
    }
    let answer = consumer.committed_offsets(list, PATIENCE).ok()?;
    let of = |offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
    Some(answer.elements().iter().map(|element| of(element.offset())).collect())
}

/// Reads what is committed in `topic` to its end, partition by partition in order.
pub(super) fn read(topic: &str, mut take: impl FnMut(&BorrowedMessage<'_>)) {
    let consumer = consumer("plimsoll-test-reader", "read_committed");
    let numbers = partitions(&consumer, topic).unwrap_or_else(|| panic!("there is no topic {topic}"));
    let mut list = TopicPartitionList::new();
    for number in &numbers {
        list.add_partition_offset(topic, *number, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut ended, mut last) = (0, Instant::now());
    while ended < numbers.len() {
        assert!(last.elapsed() < HELD_UP, "{topic} cannot be read to its end");
        match consumer.poll(Duration::from_secs(1)) {
            Some(Ok(message)) => {
                last = Instant::now();
                take(&message);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(_)) | None => {}
        }
    }
}

/// How many transactions have written to partition 0: their markers take offsets that no message has.
/// Only of a topic from which nothing was removed yet.
pub(super) fn transactions(topic: &str) -> u64 {
    let mut messages = 0;
    read(topic, |message| messages += i64::from(rdkafka::Message::partition(message) == 0));
    let end = ends(topic).expect("the broker answers")[0];
    u64::try_from(end - messages).unwrap_or_default()
}

/// What stands in a topic.
pub(super) fn size(topic: &str) -> Size {
    let mut size = Size::default();
    read(topic, |message| {
        size.messages += 1;
        size.bytes += (message.payload_len() + message.key_len()) as u64;
    });
    size
}

/// How the binary was built, as far as its folder tells.
pub(super) fn build() -> String {
    let path = instance::binary();
    let folder = Path::new(&path).parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    format!("build profile `{}`", if folder == "debug" { "dev" } else { &folder })
}
