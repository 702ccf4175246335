//! A secret in memory. It can be read in exactly one way, by `expose`, and whatever prints or
//! stores a configuration prints stars.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

const MASK: &str = "***";

/// A password or key.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// A secret with the value `value`.
    pub fn new(value: &str) -> Self {
        Self(value.into())
    }

    /// The secret itself. Whoever calls this keeps it out of logs, errors and messages.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_stars_and_gives_itself_only_when_asked() {
        let secret = Secret::new("hunter2");
        let printed =
            format!("{secret} {secret:?} {:#?} {}", Some(&secret), serde_json::to_string(&secret).unwrap());
        assert!(!printed.contains("hunter2"), "{printed}");
        assert_eq!(secret.expose(), "hunter2");
    }
}
