//! What the mock cluster cannot show, on Apache Kafka itself: tests/kafka/run.sh starts it, and sets
//! the variables that are read here.

use std::time::{Duration, Instant};

use plimsoll::domain::{RejectReason, SourcePartition};
use plimsoll::exchange::topics::{Retention, Topic, ensure};
use plimsoll::exchange::{self, Connection, Keep, Protocol, RejectedRecord, Security, Sink};
use plimsoll::ingest::kafka::OffsetReset;
use plimsoll::ingest::source::{Commit, Source, SourceEvent};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{PATIENCE, assigned, connect, ends, error_of, named, poll_until, produce, producer, values};

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
    let topic = Topic {
        name: topic.to_owned(),
        partitions: Some(partitions),
        retention: Retention::Forever,
        ..Topic::default()
    };
    runtime().block_on(ensure(client, &[topic], true, PATIENCE)).unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn restarts_lose_nothing_and_hand_nothing_over_twice() {
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
fn aborted_transactions_are_not_seen_and_ends_are_told_behind_control_records() {
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
fn records_lost_to_retention_are_counted_or_stop_the_source_as_configured() {
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
fn tls_with_scram_works_and_refusals_say_what_to_check() {
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
fn a_member_that_joins_takes_over_without_loss_and_a_commit_for_what_it_took_is_left_out() {
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
fn own_topics_are_made_once_and_a_missing_one_is_named() {
    let client = connect(&env("PLIMSOLL_TEST_KAFKA"));
    let name = format!("own-{}", std::process::id());
    let wanted = |retention| [Topic { name: name.clone(), retention, ..Topic::default() }];
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

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn a_range_of_times_is_found_in_every_partition() {
    let (client, topic) = real("range", 3);
    let producer = producer(&client);
    for partition in 0..2 {
        for i in 0..100_i64 {
            let value = format!("{partition} {i:02}");
            let record = BaseRecord::<(), _>::to(&topic).partition(partition).payload(&value);
            producer.send(record.timestamp(1_700_000_000_000 + i * 1_000)).unwrap();
        }
    }
    producer.flush(PATIENCE).unwrap();
    let at = |second: i64| Some(plimsoll::domain::EventTime::from_millis(1_700_000_000_000 + second * 1_000));
    let read = |from, until| {
        let range = plimsoll::ingest::kafka::Range { from, until };
        super::range::read(super::range::range(&client, &[&topic], range).unwrap())
    };
    let (values, ended) = read(at(20), at(30));
    assert_eq!((values.len(), ended), (20, 3));
    assert_eq!((values[0].as_str(), values[9].as_str(), values[19].as_str()), ("0 20", "0 29", "1 29"));
    assert_eq!(read(at(95), None).0.len(), 10);
    assert_eq!(read(None, at(5)).0.len(), 10);
    assert_eq!(read(at(1_000), None), (Vec::new(), 3));
}
