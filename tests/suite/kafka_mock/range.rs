//! Reading a stretch of the log outside any group, and calibrating from it. The mock cluster cannot
//! look offsets up by time (it answers that there are none, which means the end); that part is held
//! against Apache Kafka in `real`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use plimsoll::app::calibrate::{Input, Options, calibrate};
use plimsoll::domain::EventTime;
use plimsoll::ingest::kafka::{Config, Error, OffsetReset, Range, RangeSource};
use plimsoll::ingest::source::{Source, SourceEvent};
use rdkafka::ClientConfig;

use super::super::calibrate::{MODEL, START, days, stage};
use super::{PATIENCE, assigned, mock, poll_until, produce, producer, source};

pub(super) fn range(client: &ClientConfig, topics: &[&str], range: Range) -> Result<RangeSource, Error> {
    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let config = Config {
        client: client.clone(),
        group: "plimsoll".into(),
        topics,
        offset_reset: OffsetReset::Latest,
    };
    RangeSource::new(&config, range)
}

/// The values of all records, and how many partitions ended.
pub(super) fn read(mut source: RangeSource) -> (Vec<String>, usize) {
    let (mut values, mut ended, start) = (Vec::new(), 0, Instant::now());
    while !source.finished() {
        assert!(start.elapsed() < PATIENCE, "{} values and then nothing more", values.len());
        let told = source.poll(100, Duration::from_millis(50), &mut |event| match event {
            SourceEvent::Record(record) => {
                values.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
            }
            SourceEvent::Finished(_) => ended += 1,
            _ => {}
        });
        assert!(told.unwrap() <= 101);
    }
    assert_eq!(source.left(), 0);
    values.sort();
    (values, ended)
}

#[test]
fn a_range_is_read_to_its_end_and_takes_nothing_from_the_group() {
    let (_cluster, client) = mock(&[("a", 2), ("b", 3)]);
    let producer = producer(&client);
    for partition in 0..2 {
        produce(&producer, "a", partition, (0..300).map(|i| format!("a{partition} {i}")));
    }
    produce(&producer, "b", 1, (0..50).map(|i| format!("b1 {i}")));
    let mut member = source(&client, &["a", "b"]);
    poll_until(&mut member, |events| assigned(events).len() == 5);

    let reading = range(&client, &["a", "b"], Range::default()).unwrap();
    assert_eq!(reading.left(), 650);
    produce(&producer, "a", 0, ["too late".to_owned()]);
    let (values, ended) = read(reading);
    assert_eq!((values.len(), ended), (650, 5));
    assert!(values.windows(2).all(|pair| pair[0] != pair[1]) && !values.contains(&"too late".to_owned()));

    // The member has kept its partitions, and nothing was committed for its group.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        let keep = &mut |event: SourceEvent<'_>| assert!(!matches!(event, SourceEvent::Revoked(_)));
        member.poll(100, Duration::from_millis(50), keep).unwrap();
    }
    drop(member);
    let mut next = super::named(&client, &["a", "b"], "plimsoll", OffsetReset::Earliest);
    let events = poll_until(&mut next, |events| assigned(events).len() == 5);
    assert!(assigned(&events).iter().all(|assigned| assigned.offset.is_none()), "{events:?}");
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let (_cluster, client) = mock(&[("a", 1)]);
    let error = range(&client, &["no-such-topic"], Range::default()).unwrap_err().to_string();
    assert!(error.contains("'no-such-topic'"), "{error}");
}

#[test]
fn a_model_is_calibrated_from_its_topic() {
    let (_cluster, client) = mock(&[("t", 2)]);
    let brokers = client.get("bootstrap.servers").unwrap();
    let (stage, config, _) = stage(&format!("kafka: {{brokers: \"{brokers}\"}}\n{MODEL}"));
    let producer = producer(&client);
    let rows = days(11, 0, 3, "v1");
    for (partition, first) in [(0, 0), (1, 1)] {
        produce(&producer, "t", partition, rows.iter().skip(first).step_by(2).map(ToString::to_string));
    }
    let options = |input| Options {
        model: "credit".to_owned(),
        input,
        topic: None,
        from: None,
        until: Some(EventTime::from_millis(START + 2 * 86_400_000)),
        hourly: false,
        output: stage.path("calibration.yaml"),
        progress: false,
    };
    let live = calibrate(&config, &options(Input::Kafka), &BTreeMap::new()).unwrap();
    assert_eq!((live.calibration.panes, live.accounting.records), (192, 34_560));
    let files = Input::Files { files: vec![stage.write("rows.ndjson", &rows)], row_time: None };
    let file = calibrate(&config, &options(files), &BTreeMap::new()).unwrap();
    assert_eq!(live.calibration, file.calibration, "the log and the file hold the same rows");
}
