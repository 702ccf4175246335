//! The audit log keeps what it was given, and refuses to be less than it was.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod configured;
mod real;
mod signed;
mod told;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use plimsoll::audit::{Cut, Error, FileStore, KafkaConfig, KafkaStore, Store};
use plimsoll::engine::actor::Entry;
use plimsoll::engine::actor::entry::{self, Body};
use plimsoll::safety::{Command, Order, Role};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

fn entry(seq: u64) -> Entry {
    let about = BTreeMap::from([("n".to_owned(), seq.to_string())]);
    Entry { format: entry::FORMAT, seq, time: 1_795_341_600_000, body: Body::Started { about } }
}

fn entries(n: u64) -> Vec<Entry> {
    (0..n).map(entry).collect()
}

/// A log of `n` entries in `folder`.
fn written(folder: &Path, n: u64) -> PathBuf {
    let path = folder.join("audit.ndjson");
    let mut store = FileStore::open(&path).unwrap().store;
    for seq in 0..n {
        store.append(&[entry(seq)], None).unwrap();
    }
    path
}

/// The error with everything that led to it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[test]
fn a_file_gives_back_what_was_appended_and_goes_on_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), 3);
    let mut opened = FileStore::open(&path).unwrap();
    assert_eq!((&opened.entries, opened.cut), (&entries(3), None));
    opened.store.append(&[entry(3)], None).unwrap();
    drop(opened);
    assert_eq!(FileStore::open(&path).unwrap().entries, entries(4));
}

#[cfg(unix)]
#[test]
fn a_new_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), 0);
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_torn_last_line_is_cut_off_wherever_it_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), 3);
    let whole = fs::read(&path).unwrap();
    let last = entry(2).to_json().len() + 1;
    for kept in 1..last {
        fs::write(&path, &whole[..whole.len() - last + kept]).unwrap();
        let mut opened = FileStore::open(&path).unwrap();
        assert_eq!(opened.entries, entries(2));
        assert_eq!(opened.cut, Some(Cut { line: 3, bytes: kept as u64 }));
        opened.store.append(&[entry(2)], None).unwrap();
        drop(opened);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn a_line_that_is_spoiled_names_its_file_and_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), 4);
    let spoiled = fs::read_to_string(&path).unwrap().replacen("\"seq\":1", "\"seq\":x", 1);
    fs::write(&path, spoiled).unwrap();
    let error = FileStore::open(&path).unwrap_err();
    assert!(matches!(&error, Error::Line { line: 2, .. }), "{error}");
    assert!(chain(&error).contains("audit.ndjson"), "{}", chain(&error));
}

#[test]
fn missing_repeated_and_exchanged_lines_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), 4);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for (order, line) in [(&[1, 2, 3][..], 1), (&[0, 2, 3], 2), (&[0, 1, 1, 2], 3), (&[0, 2, 1, 3], 2)] {
        fs::write(&path, order.iter().map(|&i| lines[i]).collect::<String>()).unwrap();
        let error = FileStore::open(&path).unwrap_err();
        let is_gap = |source: &entry::Error| matches!(source, entry::Error::Gap { .. });
        assert!(
            matches!(&error, Error::Line { line: at, source, .. } if *at == line && is_gap(source)),
            "{order:?}: {}",
            chain(&error)
        );
    }
}

#[test]
fn an_entry_out_of_its_order_is_not_added() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), 2);
    let mut opened = FileStore::open(&path).unwrap();
    for seq in [0, 1, 3] {
        assert!(matches!(opened.store.append(&[entry(seq)], None).unwrap_err(), Error::Order(_)));
    }
    opened.store.append(&[entry(2)], None).unwrap();
}

/// One such entry would close the log to every reader for ever.
#[test]
fn an_entry_that_would_not_read_back_as_it_is_is_not_added() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), 2);
    let mut opened = FileStore::open(&path).unwrap();
    let at = |time: i64| Entry { time, ..entry(2) };
    let ordered = |at: i64| {
        let command = Command {
            id: "c1".into(),
            at,
            who: "alice".into(),
            role: Role::Operator,
            reason: "why".into(),
            order: Order::Freeze,
        };
        Entry { body: Body::Command { command, accepted: true, why: None, deadline: None }, ..entry(2) }
    };
    let omitted = |omitted: u64| {
        let snapshot = serde_json::json!({"findings_omitted": omitted});
        let body = Body::Evidence {
            decision: "d".into(),
            action_ids: Vec::new(),
            snapshot,
            sha256: "sha256:0".into(),
        };
        Entry { body, ..entry(2) }
    };
    let beyond = (1 << 53) + 1;
    for bad in [
        at(i64::MIN),
        at(i64::MAX),
        ordered(i64::MAX),
        ordered(beyond),
        ordered(-beyond),
        omitted(beyond as u64),
        omitted(u64::MAX),
    ] {
        let error = opened.store.append(std::slice::from_ref(&bad), None).unwrap_err();
        assert!(matches!(error, Error::Unreadable { seq: 2, .. }), "{bad:?}: {error}");
        // Nor does it come in with good ones.
        let good = Entry { seq: 3, ..entry(3) };
        opened.store.append(&[bad, good], None).unwrap_err();
    }
    opened.store.append(&[ordered((1 << 53) - 1)], None).unwrap();
    drop(opened);
    assert_eq!(FileStore::open(&path).unwrap().entries.len(), 3);
}

#[test]
fn a_log_in_use_is_refused_until_its_writer_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), 1);
    let opened = FileStore::open(&path).unwrap();
    let error = FileStore::open(&path).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    drop(opened);
    FileStore::open(&path).unwrap();
}

#[test]
fn only_a_regular_file_can_hold_a_log() {
    let device = Path::new("/dev/null");
    if !device.exists() {
        eprintln!("SKIPPED: there is no /dev/null here, so no device was tried");
        return;
    }
    let error = FileStore::open(device).unwrap_err();
    assert!(chain(&error).contains("not a regular file"), "{}", chain(&error));
}

fn cluster(topic: &str, partitions: i32) -> (MockCluster<'static, DefaultProducerContext>, KafkaConfig) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic, partitions, 1).unwrap();
    let properties = BTreeMap::from([("bootstrap.servers".to_owned(), cluster.bootstrap_servers())]);
    (cluster, KafkaConfig { properties, topic: topic.to_owned(), create: false, checkpoints: None })
}

#[test]
fn a_topic_gives_back_what_was_appended_and_goes_on_after_it() {
    let (_cluster, config) = cluster("plimsoll.audit", 1);
    let mut opened = KafkaStore::open(config.clone()).unwrap();
    assert_eq!(opened.entries, []);
    for seq in 0..3 {
        opened.store.append(&[entry(seq)], None).unwrap();
    }
    assert!(matches!(opened.store.append(&[entry(2)], None).unwrap_err(), Error::Order(_)));
    drop(opened);
    let mut opened = KafkaStore::open(config.clone()).unwrap();
    assert_eq!(opened.entries, entries(3));
    opened.store.append(&[entry(3)], None).unwrap();
    drop(opened);
    assert_eq!(KafkaStore::open(config).unwrap().entries, entries(4));
}

/// A real broker fences the first writer. The mock broker does not, which shows that even then the
/// collision is found out instead of one entry standing for two.
#[test]
fn two_writers_that_collide_in_a_topic_are_found_out_on_the_next_opening() {
    let (_cluster, config) = cluster("plimsoll.audit", 1);
    let mut first = KafkaStore::open(config.clone()).unwrap().store;
    let mut second = KafkaStore::open(config.clone()).unwrap().store;
    second.append(&[entry(0)], None).unwrap();
    if first.append(&[entry(0)], None).is_err() {
        assert!(matches!(first.append(&[entry(0)], None).unwrap_err(), Error::Broken));
        assert_eq!(KafkaStore::open(config).unwrap().entries, entries(1));
        return;
    }
    let error = KafkaStore::open(config).unwrap_err();
    assert!(
        matches!(error, Error::Record { source: entry::Error::Gap { expected: 1, found: 0 }, .. }),
        "{error}"
    );
}

#[test]
fn a_topic_of_several_partitions_or_none_is_refused() {
    let (_cluster, config) = cluster("two", 2);
    let error = KafkaStore::open(config.clone()).unwrap_err();
    assert!(matches!(error, Error::Partitions { found: 2, .. }), "{error}");
    let error = KafkaStore::open(KafkaConfig { topic: "absent".into(), ..config }).unwrap_err();
    assert!(matches!(error, Error::NoTopic { .. }), "{error}");
}

#[test]
fn client_properties_are_not_shown() {
    let properties = BTreeMap::from([("sasl.password".to_owned(), "hunter2".to_owned())]);
    let config = KafkaConfig { properties, topic: "t".into(), create: false, checkpoints: None };
    let shown = format!("{config:?}");
    assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
}
