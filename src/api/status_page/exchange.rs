//! What the status page says of the instance and its part of the exchange. "Why does no window
//! close" has its answer here.

use super::{About, Safe, count, put, table, time};
use crate::engine::view::{ExchangeView, View};

/// Source partitions named in one row.
const NAMED: usize = 5;

/// The line under the heading: who this is and what it does.
pub(super) fn instance(out: &mut String, about: &About<'_>, view: &View) {
    let Some(name) = &about.instance else { return };
    put(out, format_args!("<p>Instance <b>{}</b>: {}", Safe(name), Safe(about.roles.join(", "))));
    if !view.exchange.is_empty() {
        put(out, format_args!("; evaluates {} partitions of the exchange", view.exchange.len()));
    }
    match about.owns_decisions {
        Some(true) => out.push_str("; owns the decisions"),
        Some(false) => out.push_str("; stands by for the decisions"),
        None => {}
    }
    out.push_str("</p>");
}

/// The partitions of the exchange that are held here; nothing where nothing joins this to others.
pub(super) fn partitions(out: &mut String, view: &View) {
    if view.exchange.is_empty() {
        return;
    }
    let rows: Vec<Vec<String>> = view.exchange.iter().map(row).collect();
    let heads =
        ["partition", "next offset", "event time", "seconds behind the clock", "held back by", "faults"];
    table(out, "Exchange", "", &heads, &rows);
}

fn row(held: &ExchangeView) -> Vec<String> {
    let behind = held.watermark.filter(|_| held.wall > 0);
    let behind = behind.map_or_else(
        || "unknown".to_owned(),
        |watermark| format!("{:.1}", held.wall.saturating_sub(watermark.as_millis()) as f64 / 1000.0),
    );
    let mut holding: Vec<String> =
        held.holding.iter().take(NAMED).map(|source| Safe(source).to_string()).collect();
    if held.holding.len() > NAMED {
        holding.push(format!("and {} more", held.holding.len() - NAMED));
    }
    let faults = held.faults;
    let mut wrong = Vec::new();
    for (number, name) in [
        (faults.gap_offsets, "offsets missing"),
        (faults.overlaps, "overlaps"),
        (faults.foreign_rows, "rows refused"),
    ] {
        if number > 0 {
            wrong.push(format!("{} {name}", count(number)));
        }
    }
    vec![
        held.partition.to_string(),
        held.position.to_string(),
        time(held.watermark),
        behind,
        holding.join(", "),
        if wrong.is_empty() {
            "none".to_owned()
        } else {
            format!("<span class=\"bad\">{}</span>", wrong.join(", "))
        },
    ]
}
