//! The section `audit` of the configuration: keys that can be read, and mistakes with their place.

use plimsoll::audit::tlog::{Algorithm, SignerKey};
use plimsoll::config::{self, AuditStore, Config};

use super::*;

fn read(audit: &str) -> Result<Config, String> {
    let text = format!(
        "topics: [{{name: t, model: /m}}]\nmodels:\n  - {{name: credit, topics: [t], task: binary, version: /v, time: /ts, prediction: /p}}\naudit: {audit}\n"
    );
    let key = SignerKey::new("log.example", Algorithm::Ed25519, &[1; 32]).unwrap();
    let env = [("KEY".to_owned(), key.expose()), ("BAD".to_owned(), "hunter2".to_owned())];
    config::parse(&text, Path::new("/etc/plimsoll.yaml"), env).map_err(|errors| errors.to_string())
}

#[test]
fn a_key_and_the_files_beside_it_are_read_and_the_key_is_not_shown() {
    let config =
        read("{origin: log.example, key: {env: KEY}, checkpoint_file: kept, checkpoint_interval: 1m}")
            .unwrap();
    let (path, checkpoint_path) = ("/etc/audit.ndjson".into(), "/etc/kept".into());
    assert_eq!(config.audit.store, AuditStore::File { path, checkpoint_path });
    let signing = config.audit.signing.as_ref().unwrap();
    assert_eq!((signing.key.name(), signing.interval.as_secs()), ("log.example", 60));
    let shown = format!("{config:?}");
    assert!(!shown.contains("PRIVATE") && !shown.contains("AQEBAQEBAQEB"), "{shown}");
}

#[test]
fn mistakes_are_told_with_their_place_and_without_the_key() {
    let witness = SignerKey::new("w.example", Algorithm::Cosignature, &[2; 32]).unwrap().verifier();
    let other = SignerKey::new("other.example", Algorithm::Ed25519, &[2; 32]).unwrap().verifier();
    for (audit, expected) in [
        ("{origin: \"a b\"}".to_owned(), "audit.origin: \"a b\" may not hold white space or `+`"),
        ("{origin: log.example, key: {env: BAD}}".to_owned(), "audit.key: not a key"),
        ("{key: {env: KEY}}".to_owned(), "it is of a log with another name than `audit.origin`"),
        ("{checkpoint_interval: 0s}".to_owned(), "audit.checkpoint_interval: must be above zero"),
        (
            "{checkpoint_file: audit.ndjson}".to_owned(),
            "audit.checkpoint_file: is the file of the log itself",
        ),
        ("{former_keys: [x]}".to_owned(), "audit.former_keys[0]: `x`: not a key"),
        (format!("{{former_keys: [\"{other}\"]}}"), "is a key of `other.example`"),
        (format!("{{former_keys: [\"{witness}\"]}}"), "is the key of a witness, and not of a log"),
        (format!("{{witnesses: [\"{other}\"]}}"), "is the key of a log, and not of a witness"),
    ] {
        let errors = read(&audit).unwrap_err();
        assert!(errors.contains(expected) && !errors.contains("hunter2"), "{audit}: {errors}");
    }
}
