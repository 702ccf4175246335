//! What librdkafka tells a transactional producer, on threads of its own: which messages were given
//! up, and why a transaction failed before anybody asked.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;

use super::error::{advice, code_of};

/// What has gone wrong in the present transaction.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble {
    /// The first message that was given up: its topic and why.
    pub(super) failed: Option<(String, RDKafkaErrorCode)>,
    /// librdkafka's words on why the transaction cannot be committed. Messages that it then throws
    /// away are no cause.
    pub(super) words: Vec<String>,
}

impl Trouble {
    /// The cause in words, where there is one.
    pub(super) fn reason(&self) -> Option<String> {
        let mut parts = self.words.clone();
        if let Some((topic, code)) =
            self.failed.as_ref().filter(|(_, code)| parts.is_empty() || !is_purge(*code))
        {
            parts.insert(
                0,
                format!("a message for topic '{topic}' was not delivered: {code}{}", advice(*code)),
            );
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The code that says most.
    pub(super) fn code(&self) -> Option<RDKafkaErrorCode> {
        self.failed.as_ref().map(|(_, code)| *code).filter(|code| !is_purge(*code))
    }
}

fn is_purge(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
}

/// The producer's context.
#[derive(Debug, Default)]
pub(super) struct Context {
    trouble: Mutex<Trouble>,
    /// The last fault of the connection that says anything.
    fault: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl Context {
    /// A poisoned lock is taken all the same: its content is plain data.
    pub(super) fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fault(&self) -> MutexGuard<'_, Option<(RDKafkaErrorCode, String)>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, message);
        // The only places that name the partition, and that tell of a failure before the next call.
        if facility.ends_with("TXNERR") || facility.ends_with("ADDPARTS") {
            // Log lines begin with the thread that wrote them.
            let words = message.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: "));
            self.trouble().words.push(words.map_or(message, |(_, words)| words).to_owned());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
        let code = code_of(&error);
        if code != RDKafkaErrorCode::AllBrokersDown {
            *self.fault() = Some((code, reason.to_owned()));
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        let code = code_of(error);
        let mut trouble = self.trouble();
        if trouble.failed.as_ref().is_none_or(|(_, before)| is_purge(*before) && !is_purge(code)) {
            trouble.failed = Some((message.topic().to_owned(), code));
        }
    }
}
