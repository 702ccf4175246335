//! The daemons of one fleet, each a process of its own, and what can be done to them. Whatever
//! happens to the test, none outlives it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::receiver::SECRET;
use super::setting::Fleet;

/// One that is asked to stop must have done so by then.
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// So many that end though nobody asked them to will not get anywhere.
const FAULTS: usize = 20;

/// The binary with the secret that configurations name.
pub(super) fn plimsoll() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.env("WEBHOOK_SECRET", SECRET).stdin(Stdio::null());
    command
}

#[derive(Debug)]
struct Life {
    child: Child,
    log: PathBuf,
    /// Set while it is stopped by SIGSTOP.
    paused: bool,
    /// When it was asked to end.
    asked: Option<Instant>,
}

impl Life {
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "{name} could not be sent");
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // SIGKILL ends a stopped process too; one that has ended is only collected.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// All daemons of a fleet, by the name that each keeps over its lives.
#[derive(Debug)]
pub(super) struct Instances {
    fleet: Fleet,
    lives: BTreeMap<String, Life>,
    started: BTreeMap<String, usize>,
    /// Those that ended though nobody asked them to, or badly: what is known of it.
    pub(super) faults: Vec<String>,
    /// How long those took that were asked to end.
    pub(super) stops: Vec<Duration>,
}

impl Instances {
    pub(super) fn new(fleet: &Fleet) -> Self {
        Self {
            fleet: fleet.clone(),
            lives: BTreeMap::new(),
            started: BTreeMap::new(),
            faults: Vec::new(),
            stops: Vec::new(),
        }
    }

    /// Starts `name` with all roles. What it logs goes to a file of that life.
    pub(super) fn start(&mut self, name: &str) {
        assert!(!self.lives.contains_key(name), "{name} runs already");
        let life = self.started.entry(name.to_owned()).or_default();
        *life += 1;
        let log = self.fleet.folder().join(format!("{name}-{life}.log"));
        let file = File::create(&log).unwrap();
        let child = plimsoll()
            .args(["run", "--config"])
            .arg(&self.fleet.config)
            .env("PLIMSOLL__KAFKA__INSTANCE", name)
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        self.remember(child.id());
        self.lives.insert(name.to_owned(), Life { child, log, paused: false, asked: None });
    }

    /// For the script that runs the test: should the test itself be killed, it ends what is left.
    fn remember(&self, id: u32) {
        let Ok(file) = std::env::var("PLIMSOLL_CHAOS_PIDS") else { return };
        let mut file = File::options().append(true).create(true).open(file).unwrap();
        writeln!(file, "{id}").unwrap();
    }

    /// Those that run, and are neither paused nor about to end.
    pub(super) fn running(&self) -> Vec<String> {
        let runs = |life: &Life| !life.paused && life.asked.is_none();
        self.lives.iter().filter(|(_, life)| runs(life)).map(|(name, _)| name.clone()).collect()
    }

    /// Whether there is a process of that name, in whatever state.
    pub(super) fn exists(&self, name: &str) -> bool {
        self.lives.contains_key(name)
    }

    /// Whether any was asked to end and has not yet.
    pub(super) fn ending(&self) -> bool {
        self.lives.values().any(|life| life.asked.is_some())
    }

    /// The name of the one that is this process.
    pub(super) fn name_of(&self, process: u32) -> Option<&str> {
        self.lives.iter().find(|(_, life)| life.child.id() == process).map(|(name, _)| name.as_str())
    }

    /// Ends it as `kill -9` does.
    pub(super) fn kill(&mut self, name: &str) {
        drop(self.lives.remove(name).expect("it runs"));
    }

    /// SIGSTOP: it does nothing, and knows nothing of the time that passes.
    pub(super) fn pause(&mut self, name: &str) {
        let life = self.lives.get_mut(name).expect("it runs");
        life.signal("-STOP");
        life.paused = true;
    }

    /// SIGCONT.
    pub(super) fn resume(&mut self, name: &str) {
        let life = self.lives.get_mut(name).expect("it is paused");
        life.signal("-CONT");
        life.paused = false;
    }

    /// Asks it to end; `look` sees when it has.
    pub(super) fn ask_to_end(&mut self, name: &str) {
        let life = self.lives.get_mut(name).expect("it runs");
        life.signal("-TERM");
        life.asked = Some(Instant::now());
    }

    /// Takes note of those that have ended, and returns the names of those that should not have.
    pub(super) fn look(&mut self) -> Vec<String> {
        let mut ended = Vec::new();
        for (name, life) in &mut self.lives {
            if let Some(status) = life.child.try_wait().unwrap() {
                ended.push((name.clone(), Some(status)));
            } else if life.asked.is_some_and(|asked| asked.elapsed() > STOPS_WITHIN) {
                ended.push((name.clone(), None));
            }
        }
        let mut unasked = Vec::new();
        for (name, status) in ended {
            let life = self.lives.remove(&name).expect("it was there");
            let bad = |status: &ExitStatus| !status.success();
            match (life.asked, status) {
                (Some(_), None) => self.fault(&life, &name, "did not end within 30 s when asked to"),
                (Some(_), Some(status)) if bad(&status) => {
                    self.fault(&life, &name, &format!("ended with {status} when asked to"));
                }
                (Some(asked), Some(_)) => self.stops.push(asked.elapsed()),
                (None, status) => {
                    let status = status.map(|status| status.to_string()).unwrap_or_default();
                    self.fault(&life, &name, &format!("ended by itself with {status}"));
                    unasked.push(name);
                }
            }
        }
        unasked
    }

    fn fault(&mut self, life: &Life, name: &str, what: &str) {
        let log = std::fs::read_to_string(&life.log).unwrap_or_default();
        let from = log.lines().count().saturating_sub(3);
        let tail: Vec<&str> = log.lines().skip(from).collect();
        let fault = format!("{name} {what}; {} ends with\n{}", life.log.display(), tail.join("\n"));
        eprintln!("chaos: {fault}");
        self.faults.push(fault);
        assert!(self.faults.len() < FAULTS, "instances end again and again");
    }

    /// What each says of its readiness, to be told where nothing goes on.
    pub(super) fn tell(&self) {
        for (name, life) in &self.lives {
            let state = if life.paused { "is paused".to_owned() } else { readiness(&life.log) };
            eprintln!("chaos: {name} ({}) {state}", life.log.display());
        }
    }

    /// Asks all to end and waits until they have.
    pub(super) fn end_all(&mut self) {
        let names: Vec<String> = self.lives.keys().cloned().collect();
        for name in &names {
            if self.lives[name].paused {
                self.resume(name);
            }
            if self.lives[name].asked.is_none() {
                self.ask_to_end(name);
            }
        }
        while !self.lives.is_empty() {
            std::thread::sleep(Duration::from_millis(50));
            self.look();
        }
    }

    /// How many lives there were.
    pub(super) fn lives_begun(&self) -> usize {
        self.started.values().sum()
    }
}

/// The answer of `/readyz` at the address that a log names.
fn readiness(log: &Path) -> String {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let line = log.lines().find(|line| line.contains("HTTP interface is listening"));
    let Some(port) = line.and_then(|line| line.split("127.0.0.1:").nth(1)) else {
        return "does not listen yet".to_owned();
    };
    let digits: String = port.chars().take_while(char::is_ascii_digit).collect();
    let ask = || {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{digits}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    match ask() {
        Ok(answer) => answer.split("\r\n\r\n").nth(1).unwrap_or(&answer).trim().replace('\n', " "),
        Err(error) => format!("gives no answer: {error}"),
    }
}
