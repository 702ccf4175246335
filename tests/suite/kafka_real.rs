//! The whole daemon on Apache Kafka itself: `plimsoll run` as a process of its own reads a lending
//! log, finds that a version has become unfair, and calls a receiver that takes it back. It is
//! stopped and killed on the way; what comes out is what `plimsoll replay` finds in the same records.
//! tests/kafka/run.sh starts the broker and sets the variables that are read here.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod daemon;
mod lending;
mod receiver;
mod setting;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use plimsoll::domain::Decision;
use serde_json::Value;

use daemon::Daemon;
use lending::{Fate, mix};
use setting::{Expected, Setting, finding};

/// Long enough for a group to form on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// A daemon that is asked to stop does so within this.
const STOPS_WITHIN: Duration = Duration::from_secs(3);

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: use tests/kafka/run.sh"))
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn strings<'a>(entries: impl IntoIterator<Item = &'a Value>, pointer: &str) -> Vec<String> {
    let texts = entries.into_iter().map(|entry| entry.pointer(pointer).and_then(Value::as_str));
    texts.map(|text| text.unwrap_or_default().to_owned()).collect()
}

/// What the audit log holds of one kind.
fn entries<'a>(audit: &'a [Value], kind: &str) -> Vec<&'a Value> {
    audit.iter().filter(|entry| entry["kind"] == kind).collect()
}

/// Findings that are missing, and those that are there too often or should not be there.
fn difference(expected: &[String], found: &[String]) -> (Vec<String>, Vec<String>) {
    let mut count: BTreeMap<&String, i64> = BTreeMap::new();
    expected.iter().for_each(|line| *count.entry(line).or_default() += 1);
    found.iter().for_each(|line| *count.entry(line).or_default() -= 1);
    let those = |is: fn(i64) -> bool| {
        count.iter().filter(|(_, n)| is(**n)).map(|(line, _)| (*line).clone()).collect::<Vec<_>>()
    };
    (those(|n| n > 0), those(|n| n < 0))
}

/// The first of them, as far as a reader needs them.
fn brief(lines: &[String]) -> Vec<String> {
    let of = |line: &String| {
        let said = finding(line);
        format!("{}@{} {} until {}, {} rows", said.model, said.version, said.check, said.window.end, said.n)
    };
    lines.iter().take(8).map(of).collect()
}

fn assert_same(expected: &[String], found: &[String]) {
    let (missing, surplus) = difference(expected, found);
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "of {} findings {} are missing and {} are surplus:\nmissing {:#?}\nsurplus {:#?}",
        expected.len(),
        missing.len(),
        surplus.len(),
        brief(&missing),
        brief(&surplus),
    );
}

/// Waits until every expected finding was given out, then a little longer for what should not come.
fn settled(setting: &Setting, expected: &Expected, daemon: &mut Daemon) {
    let start = Instant::now();
    loop {
        assert!(daemon.lives(), "{}", daemon.log());
        let (missing, _) = difference(&expected.findings, &setting.findings());
        if missing.is_empty() {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{} findings never came: {:#?}", missing.len(), brief(&missing));
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(1));
}

/// The incident of the log: v1 and v2 qualify, v2 is violated in between and recovers.
fn assert_story(expected: &Expected) {
    let told = |pointer| strings(&expected.decisions, pointer).join(" ");
    assert_eq!(told("/kind"), "qualified violated cleared qualified");
    assert_eq!(told("/key/version"), "v1 v2 v2 v2");
}

/// Decision, intent and outcome of the one rollback, in that order, and the call that was made.
fn assert_one_rollback(setting: &Setting, expected: &Expected, audit: &[Value]) {
    let decisions = entries(audit, "decision");
    assert_eq!(
        strings(decisions.iter().copied(), "/decision/id"),
        strings(&expected.decisions, "/id"),
        "the decisions of an undisturbed run, once each and in order"
    );
    for (entry, decision) in decisions.iter().zip(&expected.decisions) {
        // As values: canonical JSON writes 1.0 as 1.
        let read = |value: &Value| serde_json::from_value::<Decision>(value.clone()).unwrap();
        assert_eq!(read(&entry["decision"]), read(decision));
    }
    let place = |kind: &str| {
        let places: Vec<usize> = (0..audit.len()).filter(|place| audit[*place]["kind"] == kind).collect();
        assert_eq!(places.len(), 1, "one {kind} in {audit:#?}");
        places[0]
    };
    let decided = audit.iter().position(|entry| entry["decision"]["kind"] == "violated").unwrap();
    let (intent, outcome) = (place("intent"), place("outcome"));
    assert!(decided < intent && intent < outcome, "{audit:#?}");
    assert_eq!(audit[outcome]["outcome"]["state"], "applied");
    assert_eq!(audit[intent]["to_version"], "v1");
    let id = audit[intent]["action_id"].as_str().unwrap();
    assert_eq!(audit[decided]["actions"][0]["action_id"], *id);

    let calls = setting.receiver.calls();
    assert!(!calls.is_empty());
    for call in &calls {
        assert!(call.signed, "{call:?}");
        assert_eq!(call.id, id, "one effect");
        assert_eq!(call.body, audit[intent]["payload"], "the same request whenever it is made");
        assert_eq!(call.body["data"]["version"], "v2");
        assert_eq!(call.body["data"]["to_version"], "v1");
    }
}

/// Every rejected record is in the dead-letter topic with where it was; returns how many letters
/// there are.
fn assert_dead_letters(setting: &Setting) -> usize {
    let letters = setting.told("dead-letter");
    let mut expected = BTreeSet::new();
    for number in 0..lending::PARTITIONS {
        for (offset, record) in setting.log.partition(number).enumerate() {
            if let Fate::Rejected(reason) = record.fate {
                expected.insert((reason.to_owned(), number.to_string(), offset.to_string()));
            }
        }
    }
    let header = |letter: &setting::Told, name: &str| letter.headers[&format!("plimsoll-{name}")].clone();
    let found: BTreeSet<_> = letters
        .iter()
        .map(|letter| (header(letter, "reason"), header(letter, "partition"), header(letter, "offset")))
        .collect();
    assert_eq!(found, expected);
    for letter in &letters {
        assert_eq!(header(letter, "topic"), setting.topic());
        assert_eq!(letter.value, "", "nothing of a record is kept unless it is allowed");
    }
    letters.len()
}

/// Every record is in exactly one class; returns used, late and rejected.
fn accounting(daemon: &Daemon) -> [usize; 3] {
    let metrics = daemon.metrics();
    let count = |class: &str| metrics.sum(&format!("plimsoll_{class}_records_total"));
    let classes = ["used", "late", "rejected"].map(count);
    assert_eq!(count("accounted"), classes.iter().sum::<usize>());
    classes
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn an_unfair_version_is_found_and_taken_back_and_all_that_is_said_is_what_a_replay_says() {
    let setting = Setting::new("story");
    setting.produce(&setting.log.records);
    let expected = setting.expected();
    assert_story(&expected);

    let mut daemon = Daemon::start(&setting.config, 1);
    settled(&setting, &expected, &mut daemon);
    let is = |fate: Fate| setting.log.count(|other| other == fate);
    let rejected = setting.log.count(|fate| matches!(fate, Fate::Rejected(_)));
    assert_eq!(accounting(&daemon), [is(Fate::Used), is(Fate::Late), rejected]);
    assert_eq!(daemon.metrics().sum("plimsoll_consumed_records_total"), setting.log.records.len());
    let (status, took) = daemon.terminate();
    assert!(status.success(), "{status}: {}", daemon.log());
    assert!(took < STOPS_WITHIN, "it took {took:?} to stop: {}", daemon.log());

    assert_same(&expected.findings, &setting.findings());
    let unique: BTreeSet<_> = expected
        .findings
        .iter()
        .map(|line| {
            let said = finding(line);
            let scope = match &said.scope {
                plimsoll::domain::Scope::Group { group, .. } => group.clone(),
                scope => scope.to_string(),
            };
            (said.model, said.version, said.window, said.check, scope, said.segment.to_string())
        })
        .collect();
    assert_eq!(unique.len(), expected.findings.len(), "one finding for each question");
    let audit = setting.audit();
    assert_one_rollback(&setting, &expected, &audit);
    assert_eq!(setting.receiver.calls().len(), 1);
    assert_eq!(assert_dead_letters(&setting), rejected);
    assert!(!setting.committed().contains_key(&lending::PARTITIONS), "no position in a log without records");
    setting.done();
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn a_restart_in_the_middle_of_windows_and_incidents_loses_nothing_and_says_nothing_twice() {
    let setting = Setting::new("restart");
    let expected = setting.expected();
    assert_story(&expected);
    let records = &setting.log.records;
    // In the middle of a window each: with one breach of the two that open the incident; with the
    // incident open; with one window of the two that close it; with the incident closed.
    let at = |second: f64| (second / lending::SECONDS as f64 * records.len() as f64) as usize;
    let stops = [at(24.6), at(33.3), at(45.1), at(51.7), records.len()];
    let (mut from, mut accounted) = (0, [0; 3]);
    for (life, until) in stops.into_iter().enumerate() {
        let mut daemon = Daemon::start(&setting.config, life);
        setting.produce(&records[from..until]);
        if until == records.len() {
            settled(&setting, &expected, &mut daemon);
        } else {
            daemon.ready();
            wait_for("the records to be read", || {
                assert!(daemon.lives(), "{}", daemon.log());
                accounting(&daemon).iter().sum::<usize>() == until - from
            });
            // Idle partitions let windows close, and an offset is committed.
            std::thread::sleep(Duration::from_millis(2_500));
        }
        for (sum, count) in accounted.iter_mut().zip(accounting(&daemon)) {
            *sum += count;
        }
        let (status, took) = daemon.terminate();
        assert!(status.success() && took < STOPS_WITHIN, "{status}, {took:?}: {}", daemon.log());
        from = until;
    }
    assert_same(&expected.findings, &setting.findings());
    let audit = setting.audit();
    assert_eq!(entries(&audit, "started").len(), stops.len());
    assert_one_rollback(&setting, &expected, &audit);
    assert_eq!(setting.receiver.calls().len(), 1, "no second call");
    let is = |fate: Fate| setting.log.count(|other| other == fate);
    let rejected = setting.log.count(|fate| matches!(fate, Fate::Rejected(_)));
    assert_eq!(accounted, [is(Fate::Used), is(Fate::Late), rejected], "each record is counted in one life");
    assert_eq!(assert_dead_letters(&setting), rejected, "nothing twice");
    setting.done();
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn kill_9_loses_nothing() {
    let seed = std::env::var("PLIMSOLL_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| i64::from(std::process::id()));
    eprintln!("PLIMSOLL_TEST_SEED={seed}");
    // Commits that are far apart leave much to be repeated.
    let setting = Setting::with_interval("kill", "2s");
    let expected = setting.expected();
    assert_story(&expected);
    let records = &setting.log.records;
    const LIVES: usize = 8;
    const SLICES: usize = 20;
    for life in 0..LIVES {
        let part = &records[records.len() * life / LIVES..records.len() * (life + 1) / LIVES];
        // Half of it waits for the daemon, half comes while it runs.
        let (waiting, coming) = part.split_at(part.len() / 2);
        setting.produce(waiting);
        let mut daemon = Daemon::start(&setting.config, life);
        let wait = Duration::from_millis(1_500 + mix(seed, life as u64) % 3_000);
        for slice in coming.chunks(coming.len().div_ceil(SLICES)) {
            setting.produce(slice);
            std::thread::sleep(wait / SLICES as u32);
        }
        if life + 1 == LIVES {
            settled(&setting, &expected, &mut daemon);
            assert!(daemon.terminate().0.success(), "{}", daemon.log());
        } else {
            assert!(daemon.lives(), "{}", daemon.log());
            daemon.kill();
        }
    }
    let told = setting.told("findings");
    let found: Vec<String> = told.iter().map(|told| told.value.clone()).collect();
    let distinct: BTreeSet<String> = found.iter().cloned().collect();
    assert_same(&expected.findings, &distinct.into_iter().collect::<Vec<_>>());
    let audit = setting.audit();
    assert_one_rollback(&setting, &expected, &audit);
    let rejected = setting.log.count(|fate| matches!(fate, Fate::Rejected(_)));
    let letters = assert_dead_letters(&setting);
    eprintln!(
        "{} kills: {} findings and {} dead letters, {} and {} of them twice; {} calls under one id",
        LIVES - 1,
        expected.findings.len(),
        rejected,
        found.len() - expected.findings.len(),
        letters - rejected,
        setting.receiver.calls().len(),
    );
    setting.done();
}

#[test]
#[ignore = "needs a real broker: tests/kafka/run.sh"]
fn over_tls_with_scram_it_runs_and_a_wrong_password_is_named_and_not_shown() {
    let connection = format!(
        r#"brokers: "{}"
  security:
    protocol: sasl_ssl
    ca_file: "{}"
    mechanism: SCRAM-SHA-512
    username: "{}"
    password: {{env: KAFKA_PASSWORD}}"#,
        env("PLIMSOLL_TEST_KAFKA_TLS"),
        env("PLIMSOLL_TEST_KAFKA_CA"),
        env("PLIMSOLL_TEST_KAFKA_USER"),
    );
    let setting = Setting::with_connection("tls", &connection);
    let password = env("PLIMSOLL_TEST_KAFKA_PASSWORD");
    setting.produce(&setting.log.records);

    let mut stranger = Daemon::start_with(&setting.config, 0, &[("KAFKA_PASSWORD", "hunter2")]);
    let status = stranger.end();
    let log = stranger.log();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("username and password"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");

    let expected = setting.expected();
    let mut daemon = Daemon::start_with(&setting.config, 1, &[("KAFKA_PASSWORD", &password)]);
    settled(&setting, &expected, &mut daemon);
    let (status, took) = daemon.terminate();
    assert!(status.success() && took < STOPS_WITHIN, "{status}, {took:?}: {}", daemon.log());
    let log = daemon.log();
    assert!(!log.contains(&password), "{log}");
    assert_same(&expected.findings, &setting.findings());
    assert_one_rollback(&setting, &expected, &setting.audit());
    setting.done();
}
