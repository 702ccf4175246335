//! One life of the daemon: the real binary in the role that acts, as a process of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// One that is asked to stop must have done so by then.
const STOPS_WITHIN: Duration = Duration::from_secs(60);

/// A running `plimsoll run`. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Mutex<Child>,
    log: PathBuf,
}

impl Daemon {
    /// Starts it; what it logs goes to a file of this life beside its configuration.
    pub(super) fn start(config: &Path, life: usize) -> Self {
        let log = config.with_file_name(format!("life-{life}.log"));
        let file = File::create(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["run", "--roles", "act", "--config"])
            .arg(config)
            .env("KILL_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .env("PLIMSOLL__KAFKA__INSTANCE", "a")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child: Mutex::new(child), log }
    }

    /// What it has logged.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How it has ended, if it has.
    pub(super) fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().unwrap()
    }

    /// Ends it as `kill -9` does, and waits until it is gone.
    pub(super) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        // One that has ended by itself is found out by its status.
        let _ended = child.kill();
        let _status = child.wait();
    }

    /// Asks it to stop, and does not wait.
    pub(super) fn ask_to_stop(&self) {
        let mut child = self.child.lock().unwrap();
        if child.try_wait().unwrap().is_none() {
            let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
            assert!(asked.success());
        }
    }

    /// Waits until it has ended.
    pub(super) fn wait(&self) -> Result<ExitStatus, String> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if start.elapsed() > STOPS_WITHIN {
                return Err(format!("it was asked to stop and runs still: {}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
