//! Where in the configuration something is: `models[0].features[2].type`. Kept as steps and not as
//! text, so that errors sort by position and positions can be put right after broken list entries
//! were taken out.

use std::fmt;

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// The nth entry of a list, from 0.
    Index(usize),
    /// A key of a mapping.
    Key(String),
}

/// The way from the root to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyPath(pub(crate) Vec<Step>);

impl KeyPath {
    /// The root's key `key`.
    pub(crate) fn root(key: &str) -> Self {
        Self::default().key(key)
    }

    /// This value's key `key`.
    pub(crate) fn key(&self, key: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.to_owned()));
        Self(steps)
    }

    /// This list's entry `index`.
    pub(crate) fn at(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }

    /// The path that a JSON pointer spells; digits are taken for list positions where `root` has a list.
    pub(crate) fn from_pointer(pointer: &str, root: &serde_json::Value) -> Self {
        let mut steps = Vec::new();
        let mut here = Some(root);
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            match here {
                Some(serde_json::Value::Array(items)) if token.parse::<usize>().is_ok() => {
                    let index = token.parse().unwrap_or_default();
                    here = items.get(index);
                    steps.push(Step::Index(index));
                }
                _ => {
                    here = here.and_then(|value| value.get(&token));
                    steps.push(Step::Key(token));
                }
            }
        }
        Self(steps)
    }

    /// Whether `self` lies at or below `other`.
    pub(crate) fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) => {
                    write!(f, "{}{key}", if depth == 0 { "" } else { "." })?;
                }
                Step::Key(key) => write!(f, "[{key:?}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spells_keys_and_positions_and_quotes_what_is_neither() {
        let root = serde_json::json!({"models": [{}, {"7": {"a.b": 1}}]});
        let path = KeyPath::from_pointer("/models/1/7/a.b", &root);
        assert_eq!(path.to_string(), r#"models[1].7["a.b"]"#);
        assert!(path.starts_with(&KeyPath::root("models").at(1)));
        assert!(KeyPath::root("m").at(2) < KeyPath::root("m").at(10));
    }
}
