//! Secrets that were drawn for this run, and a search for them everywhere that a daemon writes or answers.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Output;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rdkafka::message::{Headers, Message};

use super::daemon::Daemon;
use super::{airflow, env, topics};

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
        forms.extend(forms_of(&name, secret.trim()));
    }
    // What Airflow hands out for a password: a JSON Web Token, whose header always begins so.
    forms.push(("a token of Airflow".to_owned(), "eyJhbGciOiJ".to_owned()));
    forms
}

fn forms_of(name: &str, secret: &str) -> Vec<(String, String)> {
    // PRIVATE+KEY+name+id+key: only the last part, which may hold a `+` of its own, is secret.
    if let Some(rest) = secret.strip_prefix("PRIVATE+KEY+") {
        let key = rest.splitn(3, '+').nth(2).unwrap();
        // The first byte says which algorithm it is for.
        let seed = &STANDARD.decode(key).unwrap()[1..];
        return vec![
            (format!("{name} as it is written"), key.to_owned()),
            (format!("{name} as bytes"), letters(seed)),
            (format!("{name} in hexadecimal"), hex(seed)),
            (format!("{name} without its algorithm"), STANDARD.encode(seed)),
        ];
    }
    // As in `authorization: Basic`.
    let user = name.split_once('-').map_or("plimsoll", |(_, user)| user);
    let mut forms = vec![(format!("{name} as a login"), STANDARD.encode(format!("{user}:{secret}")))];
    if let Some(key) = secret.strip_prefix("whsec_") {
        let bytes = STANDARD.decode(key).unwrap();
        forms.push((format!("{name} as it is written"), key.to_owned()));
        forms.push((format!("{name} as bytes"), letters(&bytes)));
        forms.push((format!("{name} in hexadecimal"), hex(&bytes)));
    } else {
        let secret = secret.strip_prefix("plimsoll_").unwrap_or(secret);
        forms.push((name.to_owned(), secret.to_owned()));
    }
    forms
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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

    /// A name and a text that the search has to find under it, for each secret.
    pub(super) fn leaks() -> Vec<(String, String)> {
        let mut leaks = vec![("a token of Airflow".to_owned(), airflow::token())];
        for file in std::fs::read_dir(env("PLIMSOLL_CHAIN_SECRETS")).unwrap().flatten() {
            let name = file.file_name().into_string().unwrap();
            let secret = std::fs::read_to_string(file.path()).unwrap();
            // Name and id of a key that signs are public.
            let text = secret.trim().strip_prefix("PRIVATE+KEY+plimsoll.test/");
            let text = text.map_or(secret.trim(), |rest| rest.splitn(3, '+').nth(2).unwrap());
            leaks.push((name, text.to_owned()));
        }
        leaks
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
                match std::fs::read(&path) {
                    Ok(bytes) => self.look(&path.display().to_string(), &bytes),
                    // A journal of a database, which was there a moment ago.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => panic!("{}: {error}", path.display()),
                }
            }
        }
    }

    /// What the servers of the chain write: their logs, their databases, and what they were sent. Where they
    /// keep their own secrets is passed over.
    pub(super) fn servers(&mut self) {
        let chain = PathBuf::from(env("PLIMSOLL_CHAIN"));
        for entry in std::fs::read_dir(&chain).unwrap().flatten() {
            let path = entry.path();
            if path == Path::new(&env("PLIMSOLL_CHAIN_SECRETS")) {
                continue;
            } else if path == chain.join("airflow") {
                self.look("airflow.db", &std::fs::read(path.join("airflow.db")).unwrap());
                self.files(&path.join("logs"));
            } else if path.is_dir() {
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

    /// Everything that a daemon answers about `model`, and what the system shows everybody of it.
    pub(super) fn daemon(&mut self, daemon: &Daemon, model: &str) {
        for path in Daemon::pages(model) {
            let head = self.answer(daemon, &path, None);
            assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        }
        let arguments = std::fs::read(format!("/proc/{}/cmdline", daemon.id())).unwrap();
        assert!(!arguments.is_empty());
        self.look("the arguments of the process", &arguments);
    }

    /// What a daemon answers to `path`, asked with this token or its own; gives the head.
    pub(super) fn answer(&mut self, daemon: &Daemon, path: &str, token: Option<&str>) -> String {
        let (head, body) = daemon.ask(path, token).unwrap_or_else(|| panic!("no answer to {path}"));
        self.look(&format!("the answer to {path}"), format!("{head}\r\n\r\n{body}").as_bytes());
        head
    }

    /// What a command printed.
    pub(super) fn printed(&mut self, command: &str, output: &Output) {
        self.look(&format!("what {command} printed"), &[&*output.stdout, &*output.stderr].concat());
    }

    /// The end of a search.
    pub(super) fn found_nothing(&self, about: &str) {
        assert_eq!(self.found, Vec::<String>::new());
        println!(
            "chain|{about}: {} forms of secrets, none of them in {} places, {} kB",
            self.forms.len(),
            self.places,
            self.bytes / 1000
        );
    }
}

#[test]
fn only_what_is_secret_of_a_key_is_searched_for() {
    // The seed of RFC 8032's first test, and one whose base64 holds a `+`.
    let key = "AZ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
    let found = forms_of("audit-x", &format!("PRIVATE+KEY+plimsoll.test/x+0a1b2c3d+{key}"));
    assert_eq!(found[0].1, key);
    assert_eq!(found[2].1, "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let key = STANDARD.encode([&[1], &[0xfb; 32][..]].concat());
    assert!(key.contains('+'), "{key}");
    assert_eq!(forms_of("audit-x", &format!("PRIVATE+KEY+plimsoll.test/x+0a1b2c3d+{key}"))[0].1, key);
}
