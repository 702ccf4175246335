//! Which findings are the current ones. The view keeps the newest finding per scope, but scopes
//! come and go: the two extreme groups of a fairness check change, a group falls silent. So a
//! finding is current only if no finding of the same check is about a later window.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::{EventTime, Finding, ModelId, Segment, Tenant, Version};
use crate::engine::view::View;

type Question<'a> = (Option<&'a Tenant>, &'a ModelId, &'a Version, &'a Segment, &'a str);

fn question(finding: &Finding) -> Question<'_> {
    (finding.tenant.as_ref(), &finding.model, &finding.version, &finding.segment, &finding.check)
}

/// The findings of each check's newest window, in the order of the view.
pub fn current(view: &View) -> Vec<&Arc<Finding>> {
    let mut newest: HashMap<Question<'_>, EventTime> = HashMap::new();
    for finding in &view.latest {
        let end = newest.entry(question(finding)).or_insert(EventTime::MIN);
        *end = (*end).max(finding.window.end);
    }
    view.latest.iter().filter(|finding| newest.get(&question(finding)) == Some(&finding.window.end)).collect()
}
