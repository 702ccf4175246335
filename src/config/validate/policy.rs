//! Policies: that they refer to checks that can be breached, and clear no sooner than they violate.

use std::collections::BTreeMap;

use crate::config::error::Report;
use crate::config::path::KeyPath;
use crate::config::raw::{self, Mode};
use crate::config::tree::Policy;
use crate::domain::Bound;

pub(super) fn policies(root: &raw::Root, report: &mut Report) -> Option<Vec<Policy>> {
    let list = KeyPath::root("policies");
    report.distinct(&list, root.policies.iter().map(|policy| policy.name.as_str()));
    let policies: Vec<Option<Policy>> = root
        .policies
        .iter()
        .enumerate()
        .map(|(index, raw)| policy(raw, &list.at(index), root, report))
        .collect();
    unwatched(root, report);
    policies.into_iter().collect()
}

/// A bound that no policy looks at changes nothing, which its author may not know.
fn unwatched(root: &raw::Root, report: &mut Report) {
    if report.removed.touches(&KeyPath::root("policies")) {
        return;
    }
    for (index, model) in root.models.iter().enumerate() {
        let list = KeyPath::root("models").at(index).key("checks");
        for (index, check) in model.checks.iter().enumerate() {
            let watches =
                |policy: &&raw::Policy| policy.model == model.name && policy.checks.contains(&check.name);
            if check.bound.is_some() && !root.policies.iter().any(|policy| watches(&policy)) {
                report.warn(
                    &list.at(index),
                    "has a bound, but no policy: a breach will be shown and nothing follows",
                );
            }
        }
    }
}

fn policy(raw: &raw::Policy, path: &KeyPath, root: &raw::Root, report: &mut Report) -> Option<Policy> {
    report.plain_name(&path.key("name"), &raw.name);
    report.unrepeated(&path.key("checks"), &raw.checks);
    report.unrepeated(&path.key("actions"), &raw.actions);
    if raw.violate.windows > raw.violate.of {
        let raw::Violate { windows, of } = raw.violate;
        report.error(&path.key("violate"), format!("{windows} of {of} windows can never breach"));
    }
    let actions = KeyPath::root("actions");
    for (index, action) in raw.actions.iter().enumerate() {
        let names = root.actions.iter().map(|action| action.name.as_str());
        report.find(&path.key("actions").at(index), "action", action, &actions, names);
    }
    if raw.mode == Mode::Auto && raw.actions.is_empty() {
        report.error(&path.key("mode"), "`auto` needs `actions`");
    }
    let models = KeyPath::root("models");
    let names = root.models.iter().map(|model| model.name.as_str());
    let model = report.find(&path.key("model"), "model", &raw.model, &models, names);
    let bounds = model.and_then(|index| bounds(raw, path, &root.models[index], &models.at(index), report));
    if let Some(model) = model {
        version_to_go_back_to(raw, path, root, &root.models[model], report);
    }
    Some(Policy {
        name: raw.name.clone(),
        model: raw.model.clone(),
        checks: raw.checks.clone(),
        violate_windows: raw.violate.windows,
        violate_of: raw.violate.of,
        clear_windows: raw.clear.windows,
        clear_bounds: bounds?,
        qualify_windows: raw.qualify.windows,
        mode: raw.mode,
        actions: raw.actions.clone(),
    })
}

/// The clear bound of each check.
fn bounds(
    raw: &raw::Policy,
    path: &KeyPath,
    model: &raw::Model,
    model_path: &KeyPath,
    report: &mut Report,
) -> Option<BTreeMap<String, Bound>> {
    let list = model_path.key("checks");
    let mut bounds = BTreeMap::new();
    let mut whole = true;
    for (index, name) in raw.checks.iter().enumerate() {
        let path = path.key("checks").at(index);
        let names = model.checks.iter().map(|check| check.name.as_str());
        let Some(found) = report.find(&path, "check", name, &list, names) else {
            whole = false;
            continue;
        };
        match &model.checks[found].bound {
            None => {
                let check = report.original(&list.at(found));
                report.error(&path, format!("`{name}` has no bound to breach; give {check} a `bound`"));
                whole = false;
            }
            // A bound that cannot be read is reported where it is written.
            Some(bound) => match bound.0.parse::<Bound>() {
                Ok(bound) => drop(bounds.insert(name.clone(), bound)),
                Err(_) => whole = false,
            },
        }
    }
    for (name, bound) in &raw.clear.bounds {
        let path = path.key("clear").key("bounds").key(name);
        let bound: Option<Bound> = report.parse(&path, &bound.0);
        if !raw.checks.contains(name) {
            report.error(&path, format!("`{name}` is not among the policy's checks"));
        }
        match (bound, bounds.get_mut(name)) {
            (Some(clear), Some(own)) if !inside(clear, *own) => {
                report.error(&path, format!("`{clear}` must lie inside the check's own bound `{own}`"));
            }
            (Some(clear), Some(own)) => *own = clear,
            _ => whole = false,
        }
    }
    whole.then_some(bounds)
}

/// Whether everything that `inner` allows is allowed by `outer`.
fn inside(inner: Bound, outer: Bound) -> bool {
    let limits = |bound| match bound {
        Bound::AtMost(high) => (f64::NEG_INFINITY, high),
        Bound::AtLeast(low) => (low, f64::INFINITY),
        Bound::Between(low, high) => (low, high),
    };
    let ((low, high), (least, most)) = (limits(inner), limits(outer));
    low >= least && high <= most
}

/// A constant version leaves a rollback nothing to go back to.
fn version_to_go_back_to(
    raw: &raw::Policy,
    path: &KeyPath,
    root: &raw::Root,
    model: &raw::Model,
    report: &mut Report,
) {
    for (index, name) in raw.actions.iter().enumerate() {
        let rolls_back =
            |action: &&raw::Action| action.name == *name && action.kind == raw::ActionKind::Rollback;
        if model.version.0.starts_with('=') && root.actions.iter().any(|action| rolls_back(&action)) {
            let wrong =
                format!("the version of `{}` is a constant, so there is none to go back to", model.name);
            report.warn(&path.key("actions").at(index), wrong);
        }
    }
}
