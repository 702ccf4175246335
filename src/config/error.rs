//! What is wrong with a configuration: everything, not only the first thing, one line each.

use std::fmt;

use super::path::{KeyPath, Step};
use super::prune::Removed;

/// One thing that is wrong, or one that deserves a second look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key it is about (`models[0].checks[1].window`), a place in the file
    /// (`plimsoll.yaml:3:7`), or the name of an environment variable; empty for the file as a whole.
    pub path: String,
    /// What is wrong and how to put it right. Never contains a secret.
    pub message: String,
}

impl Problem {
    /// A problem at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Everything that is wrong with a configuration, ordered by place; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors(pub Vec<Problem>);

impl Errors {
    pub(crate) fn one(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![Problem::new(path, message)])
    }
}

impl fmt::Display for Errors {
    /// One line for each problem, without a line end after the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// Errors and warnings as they are found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    errors: Vec<(KeyPath, String)>,
    warnings: Vec<(KeyPath, String)>,
    /// Values whose shape is wrong, and unknown keys, as in the file.
    pub(crate) faults: Vec<KeyPath>,
    /// What was taken out before validation; list entries among it shifted the ones behind them.
    pub(crate) removed: Removed,
}

impl Report {
    pub(crate) fn error(&mut self, path: &KeyPath, message: impl Into<String>) {
        self.errors.push((self.original(path), message.into()));
    }

    pub(crate) fn warn(&mut self, path: &KeyPath, message: impl Into<String>) {
        self.warnings.push((self.original(path), message.into()));
    }

    /// A value whose shape is wrong; its path already is as in the file.
    pub(crate) fn shape_error(&mut self, path: KeyPath, message: impl Into<String>) {
        self.faults.push(path.clone());
        self.errors.push((path, message.into()));
    }

    /// A key of the mapping at `path` (as in the file) that is not known there.
    pub(crate) fn unknown_key(&mut self, path: KeyPath, key: &str, message: impl Into<String>) {
        self.faults.push(path.key(key));
        self.errors.push((path, message.into()));
    }

    /// Whether the value at `path` was taken out, as a whole or in part, so that its absence says nothing.
    pub(crate) fn lost(&self, path: &KeyPath) -> bool {
        self.removed.lost(&self.original(path))
    }

    /// `path` with positions as in the file.
    pub(crate) fn original(&self, path: &KeyPath) -> KeyPath {
        let mut original = KeyPath::default();
        for step in &path.0 {
            match step {
                Step::Key(key) => original = original.key(key),
                Step::Index(index) => original = original.at(self.removed.original(&original, *index)),
            }
        }
        original
    }

    /// Errors and warnings, ordered by place; `origin` names the environment variable that set a path.
    pub(crate) fn finish(
        mut self,
        origin: impl Fn(&KeyPath) -> Option<String>,
    ) -> (Vec<Problem>, Vec<Problem>) {
        let tell = |list: &mut Vec<(KeyPath, String)>| {
            list.sort();
            list.dedup();
            let tell = |(path, message): &(KeyPath, String)| match origin(path) {
                Some(variable) => Problem::new(path.to_string(), format!("{message} (set by {variable})")),
                None => Problem::new(path.to_string(), message.clone()),
            };
            list.iter().map(tell).collect()
        };
        (tell(&mut self.errors), tell(&mut self.warnings))
    }
}
