//! What holds for every metric of the catalogue.

use std::collections::BTreeSet;

use super::*;

#[test]
fn names_follow_the_naming_practice_of_prometheus() {
    let mut seen = BTreeSet::new();
    for id in Id::ALL {
        let Spec { name, kind, unit, labels, .. } = id.spec();
        assert!(seen.insert(name), "{name} is listed twice");
        assert!(name.starts_with("plimsoll_") || name.starts_with("process_"), "{name}");
        assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        assert_eq!(name.ends_with("_info"), *kind == Kind::Info, "{name}");
        let base = name.trim_end_matches("_total");
        for suffix in [Unit::Seconds, Unit::Bytes, Unit::Ratio] {
            let has = base.ends_with(&format!("_{}", suffix.name()));
            assert_eq!(has, *unit == suffix, "{name} and its unit");
        }
        assert!(!labels.contains(&"job") && !labels.contains(&"instance"), "{name}: the scraper's labels");
    }
}

#[test]
fn help_is_one_plain_line() {
    for id in Id::ALL {
        let help = id.spec().help();
        assert!(help.len() > 15 && !help.contains(['\n', '\\', '"']), "{}: {help}", id.spec().name);
    }
}

#[test]
fn stems_are_names_without_the_suffixes_that_the_encoder_adds() {
    assert_eq!(Id::ConsumedBytes.spec().stem(), "plimsoll_consumed");
    assert_eq!(Id::Build.spec().stem(), "plimsoll_build");
    assert_eq!(Id::EventTimestamp.spec().stem(), "plimsoll_event_timestamp");
    assert_eq!(Id::Panes.spec().stem(), "plimsoll_panes");
}
