//! The audit log: where it is kept, and keys that can be read.

use crate::audit::tlog::{Algorithm, VerifierKey, is_name};
use crate::audit::{Signing, signer};

use super::super::error::Report;
use super::super::path::KeyPath;
use super::super::raw;
use super::super::tree::{Audit, AuditStore};
use super::Surroundings;

pub(super) fn audit(root: &raw::Root, around: &Surroundings<'_>, report: &mut Report) -> Option<Audit> {
    let path = KeyPath::root("audit");
    let raw = &root.audit;
    let brokers = root.kafka.brokers.is_some();
    let kind = raw.store.unwrap_or(if brokers { raw::AuditStore::Kafka } else { raw::AuditStore::File });
    let store = match kind {
        raw::AuditStore::Kafka => {
            if !brokers && !report.removed.lacks("kafka") {
                report.error(&path.key("store"), "`kafka` needs `kafka.brokers`");
            }
            AuditStore::Kafka { topic: raw.topic.clone(), checkpoint_topic: raw.checkpoint_topic.clone() }
        }
        raw::AuditStore::File => {
            let beside = || format!("{}.checkpoints", raw.file);
            let checkpoints = raw.checkpoint_file.clone().unwrap_or_else(beside);
            if checkpoints == raw.file {
                report.error(&path.key("checkpoint_file"), "is the file of the log itself");
            }
            AuditStore::File {
                path: around.folder.join(&raw.file),
                checkpoint_path: around.folder.join(checkpoints),
            }
        }
    };
    let origin = match &raw.origin {
        Some(origin) if !is_name(origin) => {
            report.error(&path.key("origin"), format!("{origin:?} may not hold white space or `+`"));
            return None;
        }
        Some(origin) => origin.clone(),
        None => origin_of(root, kind),
    };
    let interval = report.positive(&path.key("checkpoint_interval"), &raw.checkpoint_interval);
    let former = keys(&path.key("former_keys"), &raw.former_keys, Algorithm::Ed25519, report);
    let witnesses = keys(&path.key("witnesses"), &raw.witnesses, Algorithm::Cosignature, report);
    for (at, key) in former.iter().enumerate() {
        if key.name() != origin {
            let message =
                format!("is a key of `{}`, and this log is `{origin}` (`audit.origin`)", key.name());
            report.error(&path.key("former_keys").at(at), message);
        }
    }
    let signing = match &raw.key {
        Some(secret) => {
            let place = path.key("key");
            let secret = report.secret(&place, secret, around)?;
            match signer(secret.expose(), &origin) {
                Ok(key) => Some(Signing { key, former, interval: interval? }),
                Err(wrong) => {
                    report.error(&place, format!("{wrong}; `plimsoll audit key` makes one"));
                    return None;
                }
            }
        }
        None => {
            let acts = root.roles.contains(&raw::Role::Act);
            if acts && root.policies.iter().any(|policy| policy.mode != raw::Mode::Observe) {
                report.warn(
                    &path.key("key"),
                    "none, so the audit log is not signed, and whoever can write to it can change it unnoticed; `plimsoll audit key` makes one",
                );
            }
            None
        }
    };
    interval?;
    Some(Audit { store, origin, signing, witnesses })
}

/// The name of a log that is given none.
fn origin_of(root: &raw::Root, kind: raw::AuditStore) -> String {
    let of = match kind {
        raw::AuditStore::Kafka => root.kafka.group.as_str(),
        raw::AuditStore::File => root.audit.file.rsplit('/').next().unwrap_or_default(),
    };
    let legal = |letter: char| if is_name(letter.encode_utf8(&mut [0; 4])) { letter } else { '-' };
    format!("plimsoll/{}", of.chars().map(legal).collect::<String>())
}

/// Public keys, each for the same use.
fn keys(path: &KeyPath, texts: &[String], algorithm: Algorithm, report: &mut Report) -> Vec<VerifierKey> {
    report.unrepeated(path, texts);
    let mut keys = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        match VerifierKey::parse(text) {
            Ok(key) if key.algorithm() == algorithm => keys.push(key),
            Ok(key) => {
                let is = match key.algorithm() {
                    Algorithm::Ed25519 => "a log, and not of a witness",
                    Algorithm::Cosignature => "a witness, and not of a log",
                };
                report.error(&path.at(at), format!("`{text}` is the key of {is}"));
            }
            Err(wrong) => report.error(&path.at(at), format!("`{text}`: {wrong}")),
        }
    }
    keys
}
