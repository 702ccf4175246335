//! What an evaluator's work grows with. The same event time is read by 1 to 64 observers, in a part
//! or all of its records, and handed on as often or as rarely as configured; only the evaluator's
//! processor time is counted: decoding the messages, merging and evaluating, and putting away what has
//! changed. Beside it stand the bytes that the observers write.
//!
//! `cargo bench --bench hot -- exchange`.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll::app::pipeline::{Counting, models};
use plimsoll::domain::SourcePartition;
use plimsoll::engine::{Evaluator, Message, Progress, wire};
use plimsoll::ingest::decoder::Limits;
use plimsoll::ingest::source::{Assigned, RawRecord, SourceEvent};
use plimsoll::stats::stable_hash::mix;

use super::{model, process, rows};

/// What to ask for on the command line.
pub(super) const NAME: &str = "exchange";

/// Source partitions.
const PARTITIONS: usize = 64;
/// Rows of a second of event time, as they are generated.
const A_SECOND: usize = 1_000;

/// How a log is read.
struct Reading {
    observers: usize,
    /// One row in so many is read.
    every: usize,
    /// Event time from one commit to the next.
    interval: Duration,
}

/// What that took.
#[derive(Default)]
struct Cost {
    records: usize,
    commits: usize,
    deltas: usize,
    cells: usize,
    bytes: usize,
    state: usize,
    decode: Duration,
    merge: Duration,
    evaluate: Duration,
    put_away: Duration,
}

/// Reads generated rows of `rows` thousandths of a second in several ways.
pub(super) fn run(rows: usize) {
    let config = model::configuration();
    let topic = model::topic(&config);
    let lines = rows::lines(rows, 7);
    println!(
        "\nexchange: {PARTITIONS} source partitions, {} s of event time, load average {}",
        rows / A_SECOND,
        process::load()
    );
    println!(
        "{:>9} {:>9} {:>8} {:>8} {:>8} {:>10} | {:>8} {:>8} {:>8} {:>8} | {:>9} {:>9} {:>8} | {:>12} {:>12}",
        "observers",
        "records",
        "interval",
        "commits",
        "deltas",
        "cells",
        "decode",
        "merge",
        "evaluate",
        "state",
        "us/commit",
        "us/source",
        "ns/cell",
        "MiB/1M rec.",
        "MiB of state"
    );
    let second = Duration::from_secs(1);
    let spread = [1, 4, 16, 64].map(|observers| Reading { observers, every: 1, interval: second });
    let fewer = [2, 4, 8].map(|every| Reading { observers: 4, every, interval: second });
    let intervals = [200, 500, 2_000, 5_000, 10_000].map(Duration::from_millis);
    let rarer = intervals.map(|interval| Reading { observers: 4, every: 1, interval });
    for reading in spread.iter().chain(&fewer).chain(&rarer) {
        let cost = read(&config, &topic, &lines, reading);
        let Cost { records, commits, deltas, cells, bytes, state, .. } = cost;
        let all = cost.decode + cost.merge + cost.evaluate + cost.put_away;
        let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1e3);
        // Each commit of all observers together speaks of every source partition once.
        let sources = commits / reading.observers.max(1) * PARTITIONS;
        println!(
            "{:>9} {records:>9} {:>8?} {commits:>8} {deltas:>8} {cells:>10} | {:>8} {:>8} {:>8} {:>8} | {:>9.1} {:>9.2} {:>8.2} | {:>12.1} {:>12.1}",
            reading.observers,
            reading.interval,
            ms(cost.decode),
            ms(cost.merge),
            ms(cost.evaluate),
            ms(cost.put_away),
            all.as_secs_f64() * 1e6 / commits.max(1) as f64,
            all.as_secs_f64() * 1e6 / sources.max(1) as f64,
            (cost.decode + cost.merge).as_secs_f64() * 1e9 / cells.max(1) as f64,
            bytes as f64 / (1024.0 * 1024.0) * 1e6 / records.max(1) as f64,
            state as f64 / (1024.0 * 1024.0),
        );
    }
}

fn read(
    config: &plimsoll::config::Config,
    topic: &plimsoll::app::pipeline::TopicSpec,
    lines: &[Vec<u8>],
    reading: &Reading,
) -> Cost {
    let topics = vec![topic.clone()];
    let mut evaluator = Evaluator::new(models(&topics));
    let limits = Limits { max_future: None, ..plimsoll::app::compile::file_limits(config) };
    let sources: Vec<SourcePartition> =
        (0..PARTITIONS as i32).map(|number| SourcePartition::new("inference", number)).collect();
    let mut observers: Vec<Counting> =
        (0..reading.observers).map(|_| Counting::new(topics.clone(), limits)).collect();
    for (number, source) in sources.iter().enumerate() {
        let assigned = Assigned { partition: source.clone(), offset: Some(0), metadata: None };
        let observer = &mut observers[number % reading.observers];
        observer.handle(SourceEvent::Assigned(vec![assigned]), 0, &mut |_, _| {});
    }
    let mut cost = Cost::default();
    let mut offsets = [0_i64; PARTITIONS];
    let rows = (reading.interval.as_millis() as usize * A_SECOND / 1_000).max(1);
    for (commit, lines) in lines.chunks(rows).enumerate() {
        for line in lines.iter().step_by(reading.every) {
            let number = (mix(cost.records as u64) % PARTITIONS as u64) as usize;
            let record = RawRecord {
                partition: &sources[number],
                offset: offsets[number],
                key: None,
                value: Some(line),
                headers: &[],
            };
            let observer = &mut observers[number % reading.observers];
            observer.handle(SourceEvent::Record(record), 0, &mut |_, why| panic!("{why:?}"));
            offsets[number] += 1;
            cost.records += 1;
        }
        for observer in &mut observers {
            commit_of(observer, &mut evaluator, commit as i64, &mut cost);
        }
        // The evaluator's own commit, as often as each observer's.
        put_away(&mut evaluator, commit as i64, &mut cost);
    }
    cost
}

/// One observer's commit, and what the evaluator does about it.
fn commit_of(observer: &mut Counting, evaluator: &mut Evaluator, commit: i64, cost: &mut Cost) {
    let flushed = observer.flush(commit);
    observer.settle(true);
    let topics = BTreeMap::from([("inference".into(), PARTITIONS as i32)]);
    let progress = Progress { wall: commit, sources: flushed.sources, topics };
    cost.deltas += flushed.deltas.len();
    cost.cells += flushed.deltas.iter().map(|delta| delta.summary.size() / size_of::<u64>()).sum::<usize>();
    let deltas = flushed.deltas.into_iter().map(Message::Delta);
    let written: Vec<Vec<u8>> =
        deltas.chain([Message::Progress(progress)]).map(|message| wire::encode(&message)).collect();
    cost.bytes += written.iter().map(Vec::len).sum::<usize>();
    cost.commits += 1;

    let begin = process::thread_time();
    let messages: Vec<Message> =
        written.iter().map(|bytes| wire::decode(bytes).expect("it was just written")).collect();
    let decoded = process::thread_time();
    let (mut merged, mut faults) = (decoded, 0);
    for message in messages {
        if matches!(message, Message::Progress(_)) {
            merged = process::thread_time();
        }
        faults += evaluator.take(message).faults.len();
    }
    let evaluated = process::thread_time();
    assert_eq!(faults, 0, "offsets follow each other");
    cost.decode += decoded - begin;
    cost.merge += merged - decoded;
    cost.evaluate += evaluated - merged;
}

fn put_away(evaluator: &mut Evaluator, commit: i64, cost: &mut Cost) {
    let begin = process::thread_time();
    for change in evaluator.changes(commit) {
        cost.state += wire::encode_key(&change.key).len();
        cost.state += change.record.as_ref().map_or(0, |record| wire::encode_record(record).len());
    }
    cost.put_away += process::thread_time() - begin;
}
