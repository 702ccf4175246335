//! Why a model cannot run as it is configured: each error names the model, and what to change.

use std::path::PathBuf;

use super::MOST_GROUPS;
use crate::profile;
use crate::window::spec;

/// Why a model cannot run as it is configured. Each names the model, and what to change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A reference profile cannot be read.
    #[error("models[{model}].profile: cannot read {path}; make it with `plimsoll profile --model {model}`", path = .path.display())]
    Read {
        /// The model.
        model: String,
        /// The profile's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is no profile that can be used.
    #[error("models[{model}].profile: {path}", path = .path.display())]
    Profile {
        /// The model.
        model: String,
        /// The profile's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: profile::Error,
    },
    /// A calibration cannot be read.
    #[error("models[{model}].calibration: cannot read {path}", path = .path.display())]
    CalibrationRead {
        /// The model.
        model: String,
        /// The calibration's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is no calibration that can be used.
    #[error("models[{model}].calibration: {path}", path = .path.display())]
    Calibration {
        /// The model.
        model: String,
        /// The calibration's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<profile::calibration::Error>,
    },
    /// The profile was made for another configuration of the model.
    #[error("models[{model}].profile: {path} was made for another configuration: {what}; make it anew with `plimsoll profile --model {model}`", path = .path.display())]
    Mismatch {
        /// The model.
        model: String,
        /// The profile's file.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// A window that the panes do not make.
    #[error("models[{model}].checks[{check}]")]
    Window {
        /// The model.
        model: String,
        /// The check.
        check: String,
        /// Why.
        #[source]
        source: spec::Error,
    },
    /// An intersection with more groups than can be counted.
    #[error(
        "models[{model}].intersections: `{name}` has {groups} groups, and at most {MOST_GROUPS} are counted; declare fewer `values`"
    )]
    TooManyGroups {
        /// The model.
        model: String,
        /// The intersection.
        name: String,
        /// Its groups.
        groups: usize,
    },
}
