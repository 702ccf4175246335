//! Looking at topics through the reader that `plimsoll inspect` uses, against librdkafka's mock
//! cluster; what transactions hide is held against Apache Kafka in `real`.

mod real;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use plimsoll::exchange::reader::{Event, Range, Whence, read};
use plimsoll::exchange::state::Error;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};

const PATIENCE: Duration = Duration::from_secs(20);

fn connect(brokers: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers);
    client
}

/// A topic of three partitions: `values` records in each, the number of the partition before them.
fn mock(counts: [usize; 3]) -> (MockCluster<'static, DefaultProducerContext>, ClientConfig) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 3, 1).unwrap();
    let client = connect(&cluster.bootstrap_servers());
    let producer: BaseProducer = client.create().unwrap();
    for (partition, count) in (0..).zip(counts) {
        for number in 0..count {
            let value = format!("{partition}.{number}");
            producer.send(BaseRecord::to("t").partition(partition).key("k").payload(&value)).unwrap();
        }
    }
    producer.flush(PATIENCE).unwrap();
    (cluster, client)
}

fn everything() -> Range<'static> {
    Range { topic: "t", partition: None, whence: Whence::Beginning, follow: false, patience: PATIENCE }
}

/// What was read, sorted, and the remarks on the way.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    values: Vec<String>,
    open: Vec<(i32, i64, i64)>,
    ends: usize,
}

/// Reads until `enough`.
fn seen(client: &ClientConfig, range: &Range<'_>, enough: impl Fn(&Seen) -> bool) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    read(client, range, &mut |event| {
        match event {
            Event::Record(record) => {
                seen.values.push(String::from_utf8(record.value.unwrap_or(b"-").to_vec()).unwrap());
            }
            Event::Open { partition, offset, hidden } => seen.open.push((partition, offset, hidden)),
            Event::CaughtUp => seen.ends += 1,
        }
        if enough(&seen) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    seen.values.sort();
    Ok(seen)
}

#[test]
fn a_range_is_read_from_where_it_was_asked_for_to_its_end() {
    let (_cluster, client) = mock([3, 0, 2]);
    let all = |range: Range<'_>| seen(&client, &range, |_| false).unwrap();
    let found = all(everything());
    assert_eq!(found.values, ["0.0", "0.1", "0.2", "2.0", "2.1"]);
    assert_eq!((found.open.len(), found.ends), (0, 1));
    for (whence, expected) in [
        (Whence::Offset(1), &["0.1", "0.2", "2.1"][..]),
        (Whence::Offset(2), &["0.2"]),
        (Whence::Offset(1_000), &[]),
        (Whence::BeforeEnd(1), &["0.2", "2.1"]),
        (Whence::BeforeEnd(1_000), &["0.0", "0.1", "0.2", "2.0", "2.1"]),
        (Whence::BeforeEnd(0), &[]),
    ] {
        let found = all(Range { whence, ..everything() });
        assert_eq!((found.values.as_slice(), found.ends), (&*own(expected), 1), "{whence:?}");
    }
    let one = all(Range { partition: Some(2), ..everything() });
    assert_eq!(one.values, ["2.0", "2.1"]);
    let nothing = all(Range { partition: Some(1), ..everything() });
    assert_eq!(nothing, Seen { ends: 1, ..Seen::default() }, "an empty partition keeps nobody waiting");
}

fn own(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn it_ends_when_there_is_enough_and_follows_what_comes_later() {
    let (_cluster, client) = mock([3, 0, 0]);
    let two = seen(&client, &everything(), |seen| seen.values.len() == 2).unwrap();
    assert_eq!(two.values, ["0.0", "0.1"]);
    let late = client.clone();
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        let producer: BaseProducer = late.create().unwrap();
        producer.send(BaseRecord::to("t").partition(1).key("k").payload("1.0")).unwrap();
        producer.flush(PATIENCE).unwrap();
    });
    let range = Range { whence: Whence::BeforeEnd(1), follow: true, ..everything() };
    let found = seen(&client, &range, |seen| seen.ends == 2).unwrap();
    writer.join().unwrap();
    assert_eq!(found.values, ["0.2", "1.0"]);
}

#[test]
fn what_is_not_there_is_an_error_soon() {
    let (cluster, client) = mock([1, 0, 0]);
    let refused = |range: Range<'_>| seen(&client, &range, |_| false).unwrap_err().to_string();
    assert!(refused(Range { topic: "other", ..everything() }).contains("other/0"));
    assert!(refused(Range { partition: Some(3), ..everything() }).contains("3 partitions"));
    drop(cluster);
    let start = Instant::now();
    let patience = Duration::from_secs(3);
    let error = seen(&client, &Range { patience, ..everything() }, |_| false).unwrap_err();
    assert!(matches!(error, Error::Silent { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}
