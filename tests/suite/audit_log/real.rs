//! On Apache Kafka itself: tests/kafka/run.sh starts it, and sets the variable that is read here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll::audit::{Consumed, Kind};
use plimsoll::ingest::kafka::{Config, KafkaSource, OffsetReset};
use plimsoll::ingest::source::{Assigned, Source, SourceEvent};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// A topic of its own on Apache Kafka, created by the store.
fn topic(name: &str) -> KafkaConfig {
    let brokers = std::env::var("PLIMSOLL_TEST_KAFKA").expect("PLIMSOLL_TEST_KAFKA names a broker");
    let properties = BTreeMap::from([("bootstrap.servers".to_owned(), brokers)]);
    let topic = format!("plimsoll.audit.{name}.{}", std::process::id());
    KafkaConfig { properties, topic, create: true, checkpoints: None }
}

#[test]
#[ignore = "needs Apache Kafka at PLIMSOLL_TEST_KAFKA"]
fn the_log_is_kept_in_a_topic_that_the_store_creates() {
    let config = topic("kept");
    let error = KafkaStore::open(KafkaConfig { create: false, ..config.clone() }).unwrap_err();
    assert!(matches!(error, Error::NoTopic { .. }), "{error}");
    let mut opened = KafkaStore::open(config.clone()).unwrap();
    assert_eq!(opened.entries, []);
    let began = std::time::Instant::now();
    for seq in 0..50 {
        opened.store.append(&[entry(seq)], None).unwrap();
    }
    eprintln!("50 entries took {:?}", began.elapsed());
    drop(opened);
    assert_eq!(KafkaStore::open(config).unwrap().entries, entries(50));
}

#[test]
#[ignore = "needs Apache Kafka at PLIMSOLL_TEST_KAFKA"]
fn the_writer_before_is_locked_out_and_what_it_left_unfinished_is_dropped() {
    let config = topic("fenced");
    let mut first = KafkaStore::open(config.clone()).unwrap().store;
    first.append(&[entry(0)], None).unwrap();

    // A writer that is stopped in the middle of an entry, and lives on.
    let stopped: BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &config.properties["bootstrap.servers"])
        .set("transactional.id", &config.topic)
        .create()
        .unwrap();
    let patience = std::time::Duration::from_secs(10);
    stopped.init_transactions(patience).unwrap();
    stopped.begin_transaction().unwrap();
    let text = entry(1).to_json();
    stopped.send(BaseRecord::<(), str>::to(&config.topic).partition(0).payload(&text)).unwrap();
    stopped.flush(patience).unwrap();

    let began = std::time::Instant::now();
    let mut second = KafkaStore::open(config.clone()).unwrap();
    eprintln!("taking over an open transaction took {:?}", began.elapsed());
    assert_eq!(second.entries, entries(1));
    second.store.append(&[entry(1)], None).unwrap();
    assert!(stopped.commit_transaction(patience).is_err());
    let error = first.append(&[entry(1)], None).unwrap_err();
    assert!(matches!(error, Error::Fenced { .. }), "{error}");
    assert!(matches!(first.append(&[entry(1)], None).unwrap_err(), Error::Broken));
    second.store.append(&[entry(2)], None).unwrap();
    drop(second);
    assert_eq!(KafkaStore::open(config).unwrap().entries, entries(3));
}

/// A topic of decisions with one partition and the reading of it.
struct Decisions {
    client: ClientConfig,
    name: String,
}

impl Decisions {
    fn new(test: &str) -> (Self, KafkaConfig) {
        let audit = topic(test);
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &audit.properties["bootstrap.servers"]);
        let name = format!("plimsoll.decisions.{test}.{}", std::process::id());
        let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
        let new = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        for made in runtime.block_on(admin.create_topics([&new], &options)).unwrap() {
            made.unwrap();
        }
        (Self { client, name }, audit)
    }

    fn source(&self) -> KafkaSource {
        let config = Config {
            client: self.client.clone(),
            group: self.name.clone(),
            topics: vec![self.name.clone()],
            offset_reset: OffsetReset::Earliest,
        };
        KafkaSource::new(&config).unwrap()
    }

    /// A reader that owns the partition, and the offset at which it begins.
    fn owner(&self) -> (KafkaSource, Option<i64>) {
        let mut source = self.source();
        let start = Instant::now();
        let mut taken: Option<Assigned> = None;
        while taken.is_none() {
            assert!(start.elapsed() < PATIENCE);
            let mut keep = |event: SourceEvent<'_>| {
                if let SourceEvent::Assigned(mut assigned) = event {
                    taken = assigned.pop();
                }
            };
            source.poll(100, Duration::from_millis(100), &mut keep).unwrap();
        }
        let offset = taken.and_then(|assigned| assigned.offset);
        (source, offset)
    }

    /// As `source` says at present who it is.
    fn read(&self, source: &KafkaSource, next: i64) -> Consumed {
        let membership = source.group_metadata().map(Arc::new);
        Consumed { topic: self.name.as_str().into(), partition: 0, next, membership }
    }
}

#[test]
#[ignore = "needs Apache Kafka at PLIMSOLL_TEST_KAFKA"]
fn entries_and_the_offset_that_they_account_for_are_durable_together() {
    let (decisions, audit) = Decisions::new("together");
    let mut store = KafkaStore::open(audit.clone()).unwrap().store;
    let (source, offset) = decisions.owner();
    assert_eq!(offset, None);
    store.append(&entries(3), Some(&decisions.read(&source, 2))).unwrap();
    let began = Instant::now();
    for next in 3..53 {
        // The ownership proved once more, without an entry.
        store.append(&[], Some(&decisions.read(&source, next))).unwrap();
    }
    eprintln!("50 transactions without an entry took {:?}", began.elapsed());
    store.append(&[entry(3)], Some(&decisions.read(&source, 53))).unwrap();
    drop((store, source));
    assert_eq!(KafkaStore::open(audit).unwrap().entries, entries(4));
    assert_eq!(decisions.owner().1, Some(53));
}

#[test]
#[ignore = "needs Apache Kafka at PLIMSOLL_TEST_KAFKA"]
fn a_writer_that_was_locked_out_says_so_and_moves_neither_the_log_nor_the_offset() {
    let (decisions, audit) = Decisions::new("locked-out");
    let (source, _) = decisions.owner();
    let mut first = KafkaStore::open(audit.clone()).unwrap().store;
    first.append(&[entry(0)], Some(&decisions.read(&source, 1))).unwrap();
    let mut second = KafkaStore::open(audit.clone()).unwrap();
    assert_eq!(second.entries, entries(1));
    for entries in [&[entry(1)][..], &[]] {
        let error = first.append(entries, Some(&decisions.read(&source, 9))).unwrap_err();
        assert!(matches!(error, Error::Fenced { .. } | Error::Broken), "{}", chain(&error));
    }
    second.store.append(&[entry(1)], Some(&decisions.read(&source, 2))).unwrap();
    drop((second, source));
    assert_eq!(KafkaStore::open(audit).unwrap().entries, entries(2));
    assert_eq!(decisions.owner().1, Some(2));
}

#[test]
#[ignore = "needs Apache Kafka at PLIMSOLL_TEST_KAFKA"]
fn one_that_is_locked_out_finds_out_by_proving_its_ownership_alone() {
    let (decisions, audit) = Decisions::new("alone");
    let (source, _) = decisions.owner();
    let mut first = KafkaStore::open(audit.clone()).unwrap().store;
    first.append(&[entry(0)], Some(&decisions.read(&source, 1))).unwrap();
    let _second = KafkaStore::open(audit).unwrap();
    let error = first.append(&[], Some(&decisions.read(&source, 1))).unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced, "{}", chain(&error));
}

#[test]
#[ignore = "needs Apache Kafka at PLIMSOLL_TEST_KAFKA"]
fn a_generation_that_has_passed_adds_nothing_though_nobody_has_opened_the_log_since() {
    let (decisions, audit) = Decisions::new("generation");
    let mut store = KafkaStore::open(audit.clone()).unwrap().store;
    let (source, _) = decisions.owner();
    store.append(&[entry(0)], Some(&decisions.read(&source, 1))).unwrap();
    let stale = decisions.read(&source, 2);
    drop(source);
    let (next, offset) = decisions.owner();
    assert_eq!(offset, Some(1));
    for _ in 0..2 {
        let error = store.append(&[entry(1)], Some(&stale)).unwrap_err();
        assert_eq!(error.kind(), Kind::NotOwner, "{}", chain(&error));
        let error = store.append(&[], Some(&stale)).unwrap_err();
        assert_eq!(error.kind(), Kind::NotOwner, "{}", chain(&error));
    }
    let nobody = Consumed { membership: None, ..stale };
    assert_eq!(store.append(&[entry(1)], Some(&nobody)).unwrap_err().kind(), Kind::NotOwner);
    // What waited goes in once, as soon as the present generation asks for it.
    store.append(&[entry(1)], Some(&decisions.read(&next, 2))).unwrap();
    drop((store, next));
    assert_eq!(KafkaStore::open(audit).unwrap().entries, entries(2));
    assert_eq!(decisions.owner().1, Some(2));
}

#[test]
#[ignore = "needs Apache Kafka at PLIMSOLL_TEST_KAFKA"]
fn the_log_of_a_new_owner_has_nothing_of_the_one_before_after_its_opening() {
    let (decisions, audit) = Decisions::new("succession");
    let (source, _) = decisions.owner();
    let mut first = KafkaStore::open(audit.clone()).unwrap().store;
    first.append(&[entry(0)], Some(&decisions.read(&source, 1))).unwrap();
    let held = decisions.read(&source, 7);
    drop(source);
    // The next owner, while the first still has a membership and an entry in its hands.
    let (source, offset) = decisions.owner();
    let mut second = KafkaStore::open(audit.clone()).unwrap();
    assert_eq!((second.entries, offset), (entries(1), Some(1)));
    std::thread::scope(|scope| {
        let late = scope.spawn(|| first.append(&[entry(1)], Some(&held)).unwrap_err());
        for seq in 1..20 {
            second.store.append(&[entry(seq)], Some(&decisions.read(&source, 1))).unwrap();
        }
        assert_eq!(late.join().unwrap().kind(), Kind::Fenced);
    });
    drop((second.store, source));
    assert_eq!(KafkaStore::open(audit).unwrap().entries, entries(20));
    assert_eq!(decisions.owner().1, Some(1));
}

#[test]
#[ignore = "needs Apache Kafka at PLIMSOLL_TEST_KAFKA"]
fn only_the_writer_that_is_not_locked_out_signs_and_nothing_that_was_not_committed_is_signed() {
    let (decisions, unsigned) = Decisions::new("signed");
    let place = format!("plimsoll.checkpoints.signed.{}", std::process::id());
    let signing = signed::signing(1);
    let keys = signing.known();
    let checkpoints = Some(plimsoll::audit::Checkpoints { place: place.clone(), signing });
    let audit = KafkaConfig { checkpoints, ..unsigned };
    let (source, _) = decisions.owner();
    let mut first = KafkaStore::open(audit.clone()).unwrap().store;
    first.append(&entries(3), Some(&decisions.read(&source, 1))).unwrap();
    first.publish_due(0).unwrap();
    // Refused, because the group does not know who this is: the entry is taken back, and never signed.
    let nobody = Consumed { membership: None, ..decisions.read(&source, 2) };
    assert_eq!(first.append(&[entry(3)], Some(&nobody)).unwrap_err().kind(), Kind::NotOwner);
    first.publish_due(60_000).unwrap();
    assert_eq!(signed::published(&audit, &place, &keys), [3]);
    first.append(&[entry(3)], Some(&decisions.read(&source, 2))).unwrap();

    let mut second = KafkaStore::open(audit.clone()).unwrap();
    assert_eq!(second.entries, entries(4));
    assert_eq!(first.publish_due(120_000).unwrap_err().kind(), Kind::Fenced);
    drop(first);
    assert_eq!(signed::published(&audit, &place, &keys), [3]);
    second.store.append(&[entry(4)], Some(&decisions.read(&source, 3))).unwrap();
    drop(second);
    assert_eq!(signed::published(&audit, &place, &keys), [3, 5]);
    assert_eq!(KafkaStore::open(audit).unwrap().entries, entries(5));
}
