//! What stands in topics outlives the build that wrote it. Stored samples hold the bytes of every
//! message and record: whoever changes a field, the order of an enum's variants or the library that
//! writes them changes these bytes, and with them what other builds read.

#![expect(clippy::unwrap_used, reason = "a test may stop at a surprise, also in its helpers")]

mod random;
mod reading;
mod values;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use plimsoll::domain::{EventTime, Segment};
use plimsoll::engine::evaluator::{Record, StateKey};
use plimsoll::engine::message::{Message, exchange_partition};
use plimsoll::engine::wire::{self, Error, parts};

/// Where samples of the version that is written stand.
fn folder(version: u8) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/suite/wire/v{version}"))
}

/// Holds `text` against the stored sample, or stores it where the samples are to be written anew.
fn hold(file: &str, text: &str) {
    let path = folder(wire::VERSION).join(file);
    if std::env::var_os("PLIMSOLL_BLESS").is_some() {
        std::fs::create_dir_all(folder(wire::VERSION)).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == text,
        "{file}: the format of messages has changed. Other builds read the bytes that stand in topics, so \
         raise engine::wire::VERSION, keep reading version {} (its samples stay as they are), say in \
         docs/exchange.md what is new, and write the samples of the new version: \
         PLIMSOLL_BLESS=1 cargo test --test suite wire",
        wire::VERSION
    );
}

/// Bytes as lines of hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.chunks(32).fold(String::new(), |mut text, line| {
        line.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
        text.push('\n');
        text
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| byte.is_ascii_hexdigit()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn messages() -> [(&'static str, Message); 3] {
    [
        ("delta", Message::Delta(values::delta())),
        ("progress", Message::Progress(values::progress())),
        ("control", Message::Control(values::generation(7, Some(values::START + 60_000)))),
    ]
}

fn records() -> [(&'static str, StateKey, Record); 4] {
    let key = values::key();
    let start = EventTime::from_millis(values::START);
    [
        ("marks", StateKey::Marks, Record::Marks(Box::new(values::marks()))),
        ("key", StateKey::Key(key.clone()), Record::Key(Box::new(values::key_record()))),
        ("pane", StateKey::Pane(key.clone(), start), Record::Pane(u64::MAX, values::summary())),
        ("starts", StateKey::Starts(key.model, key.segment), values::starts()),
    ]
}

#[test]
fn the_bytes_of_every_message_are_those_of_the_samples() {
    for (name, message) in messages() {
        hold(&format!("{name}.hex"), &hex(&wire::encode(&message)));
    }
    for (name, _, record) in records() {
        hold(&format!("{name}.hex"), &hex(&wire::encode_record(&record)));
    }
}

#[test]
fn samples_of_every_version_are_read_as_the_values_that_they_stand_for() {
    if std::env::var_os("PLIMSOLL_BLESS").is_some() {
        // The samples are being written.
        return;
    }
    for version in 1..=wire::VERSION {
        let sample = |name: &str| {
            let path = folder(version).join(format!("{name}.hex"));
            bytes(&std::fs::read_to_string(&path).expect("samples of all versions are kept"))
        };
        for (name, message) in messages() {
            assert_eq!(wire::decode(&sample(name)), Ok(message), "{name} of version {version}");
        }
        for (name, key, record) in records() {
            let read = wire::decode_record(&key, &sample(name));
            assert_eq!(read, Ok(record), "{name} of version {version}");
        }
    }
}

#[test]
fn the_keys_of_records_are_those_of_the_sample() {
    let bare = values::bare_key();
    let equals = Segment::Of { name: "a=b".into(), value: "c\"]#1".into() };
    let mut odd = bare.clone();
    odd.segment = equals.clone();
    let mut keys: Vec<StateKey> = records().into_iter().map(|(_, key, _)| key).collect();
    keys.extend([
        StateKey::Key(bare.clone()),
        StateKey::Pane(bare.clone(), EventTime::from_millis(-1)),
        StateKey::Starts(bare.model, Segment::All),
        StateKey::Key(odd.clone()),
        StateKey::Starts(odd.model, equals),
    ]);
    let mut text = String::new();
    for key in keys {
        let written = wire::encode_key(&key);
        assert_eq!(wire::decode_key(&written), Ok(key));
        assert_eq!(written.last(), Some(&b']'), "parts are told from it by what follows");
        writeln!(text, "{}", String::from_utf8(written).unwrap()).unwrap();
    }
    hold("keys.ndjson", &text);
    for wrong in
        ["", "{}", "[]", "[\"marks\",1]", "[\"key\"]", "[\"pane\",[\"m\",\"v\",null,null,null]]", "[\"x\"]"]
    {
        assert!(matches!(wire::decode_key(wrong.as_bytes()), Err(Error::Key(_))), "{wrong}");
    }
}

#[test]
fn the_parts_of_a_large_record_are_those_of_the_sample() {
    let (mut text, mut topic) = (String::new(), BTreeMap::new());
    let [_, _, (_, key, record), _] = records();
    let (key, value) = (wire::encode_key(&key), wire::encode_record(&record));
    parts::cut(&key, &value, 100, &mut |key, part| {
        write!(text, "{}\n{}", std::str::from_utf8(key).unwrap(), hex(part)).unwrap();
        topic.insert(key.to_vec(), part.to_vec());
    });
    hold("parts.txt", &text);
    let whole = parts::join(topic).unwrap().pop().unwrap();
    assert_eq!((whole.key, whole.value), (key, value));
}

/// Evaluators find what they know in the partition of their messages, so no build may place a model
/// elsewhere than another.
#[test]
fn a_model_stays_in_its_partition() {
    let mut text = String::new();
    for model in ["credit", "fraud", "churn-eu", "", "модель", "a/b@c"] {
        let of = |partitions: i32| exchange_partition(&model.into(), partitions);
        writeln!(text, "{model:?} {} {} {} {}", of(1), of(2), of(8), of(1_000)).unwrap();
    }
    hold("partitions.txt", &text);
}

#[test]
fn other_bytes_are_refused_and_do_no_harm() {
    for (name, message) in messages() {
        let written = wire::encode(&message);
        for length in 0..written.len() {
            assert!(wire::decode(&written[..length]).is_err(), "{length} bytes of {name}");
        }
        let mut longer = written.clone();
        longer.extend([0, 0]);
        assert_eq!(wire::decode(&longer), Err(Error::Left(2)), "a later build may have written a field more");
        let mut later = written;
        later[0] = wire::VERSION + 1;
        assert_eq!(wire::decode(&later), Err(Error::Version(wire::VERSION + 1)));
    }
    for (name, key, record) in records() {
        let written = wire::encode_record(&record);
        for length in 0..written.len() {
            assert!(wire::decode_record(&key, &written[..length]).is_err(), "{length} bytes of {name}");
        }
        assert_eq!(wire::decode(&written), Err(Error::Kind(written[1])), "{name} is no message");
        for (other, other_key, _) in records() {
            if other != name {
                assert_eq!(wire::decode_record(&other_key, &written), Err(Error::Kind(written[1])));
            }
        }
    }
}

#[test]
fn a_delta_takes_a_kilobyte_and_a_detector_two() {
    let delta = wire::encode(&Message::Delta(values::wide_delta(20, 20, 1_000))).len();
    let slot = |features: u64| {
        let record = Record::Key(Box::new(values::wide_key(features, 228)));
        wire::encode_record(&record).len()
    };
    println!("a delta of 20 features on 20 bins, 1,000 rows: {delta} bytes");
    println!("a key record with the detectors of 20 features: {} bytes", slot(20));
    assert!(delta < 1_000, "{delta} bytes");
    assert!(slot(20) < 40_000, "{} bytes", slot(20));
    assert!(slot(21) - slot(20) < 1_900, "{} bytes a feature", slot(21) - slot(20));
}
