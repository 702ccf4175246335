//! Takes the parts with shape errors out of a document, so that the rest can be judged and no
//! consequence of a mistake is reported beside the mistake. What was taken out is remembered: a
//! reference to it is not an unknown name, and the positions of later list entries stay as in the file.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::path::{KeyPath, Step};

/// Lists whose entries stand or fall alone. Anything broken elsewhere takes the next of these
/// above it along, or its top-level section.
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

/// What was taken out.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    /// By list: position and, where it could be read, name of each entry that is gone.
    entries: BTreeMap<KeyPath, BTreeMap<usize, Option<String>>>,
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

    /// Whether an entry of `list` (a path as in the file) was taken out that is or could be called `name`.
    pub(crate) fn may_hold(&self, list: &KeyPath, name: &str) -> bool {
        let whole = matches!(list.0.as_slice(), [Step::Key(key)] if self.lacks(key));
        let entries = self.entries.get(list).into_iter().flat_map(BTreeMap::values);
        whole || { entries }.any(|gone| gone.as_deref().is_none_or(|gone| gone == name))
    }

    /// Whether `list` (a path as in the file) lost anything.
    pub(crate) fn touches(&self, list: &KeyPath) -> bool {
        self.entries.contains_key(list) || matches!(list.0.as_slice(), [Step::Key(key)] if self.lacks(key))
    }

    /// Whether the value at `path` (as in the file) was taken out, as a whole or in part.
    pub(crate) fn lost(&self, path: &KeyPath) -> bool {
        matches!(path.0.first(), Some(Step::Key(section)) if self.lacks(section))
    }

    /// Whether the top-level section `section` was taken out.
    pub(crate) fn lacks(&self, section: &str) -> bool {
        self.sections.contains(section)
    }
}

/// The longest beginning of `path` that names an entry of one of the `UNITS`.
fn unit(path: &KeyPath) -> Option<(KeyPath, usize)> {
    (1..=path.0.len()).rev().find_map(|len| {
        let (Step::Index(index), list) = path.0[..len].split_last()? else { return None };
        let keys: Vec<&str> = list
            .iter()
            .filter_map(|step| match step {
                Step::Key(key) => Some(key.as_str()),
                Step::Index(_) => None,
            })
            .collect();
        UNITS.contains(&keys.as_slice()).then(|| (KeyPath(list.to_vec()), *index))
    })
}

fn find<'a>(root: &'a mut Value, path: &KeyPath) -> Option<&'a mut Value> {
    path.0.iter().try_fold(root, |here, step| match step {
        Step::Key(key) => here.get_mut(key),
        Step::Index(index) => here.get_mut(index),
    })
}

/// Takes out of `root` whatever is broken at `paths`, and what is not one of the `known` sections.
pub(crate) fn prune<'a>(
    root: &mut Value,
    known: &[&str],
    paths: impl Iterator<Item = &'a KeyPath>,
) -> Removed {
    let mut removed = Removed::default();
    for path in paths {
        if path.0.is_empty() {
            // A section is missing or misspelled: nothing can be said about the ones that are not there.
            let absent = known.iter().filter(|section| root.get(section).is_none());
            removed.sections.extend(absent.map(|section| (*section).to_owned()));
        }
        if let Some((list, index)) = unit(path) {
            let name =
                find(root, &list.at(index)).and_then(|entry| entry.get("name")?.as_str().map(Into::into));
            removed.entries.entry(list).or_default().insert(index, name);
        } else if let Some(Step::Key(section)) = path.0.first() {
            removed.sections.insert(section.clone());
        }
    }
    // Lists within lists first, and from the back, so that positions hold until they are used.
    for (list, entries) in removed.entries.iter().rev() {
        if let Some(Value::Array(items)) = find(root, list) {
            for index in
                entries.keys().rev().filter(|index| **index < items.len()).copied().collect::<Vec<_>>()
            {
                items.remove(index);
            }
        }
    }
    if let Value::Object(sections) = root {
        sections.retain(|section, _| known.contains(&section.as_str()) && !removed.lacks(section));
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_stays_keeps_its_position_in_the_file() {
        let mut root = json!({
            "kafka": {"group": 1},
            "models": [
                {"name": "a", "checks": [{"name": "x"}, {"name": "y"}, {"name": "z"}]},
                {"name": "b"},
                {"name": "c"},
            ],
        });
        let models = KeyPath::root("models");
        let checks = models.at(0).key("checks");
        let broken = [
            KeyPath::root("kafka").key("group"),
            checks.at(0).key("bound"),
            checks.at(1),
            models.at(1).key("task"),
        ];
        let removed = prune(&mut root, &["kafka", "models"], broken.iter());
        assert_eq!(root, json!({"models": [{"name": "a", "checks": [{"name": "z"}]}, {"name": "c"}]}));
        assert_eq!(removed.original(&checks, 0), 2);
        assert_eq!((removed.original(&models, 0), removed.original(&models, 1)), (0, 2));
        assert!(removed.may_hold(&models, "b") && !removed.may_hold(&models, "d"));
        assert!(removed.lacks("kafka") && !removed.lacks("models"));
    }
}
