//! Secrets that were drawn for this run, and a search for them everywhere that a daemon writes or answers.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rdkafka::message::{Headers, Message};

use super::daemon::Daemon;
use super::{env, topics};

/// One of the secrets that tests/chain/chain.sh has drawn.
pub(super) fn secret(name: &str) -> String {
    std::fs::read_to_string(secret_file(name)).unwrap()
}

/// The file that it is in.
pub(super) fn secret_file(name: &str) -> PathBuf {
    Path::new(&env("PLIMSOLL_CHAIN_SECRETS")).join(name)
}

/// What must not turn up: each secret, and the forms in which it travels.
fn forms() -> Vec<(String, String)> {
    let mut forms = Vec::new();
    for file in std::fs::read_dir(env("PLIMSOLL_CHAIN_SECRETS")).unwrap().flatten() {
        let name = file.file_name().into_string().unwrap();
        let secret = std::fs::read_to_string(file.path()).unwrap();
        // As in `authorization: Basic`.
        let user = name.split_once('-').map_or("plimsoll", |(_, user)| user);
        forms.push((format!("{name} as a login"), STANDARD.encode(format!("{user}:{secret}"))));
        if let Some(key) = secret.strip_prefix("whsec_") {
            forms.push((format!("{name} without its prefix"), key.to_owned()));
            forms.push((format!("{name} as bytes"), letters(&STANDARD.decode(key).unwrap())));
        }
        if let Some(token) = secret.strip_prefix("plimsoll_") {
            forms.push((format!("{name} without its prefix"), token.to_owned()));
        }
        // PRIVATE+KEY+name+id+key: only the last part is secret.
        let secret = secret.trim();
        let secret =
            secret.strip_prefix("PRIVATE+KEY+").map_or(secret, |rest| rest.rsplitn(2, '+').last().unwrap());
        forms.push((name, secret.to_owned()));
    }
    // What Airflow hands out for a password: a JSON Web Token, whose header always begins so.
    forms.push(("a token of Airflow".to_owned(), "eyJhbGciOiJ".to_owned()));
    forms
}

/// Each byte as a letter, so that a search for text serves for bytes that are none.
fn letters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// A search that knows what it has looked at.
#[derive(Debug)]
pub(super) struct Search {
    forms: Vec<(String, String)>,
    pub(super) found: Vec<String>,
    pub(super) places: usize,
    pub(super) bytes: usize,
}

impl Search {
    pub(super) fn new() -> Self {
        Self { forms: forms(), found: Vec::new(), places: 0, bytes: 0 }
    }

    pub(super) fn look(&mut self, place: &str, text: &[u8]) {
        self.places += 1;
        self.bytes += text.len();
        let text = letters(text);
        for (name, form) in &self.forms {
            if text.contains(form) {
                self.found.push(format!("{name} in {place}"));
            }
        }
    }

    /// Every file below `folder`.
    pub(super) fn files(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.files(&path);
            } else {
                self.look(&path.display().to_string(), &std::fs::read(&path).unwrap());
            }
        }
    }

    /// Every message of every topic whose name begins with `prefix`, aborted ones too.
    pub(super) fn topics(&mut self, prefix: &str) {
        for topic in topics::names().iter().filter(|name| name.starts_with(prefix)) {
            let mut all = Vec::new();
            topics::read(topic, "read_uncommitted", |message| {
                all.extend_from_slice(message.key().unwrap_or_default());
                all.push(b'\n');
                all.extend_from_slice(message.payload().unwrap_or_default());
                all.push(b'\n');
                for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
                    all.extend_from_slice(header.key.as_bytes());
                    all.push(b'=');
                    all.extend_from_slice(header.value.unwrap_or_default());
                    all.push(b'\n');
                }
            });
            self.look(&format!("topic {topic}"), &all);
        }
    }

    /// Everything that a daemon answers, and what the system shows everybody of it.
    pub(super) fn daemon(&mut self, daemon: &Daemon) {
        for path in daemon.pages() {
            let page = daemon.get(&path).unwrap_or_else(|| panic!("no answer to {path}"));
            self.look(&format!("the answer to {path}"), page.as_bytes());
        }
        let arguments = std::fs::read(format!("/proc/{}/cmdline", daemon.id())).unwrap();
        assert!(!arguments.is_empty());
        self.look("the arguments of the process", &arguments);
    }
}
