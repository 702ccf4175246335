//! Configured texts with places for what a call asks for: `credit-{model}`. What a template names is
//! known when it is read, so a misspelt name, or one that such an action never has, is a mistake of
//! the configuration and not of the night in which a model has to be rolled back.

use std::fmt;

use serde_json::{Map, Value};

use crate::safety::{ActionKind, Reply};

use super::Request;

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A name that nothing has.
    #[error(
        "`{{{name}}}` is not one of {{model}}, {{version}}, {{to_version}}, {{tenant}}, {{policy}}, {{action_id}}, {{decision}}"
    )]
    Unknown {
        /// The name.
        name: String,
    },
    /// A brace without its counterpart.
    #[error("`{text}` has a brace without its counterpart; write `{{{{` and `}}}}` for braces themselves")]
    Brace {
        /// The text.
        text: String,
    },
    /// A name that such an action never has.
    #[error("a {kind} has no `{{to_version}}`")]
    NoVersion {
        /// What the action is for.
        kind: ActionKind,
    },
}

/// What may stand in braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Model,
    Version,
    ToVersion,
    Tenant,
    Policy,
    ActionId,
    Decision,
}

impl Place {
    const ALL: [Self; 7] = [
        Self::Model,
        Self::Version,
        Self::ToVersion,
        Self::Tenant,
        Self::Policy,
        Self::ActionId,
        Self::Decision,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Version => "version",
            Self::ToVersion => "to_version",
            Self::Tenant => "tenant",
            Self::Policy => "policy",
            Self::ActionId => "action_id",
            Self::Decision => "decision",
        }
    }

    fn of<'a>(self, request: &Request<'a>) -> Option<&'a str> {
        match self {
            Self::Model => Some(request.model),
            Self::Version => Some(request.version),
            Self::ToVersion => request.to_version,
            Self::Tenant => request.tenant,
            Self::Policy => Some(request.policy),
            Self::ActionId => Some(request.action_id),
            Self::Decision => Some(request.decision),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

/// A text with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

impl Template {
    /// Reads `text` for actions of `kind`. `{{` and `}}` stand for braces.
    pub fn new(text: &str, kind: ActionKind) -> Result<Self, TemplateError> {
        let unpaired = || TemplateError::Brace { text: text.to_owned() };
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' | '}' if chars.next_if_eq(&c).is_some() => literal.push(c),
                '{' => {
                    let mut name = String::new();
                    loop {
                        match chars.next().ok_or_else(unpaired)? {
                            '}' => break,
                            '{' => return Err(unpaired()),
                            c => name.push(c),
                        }
                    }
                    let place = Place::ALL.into_iter().find(|place| place.name() == name);
                    let place = place.ok_or(TemplateError::Unknown { name })?;
                    if place == Place::ToVersion && kind != ActionKind::Rollback {
                        return Err(TemplateError::NoVersion { kind });
                    }
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Place(place));
                }
                '}' => return Err(unpaired()),
                _ => literal.push(c),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    /// The text for `request`; refused where it lacks something that is named.
    pub fn render(&self, request: &Request<'_>) -> Result<String, Reply> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Place(place) => text.push_str(place.of(request).ok_or_else(|| Reply::Rejected {
                    why: format!("the request has no {}, which the configuration names", place.name()),
                })?),
            }
        }
        Ok(text)
    }
}

/// JSON whose texts are templates; names of members, numbers and the rest are as they are.
#[derive(Clone, PartialEq)]
pub struct Conf(Node);

#[derive(Clone, PartialEq)]
enum Node {
    Template(Template),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
    Plain(Value),
}

impl fmt::Debug for Conf {
    /// Without what is in it: people put passwords into anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conf").finish_non_exhaustive()
    }
}

impl Conf {
    /// Reads `value` for actions of `kind`.
    pub fn new(value: &Value, kind: ActionKind) -> Result<Self, TemplateError> {
        Node::new(value, kind).map(Self)
    }

    /// The value for `request`; refused where it lacks something that is named.
    pub fn render(&self, request: &Request<'_>) -> Result<Value, Reply> {
        self.0.render(request)
    }
}

impl Node {
    fn new(value: &Value, kind: ActionKind) -> Result<Self, TemplateError> {
        Ok(match value {
            Value::String(text) => Self::Template(Template::new(text, kind)?),
            Value::Array(values) => {
                Self::List(values.iter().map(|value| Self::new(value, kind)).collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let member = |(name, value): (&String, &Value)| Ok((name.clone(), Self::new(value, kind)?));
                Self::Object(members.iter().map(member).collect::<Result<_, _>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Plain(value.clone()),
        })
    }

    fn render(&self, request: &Request<'_>) -> Result<Value, Reply> {
        Ok(match self {
            Self::Template(template) => Value::String(template.render(request)?),
            Self::List(nodes) => {
                Value::Array(nodes.iter().map(|node| node.render(request)).collect::<Result<_, _>>()?)
            }
            Self::Object(members) => {
                let mut object = Map::new();
                for (name, node) in members {
                    object.insert(name.clone(), node.render(request)?);
                }
                Value::Object(object)
            }
            Self::Plain(value) => value.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::call;
    use super::*;

    fn render(text: &str, kind: ActionKind) -> Result<String, Reply> {
        let call = call(kind, json!({}));
        Template::new(text, kind).unwrap().render(&Request::of(&call).unwrap())
    }

    #[test]
    fn places_are_filled_and_doubled_braces_stay() {
        assert_eq!(
            render("{model}/{version}>{to_version} {policy} {action_id} {decision}", ActionKind::Rollback),
            Ok("credit/v2>v1 fair a-1 d1".to_owned())
        );
        assert_eq!(render("a{{model}}{model}", ActionKind::Retrain), Ok("a{model}credit".to_owned()));
        assert_eq!(render("", ActionKind::Notify), Ok(String::new()));
    }

    #[test]
    fn what_an_action_can_never_have_is_found_when_the_template_is_read() {
        let error = |text| Template::new(text, ActionKind::Retrain).unwrap_err();
        assert_eq!(error("{modle}"), TemplateError::Unknown { name: "modle".into() });
        assert_eq!(error("{to_version}"), TemplateError::NoVersion { kind: ActionKind::Retrain });
        assert_eq!(error("{to_version}").to_string(), "a retrain has no `{to_version}`");
        for text in ["{model", "model}", "{mo{del}", "{", "}", "{{{"] {
            assert_eq!(error(text), TemplateError::Brace { text: text.into() });
        }
        assert!(error("{").to_string().contains("write `{{` and `}}`"));
    }

    #[test]
    fn a_tenant_that_the_log_does_not_state_is_a_refusal() {
        assert!(matches!(render("{tenant}-{model}", ActionKind::Retrain), Err(Reply::Rejected { .. })));
    }

    #[test]
    fn json_is_filled_in_its_texts_alone() {
        let value = json!({"{model}": ["{model}", 1, null, {"x": "{version}"}], "on": true});
        let call = call(ActionKind::Retrain, json!({}));
        let conf = Conf::new(&value, ActionKind::Retrain).unwrap();
        let request = Request::of(&call).unwrap();
        let expected = json!({"{model}": ["credit", 1, null, {"x": "v2"}], "on": true});
        assert_eq!(conf.render(&request), Ok(expected));
        assert!(Conf::new(&json!({"a": [{"b": "{nope}"}]}), ActionKind::Retrain).is_err());
    }
}
