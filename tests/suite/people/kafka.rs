//! Orders on their way into the topic of decisions, on librdkafka's mock cluster.

use std::time::{Duration, Instant};

use plimsoll::app::people::Publisher;
use plimsoll::engine::decided::{self, Told};
use plimsoll::safety::{Command, ModelName, Order, Role};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::mocking::MockCluster;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::world::World;

const TOPIC: &str = "plimsoll.decisions";

fn command(number: u32) -> Command {
    Command {
        id: format!("{number:032x}"),
        at: 1_795_341_600_123,
        who: "alice".into(),
        role: Role::Approver,
        reason: "audit".into(),
        order: Order::Hold(ModelName { tenant: Some("bank".into()), model: "credit".into() }),
    }
}

/// The next message of the topic, with its key.
fn read(consumer: &BaseConsumer) -> (Vec<u8>, Told) {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < Duration::from_secs(40), "no message came");
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.unwrap();
            let told = decided::read(message.payload().unwrap()).unwrap();
            return (message.key().unwrap().to_vec(), told);
        }
    }
}

fn consumer(brokers: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "reader").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(TOPIC, 0, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    consumer
}

#[test]
fn an_order_is_in_the_topic_once_it_counts_as_given_and_a_refusal_is_said() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", cluster.bootstrap_servers());
    let publisher = Publisher::new(&client, TOPIC).unwrap();
    publisher.publish(&command(1)).unwrap();
    let consumer = consumer(&cluster.bootstrap_servers());
    let (key, told) = read(&consumer);
    assert_eq!((key, told), (command(1).id.into_bytes(), Told::Command(command(1))));

    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::Produce, &[refused]);
    let error = publisher.publish(&command(2)).unwrap_err().to_string();
    assert!(error.contains(TOPIC) && error.contains("uthorization"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_over_http_ends_in_the_topic_as_the_actor_reads_it() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", cluster.bootstrap_servers());
    let mut world = World::new();
    world.has_no_sink();
    world.commands.serve(Publisher::new(&client, TOPIC).unwrap().deliver());
    let server = world.serve().await;
    let body = r#"{"order": {"do": "freeze"}, "reason": "the feed is broken"}"#;
    let answer = server.order(Some(&world.operator), body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let brokers = cluster.bootstrap_servers();
    let (_, told) = tokio::task::spawn_blocking(move || read(&consumer(&brokers))).await.unwrap();
    let Told::Command(command) = told else { panic!("{told:?}") };
    assert_eq!(command.id, answer.json()["id"].as_str().unwrap());
    assert_eq!((command.who.as_str(), command.role), ("bob", Role::Operator));
    assert_eq!((command.order, command.reason.as_str()), (Order::Freeze, "the feed is broken"));
}

#[test]
fn without_a_broker_an_order_is_not_reported_as_given() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", gone.to_string());
    let publisher = Publisher::new(&client, TOPIC).unwrap();
    let begun = Instant::now();
    assert!(publisher.publish(&command(3)).is_err());
    assert!(begun.elapsed() < Duration::from_secs(20), "a person waits for it");
}
