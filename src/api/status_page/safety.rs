//! What the status page says of people's part: what waits for them, what they have stopped, which versions
//! are good, and what became of their orders. Whoever opens the page in an emergency reads this first.

use super::{RECENT, Safe, put, table};
use crate::api::commands::WAITS;
use crate::domain::{EventTime, ModelId, Tenant};
use crate::engine::view::{CommandOutcome, Stop, View};

fn wall(millis: i64) -> String {
    EventTime::from_millis(millis).to_string()
}

fn stopped(stop: &Stop) -> String {
    format!("by {} at {}: {}", Safe(&stop.who), wall(stop.at), Safe(&stop.reason))
}

fn named(tenant: Option<&Tenant>, model: &ModelId) -> String {
    tenant.map_or_else(|| Safe(model).to_string(), |tenant| format!("{}/{}", Safe(tenant), Safe(model)))
}

/// What stands still, and what waits for somebody.
pub(super) fn urgent(out: &mut String, view: &View) {
    if let Some(frozen) = &view.safety.frozen {
        put(out, format_args!("<p class=\"bad\">Everything is frozen {}</p>", stopped(frozen)));
    }
    for held in &view.safety.held {
        let model = named(held.tenant.as_ref(), &held.model);
        put(out, format_args!("<p class=\"warn\">Held: {model} {}</p>", stopped(&held.stop)));
    }
    let rows: Vec<Vec<String>> = view
        .actions
        .iter()
        .rev()
        .filter(|action| action.state == WAITS)
        .map(|action| {
            let to = action.to_version.as_deref().map_or_else(String::new, |to| format!(" to {}", Safe(to)));
            vec![
                action.expires_at.map_or_else(|| "no limit".to_owned(), wall),
                format!("{}{to}", Safe(&action.action)),
                Safe(&action.key).to_string(),
                Safe(&action.policy).to_string(),
                format!("<code>{}</code>", Safe(&action.id)),
                format!("<code>{}</code>", Safe(action.evidence.as_deref().unwrap_or("not sealed yet"))),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let heads = ["until", "action", "model", "policy", "id", "evidence"];
        table(out, "Waits for approval", "", &heads, &rows);
    }
}

/// The ledger of versions, the targets, and what became of orders; nothing where nothing is known of them.
pub(super) fn ledger(out: &mut String, view: &View) {
    let time = |time: Option<EventTime>| time.map_or_else(String::new, |time| time.to_string());
    let rows: Vec<Vec<String>> = view
        .safety
        .versions
        .iter()
        .map(|version| {
            let class = match version.standing {
                "good" => "good",
                "condemned" => "bad",
                _ => "dim",
            };
            let reason =
                version.reason.as_deref().map_or_else(String::new, |reason| format!(": {}", Safe(reason)));
            let qualified: Vec<String> =
                version.qualified.iter().map(|(policy, at)| format!("{} {at}", Safe(policy))).collect();
            vec![
                format!("{}@{}", named(version.tenant.as_ref(), &version.model), Safe(&version.version)),
                format!("<span class=\"{class}\">{}</span>{reason}", version.standing),
                if version.last_known_good { "a rollback goes here" } else { "" }.to_owned(),
                time(version.first_seen),
                time(version.last_seen),
                qualified.join("<br>"),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let heads = ["version", "is", "", "first seen", "last seen", "passed every check of"];
        table(out, "Versions", "", &heads, &rows);
    }
    let rows: Vec<Vec<String>> = view
        .safety
        .breakers
        .iter()
        .filter(|breaker| breaker.state != "closed")
        .map(|breaker| {
            vec![
                Safe(&breaker.action).to_string(),
                format!("<span class=\"bad\">{}</span>", breaker.state),
                breaker.failures.to_string(),
                breaker.until.map_or_else(String::new, wall),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let heads = ["target of", "breaker", "failures in a row", "left alone until"];
        table(out, "Targets that are left alone", "", &heads, &rows);
    }
    let rows: Vec<Vec<String>> = view
        .commands
        .iter()
        .rev()
        .take(RECENT)
        .map(|command| {
            let outcome = match command.outcome {
                CommandOutcome::Accepted => "<span class=\"good\">accepted</span>",
                CommandOutcome::Refused => "<span class=\"warn\">refused</span>",
                CommandOutcome::Unknown => "unknown",
            };
            let why = command.why.as_deref().map_or_else(String::new, |why| format!(": {}", Safe(why)));
            vec![
                wall(command.at),
                command.order.to_owned(),
                format!("{} ({})", Safe(&command.who), command.role),
                Safe(&command.reason).to_string(),
                format!("{outcome}{why}"),
            ]
        })
        .collect();
    if !rows.is_empty() {
        table(out, "Orders", "", &["given", "order", "by", "reason", "became"], &rows);
    }
}
