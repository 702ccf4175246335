//! State records that are larger than a Kafka message may be are cut into parts. All parts of a record
//! are written in one transaction, so they always belong together.
//!
//! The first part stands under the record's own key and begins with the number of parts; the others
//! stand under the key followed by `#` and their number. A record that has become shorter leaves parts
//! behind, which its first part does not count any more.

use std::collections::BTreeMap;

use super::Error;

/// Cuts `value` into parts of at most `most` bytes (at least 64) and hands each to `out` with its key.
pub fn cut(key: &[u8], value: &[u8], most: usize, out: &mut dyn FnMut(&[u8], &[u8])) {
    let most = most.max(64);
    let (first, rest) = value.split_at(value.len().min(most - 2));
    let count = u16::try_from(1 + rest.len().div_ceil(most)).unwrap_or(u16::MAX);
    let mut head = count.to_be_bytes().to_vec();
    head.extend_from_slice(first);
    out(key, &head);
    for (number, part) in (1..count).zip(rest.chunks(most)) {
        out(&part_key(key, number), part);
    }
}

/// The keys under which the first `parts` parts of a record stand, for taking it away.
pub fn keys(key: &[u8], parts: u16) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..parts.max(1)).map(move |number| if number == 0 { key.to_vec() } else { part_key(key, number) })
}

fn part_key(key: &[u8], number: u16) -> Vec<u8> {
    let mut part = key.to_vec();
    part.extend_from_slice(format!("#{number}").as_bytes());
    part
}

/// A record that was put together, and how many keys it takes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The record's own key.
    pub key: Vec<u8>,
    /// Its bytes.
    pub value: Vec<u8>,
    /// Parts that stand in the topic, those that are not counted any more included.
    pub parts: u16,
}

/// Puts records together again.
///
/// # Errors
/// When a part is missing.
pub fn join(mut parts: BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Vec<Whole>, Error> {
    let heads: Vec<Vec<u8>> = parts.keys().filter(|key| key.last() == Some(&b']')).cloned().collect();
    let mut wholes = Vec::with_capacity(heads.len());
    for key in heads {
        let Some(head) = parts.remove(&key) else { continue };
        let Some((count, first)) = head.split_first_chunk::<2>() else { return Err(Error::Empty) };
        let expected = u16::from_be_bytes(*count).max(1);
        let mut value = first.to_vec();
        let mut found = 1;
        while let Some(part) = parts.remove(&part_key(&key, found)) {
            if found < expected {
                value.extend_from_slice(&part);
            }
            let Some(next) = found.checked_add(1) else { break };
            found = next;
        }
        if found < expected {
            return Err(Error::Parts { expected, found });
        }
        wholes.push(Whole { key, value, parts: found });
    }
    Ok(wholes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(records: &[(Vec<u8>, Vec<u8>)], most: usize, topic: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
        for (key, value) in records {
            cut(key, value, most, &mut |key, part| {
                assert!(part.len() <= most);
                topic.insert(key.to_vec(), part.to_vec());
            });
        }
    }

    proptest! {
        #[test]
        fn a_record_comes_back_whole_whatever_its_length_and_what_stood_there_before(
            before in 0_usize..2_000,
            now in 0_usize..2_000,
        ) {
            let record = |length: usize| (0..length).map(|i| i as u8).collect::<Vec<u8>>();
            let key = b"[\"marks\"]".to_vec();
            let mut topic = BTreeMap::new();
            written(&[(key.clone(), record(before))], 64, &mut topic);
            written(&[(key.clone(), record(now))], 64, &mut topic);
            let parts = topic.len() as u16;
            let whole = join(topic.clone()).unwrap();
            prop_assert_eq!(&whole, &[Whole { key: key.clone(), value: record(now), parts }]);
            for key in keys(&key, parts) {
                prop_assert!(topic.remove(&key).is_some());
            }
            prop_assert!(topic.is_empty());
        }
    }

    #[test]
    fn a_missing_part_is_an_error_and_never_a_shorter_record() {
        let mut topic = BTreeMap::new();
        written(&[(b"[\"key\"]".to_vec(), vec![7; 200])], 64, &mut topic);
        topic.remove(b"[\"key\"]#1".as_slice());
        assert_eq!(join(topic), Err(Error::Parts { expected: 4, found: 1 }));
    }
}
