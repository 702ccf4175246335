//! Dead letters and findings on librdkafka's mock cluster.

use std::time::Duration;

use plimsoll::domain::{RejectReason, SourcePartition};
use plimsoll::exchange::{self, Keep, RejectedRecord, Sink};
use rdkafka::ClientConfig;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::{Kept, PATIENCE, connect, ends, mock, poll_until, source, values};

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
