//! The log signs what is durable, and is not continued where it is not what was signed.

use std::time::Duration;

use plimsoll::audit::tlog::{Algorithm, Checkpoint, SignerKey, VerifierKey, notes};
use plimsoll::audit::{Checkpoints, Extent, Kind, Opened, Signing};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;

use super::*;

const ORIGIN: &str = "log.example/audit";

pub(super) fn signing(seed: u8) -> Signing {
    let key = SignerKey::new(ORIGIN, Algorithm::Ed25519, &[seed; 32]).unwrap();
    Signing { key, former: Vec::new(), interval: Duration::from_secs(5) }
}

fn open(path: &Path, signing: Signing) -> Result<Opened<FileStore>, Error> {
    let place = path.with_extension("checkpoints");
    FileStore::open_signed(path, Some(Checkpoints { place, signing }))
}

/// Sizes of the checkpoints in a file, each signed by one of `keys`.
fn sizes(path: &Path, keys: &[VerifierKey]) -> Vec<u64> {
    let bytes = fs::read(path.with_extension("checkpoints")).unwrap();
    let (notes, whole) = notes(&bytes);
    assert_eq!(whole, bytes.len());
    notes.into_iter().map(|note| Checkpoint::open(note, keys, &[]).unwrap().checkpoint.size).collect()
}

#[test]
fn a_checkpoint_is_signed_when_it_is_time_and_something_was_added_and_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.ndjson");
    let keys = signing(1).known();
    let mut store = open(&path, signing(1)).unwrap().store;
    store.publish_due(1_000).unwrap();
    store.append(&entries(2), None).unwrap();
    store.publish_due(1_000).unwrap();
    assert_eq!(sizes(&path, &keys), [2]);
    store.append(&[entry(2)], None).unwrap();
    store.publish_due(5_999).unwrap();
    assert_eq!(sizes(&path, &keys), [2]);
    assert_eq!(store.extent(), Extent { entries: 3, signed: Some(2) });
    store.publish_due(6_000).unwrap();
    assert_eq!(store.extent(), Extent { entries: 3, signed: Some(3) });
    store.publish_due(60_000).unwrap();
    assert_eq!(sizes(&path, &keys), [2, 3]);
    // A clock that was put back does not silence it.
    store.append(&[entry(3)], None).unwrap();
    store.publish_due(500).unwrap();
    store.append(&[entry(4)], None).unwrap();
    drop(store);
    assert_eq!(sizes(&path, &keys), [2, 3, 4, 5]);
    // What was there before the key is signed too.
    drop(open(&path, signing(1)).unwrap());
    assert_eq!(sizes(&path, &keys), [2, 3, 4, 5]);
}

#[test]
fn a_log_that_is_not_what_was_signed_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.ndjson");
    let mut store = open(&path, signing(1)).unwrap().store;
    store.append(&entries(5), None).unwrap();
    drop(store);
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();

    fs::write(&path, lines[..4].concat()).unwrap();
    let error = open(&path, signing(1)).unwrap_err();
    assert!(matches!(error, Error::Truncated { size: 5, found: 4, .. }), "{error}");
    assert!(error.to_string().contains("entries from 4 on are missing"), "{error}");
    assert_eq!(error.kind(), Kind::Fault);

    // Another number in the first entry, which still reads well.
    fs::write(&path, whole.replacen("\"n\":\"0\"", "\"n\":\"9\"", 1)).unwrap();
    let error = open(&path, signing(1)).unwrap_err();
    assert!(matches!(error, Error::Rewritten { size: 5, .. }), "{error}");

    // Without a key nobody notices, which is what a key is for.
    drop(FileStore::open(&path).unwrap());
    fs::write(&path, &whole).unwrap();
    let error = open(&path, signing(2)).unwrap_err();
    assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
    assert!(chain(&error).contains("audit.former_keys"), "{}", chain(&error));

    let former = vec![signing(1).key.verifier()];
    let mut opened = open(&path, Signing { former, ..signing(2) }).unwrap();
    assert_eq!(opened.entries, entries(5));
    opened.store.append(&[entry(5)], None).unwrap();
    drop(opened);
    let keys = [signing(1).key.verifier(), signing(2).key.verifier()];
    assert_eq!(sizes(&path, &keys), [5, 6]);
}

#[test]
fn an_unfinished_checkpoint_is_cut_off_wherever_it_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.ndjson");
    for size in 1..=2 {
        let mut store = open(&path, signing(1)).unwrap().store;
        store.append(&[entry(size - 1)], None).unwrap();
    }
    let file = path.with_extension("checkpoints");
    let both = fs::read(&file).unwrap();
    let first = notes(&both).0[0].len();
    for cut in first..both.len() {
        fs::write(&file, &both[..cut]).unwrap();
        // Closing signs the second anew.
        drop(open(&path, signing(1)).unwrap());
        assert_eq!(fs::read(&file).unwrap(), both, "{cut}");
    }
}

#[test]
fn an_entry_that_fits_into_no_bundle_is_refused_and_leaves_the_log_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.ndjson");
    let mut store = open(&path, signing(1)).unwrap().store;
    let long = |bytes: usize| {
        let body = Body::Started { about: BTreeMap::from([("x".to_owned(), "y".repeat(bytes))]) };
        Entry { format: entry::FORMAT, seq: 0, time: 0, body }
    };
    let frame = long(0).to_json().len();
    let error = store.append(&[long(65_536 - frame)], None).unwrap_err();
    assert!(matches!(error, Error::TooLong { seq: 0, bytes: 65_536 }), "{error}");
    store.append(&[long(65_535 - frame)], None).unwrap();
}

/// A topic beside that of the log.
fn signed_cluster() -> (MockCluster<'static, DefaultProducerContext>, KafkaConfig) {
    let (cluster, config) = cluster("plimsoll.audit", 1);
    cluster.create_topic("plimsoll.checkpoints", 1, 1).unwrap();
    (cluster, with(config, signing(1)))
}

fn with(config: KafkaConfig, signing: Signing) -> KafkaConfig {
    let place = "plimsoll.checkpoints".to_owned();
    KafkaConfig { checkpoints: Some(Checkpoints { place, signing }), ..config }
}

/// Sizes of the checkpoints in the topic.
pub(super) fn published(config: &KafkaConfig, topic: &str, keys: &[VerifierKey]) -> Vec<u64> {
    let mut client = ClientConfig::new();
    for (name, value) in &config.properties {
        client.set(name, value);
    }
    client.set("group.id", "reader").set("enable.partition.eof", "true");
    client.set("auto.offset.reset", "earliest").set("isolation.level", "read_committed");
    let consumer: BaseConsumer = client.create().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(topic, 0, rdkafka::Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let mut sizes = Vec::new();
    loop {
        match consumer.poll(Duration::from_secs(10)).expect("the broker answers") {
            Ok(message) => {
                let note = message.payload().unwrap();
                sizes.push(Checkpoint::open(note, keys, &[]).unwrap().checkpoint.size);
            }
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => return sizes,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn checkpoints_in_a_topic_are_read_back_and_held_against_the_log() {
    let (_cluster, config) = signed_cluster();
    let keys = signing(1).known();
    for round in 0..3 {
        let mut opened = KafkaStore::open(config.clone()).unwrap();
        assert_eq!(opened.entries, entries(2 * round));
        opened.store.append(&[entry(2 * round)], None).unwrap();
        opened.store.publish_due(0).unwrap();
        opened.store.append(&[entry(2 * round + 1)], None).unwrap();
        opened.store.publish_due(1).unwrap();
    }
    assert_eq!(published(&config, "plimsoll.checkpoints", &keys), [1, 2, 3, 4, 5, 6]);

    // The topic of another, longer log, and of one that differs.
    let other = |topic: &str| KafkaConfig { topic: topic.to_owned(), ..config.clone() };
    _cluster.create_topic("short", 1, 1).unwrap();
    let error = KafkaStore::open(other("short")).unwrap_err();
    assert!(matches!(error, Error::Truncated { size: 6, found: 0, .. }), "{error}");
    _cluster.create_topic("other", 1, 1).unwrap();
    let mut unsigned = KafkaStore::open(KafkaConfig { checkpoints: None, ..other("other") }).unwrap();
    let mut different = entries(7);
    different[3].time += 1;
    unsigned.store.append(&different, None).unwrap();
    drop(unsigned);
    let error = KafkaStore::open(other("other")).unwrap_err();
    assert!(matches!(error, Error::Rewritten { size: 6, .. }), "{error}");

    let strange = with(config.clone(), signing(2));
    assert!(matches!(KafkaStore::open(strange).unwrap_err(), Error::Checkpoint { .. }));
    assert_eq!(KafkaStore::open(config).unwrap().entries, entries(6));
}
