//! One daemon with all roles, as a process of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::planted::secret;
use super::{PATIENCE, wait_for};

/// A running `plimsoll run`. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    log: PathBuf,
    token: String,
}

/// The binary, with the secrets that configurations name by environment variables.
pub(super) fn plimsoll() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.env("CHAIN_MLFLOW_PASSWORD", secret("mlflow-plimsoll")).stdin(Stdio::null());
    command
}

impl Daemon {
    /// Starts it and waits until it is ready. It logs beside its configuration, and answers to `token`.
    pub(super) fn start(config: &Path, token: &str) -> Self {
        let log = config.with_file_name("daemon.log");
        let file = File::create(&log).unwrap();
        let child = plimsoll()
            .args(["run", "--config"])
            .arg(config)
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        if let Ok(pids) = std::env::var("PLIMSOLL_CHAIN_PIDS") {
            let mut file = File::options().append(true).create(true).open(pids).unwrap();
            writeln!(file, "{}", child.id()).unwrap();
        }
        let mut daemon = Self { child, log, token: token.to_owned() };
        wait_for("the daemon to be ready", PATIENCE, || {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                panic!("the daemon has ended with {status}: {}", daemon.log());
            }
            daemon.get("/readyz")?.contains(r#""ready":true"#).then_some(())
        });
        daemon
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The body of a good answer; none while there is none.
    pub(super) fn get(&self, path: &str) -> Option<String> {
        let (head, body) = self.ask(path, None)?;
        head.starts_with("HTTP/1.1 200").then_some(body)
    }

    /// Head and body of the answer to `token`, or to the right one; none while nobody answers.
    pub(super) fn ask(&self, path: &str, token: Option<&str>) -> Option<(String, String)> {
        let token = token.unwrap_or(&self.token);
        let log = self.log();
        let line = log.lines().find(|line| line.contains("HTTP interface is listening"))?;
        let port: String =
            line.split("127.0.0.1:").nth(1)?.chars().take_while(char::is_ascii_digit).collect();
        let address = format!("127.0.0.1:{port}");
        let mut stream = TcpStream::connect(&address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        let login = format!("authorization: Bearer {token}\r\nconnection: close");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\n{login}\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.to_owned(), body.to_owned()))
    }

    /// All that can be asked of it about `model`.
    pub(super) fn pages(model: &str) -> Vec<String> {
        let api = ["models", "findings", "decisions", "actions", "commands", "exchange", "status", "safety"];
        let mut pages: Vec<String> = ["/", "/metrics", "/healthz", "/readyz"].map(str::to_owned).to_vec();
        pages.extend(api.iter().map(|name| format!("/api/v1/{name}")));
        pages.push(format!("/gate/v1/argo-rollouts?model={model}&version=v2&policy=trusted"));
        pages
    }

    /// Its actions of this name, oldest first.
    pub(super) fn actions(&self, name: &str) -> Vec<Value> {
        let text = self.get("/api/v1/actions").unwrap_or_default();
        let Ok(page) = serde_json::from_str::<Value>(&text) else { return Vec::new() };
        let newest_first = page["actions"].as_array().unwrap().iter().rev();
        newest_first.filter(|action| action["action"] == name).cloned().collect()
    }

    /// Waits until its newest action of this name is in `state`.
    pub(super) fn await_action(&self, name: &str, state: &str, within: Duration) -> Value {
        let (mut newest, start) = (Value::Null, Instant::now());
        while start.elapsed() < within {
            newest = self.actions(name).pop().unwrap_or(Value::Null);
            if newest["state"] == state {
                return newest;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{name} is not {state} after {within:?} but {newest}; the daemon says: {}", self.log());
    }

    /// Whether a version has passed every check of its policy for as long as that asks.
    pub(super) fn has_qualified(&self, version: &str) -> bool {
        let text = self.get("/api/v1/safety").unwrap_or_default();
        let Ok(page) = serde_json::from_str::<Value>(&text) else { return false };
        let mut versions = page["versions"].as_array().unwrap().iter();
        let qualified = |known: &Value| known["qualified"].as_array().is_some_and(|by| !by.is_empty());
        versions.any(|known| known["version"] == version && qualified(known))
    }

    /// Asks it to stop, and waits for that.
    pub(super) fn terminate(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        let status = wait_for("the daemon to stop", PATIENCE, || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}: {}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
