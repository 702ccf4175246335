//! From a calibration file to the tolerances of a model's checks.

use std::time::Duration;

use crate::check::CheckSpec;
use crate::check::sequential::{Slot, Tolerances, slots};
use crate::domain::{ModelId, ProfileHash};
use crate::profile::calibration::Setting;
use crate::profile::{Calibration, Profile};
use crate::sketch::Layout;

/// The slots of `checks` with the bounds of the reference as they are, before any tolerance.
pub(super) fn bare(checks: &[CheckSpec], layout: &Layout, profile: Option<&Profile>) -> Vec<Slot> {
    let mut checks = checks.to_vec();
    for check in &mut checks {
        check.sequential.tolerances = Tolerances { everywhere: Some(0.0), ..Tolerances::default() };
    }
    slots(&checks, layout, profile, false)
}

/// Gives each check its calibrated tolerances. Where the calibration says nothing of a scope as it
/// is configured now, the check is told why, and runs in shadow there unless a tolerance is stated.
pub fn apply(
    calibration: &Calibration,
    model: &ModelId,
    pane: Duration,
    checks: &mut [CheckSpec],
    layout: &Layout,
    profile: &Profile,
) {
    let hash: &ProfileHash = &profile.hash;
    for slot in bare(checks, layout, Some(profile)) {
        let check = &mut checks[slot.check];
        let metric = check.metric;
        let settings = &mut check.sequential;
        let now = Setting { model, profile: hash, pane, reference_error: settings.reference_error };
        let scope = slot.scope.to_string();
        for component in slot.components().iter().filter(|component| component.reference.is_some()) {
            let place = (component.part, component.side);
            match calibration.tolerance_of(&now, (&check.name, metric), &slot.scope, place) {
                Ok(extra) => {
                    let key = (scope.clone(), component.part, component.side);
                    settings.tolerances.calibrated.insert(key, extra);
                }
                Err(misfit) => {
                    settings.tolerances.misfits.entry(scope.clone()).or_insert_with(|| misfit.to_string());
                }
            }
        }
    }
}
