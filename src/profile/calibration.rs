//! What `plimsoll calibrate` found in a clean stretch of traffic: how far each rate, mean and share
//! wanders by itself, and the tolerance that follows. It stands beside the reference profile, because
//! it is about that profile's cells and bounds; for another profile, pane width or check it says
//! nothing, and says so.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{EventTime, Metric, ModelId, ProfileHash, Scope};
use crate::stats::edetector::histogram::Extra;
use crate::stats::edetector::{Part, Side};

/// The file format that this version reads and writes.
pub const FORMAT: &str = "plimsoll.calibration/1";

/// Values of a tolerance by hour of the week.
const HOURS: usize = 168;

/// Why a calibration cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is no calibration.
    #[error("not a calibration")]
    Json(#[source] serde_json::Error),
    /// The file is a calibration of another version.
    #[error(
        "the calibration has the format `{found}`, and this plimsoll reads `{FORMAT}`; make it anew with `plimsoll calibrate`"
    )]
    Format {
        /// What the file says.
        found: String,
    },
    /// A number that no calibration holds.
    #[error("`{check}` of {scope}: {what}")]
    Value {
        /// The check.
        check: String,
        /// What it looks at.
        scope: Scope,
        /// What is wrong.
        what: String,
    },
}

/// Why a calibration says nothing about a check as it is configured now. The words follow on `its
/// calibration does not fit:`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Misfit {
    /// It is about another model.
    #[error("it was made for the model `{made}`")]
    Model {
        /// The model that was calibrated.
        made: ModelId,
    },
    /// The reference was replaced.
    #[error("it was made for the reference {made}, and the reference is {now} now")]
    Profile {
        /// The reference that was calibrated.
        made: ProfileHash,
        /// The reference that is used.
        now: ProfileHash,
    },
    /// Panes have another width, and wander more or less.
    #[error("it was made for panes of {made:?}, and panes are {now:?} now")]
    Pane {
        /// The width that was calibrated.
        made: Duration,
        /// The width that is used.
        now: Duration,
    },
    /// Bounds of the reference are drawn otherwise, and tolerances are counted from them.
    #[error("it was made for a `reference_error` of {made}, and that is {now} now")]
    ReferenceError {
        /// The error that was calibrated.
        made: f64,
        /// The error that is used.
        now: f64,
    },
    /// The check is new, or has another name.
    #[error("there was no check `{check}` when it was made")]
    Check {
        /// The check.
        check: String,
    },
    /// The check computes something else.
    #[error("`{check}` was {made} when it was made, and is {now} now")]
    Metric {
        /// The check.
        check: String,
        /// The metric that was calibrated.
        made: Metric,
        /// The metric that is used.
        now: Metric,
    },
    /// The check looks at more than it did.
    #[error("`{check}` was not calibrated for {scope}")]
    Scope {
        /// The check.
        check: String,
        /// What it looks at now.
        scope: String,
    },
    /// The check looks the other way, or the stretch showed too little of this.
    #[error("`{check}` was not calibrated for {component} of {scope}")]
    Component {
        /// The check.
        check: String,
        /// What it looks at.
        scope: String,
        /// Which part and side.
        component: String,
    },
}

/// A component in words: `rate above`, `cell 3 below`, `cells up to 3 above`.
pub fn component_name(part: Part, side: Side) -> String {
    let part = match part {
        Part::Whole => "rate".to_owned(),
        Part::Cell(cell) => format!("cell {cell}"),
        Part::UpTo(cell) => format!("cells up to {cell}"),
    };
    match side {
        Side::Above => format!("{part} above"),
        Side::Below => format!("{part} below"),
    }
}

/// What is configured now, to hold a calibration against.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The model.
    pub model: &'a ModelId,
    /// Its reference.
    pub profile: &'a ProfileHash,
    /// Width of its panes.
    pub pane: Duration,
    /// Probability that a slot's reference bounds are wrong.
    pub reference_error: f64,
}

/// How one component varied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// What it looks at.
    pub part: Part,
    /// Which way.
    pub side: Side,
    /// The reference's own bound on this side, on the scale of `part`.
    pub reference: f64,
    /// Mean of the stretch, on the same scale.
    pub mean: f64,
    /// How far the worst hour's mean was beyond the bound; at least 0.
    pub cycle: f64,
    /// Standard deviation of the panes around the means of their hours, beyond sampling.
    pub sd: f64,
    /// What to add to the bound, a share of 0 to 1.
    pub tolerance: f64,
    /// The same by hour of the week, UTC, Monday 00:00 first; 168 values, which may be below 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<Vec<f64>>,
    /// The version (and segment) whose panes asked for the widest tolerance.
    pub widest: String,
    /// Its panes with observations.
    pub panes: u64,
}

/// What a check found of one scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoped {
    /// The feature, output or group.
    pub scope: Scope,
    /// What the check computed.
    pub metric: Metric,
    /// One for each part and side that it looks at.
    pub components: Vec<Measured>,
}

/// The tolerances of a model's checks, with what they follow from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// `FORMAT`.
    pub format: String,
    /// The model.
    pub model: ModelId,
    /// Hash of the reference profile that bounds and cells are from.
    pub profile: ProfileHash,
    /// Width of a pane, milliseconds.
    pub pane_millis: u64,
    /// Probability that a slot's reference bounds are wrong.
    pub reference_error: f64,
    /// Start of the first pane.
    pub from: EventTime,
    /// End of the last pane.
    pub until: EventTime,
    /// Rows in those panes.
    pub rows: u64,
    /// Panes with rows; each version's count.
    pub panes: u64,
    /// Versions that were seen.
    pub versions: Vec<String>,
    /// Whether every hour of the week has a tolerance of its own.
    pub hourly: bool,
    /// What makes it worth less than it looks.
    pub warnings: Vec<String>,
    /// By name of the check.
    pub checks: BTreeMap<String, Vec<Scoped>>,
}

impl Calibration {
    /// Reads a calibration and checks its format and numbers.
    ///
    /// # Errors
    /// When it is no calibration, of another format, or holds a number that none can hold.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(Error::Json)?;
        if head.format != FORMAT {
            return Err(Error::Format { found: head.format });
        }
        let calibration: Self = serde_json::from_slice(bytes).map_err(Error::Json)?;
        for (check, scoped) in &calibration.checks {
            for Scoped { scope, components, .. } in scoped {
                if let Some(what) = components.iter().find_map(Measured::fault) {
                    return Err(Error::Value { check: check.clone(), scope: scope.clone(), what });
                }
            }
        }
        Ok(calibration)
    }

    /// The calibration as the text of a file: JSON, and so YAML, with a line for each component.
    pub fn to_text(&self) -> String {
        fn json(value: &impl Serialize) -> String {
            serde_json::to_string(value).expect("a calibration holds only finite numbers and text")
        }
        let head = [
            ("format", json(&self.format)),
            ("model", json(&self.model)),
            ("profile", json(&self.profile)),
            ("pane_millis", json(&self.pane_millis)),
            ("reference_error", json(&self.reference_error)),
            ("from", json(&self.from)),
            ("until", json(&self.until)),
            ("rows", json(&self.rows)),
            ("panes", json(&self.panes)),
            ("versions", json(&self.versions)),
            ("hourly", json(&self.hourly)),
            ("warnings", json(&self.warnings)),
        ];
        let head: String = head.iter().map(|(name, value)| format!("  \"{name}\": {value},\n")).collect();
        let scoped = |scoped: &Scoped| {
            let components: Vec<String> =
                scoped.components.iter().map(|each| format!("        {}", json(each))).collect();
            let (scope, metric) = (json(&scoped.scope), json(&scoped.metric));
            let components = components.join(",\n");
            format!(
                "      {{\"scope\": {scope}, \"metric\": {metric}, \"components\": [\n{components}\n      ]}}"
            )
        };
        let checks: Vec<String> = self
            .checks
            .iter()
            .map(|(name, scopes)| {
                let scopes: Vec<String> = scopes.iter().map(scoped).collect();
                format!("    {}: [\n{}\n    ]", json(name), scopes.join(",\n"))
            })
            .collect();
        format!("{{\n{head}  \"checks\": {{\n{}\n  }}\n}}\n", checks.join(",\n"))
    }

    /// Whether it is about what is configured now.
    ///
    /// # Errors
    /// The first thing that differs.
    pub fn fits(&self, now: &Setting<'_>) -> Result<(), Misfit> {
        let pane = Duration::from_millis(self.pane_millis);
        if self.model != *now.model {
            return Err(Misfit::Model { made: self.model.clone() });
        }
        if self.profile != *now.profile {
            return Err(Misfit::Profile { made: self.profile.clone(), now: now.profile.clone() });
        }
        if pane != now.pane {
            return Err(Misfit::Pane { made: pane, now: now.pane });
        }
        if self.reference_error != now.reference_error {
            return Err(Misfit::ReferenceError { made: self.reference_error, now: now.reference_error });
        }
        Ok(())
    }

    fn scopes(&self, check: &str, metric: Metric) -> Result<&[Scoped], Misfit> {
        let scopes = self.checks.get(check).ok_or_else(|| Misfit::Check { check: check.to_owned() })?;
        match scopes.iter().find(|scoped| scoped.metric != metric) {
            Some(other) => Err(Misfit::Metric { check: check.to_owned(), made: other.metric, now: metric }),
            None => Ok(scopes),
        }
    }

    /// All tolerances of a check, by scope as findings show it.
    ///
    /// # Errors
    /// When there was no such check, or it computed something else.
    pub fn tolerances(
        &self,
        check: &str,
        metric: Metric,
    ) -> Result<BTreeMap<(String, Part, Side), Extra>, Misfit> {
        let each = |scoped: &Scoped| {
            let scope = scoped.scope.to_string();
            let all = scoped.components.iter();
            all.map(|it| ((scope.clone(), it.part, it.side), it.extra())).collect::<Vec<_>>()
        };
        Ok(self.scopes(check, metric)?.iter().flat_map(each).collect())
    }

    /// By how much one component of a check varied between panes, beyond sampling, cycle included; none
    /// where it was not calibrated.
    pub fn spread_of(&self, check: &str, scope: &Scope, (part, side): (Part, Side)) -> Option<f64> {
        let scoped = self.checks.get(check)?.iter().find(|scoped| scoped.scope == *scope)?;
        let found = scoped.components.iter().find(|it| (it.part, it.side) == (part, side));
        found.map(Measured::spread)
    }

    /// The tolerance of one component, if the calibration is about it as it is configured now.
    ///
    /// # Errors
    /// The first thing that differs.
    pub fn tolerance_of(
        &self,
        now: &Setting<'_>,
        (check, metric): (&str, Metric),
        scope: &Scope,
        (part, side): (Part, Side),
    ) -> Result<Extra, Misfit> {
        self.fits(now)?;
        let scopes = self.scopes(check, metric)?;
        let named = || (check.to_owned(), scope.to_string());
        let scoped = scopes.iter().find(|scoped| scoped.scope == *scope).ok_or_else(|| {
            let (check, scope) = named();
            Misfit::Scope { check, scope }
        })?;
        let found = scoped.components.iter().find(|it| (it.part, it.side) == (part, side));
        found.map(Measured::extra).ok_or_else(|| {
            let (check, scope) = named();
            Misfit::Component { check, scope, component: component_name(part, side) }
        })
    }
}

impl Measured {
    /// The most that panes varied by, beyond sampling: around their hours, and these around their mean,
    /// of which no hour was further from it than `cycle` says.
    fn spread(&self) -> f64 {
        self.sd.hypot((self.reference - self.mean).abs() + self.cycle)
    }

    fn extra(&self) -> Extra {
        Extra { tolerance: self.tolerance, hourly: self.hourly.clone() }
    }

    /// What is wrong with its numbers.
    fn fault(&self) -> Option<String> {
        let component = component_name(self.part, self.side);
        if !(0.0..=1.0).contains(&self.tolerance) {
            return Some(format!("the tolerance of {component} is not between 0 and 1"));
        }
        let hourly = self.hourly.as_ref()?;
        if hourly.len() != HOURS {
            return Some(format!("{component} has {} hours, and a week has {HOURS}", hourly.len()));
        }
        let inside = hourly.iter().all(|value| (-1.0..=1.0).contains(value));
        (!inside).then(|| format!("an hour of {component} is not between -1 and 1"))
    }
}

#[cfg(test)]
mod tests;
