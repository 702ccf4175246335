//! The house has floors: a module imports only from floors below its own, or from its own folder,
//! and the lower floors touch no clock, no network, no files and no unseeded randomness. The
//! compiler cannot hold this inside one crate, so this reads the sources.

use std::path::{Path, PathBuf};

/// Modules, lowest first. `sketch` counts records, so it stands on `record`; `check`, `policy` and
/// `safety` share a floor and meet only in findings and decisions.
const FLOORS: &[&[&str]] = &[
    &["domain", "stats"],
    &["record"],
    &["sketch"],
    &["window", "profile"],
    &["check", "policy", "safety"],
    &["engine"],
    &["ingest", "exchange", "action", "audit", "telemetry", "query", "api"],
    &["config"],
    &["app"],
    &["cli"],
];

/// Modules that stay pure.
const PURE: usize = 6;

/// What pure modules never name.
const IMPURE: &[&str] = &[
    "tokio",
    "rdkafka",
    "datafusion",
    "axum",
    "reqwest",
    "opentelemetry",
    "prometheus_client",
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "std::process",
    "SystemTime",
    "Instant",
    "rand::rng",
    "thread_rng",
    "println!",
    "tracing",
];

/// Adapters may use telemetry, which counts for them; nothing else of each other.
const SHARED_ADAPTER: &str = "telemetry";

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a source folder can be read") {
        let path = entry.expect("a folder entry can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Code lines, without comments and without what follows `#[cfg(test)]`.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line));
    lines
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// What is wrong with the file of `module`, one line each.
fn faults(file: &str, module: &str, text: &str) -> Vec<String> {
    let Some(own) = floor(module) else {
        return vec![format!("{file}: `{module}` has no floor")];
    };
    let mut faults = Vec::new();
    for (number, line) in code(text) {
        for (at, _) in line.match_indices("crate::") {
            // Not the end of a longer path, such as `other_crate::`.
            if line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
                continue;
            }
            let rest = &line[at + "crate::".len()..];
            let used: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let Some(other) = floor(&used) else {
                faults.push(format!("{file}:{number}: `crate::{used}` names no module with a floor"));
                continue;
            };
            let telemetry = used == SHARED_ADAPTER && other == own;
            if used != module && other >= own && !telemetry {
                faults.push(format!("{file}:{number}: `{module}` must not import `{used}`"));
            }
        }
        if own < PURE {
            for word in IMPURE.iter().filter(|word| names(line, word)) {
                faults.push(format!("{file}:{number}: `{module}` is pure and must not name `{word}`"));
            }
        }
    }
    faults
}

/// Whether `line` names `word` as a whole.
fn names(line: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !inside(line[..at].chars().next_back()) && !inside(line[at + word.len()..].chars().next())
    })
}

#[test]
fn modules_import_only_from_floors_below() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    for path in &files {
        let inner = path.strip_prefix(&root).expect("sources lie below src");
        let module = inner.components().next().expect("a file has a name").as_os_str().to_string_lossy();
        if inner.components().count() < 2 {
            continue;
        }
        let text = std::fs::read_to_string(path).expect("a source file can be read");
        wrong.extend(faults(&inner.display().to_string(), &module, &text));
        if !text.starts_with("//!") {
            wrong.push(format!("{}: does not open with //! and why it exists", inner.display()));
        }
    }
    assert!(files.len() > 50, "only {} sources were found", files.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_floor_test_sees_what_it_is_there_for() {
    let upward = faults("check/x.rs", "check", "use crate::engine::view::View;");
    assert_eq!(upward, ["check/x.rs:1: `check` must not import `engine`"]);
    let sideways = faults("policy/x.rs", "policy", "fn f(x: crate::check::CheckSpec) {}");
    assert_eq!(sideways.len(), 1);
    assert_eq!(faults("audit/x.rs", "audit", "use crate::telemetry::Telemetry;"), Vec::<String>::new());
    assert_eq!(faults("audit/x.rs", "audit", "use crate::action::Target;").len(), 1);
    let clock = faults("engine/x.rs", "engine", "let now = std::time::Instant::now(); // Instant");
    assert_eq!(clock, ["engine/x.rs:1: `engine` is pure and must not name `Instant`"]);
    assert_eq!(faults("domain/x.rs", "domain", "// tokio\nlet instantly = 1;"), Vec::<String>::new());
}
