//! A command as an event: CDEvents 0.5.1 (cdevents/spec) in the data of a CloudEvent 1.0, in binary
//! mode (cloudevents/spec, kafka-protocol-binding.md), so that its attributes are headers.
//!
//! CDEvents have no commands. A rollback or a retraining is announced as a pipeline run that is
//! queued, for the receiver to run; a notification as an incident that is detected or resolved. What is
//! plimsoll's own is in `customData`, because nothing else may hold more than the schema names.

use serde_json::{Value, json};

use crate::action::request::Request;
use crate::engine::actor::entry;
use crate::safety::ActionKind;

/// Header with the action's id, by which a receiver knows what it has done already.
pub const ACTION_ID: &str = "action_id";
/// The version of CDEvents.
const SPECVERSION: &str = "0.5.1";

/// An event as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Key of the message: the model, so that what concerns it stays in order.
    pub key: String,
    /// Headers by their names.
    pub headers: Vec<(&'static str, String)>,
    /// The CDEvent.
    pub data: Value,
}

impl Event {
    /// What `request`, of the configured action `action`, is written as.
    pub fn new(request: &Request<'_>, action: &str, source: &str, environment: &str) -> Self {
        let incident = request.incident();
        let (event, subject, content) = match request.kind {
            ActionKind::Rollback | ActionKind::Retrain => {
                ("dev.cdevents.pipelinerun.queued.0.3.0", request.action_id, json!({"pipelineName": action}))
            }
            ActionKind::Notify => {
                let event = if request.is_over() {
                    "dev.cdevents.incident.resolved.0.3.0"
                } else {
                    "dev.cdevents.incident.detected.0.3.0"
                };
                // An action that needs a person is a matter of its own beside the incident.
                let subject = request.escalation.map_or(incident.as_str(), |about| about.action_id);
                let content = json!({
                    "description": request.summary(),
                    "environment": {"id": environment},
                    "service": {"id": request.model},
                });
                (event, subject, content)
            }
        };
        let data = json!({
            "context": {
                "specversion": SPECVERSION,
                "id": request.action_id,
                "source": source,
                "type": event,
                "timestamp": request.time,
                "chainId": incident,
            },
            "subject": {"id": subject, "source": source, "content": content},
            "customData": request.payload,
            "customDataContentType": "application/json",
        });
        let headers = vec![
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", request.action_id.to_owned()),
            ("ce_type", event.to_owned()),
            ("ce_source", source.to_owned()),
            ("ce_time", request.time.to_owned()),
            ("ce_subject", subject.to_owned()),
            ("content-type", "application/json".to_owned()),
            (ACTION_ID, request.action_id.to_owned()),
        ];
        Self { key: request.model.to_owned(), headers, data }
    }

    /// The value of the message.
    pub fn value(&self) -> String {
        entry::canonical(&self.data)
    }
}
