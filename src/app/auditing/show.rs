//! `plimsoll audit show`: the entries for people, a line each.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};

use serde_json::Value;

use super::order::{self, Read};
use super::source::Log;
use crate::domain::EventTime;

/// Which entries are shown; all of what is given must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// About this action.
    pub action: Option<String>,
    /// About this model.
    pub model: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Made at this time or later.
    pub since: Option<EventTime>,
    /// As they are stored.
    pub json: bool,
}

/// Prints the entries of `log` that `filter` asks for. A reader that stops early ends it without an error.
///
/// # Errors
/// When the log cannot be read, or nothing can be written.
pub fn show(log: &Log, filter: &Filter, out: &mut dyn Write) -> anyhow::Result<()> {
    // The models that actions and decisions are about, as decisions before them say.
    let mut models: BTreeMap<String, String> = BTreeMap::new();
    let shown = log.entries(&mut |index, bytes| {
        let read = match order::read(index, bytes) {
            Ok(read) => read,
            Err(wrong) => {
                writeln!(out, "{index:>6}  UNREADABLE: {wrong}")?;
                return Ok(());
            }
        };
        let model = model_of(&read, &mut models);
        if !filter.takes(&read, model.as_deref()) {
            return Ok(());
        }
        if filter.json {
            out.write_all(bytes)?;
            writeln!(out)?;
        } else {
            let model = model.unwrap_or_else(|| "-".to_owned());
            let time = read.value["time"].as_str().unwrap_or_default();
            writeln!(out, "{index:>6}  {time:24}  {:9}  {model:16}  {}", read.kind(), words(&read))?;
        }
        Ok(())
    });
    let flushed = shown.and_then(|_| Ok(out.flush()?));
    match flushed {
        Err(error)
            if error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|it| it.kind() == ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        other => other,
    }
}

impl Filter {
    fn takes(&self, read: &Read, model: Option<&str>) -> bool {
        let time = read.value["time"].as_str().and_then(|time| time.parse::<EventTime>().ok());
        self.kind.as_deref().is_none_or(|kind| kind == read.kind())
            && self.model.as_deref().is_none_or(|asked| model == Some(asked))
            && self.action.as_deref().is_none_or(|action| read.actions().contains(&action))
            && self.since.is_none_or(|since| time.is_none_or(|time| time >= since))
    }
}

/// The model that the entry is about.
fn model_of(read: &Read, models: &mut BTreeMap<String, String>) -> Option<String> {
    let value = &read.value;
    let named = value["decision"]["key"]["model"]
        .as_str()
        .or(value["key"]["model"].as_str())
        .or(value["model"].as_str());
    let ids: Vec<&str> = read.actions().into_iter().chain(read.decision()).collect();
    if let Some(model) = named {
        for id in ids {
            models.insert(id.to_owned(), model.to_owned());
        }
        return Some(model.to_owned());
    }
    ids.into_iter().find_map(|id| models.get(id)).cloned()
}

/// What the entry says, shortly.
fn words(read: &Read) -> String {
    let value = &read.value;
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let mut parts: Vec<String> = Vec::new();
    match read.kind() {
        "decision" => {
            let decision = &value["decision"];
            parts.push(format!(
                "{} policy={} version={}",
                text(&decision["kind"]),
                text(&decision["policy"]),
                text(&decision["key"]["version"])
            ));
            for planned in value["actions"].as_array().into_iter().flatten() {
                parts.push(format!("{}={}", text(&planned["action"]), text(&planned["action_id"])));
            }
        }
        "intent" => {
            parts.push(format!("{} at {}", text(&value["action_id"]), text(&value["target"])));
            if let Some(version) = value["to_version"].as_str() {
                parts.push(format!("to {version}"));
            }
        }
        "outcome" => {
            let outcome = &value["outcome"];
            parts.push(format!("{} {}", text(&value["action_id"]), text(&outcome["state"])));
            parts.extend(
                [&outcome["reason"], &outcome["detail"]].map(&text).into_iter().filter(|it| !it.is_empty()),
            );
        }
        _ => {
            let own = value.as_object().into_iter().flatten();
            let own = own.filter(|(key, _)| !["format", "kind", "seq", "time"].contains(&key.as_str()));
            parts.extend(own.map(|(key, value)| format!("{key}={}", text(value))));
        }
    }
    // One line, whatever was said by others.
    let line: String = parts.join(" ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() > 200 { line.chars().take(199).chain(['…']).collect() } else { line }
}
