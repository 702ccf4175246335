//! The Kafka source against librdkafka's mock cluster; beside it the sink, and both against Apache
//! Kafka itself where tests/kafka/run.sh starts one.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod range;
mod real;
mod sink;

use std::time::{Duration, Instant};

use plimsoll::domain::SourcePartition;
use plimsoll::ingest::kafka::{Config, Error, KafkaSource, OffsetReset};
use plimsoll::ingest::source::{Assigned, Commit, Source, SourceEvent};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

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
    named(client, topics, "plimsoll", offset_reset)
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
    Lost(SourcePartition, i64, i64),
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
            SourceEvent::Lost { partition, from, to } => Self::Lost(partition, from, to),
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

/// Polls, and lets the events go, as long as `go_on` says so.
fn poll_while(source: &mut KafkaSource, go_on: impl Fn(&KafkaSource) -> bool) {
    let start = Instant::now();
    while go_on(source) {
        assert!(start.elapsed() < PATIENCE);
        source.poll(10, Duration::from_millis(50), &mut |_| ()).unwrap();
    }
}

fn values(events: &[Kept]) -> Vec<&str> {
    let records = events.iter().filter_map(|event| match event {
        Kept::Record { value, .. } => value.as_deref(),
        _ => None,
    });
    records.collect()
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
    assert_eq!(*events.last().unwrap(), Kept::End(partition));
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
    let strict = source_with(&client, &["inference"], OffsetReset::Error);
    let text = error_of(strict).to_string();
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
    let story = |strategy: &str| {
        let (cluster, mut client) = mock(&[("inference", 8)]);
        client.set("partition.assignment.strategy", strategy);
        produce(&producer(&client), "inference", 0, (0..1000).map(|i| i.to_string()));
        let drop_in_time = |source: KafkaSource| {
            let start = Instant::now();
            drop(source);
            assert!(start.elapsed() < Duration::from_secs(5), "{strategy}: {:?}", start.elapsed());
        };
        // Each in a group of its own: the mock holds up whoever follows a member that left.
        let join = |group| named(&client, &["inference"], group, OffsetReset::Earliest);
        drop_in_time(join("fresh"));

        // The assignment arrives and nobody polls for it.
        let unpolled = join("unpolled");
        std::thread::sleep(Duration::from_secs(4));
        drop_in_time(unpolled);

        // The assignment was seen, but the committed offsets could not be had, so it is unanswered.
        let mut waiting = join("waiting");
        let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN; 1000];
        cluster.request_errors(RDKafkaApiKey::OffsetFetch, &errors);
        poll_while(&mut waiting, |waiting| waiting.faults().passing == 0);
        drop_in_time(waiting);

        cluster.clear_request_errors(RDKafkaApiKey::OffsetFetch);
        let mut reading = join("reading");
        poll_until(&mut reading, |events| !values(events).is_empty());
        let partition = SourcePartition::new("inference", 0);
        reading.commit(&[Commit { partition, offset: 1, metadata: String::new() }]).unwrap();
        drop_in_time(reading);
    };
    std::thread::scope(|scope| {
        for strategy in ["cooperative-sticky", "range"] {
            scope.spawn(move || story(strategy));
        }
    });
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
fn a_session_that_ends_before_the_assignment_was_answered_is_taken_up_again() {
    let (cluster, mut client) = mock(&[("inference", 2)]);
    produce(&producer(&client), "inference", 0, ["1".to_owned()]);
    let mut source = source(client.set("reconnect.backoff.max.ms", "200"), &["inference"]);
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN; 1000];
    cluster.request_errors(RDKafkaApiKey::OffsetFetch, &errors);
    poll_while(&mut source, |source| source.faults().passing == 0);

    cluster.broker_down(-1).unwrap();
    let down = Instant::now();
    poll_while(&mut source, |_| down.elapsed() < Duration::from_secs(9));
    cluster.clear_request_errors(RDKafkaApiKey::OffsetFetch);
    cluster.broker_up(-1).unwrap();
    // Whatever comes between, what is held in the end is both partitions, once.
    let mut held = Vec::new();
    let events = poll_until(&mut source, |events| values(events).len() == 1 && ends(events) >= 2);
    for event in &events {
        match event {
            Kept::Assigned(list) => held.extend(list.iter().map(|assigned| assigned.partition.partition)),
            Kept::Revoked(lost) => held.retain(|number| lost.iter().all(|lost| lost.partition != *number)),
            _ => (),
        }
    }
    held.sort();
    assert_eq!(held, [0, 1], "{events:?}");
}

#[test]
fn a_broker_that_goes_away_is_a_fault_and_not_an_end() {
    let (cluster, mut client) = mock(&[("inference", 1)]);
    let producer = producer(&client);
    produce(&producer, "inference", 0, ["before".to_owned()]);
    let mut source = source(client.set("reconnect.backoff.max.ms", "200"), &["inference"]);
    poll_until(&mut source, |events| !values(events).is_empty());

    cluster.broker_down(-1).unwrap();
    poll_while(&mut source, |source| source.faults().passing == 0);
    cluster.broker_up(-1).unwrap();
    produce(&producer, "inference", 0, ["after".to_owned()]);
    let events = poll_until(&mut source, |events| values(events).contains(&"after"));
    assert_eq!(values(&events), ["after"]);
}

#[test]
fn silence_is_told_while_brokers_are_away_and_not_of_a_partition_without_records() {
    let (cluster, mut client) = mock(&[("inference", 1)]);
    let mut source = source(client.set("reconnect.backoff.max.ms", "200"), &["inference"]);
    let quiet = Instant::now();
    poll_while(&mut source, |_| quiet.elapsed() < Duration::from_secs(11));
    assert_eq!(source.silence(), None, "brokers answer, though there is nothing to read");

    cluster.broker_down(-1).unwrap();
    poll_while(&mut source, |source| source.silence().is_none());
    let silence = source.silence().unwrap();
    assert!(silence.starts_with("no broker has answered for 1"), "{silence}");
    cluster.broker_up(-1).unwrap();
    poll_while(&mut source, |source| source.silence().is_some());
}

#[test]
fn an_unknown_topic_is_a_counted_fault_until_it_exists() {
    let (cluster, mut client) = mock(&[]);
    client.set("topic.metadata.refresh.interval.ms", "500").set("allow.auto.create.topics", "false");
    let mut source = source(&client, &["later"]);
    poll_while(&mut source, |source| source.faults().passing == 0);
    cluster.create_topic("later", 1, 1).unwrap();
    produce(&producer(&client), "later", 0, ["now".to_owned()]);
    let events = poll_until(&mut source, |events| !values(events).is_empty());
    assert_eq!(values(&events), ["now"]);
}
