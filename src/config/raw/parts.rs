//! The small values that many keys share: durations, sources, bounds, secrets, scalars.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

macro_rules! text {
    ($(#[$doc:meta])* $type:ident, examples $examples:tt) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(extend("examples" = $examples))]
        pub struct $type(pub String);

        impl From<&str> for $type {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

text!(
    /// A span of time: numbers with the units ms, s, m, h, d, w.
    Duration, examples ["500ms", "30s", "5m", "1h30m", "7d"]
);
text!(
    /// Where a value is found: a JSON pointer (RFC 6901) into the record's value, in which a
    /// segment `*` stands for each element of a batch request; `header:NAME`; or `=text`, a constant.
    Source, examples ["/model/name", "header:x-model-version", "=v1"]
);
text!(
    /// A JSON pointer (RFC 6901) into the record's value, in which a segment `*` stands for each
    /// element of a batch request's array.
    Pointer, examples ["/features/income", "/instances/*/income"]
);
text!(
    /// Allowed values, limits included. In YAML it needs quotes.
    Bound, examples ["<= 0.2", ">= 0.8", "between 0.8 and 1.25"]
);

/// A secret, never written here itself: the environment variable or the file that holds it. White
/// space at the end of a file is not part of the secret.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct SecretRef {
    /// Name of the environment variable that holds the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1))]
    pub env: Option<String>,
    /// Path of the file that holds the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1))]
    pub file: Option<String>,
}

/// Text, a number, `true` or `false`; compared as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// Text.
    Text(String),
}

impl Scalar {
    /// The value as text: `true`, `1`, `0.5`.
    pub fn text(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(value) => value.clone(),
        }
    }
}

impl JsonSchema for Scalar {
    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Text, a number, `true` or `false`; compared as text.",
            "type": ["string", "number", "boolean"],
        })
    }
}

/// Value of a librdkafka property; one that is secret is written as a secret.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Property {
    /// As it is.
    Plain(Scalar),
    /// A secret.
    Secret(SecretRef),
}
