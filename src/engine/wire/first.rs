//! What version 1 of the format wrote otherwise than the present one: the records of model versions, whose
//! policies lacked what qualifies by time and rows, and the end of the last incident.

use serde::Deserialize;

use crate::check::sequential::SlotState;
use crate::domain::{Decide, EventTime};
use crate::engine::evaluator::{KeyRecord, PolicyRecord};
use crate::policy::FirstForm;

#[derive(Deserialize)]
struct PolicyForm {
    name: String,
    signature: u64,
    decide: Decide,
    machine: FirstForm,
}

/// A model version and segment, without its panes.
#[derive(Deserialize)]
pub(super) struct KeyForm {
    layout: u64,
    policies: Vec<PolicyForm>,
    detectors: Vec<(u64, SlotState)>,
    paid: bool,
    past_rows: u64,
    newest: EventTime,
    next_step: Option<EventTime>,
    rested: Option<EventTime>,
    served_until: Option<EventTime>,
    evaluated_until: Option<EventTime>,
}

impl From<KeyForm> for KeyRecord {
    fn from(first: KeyForm) -> Self {
        let policy = |PolicyForm { name, signature, decide, machine }: PolicyForm| PolicyRecord {
            name,
            signature,
            decide,
            machine: machine.into(),
        };
        Self {
            layout: first.layout,
            policies: first.policies.into_iter().map(policy).collect(),
            detectors: first.detectors,
            paid: first.paid,
            past_rows: first.past_rows,
            newest: first.newest,
            next_step: first.next_step,
            rested: first.rested,
            served_until: first.served_until,
            evaluated_until: first.evaluated_until,
        }
    }
}
