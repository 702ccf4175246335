//! Components for a distribution on frozen cells: every cell up and down, and, where the cells have
//! an order, every cumulative share up and down. The cumulative shares are what finds small shifts:
//! they move a little in every cell and always in the same direction.

use super::null::rate_ends;
use super::rate::{Allowed, component_of};
use super::{Component, Part, Reading, Side, cell_bets};

/// What may be added to a component's bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extra {
    /// At any time, a share.
    pub tolerance: f64,
    /// By hour of the week, instead; 168 values.
    pub hourly: Option<Vec<f64>>,
}

/// Every part and side that a histogram of `cells` cells is looked at by, in the order of its
/// components: cells above, cells below, cumulative shares above and below. Names have no order, and
/// so no cumulative shares.
pub fn parts(cells: usize, ordered: bool) -> Vec<(Part, Side)> {
    let sides = [Side::Above, Side::Below];
    let single = sides.into_iter().flat_map(|side| (0..cells).map(move |cell| (Part::Cell(cell), side)));
    let last = if ordered { cells.saturating_sub(1) } else { 0 };
    let running = sides.into_iter().flat_map(|side| (0..last).map(move |cell| (Part::UpTo(cell), side)));
    single.chain(running).collect()
}

/// The components of a reference with these counts; each of its bounds is wrong with probability at
/// most `tail`. `extra` says what is added to each; a side on which the reference allows everything
/// has no component. Empty for an empty reference.
pub fn components(
    reference: &[u64],
    ordered: bool,
    tail: f64,
    extra: impl Fn(Part, Side) -> Extra,
) -> Vec<Component> {
    let m: u64 = reference.iter().sum();
    let component = |(part, side): (Part, Side)| {
        let ends = rate_ends(count(reference, part), m, tail)?;
        let end = if side == Side::Above { ends.high } else { ends.low };
        let Extra { tolerance, hourly } = extra(part, side);
        let allowed = Allowed { reference: Some(end), tolerance, hourly, limit: None };
        component_of(part, side, &allowed, cell_bets)
    };
    parts(reference.len(), ordered).into_iter().filter_map(component).collect()
}

/// Count of a part.
fn count(counts: &[u64], part: Part) -> u64 {
    match part {
        Part::Whole => counts.iter().sum(),
        Part::Cell(cell) => counts[cell],
        Part::UpTo(cell) => counts[..=cell].iter().sum(),
    }
}

/// What the counts of a pane say to each component.
pub fn readings(components: &[Component], counts: &[u64], out: &mut Vec<Reading>) {
    out.clear();
    let n: u64 = counts.iter().sum();
    out.extend(components.iter().map(|component| {
        let reading = Reading::counts(count(counts, component.part), n);
        if component.side == Side::Above { reading } else { reading.turned() }
    }));
}
