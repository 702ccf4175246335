//! One life of the daemon: the real binary as a process of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::receiver::SECRET;
use super::wait_for;

/// A running `plimsoll run`. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    log: PathBuf,
}

/// The binary with the secrets that configurations of these tests name.
pub(super) fn plimsoll() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.env("WEBHOOK_SECRET", SECRET).stdin(Stdio::null());
    command
}

impl Daemon {
    /// Starts it; what it logs goes to a file beside its configuration.
    pub(super) fn start(config: &Path, life: usize) -> Self {
        Self::start_with(config, life, &[])
    }

    /// Starts it with further variables in its environment.
    pub(super) fn start_with(config: &Path, life: usize, environment: &[(&str, &str)]) -> Self {
        let log = config.with_file_name(format!("life-{life}.log"));
        let file = File::create(&log).unwrap();
        let child = plimsoll()
            .args(["run", "--config"])
            .arg(config)
            .envs(environment.iter().copied())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// What it has logged.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it says that it reads its input.
    pub(super) fn ready(&self) {
        wait_for("the daemon to be ready", || {
            self.address().is_some_and(|_| self.get("/readyz").starts_with("HTTP/1.1 200"))
        });
    }

    fn address(&self) -> Option<String> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("HTTP interface is listening"))?;
        let port = line.split("127.0.0.1:").nth(1)?;
        let port: String = port.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("127.0.0.1:{port}"))
    }

    fn get(&self, path: &str) -> String {
        let address = self.address().expect("the HTTP interface is up");
        let ask = || {
            let mut stream = TcpStream::connect(&address)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        };
        ask().unwrap_or_else(|error: std::io::Error| panic!("{path}: {error}; {}", self.log()))
    }

    /// The sum of a metric over its label sets.
    pub(super) fn metric(&self, name: &str) -> u64 {
        let page = self.get("/metrics");
        let samples = page.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next())??;
            value.parse::<f64>().ok()
        });
        samples.sum::<f64>() as u64
    }

    /// Asks it to stop, and waits. Returns how it ended, and after how long.
    pub(super) fn terminate(&mut self) -> (ExitStatus, Duration) {
        let asked = Instant::now();
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        (self.end(), asked.elapsed())
    }

    /// Waits until it has ended by itself.
    pub(super) fn end(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for("the daemon to end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Ends it as `kill -9` does.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Whether it is still there.
    pub(super) fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.lives() {
            self.kill();
        }
    }
}
