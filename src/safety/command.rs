//! What people may order: to let an action go ahead or not, to leave a model or everything alone, and
//! to take that back. A command says who gave it and why, and an approval says which evidence was
//! looked at, so that nobody approves what has changed since.
//!
//! Orders that make it quieter (deny, hold, freeze) ask for less than those that let something happen.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::{ModelId, Tenant, Version};

/// What a person may do. The order is that of the rights: each has those of the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Stop things: deny, cancel, hold, freeze.
    Operator,
    /// Let things happen: approve, release, resume, absolve.
    Approver,
}

impl Role {
    /// The role as configurations spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A model, of one owner or of nobody in particular.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ModelName {
    /// Owner, where the log states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The model.
    pub model: ModelId,
}

impl ModelName {
    /// Whether a hold of this is one of `model`: without a tenant it is one of all tenants.
    pub fn covers(&self, model: &Self) -> bool {
        self.model == model.model && (self.tenant.is_none() || self.tenant == model.tenant)
    }
}

/// What is ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Order {
    /// Let the action go ahead.
    Approve {
        /// Its id.
        action_id: String,
        /// Hash of the evidence that was looked at, `sha256:` and 64 hexadecimal digits.
        evidence: String,
        /// Rollbacks: the version to go back to that was looked at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to_version: Option<Version>,
    },
    /// Do not do the action.
    Deny {
        /// Its id.
        action_id: String,
    },
    /// Stop the action that is under way, where its target can be asked to.
    Cancel {
        /// Its id.
        action_id: String,
    },
    /// Change nothing about the model until it is released; one that names no tenant is of all of them.
    Hold(ModelName),
    /// The hold of the model is over.
    Release(ModelName),
    /// Change nothing about any model until it is resumed.
    Freeze,
    /// The freeze is over.
    Resume,
    /// The version may be gone back to again although it was condemned, once it qualifies.
    Absolve {
        /// The model.
        #[serde(flatten)]
        model: ModelName,
        /// Its version.
        version: Version,
    },
}

impl Order {
    /// The order as logs and metrics spell it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "approve",
            Self::Deny { .. } => "deny",
            Self::Cancel { .. } => "cancel",
            Self::Hold(_) => "hold",
            Self::Release(_) => "release",
            Self::Freeze => "freeze",
            Self::Resume => "resume",
            Self::Absolve { .. } => "absolve",
        }
    }

    /// The least role that may give it.
    pub const fn needs(&self) -> Role {
        match self {
            Self::Deny { .. } | Self::Cancel { .. } | Self::Hold(_) | Self::Freeze => Role::Operator,
            Self::Approve { .. } | Self::Release(_) | Self::Resume | Self::Absolve { .. } => Role::Approver,
        }
    }
}

/// An order with its author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// 32 hexadecimal digits, drawn at random; the same command may be read twice and counts once.
    pub id: String,
    /// Wall time at which it was given, milliseconds since the epoch.
    pub at: i64,
    /// Configured name of the one who gave it.
    pub who: String,
    /// The role that this one had.
    pub role: Role,
    /// Why, in that person's words; not empty.
    pub reason: String,
    /// What is ordered.
    pub order: Order,
}
