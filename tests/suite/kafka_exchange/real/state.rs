//! What a compacted topic holds when a partition is taken over, and following one partition.

use std::collections::BTreeMap;

use plimsoll::exchange::state::Error as Unread;

use super::*;

fn restore(client: &ClientConfig, topic: &str, patience: Duration) -> Result<Vec<String>, Unread> {
    let found = read_compacted(client, topic, 0, patience, &AtomicBool::new(false))?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Ok(found.values.iter().map(|(key, value)| format!("{}={}", text(key), text(value))).collect())
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn the_newest_committed_value_of_each_key_is_restored_and_no_tombstone_or_aborted_one() {
    let (client, topic) = real("newest", 1, "compact");
    assert!(restore(&client, &topic, PATIENCE).unwrap().is_empty(), "an empty partition holds nothing");
    let mut transactor = transactor(&client, &topic);
    write(&mut transactor, &topic, &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]);
    assert_eq!(finish(&mut transactor).unwrap(), Finish::Committed);
    write(&mut transactor, &topic, &[("a", Some("aborted")), ("b", None), ("d", Some("aborted"))]);
    std::thread::sleep(Duration::from_millis(200));
    assert!(transactor.abort(PATIENCE).unwrap());
    write(&mut transactor, &topic, &[("a", Some("2")), ("c", None)]);
    assert_eq!(finish(&mut transactor).unwrap(), Finish::Committed);
    assert_eq!(restore(&client, &topic, PATIENCE).unwrap(), ["a=2", "b=1"]);
    let found = read_compacted(&client, &topic, 0, PATIENCE, &AtomicBool::new(false)).unwrap();
    assert_eq!((found.records, found.bytes), (5, 9), "three, then one and a tombstone");
    // The log ends with what was aborted.
    write(&mut transactor, &topic, &[("a", Some("aborted too"))]);
    std::thread::sleep(Duration::from_millis(200));
    assert!(transactor.abort(PATIENCE).unwrap());
    assert_eq!(restore(&client, &topic, PATIENCE).unwrap(), ["a=2", "b=1"]);
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn partitions_that_are_read_side_by_side_hold_what_each_holds_by_itself() {
    let (client, topic) = real("several", 4, "compact");
    let mut transactor = transactor(&client, &topic);
    transactor.begin().unwrap();
    for number in 0..3_000_i32 {
        let (partition, key) = (number % 3, format!("{}", number % 100));
        let value = format!("{number}");
        transactor.send(&topic, Some(partition), Some(key.as_bytes()), Some(value.as_bytes()), &[]).unwrap();
    }
    assert_eq!(finish(&mut transactor).unwrap(), Finish::Committed);
    let mut several = BTreeMap::new();
    let never = AtomicBool::new(false);
    read_several(&client, &topic, &[0, 1, 2, 3], PATIENCE, &never, &mut |partition, found| {
        assert!(several.insert(partition, found).is_none(), "each is handed over once");
    })
    .unwrap();
    assert_eq!(several[&3].records, 0, "a partition without records is handed over too");
    assert_eq!(several[&0].records, 1_000);
    for partition in 0..4 {
        let alone = read_compacted(&client, &topic, partition, PATIENCE, &never).unwrap();
        assert_eq!(several.remove(&partition).unwrap(), alone);
    }
    let error = read_several(&client, &topic, &[1, 7], PATIENCE, &never, &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains(&format!("{topic}/7")), "{error}");
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn restoring_waits_for_a_transaction_that_a_predecessor_has_under_way() {
    let (client, topic) = real("markers", 1, "compact");
    let producer: BaseProducer = client.clone().set("transactional.id", &topic).create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::to(&topic).partition(0).key("a").payload("late")).unwrap();
    producer.flush(PATIENCE).unwrap();

    let patience = Duration::from_secs(2);
    let error = restore(&client, &topic, patience).unwrap_err().to_string();
    assert!(error.contains("the transaction that is open at offset 0 to end, so that 1 can be"), "{error}");
    let delay = Duration::from_millis(1500);
    let start = Instant::now();
    let later = std::thread::spawn(move || {
        std::thread::sleep(delay);
        producer.commit_transaction(PATIENCE).unwrap();
    });
    assert_eq!(restore(&client, &topic, PATIENCE).unwrap(), ["a=late"]);
    assert!(start.elapsed() >= delay);
    later.join().unwrap();
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn a_topic_or_partition_that_is_not_there_is_named() {
    let (client, topic) = real("nowhere", 1, "compact");
    let stop = AtomicBool::new(false);
    let error = read_compacted(&client, "no-such-topic", 0, PATIENCE, &stop).unwrap_err();
    assert!(matches!(error, Unread::Refused { .. }), "{error}");
    assert!(error.to_string().contains("no-such-topic/0"), "{error}");
    let error = read_compacted(&client, &topic, 7, PATIENCE, &stop).unwrap_err();
    assert!(error.to_string().contains(&format!("{topic}/7")), "{error}");
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn a_tail_reads_to_the_end_again_and_again_and_hands_each_committed_record_over_once() {
    let (client, topic) = real("tail", 1, "compact");
    let mut tail = Tail::new(&client, &topic, 0).unwrap();
    let mut seen: Vec<(i64, String)> = Vec::new();
    let mut keep = |offset: i64, key: Option<&[u8]>, value: Option<&[u8]>| {
        assert_eq!(key.unwrap(), b"k");
        seen.push((offset, String::from_utf8(value.unwrap_or(b"none").to_vec()).unwrap()));
    };
    assert!(tail.read_to_end(PATIENCE, &mut keep).unwrap(), "an empty topic is read at once");
    let mut transactor = transactor(&client, &topic);
    for (value, commit) in [(Some("1"), true), (Some("aborted"), false), (None, true)] {
        write(&mut transactor, &topic, &[("k", value)]);
        if commit {
            assert_eq!(finish(&mut transactor).unwrap(), Finish::Committed);
        } else {
            std::thread::sleep(Duration::from_millis(200));
            assert!(transactor.abort(PATIENCE).unwrap());
        }
        assert!(tail.read_to_end(PATIENCE, &mut keep).unwrap());
        assert!(tail.caught_up());
    }
    // Without being asked for the end, it goes on.
    write(&mut transactor, &topic, &[("k", Some("4"))]);
    assert_eq!(finish(&mut transactor).unwrap(), Finish::Committed);
    let start = Instant::now();
    while tail.poll(Duration::from_millis(100), &mut keep).unwrap() == 0 {
        assert!(start.elapsed() < PATIENCE);
    }
    assert!(tail.read_to_end(PATIENCE, &mut keep).unwrap());
    let start = Instant::now();
    drop(tail);
    assert!(start.elapsed() < Duration::from_secs(5), "it closes");
    // Every transaction's marker takes an offset.
    let expected = [(0, "1".to_owned()), (4, "none".to_owned()), (6, "4".to_owned())];
    assert_eq!(seen, expected);
}
