//! Slots: everything of a model that may alarm, compiled before the first pane. What the
//! configuration and the reference do not name has no slot, so what turns up later can never act.

use std::time::Duration;

use super::fit::Expected;
use super::limit::Limit;
use super::settings::{Direction, FalseAlarmBudget, Settings};
use super::source::Source;
use crate::check::spec::{CheckSpec, Target};
use crate::check::{drift, quality};
use crate::domain::metric::Family;
use crate::domain::{Bound, Metric, Scope};
use crate::profile::{ColumnStats, Profile};
use crate::sketch::layout::OTHER;
use crate::sketch::{ColumnLayout, Layout, Summary};
use crate::stats::edetector::histogram::{self, Extra};
use crate::stats::edetector::null::{mean_ends, rate_ends};
use crate::stats::edetector::rate::{Allowed, component};
use crate::stats::edetector::{Component, Part, Reading, Side, threshold};
use crate::stats::stable_hash::StableHash;

/// What a slot may spend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// False alarms, on average at most, that it raises in `per`; one version of one tenant and
    /// segment.
    pub share: f64,
    /// The period, in event time.
    pub per: Duration,
    /// `ln` of the e-detector's threshold.
    pub log_threshold: f64,
    /// Level of each start of a confidence sequence; 0 for a slot without one.
    pub alpha: f64,
}

/// One thing that may alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Index of its check among the model's.
    pub check: usize,
    /// Configured name of the check.
    pub name: String,
    /// What it looks at; for a limit between groups the attribute, with no values.
    pub scope: Scope,
    /// What findings of it are found by: the scope as findings show it, and for a limit the attribute
    /// alone, because which groups are the extremes changes from window to window.
    pub key: String,
    /// Whether it is there for each segment value too, and not for the whole alone.
    pub segments: bool,
    /// How many copies of it the budget pays for: versions, tenants and segment values.
    pub copies: u32,
    /// Versions and tenants that may be live at once in one segment.
    pub live: u32,
    /// Its weight in the budget, each copy.
    pub weight: f64,
    /// Confidence sequences that may begin per period and copy.
    pub starts: u32,
    /// Probability that one of its reference bounds is wrong; 0 where the reference is not used.
    pub reference_error: f64,
    /// Why it is shown and never acts.
    pub shadow: Option<String>,
    /// What it may spend; nothing before the budget was divided.
    pub budget: Budget,
    /// A hash of what it looks at and how: state that was kept under another is not its own.
    pub signature: u64,
    pub(super) watch: Watch,
    /// What its calibration saw, of the component that shows a wandering best.
    pub(super) expected: Option<Expected>,
}

/// How a slot looks.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Watch {
    /// Rates, means or cells against nulls.
    Components {
        source: Source,
        components: Vec<Component>,
        /// Every component in words.
        names: Vec<String>,
    },
    /// Groups against a limit.
    Limit(Limit),
}

impl Slot {
    /// Divides a budget: every copy of every slot gets its weight's share of `budget`, and its
    /// threshold follows. `panes` are the pane widths of the slots' models.
    pub fn divide<'a>(budget: FalseAlarmBudget, slots: impl IntoIterator<Item = (&'a mut Self, Duration)>) {
        let mut slots: Vec<(&mut Self, Duration)> = slots.into_iter().collect();
        let total: f64 = slots.iter().map(|(slot, _)| slot.weight * f64::from(slot.copies)).sum();
        for (slot, pane) in &mut slots {
            slot.fund(budget.count * (slot.weight / total), budget.per, *pane);
        }
    }

    /// Gives the slot its share of a period.
    pub fn fund(&mut self, share: f64, per: Duration, pane: Duration) {
        let panes = per.as_secs_f64() / pane.as_secs_f64();
        // A limit is watched by a detector and by a sequence: half for each.
        let (detector, sequence) = match self.watch {
            Watch::Components { .. } => (share, 0.0),
            Watch::Limit(_) => (0.5 * share, 0.5 * share),
        };
        self.budget = Budget {
            share,
            per,
            log_threshold: threshold(panes, detector).max(1.0).ln(),
            alpha: (sequence / f64::from(self.starts.max(1))).min(0.5),
        };
    }

    /// Its components, where it has nulls of its own; none for a limit between groups.
    pub fn components(&self) -> &[Component] {
        match &self.watch {
            Watch::Components { components, .. } => components,
            Watch::Limit(_) => &[],
        }
    }

    /// What a pane says to each of its components.
    pub fn read(&self, summary: &Summary, out: &mut Vec<Reading>) {
        out.clear();
        let Watch::Components { source, components, .. } = &self.watch else {
            return;
        };
        match source.reading(summary) {
            Some(reading) => out.extend(components.iter().map(|component| match component.side {
                Side::Above => reading,
                Side::Below => reading.turned(),
            })),
            None => histogram::readings(components, &source.counts(summary), out),
        }
    }

    /// Bets in its state.
    pub fn bets(&self) -> usize {
        match &self.watch {
            Watch::Components { components, .. } => components.iter().map(|each| each.bets.len()).sum(),
            Watch::Limit(limit) => limit.bets(),
        }
    }

    /// Largest tolerance in its nulls; none where there is none.
    pub fn tolerance(&self) -> Option<f64> {
        self.components()
            .iter()
            .filter(|component| component.reference.is_some())
            .map(|component| component.hourly.iter().flatten().copied().fold(component.tolerance, f64::max))
            .reduce(f64::max)
    }
}

/// The slots of a model's checks, unfunded; with `followed` only of checks that a sequential policy
/// follows, else of every check that could have some.
pub fn slots(checks: &[CheckSpec], layout: &Layout, profile: Option<&Profile>, followed: bool) -> Vec<Slot> {
    let mut slots = Vec::new();
    for (index, check) in checks.iter().enumerate() {
        if !followed || check.sequential.followed {
            let compiler = Compiler { index, check, layout, profile, settings: &check.sequential };
            compiler.slots(&mut slots);
        }
    }
    slots
}

/// Compiles the slots of one check.
struct Compiler<'a> {
    index: usize,
    check: &'a CheckSpec,
    layout: &'a Layout,
    profile: Option<&'a Profile>,
    settings: &'a Settings,
}

impl Compiler<'_> {
    fn slots(&self, out: &mut Vec<Slot>) {
        let (check, layout) = (self.check, self.layout);
        match (&check.target, check.metric.family()) {
            (Target::Columns(columns), Family::Drift) => {
                out.extend(columns.iter().map(|column| self.histogram(*column)));
            }
            (Target::Columns(columns), Family::Quality) => {
                out.extend(columns.iter().filter_map(|column| {
                    let named = &layout.columns[*column];
                    let layout = named.layout.clone();
                    if quality::unknowable(check.metric, &layout).is_some() {
                        return None;
                    }
                    let source = Source::Quality { column: *column, metric: check.metric, layout };
                    source.reading(&Summary::new(self.layout))?;
                    Some(self.rate(drift::column_scope(named), source))
                }));
            }
            (Target::Groups(groups), _) if check.metric == Metric::SelectionRate => {
                for group in groups {
                    for value in declared(&layout.groups[*group].values) {
                        let named = &layout.groups[*group];
                        let values = vec![named.values[value].clone()];
                        let scope = Scope::Group { group: named.name.clone(), values };
                        out.push(self.rate(scope, Source::Selection { group: *group, value }));
                    }
                }
            }
            (Target::Groups(groups), _) => out.extend(groups.iter().filter_map(|group| {
                let named = &layout.groups[*group];
                let values = declared(&named.values);
                let limit = Limit::new(check.metric, check.bound?, *group, named, values)?;
                let scope = Scope::Group { group: named.name.clone(), values: Vec::new() };
                Some(self.slot(scope, Watch::Limit(limit), None))
            })),
            (Target::Model, _) => {
                let source = Source::of_model(check, self.profile);
                out.extend(source.map(|source| self.rate(Scope::Model {}, source)));
            }
            (Target::Columns(_), _) => {}
        }
    }

    fn slot(&self, scope: Scope, watch: Watch, shadow: Option<String>) -> Slot {
        let segments: usize = self.layout.segments.iter().map(|(_, values)| values.len()).sum();
        let parts = if self.check.segments { 1 + segments as u32 } else { 1 };
        let live = self.settings.live;
        let key = match (&watch, &scope) {
            (Watch::Limit(_), Scope::Group { group, .. }) => group.clone(),
            (_, scope) => scope.to_string(),
        };
        let mut slot = Slot {
            check: self.index,
            name: self.check.name.clone(),
            scope,
            key,
            segments: self.check.segments,
            copies: live.versions.saturating_mul(live.tenants).saturating_mul(parts).max(1),
            live: live.versions.saturating_mul(live.tenants).max(1),
            weight: self.settings.weight,
            starts: live.starts,
            reference_error: 0.0,
            shadow,
            budget: Budget { share: 0.0, per: Duration::ZERO, log_threshold: f64::INFINITY, alpha: 0.0 },
            signature: 0,
            watch,
            expected: None,
        };
        let looks = format!("{:?}", (&slot.name, &slot.key, slot.segments, &slot.watch));
        slot.signature = StableHash::new(0).bytes(looks.as_bytes()).finish();
        slot.expected = self.expected(&slot);
        if slot.components().iter().any(|component| component.reference.is_some()) {
            slot.reference_error = self.settings.reference_error;
        }
        slot
    }

    /// What the calibration saw of the component that shows a wandering best: the rate itself, or the
    /// cumulative share in the middle, which moves with every shift of a distribution.
    fn expected(&self, slot: &Slot) -> Option<Expected> {
        let components = slot.components();
        let running = components.iter().filter(|each| matches!(each.part, Part::UpTo(_))).count();
        let middle = |each: &&Component| matches!(each.part, Part::UpTo(cell) if cell == running / 4);
        let best = components.iter().find(middle).or_else(|| components.first())?;
        let component = components.iter().position(|each| std::ptr::eq(each, best))?;
        let spread = self.settings.tolerances.spread_of(&slot.key, best.part, best.side)?;
        Some(Expected { component, spread })
    }

    fn histogram(&self, column: usize) -> Slot {
        let scope = drift::column_scope(&self.layout.columns[column]);
        let name = scope.to_string();
        let known = self
            .profile
            .and_then(|profile| Some((profile, Source::histogram(profile, self.layout, column)?)));
        let Some((profile, (source, ordered))) = known else {
            let nothing = Source::Cells { column, cell: Vec::new(), cells: 0 };
            let watch = Watch::Components { source: nothing, components: Vec::new(), names: Vec::new() };
            return self.slot(scope, watch, Some("the model has no reference profile".to_owned()));
        };
        let reference = source.counts(&profile.summary);
        let parts = histogram::parts(reference.len(), ordered).len().max(1);
        let tolerances = &self.settings.tolerances;
        let tail = self.settings.reference_error / parts as f64;
        let components = histogram::components(&reference, ordered, tail, |part, side| {
            tolerances.of(&name, part, side).unwrap_or_default()
        });
        let known = |each: &Component| tolerances.of(&name, each.part, each.side).is_some();
        let shadow = if components.is_empty() {
            Some("the reference has no value of this column".to_owned())
        } else {
            (!components.iter().all(known)).then(|| tolerances.why_not(&name))
        };
        let cells =
            cell_names(&self.layout.columns[column].layout, &profile.columns[column], reference.len());
        let names = components.iter().map(|each| named(each, &cells, ordered)).collect();
        self.slot(scope, Watch::Components { source, components, names }, shadow)
    }

    /// A slot of one rate or mean.
    fn rate(&self, scope: Scope, source: Source) -> Slot {
        let name = scope.to_string();
        let (check, settings) = (self.check, self.settings);
        let direction = check.bound.map_or(settings.direction, Direction::of);
        let sides = direction.sides();
        let tail = settings.reference_error / sides.len() as f64;
        let slower = matches!(source, Source::Slower { .. });
        let seen = self.profile.filter(|_| !slower).and_then(|profile| source.reading(&profile.summary));
        let ends = seen.filter(|seen| seen.n > 0.0).and_then(|seen| {
            if check.metric == Metric::Brier {
                mean_ends(seen.sum, seen.n as u64, tail)
            } else {
                rate_ends(seen.sum as u64, seen.n as u64, tail)
            }
        });
        let limit = |side: Side| match (check.bound, side) {
            _ if slower => (side == Side::Above).then_some(1.0 - check.quantile),
            (Some(Bound::AtMost(limit) | Bound::Between(_, limit)), Side::Above)
            | (Some(Bound::AtLeast(limit) | Bound::Between(limit, _)), Side::Below) => Some(limit),
            _ => None,
        };
        let mut shadow = None;
        let mut components = Vec::new();
        for side in sides {
            let reference = ends.map(|ends| if *side == Side::Above { ends.high } else { ends.low });
            let tolerance = settings.tolerances.of(&name, Part::Whole, *side);
            // Without a tolerance the reference decides nothing; a limit that was stated does.
            let (reference, Extra { tolerance, hourly }) = match (reference, tolerance, limit(*side)) {
                (Some(end), Some(extra), _) => (Some(end), extra),
                (Some(end), None, None) => {
                    shadow = Some(settings.tolerances.why_not(&name));
                    (Some(end), Extra::default())
                }
                _ => (None, Extra::default()),
            };
            let allowed = Allowed { reference, tolerance, hourly, limit: limit(*side) };
            components.extend(component(*side, &allowed));
        }
        if components.is_empty() {
            shadow = Some(match ends {
                // A bound of 0 or 1 allows no bet: a single row beyond it says all there is to say.
                _ if check.bound.is_some() => "its bound leaves nothing to bet on".to_owned(),
                Some(_) => "its null leaves nothing to find".to_owned(),
                None => "there is neither a reference nor a bound to hold it against".to_owned(),
            });
        }
        let word = if check.metric == Metric::Brier { "mean" } else { "rate" };
        let names = components.iter().map(|each| format!("{word} {}", side_name(each.side))).collect();
        self.slot(scope, Watch::Components { source, components, names }, shadow)
    }
}

/// Indexes of the values that were declared. `other` gathers what was not, alone or in a product.
fn declared(values: &[String]) -> Vec<usize> {
    let known = |value: &String| value.split('*').all(|part| part != OTHER);
    values.iter().enumerate().filter(|(_, value)| known(value)).map(|(index, _)| index).collect()
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Above => "above",
        Side::Below => "below",
    }
}

/// The cells of a histogram in words: what each holds, and, for numbers, where it ends.
fn cell_names(layout: &ColumnLayout, stats: &ColumnStats, cells: usize) -> Vec<(String, String)> {
    match (layout, stats) {
        (ColumnLayout::Numeric(_), ColumnStats::Numeric { decile_edges: edges, .. }) => (0..cells)
            .map(|cell| {
                let (left, right) = (cell.checked_sub(1).and_then(|left| edges.get(left)), edges.get(cell));
                let end = right.map_or_else(String::new, |right| format!("under {right}"));
                let name = match (left, right) {
                    (Some(left), Some(right)) => format!("{left} to {right}"),
                    (Some(left), None) => format!("from {left}"),
                    (None, Some(_)) => end.clone(),
                    (None, None) => "all values".to_owned(),
                };
                (name, end)
            })
            .collect(),
        (ColumnLayout::Categorical(layout), _) => {
            let mut names = layout.categories.clone();
            if !layout.rest.is_empty() || !layout.complete {
                names.push(OTHER.to_owned());
            }
            if layout.complete {
                names.push("unseen".to_owned());
            }
            names.into_iter().map(|name| (name.clone(), name)).collect()
        }
        _ => Vec::new(),
    }
}

fn named(component: &Component, cells: &[(String, String)], ordered: bool) -> String {
    let side = side_name(component.side);
    let cell = |cell: usize| cells.get(cell).cloned().unwrap_or_default();
    match component.part {
        Part::Whole => side.to_owned(),
        Part::Cell(index) => format!("{} {side}", cell(index).0),
        Part::UpTo(index) if ordered => format!("all {} {side}", cell(index).1),
        Part::UpTo(index) => format!("{} {side}", cell(index).1),
    }
}
