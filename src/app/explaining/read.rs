//! Findings out of whatever holds them: lines of findings or decisions as `replay` writes them, one
//! document, an answer of the API, entries of the audit log. What is looked for is the finding, so
//! that nobody has to cut it out by hand; all else is passed over.

use std::io::Read;

use anyhow::Context;
use serde_json::{Map, Value};

use super::Decided;
use crate::domain::Finding;

/// A finding, and the decision it was found in.
pub(super) struct Found {
    pub(super) finding: Finding,
    pub(super) decision: Option<Decided>,
}

/// Members that only a whole finding has together. What a webhook is sent lacks the model.
const FINDING: [&str; 6] = ["model", "version", "window", "check", "metric", "scope"];

/// Hands every finding of `input` to `take`, in order.
///
/// # Errors
/// When it is no JSON, or what looks like a finding is none.
pub(super) fn read(input: impl Read, take: &mut dyn FnMut(Found)) -> anyhow::Result<()> {
    for value in serde_json::Deserializer::from_reader(input).into_iter::<Value>() {
        walk(value.context("not JSON, or lines of it")?, None, take)?;
    }
    Ok(())
}

fn walk(value: Value, decision: Option<&Decided>, take: &mut dyn FnMut(Found)) -> anyhow::Result<()> {
    match value {
        Value::Array(items) => items.into_iter().try_for_each(|item| walk(item, decision, take)),
        Value::Object(object) if FINDING.iter().all(|name| object.contains_key(*name)) => {
            let finding = serde_json::from_value(Value::Object(object)).context("not a finding")?;
            take(Found { finding, decision: decision.cloned() });
            Ok(())
        }
        Value::Object(object) => {
            let own = decided(&object);
            let decision = own.as_ref().or(decision);
            object.into_iter().try_for_each(|(_, member)| walk(member, decision, take))
        }
        _ => Ok(()),
    }
}

fn decided(object: &Map<String, Value>) -> Option<Decided> {
    let text = |name: &str| object.get(name)?.as_str().map(str::to_owned);
    object.get("evidence")?.as_array()?;
    Some(Decided { id: text("id")?, kind: text("kind")?, policy: text("policy")? })
}
