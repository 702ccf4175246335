//! The JSON Schema of the configuration, and what is wrong with a document's shape in words.
//!
//! serde stops at the first mistake; the `jsonschema` crate finds all of them. Its own messages
//! quote the document and speak of schemas, so they are replaced: by words a reader of the file
//! understands, and without values that could be secrets.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use super::error::Report;
use super::path::KeyPath;
use super::raw;
use super::suggest::hint;

/// The JSON Schema (draft 2020-12) of the configuration, for editors.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(raw::Root).to_value();
    tidy(&mut schema);
    schema
}

/// Drops defaults that only repeat the defaults of the keys below, or say "nothing".
fn tidy(node: &mut Value) {
    match node {
        Value::Object(keys) => {
            if keys.get("default").is_some_and(|default| {
                default.is_object() || default.is_null() || *default == Value::Array(vec![])
            }) {
                keys.remove("default");
            }
            keys.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Reports everything in `document` that does not have the shape that `schema` asks for.
pub(crate) fn check(document: &Value, schema: &Value, report: &mut Report) {
    let validator =
        jsonschema::validator_for(schema).expect("the schema of our own structs is a valid schema");
    let words = Words { document, schema };
    for error in validator.iter_errors(document) {
        words.tell(&error, report);
    }
}

struct Words<'a> {
    document: &'a Value,
    schema: &'a Value,
}

impl Words<'_> {
    fn tell(&self, error: &ValidationError<'_>, report: &mut Report) {
        let path = KeyPath::from_pointer(error.instance_path().as_str(), self.document);
        let value = error.instance();
        let message = match error.kind() {
            Kind::AdditionalProperties { unexpected } => {
                let keys = self.keys_beside(error);
                for key in unexpected {
                    let message = if key == "<<" {
                        "merge keys (`<<`) are not supported; an anchor can stand for a whole value"
                            .to_owned()
                    } else {
                        format!("unknown key `{key}`{}", hint(key, keys.iter().map(String::as_str)))
                    };
                    report.unknown_key(path.clone(), key, message);
                }
                return;
            }
            Kind::Required { property } => format!("missing key `{}`", property.as_str().unwrap_or_default()),
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                return self.alternatives(error, context, path, report);
            }
            Kind::Enum { options } => not_among(value, options.as_array().into_iter().flatten()),
            Kind::Type { kind } => self.mistyped(error, kind),
            Kind::Minimum { limit } => format!("must be at least {limit}"),
            Kind::Maximum { limit } => format!("must be at most {limit}"),
            Kind::MinLength { .. } => "must not be empty".to_owned(),
            Kind::MaxLength { limit } => format!("must have at most {limit} letters"),
            Kind::MinItems { limit } => format!("must have at least {limit} {}", entries(*limit)),
            Kind::MinProperties { .. } => "must be `{env: NAME}` or `{file: PATH}`".to_owned(),
            Kind::MaxProperties { .. } => "must have one of `env` and `file`, not both".to_owned(),
            _ => error.masked().to_string(),
        };
        report.shape_error(path, message);
    }

    /// The keys that are known where `error` found an unknown one.
    fn keys_beside(&self, error: &ValidationError<'_>) -> Vec<String> {
        let parent = error.schema_path().as_str().rsplit_once('/').map_or("", |(parent, _)| parent);
        let known = self.schema.pointer(parent).and_then(|node| node["properties"].as_object());
        known.into_iter().flat_map(|known| known.keys().cloned()).collect()
    }

    /// A value that could have been several things: speaks of the one that it resembles.
    fn alternatives(
        &self,
        error: &ValidationError<'_>,
        context: &[Vec<ValidationError<'static>>],
        path: KeyPath,
        report: &mut Report,
    ) {
        let here = error.instance_path();
        let constants: Vec<&Value> = context
            .iter()
            .flatten()
            .filter_map(|inner| match inner.kind() {
                Kind::Constant { expected_value } => Some(expected_value.as_ref()),
                _ => None,
            })
            .collect();
        if !constants.is_empty() {
            let message = match error.instance().as_ref() {
                Value::String(_) => not_among(error.instance(), constants),
                other => format!("must be text, not {}", kind_of(other)),
            };
            return report.shape_error(path, message);
        }
        let mistyped = |inner: &&ValidationError<'static>| {
            inner.instance_path() == here && matches!(inner.kind(), Kind::Type { .. })
        };
        if let Some(likely) = context.iter().find(|branch| !branch.iter().any(|inner| mistyped(&inner))) {
            for inner in likely {
                self.tell(inner, report);
            }
            return;
        }
        let expected: Vec<String> = context
            .iter()
            .flatten()
            .filter(mistyped)
            .filter_map(|inner| match inner.kind() {
                Kind::Type { kind } => Some(self.expected(inner, kind)),
                _ => None,
            })
            .filter(|words| words != "null")
            .collect();
        let secret = expected.iter().find(|words| words.as_str() == SECRET);
        let message = match secret {
            Some(_) if expected.len() == 1 => literal_secret(error.instance()),
            _ => format!("must be {}, not {}", expected.join(" or "), kind_of(error.instance())),
        };
        report.shape_error(path, message);
    }

    fn mistyped(&self, error: &ValidationError<'_>, kind: &TypeKind) -> String {
        let expected = self.expected(error, kind);
        if expected == SECRET {
            return literal_secret(error.instance());
        }
        let quotes = match error.instance().as_ref() {
            Value::Number(_) | Value::Bool(_) if expected.contains("text") => "; put it in quotes",
            _ => "",
        };
        format!("must be {expected}, not {}{quotes}", kind_of(error.instance()))
    }

    /// What should stand there; for the shared small types in the words of their subject.
    fn expected(&self, error: &ValidationError<'_>, kind: &TypeKind) -> String {
        let definition =
            error.schema_path().as_str().strip_prefix("/$defs/").and_then(|rest| rest.split('/').next());
        match definition {
            Some("Duration") => "a duration such as 500ms, 30s, 5m or 1h30m".into(),
            Some("Pointer") => "a JSON pointer such as `/features/income`".into(),
            Some("Source") => "a source such as `/model`, `header:NAME` or `=text`".into(),
            Some("Bound") => "a bound such as \"<= 0.2\" or \"between 0.8 and 1.25\"".into(),
            Some("SecretRef") if error.schema_path().as_str() == "/$defs/SecretRef/type" => SECRET.into(),
            _ => match kind {
                TypeKind::Single(one) => name_of(*one).into(),
                TypeKind::Multiple(several) => {
                    let several: Vec<_> =
                        several.iter().filter(|one| *one != JsonType::Null).map(name_of).collect();
                    several.join(" or ")
                }
            },
        }
    }
}

const SECRET: &str = "a secret";

fn literal_secret(value: &Value) -> String {
    let got = if value.is_string() { "a literal" } else { kind_of(value) };
    format!(
        "must be `{{env: NAME}}` or `{{file: PATH}}`, not {got}: what is written here ends up in version control, backups and screenshots"
    )
}

fn not_among<'a>(value: &Value, options: impl IntoIterator<Item = &'a Value>) -> String {
    let options: Vec<&str> = options.into_iter().filter_map(Value::as_str).collect();
    match value.as_str() {
        Some(text) => format!("`{text}` is not allowed{}", hint(text, options.iter().copied())),
        None => format!("must be one of {}, not {}", options.join(", "), kind_of(value)),
    }
}

fn entries(count: u64) -> &'static str {
    if count == 1 { "entry" } else { "entries" }
}

fn name_of(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "a list",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "a mapping",
        JsonType::String => "text",
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}
