//! What must hold however a story went: what the servers did, and what the audit log says of it.

use std::fmt;

use serde_json::Value;

use super::audit::{about, actions};
use super::story::Told;
use super::worlds::Site;

mod tests;

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) kills: usize,
    pub(super) stops: usize,
    pub(super) applied: usize,
    pub(super) suppressed: usize,
    pub(super) needs_human: usize,
    pub(super) verified: usize,
    pub(super) requests: usize,
    /// Effects by site, in the order of `Site::ALL`.
    sites: [usize; 4],
    /// Requests for an effect beyond the effects.
    pub(super) repeated: usize,
    pub(super) entries: usize,
    pub(super) failures: Vec<String>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, stops, applied, suppressed, needs_human, verified, requests, .. } = self;
        let [webhook, mlflow, airflow, github] = self.sites;
        write!(
            f,
            "{kills} kills, {stops} stops; {requests} requests, {} effects (webhook {webhook}, mlflow {mlflow}, airflow {airflow}, github {github}), {} repetitions without one; {applied} applied ({verified} verified), {suppressed} suppressed, {needs_human} need a person; {} audit entries; {} failures",
            self.effects(),
            self.repeated,
            self.entries,
            self.failures.len()
        )
    }
}

impl Tally {
    pub(super) fn failed(why: String) -> Self {
        Self { failures: vec![why], ..Self::default() }
    }

    pub(super) fn effects(&self) -> usize {
        self.sites.iter().sum()
    }

    pub(super) fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.stops += other.stops;
        self.applied += other.applied;
        self.suppressed += other.suppressed;
        self.needs_human += other.needs_human;
        self.verified += other.verified;
        self.requests += other.requests;
        for (sum, effects) in self.sites.iter_mut().zip(other.sites) {
            *sum += effects;
        }
        self.repeated += other.repeated;
        self.entries += other.entries;
        self.failures.extend(other.failures);
    }
}

/// Why a story is not as it should be.
fn unless(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// Holds a story against what was promised.
pub(super) fn judge(told: &Told) -> Result<Tally, String> {
    let Told { audit, worlds, requests, .. } = told;
    let mut tally = Tally {
        kills: told.kills,
        stops: told.stops,
        requests: requests.len(),
        entries: audit.len(),
        ..Tally::default()
    };
    unless(worlds.unknown.is_empty(), || format!("unknown requests: {:?}", worlds.unknown))?;
    for (number, entry) in audit.iter().enumerate() {
        unless(entry["seq"] == number, || format!("entry {number} of the audit log is {entry}"))?;
    }
    let actions = actions(audit);
    unless(actions.len() == told.sites.len(), || format!("the actions are {actions:?}"))?;
    for (name, id) in &actions {
        let site = Site::named(name).ok_or("an action of another name")?;
        let state = logged(audit, id).map_err(|why| format!("{name}: {why}; {audit:#?}"))?;
        let effects = done(told, site, id, &state)
            .map_err(|why| format!("{name} ended as {state}, {why}; {worlds:?}; {requests:?}; {audit:#?}"))?;
        tally.sites[site as usize] += effects;
        let sent = requests.iter().filter(|(_, what)| what == site.effect()).count();
        unless(sent == 0 || !about(audit, "intent", id).is_empty(), || {
            format!("{name} was asked for without an intent; {audit:#?}")
        })?;
        tally.repeated += sent.saturating_sub(effects);
        match state.as_str() {
            "applied" => tally.applied += 1,
            "suppressed" => tally.suppressed += 1,
            _ => tally.needs_human += 1,
        }
        tally.verified += about(audit, "verified", id).len();
    }
    Ok(tally)
}

/// What the log says of one action: evidence, intent, outcome, in this order and each once. Returns how
/// it has ended.
fn logged(audit: &[Value], id: &str) -> Result<String, String> {
    let stands_on = |entry: &&Value| {
        entry["kind"] == "evidence"
            && entry["action_ids"].as_array().is_some_and(|ids| ids.iter().any(|known| known == id))
    };
    let evidence: Vec<&Value> = audit.iter().filter(stands_on).collect();
    let [intents, outcomes, accepted, verified] =
        ["intent", "outcome", "accepted", "verified"].map(|kind| about(audit, kind, id));
    let [evidence] = evidence[..] else { return Err(format!("{} entries of evidence", evidence.len())) };
    let [outcome] = outcomes[..] else { return Err(format!("{} outcomes", outcomes.len())) };
    let state = outcome["outcome"]["state"].as_str().unwrap_or_default().to_owned();
    let seq = |entry: &Value| entry["seq"].as_u64().unwrap();
    unless(accepted.len() <= 1, || format!("accepted {} times", accepted.len()))?;
    match intents[..] {
        [intent] => {
            let ordered = seq(evidence) < seq(intent) && seq(intent) < seq(outcome);
            unless(ordered, || "evidence, intent and outcome are in another order".to_owned())?;
            let between = |entry: &&Value| seq(intent) < seq(entry) && seq(entry) < seq(outcome);
            unless(accepted.iter().all(between), || "accepted at another place".to_owned())?;
        }
        // What was never begun has no intent.
        [] => unless(state == "suppressed" && seq(evidence) < seq(outcome), || {
            format!("it ended as {state} without an intent")
        })?,
        _ => return Err(format!("{} intents", intents.len())),
    }
    let rolled_back = outcome["outcome"].get("since").is_some();
    let results: Vec<&Value> = verified.iter().map(|entry| &entry["result"]).collect();
    let expected = if rolled_back { vec!["recovered"] } else { vec![] };
    unless(results == expected, || format!("verified as {results:?}"))?;
    Ok(state)
}

/// What the server did for an action, which it must not have done twice. Returns how often it did it.
fn done(told: &Told, site: Site, id: &str, state: &str) -> Result<usize, String> {
    let Told { worlds, requests, .. } = told;
    let sent = requests.iter().filter(|(_, what)| what == site.effect()).count();
    match site {
        // Keyed: once in the end, under one id.
        Site::Webhook => {
            unless(worlds.hooks.keys().eq([id]), || "the ids are others".to_owned())?;
            unless(state == "applied", || "and should be applied".to_owned())?;
            Ok(worlds.hooks.len())
        }
        Site::Airflow => {
            unless(worlds.dag_runs.keys().eq([id]), || "the runs are others".to_owned())?;
            unless(state == "applied", || "and should be applied".to_owned())?;
            Ok(worlds.dag_runs.len())
        }
        // State-like: what somebody else wrote stays, and where nobody did the good version serves.
        Site::Mlflow => {
            unless(worlds.overwritten == 0, || "what a person wrote was overwritten".to_owned())?;
            unless(worlds.moves <= 1, || format!("it was moved {} times", worlds.moves))?;
            let (alias, states): (u32, &[&str]) = match told.person {
                true => (3, &["applied", "suppressed", "needs_human"]),
                false => (1, &["applied"]),
            };
            unless(worlds.alias == alias, || format!("the alias is on {}", worlds.alias))?;
            unless(states.contains(&state), || format!("and should be one of {states:?}"))?;
            let without_move = told.person && worlds.moves == 0;
            unless(!(without_move && state == "applied"), || "and nothing was moved".to_owned())?;
            Ok(worlds.moves)
        }
        // Unkeyed: sent once at most, and found again or left to a person.
        Site::Github => {
            unless(sent <= 1 && worlds.dispatches <= 1, || format!("it was sent {sent} times"))?;
            let effects = worlds.workflow_runs.len();
            unless(worlds.workflow_runs.iter().all(|(known, _)| known == id), || "of another".to_owned())?;
            let states: &[&str] = match effects {
                0 => &["needs_human"],
                1 => &["applied", "needs_human"],
                _ => return Err(format!("it has {effects} effects")),
            };
            unless(states.contains(&state), || format!("and should be one of {states:?}"))?;
            // A run that is listed is found.
            unless(effects == 0 || told.late || state == "applied", || "and it was there".to_owned())?;
            Ok(effects)
        }
    }
}
