//! Answers of a daemon in words. What comes from there is text of other people, so nothing in it may
//! move the cursor of the terminal that it is printed on.

use std::fmt::Write as _;

use serde_json::Value;

use crate::domain::EventTime;

/// Text without control characters; nothing for what is no text or number.
fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

fn wall(value: &Value) -> String {
    value.as_i64().map_or_else(String::new, |millis| EventTime::from_millis(millis).to_string())
}

/// `tenant/model@version` of an object that has them.
fn name(of: &Value) -> String {
    let tenant = of["tenant"].as_str().map_or_else(String::new, |_| format!("{}/", plain(&of["tenant"])));
    let version = of["version"].as_str().map_or_else(String::new, |_| format!("@{}", plain(&of["version"])));
    format!("{tenant}{}{version}", plain(&of["model"]))
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value[key].as_array().into_iter().flatten()
}

/// One action in a few lines.
fn action(out: &mut String, action: &Value) {
    let to = action["to_version"]
        .as_str()
        .map_or_else(String::new, |_| format!(" to {}", plain(&action["to_version"])));
    line(
        out,
        format_args!(
            "{}  {} ({}{to}) of {}",
            plain(&action["id"]),
            plain(&action["action"]),
            plain(&action["kind"]),
            name(&action["key"])
        ),
    );
    let detail = plain(&action["detail"]);
    let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
    line(out, format_args!("    {} since {}{detail}", plain(&action["state"]), wall(&action["changed_at"])));
    line(
        out,
        format_args!("    policy {}, decision {}", plain(&action["policy"]), plain(&action["decision"])),
    );
    if action["evidence"].is_string() {
        line(out, format_args!("    evidence {}", plain(&action["evidence"])));
    }
    if action["expires_at"].is_i64() {
        line(out, format_args!("    may be approved until {}", wall(&action["expires_at"])));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
    out.push('\n');
}

pub(super) fn actions(answer: &Value) -> String {
    let mut out = String::new();
    for one in list(answer, "actions") {
        action(&mut out, one);
    }
    if out.is_empty() { "no action is known".to_owned() } else { out }
}

pub(super) fn safety(answer: &Value) -> String {
    let mut out = String::new();
    if answer["owns_decisions"] == false {
        line(&mut out, format_args!("another instance owns the actions, and knows what this one does not"));
    }
    let stop = |stop: &Value| {
        format!("by {} at {}: {}", plain(&stop["who"]), wall(&stop["at"]), plain(&stop["reason"]))
    };
    match &answer["frozen"] {
        Value::Null => line(&mut out, format_args!("nothing is frozen")),
        frozen => line(&mut out, format_args!("EVERYTHING IS FROZEN {}", stop(frozen))),
    }
    for held in list(answer, "held") {
        line(&mut out, format_args!("held: {} {}", name(held), stop(held)));
    }
    for version in list(answer, "versions") {
        let good = if version["last_known_good"] == true { ", the one to go back to" } else { "" };
        let why = version["reason"]
            .as_str()
            .map_or_else(String::new, |_| format!(": {}", plain(&version["reason"])));
        line(&mut out, format_args!("{} is {}{good}{why}", name(version), plain(&version["standing"])));
    }
    for breaker in list(answer, "breakers") {
        let state = plain(&breaker["state"]);
        line(
            &mut out,
            format_args!(
                "breaker of {}: {state} after {} failures",
                plain(&breaker["action"]),
                plain(&breaker["failures"])
            ),
        );
    }
    out
}

/// An action with the findings that led to it.
pub(super) fn evidence(of: &Value, decision: Option<&Value>) -> String {
    let mut out = String::new();
    action(&mut out, of);
    let Some(decision) = decision else {
        line(&mut out, format_args!("    the decision is not shown here any more; the audit log has it"));
        return out;
    };
    line(&mut out, format_args!("    {} since {}", plain(&decision["kind"]), plain(&decision["since"])));
    let verdict = |finding: &Value| match finding["sequential"]["verdict"].as_str() {
        Some(_) => plain(&finding["sequential"]["verdict"]),
        None => plain(&finding["verdict"]),
    };
    for finding in list(decision, "evidence") {
        let scope = ["feature", "output", "group"].iter().find_map(|key| finding["scope"][key].as_str());
        let bound = finding["bound"]
            .as_str()
            .map_or_else(String::new, |_| format!(", allowed {}", plain(&finding["bound"])));
        line(
            &mut out,
            format_args!(
                "    {} {} of {}: {} over {} rows{bound}, window to {}",
                verdict(finding),
                plain(&finding["check"]),
                plain(&Value::from(scope.unwrap_or("model"))),
                plain(&finding["value"]),
                plain(&finding["n"]),
                plain(&finding["window"]["end"]),
            ),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_frozen_or_held_is_said_first_and_nothing_moves_the_cursor() {
        let text = safety(&json!({
            "frozen": {"who": "alice", "reason": "feed \u{1b}[2J broken", "at": 0},
            "held": [{"tenant": "bank", "model": "credit", "who": "bob", "reason": "audit", "at": 0}],
            "versions": [{"model": "credit", "version": "1", "standing": "good", "last_known_good": true}],
            "breakers": [{"action": "roll-back", "state": "open", "failures": 3, "until": null}],
        }));
        assert!(text.starts_with("EVERYTHING IS FROZEN by alice"), "{text}");
        assert!(!text.contains('\u{1b}'));
        for part in ["held: bank/credit by bob", "credit@1 is good, the one to go back to", "open after 3"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(safety(&json!({"frozen": null})).contains("nothing is frozen"));
    }
}
