//! Bytes that are no messages: whatever is read from a topic, it is a message or an error.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use plimsoll::engine::evaluator::{Evaluator, StateKey};
use plimsoll::engine::wire;
use proptest::prelude::*;

use super::log::{Known, Setup};
use super::store::encoded;

/// Messages, and records with their keys, as they are written.
type Real = (Vec<Vec<u8>>, Vec<(Vec<u8>, Vec<u8>)>);

fn real() -> &'static Real {
    static REAL: OnceLock<Real> = OnceLock::new();
    REAL.get_or_init(|| {
        let known = Known::of(2);
        let mut evaluator = Evaluator::new(Setup::plain().models.iter().cloned());
        let messages: Vec<_> = known.commits[..20].iter().flatten().cloned().collect();
        messages.iter().for_each(|message| drop(evaluator.take(message.clone())));
        let records = encoded(&evaluator.changes(7));
        let records = records.into_iter().filter_map(|(key, value)| Some((key, value?)));
        (messages.iter().map(wire::encode).collect(), records.collect())
    })
}

/// Reads bytes as everything that they might be.
fn read(bytes: &[u8]) {
    let _ = wire::decode(bytes);
    if let Ok(key) = wire::decode_key(bytes) {
        assert_eq!(wire::decode_key(&wire::encode_key(&key)), Ok(key));
    }
    let keys: Vec<StateKey> = real().1.iter().map(|(key, _)| wire::decode_key(key).unwrap()).collect();
    let mut kinds = Vec::new();
    for key in keys {
        let kind = std::mem::discriminant(&key);
        if !kinds.contains(&kind) {
            kinds.push(kind);
            let _ = wire::decode_record(&key, bytes);
        }
    }
    assert_eq!(kinds.len(), 4, "marks, keys, panes and starts");
}

#[test]
fn messages_and_records_come_back_as_they_were() {
    let known = Known::of(2);
    for (message, bytes) in known.commits[..20].iter().flatten().zip(&real().0) {
        assert_eq!(&wire::decode(bytes).unwrap(), message);
    }
    for (key, value) in &real().1 {
        let key = wire::decode_key(key).unwrap();
        assert_eq!(&wire::encode_record(&wire::decode_record(&key, value).unwrap()), value);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_message_or_an_error(
        kind in prop_oneof![1_u8..3, 16_u8..20, any::<u8>()],
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        read(&body);
        read(&[&[wire::VERSION, kind], &body[..]].concat());
    }

    #[test]
    fn a_message_with_bytes_changed_or_cut_off_is_a_message_or_an_error(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let (messages, records) = real();
        let all = messages.iter().chain(records.iter().flat_map(|(key, value)| [key, value]));
        let all: Vec<&Vec<u8>> = all.collect();
        let mut bytes = which.get(&all).to_vec();
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()));
        }
        read(&bytes);
    }

    #[test]
    fn any_parts_are_records_or_an_error(
        parts in proptest::collection::btree_map(
            prop_oneof!["\\[\"[a-c]\"\\](#[0-9]{1,2})?", ".{0,6}"],
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..8),
                (0_u8..4).prop_map(|count| vec![0, count, 7]),
            ],
            0..12,
        ),
    ) {
        let parts: BTreeMap<Vec<u8>, Vec<u8>> = parts.into_iter().map(|(key, value)| (key.into_bytes(), value)).collect();
        if let Ok(whole) = wire::parts::join(parts.clone()) {
            for record in whole {
                prop_assert!(wire::parts::keys(&record.key, record.parts).all(|key| parts.contains_key(&key)));
            }
        }
    }
}
