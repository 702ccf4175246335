//! Figures of the daemon on Apache Kafka itself: what scaling out costs, what many models take, how
//! long a restart and a broker's absence last, how soon a finding comes. They are printed as tables,
//! to be judged by people; only what must hold at any speed fails a test. Work is given in processor
//! time, because machines are shared. tests/kafka/measure.sh starts the broker and sets the variables
//! that are read here.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod away;
mod broker;
mod ground;
mod instance;
mod latency;
mod models;
mod records;
mod scale;

use std::str::FromStr;
use std::time::{Duration, Instant};

/// An environment variable that the script sets.
fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: use tests/kafka/measure.sh"))
}

/// A number that may be set.
fn number<T: FromStr>(name: &str, default: T) -> T {
    let Ok(text) = std::env::var(format!("PLIMSOLL_MEASURE_{name}")) else { return default };
    text.parse().unwrap_or_else(|_| panic!("PLIMSOLL_MEASURE_{name} is no number: {text}"))
}

/// Wall time, milliseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "event times of live traffic are wall time")]
fn wall() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    since.as_millis() as i64
}

/// Looks again until `done`, and returns how long that took.
fn wait_for(what: &str, within: Duration, mut done: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < within, "waited {within:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

/// Median and largest.
fn spread(mut all: Vec<f64>) -> (f64, f64) {
    all.sort_by(f64::total_cmp);
    (all[all.len() / 2], all[all.len() - 1])
}

/// A table in Markdown. Each line begins so that the script finds it.
fn table<const N: usize>(title: &str, head: [&str; N], rows: &[[String; N]]) {
    let line = |cells: &[String]| println!("measure|| {} |", cells.join(" | "));
    println!("measure|\nmeasure|{title}\nmeasure|");
    line(&head.map(str::to_owned));
    println!("measure||{}", "---|".repeat(N));
    rows.iter().for_each(|row| line(row));
}
