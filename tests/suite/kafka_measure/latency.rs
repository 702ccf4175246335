//! How soon a finding and a decision come, on live traffic: from the arrival of the record that takes
//! the last source partition past the end of a window and the allowed lateness, to when a reader of committed
//! messages has what follows from it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use serde_json::Value;

use super::ground::{Fleet, Ground, Settings, build, consumer, model, read};
use super::instance::Instance;
use super::records::{Record, Records, names};
use super::{number, table, wait_for, wall};

const PARTITIONS: i32 = 4;
const MODELS: usize = 4;
const FEATURES: usize = 6;
/// Records a second.
const RATE: u64 = 2_000;
/// As configured, milliseconds.
const LATENESS: i64 = 1_000;
/// For so long inputs are missing, and then for as long they are not, milliseconds.
const SPELL: i64 = 4_000;
const WITHIN: Duration = Duration::from_secs(60);
const CHECKS: &str = "    checks:
      - {name: traffic, metric: traffic_volume, window: 10s, slide: 1s}
      - {name: score, metric: null_rate, of: [f00], window: 10s, slide: 5s}
      - {name: missing, metric: null_rate, of: [f01], window: 1s, slide: 1s, bound: \"<= 0.05\"}
";

/// What a reader saw.
#[derive(Debug)]
struct Seen {
    /// End of the window that it is about, milliseconds since the epoch.
    end: i64,
    /// When it was handed to the broker, and when a reader of committed messages had it.
    written: i64,
    seen: i64,
    decision: bool,
}

fn policies(models: &[String]) -> String {
    let of = |name: &String| {
        format!(
            "  - {{name: p-{name}, model: {name}, checks: [missing], decide: window, violate: {{windows: 1, of: 1}}, \
             clear: {{windows: 1}}, qualify: {{windows: 1}}, mode: observe}}\n"
        )
    };
    format!("policies:\n{}", models.iter().map(of).collect::<String>())
}

fn end_of(text: &str) -> Option<(i64, bool)> {
    let value: Value = serde_json::from_str(text).ok()?;
    let (end, decision) = match value.get("window") {
        Some(window) => (window["end"].as_str()?.to_owned(), false),
        None => (value.get("decision")?["at"].as_str()?.to_owned(), true),
    };
    let end: plimsoll::domain::EventTime = end.parse().ok()?;
    Some((end.as_millis(), decision))
}

/// Reads findings and decisions as they come, until `stop`.
fn watch(fleet: &Fleet, stop: &AtomicBool) -> Vec<Seen> {
    let consumer = consumer("plimsoll-test-reader", "read_committed");
    let mut list = rdkafka::TopicPartitionList::new();
    for (topic, partitions) in [(fleet.topic("findings"), 4), (fleet.topic("decisions"), 1)] {
        for number in 0..partitions {
            list.add_partition_offset(&topic, number, rdkafka::Offset::Beginning).unwrap();
        }
    }
    consumer.assign(&list).unwrap();
    let mut all = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
        let seen = wall();
        let text = String::from_utf8_lossy(message.payload().unwrap_or_default());
        if let Some((end, decision)) = end_of(&text) {
            all.push(Seen { end, written: message.timestamp().to_millis().unwrap(), seen, decision });
        }
    }
    all
}

/// Writes records whose event time is the time of day, until `seconds` are over.
fn traffic(ground: &Ground, models: &[String], seconds: u64) -> i64 {
    let (producer, start) = (ground.producer(), Instant::now());
    let mut records = Records::new(3, FEATURES);
    for number in 0..seconds * RATE {
        let due = start + Duration::from_nanos(number * 1_000_000_000 / RATE);
        let wait = due.saturating_duration_since(Instant::now());
        if wait > Duration::from_millis(2) {
            std::thread::sleep(wait);
        }
        let (partition, name) = (records.below(PARTITIONS as usize) as i32, records.below(models.len()));
        let now = wall();
        let mut value = records.value(&models[name], now);
        if now / SPELL % 2 == 0 && number % 4 == 0 {
            value = value.replace("\"f01\":", "\"away\":");
        }
        ground.send(&producer, &Record { partition, value });
    }
    rdkafka::producer::Producer::flush(&producer, WITHIN).unwrap();
    wall()
}

/// For each partition its watermarks as they rise, and when the record came that raised it.
fn risings(ground: &Ground) -> BTreeMap<i32, Vec<(i64, i64)>> {
    let mut all: BTreeMap<i32, Vec<(i64, i64)>> = BTreeMap::new();
    read(&ground.topic, |message| {
        let value: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
        let (watermark, at) =
            (value["ts"].as_i64().unwrap() - LATENESS, message.timestamp().to_millis().unwrap());
        let mine = all.entry(message.partition()).or_default();
        if mine.last().is_none_or(|last| last.0 < watermark) {
            mine.push((watermark, at));
        }
    });
    all
}

/// When the last partition passed `end`; none where one never did.
fn passed(risings: &BTreeMap<i32, Vec<(i64, i64)>>, end: i64) -> Option<i64> {
    let first =
        |mine: &Vec<(i64, i64)>| mine.get(mine.partition_point(|rising| rising.0 < end)).map(|it| it.1);
    risings.values().map(first).collect::<Option<Vec<_>>>()?.into_iter().max()
}

fn row(interval: &str, what: &str, all: impl Iterator<Item = i64>) -> [String; 7] {
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    all.for_each(|millis| histogram.record(millis.max(0) as u64).unwrap());
    let at = |quantile| histogram.value_at_quantile(quantile).to_string();
    [
        interval.to_owned(),
        what.to_owned(),
        histogram.len().to_string(),
        at(0.5),
        at(0.9),
        at(0.99),
        histogram.max().to_string(),
    ]
}

#[test]
#[ignore = "needs a real broker: tests/kafka/measure.sh latency"]
fn real_latency_from_a_record_to_its_finding_and_its_decision() {
    let seconds = number("SECONDS", 90);
    let mut rows = Vec::new();
    let mut used = Vec::new();
    for interval in ["1s", "200ms"] {
        let ground = Ground::new(&format!("latency-{interval}"), PARTITIONS);
        let models = names(MODELS);
        let fleet = ground.fleet("all");
        let all: String =
            models.iter().map(|name| model(name, &ground.topic, FEATURES, "1s", CHECKS)).collect();
        let more = policies(&models);
        fleet.configure(
            Settings { commit_interval: interval, exchange: 4, more: &more, ..Settings::default() },
            &all,
        );
        fleet.run(&["topics", "create"]);
        let mut instance = Instance::start(&fleet.config, "all", "observe,evaluate,act", 1);
        wait_for("the instance", WITHIN, || instance.is_ready());
        let stop = AtomicBool::new(false);
        let (seen, until, begun) = std::thread::scope(|scope| {
            let watching = scope.spawn(|| watch(&fleet, &stop));
            let before = instance.cpu();
            let begun = wall();
            let until = traffic(&ground, &models, seconds);
            used.push(format!(
                "{interval}: {:.0} % of a processor",
                100.0 * (instance.cpu() - before) / seconds as f64
            ));
            std::thread::sleep(Duration::from_secs(5));
            stop.store(true, Ordering::Relaxed);
            (watching.join().unwrap(), until, begun)
        });
        instance.assert_lives();
        instance.terminate();
        let risings = risings(&ground);
        // The first windows come while the group still forms, the last have no record behind them.
        let counts = |seen: &&Seen| seen.end > begun + 10_000 && seen.end + LATENESS < until;
        let timed: Vec<(&Seen, i64)> =
            seen.iter().filter(counts).filter_map(|seen| Some((seen, passed(&risings, seen.end)?))).collect();
        assert!(timed.iter().any(|(seen, _)| seen.decision), "there are decisions");
        for (what, decision) in [("finding", false), ("decision", true)] {
            let those = || timed.iter().filter(move |(seen, _)| seen.decision == decision);
            rows.push(row(interval, &format!("{what} written"), those().map(|(seen, at)| seen.written - at)));
            rows.push(row(interval, &format!("{what} readable"), those().map(|(seen, at)| seen.seen - at)));
        }
        ground.done();
    }
    table(
        &format!(
            "Latency in ms, {seconds} s each: {RATE} records a second over {PARTITIONS} partitions, {MODELS} models, windows of 10 s and 1 s \
             every 1 s and 5 s, allowed lateness {LATENESS} ms (not in the figures), one instance with all roles, one broker; \
             written: handed to the broker within the open transaction; readable: a reader of committed messages has it. {}. CPU of the \
             instance at a commit interval of {}.",
            build(),
            used.join(", "),
        ),
        ["commit interval", "what", "count", "p50", "p90", "p99", "max"],
        &rows,
    );
}
