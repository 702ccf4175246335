//! Bets: how strongly each pane is weighed. A bet is best against one rate, so a detector holds a
//! few, from the least effect worth finding to a large one.

/// One bet against a null.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bet {
    /// Its weight per unit of the sum.
    pub lambda: f64,
    /// `e^lambda - 1`.
    growth: f64,
    /// `ln(1 - m + m e^lambda)` at the null `m` it was made for: what an observation costs.
    pub psi: f64,
}

impl Bet {
    /// A bet of weight `lambda > 0` against `E[x] <= null`.
    pub fn new(lambda: f64, null: f64) -> Self {
        let growth = lambda.exp_m1();
        Self { lambda, growth, psi: (null * growth).ln_1p() }
    }

    /// The bet that grows fastest at the rate `alternative > null`:
    /// `lambda = ln(d (1 - m) / (m (1 - d)))`, both strictly between 0 and 1.
    pub fn towards(null: f64, alternative: f64) -> Self {
        Self::new(weight(null, alternative), null)
    }

    /// What an observation costs at another null.
    pub fn psi_at(&self, null: f64) -> f64 {
        (null * self.growth).ln_1p()
    }
}

fn weight(null: f64, alternative: f64) -> f64 {
    (alternative * (1.0 - null) / (null * (1.0 - alternative))).ln()
}

/// `count` points from `first` to `last`, each the same multiple of the one before.
fn geometric(first: f64, last: f64, count: usize) -> impl Iterator<Item = f64> {
    let ratio = (last / first).ln() / (count - 1) as f64;
    (0..count).map(move |i| first * (ratio * i as f64).exp())
}

/// Eight bets for a rate or mean: effects from .01 to .4, geometric, `d = min(m + effect, .999)`.
/// None where the null leaves nothing to find (not strictly between 0 and .999).
pub fn rate_bets(null: f64) -> Vec<Bet> {
    if !(null > 0.0 && null < 0.999) {
        return Vec::new();
    }
    geometric(0.01, 0.4, 8).map(|effect| Bet::towards(null, (null + effect).min(0.999))).collect()
}

/// Six bets for a cell of a histogram: effects from .01 to .3, geometric. Near 1 the bet is aimed
/// from .99 on, at most at .995, and still priced at the null itself, so that it stays valid. None
/// where the null is not strictly between 0 and 1.
pub fn cell_bets(null: f64) -> Vec<Bet> {
    if !(null > 0.0 && null < 1.0) {
        return Vec::new();
    }
    let from = null.min(0.99);
    let aims = geometric(0.01, 0.3, 6).map(|effect| (null + effect).min(0.995).max(from + 1e-4));
    aims.map(|aim| Bet::new(weight(from, aim), null)).collect()
}
