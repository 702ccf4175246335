//! What became of people's orders, as the actor read them.

use serde::Serialize;

use crate::safety::{Command, Role};

/// What the actor made of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandOutcome {
    /// It is in force.
    Accepted,
    /// It changes nothing.
    Refused,
    /// The actor has not said, or not to this instance.
    Unknown,
}

/// One order of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommandView {
    /// Its id, as `safety::Command` has it.
    pub id: String,
    /// Wall time at which it was given, milliseconds since the epoch.
    pub at: i64,
    /// Who gave it.
    pub who: String,
    /// The role that this one had.
    pub role: Role,
    /// What is ordered, as `safety::Order::name` spells it.
    pub order: &'static str,
    /// Why, in that person's words.
    pub reason: String,
    /// What became of it.
    pub outcome: CommandOutcome,
    /// Why it was refused, or what more there is to say.
    pub why: Option<String>,
}

impl CommandView {
    /// `command`, of which `outcome` is known; `why` says more.
    pub fn of(command: &Command, outcome: CommandOutcome, why: Option<String>) -> Self {
        Self {
            id: command.id.clone(),
            at: command.at,
            who: command.who.clone(),
            role: command.role,
            order: command.order.name(),
            reason: command.reason.clone(),
            outcome,
            why,
        }
    }

    /// `command` as the actor has taken it, `refused` for this reason if it was.
    pub fn taken(command: &Command, refused: Option<String>) -> Self {
        let outcome = if refused.is_some() { CommandOutcome::Refused } else { CommandOutcome::Accepted };
        Self::of(command, outcome, refused)
    }
}
