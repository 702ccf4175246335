//! What of the actions has not ended, told by the entries of the audit log alone, as the actor itself is
//! restored from them. One thing no entry says is which of the actions that wait have been put to a
//! person; for that there are the changes that the actor shows.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{DecisionKind, ModelKey};
use crate::engine::actor::Entry;
use crate::engine::actor::entry::{Body, Ended, Planned};
use crate::engine::view::ActionView;
use crate::safety::{ActionKind, Suppression, Verified};
use crate::telemetry::events::ActionOutcome;

/// How far an action has come that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// A policy wants it.
    Proposed,
    /// A person is asked.
    AwaitingApproval,
    /// Its target is asked, or is at it.
    UnderWay,
    /// It was done, and the inference log has to show it.
    Verifying,
    /// Nobody knows whether it was done, and its incident is open.
    NeedsHuman,
}

impl Stage {
    pub(super) const ALL: [Self; 5] =
        [Self::Proposed, Self::AwaitingApproval, Self::UnderWay, Self::Verifying, Self::NeedsHuman];

    /// The stage as metrics spell it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::AwaitingApproval => "awaiting_approval",
            Self::UnderWay => "under_way",
            Self::Verifying => "verifying",
            Self::NeedsHuman => "needs_human",
        }
    }

    /// That of a state as views spell it; none of one that is an end.
    fn of(state: &str) -> Option<Self> {
        match state {
            "proposed" => Some(Self::Proposed),
            "awaiting_approval" => Some(Self::AwaitingApproval),
            "preflight" | "submitting" | "finding" | "running" => Some(Self::UnderWay),
            "verifying" => Some(Self::Verifying),
            "needs_human" => Some(Self::NeedsHuman),
            _ => None,
        }
    }
}

/// What an entry says that is counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Event<'a> {
    /// An action has come so far.
    Outcome { model: &'a str, action: &'a str, outcome: ActionOutcome },
    /// It was not done.
    Suppressed { model: &'a str, action: &'a str, reason: Suppression },
    /// People were told of it.
    Escalated { model: &'a str, action: &'a str, reason: &'a str },
    /// It was done, so long after it was asked for.
    Applied { action: &'a str, seconds: f64 },
    /// The inference log has shown what came of it, so long after it was done.
    Verified { action: &'a str, seconds: f64 },
    /// A person ordered something.
    Ordered { order: &'a str, accepted: bool },
}

/// A policy on a model version or segment.
type Incident = (String, ModelKey);

/// One action.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) action: String,
    kind: ActionKind,
    incident: Incident,
    /// Wall time, milliseconds: when it was asked for, and when it was done.
    asked: i64,
    applied: Option<i64>,
    pub(super) stage: Stage,
    /// Wall time until which it may be approved, milliseconds.
    pub(super) expires: Option<i64>,
    ended: bool,
}

impl Task {
    pub(super) fn model(&self) -> &str {
        self.incident.1.model.as_str()
    }

    fn outcome(&self, outcome: ActionOutcome) -> Event<'_> {
        Event::Outcome { model: self.model(), action: &self.action, outcome }
    }
}

/// The actions that have not ended, and the incidents that are open.
#[derive(Debug, Default)]
pub(super) struct Open {
    tasks: BTreeMap<String, Task>,
    incidents: BTreeSet<Incident>,
}

impl Open {
    pub(super) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().filter(|task| !task.ended)
    }

    /// Takes what became durable together. An action is told of in the entries with its end, or, where the
    /// log was cut between them, in those that are written next: until then ends are remembered.
    pub(super) fn take(&mut self, entries: &[Entry], count: &mut dyn FnMut(Event<'_>)) {
        let over: BTreeSet<String> =
            self.tasks.iter().filter(|(_, task)| task.ended).map(|(id, _)| id.clone()).collect();
        for entry in entries {
            self.entry(entry, count);
        }
        self.tasks.retain(|id, _| !over.contains(id));
    }

    /// Takes what the actor shows. Says whether a person is asked now who was not before.
    pub(super) fn changed(&mut self, view: &ActionView) -> bool {
        let (Some(task), Some(stage)) = (self.tasks.get_mut(&view.id), Stage::of(&view.state)) else {
            return false;
        };
        let asks = stage == Stage::AwaitingApproval && task.stage != stage;
        task.stage = stage;
        task.expires = view.expires_at;
        asks
    }

    fn entry(&mut self, entry: &Entry, count: &mut dyn FnMut(Event<'_>)) {
        match &entry.body {
            Body::Decision { decision, actions, .. } => {
                let incident = (decision.policy.clone(), decision.key.clone());
                self.plan(actions, &incident, entry.time);
                match decision.kind {
                    DecisionKind::Violated => {
                        self.incidents.insert(incident);
                    }
                    DecisionKind::Cleared | DecisionKind::Withdrawn => self.close(&incident),
                    DecisionKind::Qualified => {}
                }
            }
            Body::Escalated { action_id, reason, actions, .. } => {
                let Some(about) = self.tasks.get(action_id) else { return };
                count(Event::Escalated { model: about.model(), action: &about.action, reason });
                let incident = about.incident.clone();
                self.plan(actions, &incident, entry.time);
            }
            Body::Command { command, accepted, .. } => {
                count(Event::Ordered { order: command.order.name(), accepted: *accepted });
            }
            Body::Intent { action_id, .. } => self.goes_on(action_id, ActionOutcome::Submitted, count),
            Body::Accepted { action_id, .. } => self.goes_on(action_id, ActionOutcome::Running, count),
            Body::Outcome { action_id, outcome } => self.ends(action_id, outcome, entry.time, count),
            Body::Verified { action_id, result, .. } => {
                let Some(task) = self.tasks.get_mut(action_id) else { return };
                task.ended = true;
                count(task.outcome(match result {
                    Verified::Recovered => ActionOutcome::Recovered,
                    Verified::NotRecovered => ActionOutcome::NotRecovered,
                    Verified::Inconclusive => ActionOutcome::VerifyInconclusive,
                }));
                if let Some(applied) = task.applied {
                    count(Event::Verified { action: &task.action, seconds: seconds(applied, entry.time) });
                }
            }
            Body::Started { .. } | Body::Evidence { .. } | Body::Frozen { .. } | Body::Served { .. } => {}
        }
    }

    fn plan(&mut self, planned: &[Planned], incident: &Incident, asked: i64) {
        for planned in planned {
            self.tasks.entry(planned.action_id.clone()).or_insert_with(|| Task {
                action: planned.action.clone(),
                kind: planned.kind,
                incident: incident.clone(),
                asked,
                applied: None,
                stage: Stage::Proposed,
                expires: None,
                ended: false,
            });
        }
    }

    fn close(&mut self, incident: &Incident) {
        self.incidents.remove(incident);
        for task in self.tasks.values_mut() {
            task.ended |= task.stage == Stage::NeedsHuman && task.incident == *incident;
        }
    }

    fn goes_on(&mut self, id: &str, outcome: ActionOutcome, count: &mut dyn FnMut(Event<'_>)) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.stage = Stage::UnderWay;
        task.expires = None;
        count(task.outcome(outcome));
    }

    fn ends(&mut self, id: &str, outcome: &Ended, time: i64, count: &mut dyn FnMut(Event<'_>)) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.expires = None;
        task.ended = true;
        let counted = match outcome {
            Ended::Suppressed { reason, .. } => {
                count(Event::Suppressed { model: task.model(), action: &task.action, reason: *reason });
                ActionOutcome::Suppressed
            }
            Ended::Denied { .. } => ActionOutcome::Denied,
            Ended::Expired => ActionOutcome::Expired,
            Ended::Applied { since, .. } => {
                count(Event::Applied { action: &task.action, seconds: seconds(task.asked, time) });
                if since.is_some() {
                    (task.stage, task.applied, task.ended) = (Stage::Verifying, Some(time), false);
                }
                ActionOutcome::Applied
            }
            Ended::Failed { .. } => ActionOutcome::Failed,
            Ended::Cancelled { .. } => ActionOutcome::Cancelled,
            Ended::NeedsHuman { .. } => {
                // A message of unknown fate stands in nobody's way.
                if task.kind.changes_model() && self.incidents.contains(&task.incident) {
                    (task.stage, task.ended) = (Stage::NeedsHuman, false);
                }
                ActionOutcome::NeedsHuman
            }
        };
        count(task.outcome(counted));
    }
}

/// Seconds between two wall times in milliseconds; none where the clock was set back.
fn seconds(from: i64, to: i64) -> f64 {
    to.saturating_sub(from).max(0) as f64 / 1000.0
}
