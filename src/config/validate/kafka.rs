//! The Kafka cluster: a security setup that is whole, and no property that undoes another key.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Surroundings;
use crate::config::error::Report;
use crate::config::path::KeyPath;
use crate::config::raw::{self, Mechanism, Protocol};
use crate::config::tree::{Exchange, Kafka, Property, Security};

/// librdkafka properties that have a key of their own here, and that key.
const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "kafka.brokers"),
    ("metadata.broker.list", "kafka.brokers"),
    ("group.id", "kafka.group"),
    ("auto.offset.reset", "kafka.offset_reset"),
    ("auto.commit.interval.ms", "kafka.commit_interval"),
    ("security.protocol", "kafka.security.protocol"),
    ("ssl.ca.location", "kafka.security.ca_file"),
    ("ssl.certificate.location", "kafka.security.certificate_file"),
    ("ssl.key.location", "kafka.security.key_file"),
    ("ssl.key.password", "kafka.security.key_password"),
    ("sasl.mechanism", "kafka.security.mechanism"),
    ("sasl.mechanisms", "kafka.security.mechanism"),
    ("sasl.username", "kafka.security.username"),
    ("sasl.password", "kafka.security.password"),
];

/// Properties on which plimsoll's own accounting rests, and what rests on each.
const FIXED: &[(&str, &str)] = &[
    ("enable.auto.commit", ACCOUNTING),
    ("enable.auto.offset.store", ACCOUNTING),
    ("enable.partition.eof", ACCOUNTING),
    ("enable.idempotence", "a message that is sent again must not be written twice"),
    ("isolation.level", "what an aborted transaction wrote must not be counted"),
    (
        "transactional.id",
        "it is made of `kafka.group`, the role and `kafka.instance`, so that a restart ends what was open",
    ),
    (
        "group.instance.id",
        "static members keep their partitions after a stop until the session ends, and nobody reads them meanwhile",
    ),
];
const ACCOUNTING: &str = "its accounting of records rests on it";

/// The shortest time that own topics may be kept: an evaluator has to be back before.
const SHORTEST_RETENTION: Duration = Duration::from_secs(60 * 60);

/// Parts of the names of properties whose values are secrets.
const SECRETS: &[&str] = &["password", "secret", "ssl.key.pem", "sasl.oauthbearer.config"];

/// Outer none: errors. Inner none: no brokers, so no Kafka.
pub(super) fn kafka(
    raw: &raw::Kafka,
    around: &Surroundings<'_>,
    report: &mut Report,
) -> Option<Option<Kafka>> {
    let path = KeyPath::root("kafka");
    if let Some(brokers) = &raw.brokers
        && brokers
            .split(',')
            .any(|broker| broker.trim().is_empty() || broker.trim().contains(char::is_whitespace))
    {
        report.error(&path.key("brokers"), "must be `host:port`, several separated by commas");
    }
    let commit_interval = report.duration(&path.key("commit_interval"), &raw.commit_interval);
    if commit_interval.is_some_and(|span| span < Duration::from_millis(10)) {
        report.error(&path.key("commit_interval"), "must be at least 10ms");
    }
    if let Some(instance) = &raw.instance {
        report.plain_name(&path.key("instance"), instance);
    }
    let exchange = exchange(&raw.exchange, &path.key("exchange"), report);
    let security = security(&raw.security, &path.key("security"), around, report);
    let properties = properties(raw, &path.key("properties"), around, report);
    let (commit_interval, exchange) = (commit_interval?, exchange?);
    let (security, properties) = (security?, properties?);
    Some(raw.brokers.as_ref().map(|brokers| Kafka {
        brokers: brokers.clone(),
        group: raw.group.clone(),
        instance: raw.instance.clone(),
        security,
        properties,
        offset_reset: raw.offset_reset,
        commit_interval,
        exchange,
        max_lag: raw.max_lag,
        dead_letter_topic: raw.dead_letter_topic.clone(),
        dead_letter_value_bytes: raw.dead_letter_value_bytes as usize,
        findings_topic: raw.findings_topic.clone(),
        create_topics: raw.create_topics,
    }))
}

fn exchange(raw: &raw::Exchange, path: &KeyPath, report: &mut Report) -> Option<Exchange> {
    let retention = report.duration(&path.key("retention"), &raw.retention);
    if retention.is_some_and(|span| span < SHORTEST_RETENTION) {
        report.error(&path.key("retention"), "must be at least 1h");
    }
    Some(Exchange {
        prefix: raw.prefix.clone(),
        partitions: raw.partitions.into(),
        replication_factor: raw.replication_factor.map(Into::into),
        retention: retention?,
    })
}

fn security(
    raw: &raw::Security,
    path: &KeyPath,
    around: &Surroundings<'_>,
    report: &mut Report,
) -> Option<Security> {
    let protocol = raw.protocol;
    let tls_keys = [
        ("ca_file", raw.ca_file.is_some()),
        ("certificate_file", raw.certificate_file.is_some()),
        ("key_file", raw.key_file.is_some()),
        ("key_password", raw.key_password.is_some()),
    ];
    let sasl_keys = [
        ("mechanism", raw.mechanism.is_some()),
        ("username", raw.username.is_some()),
        ("password", raw.password.is_some()),
    ];
    for (keys, used, needed) in
        [(&tls_keys[..], protocol.is_tls(), "ssl"), (&sasl_keys[..], protocol.is_sasl(), "sasl")]
    {
        for (key, _) in keys.iter().filter(|(_, given)| *given && !used) {
            let needed =
                if needed == "ssl" { "`ssl` or `sasl_ssl`" } else { "`sasl_plaintext` or `sasl_ssl`" };
            report.error(&path.key(key), format!("needs `protocol` {needed}, not `{}`", protocol.name()));
        }
    }
    if raw.certificate_file.is_some() != raw.key_file.is_some() {
        let (given, lacking) = if raw.key_file.is_some() {
            ("key_file", "certificate_file")
        } else {
            ("certificate_file", "key_file")
        };
        report.error(&path.key(given), format!("needs `{lacking}` too"));
    }
    if protocol.is_sasl() {
        match raw.mechanism {
            None => {
                let wrong = format!("`protocol: {}` needs a `mechanism`", protocol.name());
                report.error(&path.key("protocol"), wrong);
            }
            Some(Mechanism::OauthBearer) => {}
            Some(mechanism) => {
                for (key, given) in &sasl_keys[1..] {
                    if !given {
                        report.error(&path.key("mechanism"), format!("{} needs a `{key}`", mechanism.name()));
                    }
                }
                if mechanism == Mechanism::Plain && protocol == Protocol::SaslPlaintext {
                    report.warn(
                        &path.key("protocol"),
                        "PLAIN sends the password readably without TLS; use `sasl_ssl`",
                    );
                }
            }
        }
    }
    let mut file = |key: &str, file: &Option<String>| match file {
        Some(file) => report.file(&path.key(key), file, around).map(Some),
        None => Some(None),
    };
    let ca_file = file("ca_file", &raw.ca_file);
    let certificate_file = file("certificate_file", &raw.certificate_file);
    let key_file = file("key_file", &raw.key_file);
    let mut secret = |key: &str, secret: &Option<raw::SecretRef>| match secret {
        Some(secret) => report.secret(&path.key(key), secret, around).map(Some),
        None => Some(None),
    };
    let key_password = secret("key_password", &raw.key_password);
    let password = secret("password", &raw.password);
    Some(Security {
        protocol,
        ca_file: ca_file?,
        certificate_file: certificate_file?,
        key_file: key_file?,
        key_password: key_password?,
        mechanism: raw.mechanism,
        username: raw.username.clone(),
        password: password?,
    })
}

fn properties(
    raw: &raw::Kafka,
    path: &KeyPath,
    around: &Surroundings<'_>,
    report: &mut Report,
) -> Option<BTreeMap<String, Property>> {
    let mut properties = BTreeMap::new();
    let mut whole = true;
    for (name, value) in &raw.properties {
        let path = path.key(name);
        if let Some((_, own)) = OWNED.iter().find(|(owned, _)| owned == name) {
            report.error(&path, format!("set `{own}` instead"));
        }
        if let Some((_, reason)) = FIXED.iter().find(|(fixed, _)| fixed == name) {
            report.error(&path, format!("is plimsoll's to set: {reason}"));
        }
        let value = match value {
            raw::Property::Plain(value) => {
                if SECRETS.iter().any(|part| name.contains(part)) {
                    let wrong = "must be `{env: NAME}` or `{file: PATH}`, not a literal: it is a secret";
                    report.error(&path, wrong);
                }
                let value = value.text();
                if (name == "enable.ssl.certificate.verification" && value == "false")
                    || (name == "ssl.endpoint.identification.algorithm" && value == "none")
                {
                    report.warn(&path, "anyone on the way can pretend to be the broker");
                }
                Some(Property::Plain(value))
            }
            raw::Property::Secret(secret) => report.secret(&path, secret, around).map(Property::Secret),
        };
        match value {
            Some(value) => drop(properties.insert(name.clone(), value)),
            None => whole = false,
        }
    }
    whole.then_some(properties)
}
