//! Calibration on a clean stretch: the tolerance of every component, as `plimsoll calibrate` proposes
//! it.

use crate::stats::dispersion::{Pane, estimate};
use crate::stats::edetector::histogram::Extra;
use crate::stats::edetector::{Component, Part, Reading, Side};

/// What each component of a check was told in a clean stretch.
#[derive(Debug)]
pub(super) struct Clean {
    components: Vec<Component>,
    panes: Vec<Vec<Pane>>,
}

/// Tolerances by component.
#[derive(Clone, Debug, Default)]
pub(super) struct Tolerances(Vec<(Part, Side, f64)>);

impl Clean {
    /// For components without tolerance.
    pub(super) fn new(components: Vec<Component>) -> Self {
        let panes = vec![Vec::new(); components.len()];
        Self { components, panes }
    }

    pub(super) fn components(&self) -> &[Component] {
        &self.components
    }

    /// One pane.
    pub(super) fn take(&mut self, readings: &[Reading], hour: usize) {
        for (panes, reading) in self.panes.iter_mut().zip(readings) {
            panes.push(Pane { n: reading.n, sum: reading.sum, hour });
        }
    }

    pub(super) fn tolerances(&self) -> Tolerances {
        let estimated = self.components.iter().zip(&self.panes).map(|(component, panes)| {
            let found = estimate(panes, component.null, false).expect("a stretch has many panes");
            (component.part, component.side, found.tolerance)
        });
        Tolerances(estimated.collect())
    }
}

impl Tolerances {
    pub(super) fn of(&self, part: Part, side: Side) -> Extra {
        let known = self.0.iter().find(|known| (known.0, known.1) == (part, side));
        Extra { tolerance: known.map_or(0.0, |known| known.2), hourly: None }
    }

    /// The largest.
    pub(super) fn largest(&self) -> f64 {
        self.0.iter().map(|known| known.2).fold(0.0, f64::max)
    }
}
