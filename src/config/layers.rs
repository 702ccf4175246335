//! The YAML file and the `PLIMSOLL__…` environment, laid over each other by the `config` crate
//! into one JSON value.
//!
//! Environment variables are matched against the schema, not taken as they come: the `config`
//! crate's own environment source lower-cases names, splits them at dots and guesses types, which
//! would spoil librdkafka's property names and turn `brokers: "9092"` into a number. Here an
//! unknown variable is an error, and a value is read as the type that its key has.

use std::collections::BTreeMap;

use ::config::{ConfigError, File, FileFormat, Map, Source, Value as Layered, ValueKind};
use serde_json::{Number, Value};

use super::error::{Errors, Problem};
use super::path::KeyPath;
use super::suggest::nearest;

/// What environment overrides begin with.
const PREFIX: &str = "PLIMSOLL__";

/// The merged document.
#[derive(Debug)]
pub(crate) struct Layers {
    /// All layers as one value.
    pub(crate) merged: Value,
    /// Which variable set what.
    pub(crate) variables: BTreeMap<KeyPath, String>,
    /// Variables that set nothing, and why.
    pub(crate) problems: Vec<Problem>,
}

/// Merges `text`, called `name` in errors, with the overrides in `env`.
pub(crate) fn merge(
    text: &str,
    name: &str,
    env: &BTreeMap<String, String>,
    schema: &Value,
) -> Result<Layers, Errors> {
    let (mut settings, mut problems) = (Vec::new(), Vec::new());
    for (variable, value) in env.iter().filter(|(variable, _)| variable.starts_with(PREFIX)) {
        match resolve(variable, value, schema) {
            Ok(setting) => settings.push(setting),
            Err(wrong) => problems.push(Problem::new(variable, wrong)),
        }
    }
    let variables = settings.iter().map(|setting| (setting.path(), setting.variable.clone())).collect();
    let file = File::from_str(text, FileFormat::Yaml);
    let config = ::config::Config::builder().add_source(file).add_source(Overrides(settings)).build();
    let config = config.map_err(|wrong| syntax_error(wrong, name))?;
    let mut merged = json(config.cache);
    if let Value::Object(sections) = &mut merged {
        // `policies:` with everything below it commented out is the same as no policies.
        sections.retain(|_, section| !section.is_null());
    }
    Ok(Layers { merged, variables, problems })
}

/// ``WHAT at byte B line L column C`` becomes ``FILE:L:C: not valid YAML: WHAT``.
fn syntax_error(wrong: ConfigError, name: &str) -> Errors {
    let text = match wrong {
        ConfigError::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    let place = text.rsplit_once(" at byte ").and_then(|(what, place)| {
        let (_, place) = place.split_once(" line ")?;
        let (line, column) = place.split_once(" column ")?;
        Some((what, format!("{name}:{line}:{column}")))
    });
    let (what, place) = place.unwrap_or((&text, name.to_owned()));
    if text.contains("expected a map") {
        return Errors::one(place, "must be a mapping of `kafka`, `topics`, `models` and the like");
    }
    let what = match what.split_once("): duplicated key in mapping") {
        Some((key, _)) => {
            format!("the key {} appears twice", key.split_once('(').map_or(key, |(_, key)| key))
        }
        None => what.to_owned(),
    };
    let hint = if what.contains("block scalar") {
        " (a value that begins with `>`, such as a bound, needs quotes)"
    } else {
        ""
    };
    Errors::one(place, format!("not valid YAML: {what}{hint}"))
}

/// Whole numbers stay whole, also when written `1e6` or `1.0`; names keep their case.
fn json(value: Layered) -> Value {
    match value.kind {
        ValueKind::Nil => Value::Null,
        ValueKind::Boolean(value) => value.into(),
        ValueKind::I64(value) => value.into(),
        ValueKind::U64(value) => value.into(),
        ValueKind::I128(value) => value.to_string().into(),
        ValueKind::U128(value) => value.to_string().into(),
        ValueKind::Float(value) => number(value),
        ValueKind::String(value) => value.into(),
        ValueKind::Table(table) => table.into_iter().map(|(key, value)| (key, json(value))).collect(),
        ValueKind::Array(items) => items.into_iter().map(json).collect(),
    }
}

fn number(value: f64) -> Value {
    const EXACT: f64 = (1_u64 << 53) as f64;
    if value.fract() == 0.0 && value.abs() < EXACT {
        return (value as i64).into();
    }
    Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
}

/// One override.
#[derive(Clone, Debug)]
struct Setting {
    variable: String,
    keys: Vec<String>,
    value: ValueKind,
    /// The value is a mapping that replaces what the file says instead of adding to it.
    replaces: Option<usize>,
}

impl Setting {
    fn path(&self) -> KeyPath {
        self.keys.iter().fold(KeyPath::default(), |path, key| path.key(key))
    }
}

/// The environment as a layer.
#[derive(Clone, Debug)]
struct Overrides(Vec<Setting>);

impl Source for Overrides {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Layered>, ConfigError> {
        let mut root = Layered::new(None, ValueKind::Table(Map::new()));
        self.collect_to(&mut root)?;
        root.into_table()
    }

    /// Sets keys as they are: the default would take a dot in a property's name for a step down.
    fn collect_to(&self, root: &mut Layered) -> Result<(), ConfigError> {
        for setting in &self.0 {
            let mut here = &mut *root;
            for (depth, key) in setting.keys.iter().enumerate() {
                let fresh = setting.replaces == Some(depth) || matches!(here.kind, ValueKind::Nil);
                if fresh {
                    here.kind = ValueKind::Table(Map::new());
                }
                // Where the file has no mapping, the shape is wrong and is reported as such.
                let ValueKind::Table(table) = &mut here.kind else { break };
                here = table.entry(key.clone()).or_insert_with(|| Layered::new(None, ValueKind::Nil));
                if depth + 1 == setting.keys.len() {
                    here.kind = setting.value.clone();
                }
            }
        }
        Ok(())
    }
}

/// What a schema node really says: `$ref` followed, `null` left out of alternatives.
pub(crate) fn deref<'a>(node: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    if let Some(name) = node["$ref"].as_str() {
        return schema.pointer(name.trim_start_matches('#')).map_or(vec![], |node| deref(node, schema));
    }
    match node["anyOf"].as_array() {
        Some(branches) => branches.iter().flat_map(|branch| deref(branch, schema)).collect(),
        None => vec![node],
    }
}

/// Whether a schema node allows values of the JSON type `name`.
fn allows(node: &Value, name: &str) -> bool {
    match &node["type"] {
        Value::String(only) => only == name,
        Value::Array(several) => several.iter().any(|one| one == name),
        _ => false,
    }
}

fn resolve(variable: &str, value: &str, schema: &Value) -> Result<Setting, String> {
    let mut nodes = vec![schema];
    let (mut keys, mut replaces) = (Vec::new(), None);
    let mut so_far = PREFIX.trim_end_matches('_').to_owned();
    for segment in variable[PREFIX.len()..].split("__") {
        if nodes.iter().any(|node| allows(node, "array")) {
            return Err(format!("`{}` is a list, and lists are set in the file only", keys.join(".")));
        }
        let key = segment.to_lowercase();
        let Some(node) = nodes
            .iter()
            .find(|node| node["properties"].is_object() || node["additionalProperties"].is_object())
        else {
            return Err(format!("`{}` has no keys below it", keys.join(".")));
        };
        if let Some(child) = node["properties"].get(&key) {
            if node["maxProperties"] == 1 {
                replaces = Some(keys.len());
            }
            keys.push(key);
            nodes = deref(child, schema);
        } else if node["additionalProperties"].is_object() {
            // Names of librdkafka: dotted as they are, or spelled as a shell allows.
            keys.push(if segment.contains('.') { segment.to_owned() } else { key.replace('_', ".") });
            nodes = deref(&node["additionalProperties"], schema);
        } else {
            let names = node["properties"].as_object().into_iter().flat_map(|names| names.keys());
            let near = nearest(&key, names.map(String::as_str));
            let near = near.map(|near| format!("; did you mean `{so_far}__{}`?", near.to_uppercase()));
            return Err(format!("sets nothing{}", near.unwrap_or_default()));
        }
        so_far = format!("{so_far}__{segment}");
    }
    if nodes.iter().any(|node| allows(node, "array")) {
        return Err(format!("`{}` is a list, and lists are set in the file only", keys.join(".")));
    }
    let secret = nodes.iter().any(|node| node["maxProperties"] == 1);
    let scalar = ["string", "integer", "number", "boolean"];
    let scalar = nodes.iter().any(|node| {
        node["enum"].is_array() || node["oneOf"].is_array() || scalar.iter().any(|name| allows(node, name))
    });
    let value = if secret && !scalar {
        // The variable holds the secret itself, which is what the environment is there for.
        replaces = Some(keys.len());
        keys.push("env".into());
        ValueKind::String(variable.to_owned())
    } else if scalar {
        typed(value, &nodes)
    } else {
        return Err(format!("`{}` is a section; name one of its keys", keys.join(".")));
    };
    Ok(Setting { variable: variable.to_owned(), keys, value, replaces })
}

/// `text` as the type that `nodes` allow; text where it is none of them, which the shape check reports.
fn typed(text: &str, nodes: &[&Value]) -> ValueKind {
    let allowed = |name| nodes.iter().any(|node| allows(node, name));
    if text == "null" && (allowed("null") || !allowed("string")) {
        return ValueKind::Nil;
    }
    if allowed("boolean")
        && let Ok(value) = text.parse::<bool>()
    {
        return ValueKind::Boolean(value);
    }
    if (allowed("integer") || allowed("number"))
        && let Ok(value) = text.parse::<i64>()
    {
        return ValueKind::I64(value);
    }
    if (allowed("integer") || allowed("number"))
        && let Ok(value) = text.parse::<f64>()
    {
        return ValueKind::Float(value);
    }
    ValueKind::String(text.to_owned())
}
