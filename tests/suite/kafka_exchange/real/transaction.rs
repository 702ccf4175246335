//! Messages and offsets, together or not at all.

use plimsoll::exchange::transaction::Offset as Committed;

use super::*;

fn offset(topic: &str, offset: i64, metadata: &str) -> Committed {
    Committed { topic: topic.into(), partition: 0, offset, metadata: metadata.into() }
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn a_commit_carries_messages_and_offsets_with_their_metadata_together() {
    let (client, input) = real("together-in", 1, "delete");
    let (_, output) = real("together-out", 1, "delete");
    produce(&client, &input, 0, (0..5).map(|i| i.to_string()));
    let mut transactor = transactor(&client, &input);
    let mut reading = source(&client, &input);
    poll_until(&mut reading, |events| records(events) == 5);

    write(&mut transactor, &output, &[("k", Some("one")), ("k", Some("two"))]);
    transactor.send(&output, Some(0), None, Some(b"three"), &[("h", "x")]).unwrap();
    transactor.offsets(&[offset(&input, 4, "at 17:00")], reading.group_metadata().unwrap()).unwrap();
    assert!(visible(&client, &output).is_empty(), "nothing is seen before the commit");
    assert_eq!(finish(&mut transactor).unwrap(), Finish::Committed);
    assert_eq!(visible(&client, &output), ["one", "two", "three"]);
    assert_eq!(transactor.take_sent()[&output], (3, 8 + 7));

    // The next one without messages, and one without anything.
    transactor.begin().unwrap();
    transactor.offsets(&[offset(&input, 5, "at 18:00")], reading.group_metadata().unwrap()).unwrap();
    assert_eq!(finish(&mut transactor).unwrap(), Finish::Committed);
    transactor.begin().unwrap();
    assert_eq!(finish(&mut transactor).unwrap(), Finish::Committed);
    drop(reading);
    let mut next = source(&client, &input);
    let events = poll_until(&mut next, |events| !assigned(events).is_empty());
    let taken = &assigned(&events)[0];
    assert_eq!((taken.offset, taken.metadata.as_deref()), (Some(5), Some("at 18:00")));
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn what_is_given_up_is_never_seen_and_the_next_transaction_is() {
    let (client, topic) = real("given-up", 1, "delete");
    let mut transactor = transactor(&client, &topic);
    write(&mut transactor, &topic, &[("k", Some("never"))]);
    let start = Instant::now();
    while !transactor.abort(Duration::from_millis(200)).unwrap() {
        assert!(start.elapsed() < PATIENCE);
    }
    assert!(!transactor.is_open());
    write(&mut transactor, &topic, &[("k", Some("seen"))]);
    assert_eq!(finish(&mut transactor).unwrap(), Finish::Committed);
    assert_eq!(visible(&client, &topic), ["seen"]);
    // A dropped producer aborts as well: nobody has to wait for what it left.
    write(&mut transactor, &topic, &[("k", Some("dropped"))]);
    drop(transactor);
    produce(&client, &topic, 0, ["behind".to_owned()]);
    assert_eq!(visible(&client, &topic), ["seen", "behind"]);
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn a_second_producer_of_the_same_id_fences_the_first_which_says_so() {
    let (client, topic) = real("fenced", 1, "delete");
    let mut first = transactor(&client, &topic);
    write(&mut first, &topic, &[("k", Some("committed"))]);
    assert_eq!(finish(&mut first).unwrap(), Finish::Committed);
    write(&mut first, &topic, &[("k", Some("zombie"))]);
    std::thread::sleep(Duration::from_millis(200));
    let mut second = transactor(&client, &topic);
    // Some more of it is still to be sent.
    first.send(&topic, Some(0), Some(b"k"), Some(b"zombie too"), &[]).unwrap();
    let error = finish(&mut first).unwrap_err();
    assert!(error.is_fenced(), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&format!("'{topic}'")) && text.contains("another instance named the same"),
        "{text}"
    );
    assert!(first.begin().is_err(), "it is of no use any more");
    write(&mut second, &topic, &[("k", Some("second"))]);
    assert_eq!(finish(&mut second).unwrap(), Finish::Committed);
    // One that had nothing open learns it at its next transaction.
    let mut third = transactor(&client, &topic);
    write(&mut second, &topic, &[("k", Some("idle zombie"))]);
    assert!(finish(&mut second).unwrap_err().is_fenced());
    write(&mut third, &topic, &[("k", Some("third"))]);
    assert_eq!(finish(&mut third).unwrap(), Finish::Committed);
    assert_eq!(visible(&client, &topic), ["committed", "second", "third"]);
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn offsets_of_a_member_that_was_replaced_abort_and_nothing_of_them_is_seen() {
    let (client, input) = real("stale-in", 1, "delete");
    let (_, output) = real("stale-out", 1, "delete");
    produce(&client, &input, 0, (0..5).map(|i| i.to_string()));
    let mut transactor = transactor(&client, &input);
    let mut reading = source(&client, &input);
    poll_until(&mut reading, |events| records(events) == 5);
    let stale = reading.group_metadata().unwrap();
    drop(reading);
    let mut reading = source(&client, &input);
    poll_until(&mut reading, |events| !assigned(events).is_empty());

    write(&mut transactor, &output, &[("k", Some("stale"))]);
    transactor.offsets(&[offset(&input, 5, "stale")], stale).unwrap();
    let ended = finish(&mut transactor).unwrap();
    assert!(matches!(&ended, Finish::Aborted { reason } if reason.contains("member")), "{ended:?}");
    // The same again, with how the member stands now.
    write(&mut transactor, &output, &[("k", Some("fresh"))]);
    transactor.offsets(&[offset(&input, 3, "fresh")], reading.group_metadata().unwrap()).unwrap();
    assert_eq!(finish(&mut transactor).unwrap(), Finish::Committed);
    assert_eq!(visible(&client, &output), ["fresh"]);
    assert_eq!(transactor.take_sent()[&output].0, 1, "only what was committed counts");
    drop(reading);
    let mut next = source(&client, &input);
    let events = poll_until(&mut next, |events| !assigned(events).is_empty());
    assert_eq!(assigned(&events)[0].offset, Some(3));
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn a_message_that_the_broker_refuses_takes_the_whole_transaction_with_it_and_is_named() {
    let (client, good) = real("refused-good", 1, "delete");
    let (_, compacted) = real("refused-compacted", 1, "compact");
    let mut transactor = transactor(&client, &good);
    write(&mut transactor, &good, &[("k", Some("never"))]);
    // A compacted topic takes no message without a key.
    transactor.send(&compacted, Some(0), None, Some(b"x"), &[]).unwrap();
    let error = finish(&mut transactor).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }) && error.to_string().contains(&compacted), "{error}");
    assert!(!transactor.is_open());
    write(&mut transactor, &good, &[("k", Some("after"))]);
    assert_eq!(finish(&mut transactor).unwrap(), Finish::Committed);
    assert_eq!(visible(&client, &good), ["after"]);
}
