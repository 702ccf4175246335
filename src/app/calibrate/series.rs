//! What the panes of a clean stretch say to each component of a model's slots, pane by pane, and the
//! estimate that follows. Readings add, so counts of a pane may come in any order and in any pieces.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::check::CheckSpec;
use crate::check::sequential::Slot;
use crate::domain::{EventTime, Metric, ModelKey, Segment};
use crate::engine::message::PaneDelta;
use crate::profile::calibration::{Measured, Scoped, component_name};
use crate::stats::dispersion::{self, Dispersion, Pane, Sampling};
use crate::stats::edetector::{Component, Part, Reading, Side};

/// Panes with observations below which nothing is estimated.
const FEWEST: usize = 24;
/// Digits that are kept: tolerances are shares, and a ten-thousandth of a per cent is nothing.
const STEP: f64 = 1e6;

/// Where a slot's numbers stand in a pane's row.
#[derive(Debug)]
struct Place {
    /// Its observations; the sums of `parts` follow.
    at: usize,
    /// What it looks at, seen from above.
    parts: Vec<Part>,
}

/// The readings of one model.
#[derive(Debug)]
pub(super) struct Series<'a> {
    checks: &'a [CheckSpec],
    slots: &'a [Slot],
    places: Vec<Place>,
    width: usize,
    panes: BTreeMap<ModelKey, BTreeMap<EventTime, Box<[f64]>>>,
    rows: u64,
}

/// The estimate of one slot.
#[derive(Debug)]
pub(super) struct Estimated {
    /// Configured name of its check.
    pub(super) check: String,
    /// What was found.
    pub(super) scoped: Scoped,
    /// Components that too few panes say anything about.
    pub(super) missing: usize,
    /// The fewest panes behind any component.
    pub(super) panes: u64,
}

impl<'a> Series<'a> {
    pub(super) fn new(checks: &'a [CheckSpec], slots: &'a [Slot]) -> Self {
        let mut width = 0;
        let mut places = Vec::new();
        for slot in slots {
            let mut parts: Vec<Part> = Vec::new();
            for component in slot.components() {
                if !parts.contains(&component.part) {
                    parts.push(component.part);
                }
            }
            places.push(Place { at: width, parts });
            width += 1 + places.last().map_or(0, |place| place.parts.len());
        }
        Self { checks, slots, places, width, panes: BTreeMap::new(), rows: 0 }
    }

    /// Adds what came of one pane.
    pub(super) fn add(&mut self, delta: &PaneDelta) {
        let all = delta.key.segment == Segment::All;
        if all {
            self.rows += delta.summary.rows;
        }
        let panes = self.panes.entry(delta.key.clone()).or_default();
        let row = panes.entry(delta.pane).or_insert_with(|| vec![0.0; self.width].into());
        let mut readings = Vec::new();
        for (slot, place) in self.slots.iter().zip(&self.places) {
            if !all && !self.checks[slot.check].segments {
                continue;
            }
            slot.read(&delta.summary, &mut readings);
            let Some(first) = readings.first() else { continue };
            row[place.at] += first.n;
            for (index, part) in place.parts.iter().enumerate() {
                let seen = slot.components().iter().zip(&readings).find(|(it, _)| it.part == *part);
                let above = seen.map(|(it, reading)| turned(*reading, it.side).sum);
                row[place.at + 1 + index] += above.unwrap_or(0.0);
            }
        }
    }

    /// Rows in the panes.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Starts of the panes, over all versions, each version's by itself.
    pub(super) fn starts(&self) -> impl Iterator<Item = EventTime> {
        let whole = self.panes.iter().filter(|(key, _)| key.segment == Segment::All);
        whole.flat_map(|(_, panes)| panes.keys().copied())
    }

    /// Versions with their number of panes.
    pub(super) fn versions(&self) -> BTreeMap<String, usize> {
        let whole = self.panes.iter().filter(|(key, _)| key.segment == Segment::All);
        whole.map(|(key, panes)| (label(key), panes.len())).collect()
    }

    /// Estimates every slot with nulls of the reference; `each` is told after each one and may stop it.
    pub(super) fn estimate(
        &self,
        hourly: bool,
        mut each: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Vec<Estimated> {
        let mut found = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            let check = &self.checks[slot.check];
            let mut estimated = Estimated {
                check: slot.name.clone(),
                scoped: Scoped { scope: slot.scope.clone(), metric: check.metric, components: Vec::new() },
                missing: 0,
                panes: u64::MAX,
            };
            let referred = slot.components().iter().filter(|component| component.reference.is_some());
            for component in referred {
                match self.measured(index, component, check.metric, hourly) {
                    Some(measured) => {
                        estimated.panes = estimated.panes.min(measured.panes);
                        estimated.scoped.components.push(measured);
                    }
                    None => estimated.missing += 1,
                }
            }
            if estimated.missing + estimated.scoped.components.len() > 0 {
                found.push(estimated);
            }
            if each(index + 1).is_break() {
                break;
            }
        }
        found
    }

    /// One component, over every version and segment that has panes enough: the widest tolerance of
    /// them, because each runs a detector of its own against the same null.
    fn measured(&self, slot: usize, component: &Component, metric: Metric, hourly: bool) -> Option<Measured> {
        let reference = component.reference?;
        let place = &self.places[slot];
        let column = place.at + 1 + place.parts.iter().position(|part| *part == component.part)?;
        let sampling = if metric == Metric::Brier { Sampling::Values } else { Sampling::Outcomes };
        let side = component.side;
        let turn = |value: f64| if side == Side::Above { value } else { 1.0 - value };
        let mut widest: Option<(String, Dispersion)> = None;
        let mut hours: Option<Vec<f64>> = None;
        for (key, panes) in &self.panes {
            let pane = |(start, row): (&EventTime, &[f64])| {
                let reading = turned(Reading { n: row[place.at], sum: row[column] }, side);
                Pane { n: reading.n, sum: reading.sum.clamp(0.0, reading.n), hour: start.hour_of_week() }
            };
            let panes: Vec<Pane> =
                panes.iter().map(|(start, row)| pane((start, row))).filter(|pane| pane.n > 0.0).collect();
            if panes.len() < FEWEST {
                continue;
            }
            let Some(mut found) = dispersion::estimate_for(sampling, &panes, turn(reference), hourly) else {
                continue;
            };
            hours = match (hours, found.hourly.take()) {
                (Some(so_far), Some(new)) => {
                    Some(so_far.iter().zip(new).map(|(so_far, new)| so_far.max(new)).collect())
                }
                (so_far, new) => so_far.or(new),
            };
            if widest.as_ref().is_none_or(|(_, so_far)| so_far.tolerance < found.tolerance) {
                widest = Some((label(key), found));
            }
        }
        let (label, found) = widest?;
        // Rounded up: a tolerance that is a little too small is one that alarms.
        let up = |value: f64| (value * STEP).ceil() / STEP;
        let near = |value: f64| (value * STEP).round() / STEP;
        Some(Measured {
            part: component.part,
            side,
            reference,
            mean: near(turn(found.mean)),
            cycle: near(found.cycle),
            sd: near(found.sd),
            tolerance: up(found.tolerance).min(1.0),
            hourly: hours.map(|hours| hours.into_iter().map(|hour| up(hour).clamp(-1.0, 1.0)).collect()),
            widest: label,
            panes: found.panes,
        })
    }
}

/// A reading as the other side sees it, or as it is for `Above`; its own inverse.
fn turned(reading: Reading, side: Side) -> Reading {
    if side == Side::Above { reading } else { reading.turned() }
}

/// Who a series is of.
fn label(key: &ModelKey) -> String {
    let tenant = key.tenant.as_ref().map_or_else(String::new, |tenant| format!("{tenant}/"));
    match &key.segment {
        Segment::All => format!("{tenant}{}", key.version),
        segment => format!("{tenant}{}[{segment}]", key.version),
    }
}

/// The component with the widest tolerance.
pub(super) fn worst(scoped: &Scoped) -> Option<(String, &Measured)> {
    let widest = scoped.components.iter().max_by(|a, b| a.tolerance.total_cmp(&b.tolerance))?;
    Some((component_name(widest.part, widest.side), widest))
}
