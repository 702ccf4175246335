//! From the configuration as written to the one that is used. Every part is judged even where
//! another is wrong, but no consequence of a mistake is reported beside the mistake itself.

mod action;
mod audit;
mod budget;
mod check;
mod http;
mod kafka;
mod model;
mod policy;
mod safety;
mod sequential;
mod topic;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::error::Report;
use super::path::KeyPath;
use super::raw;
use super::secret::Secret;
use super::suggest::hint;
use super::tree::{Config, Ingest, Log, Role};

/// What validation needs besides the document.
pub(crate) struct Surroundings<'a> {
    /// Relative paths start here.
    pub(crate) folder: &'a Path,
    /// The environment, for secrets.
    pub(crate) env: &'a BTreeMap<String, String>,
}

/// The configuration, as far as `report` stays without errors.
pub(crate) fn validate(root: &raw::Root, around: &Surroundings<'_>, report: &mut Report) -> Option<Config> {
    let roles = roles(root, report);
    let kafka = kafka::kafka(&root.kafka, around, report);
    let topics = topic::topics(root, report);
    let false_alarm_budget = budget::fleet(root, report);
    let models = model::models(root, around, report);
    let policies = policy::policies(root, report);
    let actions = action::actions(root, around, report);
    let safety = safety::safety(&root.safety, report);
    let audit = audit::audit(root, around, report);
    let ingest = ingest(&root.ingest, report);
    let http = http::http(&root.http, around, report);
    let log = log(&root.log, report);
    topic::distinct(root, report);
    Some(Config {
        roles,
        kafka: kafka?,
        ingest: ingest?,
        false_alarm_budget: false_alarm_budget?,
        topics: topics?,
        models: models?,
        policies: policies?,
        actions: actions?,
        safety: safety?,
        audit: audit?,
        http: http?,
        log: log?,
        part: serde_json::Value::Null,
        warnings: Vec::new(),
    })
}

fn roles(root: &raw::Root, report: &mut Report) -> BTreeSet<Role> {
    let path = KeyPath::root("roles");
    let names: Vec<String> = root.roles.iter().map(|role| role.name().to_owned()).collect();
    report.unrepeated(&path, &names);
    root.roles.iter().copied().collect()
}

fn ingest(raw: &raw::Ingest, report: &mut Report) -> Option<Ingest> {
    let path = KeyPath::root("ingest");
    let max_future = report.duration(&path.key("max_future"), &raw.max_future);
    let max_age = report.positive(&path.key("max_age"), &raw.max_age);
    Some(Ingest {
        max_record_bytes: raw.max_record_bytes as usize,
        max_rows_per_record: raw.max_rows_per_record as usize,
        max_future: max_future?,
        max_age: max_age?,
    })
}

/// Levels, as the filter spells them.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

fn log(raw: &raw::Log, report: &mut Report) -> Option<Log> {
    let path = KeyPath::root("log").key("level");
    if let Err(wrong) = EnvFilter::try_new(&raw.level) {
        report.error(&path, format!("`{}`: {wrong}", raw.level));
        return None;
    }
    // The filter takes a lone word that is no level for the name of a module, of which it then lets
    // everything through and of all others nothing: a slip of the pen would silence the log.
    for word in raw.level.split(',').map(str::trim).filter(|directive| !directive.contains(['=', '['])) {
        if word.parse::<LevelFilter>().is_err() {
            let near = hint(word, LEVELS);
            report.error(&path, format!("`{word}` is no level{near} (one for a module is `{word}=debug`)"));
            return None;
        }
    }
    Some(Log { format: raw.format, level: raw.level.clone() })
}

impl Report {
    /// Reads a duration.
    fn duration(&mut self, path: &KeyPath, text: &raw::Duration) -> Option<Duration> {
        let text = &text.0;
        match humantime::parse_duration(text) {
            Ok(span) if span.as_millis() <= i64::MAX as u128 => Some(span),
            Ok(_) => {
                self.error(path, format!("`{text}` is too long"));
                None
            }
            Err(_) => {
                let wrong =
                    "is not a duration; write a number and a unit, such as 500ms, 30s, 5m, 1h30m or 7d";
                self.error(path, format!("`{text}` {wrong}"));
                None
            }
        }
    }

    /// Reads a duration above zero.
    fn positive(&mut self, path: &KeyPath, text: &raw::Duration) -> Option<Duration> {
        let span = self.duration(path, text)?;
        if span.is_zero() {
            self.error(path, "must be above zero");
            return None;
        }
        Some(span)
    }

    /// The same where times are counted on from now: at most ten years, so that what comes of it is a time.
    fn ahead(&mut self, path: &KeyPath, text: &raw::Duration) -> Option<Duration> {
        const MOST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
        let span = self.positive(path, text)?;
        if span > MOST {
            self.error(path, "must be at most ten years");
            return None;
        }
        Some(span)
    }

    /// Reads a value by its `FromStr`.
    fn parse<T: std::str::FromStr<Err = String>>(&mut self, path: &KeyPath, text: &str) -> Option<T> {
        text.parse().map_err(|wrong: String| self.error(path, wrong)).ok()
    }

    /// Reports each name that an earlier entry of the list already has.
    fn distinct<'a>(&mut self, list: &KeyPath, names: impl Iterator<Item = &'a str>) {
        let mut first: BTreeMap<&str, KeyPath> = BTreeMap::new();
        for (index, name) in names.enumerate() {
            let entry = list.at(index);
            if let Some(earlier) = first.get(name) {
                let earlier = self.original(earlier);
                self.error(&entry.key("name"), format!("`{name}` is already the name of {earlier}"));
            } else {
                first.insert(name, entry);
            }
        }
    }

    /// Reports each text that is listed twice.
    fn unrepeated(&mut self, list: &KeyPath, texts: &[String]) {
        let mut seen = BTreeSet::new();
        for (index, text) in texts.iter().enumerate() {
            if !seen.insert(text) {
                self.error(&list.at(index), format!("`{text}` is listed twice"));
            }
        }
    }

    /// The position of `name` among `names`, the entries of `list`; reports a name that is not there,
    /// unless an entry that may be meant was taken out. `what` names the kind of entry.
    fn find<'a>(
        &mut self,
        path: &KeyPath,
        what: &str,
        name: &str,
        list: &KeyPath,
        names: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<usize> {
        let found = names.clone().position(|other| other == name);
        if found.is_none() && !self.removed.may_hold(&self.original(list), name) {
            self.error(path, format!("there is no {what} `{name}`{}", hint(name, names)));
        }
        found
    }

    /// A name that goes into ids, labels and addresses.
    fn plain_name(&mut self, path: &KeyPath, name: &str) {
        if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter)) {
            self.error(path, format!("`{name}` may hold letters, digits, `-`, `_` and `.` only"));
        }
    }

    /// A name that findings join with others by `*`, `=` and `/`.
    fn column_name(&mut self, path: &KeyPath, name: &str) {
        if name.trim() != name || name.chars().any(|letter| "*=".contains(letter) || letter.is_control()) {
            self.error(
                path,
                format!("{name:?} may not hold `*`, `=`, control characters or outer white space"),
            );
        }
    }

    /// A topic name, as Kafka allows it.
    fn topic_name(&mut self, path: &KeyPath, name: &str) {
        let legal = name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
        if !legal || name.is_empty() || name.len() > 249 || name == "." || name == ".." {
            self.error(
                path,
                format!("`{name}` is not a Kafka topic name: at most 249 letters, digits, `.`, `_` and `-`"),
            );
        }
    }

    /// A file that has to exist, by its path from the folder of the configuration.
    fn file(&mut self, path: &KeyPath, file: &str, around: &Surroundings<'_>) -> Option<PathBuf> {
        let full = around.folder.join(file);
        if !full.is_file() {
            self.error(path, format!("there is no file `{}`", full.display()));
            return None;
        }
        Some(full)
    }

    /// Reads a secret. What it holds never enters a message.
    fn secret(
        &mut self,
        path: &KeyPath,
        secret: &raw::SecretRef,
        around: &Surroundings<'_>,
    ) -> Option<Secret> {
        let value = match (&secret.env, &secret.file) {
            (Some(name), _) => match around.env.get(name) {
                Some(value) => value.clone(),
                None => {
                    self.error(&path.key("env"), format!("the environment variable `{name}` is not set"));
                    return None;
                }
            },
            (_, Some(file)) => {
                let path = path.key("file");
                let file = around.folder.join(file);
                let text = std::fs::read(&file).map_err(|wrong| wrong.to_string());
                let text =
                    text.and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8".into()));
                match text {
                    Ok(text) => {
                        self.warn_if_open(&path, &file);
                        text.trim_end().to_owned()
                    }
                    Err(wrong) => {
                        self.error(&path, format!("cannot read the secret in `{}`: {wrong}", file.display()));
                        return None;
                    }
                }
            }
            (None, None) => return None,
        };
        if value.is_empty() {
            self.error(path, "the secret is empty");
            return None;
        }
        Some(Secret::new(&value))
    }

    #[cfg(unix)]
    fn warn_if_open(&mut self, path: &KeyPath, file: &Path) {
        use std::os::unix::fs::PermissionsExt;
        let open = std::fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o004 != 0);
        if open {
            self.warn(
                path,
                format!("every user of this machine can read `{}`; chmod 600 it", file.display()),
            );
        }
    }

    #[cfg(not(unix))]
    fn warn_if_open(&mut self, _: &KeyPath, _: &Path) {}
}
