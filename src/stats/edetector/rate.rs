//! Components for a rate, or for the mean of values in [0, 1]: one side or both.

use super::{Component, Part, Side, rate_bets};

/// The null of one side: the reference's end, what is added to it, and a stated limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allowed {
    /// The reference's own end.
    pub reference: Option<f64>,
    /// How far beyond it the mean may wander; only with a reference.
    pub tolerance: f64,
    /// How far beyond it by hour of the week, instead; 168 values.
    pub hourly: Option<Vec<f64>>,
    /// A limit that is allowed whatever the reference says.
    pub limit: Option<f64>,
}

/// The component of one side, none where the null leaves nothing to find. The null is the wider of
/// the reference with its tolerance and the limit.
pub fn component(side: Side, allowed: &Allowed) -> Option<Component> {
    component_of(Part::Whole, side, allowed, rate_bets)
}

pub(super) fn component_of(
    part: Part,
    side: Side,
    allowed: &Allowed,
    bets: fn(f64) -> Vec<super::Bet>,
) -> Option<Component> {
    let turn = |value: f64| if side == Side::Above { value } else { 1.0 - value };
    let limit = allowed.limit.map(turn);
    let wider = |tolerance: f64| {
        let reference = allowed.reference.map(|end| (turn(end) + tolerance).clamp(0.0, 1.0));
        match (reference, limit) {
            (Some(reference), Some(limit)) => Some(reference.max(limit)),
            (reference, limit) => reference.or(limit),
        }
    };
    let null = wider(allowed.tolerance)?;
    let hourly = match &allowed.hourly {
        Some(hourly) => Some(hourly.iter().map(|tolerance| wider(*tolerance)).collect::<Option<Vec<f64>>>()?),
        None => None,
    };
    // Bets aim from the widest null of the week: it is the one that must leave something to find.
    let widest = hourly.iter().flatten().copied().fold(null, f64::max);
    let bets = bets(if hourly.is_some() { widest } else { null });
    (!bets.is_empty()).then_some(Component {
        part,
        side,
        reference: allowed.reference,
        tolerance: allowed.tolerance,
        null,
        hourly,
        bets,
    })
}
