//! Commands in a topic of librdkafka's mock cluster: written once and whole, found again by their id,
//! and followed where somebody replies; and each a valid CDEvent.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use plimsoll::action::Target;
use plimsoll::action::kafka_command::{self, Config, Event, KafkaCommand};
use plimsoll::action::request::Request;
use plimsoll::safety::{ActionKind, Idempotency, Reply, Step};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::{Value, json};

use super::{ID, ask, call, call_with};

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    cluster: MockCluster<'static, DefaultProducerContext>,
    config: Config,
}

fn config(brokers: &str) -> Config {
    Config {
        properties: BTreeMap::from([
            ("bootstrap.servers".to_owned(), brokers.to_owned()),
            ("sasl.password".to_owned(), "hunter2!".to_owned()),
        ]),
        topic: "commands".into(),
        reply_topic: Some("replies".into()),
        receiver_dedupes: true,
        source: "/plimsoll".into(),
        environment: "production".into(),
        timeout: PATIENCE,
    }
}

fn world() -> World {
    let cluster = MockCluster::new(1).unwrap();
    for topic in ["commands", "replies"] {
        cluster.create_topic(topic, 2, 1).unwrap();
    }
    let config = config(&cluster.bootstrap_servers());
    World { cluster, config }
}

impl World {
    fn target(&self) -> KafkaCommand {
        KafkaCommand::new(self.config.clone()).unwrap()
    }

    /// Everything in the topic of commands.
    fn commands(&self) -> Vec<OwnedMessage> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap_servers())
            .set("group.id", "reader")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let mut partitions = TopicPartitionList::new();
        for partition in [0, 1] {
            partitions.add_partition_offset("commands", partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&partitions).unwrap();
        let (mut found, mut ends) = (vec![], 0);
        while ends < 2 {
            match consumer.poll(PATIENCE).expect("a message or an end comes") {
                Ok(message) => found.push(message.detach()),
                Err(_) => ends += 1,
            }
        }
        found
    }

    /// A reply of the receiver about the action `id`.
    fn reply(&self, id: &str, value: &str) {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", self.cluster.bootstrap_servers()).create().unwrap();
        let headers = OwnedHeaders::new().insert(Header { key: "action_id", value: Some(id) });
        producer.send(BaseRecord::<(), str>::to("replies").payload(value).headers(headers)).unwrap();
        producer.flush(PATIENCE).unwrap();
    }
}

fn finished(outcome: &str, errors: &str) -> String {
    let event = json!({
        "context": {"type": "dev.cdevents.pipelinerun.finished.0.3.0"},
        "subject": {"id": ID, "content": {"outcome": outcome, "errors": errors}},
    });
    event.to_string()
}

fn poll() -> Step {
    Step::Poll { reference: ID.into() }
}

#[test]
fn a_command_is_written_whole_and_found_by_its_id() {
    let world = world();
    let target = world.target();
    let rollback = call(ActionKind::Rollback);
    assert_eq!(ask(&target, &Step::Find, &rollback), Reply::Absent);
    let reply = ask(&target, &Step::Submit, &rollback);
    let Reply::Accepted { reference: Some(reference), done: false, .. } = &reply else { panic!("{reply:?}") };
    assert_eq!(reference, ID);
    assert!(matches!(ask(&target, &Step::Find, &rollback), Reply::Accepted { .. }));
    let mut other = call(ActionKind::Rollback);
    other.action_id = "rollback-0".into();
    assert_eq!(ask(&target, &Step::Find, &other), Reply::Absent);

    let commands = world.commands();
    assert_eq!(commands.len(), 1);
    assert_eq!(commands[0].key(), Some("credit".as_bytes()));
    let headers: BTreeMap<String, String> = commands[0]
        .headers()
        .unwrap()
        .iter()
        .map(|header| (header.key.to_owned(), String::from_utf8(header.value.unwrap().to_vec()).unwrap()))
        .collect();
    let data: Value = serde_json::from_slice(commands[0].payload().unwrap()).unwrap();
    let expected = [
        ("action_id", ID),
        ("ce_id", ID),
        ("ce_source", "/plimsoll"),
        ("ce_specversion", "1.0"),
        ("ce_subject", ID),
        ("ce_time", "2026-11-22T09:59:00Z"),
        ("ce_type", "dev.cdevents.pipelinerun.queued.0.3.0"),
        ("content-type", "application/json"),
    ];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    // The binding of CDEvents to CloudEvents.
    for (header, place) in [
        ("ce_id", "/context/id"),
        ("ce_source", "/context/source"),
        ("ce_type", "/context/type"),
        ("ce_time", "/context/timestamp"),
        ("ce_subject", "/subject/id"),
    ] {
        assert_eq!(data.pointer(place), Some(&json!(headers[header])), "{header}");
    }
    assert_eq!(data["customData"], rollback.payload);
}

#[test]
fn what_the_receiver_replies_is_followed_to_its_end() {
    let world = world();
    let target = world.target();
    let rollback = call(ActionKind::Rollback);
    assert_eq!(ask(&target, &poll(), &rollback), Reply::Running { detail: "no reply yet".into() });
    world.reply("rollback-0", &finished("success", ""));
    assert_eq!(ask(&target, &poll(), &rollback), Reply::Running { detail: "no reply yet".into() });
    world.reply(ID, "no json");
    assert!(matches!(ask(&target, &poll(), &rollback), Reply::Retry { doubt: false, .. }));
    world.reply(
        ID,
        r#"{"context":{"type":"dev.cdevents.pipelinerun.started.0.3.0"},"subject":{"id":"x","content":{}}}"#,
    );
    world.reply(ID, &finished("failure", "no such host\nhunter2!"));
    let failed = ask(&target, &poll(), &rollback);
    assert_eq!(failed, Reply::Failed { why: "the receiver reports failure no such host ***".into() });
}

#[test]
fn the_published_example_of_a_finished_run_is_understood() {
    let path = schemas().join("pipelinerun_finished.example.json");
    let world = world();
    world.reply(ID, &std::fs::read_to_string(path).unwrap());
    let reply = ask(&world.target(), &poll(), &call(ActionKind::Retrain));
    assert!(matches!(&reply, Reply::Failed { why } if why.contains("Something went wrong")), "{reply:?}");
}

#[test]
fn a_command_is_keyed_only_where_the_receiver_is_said_to_dedupe() {
    let mut config = config("127.0.0.1:9");
    let of = |config: &Config| KafkaCommand::new(config.clone()).unwrap();
    assert_eq!(of(&config).idempotency(), Idempotency::Keyed);
    assert!(of(&config).abilities().poll);
    config.receiver_dedupes = false;
    config.reply_topic = None;
    assert_eq!(of(&config).idempotency(), Idempotency::Unkeyed);
    assert!(!of(&config).abilities().poll);
    assert!(matches!(ask(&of(&config), &poll(), &call(ActionKind::Retrain)), Reply::Rejected { .. }));
}

#[test]
fn without_brokers_nothing_was_sent_and_nothing_is_known() {
    let mut config = config("127.0.0.1:9");
    config.timeout = Duration::from_millis(700);
    let target = KafkaCommand::new(config).unwrap();
    for step in [Step::Submit, Step::Find, poll()] {
        let reply = ask(&target, &step, &call(ActionKind::Retrain));
        assert!(matches!(reply, Reply::Retry { doubt: false, .. }), "{}: {reply:?}", step.name());
        assert!(!format!("{reply:?} {target:?}").contains("hunter2"));
    }
}

#[test]
fn a_command_that_is_not_acknowledged_in_time_may_have_been_taken() {
    let mut world = world();
    world.config.timeout = Duration::from_secs(3);
    let errors = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT; 100];
    world.cluster.request_errors(RDKafkaApiKey::Produce, &errors);
    let reply = ask(&world.target(), &Step::Submit, &call(ActionKind::Rollback));
    assert!(matches!(reply, Reply::Retry { doubt: true, .. }), "{reply:?}");
}

#[test]
fn what_a_broker_refuses_is_refused() {
    for error in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
    ] {
        let world = world();
        world.cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
        let reply = ask(&world.target(), &Step::Submit, &call(ActionKind::Rollback));
        assert!(matches!(reply, Reply::Rejected { .. }), "{error:?}: {reply:?}");
        assert_eq!(world.commands().len(), 0);
    }
}

#[test]
fn what_can_never_work_is_refused_when_the_target_is_made() {
    use kafka_command::Error;
    let bad = |change: fn(&mut Config)| {
        let mut config = config("127.0.0.1:9");
        change(&mut config);
        KafkaCommand::new(config).unwrap_err()
    };
    assert!(matches!(bad(|it| it.topic.clear()), Error::Topic));
    assert!(matches!(bad(|it| it.reply_topic = Some("commands".into())), Error::SameTopic));
    assert!(matches!(bad(|it| it.source = "a b".into()), Error::Source(_)));
    assert!(matches!(bad(|it| it.environment.clear()), Error::Environment));
    let unknown = bad(|it| drop(it.properties.insert("no.such.property".into(), "hunter3".into())));
    assert!(matches!(&unknown, Error::Property { name } if name == "no.such.property"));
    assert!(!format!("{unknown:?} {unknown}").contains("hunter3"));
}

fn schemas() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas/cdevents")
}

/// Schemas that name others by their addresses find them in the folder.
struct Folder;

impl jsonschema::Retrieve for Folder {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let name = uri.as_str().rsplit('/').next().unwrap_or_default();
        Ok(serde_json::from_str(&std::fs::read_to_string(schemas().join(format!("links/{name}.json")))?)?)
    }
}

#[test]
fn every_command_is_a_valid_cdevent() {
    let over = json!({"decision": {"id": "d2", "kind": "cleared"}, "tenant": "north"});
    let escalation = json!({"action_id": ID, "action": "back", "reason": "failed", "detail": "HTTP 403"});
    let calls = [
        ("pipelinerunqueued", call(ActionKind::Rollback)),
        ("pipelinerunqueued", call(ActionKind::Retrain)),
        ("incidentdetected", call(ActionKind::Notify)),
        ("incidentdetected", call_with(ActionKind::Notify, json!({"escalation": escalation}))),
        ("incidentresolved", call_with(ActionKind::Notify, over)),
    ];
    for (schema, call) in calls {
        let text = std::fs::read_to_string(schemas().join(format!("{schema}.json"))).unwrap();
        let schema: Value = serde_json::from_str(&text).unwrap();
        let validator = jsonschema::options()
            .with_retriever(Folder)
            .should_validate_formats(true)
            .build(&schema)
            .unwrap();
        let event = Event::new(&Request::of(&call).unwrap(), "back-to-good", "/plimsoll", "production");
        let wrong: Vec<String> = validator.iter_errors(&event.data).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?} in {}", event.data);
        let mut broken = event.data.clone();
        broken["context"]["timestamp"] = "yesterday".into();
        broken["subject"]["content"]["model"] = "credit".into();
        assert_eq!(validator.iter_errors(&broken).count(), 2, "the schema sees what is wrong");
    }
}
