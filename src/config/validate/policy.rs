//! Policies: that they decide by a rule that may ask for their actions, refer to checks that can be
//! breached by it, and clear no sooner than they violate.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{safety, sequential};
use crate::config::error::Report;
use crate::config::path::KeyPath;
use crate::config::raw::{self, Mode};
use crate::config::tree::{Decide, Policy, Verify};
use crate::domain::Bound;

/// Time for a verification where none is stated, at least.
const SHORTEST_VERIFICATION: Duration = Duration::from_secs(5 * 60);

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
    if let Some(raw::Violate { windows, of }) = raw.violate
        && windows > of
        && !report.lost(&path.key("violate"))
    {
        report.error(&path.key("violate"), format!("{windows} of {of} windows can never breach"));
    }
    let actions = KeyPath::root("actions");
    for (index, action) in raw.actions.iter().enumerate() {
        let names = root.actions.iter().map(|action| action.name.as_str());
        report.find(&path.key("actions").at(index), "action", action, &actions, names);
    }
    escalations(raw, path, root, report);
    let decide = decide(raw, path, root, report);
    if raw.mode != Mode::Observe && raw.actions.is_empty() && !report.lost(&path.key("actions")) {
        report.error(&path.key("mode"), format!("`{}` needs `actions`", raw.mode.name()));
    }
    let approval_within = report.ahead(&path.key("approval").key("within"), &raw.approval.within);
    let qualify_span = report.duration(&path.key("qualify").key("for"), &raw.qualify.span);
    let models = KeyPath::root("models");
    let names = root.models.iter().map(|model| model.name.as_str());
    let model = report.find(&path.key("model"), "model", &raw.model, &models, names);
    let bounds =
        model.and_then(|index| followed(raw, decide, path, &root.models[index], &models.at(index), report));
    if let Some(model) = model {
        version_to_go_back_to(raw, path, root, &root.models[model], report);
    }
    let verify = verify(raw, path, model.map(|index| &root.models[index]), report);
    let violate = match decide? {
        Decide::Sequential => raw::Violate { windows: 1, of: 1 },
        Decide::Window => raw.violate.clone().unwrap_or_default(),
    };
    Some(Policy {
        name: raw.name.clone(),
        model: raw.model.clone(),
        checks: raw.checks.clone(),
        decide: decide?,
        violate_windows: violate.windows,
        violate_of: violate.of,
        clear_windows: raw.clear.windows,
        clear_bounds: bounds?,
        qualify_windows: raw.qualify.windows,
        qualify_span: qualify_span?,
        qualify_samples: raw.qualify.samples,
        mode: raw.mode,
        approval_within: approval_within?,
        verify: verify?,
        actions: raw.actions.clone(),
        escalate: raw.escalate.clone(),
    })
}

/// What is called where an action came to nothing must not be one that may come to nothing like it.
fn escalations(raw: &raw::Policy, path: &KeyPath, root: &raw::Root, report: &mut Report) {
    let list = path.key("escalate");
    report.unrepeated(&list, &raw.escalate);
    for (index, name) in raw.escalate.iter().enumerate() {
        let path = list.at(index);
        let names = root.actions.iter().map(|action| action.name.as_str());
        let found = report.find(&path, "action", name, &KeyPath::root("actions"), names);
        if let Some(action) = found.map(|index| &root.actions[index])
            && action.kind.acts()
        {
            let kind = action.kind.name();
            report.error(&path, format!("`{name}` is a `{kind}`; only a `notify` can be an escalation"));
        }
    }
}

/// What must be seen after a rollback. Windows of the good version have to fill again, so the time
/// follows from the longest of them unless it is stated.
fn verify(
    raw: &raw::Policy,
    path: &KeyPath,
    model: Option<&raw::Model>,
    report: &mut Report,
) -> Option<Verify> {
    let path = path.key("verify");
    let traffic = safety::share(raw.verify.traffic, &path.key("traffic"), report);
    let within = match &raw.verify.within {
        Some(within) => report.ahead(&path.key("within"), within),
        None => {
            let windows = model?.checks.iter().filter(|check| raw.checks.contains(&check.name));
            // A window that cannot be read is reported where it is written.
            let spans = windows.filter_map(|check| humantime::parse_duration(&check.window.0).ok());
            Some(spans.max().unwrap_or_default().saturating_mul(3).max(SHORTEST_VERIFICATION))
        }
    };
    let stated = raw.verify.within.is_some();
    Some(Verify { within: within?, stated, traffic: traffic?, samples: raw.verify.samples })
}

/// By what the policy decides, and that this may ask for its actions; none where that follows from
/// something that is wrong.
fn decide(raw: &raw::Policy, path: &KeyPath, root: &raw::Root, report: &mut Report) -> Option<Decide> {
    let kind =
        |name: &String| root.actions.iter().find(|action| action.name == *name).map(|found| found.kind);
    let acting = raw.actions.iter().find(|name| kind(name).is_some_and(raw::ActionKind::acts));
    let unknown = report.lost(&path.key("actions")) || raw.actions.iter().any(|name| kind(name).is_none());
    let by_default = match (acting, unknown) {
        (Some(_), _) => Some(Decide::Sequential),
        (None, false) => Some(Decide::Window),
        (None, true) => None,
    };
    let decide = match raw.decide {
        Some(stated) => Some(stated.into()),
        None if report.lost(&path.key("decide")) => None,
        None => by_default,
    };
    let may_act = path.key("window_may_act");
    match (decide?, acting) {
        (Decide::Window, Some(action)) if !raw.window_may_act && !report.lost(&may_act) => {
            report.error(
                &path.key("decide"),
                format!(
                    "a window rule has no stated error rate, so it may not ask for `{action}`: use `decide: sequential`, notify only, or override this with `window_may_act: true`"
                ),
            );
        }
        (Decide::Window, _) => {}
        (Decide::Sequential, _) => {
            let which = if raw.decide.is_some() {
                "this policy is sequential"
            } else {
                "this policy is sequential, the default where an action is a rollback or a retraining"
            };
            if raw.window_may_act {
                report.error(&may_act, format!("is for `decide: window`; {which}"));
            }
            if raw.violate.is_some() {
                report.error(
                    &path.key("violate"),
                    format!("is for `decide: window`; {which}, and one alarm is enough: leave it out"),
                );
            }
        }
    }
    decide
}

/// The clear bound of each check that has one, and that each check can be followed.
fn followed(
    raw: &raw::Policy,
    decide: Option<Decide>,
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
        let (check, check_path) = (&model.checks[found], list.at(found));
        if decide == Some(Decide::Sequential)
            && sequential::follow(check, &check_path, model, model_path, &path, report).is_none()
        {
            whole = false;
        }
        match &check.bound {
            None if decide != Some(Decide::Window) => {}
            None if report.lost(&check_path.key("bound")) => whole = false,
            None => {
                let check = report.original(&check_path);
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
        let metric = model.checks.iter().find(|check| check.name == *name).map(|check| check.metric);
        if let (Some(clear), Some(metric)) = (bound, metric) {
            sequential::in_range(metric, clear, &path, report);
        }
        match (bound, bounds.get(name)) {
            (Some(clear), Some(own)) if !inside(clear, *own) => {
                report.error(&path, format!("`{clear}` must lie inside the check's own bound `{own}`"));
            }
            (Some(clear), _) => drop(bounds.insert(name.clone(), clear)),
            (None, _) => whole = false,
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
