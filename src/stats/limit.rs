//! A limit between the rates of two groups, in the one form in which it is tested.
//!
//! "Low over high is at least r" and "high less low is at most d" are both
//! `low >= slope * high - slack`: a half plane in the two rates. Whoever asks about groups asks for
//! every ordered pair, because either group may be the disadvantaged one.

/// What the rates of any two groups must keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// The smaller rate is at least this share of the larger one; 0 exclusive to 1. The four-fifths
    /// rule is 0.8.
    Ratio(f64),
    /// The larger rate exceeds the smaller one by at most this; 0 to 1 exclusive.
    Difference(f64),
}

impl Limit {
    /// `(slope, slack)` of `low >= slope * high - slack`; `None` for a number outside its range.
    pub fn line(self) -> Option<(f64, f64)> {
        match self {
            Self::Ratio(ratio) => (ratio > 0.0 && ratio <= 1.0).then_some((ratio, 0.0)),
            Self::Difference(difference) => (0.0..1.0).contains(&difference).then_some((1.0, difference)),
        }
    }
}
