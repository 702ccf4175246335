//! The whole chain with nothing stubbed: records on Apache Kafka, the daemon, an alias in MLflow's registry
//! that the server of the model follows, a DAG of Airflow, Alertmanager, and `webhook`, which verifies the
//! signature with a package of others. A version that leaves its bounds is taken back and retrained once;
//! whatever stands in the way ends where the documentation says. tests/chain/run.sh starts the servers and
//! sets the variables that are read here.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod airflow;
mod daemon;
mod faults;
mod latency;
mod mlflow;
mod planted;
mod serving;
mod setting;
mod story;
mod topics;
mod web;

use std::process::Command;
use std::time::{Duration, Instant};

/// How long anything may take that only needs time. The machine may be busy, and much runs on it here.
const PATIENCE: Duration = Duration::from_secs(240);

/// An environment variable that the script sets.
fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: use tests/chain/run.sh"))
}

/// Wall time, milliseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "event times of live traffic are wall time")]
fn wall() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    since.as_millis() as i64
}

/// Looks again until there is something.
fn wait_for<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < within, "waited {within:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Starts, stops or kills a server of the chain.
fn chain(verb: &str, server: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chain/chain.sh");
    let status = Command::new(script).args([verb, &env("PLIMSOLL_CHAIN"), server]).status().unwrap();
    assert!(status.success(), "chain.sh {verb} {server}: {status}");
}
