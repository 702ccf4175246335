//! People's commands. Each is written down with who gave it and why, carried out or not, and counts once.

use super::entry::Body;
use super::task::{Task, millis};
use super::{Actor, Effect};
use crate::engine::view::{CommandView, Stop};
use crate::safety::{ActionKind, Command, Event, ModelName, Order, State, Suppression};

impl Actor {
    pub(super) fn ordered(&mut self, command: &Command, now: i64, effects: &mut Vec<Effect>) {
        if self.seen.contains(&command.id) {
            return;
        }
        let refused = self.refuses(command, now);
        let deadline = self.approved_until(command, now).filter(|_| refused.is_none());
        let body = Body::Command {
            command: command.clone(),
            accepted: refused.is_none(),
            why: refused.clone(),
            deadline,
        };
        self.audit(body, now, effects);
        effects.push(Effect::Ordered(CommandView::taken(command, refused.clone())));
        self.note(command, refused.is_none(), deadline, now);
        if refused.is_some() {
            return;
        }
        let says = says(command);
        match &command.order {
            Order::Approve { action_id, .. } => {
                if let Some(deadline) = deadline {
                    self.apply(action_id, Event::Approve { deadline }, now, effects);
                }
            }
            Order::Deny { action_id } => self.apply(action_id, Event::Deny { detail: says }, now, effects),
            // What was begun before is stopped when it is taken up.
            Order::Cancel { action_id }
                if !self.begun && self.tasks.get(action_id).is_some_and(Task::is_active) => {}
            Order::Cancel { action_id } => {
                self.apply(action_id, Event::Cancel { detail: says }, now, effects)
            }
            Order::Hold(model) => {
                self.stop_where(|task| model.covers(&task.model()), Suppression::Held, now, effects);
            }
            Order::Freeze => self.stop_where(|_| true, Suppression::Frozen, now, effects),
            Order::Release(_) | Order::Resume | Order::Absolve { .. } => {}
        }
    }

    /// What a command leaves behind whether or not there is anything to be done about it now.
    pub(super) fn note(&mut self, command: &Command, accepted: bool, deadline: Option<i64>, now: i64) {
        self.seen.insert(command.id.clone());
        if !accepted {
            return;
        }
        let stop = || Stop { who: command.who.clone(), reason: command.reason.clone(), at: now };
        match &command.order {
            Order::Freeze => self.frozen = Some(stop()),
            Order::Resume => {
                self.frozen = None;
                self.spent.resumed();
            }
            Order::Hold(model) => drop(self.held.insert(model.clone(), stop())),
            Order::Release(model) => drop(self.held.remove(model)),
            Order::Absolve { model, version } => drop(self.ledger.absolve(model, version)),
            Order::Approve { action_id, to_version, .. } => {
                if let (Some(task), Some(deadline)) = (self.tasks.get_mut(action_id), deadline) {
                    task.approved = Some(to_version.clone());
                    task.machine.terms.deadline = deadline;
                }
            }
            Order::Deny { action_id } | Order::Cancel { action_id } => {
                if let Some(task) = self.tasks.get_mut(action_id) {
                    task.machine.cancelled = Some(says(command));
                }
            }
        }
    }

    /// Until when an approved action may begin.
    fn approved_until(&self, command: &Command, now: i64) -> Option<i64> {
        let Order::Approve { action_id, .. } = &command.order else { return None };
        let spec = self.config.action(&self.tasks.get(action_id)?.planned.action)?;
        Some(now.saturating_add(millis(spec.deadline)))
    }

    /// Why a command is not carried out.
    fn refuses(&self, command: &Command, now: i64) -> Option<String> {
        let needs = command.order.needs();
        if command.role < needs {
            return Some(format!("the role {} may not do this; it takes {needs}", command.role));
        }
        if command.reason.trim().is_empty() {
            return Some("a command needs a reason".to_owned());
        }
        let stopped = |model: &ModelName| {
            let held = self.held.iter().find(|(held, _)| held.covers(model));
            let held = held.map(|(_, stop)| format!("the model is held by {}", stop.who));
            let frozen = self.frozen.as_ref().map(|stop| format!("everything was frozen by {}", stop.who));
            held.or(frozen)
        };
        let task = |id: &str| -> Result<&Task, String> {
            self.tasks.get(id).ok_or_else(|| format!("there is no action {id} that has not ended"))
        };
        let said = match &command.order {
            Order::Approve { action_id, evidence, to_version } => task(action_id).and_then(|task| {
                match task.machine.state {
                    State::AwaitingApproval { until } if now < until => {}
                    State::AwaitingApproval { .. } => {
                        return Err("the time to approve it is over".to_owned());
                    }
                    _ => {
                        return Err(format!(
                            "the action does not wait for approval: it is {}",
                            task.machine.state.name()
                        ));
                    }
                }
                if task.evidence.as_ref() != Some(evidence) {
                    return Err("the evidence is another one than was looked at".to_owned());
                }
                match &task.to_version {
                    Some(good)
                        if task.planned.kind == ActionKind::Rollback && to_version.as_ref() != Some(good) =>
                    {
                        return Err(format!("it would go back to version {good}, which was not looked at"));
                    }
                    _ => {}
                }
                // Its own deadline would pass while it waits.
                if let Some(other) = self.others(task).find(|other| other.is_active()) {
                    let id = &other.planned.action_id;
                    return Err(format!(
                        "{id} of the same model is under way; cancel that, or approve this once it has ended"
                    ));
                }
                stopped(&task.model()).map_or(Ok(()), Err)
            }),
            Order::Deny { action_id } => task(action_id).and_then(|task| match &task.machine.state {
                state if state.is_waiting() => Ok(()),
                state => Err(format!("the action does not wait: it is {}", state.name())),
            }),
            Order::Cancel { action_id } => task(action_id).and_then(|task| match &task.machine.state {
                State::Following { .. } if !task.machine.terms.abilities.cancel => {
                    Err("its target cannot be asked to stop".to_owned())
                }
                state if state.is_active() || state.is_waiting() => Ok(()),
                state => Err(format!("there is nothing to stop: it is {}", state.name())),
            }),
            Order::Release(model) => match self.held.contains_key(model) {
                true => Ok(()),
                false => Err("the model is not held".to_owned()),
            },
            Order::Resume => match self.frozen {
                Some(_) => Ok(()),
                None => Err("nothing is frozen".to_owned()),
            },
            Order::Absolve { model, version } => match self.ledger.is_condemned(model, version) {
                true => Ok(()),
                false => Err("the version is not condemned".to_owned()),
            }
            .and_then(|()| match self.incidents.of_version(model, version) {
                Some(policy) => Err(format!("its incident of policy {policy} is still open")),
                None => Ok(()),
            }),
            Order::Hold(model) => match self.is_known(model) {
                true => Ok(()),
                false => Err(match model.tenant {
                    None => "no policy watches a model of this name".to_owned(),
                    Some(_) => "this tenant's model has not been seen; without the tenant a hold is of all \
                                tenants"
                        .to_owned(),
                }),
            },
            Order::Freeze => Ok(()),
        };
        said.err()
    }

    /// Whether there is such a model: configured, or seen in the log.
    fn is_known(&self, model: &ModelName) -> bool {
        let mine = |seen: &ModelName| model.covers(seen);
        let configured = || {
            self.config.policies.values().any(|terms| model.tenant.is_none() && terms.model == model.model)
        };
        configured()
            || self.reached.keys().any(mine)
            || self.ledger.knows(model)
            || self.tasks.values().any(|task| mine(&task.model()))
    }
}

/// Who ordered it, and why.
fn says(command: &Command) -> String {
    format!("{}: {}", command.who, command.reason)
}
