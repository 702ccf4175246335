//! One instance of the daemon as a process of its own, and what it uses.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::broker::signal;

/// Clock ticks a second in /proc, on every Linux for which Rust is built.
const TICKS: f64 = 100.0;

/// The binary that is measured.
pub(super) fn binary() -> String {
    std::env::var("PLIMSOLL_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_plimsoll").to_owned())
}

/// Processor seconds, user and system, that a process has used; its threads that have ended included.
pub(super) fn cpu(id: u32) -> f64 {
    ticks(&format!("/proc/{id}/stat")).map_or(0.0, |(_, ticks)| ticks as f64 / TICKS)
}

/// Name, and ticks.
fn ticks(path: &str) -> Option<(String, u64)> {
    let stat = std::fs::read_to_string(path).ok()?;
    let (head, rest) = stat.rsplit_once(')')?;
    // After the name come the fields from number 3 on; utime and stime are 14 and 15.
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let name = head.split_once('(')?.1.to_owned();
    Some((name, fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?))
}

/// A running `plimsoll run`. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Instance {
    child: Child,
    log: PathBuf,
    pub(super) begun: Instant,
}

impl Instance {
    /// Starts `name` in these roles. `life` tells apart its logs.
    pub(super) fn start(config: &Path, name: &str, roles: &str, life: usize) -> Self {
        let log = config.with_file_name(format!("{name}-{life}.log"));
        let file = File::create(&log).unwrap();
        let begun = Instant::now();
        let child = Command::new(binary())
            .args(["run", "--roles", roles, "--config"])
            .arg(config)
            .env("PLIMSOLL__KAFKA__INSTANCE", name)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        if let Ok(pids) = std::env::var("PLIMSOLL_MEASURE_PIDS") {
            let mut file = File::options().append(true).create(true).open(pids).unwrap();
            writeln!(file, "{}", child.id()).unwrap();
        }
        Self { child, log, begun }
    }

    pub(super) fn cpu(&self) -> f64 {
        cpu(self.child.id())
    }

    /// Processor seconds of threads that live, by what they are for.
    pub(super) fn threads(&self) -> BTreeMap<String, f64> {
        let mut sum = BTreeMap::new();
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{}/task", self.child.id())) else { return sum };
        for task in tasks.flatten() {
            if let Some((name, ticks)) = ticks(&format!("{}/stat", task.path().display())) {
                let name = if name.starts_with("rdk:") { "librdkafka".to_owned() } else { name };
                *sum.entry(name).or_default() += ticks as f64 / TICKS;
            }
        }
        sum
    }

    /// Resident bytes now, and at most.
    pub(super) fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let of = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        (of("VmRSS:"), of("VmHWM:"))
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Fails where it has ended.
    pub(super) fn assert_lives(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(12).collect();
            panic!("{} ended with {status}: {tail:#?}", self.log.display());
        }
    }

    /// The body of an answer; none while nobody answers.
    pub(super) fn get(&self, path: &str) -> Option<String> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("HTTP interface is listening"))?;
        let port = line.split("127.0.0.1:").nth(1)?;
        let port: String = port.chars().take_while(char::is_ascii_digit).collect();
        let address = format!("127.0.0.1:{port}");
        let mut stream = TcpStream::connect(&address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }

    /// What `/readyz` says; nothing while nobody answers.
    pub(super) fn readiness(&self) -> String {
        self.get("/readyz").unwrap_or_default()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.readiness().contains(r#""ready":true"#)
    }

    /// The sum of a metric over its label sets; none where it is not there.
    pub(super) fn metric(&self, name: &str) -> Option<f64> {
        let page = self.get("/metrics")?;
        let samples: Vec<f64> = page
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        (!samples.is_empty()).then(|| samples.iter().sum())
    }

    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, waits, and returns how long it took.
    pub(super) fn terminate(mut self) -> Duration {
        let asked = Instant::now();
        signal(self.child.id(), "-TERM");
        let within = Duration::from_secs(30);
        super::wait_for("an instance to stop", within, || self.child.try_wait().unwrap().is_some());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
        asked.elapsed()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
