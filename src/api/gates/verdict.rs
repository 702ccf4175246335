//! What a gate answers, from the picture that the evaluator published. `pass` is a claim and needs
//! every check of the policy to have said so about its newest window, which is not too long ago. Silence,
//! too little data and old data are `inconclusive`, and so is a breach that is no incident yet.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::{Decide, Finding, ModelKey, Segment, Verdict};
use crate::engine::view::{ModelView, PolicyState, PolicyView, View};
use crate::telemetry::current;

/// Windows of age at which a verdict says nothing about the present any more.
const OLD_WINDOWS: i64 = 2;
/// Age at which the whole picture says nothing any more, milliseconds: it is renewed several times a second.
const OLD_PICTURE: i64 = 60_000;

/// One of the two things that a pass says. Of several instances they may be known to different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    /// That every check passed, which the instance knows that evaluates the model.
    Traffic,
    /// That the version is not condemned, which the instance knows that owns the actions.
    Standing,
}

/// Which model version is asked about, and by which policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// None: every owner's.
    pub(super) tenant: Option<String>,
    pub(super) model: String,
    pub(super) version: String,
    pub(super) policy: String,
    /// None: both, and so a pass comes only from an instance that knows both.
    pub(super) part: Option<Part>,
}

/// What is asked from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// What the instance knows.
    pub(super) view: &'a View,
    /// Whether it owns the actions, and so knows which versions are condemned.
    pub(super) owns: bool,
    /// Wall time, milliseconds.
    pub(super) now: i64,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Every check of the policy passed.
    Pass,
    /// An incident is open.
    Breach,
    /// Neither is known.
    Inconclusive,
    /// Nothing is known of it here.
    Unknown,
}

impl Said {
    /// The word that gates read.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Breach => "breach",
            Self::Inconclusive | Self::Unknown => "inconclusive",
        }
    }
}

/// The answer with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) said: Said,
    pub(super) reason: String,
}

fn judged(said: Said, reason: impl Into<String>) -> Judged {
    Judged { said, reason: reason.into() }
}

/// What is known of `subject`. With `since`, only from windows that began at that wall time or later.
pub(super) fn judge(known: Known<'_>, subject: &Subject, since: Option<i64>) -> Judged {
    let standing = || standing(known, subject);
    match subject.part {
        Some(Part::Traffic) => traffic(known, subject, since),
        Some(Part::Standing) => standing(),
        None => {
            let answer = traffic(known, subject, since);
            if answer.said != Said::Pass {
                return answer;
            }
            match standing() {
                Judged { said: Said::Pass, .. } => answer,
                // Something is known of it here, and not enough.
                Judged { reason, .. } => judged(Said::Inconclusive, reason),
            }
        }
    }
}

/// That nothing was evaluated for too long.
fn old_picture(Known { view, now, .. }: Known<'_>) -> Option<Judged> {
    let age = now.saturating_sub(view.taken_at);
    let old = || judged(Said::Inconclusive, format!("nothing was evaluated for {} s", age / 1_000));
    (age > OLD_PICTURE).then(old)
}

/// Whether the version may serve at all, as far as people and policies have said.
fn standing(known: Known<'_>, subject: &Subject) -> Judged {
    let Subject { tenant, model, version, .. } = subject;
    if !known.owns {
        let reason = "whether the version is condemned is known to the instance that owns the actions alone";
        return judged(Said::Unknown, reason);
    }
    if let Some(old) = old_picture(known) {
        return old;
    }
    let owner = |known: Option<&str>| tenant.as_deref().is_none_or(|tenant| known.unwrap_or("") == tenant);
    let condemned = known.view.safety.versions.iter().any(|known| {
        known.standing == "condemned"
            && known.model.as_str() == model
            && known.version.as_str() == version
            && owner(known.tenant.as_ref().map(|tenant| tenant.as_str()))
    });
    match condemned {
        true => {
            judged(Said::Inconclusive, format!("{model}@{version} is condemned until somebody absolves it"))
        }
        false => judged(Said::Pass, format!("{model}@{version} is not condemned")),
    }
}

/// What its traffic shows.
fn traffic(known: Known<'_>, subject: &Subject, since: Option<i64>) -> Judged {
    let Known { view, now, .. } = known;
    let Subject { tenant, model, version, policy, .. } = subject;
    let mine = |view: &&ModelView| {
        let owner = view.key.tenant.as_ref().map_or("", |tenant| tenant.as_str());
        view.key.model.as_str() == model
            && view.key.version.as_str() == version
            && tenant.as_ref().is_none_or(|tenant| tenant == owner)
    };
    // A key for each reference profile that the version was held against: the newest one counts.
    let mut newest: BTreeMap<(Option<&str>, &Segment), &ModelView> = BTreeMap::new();
    for found in view.models.iter().filter(mine) {
        let place = (found.key.tenant.as_ref().map(|tenant| tenant.as_str()), &found.key.segment);
        let entry = newest.entry(place).or_insert(found);
        if (found.evaluated_until, found.newest) > (entry.evaluated_until, entry.newest) {
            *entry = found;
        }
    }
    if newest.is_empty() {
        return judged(Said::Unknown, format!("no traffic of {model}@{version} is evaluated here"));
    }
    let followed = |found: &ModelView| found.policies.iter().find(|known| known.policy == *policy).cloned();
    let parts: Vec<(&ModelView, PolicyView)> =
        newest.into_values().filter_map(|found| Some((found, followed(found)?))).collect();
    if !parts.iter().any(|(found, _)| found.key.segment == Segment::All) {
        return judged(Said::Unknown, format!("{model}@{version} has no policy `{policy}` here"));
    }
    if let Some(old) = old_picture(known) {
        return old;
    }
    let findings = current(view);
    let told = parts.iter().map(|(found, policy)| {
        let mine = findings.iter().filter(|finding| is_about(finding, &found.key));
        let mine: Vec<&Finding> = mine.map(|finding| &***finding).collect();
        (&found.key, of_one(&found.key.segment, policy, &mine, now, since))
    });
    let mut answer = judged(Said::Pass, "every check passed in its newest window");
    for (key, one) in told {
        if rank(one.said) > rank(answer.said) {
            answer = judged(one.said, format!("{key}: {}", one.reason));
        }
    }
    answer
}

/// The more it keeps from going on, the higher.
const fn rank(said: Said) -> u8 {
    match said {
        Said::Pass => 0,
        Said::Inconclusive | Said::Unknown => 1,
        Said::Breach => 2,
    }
}

fn is_about(finding: &Finding, key: &ModelKey) -> bool {
    finding.tenant == key.tenant
        && finding.model == key.model
        && finding.version == key.version
        && finding.segment == key.segment
        && finding.reference == key.profile
}

/// What a finding says to the policy; none where it runs in shadow or is only shown.
fn said(decide: Decide, finding: &Finding) -> Option<Verdict> {
    match decide {
        Decide::Window => finding.verdict,
        Decide::Sequential => {
            finding.sequential.as_ref().filter(|it| it.shadow.is_none()).map(|it| it.verdict)
        }
    }
}

/// The answer for one key. A part of the traffic (a segment) speaks only where it breaches: it may
/// be too small ever to pass.
fn of_one(
    segment: &Segment,
    policy: &PolicyView,
    findings: &[&Finding],
    now: i64,
    since: Option<i64>,
) -> Judged {
    let whole = *segment == Segment::All;
    let silent = || match whole {
        true => judged(Said::Inconclusive, "no window was judged yet"),
        false => judged(Said::Pass, ""),
    };
    let begun = |finding: &Finding| since.is_none_or(|since| finding.window.start.as_millis() >= since);
    let mut breach = None;
    let mut passed = 0;
    for check in &policy.checks {
        let mine: Vec<&&Finding> = findings.iter().filter(|finding| finding.check == *check).collect();
        let Some(finding) = mine.first() else {
            if whole && policy.state != PolicyState::Violated {
                return judged(Said::Inconclusive, format!("check `{check}` has no window yet"));
            }
            continue;
        };
        let window = finding.window;
        let length = window.end.as_millis() - window.start.as_millis();
        let age = now.saturating_sub(window.end.as_millis());
        if age > OLD_WINDOWS * length {
            let reason =
                format!("the newest window of check `{check}` ended at {}, too long ago", window.end);
            return if whole { judged(Said::Inconclusive, reason) } else { silent() };
        }
        if !begun(finding) {
            if whole && policy.state != PolicyState::Violated {
                let reason = "no window has begun and ended since this deployment was first heard of";
                return judged(Said::Inconclusive, format!("check `{check}`: {reason}"));
            }
            continue;
        }
        let verdicts: Vec<(&Finding, Verdict)> =
            mine.iter().filter_map(|one| Some((**one, said(policy.decide, one)?))).collect();
        let with = |wanted| verdicts.iter().find(move |(_, verdict)| *verdict == wanted).map(|(one, _)| *one);
        if let Some(found) = with(Verdict::Breach) {
            breach = breach.or(Some(format!("check `{check}` of {} breached", found.scope)));
        } else if let Some(found) = with(Verdict::Insufficient) {
            if whole && policy.state == PolicyState::Ok {
                let why =
                    found.reason.as_deref().or(found.sequential.as_ref().and_then(|it| it.reason.as_deref()));
                let why = why.map_or_else(String::new, |why| format!(": {why}"));
                return judged(
                    Said::Inconclusive,
                    format!("check `{check}` of {} has too little data{why}", found.scope),
                );
            }
        } else if verdicts.is_empty() {
            if whole && policy.state == PolicyState::Ok {
                return judged(Said::Inconclusive, format!("check `{check}` runs in shadow or has no bound"));
            }
        } else {
            passed += 1;
        }
    }
    match policy.state {
        PolicyState::Violated => violated(policy, findings, breach, since).unwrap_or_else(|| {
            judged(Said::Inconclusive, "an incident is open, from before this deployment was first heard of")
        }),
        PolicyState::Warn => {
            judged(Said::Inconclusive, "the last window breached, and not often enough for an incident")
        }
        PolicyState::Unknown => silent(),
        PolicyState::Ok if !whole => judged(Said::Pass, ""),
        PolicyState::Ok => match breach {
            Some(found) => judged(Said::Inconclusive, format!("{found}, and no incident is open")),
            None if passed == policy.checks.len() && passed > 0 => judged(Said::Pass, ""),
            None => silent(),
        },
    }
}

/// The incident, where what is known of it is recent and about what is asked.
fn violated(
    policy: &PolicyView,
    findings: &[&Finding],
    breach: Option<String>,
    since: Option<i64>,
) -> Option<Judged> {
    let mine = findings.iter().filter(|finding| policy.checks.contains(&finding.check));
    let length = mine.map(|finding| finding.window.end.as_millis() - finding.window.start.as_millis()).max();
    let Some(length) = length else {
        return Some(judged(Said::Inconclusive, "an incident is open, and no window is known"));
    };
    // Of the window that opened it only the end is known.
    let began = policy.since.map_or(i64::MIN, |end| end.as_millis().saturating_sub(length));
    if since.is_some_and(|since| began < since) && breach.is_none() {
        return None;
    }
    let at = policy.since.map_or_else(String::new, |since| format!(" since {since}"));
    let what = breach.map_or_else(String::new, |breach| format!("; {breach}"));
    Some(judged(Said::Breach, format!("an incident is open{at}{what}")))
}
