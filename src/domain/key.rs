//! Who a number is about: tenant, model, version, segment and the reference profile it is held
//! against. Two versions side by side (a canary) are two keys, and so are the same version before
//! and after its profile was replaced: their windows never mix.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $type {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<String> for $type {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name!(
    /// Whose model it is, where one plimsoll watches the models of several owners.
    Tenant
);
name!(
    /// A model's name, as its inference log states it.
    ModelId
);
name!(
    /// A model's version, as its inference log states it.
    Version
);
name!(
    /// Content hash of a reference profile: `sha256:` and 64 hexadecimal digits.
    ProfileHash
);

/// The part of a model's traffic that a window covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// All of it.
    #[default]
    All,
    /// The rows in which the column `name` has `value`.
    Of {
        /// Configured name of the segment column.
        name: Arc<str>,
        /// Its value; `other` stands for all values that were not declared.
        value: Arc<str>,
    },
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Of { name, value } => write!(f, "{name}={value}"),
        }
    }
}

impl Serialize for Segment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Segment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "all" {
            return Ok(Self::All);
        }
        match text.split_once('=') {
            Some((name, value)) => Ok(Self::Of { name: name.into(), value: value.into() }),
            None => Err(serde::de::Error::custom("a segment is `all` or `name=value`")),
        }
    }
}

/// What panes and windows are kept by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ModelKey {
    /// Owner, where the log states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The model.
    pub model: ModelId,
    /// Its version.
    pub version: Version,
    /// The part of its traffic.
    #[serde(default)]
    pub segment: Segment,
    /// The reference profile its cells were frozen by; none where the model has no profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileHash>,
}

impl fmt::Display for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tenant) = &self.tenant {
            write!(f, "{tenant}/")?;
        }
        write!(f, "{}@{}", self.model, self.version)?;
        match &self.segment {
            Segment::All => Ok(()),
            segment => write!(f, "[{segment}]"),
        }
    }
}
