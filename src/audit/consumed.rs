//! What entries account for: how far the decisions were read, and by whom.

use std::fmt;
use std::sync::Arc;

use rdkafka::consumer::ConsumerGroupMetadata;

/// The next decision to read, and the membership in the group that gives the right to read it.
#[derive(Clone)]
pub struct Consumed {
    /// The topic of the decisions.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Offset of the next decision to read after a restart.
    pub next: i64,
    /// Who the reader is in its group. Taken before the last poll that brought no revocation: the
    /// broker refuses the generation of a member that has lost its partitions, but takes any word of
    /// one that has just forgotten who it was. None where there is no group.
    pub membership: Option<Arc<ConsumerGroupMetadata>>,
}

impl fmt::Debug for Consumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumed")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("next", &self.next)
            .field("in_group", &self.membership.is_some())
            .finish()
    }
}
