//! Transactions and restoring against librdkafka's mock cluster, as far as it goes: what happens
//! where a broker does not answer. What it cannot show is held against Apache Kafka in `real`.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod real;

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use plimsoll::exchange::state::{self, Tail, read_compacted, read_several};
use plimsoll::exchange::transaction::{Error, Finish, Transactor};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// Long enough for a group to form on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(40);

fn connect(brokers: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers);
    client
}

fn mock(topic: &str) -> (MockCluster<'static, DefaultProducerContext>, ClientConfig) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic, 1, 1).unwrap();
    let client = connect(&cluster.bootstrap_servers());
    (cluster, client)
}

/// A transactor that has taken its id.
fn transactor(client: &ClientConfig, id: &str) -> Transactor {
    let mut transactor = Transactor::new(client, id).unwrap();
    let start = Instant::now();
    while !transactor.init(Duration::from_secs(1)).unwrap() {
        assert!(start.elapsed() < PATIENCE, "the id was not taken");
    }
    transactor
}

/// What a transaction ends with, however often it has to be asked.
fn finish(transactor: &mut Transactor) -> Result<Finish, Error> {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "the transaction does not end");
        match transactor.finish(Duration::from_millis(200)) {
            Ok(Finish::Pending) => {}
            ended => return ended,
        }
    }
}

/// One transaction of messages to partition 0, each a key and perhaps a value.
fn write(transactor: &mut Transactor, topic: &str, messages: &[(&str, Option<&str>)]) {
    transactor.begin().unwrap();
    for (key, value) in messages {
        let value = value.map(str::as_bytes);
        transactor.send(topic, Some(0), Some(key.as_bytes()), value, &[]).unwrap();
    }
}

#[test]
fn a_broker_that_is_away_is_waited_for_and_costs_the_caller_no_more_than_its_patience() {
    let mut away = Transactor::new(&connect("127.0.0.1:9"), "id").unwrap();
    let start = Instant::now();
    assert!(!away.init(Duration::from_millis(300)).unwrap());
    assert!(start.elapsed() < Duration::from_secs(2));

    let (cluster, client) = mock("t");
    let mut transactor = transactor(&client, "id");
    write(&mut transactor, "t", &[("k", Some("first"))]);
    assert_eq!(finish(&mut transactor).unwrap(), Finish::Committed);
    cluster.broker_down(1).unwrap();
    write(&mut transactor, "t", &[("k", Some("second"))]);
    let start = Instant::now();
    for _ in 0..3 {
        assert_eq!(transactor.finish(Duration::from_millis(300)).unwrap(), Finish::Pending);
    }
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    cluster.broker_up(1).unwrap();
    assert_eq!(finish(&mut transactor).unwrap(), Finish::Committed);
    assert_eq!(transactor.take_sent()["t"], (2, 13));
    assert!(transactor.take_sent().is_empty());
}

#[test]
fn calls_out_of_order_are_refused_by_name() {
    let (_cluster, client) = mock("t");
    let mut transactor = Transactor::new(&client, "my-id").unwrap();
    assert!(matches!(transactor.begin(), Err(Error::Order { .. })));
    let text = transactor.send("t", None, None, None, &[]).unwrap_err().to_string();
    assert!(text.contains("'my-id'") && text.contains("send a message"), "{text}");
    assert!(matches!(transactor.finish(Duration::ZERO), Err(Error::Order { .. })));
    assert!(transactor.abort(Duration::ZERO).unwrap(), "there is nothing to give up");
}

#[test]
fn no_secret_is_shown_by_debug_output_or_by_errors() {
    let mut client = connect("127.0.0.1:9");
    client.set("sasl.password", "hunter2");
    let transactor = Transactor::new(&client, "id").unwrap();
    let tail = Tail::new(&client, "t", 0).unwrap();
    client.set("linger.ms", "hunter2");
    let error = Transactor::new(&client, "id").unwrap_err();
    let text = format!("{transactor:?} {tail:?} {error} {error:?}");
    assert!(!text.contains("hunter2") && text.contains("linger.ms"), "{text}");
}

#[test]
fn restoring_ends_when_it_is_called_off_or_nothing_answers() {
    let client = connect("127.0.0.1:9");
    let stopped = read_compacted(&client, "t", 3, PATIENCE, &AtomicBool::new(true)).unwrap_err();
    assert!(matches!(stopped, state::Error::Stopped { partition: 3, .. }), "{stopped}");
    let patience = Duration::from_secs(1);
    let silent = read_compacted(&client, "t", 3, patience, &AtomicBool::new(false)).unwrap_err();
    assert!(silent.to_string().contains("t/3 could not be read: for 1 s nothing changed"), "{silent}");
}
