//! The compacted topic of one partition's state: records are cut into small parts, only the newest
//! value of each key stays, and an evaluator is made of nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll::engine::evaluator::{Change, Evaluator, Record, StateKey};
use plimsoll::engine::{ModelSpec, wire};

/// A record's key and its bytes; none where it is gone.
pub(crate) type Written = (Vec<u8>, Option<Vec<u8>>);

/// Changes as they are written.
pub(crate) fn encoded(changes: &[Change]) -> Vec<Written> {
    let written =
        |change: &Change| (wire::encode_key(&change.key), change.record.as_ref().map(wire::encode_record));
    changes.iter().map(written).collect()
}

/// What stands in the topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Store {
    topic: BTreeMap<Vec<u8>, Vec<u8>>,
    /// How many parts each record takes up, as its writer remembers.
    parts: BTreeMap<Vec<u8>, u16>,
}

impl Store {
    /// Bytes of a part: so few that most records have several.
    const MOST: usize = 200;

    /// Writes changes, in one transaction.
    pub(crate) fn write(&mut self, changes: impl IntoIterator<Item = Written>) {
        for (key, value) in changes {
            let held = self.parts.get(&key).copied().unwrap_or(0);
            let Some(value) = value else {
                wire::parts::keys(&key, held).for_each(|part| drop(self.topic.remove(&part)));
                self.parts.remove(&key);
                continue;
            };
            let mut count = 0;
            wire::parts::cut(&key, &value, Self::MOST, &mut |part, bytes| {
                assert!(bytes.len() <= Self::MOST);
                self.topic.insert(part.to_vec(), bytes.to_vec());
                count += 1;
            });
            self.parts.insert(key, held.max(count));
        }
    }

    /// The records, in an order that is not theirs.
    pub(crate) fn records(&self) -> Vec<(StateKey, Record)> {
        let whole = wire::parts::join(self.topic.clone()).unwrap();
        let parts: BTreeMap<_, _> = whole.iter().map(|whole| (whole.key.clone(), whole.parts)).collect();
        assert_eq!(parts, self.parts, "a reader knows as well as the writer what is there");
        let record = |whole: wire::parts::Whole| {
            let key = wire::decode_key(&whole.key).unwrap();
            assert_eq!(wire::encode_key(&key), whole.key);
            let record = wire::decode_record(&key, &whole.value).unwrap();
            (key, record)
        };
        whole.into_iter().rev().map(record).collect()
    }

    /// An evaluator of what stands here, and the offset at which it goes on.
    pub(crate) fn restore(&self, models: &[Arc<ModelSpec>]) -> (Evaluator, Option<i64>) {
        Evaluator::restore(models.iter().cloned(), |_| true, self.records())
    }
}
