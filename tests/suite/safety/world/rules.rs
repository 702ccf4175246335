//! The rules that no effect may break, asked of the log as it stands at that moment.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll::domain::{Decision, DecisionKind, ModelKey, Version};
use plimsoll::engine::actor::entry::{Body, Ended, Planned};
use plimsoll::engine::actor::{Call, Entry};
use plimsoll::safety::{ActionKind, Budget, Order, PolicyMode, Role, Step, Suppression, Verified};

use super::{FLEET, MODES, PER_MODEL, World};

/// What of an action was announced.
pub(super) struct Announced {
    pub(super) decision: Decision,
    pub(super) planned: Planned,
    pub(super) escalation: bool,
}

impl World {
    pub(super) fn announced(&self, id: &str) -> Announced {
        let decisions: BTreeMap<&str, &Decision> = self
            .log
            .iter()
            .filter_map(|entry| match &entry.body {
                Body::Decision { decision, actions, .. } => Some((decision, actions)),
                _ => None,
            })
            .flat_map(|(decision, actions)| {
                actions.iter().map(move |plan| (plan.action_id.as_str(), decision))
            })
            .collect();
        for entry in &self.log {
            let (actions, decision, escalation) = match &entry.body {
                Body::Decision { decision, actions, .. } => (actions, decision, false),
                Body::Escalated { actions, action_id, .. } => (actions, decisions[action_id.as_str()], true),
                _ => continue,
            };
            if let Some(planned) = actions.iter().find(|plan| plan.action_id == id) {
                return Announced { decision: decision.clone(), planned: planned.clone(), escalation };
            }
        }
        panic!("{id} was not announced");
    }

    /// The rules for an intent, before it is written.
    pub(in crate::safety) fn check_intent(&self, id: &str, to_version: Option<&Version>, at: i64) {
        let Announced { decision, planned, escalation } = self.announced(id);
        let mode = MODES.iter().find(|(policy, _)| *policy == decision.policy).unwrap().1;
        let evidence = self.log.iter().find_map(|entry| match &entry.body {
            Body::Evidence { action_ids, sha256, .. } if action_ids.iter().any(|of| of == id) => Some(sha256),
            _ => None,
        });
        assert!(evidence.is_some() || escalation, "evidence is sealed before the intent of {id}");
        assert!(mode >= PolicyMode::Recommend, "a policy that observes does nothing");
        let intent_of = |entry: &Entry, of: &str| matches!(&entry.body, Body::Intent { action_id, .. } if action_id == of);
        assert!(!self.log.iter().any(|entry| intent_of(entry, id)), "one intent for {id}");
        if !planned.kind.changes_model() {
            return;
        }
        assert!(mode >= PolicyMode::Approve, "a policy that recommends changes nothing");
        assert!(!self.reporting, "a report lets nothing begin");
        if mode == PolicyMode::Approve {
            let approved = self.log.iter().any(|entry| match &entry.body {
                Body::Command { command, accepted: true, deadline, .. } => {
                    let names = matches!(&command.order, Order::Approve { action_id, evidence: named, to_version: to }
                        if action_id == id && Some(named) == evidence
                            && (planned.kind != ActionKind::Rollback || to.as_ref() == to_version));
                    names && command.role == Role::Approver && deadline.is_some_and(|until| at < until)
                }
                _ => false,
            });
            assert!(approved, "nobody has approved {id}");
        }
        assert!(!self.frozen(), "a freeze wins");
        assert!(!self.held(&decision.key), "a hold wins");
        let same_model = |of: &str| {
            let other = self.announced(of);
            other.planned.kind.changes_model() && other.decision.key.model == decision.key.model
        };
        let intents: Vec<(i64, &str)> = self
            .log
            .iter()
            .filter_map(|entry| match &entry.body {
                Body::Intent { action_id, .. } => Some((entry.time, action_id.as_str())),
                _ => None,
            })
            .filter(|(_, of)| self.announced(of).planned.kind.changes_model())
            .collect();
        let within = |budget: Budget, when: i64| when > at - budget.per;
        let fleet = intents.iter().filter(|(when, _)| within(FLEET, *when)).count();
        assert!(fleet < FLEET.count as usize, "the fleet's budget is spent");
        let of_model = intents.iter().filter(|(when, of)| within(PER_MODEL, *when) && same_model(of)).count();
        assert!(of_model < PER_MODEL.count as usize, "the model's budget is spent");
        for (_, other) in &intents {
            assert!(!same_model(other) || self.outcome(other).is_some(), "two changes of a model at once");
        }
        let not_recovered = self.log.iter().any(|entry| match &entry.body {
            Body::Verified { action_id, result, .. } => {
                result.name() == "not_recovered" && self.announced(action_id).decision.id == decision.id
            }
            _ => false,
        });
        let rollback = planned.kind == ActionKind::Rollback;
        assert!(!(rollback && not_recovered), "never a second automatic rollback for an incident");
    }

    pub(in crate::safety) fn check_call(&mut self, call: Call) {
        let id = call.action_id.as_str();
        let Announced { decision, planned, .. } = self.announced(id);
        assert!(self.now < call.deadline, "no question at or after its deadline");
        // A question that is asked while another waits makes the answer to that one worthless.
        if let Some(at) = self.outstanding.iter().position(|other| other.action_id == id) {
            let before = self.outstanding.remove(at);
            if before.step == Step::Submit {
                assert_ne!(call.step, Step::Submit, "one request at a time");
                self.doubtful.insert(id.to_owned());
            }
        }
        if call.step == Step::Submit {
            let intent =
                |entry: &Entry| matches!(&entry.body, Body::Intent { action_id, .. } if action_id == id);
            assert!(self.log.iter().any(intent), "a durable intent before the request");
            assert!(self.outcome(id).is_none(), "nothing is sent after the end");
            if planned.kind.changes_model() {
                assert!(
                    !self.frozen() && !self.held(&decision.key),
                    "nothing is sent under a freeze or a hold"
                );
            }
            assert!(!self.stopped(id), "nothing is sent once a person has stopped it");
            if let Some(to) = self.sent_to(id) {
                assert!(!self.condemned(&decision.key, &to), "nothing is sent that goes to a bad version");
            }
            let unkeyed = matches!(planned.action.as_str(), "flow" | "tell");
            assert!(!(unkeyed && self.doubtful.contains(id)), "never a blind second request");
            *self.submissions.entry((planned.action, id.to_owned())).or_default() += 1;
        }
        self.outstanding.push(call);
    }

    /// The version to go back to that was shown last.
    pub(in crate::safety) fn shown_version(&self, id: &str) -> Option<Version> {
        self.shown.get(id)?.to_version.as_deref().map(Version::from)
    }

    /// The version that the intent names.
    pub(in crate::safety) fn sent_to(&self, id: &str) -> Option<Version> {
        self.log.iter().find_map(|entry| match &entry.body {
            Body::Intent { action_id, to_version, .. } if action_id == id => to_version.clone(),
            _ => None,
        })
    }

    /// Whether a policy has left the version, and no person has taken that back.
    pub(in crate::safety) fn condemned(&self, key: &ModelKey, version: &Version) -> bool {
        self.log.iter().fold(false, |condemned, entry| match &entry.body {
            Body::Decision { decision, actions, .. } => {
                let rollback = actions.iter().any(|planned| planned.kind == ActionKind::Rollback);
                let mine = decision.key.model == key.model && decision.key.version == *version;
                condemned || mine && rollback && decision.kind == DecisionKind::Violated
            }
            Body::Command { command, accepted: true, .. } => match &command.order {
                Order::Absolve { model, version: of } if model.model == key.model && of == version => false,
                _ => condemned,
            },
            _ => condemned,
        })
    }

    /// Whether a person has ordered that it be not done.
    pub(in crate::safety) fn stopped(&self, id: &str) -> bool {
        self.log.iter().any(|entry| match &entry.body {
            Body::Command { command, accepted: true, .. } => {
                matches!(&command.order, Order::Deny { action_id } | Order::Cancel { action_id } if action_id == id)
            }
            _ => false,
        })
    }

    pub(in crate::safety) fn frozen(&self) -> bool {
        self.log.iter().fold(false, |frozen, entry| match &entry.body {
            Body::Frozen { .. } => true,
            Body::Command { command, accepted: true, .. } => match command.order {
                Order::Freeze => true,
                Order::Resume => false,
                _ => frozen,
            },
            _ => frozen,
        })
    }

    pub(in crate::safety) fn held(&self, key: &ModelKey) -> bool {
        self.log.iter().fold(false, |held, entry| match &entry.body {
            Body::Command { command, accepted: true, .. } => match &command.order {
                Order::Hold(model) if model.model == key.model => true,
                Order::Release(model) if model.model == key.model => false,
                _ => held,
            },
            _ => held,
        })
    }

    /// Whatever was planned has ended, and what ended as nobody meant it to was told to people.
    pub(super) fn check_ends(&self) {
        let mut planned: BTreeSet<&str> = BTreeSet::new();
        for entry in &self.log {
            if let Body::Decision { actions, .. } | Body::Escalated { actions, .. } = &entry.body {
                planned.extend(actions.iter().map(|plan| plan.action_id.as_str()));
            }
        }
        for id in planned {
            assert!(self.outcome(id).is_some(), "{id} has no outcome");
        }
        for (at, entry) in self.log.iter().enumerate() {
            let (told, what): (&dyn Fn(&Body) -> bool, _) = match &entry.body {
                Body::Frozen { reason, .. } => (
                    &move |body| matches!(body, Body::Escalated { detail, .. } if detail == reason),
                    "a freeze",
                ),
                Body::Outcome { action_id, outcome } if needs_a_person(outcome) => {
                    if !self.announced(action_id).planned.kind.changes_model() {
                        continue;
                    }
                    (
                        &move |body| matches!(body, Body::Escalated { action_id: id, .. } if id == action_id),
                        "an end",
                    )
                }
                Body::Verified {
                    action_id, result: Verified::NotRecovered | Verified::Inconclusive, ..
                } => (
                    &move |body| matches!(body, Body::Escalated { action_id: id, .. } if id == action_id),
                    "a result",
                ),
                _ => continue,
            };
            assert!(
                self.log[at..].iter().any(|entry| told(&entry.body)),
                "people are told of {what}: {entry:?}"
            );
        }
    }
}

/// Whether people have to be told of such an end of an action that changes a model.
fn needs_a_person(outcome: &Ended) -> bool {
    match outcome {
        Ended::Suppressed { reason, detail } => match reason {
            Suppression::NoKnownGoodVersion
            | Suppression::Cooldown
            | Suppression::Budget
            | Suppression::Breaker
            | Suppression::TargetNotReady => true,
            Suppression::Stale => detail.is_some(),
            _ => false,
        },
        Ended::Expired | Ended::Failed { .. } | Ended::NeedsHuman { .. } => true,
        Ended::Denied { .. } | Ended::Applied { .. } | Ended::Cancelled { .. } => false,
    }
}
