//! Configuration: a YAML file and `PLIMSOLL__…` environment variables become one validated tree.
//!
//! Four steps, none of which stops at the first mistake: the layers are merged (`layers`), the
//! shape is held against the JSON Schema of the raw structs (`shape`), parts with a wrong shape are
//! taken out so that the rest can be judged without reporting consequences (`prune`), and what is
//! left is checked for sense (`validate`). A person gets every error of a file at once, each with
//! the path of its key. Secrets are read here and printed nowhere.
//!
//! The tree is plain data. The app maps it to what the engine and the adapters take, so that none
//! of them knows how a configuration file looks.

mod change;
mod error;
mod layers;
mod path;
mod prune;
pub mod raw;
mod secret;
mod shape;
mod suggest;
mod tree;
mod validate;

use std::collections::BTreeMap;
use std::path::Path;

pub use crate::ingest::place::{FieldSource as Source, Pointer, Segment};
pub use change::{needs_restart, of_part};
pub use error::{Errors, Problem};
pub use secret::Secret;
pub use shape::schema;
pub use tree::*;

use error::Report;
use validate::Surroundings;

/// The environment of this process, without variables that are not UTF-8, which `std::env::vars`
/// panics at.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Reads the configuration in `path`, with `env` (usually [`environment`]) over it.
///
/// Relative paths in it start at the file's folder. Variables that do not begin with `PLIMSOLL__`
/// are looked at only where a secret names them.
///
/// # Errors
/// Everything that is wrong, ordered by place.
pub fn load(path: &Path, env: impl IntoIterator<Item = (String, String)>) -> Result<Config, Errors> {
    let name = path.display().to_string();
    let bytes =
        std::fs::read(path).map_err(|wrong| Errors::one(&name, format!("cannot be read: {wrong}")))?;
    let text = String::from_utf8(bytes).map_err(|_| Errors::one(&name, "is not UTF-8"))?;
    parse(&text, path, env)
}

/// The same for a text that is already in memory; `path` names it in errors, and relative paths
/// start at its folder.
///
/// # Errors
/// Everything that is wrong, ordered by place.
pub fn parse(
    text: &str,
    path: &Path,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, Errors> {
    let env: BTreeMap<String, String> = env.into_iter().collect();
    let schema = schema();
    let layers = layers::merge(text, &path.display().to_string(), &env, &schema)?;

    let mut report = Report::default();
    shape::check(&layers.merged, &schema, &mut report);
    let mut document = layers.merged;
    report.removed = prune::prune(&mut document, &schema, &report.faults);
    if let Some(sections) = document.as_object_mut() {
        for list in ["topics", "models"] {
            // Missing or taken out, which is reported; the rest is judged without.
            sections.entry(list).or_insert_with(|| serde_json::Value::Array(Vec::new()));
        }
    }
    let config = match serde_json::from_value::<raw::Root>(document) {
        Ok(root) => {
            let folder = path.parent().unwrap_or(Path::new(""));
            let around = Surroundings { folder, env: &env };
            let config = validate::validate(&root, &around, &mut report);
            config.map(|config| Config { part: change::part(&root), ..config })
        }
        Err(wrong) => {
            report.shape_error(Default::default(), wrong.to_string());
            None
        }
    };

    let variables = layers.variables;
    let (errors, warnings) = report.finish(|path| {
        let set = variables.iter().find(|(set, _)| set.starts_with(path) && !path.0.is_empty());
        let set = set.or_else(|| variables.iter().find(|(set, _)| path.starts_with(set)));
        set.map(|(_, variable)| variable.clone())
    });
    let errors: Vec<Problem> = layers.problems.into_iter().chain(errors).collect();
    match config {
        Some(config) if errors.is_empty() => Ok(Config { warnings, ..config }),
        _ => {
            debug_assert!(!errors.is_empty(), "whatever keeps a part from being built is reported");
            Err(Errors(errors))
        }
    }
}

impl Config {
    /// The Kafka cluster, which `run` needs and `replay` and `profile` do not.
    ///
    /// # Errors
    /// One that names the missing key.
    pub fn require_kafka(&self) -> Result<&Kafka, Errors> {
        let missing = || Errors::one("kafka.brokers", "missing; this command reads from Kafka");
        self.kafka.as_ref().ok_or_else(missing)
    }

    /// The model called `name`, which a command was given.
    ///
    /// # Errors
    /// One that suggests the nearest name.
    pub fn require_model(&self, name: &str) -> Result<&Model, Errors> {
        let names = self.models.iter().map(|model| model.name.as_str());
        let unknown =
            || Errors::one("models", format!("there is no model `{name}`{}", suggest::hint(name, names)));
        self.models.iter().find(|model| model.name == name).ok_or_else(unknown)
    }
}
