//! How an owner of the decisions knows that it has read what was there before it: it writes a mark to
//! their topic, and whatever stands ahead of that mark was ordered or decided earlier. The end of the
//! partition would not do. Of a topic with an open transaction the end that readers see lies before
//! orders that are durable, and where evaluators write all the time there is none for long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::error::RDKafkaErrorCode;

use crate::app::people::Publisher;
use crate::engine::decided::encode_mark;

/// After how long a mark that was not read is written again: it may have been lost.
const AGAIN: Duration = Duration::from_secs(5);

/// Writes a mark with this id to the topic of decisions, without waiting for it.
pub type Write = Arc<dyn Fn(&str) + Send + Sync>;

/// The mark of one owner.
#[derive(Debug)]
pub(super) struct Mark {
    id: String,
    written: Option<Instant>,
    read: bool,
}

impl Mark {
    /// One that nobody else writes.
    pub(super) fn draw() -> anyhow::Result<Self> {
        let mut bytes = [0; 16];
        openssl::rand::rand_bytes(&mut bytes).context("the system gives no random bytes")?;
        let id = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { id, written: None, read: false })
    }

    /// Writes it where it was not, or was long ago and has not come back.
    pub(super) fn keep_up(&mut self, write: &Write) {
        if !self.read && self.written.is_none_or(|at| at.elapsed() >= AGAIN) {
            if self.written.is_some() {
                tracing::warn!(
                    "the mark of this new owner has not come back in {} s, so nothing is done yet: the topic of decisions cannot be written, or a transaction of an evaluator that is gone is open in it, which ends by itself within a minute",
                    AGAIN.as_secs()
                );
            }
            write(&self.id);
            self.written = Some(Instant::now());
        }
    }

    /// Whether it has this id.
    pub(super) fn is(&self, id: &str) -> bool {
        self.id == id
    }

    /// Takes note that it was read.
    pub(super) fn read(&mut self) {
        self.read = true;
    }

    /// Whether everything was read that was there when it was written.
    pub(super) fn is_read(&self) -> bool {
        self.read
    }
}

/// Writes marks with `publisher`.
pub fn writing(publisher: Publisher) -> Write {
    let publisher = Arc::new(publisher);
    Arc::new(move |id| {
        let topic = publisher.topic().to_owned();
        let told = move |delivered: Result<(), RDKafkaErrorCode>| {
            if let Err(code) = delivered {
                refused(&topic, code);
            }
        };
        if let Err(code) = publisher.send(id, &encode_mark(id), told) {
            refused(publisher.topic(), code);
        }
    })
}

fn refused(topic: &str, code: RDKafkaErrorCode) {
    let right = match code {
        RDKafkaErrorCode::TopicAuthorizationFailed => "; the role `act` needs Write on this topic",
        _ => "",
    };
    tracing::warn!(
        topic,
        error = %code,
        "the mark of a new owner was not taken, so nothing is done yet; trying again{right}"
    );
}
