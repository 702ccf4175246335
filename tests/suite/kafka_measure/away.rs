//! The broker is away for a minute while records flow, once stopped as if the network had swallowed it, once
//! killed and started again. The instance must live through it, say what it waits for, go on by
//! itself, and lose and double nothing: it must find what `plimsoll replay` finds in the same records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use plimsoll::domain::Finding;
use rdkafka::message::Message;

use super::ground::{Fleet, Ground, Settings, build, model, read};
use super::instance::{Instance, binary};
use super::records::{Record, Records, names};
use super::{broker, number, table, wait_for, wall};

const PARTITIONS: i32 = 4;
const MODELS: usize = 4;
const FEATURES: usize = 6;
/// Records a second.
const RATE: u64 = 500;
/// What `/readyz` says when nothing is left to wait for.
const READY: &str = r#""ready":true"#;
/// For so long it must be ready to be back.
const SETTLED: Duration = Duration::from_secs(10);
const WITHIN: Duration = Duration::from_secs(120);
const CHECKS: &str = "    checks:
      - {name: traffic, metric: traffic_volume, window: 4s, slide: 2s}
      - {name: missing, metric: null_rate, of: features, window: 4s, slide: 4s, bound: \"<= 0.05\"}
";

/// Records that flow until they are asked to stop. Returns what each partition holds, and the last event time.
fn flow(ground: &Ground, models: &[String], stop: &AtomicBool) -> (Vec<Vec<String>>, i64) {
    let (producer, start) = (ground.producer(), Instant::now());
    let mut records = Records::new(4, FEATURES);
    let mut written = vec![Vec::new(); PARTITIONS as usize];
    let mut send = |partition: i32, value: String| {
        ground.send(&producer, &Record { partition, value: value.clone() });
        written[partition as usize].push(value);
    };
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = start + Duration::from_nanos(count * 1_000_000_000 / RATE);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let (partition, name) = (records.below(PARTITIONS as usize) as i32, records.below(models.len()));
        send(partition, records.value(&models[name], wall()));
        count += 1;
    }
    let end = wall();
    // One last record in each partition closes what ends up to here.
    for partition in 0..PARTITIONS {
        send(partition, records.value(&models[0], end + 300_000));
    }
    rdkafka::producer::Producer::flush(&producer, WITHIN).unwrap();
    (written, end)
}

/// What was seen of one absence.
#[derive(Debug, Default)]
struct Absence {
    /// What `/readyz` said, and after how many seconds first.
    said: BTreeMap<String, f64>,
    /// Seconds since the last commit, as the metric tells at the end of the absence.
    commit_age: Option<f64>,
    /// From the broker's return until the instance is ready, and until both groups have committed.
    ready: Duration,
    committed: Duration,
}

/// Numbers in reasons count up; the words are what is of interest.
fn words(said: &str) -> String {
    let mut text = String::new();
    for letter in said.chars() {
        let letter = if letter.is_ascii_digit() { 'N' } else { letter };
        if letter != 'N' || !text.ends_with('N') {
            text.push(letter);
        }
    }
    text
}

/// Takes the broker away by `leave`, brings it back by `come`.
fn away<T>(
    fleet: &Fleet,
    instance: &mut Instance,
    seconds: u64,
    leave: impl FnOnce() -> T,
    come: impl FnOnce(T),
) -> Absence {
    let mut absence = Absence::default();
    let gone = leave();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(seconds) {
        instance.assert_lives();
        let said = words(&instance.readiness());
        absence.said.entry(said).or_insert(start.elapsed().as_secs_f64());
        std::thread::sleep(Duration::from_millis(250));
    }
    let at = instance.metric("plimsoll_commit_timestamp_seconds");
    absence.commit_age = at.map(|at| wall() as f64 / 1e3 - at);
    let back = Instant::now();
    come(gone);
    // It may seem ready until it learns what has changed meanwhile: the last time that it was not counts.
    let mut ready = Duration::ZERO;
    let mut look = |ready: &mut Duration| {
        let said = words(&instance.readiness());
        if !said.contains(READY) {
            *ready = back.elapsed();
        }
        absence.said.entry(said).or_insert(start.elapsed().as_secs_f64());
    };
    let mut ends = None;
    wait_for("both groups to commit again", WITHIN, || {
        look(&mut ready);
        if ends.is_none() {
            ends = fleet.try_ends_of_exchange();
        }
        // What the observer writes after the return moves the evaluator past what was there.
        ends.as_ref().is_some_and(|ends| fleet.evaluated(ends)) && fleet.unread() < RATE as i64 * 5
    });
    let committed = back.elapsed();
    let settled = Instant::now();
    while settled.elapsed() < SETTLED {
        look(&mut ready);
        std::thread::sleep(Duration::from_millis(100));
    }
    instance.assert_lives();
    (absence.ready, absence.committed) = (ready, committed);
    absence
}

/// Findings up to `end`, sorted, from where each line comes from.
fn compare(mut found: Vec<String>, mut expected: Vec<String>, end: i64) -> usize {
    let closed = |line: &String| {
        let finding: Finding = serde_json::from_str(line).unwrap();
        finding.window.end.as_millis() <= end
    };
    found.retain(closed);
    expected.retain(closed);
    found.sort();
    expected.sort();
    let distinct: BTreeSet<&String> = found.iter().collect();
    let wanted: BTreeSet<&String> = expected.iter().collect();
    let missing: Vec<_> = wanted.difference(&distinct).take(4).collect();
    let surplus: Vec<_> = distinct.difference(&wanted).take(4).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{} findings and {} expected; missing {missing:#?}, surplus {surplus:#?}",
        found.len(),
        expected.len()
    );
    assert_eq!(found.len(), expected.len(), "nothing twice");
    found.len()
}

fn replay(fleet: &Fleet, ground: &Ground, written: &[Vec<String>]) -> Vec<String> {
    let mut replay = std::process::Command::new(binary());
    let output = ground.folder.join("replay");
    replay.args(["replay", "--config"]).arg(&fleet.config).arg("--output").arg(&output).arg("--input");
    for (number, lines) in written.iter().enumerate() {
        let file = ground.folder.join(format!("{number}.ndjson"));
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        replay.arg(&file);
    }
    let ran = replay.output().unwrap();
    assert!(
        ran.status.code().is_some_and(|code| code == 0 || code == 2),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let text = std::fs::read_to_string(output.join("findings.ndjson")).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs a real broker: tests/kafka/measure.sh away"]
fn real_away_a_broker_that_is_gone_for_a_minute_costs_time_and_nothing_else() {
    let seconds: u64 = number("AWAY", 60);
    let ground = Ground::new("away", PARTITIONS);
    let models = names(MODELS);
    let fleet = ground.fleet("all");
    let all: String = models.iter().map(|name| model(name, &ground.topic, FEATURES, "2s", CHECKS)).collect();
    fleet.configure(Settings { exchange: 4, idle_after: "3600s", ..Settings::default() }, &all);
    fleet.run(&["topics", "create"]);
    let mut instance = Instance::start(&fleet.config, "all", "observe,evaluate,act", 1);
    wait_for("the instance", WITHIN, || instance.is_ready());
    let stop = AtomicBool::new(false);
    // The script ends it, by the id that is noted where it looks.
    let mut again = None;
    let (stopped, killed, (written, end)) = std::thread::scope(|scope| {
        let flowing = scope.spawn(|| flow(&ground, &models, &stop));
        // Should anything fail, the records must not flow for ever.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let guard = Stop(&stop);
        std::thread::sleep(Duration::from_secs(10));
        let leave = || broker::signal(broker::id(), "-STOP");
        let stopped = away(&fleet, &mut instance, seconds, leave, |()| broker::signal(broker::id(), "-CONT"));
        eprintln!("measure: stopped {stopped:#?}");
        let leave = || broker::signal(broker::id(), "-KILL");
        let killed = away(&fleet, &mut instance, seconds, leave, |()| again = Some(broker::start_again()));
        eprintln!("measure: killed {killed:#?}");
        drop(guard);
        (stopped, killed, flowing.join().unwrap())
    });
    wait_for("all records to be read", WITHIN, || fleet.unread() == 0);
    let ends = fleet.ends_of_exchange();
    wait_for("all to be evaluated", WITHIN, || fleet.evaluated(&ends));
    std::thread::sleep(Duration::from_secs(3));
    instance.terminate();
    let count: usize = written.iter().map(Vec::len).sum();
    assert_eq!(fleet.counted("used"), count as u64, "each record is used once");
    let mut found = Vec::new();
    read(&fleet.topic("findings"), |message| {
        found.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
    });
    let compared = compare(found, replay(&fleet, &ground, &written), end);
    let row = |what: &str, absence: &Absence| {
        let mut said: Vec<_> = absence.said.iter().filter(|(words, _)| !words.contains(READY)).collect();
        said.sort_by(|a, b| a.1.total_cmp(b.1));
        let said: Vec<String> = said.iter().map(|(words, at)| format!("after {at:.1} s {words}")).collect();
        [
            what.to_owned(),
            format!("{:.1} s", absence.ready.as_secs_f64()),
            format!("{:.1} s", absence.committed.as_secs_f64()),
            absence.commit_age.map_or_else(|| "not shown".to_owned(), |age| format!("{age:.1} s")),
            said.join("; "),
        ]
    };
    table(
        &format!(
            "Broker away for {seconds} s while {RATE} records a second are written ({count} altogether), one instance with all roles: it \
             lived, {compared} findings are those of `plimsoll replay`, and each record was used once; {}",
            build()
        ),
        [
            "broker",
            "return to ready",
            "return to both groups committed",
            "age of the last commit that the metric showed",
            "/readyz said",
        ],
        &[row("stopped (SIGSTOP)", &stopped), row("killed and restarted", &killed)],
    );
    ground.done();
}
