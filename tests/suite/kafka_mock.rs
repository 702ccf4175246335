//! The Kafka source and sink against librdkafka's mock cluster, and, where one is started by
//! tests/kafka/run.sh, against Apache Kafka itself.

use std::time::{Duration, Instant};

use plimsoll::domain::{RejectReason, SourcePartition};
use plimsoll::exchange::topics::{Retention, Topic, ensure};
use plimsoll::exchange::{self, Connection, Keep, Protocol, RejectedRecord, Security, Sink};
use plimsoll::ingest::kafka::{Config, Error, KafkaSource, OffsetReset};
use plimsoll::ingest::source::{Assigned, Commit, Source, SourceEvent};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Long enough for a group to form on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(40);

fn mock(topics: &[(&str, i32)]) -> (MockCluster<'static, DefaultProducerContext>, ClientConfig) {
    let cluster = MockCluster::new(1).unwrap();
    for (topic, partitions) in topics {
        cluster.create_topic(topic, *partitions, 1).unwrap();
    }
    let client = connect(&cluster.bootstrap_servers());
    (cluster, client)
}

fn connect(brokers: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    // After a member has left, the mock waits a whole session before it lets another in.
    client
        .set("bootstrap.servers", brokers)
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "300");
    client
}

fn source(client: &ClientConfig, topics: &[&str]) -> KafkaSource {
    source_with(client, topics, OffsetReset::Earliest)
}

fn source_with(client: &ClientConfig, topics: &[&str], offset_reset: OffsetReset) -> KafkaSource {
    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let config = Config { client: client.clone(), group: "plimsoll".into(), topics, offset_reset };
    KafkaSource::new(&config).unwrap()
}

fn producer(client: &ClientConfig) -> BaseProducer {
    client.create().unwrap()
}

fn produce(producer: &BaseProducer, topic: &str, partition: i32, values: impl IntoIterator<Item = String>) {
    for value in values {
        producer.send(BaseRecord::<(), _>::to(topic).partition(partition).payload(&value)).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// An event, kept.
#[derive(Clone, Debug, PartialEq)]
enum Kept {
    Record {
        partition: SourcePartition,
        offset: i64,
        key: Option<Vec<u8>>,
        value: Option<String>,
        headers: Vec<(String, Vec<u8>)>,
    },
    Assigned(Vec<Assigned>),
    Revoked(Vec<SourcePartition>),
    End(SourcePartition),
    Finished,
}

impl Kept {
    fn of(event: SourceEvent<'_>) -> Self {
        match event {
            SourceEvent::Record(record) => Self::Record {
                partition: record.partition.clone(),
                offset: record.offset,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(|value| String::from_utf8(value.to_vec()).unwrap()),
                headers: record
                    .headers
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
                    .collect(),
            },
            SourceEvent::Assigned(assigned) => Self::Assigned(assigned),
            SourceEvent::Revoked(partitions) => Self::Revoked(partitions),
            SourceEvent::EndOfPartition(partition) => Self::End(partition),
            SourceEvent::Finished(_) => Self::Finished,
        }
    }
}

/// Polls until `enough` says so; fails the test when it never does.
fn poll_until(source: &mut KafkaSource, mut enough: impl FnMut(&[Kept]) -> bool) -> Vec<Kept> {
    let (mut events, start) = (Vec::new(), Instant::now());
    while !enough(&events) {
        assert!(
            start.elapsed() < PATIENCE,
            "{:?} and then nothing more",
            events.iter().rev().take(5).collect::<Vec<_>>()
        );
        source.poll(100, Duration::from_millis(50), &mut |event| events.push(Kept::of(event))).unwrap();
    }
    events
}

fn values(events: &[Kept]) -> Vec<&str> {
    let value = |event| match event {
        &Kept::Record { ref value, .. } => value.as_deref(),
        _ => None,
    };
    events.iter().filter_map(value).collect()
}

fn assigned(events: &[Kept]) -> Vec<Assigned> {
    let lists = events.iter().filter_map(|event| match event {
        Kept::Assigned(list) => Some(list.clone()),
        _ => None,
    });
    lists.flatten().collect()
}

fn ends(events: &[Kept]) -> usize {
    events.iter().filter(|event| matches!(event, Kept::End(_))).count()
}

#[test]
fn records_arrive_in_order_with_keys_headers_and_tombstones_and_the_end_is_told() {
    let (_cluster, client) = mock(&[("inference", 1)]);
    let producer = producer(&client);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "model", value: Some("credit") })
        .insert(Header { key: "empty", value: None::<&str> });
    producer
        .send(BaseRecord::to("inference").partition(0).key("k").payload("first").headers(headers))
        .unwrap();
    let many = (0..12)
        .fold(OwnedHeaders::new(), |headers, i| headers.insert(Header { key: "n", value: Some(&[i]) }));
    producer
        .send(BaseRecord::<[u8], _>::to("inference").partition(0).payload("second").headers(many))
        .unwrap();
    producer.send(BaseRecord::<_, [u8]>::to("inference").partition(0).key("gone")).unwrap();
    produce(&producer, "inference", 0, (3..500).map(|i| i.to_string()));

    let mut source = source(&client, &["inference"]);
    let events = poll_until(&mut source, |events| ends(events) > 0);

    let partition = SourcePartition::new("inference", 0);
    assert_eq!(
        events[0],
        Kept::Assigned(vec![Assigned { partition: partition.clone(), offset: None, metadata: None }])
    );
    let Kept::Record { offset: 0, key, value, headers, .. } = &events[1] else { panic!("{:?}", events[1]) };
    assert_eq!((key.as_deref(), value.as_deref()), (Some(b"k".as_slice()), Some("first")));
    assert_eq!(*headers, [("model".to_owned(), b"credit".to_vec()), ("empty".to_owned(), Vec::new())]);
    let Kept::Record { offset: 1, key: None, headers, .. } = &events[2] else { panic!("{:?}", events[2]) };
    assert_eq!(headers.iter().map(|(_, value)| value[0]).collect::<Vec<_>>(), (0..12).collect::<Vec<u8>>());
    let Kept::Record { offset: 2, value: None, .. } = &events[3] else { panic!("{:?}", events[3]) };
    for (i, event) in (3..500).zip(&events[4..]) {
        let Kept::Record { offset, value, .. } = event else { panic!("{event:?}") };
        assert_eq!((*offset, value.as_deref()), (i, Some(i.to_string().as_str())));
    }
    assert_eq!(*events.last().unwrap(), Kept::End(partition.clone()));
    assert_eq!(source.lag()[0].records, 0);
}

#[test]
fn at_most_as_many_events_are_handed_over_as_were_asked_for() {
    let (_cluster, client) = mock(&[("inference", 1)]);
    produce(&producer(&client), "inference", 0, (0..50).map(|i| i.to_string()));
    let mut source = source(&client, &["inference"]);
    poll_until(&mut source, |events| !assigned(events).is_empty());
    let (mut seen, start) = (0, Instant::now());
    while seen < 50 {
        assert!(start.elapsed() < PATIENCE);
        let told = source.poll(7, Duration::from_millis(50), &mut |event| {
            seen += usize::from(matches!(event, SourceEvent::Record(_)));
        });
        assert!(told.unwrap() <= 7);
    }
    assert_eq!(seen, 50);
}

#[test]
fn ends_are_told_for_each_topic_where_topics_share_partition_numbers() {
    let (_cluster, client) = mock(&[("a", 2), ("b", 1), ("empty", 1)]);
    let producer = producer(&client);
    produce(&producer, "a", 0, ["1".to_owned(), "2".to_owned()]);
    produce(&producer, "b", 0, ["3".to_owned()]);
    let mut source = source(&client, &["a", "b", "empty"]);
    let events = poll_until(&mut source, |events| ends(events) >= 4);
    let mut told: Vec<_> = events.iter().filter(|event| matches!(event, Kept::End(_))).cloned().collect();
    told.sort_by_key(|event| format!("{event:?}"));
    let all =
        [("a", 0), ("a", 1), ("b", 0), ("empty", 0)].map(|(t, p)| Kept::End(SourcePartition::new(t, p)));
    assert_eq!(told, all);
    for (partition, records) in [(("a", 0), 2), (("b", 0), 1)] {
        let partition = SourcePartition::new(partition.0, partition.1);
        let end = events.iter().position(|event| *event == Kept::End(partition.clone())).unwrap();
        let ours = |event: &&Kept| matches!(event, Kept::Record { partition: p, .. } if *p == partition);
        assert_eq!(events[..end].iter().filter(ours).count(), records, "the end comes after all records");
    }
}

#[test]
fn a_restart_begins_at_the_committed_offset_and_gets_its_metadata_back() {
    let (_cluster, client) = mock(&[("inference", 1)]);
    let producer = producer(&client);
    produce(&producer, "inference", 0, (0..10).map(|i| i.to_string()));
    let partition = SourcePartition::new("inference", 0);
    let commit = Commit { partition: partition.clone(), offset: 4, metadata: r#"{"until":"ä"}"#.to_owned() };
    {
        let mut first = source(&client, &["inference"]);
        poll_until(&mut first, |events| values(events).len() == 10);
        first.commit(std::slice::from_ref(&commit)).unwrap();
        let foreign =
            Commit { partition: SourcePartition::new("other", 7), offset: 1, metadata: String::new() };
        first.commit(&[foreign]).unwrap();
        let long = Commit { metadata: "x".repeat(4097), ..commit.clone() };
        assert!(matches!(first.commit(&[long]), Err(Error::MetadataTooLong { bytes: 4097, .. })));
    }
    let mut second = source(&client, &["inference"]);
    let events = poll_until(&mut second, |events| ends(events) > 0);
    let expected = Assigned { partition, offset: Some(4), metadata: Some(commit.metadata) };
    assert_eq!(assigned(&events), [expected]);
    assert_eq!(values(&events), ["4", "5", "6", "7", "8", "9"]);
}

#[test]
fn without_a_commit_each_reset_does_what_it_says() {
    let (_cluster, client) = mock(&[("inference", 1)]);
    let producer = producer(&client);
    produce(&producer, "inference", 0, ["old".to_owned()]);
    {
        let mut latest = source_with(&client, &["inference"], OffsetReset::Latest);
        poll_until(&mut latest, |events| ends(events) > 0);
        produce(&producer, "inference", 0, ["new".to_owned()]);
        let events = poll_until(&mut latest, |events| !values(events).is_empty());
        assert_eq!(values(&events), ["new"]);
    }
    let mut strict = source_with(&client, &["inference"], OffsetReset::Error);
    let start = Instant::now();
    let error = loop {
        assert!(start.elapsed() < PATIENCE);
        if let Err(error) = strict.poll(10, Duration::from_millis(50), &mut |_| ()) {
            break error;
        }
    };
    let text = error.to_string();
    assert!(
        text.contains("inference/0") && text.contains("'plimsoll'") && text.contains("offset_reset"),
        "{text}"
    );
}

#[test]
fn a_second_member_takes_partitions_over_and_both_together_read_each_record_once() {
    let (_cluster, client) = mock(&[("inference", 4)]);
    let producer = producer(&client);
    let mut first = source(&client, &["inference"]);
    poll_until(&mut first, |events| assigned(events).len() == 4);

    let mut second = source(&client, &["inference"]);
    let (mut revoked, mut taken, start) = (Vec::new(), Vec::new(), Instant::now());
    while taken.len() < 2 {
        assert!(start.elapsed() < PATIENCE, "revoked {revoked:?}, taken {taken:?}");
        let wait = Duration::from_millis(20);
        first
            .poll(10, wait, &mut |event| {
                if let SourceEvent::Revoked(partitions) = event {
                    revoked.extend(partitions);
                }
            })
            .unwrap();
        second
            .poll(10, wait, &mut |event| {
                if let SourceEvent::Assigned(list) = event {
                    taken.extend(list.into_iter().map(|assigned| assigned.partition));
                }
            })
            .unwrap();
    }
    revoked.sort();
    taken.sort();
    assert_eq!(revoked, taken, "what one gives up the other gets");

    for partition in 0..4 {
        produce(&producer, "inference", partition, (0..10).map(|i| format!("{partition}-{i}")));
    }
    let (mut seen, start) = (Vec::new(), Instant::now());
    while seen.len() < 40 {
        assert!(start.elapsed() < PATIENCE, "{} of 40", seen.len());
        for source in [&mut first, &mut second] {
            let keep = &mut |event: SourceEvent<'_>| {
                if let SourceEvent::Record(record) = event {
                    seen.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
                }
            };
            source.poll(10, Duration::from_millis(20), keep).unwrap();
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 40);
}

#[test]
fn topics_in_every_compression_are_read() {
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    let topics: Vec<(&str, i32)> = codecs.iter().map(|codec| (*codec, 1)).collect();
    let (_cluster, client) = mock(&topics);
    for codec in codecs {
        let producer = producer(client.clone().set("compression.type", codec).set("linger.ms", "50"));
        produce(&producer, codec, 0, (0..100).map(|i| format!("{codec} {i} {}", "x".repeat(200))));
    }
    let mut source = source(&client, &codecs);
    let events = poll_until(&mut source, |events| values(events).len() == 500);
    for codec in codecs {
        let ours =
            values(&events).into_iter().filter(|value| value.starts_with(&format!("{codec} "))).count();
        assert_eq!(ours, 100, "{codec}");
    }
}

#[test]
fn dropping_never_hangs_before_during_and_after_joining_a_group() {
    let (_cluster, client) = mock(&[("inference", 8)]);
    produce(&producer(&client), "inference", 0, (0..1000).map(|i| i.to_string()));
    let timed_drop = |source: KafkaSource| {
        let start = Instant::now();
        drop(source);
        start.elapsed()
    };
    let fresh = source(&client, &["inference"]);
    assert!(timed_drop(fresh) < Duration::from_secs(5));

    // The assignment arrives in this member's queue and nobody polls for it.
    let unpolled = source(&client, &["inference"]);
    std::thread::sleep(Duration::from_secs(4));
    assert!(timed_drop(unpolled) < Duration::from_secs(5));

    let mut reading = source(&client, &["inference"]);
    poll_until(&mut reading, |events| !values(events).is_empty());
    let partition = SourcePartition::new("inference", 0);
    reading.commit(&[Commit { partition, offset: 1, metadata: String::new() }]).unwrap();
    assert!(timed_drop(reading) < Duration::from_secs(5));
}

#[test]
fn an_assignment_that_the_broker_cannot_complete_is_not_lost_and_does_not_hang_the_drop() {
    let (cluster, client) = mock(&[("inference", 1)]);
    produce(&producer(&client), "inference", 0, ["1".to_owned()]);
    let mut source = source(&client, &["inference"]);
    // The broker does not know committed offsets for a while: the group must still be served.
    cluster.request_errors(
        RDKafkaApiKey::OffsetFetch,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 1],
    );
    let start = Instant::now();
    let error = loop {
        assert!(start.elapsed() < PATIENCE);
        if let Err(error) = source.poll(10, Duration::from_millis(50), &mut |_| ()) {
            break error;
        }
    };
    assert!(error.to_string().contains("grant Read on the group"), "{error}");
    let start = Instant::now();
    drop(source);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_broker_that_goes_away_is_a_fault_and_not_an_end() {
    let (cluster, client) = mock(&[("inference", 1)]);
    let producer = producer(&client);
    produce(&producer, "inference", 0, ["before".to_owned()]);
    let mut source = source(client.clone().set("reconnect.backoff.max.ms", "200"), &["inference"]);
    poll_until(&mut source, |events| !values(events).is_empty());

    cluster.broker_down(-1).unwrap();
    let start = Instant::now();
    while source.faults().passing == 0 {
        assert!(start.elapsed() < PATIENCE, "no fault was counted");
        source.poll(10, Duration::from_millis(50), &mut |_| ()).unwrap();
    }
    cluster.broker_up(-1).unwrap();
    produce(&producer, "inference", 0, ["after".to_owned()]);
    let events = poll_until(&mut source, |events| values(events).contains(&"after"));
    assert_eq!(values(&events), ["after"]);
}

#[test]
fn an_unknown_topic_is_a_counted_fault_until_it_exists() {
    let (cluster, mut client) = mock(&[]);
    client.set("topic.metadata.refresh.interval.ms", "500").set("allow.auto.create.topics", "false");
    let mut source = source(&client, &["later"]);
    let start = Instant::now();
    while source.faults().passing == 0 && start.elapsed() < Duration::from_secs(8) {
        source.poll(10, Duration::from_millis(50), &mut |_| ()).unwrap();
    }
    assert!(source.faults().passing > 0);
    cluster.create_topic("later", 1, 1).unwrap();
    produce(&producer(&client), "later", 0, ["now".to_owned()]);
    let events = poll_until(&mut source, |events| !values(events).is_empty());
    assert_eq!(values(&events), ["now"]);
}

fn sink(client: &ClientConfig, keep: Keep) -> exchange::kafka::Producer {
    let config = exchange::kafka::Config {
        client: client.clone(),
        dead_letter_topic: Some("dead".into()),
        keep,
        findings_topic: Some("findings".into()),
    };
    exchange::kafka::Producer::new(&config).unwrap()
}

#[test]
fn dead_letters_say_where_they_come_from_and_carry_no_more_of_the_record_than_allowed() {
    let (_cluster, client) = mock(&[("dead", 1), ("findings", 1)]);
    let record = RejectedRecord {
        partition: &SourcePartition::new("inference", 3),
        offset: 42,
        reason: RejectReason::MissingModel,
        detail: Some("/model is absent"),
        key: Some(b"jane"),
        value: Some(b"{\"income\": 1}"),
    };
    for keep in [Keep::default(), Keep { key: true, value_bytes: 9 }] {
        let mut sink = sink(&client, keep);
        sink.dead_letter(&record).unwrap();
        sink.finding("credit", "{}").unwrap();
        sink.flush(PATIENCE).unwrap();
        assert_eq!(sink.deliveries().delivered, 2);
    }
    let mut source = source(&client, &["dead"]);
    let events = poll_until(&mut source, |events| ends(events) > 0);
    let names =
        ["plimsoll-reason", "plimsoll-topic", "plimsoll-partition", "plimsoll-offset", "plimsoll-detail"];
    let values = ["missing_model", "inference", "3", "42", "/model is absent"];
    let expected: Vec<_> =
        names.iter().zip(values).map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect();
    let kept: Vec<_> = events
        .into_iter()
        .filter_map(|event| match event {
            Kept::Record { key, value, headers, .. } => Some((key, value, headers)),
            _ => None,
        })
        .collect();
    let some = (Some(b"jane".to_vec()), Some("{\"income\"".to_owned()), expected.clone());
    assert_eq!(kept, [(None, None, expected), some]);
}

#[test]
fn a_full_queue_slows_the_sender_down_and_drops_nothing() {
    let (_cluster, mut client) = mock(&[("dead", 1), ("findings", 1)]);
    client.set("queue.buffering.max.messages", "10");
    let mut sink = sink(&client, Keep::default());
    for i in 0..2000 {
        sink.finding("k", &i.to_string()).unwrap();
    }
    sink.flush(PATIENCE).unwrap();
    let mut source = source(&client, &["findings"]);
    let events = poll_until(&mut source, |events| ends(events) > 0);
    assert_eq!(values(&events), (0..2000).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[test]
fn what_is_not_delivered_is_counted_and_the_next_flush_says_so_once() {
    let (cluster, client) = mock(&[("dead", 1), ("findings", 1)]);
    let mut sink = sink(&client, Keep::default());
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    sink.finding("k", "{}").unwrap();
    let error = sink.flush(PATIENCE).unwrap_err().to_string();
    assert!(error.contains("'findings'") && error.contains("dead_letter_value_bytes"), "{error}");
    assert_eq!(sink.deliveries().failed, 1);
    sink.finding("k", "{}").unwrap();
    sink.flush(PATIENCE).unwrap();
    assert_eq!(sink.deliveries().delivered, 1);
}

#[test]
fn a_sink_without_a_broker_says_what_is_still_waiting() {
    // Nothing listens on port 9 of loopback.
    let mut sink = sink(&connect("127.0.0.1:9"), Keep::default());
    sink.finding("k", "{}").unwrap();
    let error = sink.flush(Duration::from_millis(200)).unwrap_err();
    assert!(matches!(error, exchange::Error::Late { waiting: 1, .. }), "{error}");
}

// What follows runs against Apache Kafka: tests/kafka/run.sh starts it.

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: use tests/kafka/run.sh"))
}

/// A connection to the real broker, and a topic of its own for one test.
fn real(test: &str, partitions: i32) -> (ClientConfig, String) {
    let client = connect(&env("PLIMSOLL_TEST_KAFKA"));
    let topic = format!("{test}-{}", std::process::id());
    create(&client, &topic, partitions);
    (client, topic)
}

fn create(client: &ClientConfig, topic: &str, partitions: i32) {
    let topic = Topic { name: topic.to_owned(), partitions: Some(partitions), retention: Retention::Forever };
    runtime().block_on(ensure(client, &[topic], true, PATIENCE)).unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn named(client: &ClientConfig, topics: &[&str], group: &str, offset_reset: OffsetReset) -> KafkaSource {
    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    KafkaSource::new(&Config { client: client.clone(), group: group.into(), topics, offset_reset }).unwrap()
}

/// The error that polling ends with.
fn error_of(mut source: KafkaSource) -> Error {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "no error came");
        if let Err(error) = source.poll(10, Duration::from_millis(50), &mut |_| ()) {
            return error;
        }
    }
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn real_restarts_lose_nothing_and_hand_nothing_over_twice() {
    let (client, topic) = real("restarts", 4);
    let producer = producer(client.clone().set("compression.type", "zstd"));
    for partition in 0..4 {
        produce(&producer, &topic, partition, (0..2500).map(|i| format!("{partition}-{i}")));
    }
    let (mut seen, mut positions) = (Vec::new(), std::collections::BTreeMap::new());
    for life in 1.. {
        let mut source = named(&client, &[&topic], &topic, OffsetReset::Earliest);
        let goal = (seen.len() + 1700).min(10_000);
        let start = Instant::now();
        while seen.len() < goal {
            assert!(start.elapsed() < PATIENCE, "life {life}: {} of {goal}", seen.len());
            let keep = &mut |event: SourceEvent<'_>| match event {
                SourceEvent::Record(record) => {
                    seen.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
                    positions.insert(record.partition.clone(), record.offset + 1);
                }
                SourceEvent::Assigned(list) => {
                    for assigned in list {
                        let committed = positions.get(&assigned.partition).copied();
                        assert_eq!(assigned.offset, committed);
                        assert_eq!(assigned.metadata, committed.map(|offset| format!("at {offset}")));
                    }
                }
                _ => (),
            };
            source.poll(128, Duration::from_millis(50), keep).unwrap();
        }
        let commit = |(partition, offset): (&SourcePartition, &i64)| Commit {
            partition: partition.clone(),
            offset: *offset,
            metadata: format!("at {offset}"),
        };
        source.commit(&positions.iter().map(commit).collect::<Vec<_>>()).unwrap();
        let start = Instant::now();
        drop(source);
        assert!(start.elapsed() < Duration::from_secs(5));
        if goal == 10_000 {
            break;
        }
    }
    assert_eq!(seen.len(), 10_000, "nothing twice");
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 10_000, "nothing lost");
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn real_aborted_transactions_are_not_seen_and_ends_are_told_behind_control_records() {
    let (client, first) = real("transactions-a", 1);
    let (_, second) = real("transactions-b", 1);
    let producer: BaseProducer = client.clone().set("transactional.id", &first).create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    for (value, commit) in [("kept", true), ("aborted", false), ("kept too", true)] {
        producer.begin_transaction().unwrap();
        for topic in [&first, &second] {
            producer.send(BaseRecord::<(), _>::to(topic).partition(0).payload(value)).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        match commit {
            true => producer.commit_transaction(PATIENCE).unwrap(),
            false => producer.abort_transaction(PATIENCE).unwrap(),
        }
    }
    // Alone its end is told by librdkafka, together with another of its number by the statistics.
    for topics in [vec![first.as_str()], vec![&first, &second]] {
        let group = format!("{first}-{}", topics.len());
        let mut source = named(&client, &topics, &group, OffsetReset::Earliest);
        let events = poll_until(&mut source, |events| ends(events) == topics.len());
        assert_eq!(values(&events).len(), 2 * topics.len(), "{:?}", values(&events));
        assert!(!values(&events).contains(&"aborted"));
        assert_eq!(source.lag().iter().map(|lag| lag.records).sum::<i64>(), 0);
    }
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn real_records_lost_to_retention_are_counted_or_stop_the_source_as_configured() {
    let (client, topic) = real("retention", 1);
    let producer = producer(&client);
    produce(&producer, &topic, 0, (0..20).map(|i| i.to_string()));
    let partition = SourcePartition::new(&topic, 0);
    {
        let mut source = named(&client, &[&topic], &topic, OffsetReset::Earliest);
        poll_until(&mut source, |events| ends(events) == 1);
        source.commit(&[Commit { partition, offset: 5, metadata: String::new() }]).unwrap();
    }
    let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
    let mut until = TopicPartitionList::new();
    until.add_partition_offset(&topic, 0, Offset::Offset(12)).unwrap();
    runtime().block_on(admin.delete_records(&until, &AdminOptions::new())).unwrap();

    let text = error_of(named(&client, &[&topic], &topic, OffsetReset::Error)).to_string();
    let expected = format!("offset 5 of {topic}/0 is not in the log, which holds 12 to 20");
    assert!(text.contains(&expected), "{text}");

    let mut source = named(&client, &[&topic], &topic, OffsetReset::Earliest);
    let events = poll_until(&mut source, |events| ends(events) == 1);
    assert_eq!(values(&events)[0], "12");
    let faults = source.faults();
    assert_eq!((faults.offset_resets, faults.lost_offsets), (1, 7));
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn real_tls_with_scram_works_and_refusals_say_what_to_check() {
    let (plain, topic) = real("secure", 1);
    produce(&producer(&plain), &topic, 0, ["1".to_owned()]);
    let connection = |password: &str, ca: &str| {
        let security = Security {
            protocol: Protocol::SaslSsl,
            ca_file: Some(ca.into()),
            mechanism: Some("SCRAM-SHA-512".into()),
            username: Some(env("PLIMSOLL_TEST_KAFKA_USER")),
            password: Some(password.to_owned()),
            ..Security::default()
        };
        Connection { brokers: env("PLIMSOLL_TEST_KAFKA_TLS"), security, ..Connection::default() }
            .client_config()
    };
    let (password, ca) = (env("PLIMSOLL_TEST_KAFKA_PASSWORD"), env("PLIMSOLL_TEST_KAFKA_CA"));
    let secure = connection(&password, &ca);
    let mut source = named(&secure, &[&topic], &topic, OffsetReset::Earliest);
    let events = poll_until(&mut source, |events| ends(events) == 1);
    assert_eq!(values(&events), ["1"]);

    let wrong = error_of(named(&connection("hunter2", &ca), &[&topic], &topic, OffsetReset::Earliest));
    let text = wrong.to_string();
    assert!(text.contains("check mechanism, username and password") && !text.contains("hunter2"), "{text}");

    // The system's authorities have not signed the throwaway certificate.
    let mut stranger = connection(&password, &ca);
    stranger.set("ssl.ca.location", "probe");
    let text = error_of(named(&stranger, &[&topic], &topic, OffsetReset::Earliest)).to_string();
    assert!(text.contains("ca_file"), "{text}");
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn real_a_member_that_joins_takes_over_without_loss_and_a_commit_for_what_it_took_is_left_out() {
    let (client, topic) = real("takeover", 4);
    let producer = producer(&client);
    for partition in 0..4 {
        produce(&producer, &topic, partition, (0..100).map(|i| format!("{partition}-{i}")));
    }
    let mut first = named(&client, &[&topic], &topic, OffsetReset::Earliest);
    let events = poll_until(&mut first, |events| values(events).len() == 400);
    let all: Vec<Commit> = (0..4)
        .map(|number| Commit {
            partition: SourcePartition::new(&topic, number),
            offset: 100,
            metadata: "a".into(),
        })
        .collect();
    first.commit(&all).unwrap();
    assert_eq!(assigned(&events).len(), 4);

    let mut second = named(&client, &[&topic], &topic, OffsetReset::Earliest);
    let (mut taken, start) = (Vec::new(), Instant::now());
    while taken.len() < 2 {
        assert!(start.elapsed() < PATIENCE);
        first.poll(10, Duration::from_millis(20), &mut |_| ()).unwrap();
        let keep = &mut |event: SourceEvent<'_>| {
            if let SourceEvent::Assigned(list) = event {
                taken.extend(list);
            }
        };
        second.poll(10, Duration::from_millis(20), keep).unwrap();
    }
    assert!(taken.iter().all(|assigned| assigned.offset == Some(100)), "{taken:?}");

    // The first still believes in offsets of all four; only its own two may be overwritten.
    let later: Vec<Commit> =
        all.iter().map(|commit| Commit { offset: 50, metadata: "b".into(), ..commit.clone() }).collect();
    first.commit(&later).unwrap();
    drop((first, second));
    let mut third = named(&client, &[&topic], &topic, OffsetReset::Error);
    let events = poll_until(&mut third, |events| assigned(events).len() == 4);
    let theirs: Vec<&SourcePartition> = taken.iter().map(|assigned| &assigned.partition).collect();
    for found in assigned(&events) {
        let expected = if theirs.contains(&&found.partition) { (100, "a") } else { (50, "b") };
        assert_eq!(
            (found.offset.unwrap(), found.metadata.as_deref().unwrap()),
            expected,
            "{}",
            found.partition
        );
    }
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn real_own_topics_are_made_once_and_a_missing_one_is_named() {
    let client = connect(&env("PLIMSOLL_TEST_KAFKA"));
    let name = format!("own-{}", std::process::id());
    let wanted = |retention| [Topic { name: name.clone(), partitions: None, retention }];
    let make = |topics: &[Topic], create| runtime().block_on(ensure(&client, topics, create, PATIENCE));
    let missing = make(&wanted(Retention::Delete), false).unwrap_err().to_string();
    assert!(missing.contains(&name) && missing.contains("create_topics"), "{missing}");
    make(&wanted(Retention::Compact), true).unwrap();
    make(&wanted(Retention::Compact), true).unwrap();
    make(&wanted(Retention::Delete), false).unwrap();

    let config = exchange::kafka::Config {
        client: client.clone(),
        dead_letter_topic: Some(name.clone()),
        keep: Keep::default(),
        findings_topic: Some(name.clone()),
    };
    let mut sink = exchange::kafka::Producer::new(&config).unwrap();
    let partition = SourcePartition::new("inference", 0);
    for offset in 0..1000 {
        let rejected = RejectedRecord {
            partition: &partition,
            offset,
            reason: RejectReason::Tombstone,
            detail: None,
            key: None,
            value: None,
        };
        // A compacted topic takes no message without a key, so the broker refuses these.
        sink.dead_letter(&rejected).unwrap();
        sink.finding("key", "{}").unwrap();
    }
    let error = sink.flush(PATIENCE).unwrap_err();
    assert!(matches!(error, exchange::Error::Delivery { .. }), "{error}");
    let deliveries = sink.deliveries();
    assert_eq!(deliveries.delivered + deliveries.failed, 2000, "{deliveries:?}");
}
