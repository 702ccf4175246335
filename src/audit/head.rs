//! What a writer knows of the tree over its log: enough to hold what it reads against the newest
//! checkpoint, and to sign the next one.
//!
//! A checkpoint is signed only over entries that are durable, and is durable itself before anything else
//! is done. So two that were signed over the same log can never contradict each other: whoever opens the
//! log reads the newest first and refuses a log that is not its continuation.

use std::time::Duration;

use super::tlog::{Checkpoint, Edge, SignerKey, VerifierKey, leaf};
use super::{Error, Extent};

/// By whom and how often checkpoints are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// The key; its name is the name of the log.
    pub key: SignerKey,
    /// Keys of the same name that signed before it.
    pub former: Vec<VerifierKey>,
    /// The least time from one checkpoint to the next.
    pub interval: Duration,
}

impl Signing {
    /// All keys by which the log may be signed.
    pub fn known(&self) -> Vec<VerifierKey> {
        std::iter::once(self.key.verifier()).chain(self.former.iter().cloned()).collect()
    }
}

/// Where checkpoints are kept, and by whom they are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints<P> {
    /// A file, or a topic.
    pub place: P,
    /// By whom.
    pub signing: Signing,
}

/// The tree as far as it was read and written.
#[derive(Debug)]
pub(super) struct Head {
    /// The log, as errors name it.
    log: String,
    edge: Edge,
    signing: Option<Signing>,
    /// The newest checkpoint there is.
    newest: Option<Checkpoint>,
    /// Wall time of the last one signed here, milliseconds.
    last: Option<i64>,
}

impl Head {
    /// Before anything was read. Without `signing` nothing is signed, and nothing held against what was.
    pub(super) fn new(log: String, signing: Option<Signing>, newest: Option<&[u8]>) -> Result<Self, Error> {
        let newest = match (&signing, newest) {
            (Some(signing), Some(note)) => {
                let opened = Checkpoint::open(note, &signing.known(), &[])
                    .map_err(|source| Error::Checkpoint { log: log.clone(), source })?;
                Some(opened.checkpoint)
            }
            _ => None,
        };
        Ok(Self { log, edge: Edge::default(), signing, newest, last: None })
    }

    /// Takes an entry that was read.
    pub(super) fn read(&mut self, entry: &[u8]) -> Result<(), Error> {
        self.add(entry);
        match &self.newest {
            Some(newest) if newest.size == self.edge.size() && newest.root != self.edge.root() => {
                Err(Error::Rewritten { log: self.log.clone(), size: newest.size })
            }
            _ => Ok(()),
        }
    }

    /// That everything was read.
    pub(super) fn whole(&self) -> Result<(), Error> {
        match &self.newest {
            Some(newest) if newest.size > self.edge.size() => {
                Err(Error::Truncated { log: self.log.clone(), size: newest.size, found: self.edge.size() })
            }
            _ => Ok(()),
        }
    }

    /// How long the log is, and how much of it is signed.
    pub(super) fn extent(&self) -> Extent {
        let covered = || self.newest.as_ref().map_or(0, |newest| newest.size);
        Extent { entries: self.edge.size(), signed: self.signing.as_ref().map(|_| covered()) }
    }

    /// Takes an entry that became durable.
    pub(super) fn add(&mut self, entry: &[u8]) {
        self.edge.push(leaf(entry));
    }

    /// The next checkpoint and its note, where entries are not covered by one and, with `now`, it is time.
    pub(super) fn next(&self, now: Option<i64>) -> Option<(Checkpoint, String)> {
        let signing = self.signing.as_ref()?;
        if self.edge.size() <= self.newest.as_ref().map_or(0, |newest| newest.size) {
            return None;
        }
        if let (Some(now), Some(last)) = (now, self.last) {
            let passed = now.saturating_sub(last);
            // A clock that was put back does not hold checkpoints up.
            if passed >= 0 && u128::from(passed.unsigned_abs()) < signing.interval.as_millis() {
                return None;
            }
        }
        let origin = signing.key.name().to_owned();
        let checkpoint = Checkpoint { origin, size: self.edge.size(), root: self.edge.root() };
        let note = checkpoint.sign(&signing.key).to_string();
        Some((checkpoint, note))
    }

    /// That `checkpoint` is durable.
    pub(super) fn published(&mut self, checkpoint: Checkpoint, now: Option<i64>) {
        tracing::info!(
            log = checkpoint.origin,
            size = checkpoint.size,
            root = %checkpoint.root,
            "signed a checkpoint of the audit log"
        );
        self.newest = Some(checkpoint);
        self.last = now;
    }
}
