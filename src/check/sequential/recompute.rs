//! From the numbers that an alarm carries back to its e-value: what an auditor does who has the
//! finding and nothing else.
//!
//! For an e-detector, bet `i` of a component with weight `lambda_i` has
//! `after_i = ln(1 + e^before_i) + lambda_i sum - n ln(1 + null (e^lambda_i - 1))`, a pair of groups
//! the increment of `stats::pair`, and `ln e = ln(mean over all bets of e^after)`. For confidence
//! sequences every interval follows from `n`, `sum` and the level, and some pair of them has to break
//! the limit. On the machine and build that wrote a finding the result is the same to the last bit,
//! also through JSON; elsewhere it may differ by the rounding of another mathematics library, for
//! which there is a tolerance of 1e-12 and of 1e-15 of the largest term.
//!
//! This says whether the numbers follow from each other. That they are the numbers of the traffic is
//! what the audit log is for.

use std::time::Duration;

use crate::check::sequential::Slot;
use crate::domain::sequential::{ComponentEvidence, GroupSequence, Rule};
use crate::domain::{Bound, Evidence, Finding, Sequential, Verdict};
use crate::stats::edetector::{Bet, log_add_exp, log_sum_exp, threshold};
use crate::stats::fairness::Rate;
use crate::stats::limit::Limit;
use crate::stats::sequence::{self, Tuning};
use crate::stats::{Interval, pair};

/// Distance between two results of the same sums of moderate size.
const TOLERANCE: f64 = 1e-12;
/// The same as a part of the largest term.
const ROUNDING: f64 = 1e-15;
/// Ends of a confidence sequence are found by bisection.
const END: f64 = 1e-10;
/// Integers up to here are exact as `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What the numbers of an alarm come to, where they agree.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Recomputed {
    /// `ln e` after the pane; none for confidence sequences, and where components are left out.
    pub log_e: Option<f64>,
    /// Components that the record has left out: then `ln e` is not computed, only what is there.
    pub omitted: u64,
    /// Stored numbers that were computed again.
    pub numbers: usize,
    /// Largest distance of one of them from what was computed.
    pub largest_difference: f64,
}

/// Why an alarm does not follow from its own numbers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A stored number is another one than its own inputs give.
    #[error("{what} is stored as {}, and its own numbers give {computed}", shown(*.stored))]
    Differs {
        /// Which number.
        what: String,
        /// As it is stored; none for minus infinity.
        stored: Option<f64>,
        /// As it is computed.
        computed: f64,
    },
    /// The numbers agree, and are no alarm.
    #[error("{0}")]
    NoAlarm(String),
    /// Nothing can be computed from it.
    #[error("{what} {why}")]
    Malformed {
        /// What.
        what: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

fn shown(stored: Option<f64>) -> String {
    stored.map_or_else(|| "none".to_owned(), |stored| stored.to_string())
}

fn malformed(what: impl Into<String>, why: &'static str) -> Error {
    Error::Malformed { what: what.into(), why }
}

impl Recomputed {
    fn same(
        &mut self,
        what: impl Fn() -> String,
        stored: Option<f64>,
        computed: f64,
        within: f64,
    ) -> Result<(), Error> {
        // Minus infinity is stored as none.
        let difference = match (stored, computed == f64::NEG_INFINITY) {
            (None, true) => 0.0,
            (Some(stored), false) => (stored - computed).abs(),
            _ => f64::INFINITY,
        };
        // Written so that a difference that is no number is one.
        if difference <= within {
            self.numbers += 1;
            self.largest_difference = self.largest_difference.max(difference);
            return Ok(());
        }
        Err(Error::Differs { what: what(), stored, computed })
    }
}

/// Computes an alarm again from its own numbers.
///
/// # Errors
/// Says which stored number is not the one that its inputs give, or why there is no alarm in them.
pub fn recompute(evidence: &Evidence) -> Result<Recomputed, Error> {
    match evidence.rule {
        Rule::EDetector => detector(evidence),
        Rule::ConfidenceSequence => sequences(evidence),
    }
}

/// The same, and what else of the finding belongs to its alarm: that the threshold follows from the
/// share of the budget, the nulls from reference, tolerance and bound, and the verdict from the alarm.
/// None for a finding without an alarm.
///
/// # Errors
/// As [`recompute`].
pub fn recompute_finding(finding: &Finding) -> Option<Result<Recomputed, Error>> {
    let sequential = finding.sequential.as_ref()?;
    let evidence = sequential.evidence.as_deref()?;
    Some(recompute(evidence).and_then(|mut done| {
        surroundings(finding, sequential, evidence, &mut done)?;
        Ok(done)
    }))
}

/// `ln e` after the pane from `n`, `sum`, `null`, `lambda` and the logarithms before it; what is
/// stored of the result is not looked at. None for confidence sequences, where components are left
/// out, and where it cannot be computed.
pub fn log_e(evidence: &Evidence) -> Option<f64> {
    if evidence.omitted > 0 {
        return None;
    }
    let mut logs = Vec::new();
    for component in &evidence.components {
        logs.extend(afters(component).ok()?.into_iter().map(|(log, _)| log));
    }
    (!logs.is_empty()).then(|| mean(&logs))
}

/// Indexes of the lower and the higher group of `count` ordered pairs, in the order of an alarm's
/// components of one kind of rate; none where so many pairs are not all pairs of some groups.
pub fn ordered_pairs(count: usize) -> Option<Vec<(usize, usize)>> {
    let groups = (2..=count + 1).find(|groups| groups * (groups - 1) >= count)?;
    let pairs = (0..groups).flat_map(|low| (0..groups).map(move |high| (low, high)));
    let pairs: Vec<(usize, usize)> = pairs.filter(|(low, high)| low != high).collect();
    (pairs.len() == count).then_some(pairs)
}

/// `ln` of the mean of `e^log`.
fn mean(logs: &[f64]) -> f64 {
    log_sum_exp(logs) - (logs.len().max(1) as f64).ln()
}

fn logs(stored: &[Option<f64>]) -> impl Iterator<Item = f64> {
    stored.iter().map(|log| log.unwrap_or(f64::NEG_INFINITY))
}

fn detector(evidence: &Evidence) -> Result<Recomputed, Error> {
    let mut done = Recomputed::default();
    if evidence.components.is_empty() {
        return Err(malformed("an alarm of an e-detector", "without components"));
    }
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for component in &evidence.components {
        before.extend(logs(&component.before));
        let computed = afters(component)?;
        for (bet, ((log, within), stored)) in computed.iter().zip(&component.after).enumerate() {
            let what = || format!("`{}`, bet {}: ln M after the pane", component.name, bet + 1);
            done.same(what, *stored, *log, *within)?;
        }
        after.extend(computed.into_iter().map(|(log, _)| log));
    }
    done.omitted = evidence.omitted;
    if evidence.omitted == 0 {
        whole(evidence, &before, &after, &mut done)?;
    } else {
        part(evidence, &after, &mut done)?;
    }
    // A detector that begins has seen nothing; after its first pane every bet has.
    let first = evidence.panes == 1;
    if evidence.panes == 0 || before.iter().any(|log| (*log == f64::NEG_INFINITY) != first) {
        return Err(malformed("the number of panes", "does not fit the logarithms before the pane"));
    }
    let Some(least) = evidence.log_threshold else {
        return Err(malformed("an alarm of an e-detector", "without a threshold"));
    };
    let log_e = evidence.log_e_after.unwrap_or(f64::NEG_INFINITY);
    if log_e < least {
        return Err(Error::NoAlarm(format!("ln e is {log_e}, below its threshold {least}")));
    }
    Ok(done)
}

/// What follows from all components: `ln e` before and after the pane, and their shares of it.
fn whole(evidence: &Evidence, before: &[f64], after: &[f64], done: &mut Recomputed) -> Result<(), Error> {
    let within = |log: f64| TOLERANCE + ROUNDING * if log.is_finite() { log.abs() } else { 0.0 };
    let (log_before, log_e) = (mean(before), mean(after));
    done.same(|| "ln e before the pane".to_owned(), evidence.log_e_before, log_before, within(log_before))?;
    done.same(|| "ln e after the pane".to_owned(), evidence.log_e_after, log_e, within(log_e))?;
    let all = log_sum_exp(after);
    for (component, part) in parts(evidence, after) {
        let what = || format!("the share of `{}`", component.name);
        done.same(what, Some(component.share), (part - all).exp(), TOLERANCE)?;
    }
    counted_once(evidence)?;
    done.log_e = Some(log_e);
    Ok(())
}

/// What follows from some of the components: how their shares of the e-value compare.
fn part(evidence: &Evidence, after: &[f64], done: &mut Recomputed) -> Result<(), Error> {
    let mut parts = parts(evidence, after);
    let Some((first, log)) = parts.next() else { return Ok(()) };
    let all = log - first.share.ln();
    let mut shares = first.share;
    for (component, part) in parts {
        let what = || format!("the share of `{}` beside that of `{}`", component.name, first.name);
        done.same(what, Some(component.share), (part - all).exp(), TOLERANCE)?;
        shares += component.share;
    }
    if !(shares > 0.0 && shares <= 1.0 + TOLERANCE) {
        return Err(malformed("the shares of the components", "are more than the whole"));
    }
    Ok(())
}

/// Each component with the logarithm of the sum of its `M` after the pane.
fn parts<'a>(evidence: &'a Evidence, after: &'a [f64]) -> impl Iterator<Item = (&'a ComponentEvidence, f64)> {
    let mut at = 0;
    evidence.components.iter().map(move |component| {
        let begin = at;
        at += component.after.len();
        (component, log_sum_exp(&after[begin..at]))
    })
}

/// `ln M` of every bet after the pane, and how far a stored one may be from it.
fn afters(component: &ComponentEvidence) -> Result<Vec<(f64, f64)>, Error> {
    let ComponentEvidence { name, n, sum, null, lambda, before, after, .. } = component;
    let wrong = |why| malformed(format!("`{name}`"), why);
    let bets = before.len();
    if bets == 0 || after.len() != bets {
        return Err(wrong("has not one logarithm per bet before and after the pane"));
    }
    let carried = |bet: usize| log_add_exp(0.0, before[bet].unwrap_or(f64::NEG_INFINITY));
    match (n.as_slice(), sum.as_slice(), null.as_slice()) {
        (&[n], &[sum], &[null]) if lambda.len() == bets => {
            if !((0.0..=EXACT).contains(&n) && (0.0..=n * (1.0 + TOLERANCE)).contains(&sum)) {
                return Err(wrong("has a sum that is not between 0 and its observations"));
            }
            if !(null > 0.0 && null < 1.0) {
                return Err(wrong("has a null that is not between 0 and 1"));
            }
            let after = |(bet, lambda): (usize, &f64)| {
                let (gain, cost) = (lambda * sum, n * Bet::new(*lambda, null).psi);
                let terms = carried(bet).abs() + gain.abs() + cost.abs();
                (carried(bet) + (gain - cost), TOLERANCE + ROUNDING * terms)
            };
            Ok(lambda.iter().enumerate().map(after).collect())
        }
        (&[low_n, high_n], &[low_k, high_k], &[slope, slack]) if lambda.len() == 2 * bets => {
            let limit = if slack == 0.0 { Limit::Ratio(slope) } else { Limit::Difference(slack) };
            if limit.line() != Some((slope, slack)) {
                return Err(wrong("has no limit between groups"));
            }
            let rate = |k: f64, n: f64| {
                let counts = k.fract() == 0.0 && n.fract() == 0.0 && k >= 0.0 && n >= k && n <= EXACT;
                counts.then_some(Rate { k: k as u64, n: n as u64 })
            };
            let (Some(low), Some(high)) = (rate(low_k, low_n), rate(high_k, high_n)) else {
                return Err(wrong("has counts that are none"));
            };
            let after = |(bet, pair): (usize, &[f64])| {
                let (scale, centre) = (pair[0], pair[1]);
                let increment = pair::log_increment(low, high, limit, pair::Bet { scale, centre });
                let increment = increment.ok_or_else(|| wrong("has a bet that is none"))?;
                let terms = carried(bet).abs() + low_n + high_n;
                Ok((carried(bet) + increment, TOLERANCE + ROUNDING * terms))
            };
            lambda.chunks(2).enumerate().map(after).collect()
        }
        _ => Err(wrong("has not the numbers of one rate or of two groups")),
    }
}

/// Components look at the same rows: all cells at those of the pane, all pairs at those of a group.
fn counted_once(evidence: &Evidence) -> Result<(), Error> {
    let components = &evidence.components;
    let differing = |what: &str, found: [f64; 2], first: [f64; 2]| {
        let index = usize::from(found[0] == first[0]);
        Err(Error::Differs { what: what.to_owned(), stored: Some(found[index]), computed: first[index] })
    };
    let mut begin = 0;
    for kind in components.chunk_by(|a, b| kind_of(&a.name) == kind_of(&b.name)) {
        if kind[0].n.len() == 1 {
            continue;
        }
        let name = format!("`{}` and what follows it", components[begin].name);
        let Some(pairs) = ordered_pairs(kind.len()) else {
            return Err(malformed(name, "are not all pairs of some groups"));
        };
        let mut groups: Vec<Option<[f64; 2]>> = vec![None; pairs.len() + 1];
        for (component, (low, high)) in kind.iter().zip(pairs) {
            for (side, group) in [low, high].into_iter().enumerate() {
                let found = [component.n[side], component.sum[side]];
                let first = *groups[group].get_or_insert(found);
                if found != first {
                    return differing(&format!("a group in `{}`", component.name), found, first);
                }
            }
        }
        begin += kind.len();
    }
    let single = components.iter().filter(|component| component.n.len() == 1);
    let mut rows = single.map(|component| (component, component.n[0]));
    if let Some((_, first)) = rows.next() {
        for (component, n) in rows {
            if n != first {
                return differing(&format!("the rows of `{}`", component.name), [n, 0.0], [first, 0.0]);
            }
        }
    }
    Ok(())
}

/// Which rate of groups a component is about, as its name begins.
pub fn kind_of(name: &str) -> Option<&str> {
    let kind = name.split_once(" of ").map(|(kind, _)| kind)?;
    ["selection_rate", "true_positive_rate", "false_positive_rate"].contains(&kind).then_some(kind)
}

fn limit_of(bound: Bound) -> Option<Limit> {
    let limit = match bound {
        Bound::AtLeast(ratio) => Limit::Ratio(ratio),
        Bound::AtMost(difference) => Limit::Difference(difference),
        Bound::Between(..) => return None,
    };
    limit.line().map(|_| limit)
}

fn stated_limit(evidence: &Evidence) -> Result<Limit, Error> {
    let bound = evidence.limit.as_deref().and_then(|limit| limit.parse::<Bound>().ok());
    bound.and_then(limit_of).ok_or_else(|| malformed("the limit between groups", "is none"))
}

fn sequences(evidence: &Evidence) -> Result<Recomputed, Error> {
    let mut done = Recomputed::default();
    let limit = stated_limit(evidence)?;
    let alpha = evidence.alpha.filter(|alpha| *alpha > 0.0 && *alpha < 1.0);
    let alpha = alpha.ok_or_else(|| malformed("the level of the sequences", "is not between 0 and 1"))?;
    let each = alpha / evidence.groups.len().max(1) as f64;
    let mut broken = false;
    for kind in evidence.groups.chunk_by(|a, b| a.rate == b.rate) {
        let mut intervals = Vec::new();
        for group in kind {
            intervals.push(interval(group, each, &mut done)?);
        }
        broken |= widest_breach(&intervals, limit).is_some_and(|(_, _, margin)| margin < 0.0);
    }
    if !broken {
        let what = "the intervals of no two groups break the limit for certain";
        return Err(Error::NoAlarm(what.to_owned()));
    }
    Ok(done)
}

fn interval(group: &GroupSequence, each: f64, done: &mut Recomputed) -> Result<Interval, Error> {
    let name = format!("{} of {}", group.rate, group.group);
    let found = sequence::interval(group.n, group.sum as f64, each, Tuning::default());
    let found = found.ok_or_else(|| malformed(&name, "has more that count than rows"))?;
    match group.interval {
        Some([low, high]) if group.n > 0 => {
            done.same(|| format!("{name}: lower end"), Some(low), found.low, END)?;
            done.same(|| format!("{name}: upper end"), Some(high), found.high, END)?;
        }
        None if group.n == 0 => {}
        _ => return Err(malformed(name, "has rows and no interval, or an interval and no rows")),
    }
    Ok(found)
}

/// The pair of groups, lower and higher, that breaks the limit by most even at the ends that favour
/// it, and by how much it keeps it there; negative where it breaks it. None for fewer than two.
pub fn widest_breach(intervals: &[Interval], limit: Limit) -> Option<(usize, usize, f64)> {
    let (slope, slack) = limit.line()?;
    let pairs = ordered_pairs(intervals.len() * intervals.len().saturating_sub(1))?;
    let margin = |(low, high): (usize, usize)| {
        (low, high, intervals[low].high - (slope * intervals[high].low - slack))
    };
    pairs.into_iter().map(margin).min_by(|a, b| a.2.total_cmp(&b.2))
}

/// The parts of a finding around its alarm.
fn surroundings(
    finding: &Finding,
    sequential: &Sequential,
    evidence: &Evidence,
    done: &mut Recomputed,
) -> Result<(), Error> {
    let expected = if sequential.shadow.is_some() { Verdict::Insufficient } else { Verdict::Breach };
    if sequential.verdict != expected {
        return Err(malformed("the sequential verdict", "is not the one of an alarm"));
    }
    if let Some(limit) = &evidence.limit
        && finding.bound.map(|bound| bound.to_string()).as_ref() != Some(limit)
    {
        return Err(malformed("the limit between groups", "is not the bound of the check"));
    }
    let between_groups = evidence.limit.is_some();
    // A limit is watched by a detector and by a sequence: half of the share for each.
    let half = if between_groups { 0.5 * sequential.share } else { sequential.share };
    let width = evidence.pane.end.as_millis() - evidence.pane.start.as_millis();
    let Some(width) = u64::try_from(width).ok().filter(|width| *width > 0) else {
        return Err(malformed("the pane", "does not end after it begins"));
    };
    let width = Duration::from_millis(width).as_secs_f64();
    let panes = sequential.per_seconds as f64 / width;
    let what = || "the threshold by the share of the budget".to_owned();
    let least = threshold(panes, half).max(1.0).ln();
    done.same(what, Some(sequential.log_threshold), least, TOLERANCE)?;
    if let Some(stored) = evidence.log_threshold {
        let what = || "the threshold of the alarm".to_owned();
        done.same(what, Some(stored), sequential.log_threshold, 0.0)?;
    }
    if let Some(alpha) = evidence.alpha {
        // Every start of a sequence may spend as much as every other.
        let starts = (half / alpha).round().max(1.0);
        let what = || "the level by the share of the budget".to_owned();
        done.same(what, Some(alpha), (half / starts).min(0.5), TOLERANCE)?;
    }
    if between_groups {
        let line = stated_limit(evidence)?.line();
        for component in &evidence.components {
            if component.null.first().copied().zip(component.null.get(1).copied()) != line {
                return Err(malformed(format!("`{}`", component.name), "is not held against the limit"));
            }
        }
    } else {
        nulls(finding, sequential, evidence, done)?;
    }
    let key = Slot::key_of(finding.metric, &finding.scope);
    let own = evidence.moved.iter().find(|it| it.scope == key).map(|it| it.log_e);
    if let (Some(own), Some(log_e)) = (own, evidence.log_e_after) {
        done.same(|| format!("ln e of {key} among what moved"), Some(own), log_e, TOLERANCE)?;
    }
    if evidence.pane.end == finding.window.end {
        // Nothing came after the alarm: a detector has begun again, and one beside sequences goes on.
        let now = if evidence.rule == Rule::EDetector { Some(f64::NEG_INFINITY) } else { own };
        // What moved names the first few only.
        if let Some(now) = now {
            done.same(|| "ln e after the window".to_owned(), sequential.log_e, now, TOLERANCE)?;
        }
    }
    Ok(())
}

/// Whether a component looks for a fall; its numbers are then those of `1 - x`.
pub fn looks_below(component: &ComponentEvidence) -> bool {
    component.name == "below" || component.name.ends_with(" below")
}

/// That nulls are the reference with its tolerance, or the bound where that allows more.
fn nulls(
    finding: &Finding,
    sequential: &Sequential,
    evidence: &Evidence,
    done: &mut Recomputed,
) -> Result<(), Error> {
    for component in &evidence.components {
        let turn = |value: f64| if looks_below(component) { 1.0 - value } else { value };
        let (Some(reference), Some(tolerance)) = (component.reference, component.tolerance) else {
            continue;
        };
        let null = component.null[0];
        let held = (turn(reference) + tolerance).clamp(0.0, 1.0);
        let bound = match (finding.bound, looks_below(component)) {
            (Some(Bound::AtMost(limit) | Bound::Between(_, limit)), false)
            | (Some(Bound::AtLeast(limit) | Bound::Between(limit, _)), true) => turn(limit),
            _ => held,
        };
        // Bounds of distances are no rates, and are not in the nulls of cells.
        let wider = if sequential.null.is_some() { held.max(bound) } else { held };
        done.same(|| format!("the null of `{}`", component.name), Some(null), wider, TOLERANCE)?;
    }
    if let Some(range) = sequential.null {
        // A side that is not looked at allows everything.
        for (below, end, all) in [(true, range[0], 0.0), (false, range[1], 1.0)] {
            let unseen = evidence.components.iter().all(|component| looks_below(component) != below);
            if unseen && evidence.omitted == 0 {
                done.same(|| "the range that is no fault".to_owned(), Some(end), all, 0.0)?;
            }
        }
        for component in &evidence.components {
            let below = looks_below(component);
            let (end, null) =
                if below { (range[0], 1.0 - component.null[0]) } else { (range[1], component.null[0]) };
            // By hour of the week the range is that of the widest hour.
            let hourly = component.reference.is_some() && component.tolerance.is_none();
            let fits = if below { end <= null } else { end >= null };
            let nearest = if hourly && fits { end } else { null };
            done.same(|| "the range that is no fault".to_owned(), Some(end), nearest, TOLERANCE)?;
        }
    }
    let tolerances = evidence.components.iter().filter(|component| component.reference.is_some());
    let tolerances: Option<Vec<f64>> = tolerances.map(|component| component.tolerance).collect();
    let tolerances = tolerances.filter(|_| evidence.omitted == 0);
    if let Some(largest) = tolerances.and_then(|all| all.into_iter().reduce(f64::max)) {
        let what = || "the tolerance of the check".to_owned();
        done.same(what, sequential.tolerance, largest, TOLERANCE)?;
    }
    Ok(())
}
