//! Takes the parts with shape errors out of a document, so that the rest can be judged and no
//! consequence of a mistake is reported beside the mistake. As little as possible is taken out: a
//! key that may be left out goes alone, one that is needed takes the entry of its list along. What
//! was taken out is remembered: a reference to it is not an unknown name, nothing is missed that was
//! there, and the positions of later list entries stay as in the file.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::layers::deref;
use super::path::{KeyPath, Step};
use super::suggest::nearest;

/// Lists whose entries stand or fall alone. Other top-level sections fall as a whole.
const UNITS: &[&[&str]] = &[
    &["topics"],
    &["models"],
    &["models", "features"],
    &["models", "groups"],
    &["models", "segments"],
    &["models", "checks"],
    &["policies"],
    &["actions"],
];

/// What was taken out. Paths are as in the file.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    /// By list: position and, where it could be read, name of each entry that is gone.
    entries: BTreeMap<KeyPath, BTreeMap<usize, Option<String>>>,
    /// Keys below list entries that are gone, and those that may have been meant by an unknown key.
    keys: BTreeSet<KeyPath>,
    /// Top-level sections that are gone as a whole.
    sections: BTreeSet<String>,
}

impl Removed {
    /// The position in the file of the entry that is now the `index`th of `list`.
    pub(crate) fn original(&self, list: &KeyPath, index: usize) -> usize {
        let mut index = index;
        for gone in self.entries.get(list).into_iter().flat_map(BTreeMap::keys) {
            if *gone <= index {
                index += 1;
            }
        }
        index
    }

    /// Whether an entry of `list` was taken out that is or could be called `name`.
    pub(crate) fn may_hold(&self, list: &KeyPath, name: &str) -> bool {
        let entries = self.entries.get(list).into_iter().flat_map(BTreeMap::values);
        self.gone(list) || { entries }.any(|gone| gone.as_deref().is_none_or(|gone| gone == name))
    }

    /// Whether `list` lost anything.
    pub(crate) fn touches(&self, list: &KeyPath) -> bool {
        self.entries.contains_key(list) || self.gone(list)
    }

    /// Whether the value at `path`, or a key below it, was taken out.
    pub(crate) fn lost(&self, path: &KeyPath) -> bool {
        self.gone(path) || self.keys.iter().any(|key| key.starts_with(path))
    }

    /// Whether the value at `path` was taken out, or what holds it.
    fn gone(&self, path: &KeyPath) -> bool {
        matches!(path.0.first(), Some(Step::Key(section)) if self.lacks(section))
            || self.keys.iter().any(|key| path.starts_with(key))
    }

    /// Whether the top-level section `section` was taken out.
    pub(crate) fn lacks(&self, section: &str) -> bool {
        self.sections.contains(section)
    }
}

/// What is taken out for a fault.
enum Cut {
    /// An entry of one of the `UNITS`.
    Entry(KeyPath, usize),
    /// A key somewhere below such an entry.
    Key(KeyPath),
    /// A top-level section.
    Section(String),
}

/// The least around `fault` without which the document can still be read.
fn cut(fault: &KeyPath, schema: &Value) -> Option<Cut> {
    for len in (1..=fault.0.len()).rev() {
        let (last, parent) = fault.0[..len].split_last()?;
        match last {
            Step::Index(index) if is_unit(parent) => {
                return Some(Cut::Entry(KeyPath(parent.to_vec()), *index));
            }
            Step::Index(_) => {}
            Step::Key(section) if len == 1 => return Some(Cut::Section(section.clone())),
            Step::Key(key) => {
                let inside = parent
                    .iter()
                    .enumerate()
                    .any(|(at, step)| matches!(step, Step::Index(_)) && is_unit(&parent[..at]));
                if inside && !nodes(parent, schema).iter().any(|node| requires(node, key)) {
                    return Some(Cut::Key(KeyPath(fault.0[..len].to_vec())));
                }
            }
        }
    }
    None
}

fn is_unit(list: &[Step]) -> bool {
    let keys: Vec<&str> = list
        .iter()
        .filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
        .collect();
    // A list of lists would have its position last.
    matches!(list.last(), Some(Step::Key(_))) && UNITS.contains(&keys.as_slice())
}

fn requires(node: &Value, key: &str) -> bool {
    node["required"].as_array().is_some_and(|keys| keys.iter().any(|needed| needed == key))
}

/// What the schema says of the value at `path`; several where it may be several things.
fn nodes<'a>(path: &[Step], schema: &'a Value) -> Vec<&'a Value> {
    path.iter().fold(vec![schema], |nodes, step| {
        let below = nodes.into_iter().map(|node| match step {
            Step::Index(_) => &node["items"],
            Step::Key(key) => node["properties"].get(key).unwrap_or(&node["additionalProperties"]),
        });
        below.filter(|node| node.is_object()).flat_map(|node| deref(node, schema)).collect()
    })
}

/// The keys that an unknown key may have been meant for: the nearest of those that are not there, or
/// any of them.
fn meant(unknown: &KeyPath, root: &Value, schema: &Value) -> Vec<KeyPath> {
    let Some((Step::Key(key), parent)) = unknown.0.split_last() else { return Vec::new() };
    let nodes = nodes(parent, schema);
    let known: BTreeSet<&String> =
        nodes.iter().filter_map(|node| node["properties"].as_object()).flat_map(|keys| keys.keys()).collect();
    if known.contains(key) || nodes.iter().any(|node| node["additionalProperties"].is_object()) {
        return Vec::new();
    }
    let parent = KeyPath(parent.to_vec());
    let there = find(root, &parent);
    let absent: Vec<&str> = { known.into_iter().map(String::as_str) }
        .filter(|known| there.is_none_or(|there| there.get(known).is_none()))
        .collect();
    match nearest(key, absent.iter().copied()) {
        Some(near) => vec![parent.key(near)],
        None => absent.into_iter().map(|key| parent.key(key)).collect(),
    }
}

fn find<'a>(root: &'a Value, path: &KeyPath) -> Option<&'a Value> {
    path.0.iter().try_fold(root, |here, step| match step {
        Step::Key(key) => here.get(key),
        Step::Index(index) => here.get(index),
    })
}

fn find_mut<'a>(root: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    path.iter().try_fold(root, |here, step| match step {
        Step::Key(key) => here.get_mut(key),
        Step::Index(index) => here.get_mut(index),
    })
}

/// Takes out of `root` whatever is wrong at `faults`, and what is no section of `schema`.
pub(crate) fn prune(root: &mut Value, schema: &Value, faults: &[KeyPath]) -> Removed {
    let mut removed = Removed::default();
    let mut cuts = BTreeSet::new();
    let sections = schema["properties"].as_object();
    let is_section = |name: &str| sections.is_some_and(|sections| sections.contains_key(name));
    for fault in faults {
        match cut(fault, schema) {
            Some(Cut::Entry(list, index)) => {
                let name = find(root, &list.at(index)).and_then(|entry| entry.get("name")?.as_str());
                let name = name.map(str::to_owned);
                removed.entries.entry(list).or_default().insert(index, name);
            }
            Some(Cut::Key(path)) => {
                removed.keys.extend(meant(&path, root, schema));
                cuts.insert(path);
            }
            Some(Cut::Section(section)) if is_section(&section) => drop(removed.sections.insert(section)),
            // A section is missing or misspelled: nothing can be said about the ones that are not there.
            Some(Cut::Section(_)) | None => {
                let names = sections.into_iter().flat_map(|sections| sections.keys());
                removed.sections.extend(names.filter(|name| root.get(name).is_none()).cloned());
            }
        }
    }
    for path in &cuts {
        if let Some((Step::Key(key), parent)) = path.0.split_last()
            && let Some(Value::Object(keys)) = find_mut(root, parent)
        {
            keys.remove(key);
        }
    }
    removed.keys.extend(cuts);
    // Lists within lists first, and from the back, so that positions hold until they are used.
    for (list, entries) in removed.entries.iter().rev() {
        if let Some(Value::Array(items)) = find_mut(root, &list.0) {
            for index in
                entries.keys().rev().filter(|index| **index < items.len()).copied().collect::<Vec<_>>()
            {
                items.remove(index);
            }
        }
    }
    if let Value::Object(keys) = root {
        keys.retain(|section, _| is_section(section) && !removed.lacks(section));
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_little_as_can_be_is_taken_out_and_what_stays_keeps_its_position() {
        let check = |name: &str| json!({"name": name, "metric": "psi", "window": "1h", "bound": "<= 1"});
        let mut root = json!({
            "kafka": {"group": 1},
            "models": [
                {"name": "a", "checks": [check("w"), check("x"), check("y"), check("z")]},
                {"name": "b"},
                {"name": "c", "profle": "p.json", "prediction": {"from": "/p", "positive": []}},
            ],
        });
        let models = KeyPath::root("models");
        let checks = models.at(0).key("checks");
        let faults = [
            KeyPath::root("kafka").key("group"),
            checks.at(1).key("bound"),
            checks.at(0).key("window"),
            checks.at(2),
            models.at(1).key("task"),
            models.at(2).key("profle"),
            models.at(2).key("prediction").key("positive"),
        ];
        let removed = prune(&mut root, &crate::config::schema(), &faults);
        let unbound = json!({"name": "x", "metric": "psi", "window": "1h"});
        assert_eq!(
            root,
            json!({"models": [
                {"name": "a", "checks": [unbound, check("z")]},
                {"name": "c", "prediction": {"from": "/p"}},
            ]})
        );
        assert_eq!((removed.original(&checks, 0), removed.original(&checks, 1)), (1, 3));
        assert_eq!((removed.original(&models, 0), removed.original(&models, 1)), (0, 2));
        assert!(removed.may_hold(&models, "b") && !removed.may_hold(&models, "d"));
        assert!(removed.lacks("kafka") && !removed.lacks("models"));
        assert!(removed.lost(&checks.at(1).key("bound")) && !removed.lost(&checks.at(3).key("bound")));
        // What an unknown key may have been meant for is not missed.
        assert!(removed.lost(&models.at(2).key("profile")) && !removed.lost(&models.at(2).key("score")));
        assert!(removed.lost(&models.at(2).key("prediction")));
    }
}
