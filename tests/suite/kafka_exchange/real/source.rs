//! What the roles ask of the source beyond records: pausing, losses, and leaving.

use std::collections::HashSet;

use super::*;

fn fast(client: &ClientConfig) -> ClientConfig {
    let mut client = client.clone();
    client.set("heartbeat.interval.ms", "300");
    client
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn a_pause_keeps_records_back_and_resuming_hands_all_of_them_over_once() {
    let (client, topic) = real("pause", 2, "delete");
    for partition in 0..2 {
        produce(&client, &topic, partition, (0..500).map(|i| i.to_string()));
    }
    let mut reading = source(&client, &topic);
    let mut events = poll_until(&mut reading, |events| records(events) >= 150);
    for _ in 0..3 {
        let before = records(&events);
        reading.pause().unwrap();
        reading.pause().unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(700) {
            poll(&mut reading, &mut events);
        }
        assert_eq!(records(&events), before, "nothing comes while it is paused");
        reading.resume().unwrap();
        let start = Instant::now();
        while records(&events) < (before + 200).min(1000) {
            assert!(start.elapsed() < PATIENCE, "{}", records(&events));
            poll(&mut reading, &mut events);
        }
    }
    events.extend(poll_until(&mut reading, |more| records(&events) + records(more) >= 1000));
    let kept: Vec<&Kept> = events.iter().filter(|event| matches!(event, Kept::Record(..))).collect();
    assert_eq!(kept.len(), 1000);
    for partition in 0..2 {
        let all: Vec<Kept> = (0..500).map(|offset| Kept::Record(partition, offset)).collect();
        let of = kept.iter().filter(|event| matches!(event, Kept::Record(of, _) if *of == partition));
        assert_eq!(of.copied().cloned().collect::<Vec<_>>(), all, "in order, each once");
    }
    let start = Instant::now();
    drop(reading);
    assert!(start.elapsed() < Duration::from_secs(5), "a source that was paused closes");
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn a_partition_that_is_assigned_during_a_pause_is_paused_and_one_that_comes_back_later_is_not() {
    let (client, topic) = real("pause-assigned", 4, "delete");
    let client = fast(&client);
    for partition in 0..4 {
        produce(&client, &topic, partition, (0..50).map(|i| i.to_string()));
    }
    let mut first = source(&client, &topic);
    first.pause().unwrap();
    let mut events = poll_until(&mut first, |events| assigned(events).len() == 4);
    // Another member takes two, and gives them back.
    let mut second = source(&client, &topic);
    let (mut others, start) = (Vec::new(), Instant::now());
    while assigned(&others).len() < 2 {
        assert!(start.elapsed() < PATIENCE);
        poll(&mut first, &mut events);
        poll(&mut second, &mut others);
    }
    drop(second);
    while assigned(&events).len() < 6 {
        assert!(start.elapsed() < PATIENCE);
        poll(&mut first, &mut events);
    }
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        poll(&mut first, &mut events);
    }
    assert_eq!(records(&events), 0, "nothing comes while it is paused");
    first.resume().unwrap();
    poll_until(&mut first, |events| records(events) == 200);

    // Taken away during a pause, and given back after it.
    first.pause().unwrap();
    let mut second = source(&client, &topic);
    let (mut others, start) = (Vec::new(), Instant::now());
    while assigned(&others).len() < 2 {
        assert!(start.elapsed() < PATIENCE);
        poll(&mut first, &mut events);
        poll(&mut second, &mut others);
    }
    first.resume().unwrap();
    drop(second);
    events.clear();
    let start = Instant::now();
    // Nothing was committed, so what comes back is read from its beginning.
    while records(&events) < 100 {
        assert!(start.elapsed() < PATIENCE, "{} records came", records(&events));
        poll(&mut first, &mut events);
    }
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn what_retention_took_before_it_was_read_is_told_before_the_record_behind_it() {
    let (client, topic) = real("lost", 1, "delete");
    produce(&client, &topic, 0, (0..20).map(|i| i.to_string()));
    let mut reading = source(&client, &topic);
    poll_until(&mut reading, |events| records(events) == 20);
    let at = plimsoll::ingest::source::Commit {
        partition: plimsoll::domain::SourcePartition::new(&topic, 0),
        offset: 5,
        metadata: String::new(),
    };
    reading.commit(&[at]).unwrap();
    drop(reading);
    let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
    let mut until = TopicPartitionList::new();
    until.add_partition_offset(&topic, 0, Offset::Offset(12)).unwrap();
    block_on(admin.delete_records(&until, &AdminOptions::new())).unwrap();

    let mut reading = source(&client, &topic);
    let events = poll_until(&mut reading, |events| records(events) == 8);
    let first = events.iter().position(|event| matches!(event, Kept::Record(..))).unwrap();
    assert_eq!(events[first - 1..=first], [Kept::Lost(0, 5, 12), Kept::Record(0, 12)]);
    assert_eq!(events.iter().filter(|event| matches!(event, Kept::Lost(..))).count(), 1);
    assert_eq!(reading.faults().lost_offsets, 7);
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn no_event_of_a_partition_follows_its_revocation_and_leaving_hands_over_at_once() {
    let (client, topic) = real("revoked", 4, "delete");
    // So long that a member which only falls silent would not be missed in this test.
    let mut client = fast(&client);
    client.set("session.timeout.ms", "45000");
    for partition in 0..4 {
        produce(&client, &topic, partition, (0..20_000).map(|i| i.to_string()));
    }
    let mut first = source(&client, &topic);
    let mut events = poll_until(&mut first, |events| records(events) >= 100);
    let mut second = source(&client, &topic);
    let (mut others, start) = (Vec::new(), Instant::now());
    while assigned(&others).len() < 2 {
        assert!(start.elapsed() < PATIENCE);
        poll(&mut first, &mut events);
        second.poll(100, Duration::from_millis(1), &mut |event| others.push(Kept::of(event))).unwrap();
    }
    for _ in 0..20 {
        poll(&mut first, &mut events);
    }
    let mut gone = HashSet::new();
    for event in &events {
        match event {
            Kept::Revoked(list) => gone.extend(list.iter().copied()),
            Kept::Record(partition, _) | Kept::End(partition) | Kept::Lost(partition, ..) => {
                assert!(!gone.contains(partition), "{event:?} after it was revoked");
            }
            Kept::Assigned(list) => assert!(gone.is_empty() || list.is_empty(), "{list:?}"),
        }
    }
    assert_eq!(gone.len(), 2);

    let start = Instant::now();
    drop(first);
    while assigned(&others).len() < 4 {
        assert!(start.elapsed() < Duration::from_secs(20), "the group waits for who has left");
        poll(&mut second, &mut others);
    }
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn the_cluster_is_asked_how_many_partitions_each_topic_has() {
    let (client, topic) = real("count", 3, "delete");
    let config = Config {
        client,
        group: topic.clone(),
        topics: vec![topic.clone(), "no-such-topic".into()],
        offset_reset: OffsetReset::Earliest,
    };
    let mut reading = KafkaSource::new(&config).unwrap();
    let told = reading.topic_partitions(PATIENCE).unwrap();
    let told: Vec<(&str, i32)> = told.iter().map(|(topic, count)| (&**topic, *count)).collect();
    assert_eq!(told, [(topic.as_str(), 3), ("no-such-topic", 0)]);
    // What was told is kept for a while, and costs nothing then.
    assert_eq!(reading.topic_partitions(Duration::ZERO).unwrap().len(), 2);
}
